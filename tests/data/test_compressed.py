"""Files of every kind may be compressed, and are read once, forwards."""

import gzip
import os
import threading
import zipfile

import pytest
from experiment_runs import write

from rnn_jax.data.columns import read_column_file
from rnn_jax.data.compressed import ending, open_bytes
from rnn_jax.data.files import read_labelled_file
from rnn_jax.data.lines import open_lines
from rnn_jax.data.paired import read_pairs_file
from rnn_jax.errors import UserError

LINES = b"one\r\ntwo\n\nthree"


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a"])
@pytest.mark.parametrize("packed", [False, True])
def test_what_is_inside_counts_and_not_the_name(tmp_path, name, packed):
    path = write(tmp_path / name, gzip.compress(LINES) if packed else LINES)
    with open_bytes(str(path)) as lines:
        assert list(lines) == [b"one\r\n", b"two\n", b"\n", b"three"]


def test_several_packed_parts_are_one_file(tmp_path):
    path = write(tmp_path / "a.gz", gzip.compress(b"one\nt") + gzip.compress(b"wo\n"))
    with open_bytes(str(path)) as lines:
        assert list(lines) == [b"one\n", b"two\n"]


@pytest.mark.parametrize("packed", [False, True])
def test_a_pipe_is_read_as_well(tmp_path, packed):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=write, args=(path, gzip.compress(LINES) if packed else LINES))
    writer.start()
    with open_lines(str(path)) as lines:
        assert list(lines) == ["one", "two", "", "three"]
    writer.join()


def test_tables_sentences_and_pairs_may_be_packed(tmp_path):
    table = write(tmp_path / "a.CSV.gz", gzip.compress(b"text,label\ngood,pos\nbad,neg\n"))
    assert read_labelled_file(str(table))[:2] == (["good", "bad"], ["pos", "neg"])
    columns = write(tmp_path / "a.conll.gz", gzip.compress(b"Ann B-PER\nleft O\n"))
    assert read_column_file(str(columns)).tokens == [["Ann", "left"]]
    pairs = write(tmp_path / "a.tsv.gz", gzip.compress(b"a dog\tein Hund\n"))
    assert read_pairs_file(str(pairs))[1:3] == (["a dog"], ["ein Hund"])


def test_endings():
    assert [ending(path) for path in ("a.csv", "A.CSV.GZ", "b/c.d/e", "a.tar.gz", ".gz")] == [
        ".csv", ".csv", "", ".tar", ""
    ]  # fmt: skip


def test_what_cannot_be_read(tmp_path):
    whole = gzip.compress(LINES * 999)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.txt", "text")
    broken = write(tmp_path / "broken.txt", whole[:-9])
    for path, message in [
        (tmp_path / "no.txt", "Cannot read the table .*no.txt: No such file"),
        (tmp_path, "Cannot read the table .*: Is a directory"),
        (broken, "broken.txt is damaged, perhaps by a download that broke off"),
        (tmp_path / "a.zip", "a.zip is a zip archive: unpack it"),
    ]:
        with pytest.raises(UserError, match=message), open_bytes(str(path), "the table") as lines:
            list(lines)


def test_errors_of_whoever_reads_are_theirs(tmp_path):
    """A pipe that breaks while answers are written is no file that cannot be read."""
    with pytest.raises(BrokenPipeError), open_bytes(str(write(tmp_path / "a.txt", LINES))) as lines:
        next(lines)
        raise BrokenPipeError
