"""Reads the notes of synthetic_dates as a person does; knows nothing of the grammar that writes them."""

import calendar
import datetime
import re

MONTHS, WEEKDAYS = tuple(calendar.month_name)[1:], tuple(calendar.day_name)
COUNTED = (
    *("oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)
NUMBERS = {word: value for value, word in enumerate(COUNTED)}
NUMBERS |= {"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
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
    *tens, last = words.split("-")
    return number("-".join([*tens, ORDINALS.get(last, last.removesuffix("th"))]))


def read_year(text):
    if text.isdecimal():
        return int(text) if len(text) == 4 else int(text) + (1900 if int(text) >= 30 else 2000)
    century, _, rest = text.partition(" ")
    if rest == "thousand":
        return 1000 * number(century)
    return 100 * number(century) + (0 if rest == "hundred" else sum(map(number, rest.split())))


def read_date(text):
    """(the date, which format it is in)."""
    weekday, _, rest = text.rpartition("day, ")
    form, match = next((i, match) for i, form in enumerate(FORMATS) if (match := re.fullmatch(form, rest)))
    month = match["month"][:3]
    month = int(month) if month.isdecimal() else [name[:3] for name in MONTHS].index(month) + 1
    day = re.sub(r"(?<=\d)[a-z]+", "", match["day"])
    date = datetime.date(read_year(match["year"]), month, int(day) if day.isdecimal() else ordinal(day))
    assert not weekday or f"{weekday}day" == WEEKDAYS[date.weekday()], text
    return date, form


def read_time(text):
    """hh:mm, whatever way it is written."""
    (groups,) = (match.groupdict() for form in TIMES if (match := re.fullmatch(form, text)))
    if "part" not in groups:
        hour = int(groups["hour"])
        if "half" in groups:
            hour = hour % 12 + (12 if groups["half"] == "pm" else 0)
        return f"{hour:02d}:{groups['minute']}"
    past = groups.get("minute", "oh")
    minutes = -15 if "to" in groups else {"a quarter": 15, "half": 30}.get(past) or number(past)
    spoken = 60 * number(groups.get("hour") or groups["to"]) + minutes
    parts = ((24, "evening"), (18, "afternoon"), (12, "morning"))  # until when
    part_of = {time: [name for until, name in parts if time < 60 * until][-1:] for time in (spoken, spoken + 720)}
    (time,) = (time for time, part in part_of.items() if part == [groups["part"]])
    return f"{time // 60:02d}:{time % 60:02d}"


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
    (r"[^@]+ @, not @, as we wrote", "0"),
    (r"[^@]+ @ instead of @", "0"),
    (r"[^@]+ @, [^@]+, until @", "0/1"),
    (r"[^@]+ @ or, failing that, @", "0 1"),
    (r"(?!between|the exhibition)[^@]+ @ and @", "0 1"),
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
