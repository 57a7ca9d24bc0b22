"""Tables as users have them, good and bad: each bad one has one message, with its place and the flag that mends it."""

import gzip

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rnn_jax.data.series.from_table import read_series_table
from rnn_jax.data.series_config import SeriesConfig
from rnn_jax.errors import UserError

DAYS = "day,y\n2020-01-01,1\n2020-01-02,2\n2020-01-03,3\n"


def read(tmp_path, content, name="a.csv", **knobs):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_series_table(str(path), SeriesConfig(**knobs))


BAD = {
    "empty": ("", {}, r"a.csv is empty"),
    "header only": ("day,y\n", {}, r"no rows under the header, which names day, y"),
    "no header": ("1,2\n3,4\n", {}, r"the first line holds numbers alone"),
    "ragged": (DAYS + "2020-01-04,1,5\n", {}, r"a.csv:5: 3 cells where the header has 2"),
    "ragged after a blank line": ("day,y\n\n2020-01-01\n", {}, r"a.csv:3: 1 cells"),
    "column named twice": ("y,y\n1,2\n", {}, r"'y' twice"),
    "column without a name": ("day,,y\n2020-01-01,1,2\n", {}, r"column 2 no name"),
    "infinity": ("day,y\n2020-01-01,1\n2020-01-02,inf\n", {}, r"a.csv:3: the column 'y' is infinite"),
    "not UTF-8": (b"day,y\n2020-01-01,\xff\n", {}, r"a.csv:2: not UTF-8"),
    "words alone": ("a,b\nx,y\n", {}, r"a.csv:2: the column 'a' holds 'x', which is no number"),
    "words as target": ("a,y\nx,1\n", {"target": ("a",)}, r"a.csv:2: the column 'a' holds 'x'.*--target"),
    "no such target": (DAYS, {"target": ("z",)}, r"--target names 'z'; the columns are day, y"),
    "column used twice": (DAYS, {"target": ("y",), "past_columns": ("y",)}, r"by --target and again by --past_columns"),
    "thousands or decimals": ('day,y\n2020-01-01,"1,234"\n', {}, r"a.csv:2: '1,234' may have.*--decimal=comma"),
    "out of order": (
        "day,y\n2020-01-02,1\n2020-01-01,2\n2020-01-03,3\n",
        {},
        r"a.csv:3: 2020-01-01 comes after 2020-01-02. --sort.*--id_column",
    ),
    "duplicate": (DAYS + "2020-01-03,3\n", {}, r"a.csv:5: 2020-01-03 is there a second time.*--duplicates=mean"),
    "gap": (DAYS + "2020-01-08,3\n", {}, r"a.csv:5: 2020-01-08 comes after 2020-01-03.*--gaps=mask"),
    "off the grid": (DAYS + "2020-01-04 11:00,3\n2020-01-05,1\n", {}, r"a.csv:5: 2020-01-04 11:00 is no whole number"),
    "no step": ("day,y\n2020-01-01,1\n2020-01-09,2\n", {}, r"no step that is usual.*--frequency"),
    "time missing": (DAYS + ",4\n", {}, r"a.csv:5: the time is missing"),
    "no such day": (DAYS + "2020-01-32,4\n", {"time_column": "day"}, r"a.csv:5: .*no such time as 2020-01-32"),
    "no time": ("x,y\n1,2\n3,4\n", {"time_column": "x"}, r"a.csv:2: the column 'x' holds times, and '1' is no time"),
    "frequency without times": ("x,y\n1,2\n3,4\n", {"frequency": "h"}, r"--frequency=h: .*--time_column"),
    "all missing": ("day,y\n2020-01-01,\n2020-01-02,NA\n", {"frequency": "D"}, r"all values of y are missing"),
    "id missing": ("id,y\na,1\n,2\n", {"id_column": "id"}, r"a.csv:3: the column 'id' says no series"),
    "static that changes": (
        "id,y,kind\na,1,p\na,2,q\n",
        {"id_column": "id", "target": ("y",), "static_columns": ("kind",)},
        r"a.csv:3: the static column 'kind' changes within the series 'a'",
    ),
    "zip archive": (b"PK\x03\x04rest", {}, r"is a zip archive"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_tables_have_one_message(tmp_path, kind):
    content, knobs, message = BAD[kind]
    with pytest.raises(UserError, match=message):
        read(tmp_path, content, **knobs)


@pytest.mark.parametrize(("name", "message"), [("a.xlsx", "must end in .csv"), ("a.parquet", "no Parquet file")])
def test_files_that_are_no_tables(tmp_path, name, message):
    with pytest.raises(UserError, match=message):
        read(tmp_path, DAYS, name)
    with pytest.raises(UserError, match="No such file"):
        read_series_table(str(tmp_path / "missing.csv"), SeriesConfig())


@pytest.mark.parametrize(
    "content",
    [
        DAYS,
        DAYS.replace("\n", "\r\n").encode("utf-8-sig"),
        DAYS.replace("\n", "\n\n"),
        DAYS.replace(",", ";").replace(";2", ";2,0"),
        DAYS.replace(",", "\t"),
        DAYS.replace("day,y", "day , y").replace(",3", ", 3 "),
        gzip.compress(DAYS.encode()),
    ],
)
def test_one_table_in_many_dialects(tmp_path, content):
    data = read(tmp_path, content, "a.csv.gz" if content[:2] == b"\x1f\x8b" else "a.csv")
    (series,) = data.series
    np.testing.assert_array_equal(series.values, [[1.0], [2.0], [3.0]])
    assert series.times[2] == np.datetime64("2020-01-03")
    assert data.columns.target == ("y",)
    assert data.frequency.text == "D"


def test_decimal_commas_with_thousands(tmp_path):
    data = read(tmp_path, "day;y;z\n2020-01-01;1.234,5;7\n2020-01-02;-2,25;8\n2020-01-03;;9\n")
    np.testing.assert_array_equal(data.series[0].values, [[1234.5, 7], [-2.25, 8], [np.nan, 9]])
    assert any("decimal commas" in note for note in data.notes)
    with pytest.raises(UserError, match="a.csv:3: the column 'y' holds '2.5'"):  # would be 25, were points left out
        read(tmp_path, "day;y\n2020-01-01;1,5\n2020-01-02;2.5\n2020-01-03;1,5\n", decimal="comma", target=("y",))


def test_spaces_between_columns(tmp_path):
    data = read(tmp_path, "x   y\n1  2\n3 4.5\n", delimiter="space")
    np.testing.assert_array_equal(data.series[0].values, [[1, 2], [3, 4.5]])
    assert data.frequency is None


def test_sorted_merged_and_masked_where_asked(tmp_path):
    text = "day,y\n2020-01-05,5\n2020-01-02,2\n2020-01-02,4\n2020-01-01,\n2020-01-03,3\n"
    data = read(tmp_path, text, sort=True, duplicates="mean", gaps="mask")
    np.testing.assert_array_equal(data.series[0].values[:, 0], [np.nan, 3, 3, np.nan, 5])
    assert any("1 row of a time that is there twice (--duplicates=mean)" in note for note in data.notes)
    assert any("taken as missing: 1 row." in note for note in data.notes)
    assert any("losses and scores: 2 values." in note for note in data.notes)
    last = read(tmp_path, text, sort=True, duplicates="last", gaps="mask", stride=2)
    assert last.series[0].values[1, 0] == 4


def test_a_long_table_with_covariates(tmp_path):
    text = (
        "shop,day,sales,price,heat,kind,size\n"
        "b,2020-01-01,1,10,30,new,5\nb,2020-01-02,2,11,31,new,5\n"
        "a,2020-01-01,3,20,40,old,6\na,2020-01-02,4,21,41,old,6\na,2020-01-03,,22,,old,6\n"
    )
    knobs = {"id_column": "shop", "target": ("sales",), "known_future": ("price",), "past_columns": ("heat",)}
    data = read(tmp_path, text, **knobs, static_columns=("kind", "size"))
    b, a = data.series
    assert (b.id, a.id) == ("b", "a")
    assert (a.static, len(a)) == (("old", 6.0), 2)
    np.testing.assert_array_equal(a.future[:, 0], [20, 21, 22])  # the last row is a time to come
    np.testing.assert_array_equal(a.past[:, 0], [40, 41])


def test_parquet_has_types_of_its_own(tmp_path):
    times = np.arange("2020-01-01", "2020-01-04", dtype="datetime64[D]").astype("datetime64[ns]")
    table = pa.table({"when": pa.array(times), "y": pa.array([1, None, 3], pa.int32()), "flag": [True, False, True]})
    pq.write_table(table, tmp_path / "a.parquet")
    data = read_series_table(str(tmp_path / "a.parquet"), SeriesConfig())
    np.testing.assert_array_equal(data.series[0].values, [[1, 1], [np.nan, 0], [3, 1]])
    assert data.frequency.text == "D"


def test_what_is_not_used_is_said(tmp_path):
    data = read(tmp_path, "index,town,y\n0,x,5\n1,x,6\n2,x,8\n")
    notes = " ".join(data.notes)
    assert data.columns.target == ("y",)
    assert "each row is a step" in notes
    assert "'index'" in notes
    assert "'town' (if it says which series a row belongs to: --id_column)" in notes


def test_times_may_be_left_out(tmp_path):
    data = read(tmp_path, DAYS, time_column="none", target=("y",))
    assert data.series[0].times is None
    assert data.frequency is None
