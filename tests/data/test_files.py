"""The user's CSV, TSV and JSONL files: what is read, and the line that is named when it cannot be."""

import csv

import pytest

from rnn_jax.data.files import read_labelled_file
from rnn_jax.errors import UserError


@pytest.fixture
def read(tmp_path):
    def read(name, content, **fields):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_labelled_file(str(path), **fields)

    return read


def test_csv_with_everything_allowed_in_it(read):
    rows = read(
        "a.csv",
        b"\xef\xbb\xbfid,text,label\r\n"
        b"1,plain,pos\r\n"
        b"\r\n"
        b'2,"two\r\nlines, a comma and ""quotes""",neg\r\n'
        b"3,,pos\r\n"
        b'4,"caf\xc3\xa9", neg \r\n',
    )
    assert rows.texts == ["plain", 'two\nlines, a comma and "quotes"', "", "café"]
    assert rows.labels == ["pos", "neg", "pos", "neg"]
    assert rows.lines == [2, 4, 6, 7]


def test_named_columns_and_no_newline_at_the_end(read):
    rows = read("a.csv", "sentiment,review,text\n1,good,x\n0,bad,y", text_field="review", label_field="sentiment")
    assert rows == (["good", "bad"], ["1", "0"], [2, 3])


def test_tsv_takes_quotes_literally(read):
    rows = read("a.tsv", 'text\tlabel\n"Good", he said\tpos\nit"s\tneg\n')
    assert rows.texts == ['"Good", he said', 'it"s']


def test_jsonl_labels_of_each_type(read):
    rows = read(
        "a.jsonl",
        '{"text": "a", "label": "pos"}\n\n{"label": 3, "text": "caf\\u00e9", "more": [1]}\n'
        '{"text": "", "label": true}\n{"text": "\\ud83d\\ude42", "label": -1}\n',
    )
    assert rows == (["a", "café", "", "🙂"], ["pos", "3", "true", "-1"], [1, 3, 4, 5])


def test_a_long_text_fits_and_the_limit_of_the_process_is_put_back(read):
    before = csv.field_size_limit()
    text = "word " * 100_000
    assert read("a.csv", f"text,label\n{text},pos\n").texts == [text]
    assert csv.field_size_limit() == before == 131072


MALFORMED = {
    "wrong column": ("a.csv", "review,label\ngood,pos\n", r"a.csv: no column 'text' .*'review', 'label'.*--text_field"),
    "no header": ("a.csv", "good film,pos\nbad,neg\n", r"no column 'text' in the header, which has 'good film', 'pos'"),
    "column twice": ("a.csv", "text,label,text\na,b,c\n", r"names the column 'text' twice"),
    "too many fields": ("a.csv", "text,label\nok,pos\na, b,neg\n", r"a.csv:3: 3 fields where the header has 2.*quotes"),
    "too few fields": ("a.tsv", "text\tlabel\nok pos\n", r"a.tsv:2: 1 fields where the header has 2"),
    "no label": ("a.csv", "text,label\nok,\n", r"a.csv:2: the label \(column 'label'\) is empty"),
    "open quote": ("a.csv", 'text,label\nok,pos\n"bad,neg\nok,pos\n', r"a.csv:3: .*read up to line 4.*closing quote"),
    "stray quote": ("a.csv", 'text,label\n"a" b,pos\n', r"a.csv:2: .*expected after"),
    "no JSON": ("a.jsonl", '{"text": "a", "label": 1}\n{"text": "a", label: 1}\n', r"a.jsonl:2: not JSON"),
    "deep JSON": ("a.jsonl", "[" * 100_000, r"a.jsonl:1: not JSON"),
    "no object": ("a.jsonl", '["a", 1]\n', r'a.jsonl:1: a JSON object is needed, this is \["a", 1\]'),
    "no field": ("a.jsonl", '{"text": "a", "stars": 1}\n', r"a.jsonl:1: no field 'label'; it has 'text', 'stars'"),
    "text no string": ("a.jsonl", '{"text": null, "label": 1}\n', r"a.jsonl:1: 'text' must be .* this is null"),
    "half a surrogate": ("a.jsonl", '{"text": "\\ud83d", "label": 1}\n', r"a.jsonl:1: 'text' must be a Unicode string"),
    "real label": ("a.jsonl", '{"text": "a", "label": 4.5}\n', r"a.jsonl:1: 'label' must be .* this is 4.5"),
    "empty label": ("a.jsonl", '{"text": "a", "label": ""}\n', r"a.jsonl:1: 'label' must be"),
    "empty": ("a.csv", "", r"a.csv: no rows"),
    "header only": ("a.csv", "text,label\n", r"a.csv: no rows"),
    "blank JSONL": ("a.jsonl", "\n\n", r"a.jsonl: no rows"),
    "not UTF-8": ("a.csv", b"text,label\nok,pos\ncaf\xe9,neg\n", r"a.csv:3: not UTF-8 \(byte 0xe9"),
    "line ends of old Macs": ("a.csv", "text,label\rok,pos\r", r"a.csv: its lines end with a carriage return alone"),
    "JSONL of old Macs": ("a.jsonl", '{"text": "a"}\r{"text": "b"}\r', r"a.jsonl: its lines end with"),
    "a note for Excel": ("a.csv", "sep=;\r\ntext;label\r\n", r"a.csv:1: 'sep=;' tells Excel"),
    "ending": ("a.xlsx", "text,label\n", r"a.xlsx: .*must end in .csv, .tsv, .jsonl or .ndjson"),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_files_name_the_line(read, case):
    name, content, message = MALFORMED[case]
    with pytest.raises(UserError, match=message):
        read(name, content)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(UserError, match=r"Cannot read the data file .*no.csv: No such file"):
        read_labelled_file(str(tmp_path / "no.csv"))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UserError, match=r"Cannot read the data file .*Is a directory"):
        read_labelled_file(str(tmp_path / "folder.csv"))
