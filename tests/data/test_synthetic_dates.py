"""The embedded dates: a small parser that knows nothing of the grammar reads every note as its target says."""

import datetime
import hashlib
import random
import re
from collections import Counter

import numpy as np
import pytest
import tensorflow_datasets as tfds

from rnn_jax.data.source import open_split
from rnn_jax.data.synthetic.date_grammar import unique_notes, write_date, write_time, year_in_words
from rnn_jax.data.translation import PairsConfig, load_translation

SIZES = {"train": 20_000, "validation": 1_000, "test": 1_000}
MONTHS = "January February March April May June July August September October November December".split()
WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
NUMBERS = dict(zip("oh one two three four five six seven eight nine ten eleven twelve".split(), range(13)))
NUMBERS |= dict(
    zip("thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty".split(), range(13, 21)),
    **{"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90},
)
ORDINALS = {"first": "one", "second": "two", "third": "three", "fifth": "five", "eighth": "eight", "ninth": "nine"}
ORDINALS |= {"twelfth": "twelve", "twentieth": "twenty", "thirtieth": "thirty"}  # the others end in -th

SOME_MONTH = rf"(?P<month>{'|'.join(MONTHS)}|(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b\.?)"
SUFFIXED = r"(?P<day>1st|2nd|3rd|[4-9]th|1\dth|20th|21st|22nd|23rd|2[4-9]th|30th|31st)"
SPELT = r"(?P<day>(?:twenty-|thirty-)?[a-z]+(?:st|nd|rd|th))"
YEAR_WORDS = r"(?P<year>two thousand|(?:nineteen|twenty|twenty-one) (?:hundred|oh [a-z]+|[a-z]+(?:-[a-z]+)?))"
FORMATS = (
    rf"(?P<day>[1-9]\d?) {SOME_MONTH} (?P<year>\d{{4}})",
    rf"{SOME_MONTH} (?P<day>[1-9]\d?), (?P<year>\d{{4}})",
    rf"{SUFFIXED} of {SOME_MONTH} (?P<year>\d{{4}})",
    rf"{SOME_MONTH} {SUFFIXED}, (?P<year>\d{{4}})",
    rf"the {SPELT} of {SOME_MONTH}, {YEAR_WORDS}",
    rf"{SOME_MONTH} the {SPELT}, (?P<year>\d{{4}})",
    r"(?P<day>[1-9]\d?)\.(?P<month>[1-9]\d?)\.(?P<year>\d{4})",
    r"(?P<day>\d\d)\.(?P<month>\d\d)\.(?P<year>\d{2}|\d{4})",
    r"(?P<month>[1-9]\d?)/(?P<day>[1-9]\d?)/(?P<year>\d{4})",
    r"(?P<month>\d\d)/(?P<day>\d\d)/(?P<year>\d{2}|\d{4})",
    r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)",
    rf"(?P<year>\d{{4}}), {SOME_MONTH} (?P<day>[1-9]\d?)",
)
PART = r"in the (?P<part>morning|afternoon|evening)"
TIMES = (
    r"(?P<hour>\d\d):(?P<minute>\d\d)",
    r"(?P<hour>[1-9]\d?):(?P<minute>\d\d) (?P<half>am|pm)",
    rf"(?P<hour>[a-z]+) o'clock {PART}",
    rf"(?P<minute>a quarter|half|[a-z-]+) past (?P<hour>[a-z]+) {PART}",
    rf"a quarter to (?P<to>[a-z]+) {PART}",
)


def number(words):
    return int(words) if words.isdecimal() else sum(NUMBERS[word] for word in words.split("-"))


def ordinal(words):
    if words[0].isdecimal():
        return int(words[:-2])
    *tens, last = words.split("-")
    return number("-".join([*tens, ORDINALS.get(last, last.removesuffix("th"))]))


def read_year(text):
    if text.isdecimal():
        return int(text) if len(text) == 4 else int(text) + (1900 if int(text) >= 30 else 2000)
    if text == "two thousand":
        return 2000
    century, _, rest = text.partition(" ")
    return 100 * number(century) + (0 if rest == "hundred" else sum(map(number, rest.split())))


def read_date(text):
    """(the date, which format it is in)."""
    weekday = re.match(rf"({'|'.join(WEEKDAYS)}), ", text)
    found = [match for form in FORMATS if (match := re.fullmatch(form, text[weekday.end() if weekday else 0 :]))]
    assert len({match.groups() for match in found}) == 1, text
    day, month, year = found[0]["day"], found[0]["month"], read_year(found[0]["year"])
    month = int(month) if month.isdecimal() else [name[:3] for name in MONTHS].index(month[:3]) + 1
    date = datetime.date(year, month, int(day) if day.isdecimal() else ordinal(day))
    assert not weekday or weekday[1] == WEEKDAYS[date.weekday()], text
    return date, FORMATS.index(found[0].re.pattern)


def read_time(text):
    """ "hh:mm" of any way to write a time."""
    (groups,) = (match.groupdict() for form in TIMES if (match := re.fullmatch(form, text)))
    if "part" not in groups:
        hour = int(groups["hour"])
        if "half" in groups:
            assert 1 <= hour <= 12
            hour = hour % 12 + (12 if groups["half"] == "pm" else 0)
        return f"{hour:02d}:{groups['minute']}"
    spoken = number(groups.get("hour") or groups["to"])
    past = groups.get("minute", "oh")
    minutes = {"a quarter": 15, "half": 30}.get(past) or number(past)
    candidates = []
    for hour in (spoken, spoken + 12):  # twelve is noon; what comes before it belongs to the morning
        total = 60 * hour + (-15 if "to" in groups else minutes)
        part = "morning" if total < 12 * 60 else "afternoon" if total < 18 * 60 else "evening"
        if part == groups["part"] and total < 24 * 60:
            candidates.append(f"{total // 60:02d}:{total % 60:02d}")
    (time,) = candidates
    return time


def unnamed(forms):
    return "|".join(re.sub(r"\(\?P<\w+>", "(?:", form) for form in reversed(forms))


MOMENT = re.compile(
    rf"(?<!\d)((?:(?:{'|'.join(WEEKDAYS)}), )?(?:{unnamed(FORMATS)}))(?![\d])"
    rf"(?:, ({unnamed(TIMES)}))?"
)
READINGS = (  # what a reader takes from the order of the dates, each written "@"
    (r"between @ and @ [^@]+", "0/1"),
    (r"the exhibition closes on @ and opens on @", "1/0"),
    (r"it ended on @, [^@]+, having begun on @", "1/0"),
    (r"from @ to @", "0/1"),
    (r"from @ to @, and again from @ to @", "0/1 2/3"),
    (r"from @ to @; but before that, [^@]+, from @ to @", "2/3 0/1"),
    (r"before @ come @ and @", "1 2 0"),
    (r"first @, second @, third @, fourth @", "0 1 2 3"),
    (r"[^@]+ @, not @, as we wrote", "0"),
    (r"[^@]+ @ instead of @", "0"),
    (r"[^@]+ @, [^@]+, until @", "0/1"),
    (r"[^@]+ @ or, failing that, @", "0 1"),
    (r"(?!between|the exhibition)[^@]+ @ and @", "0 1"),
    (r"(?!first)[^@]+ @, @ and @", "0 1 2"),
    (r"[^@]+ @, [^@]+, then @, and last @", "0 1 2"),
    (r"(?:[^@]+ )?@", "0"),
    (r"[^@]+ @ [^@]+", "0"),
)


def read_note(note):
    """(the target, the moments in the order of the note, the number of the reading)."""
    moments = []
    for date, time in MOMENT.findall(note):
        moments.append(f"{read_date(date)[0]}T{read_time(time)}" if time else str(read_date(date)[0]))
    frame = MOMENT.sub("@", note)
    (reading,) = (i for i, (pattern, _) in enumerate(READINGS) if re.fullmatch(pattern, frame))
    return re.sub(r"\d", lambda place: moments[int(place[0])], READINGS[reading][1]), moments, reading


@pytest.fixture(scope="module")
def parts():
    data = load_translation(PairsConfig())
    return {"train": data.train, "validation": data.validation, **data.tests}


@pytest.fixture(scope="module")
def notes(parts):
    return [pair for part in parts.values() for pair in zip(part.sources, part.targets, strict=True)]


def test_dates_in_every_format_are_read_back():
    rng, formats, weekdays = random.Random(0), Counter(), 0
    for year in (1900, 1929, 1930, 2000, 2012, 2029, 2030, 2099):
        date = datetime.date(year, 1, 1)
        while date.year == year:
            for _ in range(3):
                text = write_date(date, rng)
                found, form = read_date(text)
                assert found == date, text
                formats[form] += 1
                weekdays += text.startswith(tuple(WEEKDAYS))
            date += datetime.timedelta(days=1)
    assert set(formats) == set(range(len(FORMATS)))
    assert min(formats.values()) / formats.total() > 0.07  # a twelfth each
    assert 0.18 < weekdays / formats.total() < 0.22


@pytest.mark.parametrize(
    ("date", "those", "not_those"),
    [
        ((1929, 12, 31), {"31.12.1929", "12/31/1929"}, {"31.12.29", "12/31/29"}),
        ((1930, 1, 2), {"02.01.30", "01/02/30", "2.1.1930", "1/2/1930"}, {"02.01.1930", "01/02/1930"}),
        ((2029, 5, 22), {"22.05.29", "22 May 2029", "22nd of May 2029"}, {"22.05.2029", "22 May. 2029"}),
        ((2030, 6, 11), {"11.06.2030", "June 11th, 2030", "Jun. 11, 2030", "2030, Jun 11"}, {"11.06.30"}),
        ((2001, 8, 3), {"August the third, 2001", "the third of August, twenty oh one", "2001-08-03"}, {"2001-8-3"}),
    ],
)
def test_two_figures_mean_1930_to_2029(date, those, not_those):
    rng = random.Random(0)
    written = {write_date(datetime.date(*date), rng) for _ in range(600)}
    assert those <= written and not not_those & written


def test_years_in_words_are_read_back():
    words = {year: year_in_words(year) for year in range(1900, 2101)}
    assert all(re.fullmatch(YEAR_WORDS, text) and read_year(text) == year for year, text in words.items())
    assert [words[year] for year in (1900, 1905, 1913, 1920, 1987)] == [
        *("nineteen hundred", "nineteen oh five", "nineteen thirteen", "nineteen twenty", "nineteen eighty-seven")
    ]
    assert [words[year] for year in (2000, 2009, 2012, 2099)] == [
        *("two thousand", "twenty oh nine", "twenty twelve", "twenty ninety-nine")
    ]


def test_times_in_every_way_are_read_back():
    rng, written = random.Random(0), {}
    for hour in range(6, 22):
        for minute in range(0, 60, 5):
            time = f"{hour:02d}:{minute:02d}"
            written[time] = {write_time(hour, minute, rng) for _ in range(50)}
            assert {read_time(text) for text in written[time]} == {time}
    assert written["12:00"] == {"12:00", "12:00 pm", "twelve o'clock in the afternoon"}
    assert written["11:45"] == {"11:45", "11:45 am", "a quarter to twelve in the morning"}
    assert written["12:45"] == {"12:45", "12:45 pm", "a quarter to one in the afternoon"}
    assert written["12:25"] == {"12:25", "12:25 pm", "twenty-five past twelve in the afternoon"}
    assert written["18:30"] == {"18:30", "6:30 pm", "half past six in the evening"}
    assert written["21:55"] == {"21:55", "9:55 pm"}


def test_every_target_says_what_a_reader_understands(notes):
    readings, reordered = Counter(), 0
    for note, target in notes:
        read, moments, reading = read_note(note)
        assert read == target, note
        readings[reading] += 1
        listed = re.split("[ /]", target)
        assert listed == sorted(listed), "not chronological"
        places = [moments.index(moment) for moment in listed]
        reordered += places != sorted(places)
    assert set(readings) == set(range(len(READINGS)))
    assert reordered / len(notes) == pytest.approx(4 / 18, abs=0.01)  # found: 0.222


def test_shape_of_the_data(parts, notes):
    assert {name: part.num_examples for name, part in parts.items()} == SIZES
    words = np.array([len(note.split()) for note, _ in notes])
    assert (words.min(), words.max()) == (1, 51) and 13 < words.mean() < 16
    counts = Counter(len(re.findall(r"\d{4}-\d\d-\d\d", target)) for _, target in notes)
    assert set(counts) == {1, 2, 3, 4}
    assert 0.28 < np.mean(["T" in target for _, target in notes]) < 0.32
    years = [int(year) for _, target in notes for year in re.findall(r"(\d{4})-", target)]
    assert (min(years), max(years)) == (1901, 2100)


def test_no_note_is_there_twice(notes):
    assert len({note for note, _ in notes}) == len(notes) == sum(SIZES.values())


def test_features_and_the_fields_that_are_source_and_target():
    info = open_split("synthetic_dates", "test").dataset_info
    assert info.supervised_keys == ("text", "iso")
    assert {name: type(feature) for name, feature in info.features.items()} == {
        "text": tfds.features.Text,
        "iso": tfds.features.Text,
    }


def test_the_notes_belong_to_their_version(notes):
    # A cache folder is found by the builder's VERSION: notes that change need a new one, and new literals here.
    assert list(unique_notes(2, seed=0)) == [
        (
            "first October 13th, 1952, second 1985-02-10, third 04/03/03, fourth 2052-08-03",
            "1952-10-13 1985-02-10 2003-04-03 2052-08-03",
        ),
        ("before 2080-10-06 come January 11, 1963 and 2046-12-18", "1963-01-11 2046-12-18 2080-10-06"),
    ]
    digest = hashlib.sha256(repr(sorted(notes)).encode()).hexdigest()[:16]  # TFDS shuffles
    assert digest == "?"


def test_the_notes_are_a_function_of_the_seed():
    notes = list(unique_notes(50, seed=3))
    assert notes == list(unique_notes(70, seed=3))[:50] and len(set(notes)) == 50
    assert notes != list(unique_notes(50, seed=4))
