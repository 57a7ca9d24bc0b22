"""The embedded dates: a reader who knows nothing of the grammar takes every note as its target says."""

import datetime
import hashlib
import random
import re
from collections import Counter

import numpy as np
import pytest
import tensorflow_datasets as tfds
from data.date_reader import FORMATS, READINGS, WEEKDAYS, YEAR_WORDS, read_date, read_note, read_time, read_year

from rnn_jax.data.datasets import open_split
from rnn_jax.data.synthetic.date_grammar import unique_notes, write_date, write_time, year_in_words
from rnn_jax.data.translation import PairsConfig, load_translation

SIZES = {"train": 16_000, "validation": 1_000, "test": 1_000}


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
    assert reordered / len(notes) == pytest.approx(2 / 13, abs=0.01)


def test_shape_of_the_data(parts, notes):
    assert {name: part.num_examples for name, part in parts.items()} == SIZES
    words = np.array([len(note.split()) for note, _ in notes])
    assert (words.min(), words.max()) == (1, 40) and 12 < words.mean() < 13.5
    counts = Counter(len(re.findall(r"\d{4}-\d\d-\d\d", target)) for _, target in notes)
    assert set(counts) == {1, 2, 3}
    assert 0.28 < np.mean(["T" in target for _, target in notes]) < 0.32
    years = [int(year) for _, target in notes for year in re.findall(r"(\d{4})-", target)]
    assert (min(years), max(years)) == (1900, 2099)


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
        ("it ended on 12.02.84, if all goes well, having begun on 10/14/51", "1951-10-14/1984-02-12"),
        ("he wrote 191 lines on 1/16/2062 and Saturday, December the thirteenth, 2081", "2062-01-16 2081-12-13"),
    ]
    digest = hashlib.sha256(repr(sorted(notes)).encode()).hexdigest()[:16]  # TFDS shuffles
    assert digest == "38aaebecced8a8af"


def test_the_notes_are_a_function_of_the_seed():
    notes = list(unique_notes(50, seed=3))
    assert notes == list(unique_notes(70, seed=3))[:50] and len(set(notes)) == 50
    assert notes != list(unique_notes(50, seed=4))
