"""Times as people write them, their frequencies, and the times that come next."""

import datetime

import numpy as np
import pytest

from rnn_jax.data.series.frequency import (
    TIME,
    Frequency,
    guess_frequency,
    parse_frequency,
    positions,
    times_at,
)
from rnn_jax.data.series.times import looks_like_times, read_times, since_1970
from rnn_jax.errors import UserError


@pytest.mark.parametrize(
    ("texts", "first", "said"),
    [
        (["1949-01", "1949-02"], "1949-01-01", "months"),
        (["1981-01-31", ""], "1981-01-31", "ISO times"),
        (["2020-01-31 13:05:06.25"], "2020-01-31T13:05:06.25", "ISO times"),
        (["2020-01-31T13:05:06+02:00"], "2020-01-31T11:05:06", "ISO times, taken to UTC"),
        (["2020-01-31T13"], "2020-01-31T13", "ISO times"),
        (["2020/1/5 7:30"], "2020-01-05T07:30", "ISO times"),
        (["03.04.2020", "30.04.2020"], "2020-04-03", "dates with the day first"),
        (["03/04/20 1:05 PM", "03/14/20 12:00 am"], "2020-03-04T13:05", "dates with the month first"),
        (
            ["01/02/2020 12:00", "02/02/2020 0:00", "02/02/2020 12:00", "03/02/2020 00:00"],  # a step every time
            "2020-02-01T12:00",
            "dates with the day first",
        ),
        (["Jan-69", "Feb-69"], "1969-01-01", "dates with names of months"),
        (["31 January 2020"], "2020-01-31", "dates with names of months"),
        (["1949Q2"], "1949-04-01", "quarters"),
        (["Q3 1949"], "1949-07-01", "quarters"),
        (["1949", "1950"], "1949-01-01", "years"),
        (["19490131"], "1949-01-31", "days as YYYYMMDD"),
        (["1467331200"], "2016-07-01", "seconds since 1970"),
        (["1467331200500"], "2016-07-01T00:00:00.5", "milliseconds since 1970"),
    ],
)
def test_formats_are_guessed_and_said(texts, first, said):
    read = read_times(texts)
    assert not read.problem
    assert (read.times[0], read.format) == (np.datetime64(first), said)
    assert np.isnat(read.times[-1]) == (texts[-1] == "")


@pytest.mark.parametrize(
    ("texts", "row", "problem"),
    [
        (["", "soon"], 1, "no time that is understood"),
        (["2020-01-01", "tomorrow"], 1, "no time like '2020-01-01'"),
        (["2020-02-30"], 0, "no such time as 2020-02-30"),
        (["13/01/2020", "01/13/2020"], 0, "and months in others, as in row 2"),
        (["01/01/2020", "01/02/2020", "01/03/2020"], 0, "--date_order"),  # days or months, both without a gap
        (["1467331200", "1467331200000"], 0, "no number of"),
    ],
)
def test_what_is_no_time_is_said_with_its_row(texts, row, problem):
    read = read_times(texts)
    assert read.row == row
    assert problem in read.problem


def test_the_date_order_may_be_given():
    texts = ["01/01/2020", "01/02/2020", "01/03/2020"]
    assert read_times(texts, "day").times[1] == np.datetime64("2020-02-01")
    assert read_times(texts, "month").times[1] == np.datetime64("2020-01-02")


@pytest.mark.parametrize(
    ("texts", "are_times"),
    [
        (["2020-01-01"], True),
        (["1949", "1950", "1951"], True),
        (["1949", "1948", "2000"], False),  # numbers of that size
        (["112", "118"], False),
        (["1.5"], False),
        (["spring"], False),
        ([""], False),
    ],
)
def test_columns_that_look_like_times(texts, are_times):
    assert looks_like_times(texts) == are_times


def test_integers_since_1970_by_their_size():
    assert since_1970(np.array([1467331200, 1467334800]))[1] == np.datetime64("2016-07-01T01")
    assert since_1970(np.array([0, 1, 2])) is None
    assert since_1970(np.array([1467331200.0])) is None


@pytest.mark.parametrize("text", ["15min", "h", "6h", "D", "W", "M", "Q", "Y", "B", "20ms"])
def test_frequencies_are_guessed_from_the_times_that_they_make(text):
    frequency = parse_frequency(text)
    times = times_at(np.arange(40), np.datetime64("2019-01-01T09:00", "us"), frequency)
    assert guess_frequency(times).text == text
    at, is_on_grid = positions(times, times[0], frequency)
    assert np.array_equal(at, np.arange(40))
    assert is_on_grid.all()
    assert not positions(times + np.timedelta64(1, "us"), times[0], frequency)[1].any()
    assert guess_frequency(np.delete(times, [7, 8, 20])).text == text  # gaps change nothing


def test_months_end_where_months_end():
    found = times_at(np.arange(4), np.datetime64("2023-11-30", "us"), Frequency("M"))
    assert found.astype("datetime64[D]").tolist() == [
        datetime.date(2023, 11, 30),
        datetime.date(2023, 12, 31),
        datetime.date(2024, 1, 31),
        datetime.date(2024, 2, 29),
    ]
    assert times_at(np.array([1]), np.datetime64("2023-01-30", "us"), Frequency("M"))[0] == np.datetime64("2023-02-28")


def test_weekdays_skip_the_weekend():
    friday = np.datetime64("2024-03-01T17:00", "us")
    assert times_at(np.array([1]), friday, Frequency("B"))[0] == np.datetime64("2024-03-04T17:00")


def test_no_frequency_where_there_is_none():
    assert guess_frequency(np.array(["2020-01-01T00", "2020-01-01T05", "2020-01-01T07", "2020-01-02T00"], TIME)) is None
    assert guess_frequency(np.array(["2020-01-01", "2020-01-02"], TIME)) is None


@pytest.mark.parametrize("text", ["fortnight", "0h", "2B", ""])
def test_frequencies_that_are_none(text):
    with pytest.raises(UserError, match="--frequency="):
        parse_frequency(text)


@pytest.mark.parametrize(
    ("text", "season"), [("h", 24), ("15min", 96), ("D", 7), ("B", 5), ("M", 12), ("Q", 4), ("Y", 1)]
)
def test_seasons(text, season):
    assert parse_frequency(text).season == season
