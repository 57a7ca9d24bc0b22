"""Files of word vectors in every form in which they are published, and what is said of those that cannot be read."""

import gzip
import tracemalloc

import numpy as np
import pytest

from rnn_jax.errors import UserError
from rnn_jax.text.embeddings import Coverage, PretrainedVectors, match_vectors, read_vectors


@pytest.fixture
def read(tmp_path):
    def read(content, size=2, name="a.txt", **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_vectors(str(path), size=size, **options)

    return read


GLOVE = "the 0.5 -1\n, 1e-3 2.25\ncafé 3 4\n"
WORDS, VECTORS = ["the", ",", "café"], [[0.5, -1], [1e-3, 2.25], [3, 4]]


FORMATS = {
    "GloVe": GLOVE,
    "no newline at the end": GLOVE.rstrip("\n"),
    "word2vec": "3 2\n" + GLOVE,
    "fastText": "3 2\n" + GLOVE.replace("\n", " \n"),
    "tabs and CRLF": "3\t2\r\n" + GLOVE.replace(" ", "\t").replace("\n", "\r\n") + "\r\n",
    "aligned": "3 2\n" + GLOVE.replace(" ", "   "),
    "byte order mark": "\ufeff" + GLOVE,
    "head of a longer file": "1000 2\n" + GLOVE,
    "gzip": gzip.compress(GLOVE.encode()),
    "gzip of word2vec": gzip.compress(b"3 2\n" + GLOVE.encode()),
}


@pytest.mark.parametrize("form", FORMATS)
def test_formats(read, form):
    words, vectors = read(FORMATS[form])
    assert words == WORDS
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, np.array(VECTORS, np.float32))


def test_words_that_are_hard_to_tell_from_numbers(read):
    words, vectors = read(". . . 1 2\n7 3 4\n1 1/2 5 6\nat a@b.c 7 8\n\u0085 9 10\n\u00a0 11 12\nnan 13 14\n")
    assert words == [". . .", "7", "1 1/2", "at a@b.c", "\u0085", "\u00a0", "nan"]
    np.testing.assert_array_equal(vectors, np.arange(1, 15, dtype=np.float32).reshape(7, 2))
    assert read("2000 1999 2 3\n7 3 4 5\n", size=3).words == ["2000", "7"]  # a number as the first word
    assert read("12 1\na 5\n", size=1).words == ["a"]


def test_the_first_of_equal_words_counts(read):
    assert read("a 1 2\nb 3 4\na 5 6\n", wanted={"a"}).vectors.tolist() == [[1, 2]]
    assert read("a 1 2\nb 3 4\na 5 6\n").words == ["a", "b"]


class TestWhichRows:
    content = "5 1\n" + "".join(f"w{i} {i}\n" for i in range(5))

    @pytest.mark.parametrize(
        ("options", "rows"),
        [
            ({}, [0, 1, 2, 3, 4]),
            ({"wanted": {"w3", "w1", "other"}}, [1, 3]),
            ({"wanted": ["w4", "w0"], "max_words": 2}, [0, 1, 4]),
            ({"wanted": set(), "max_words": 2}, [0, 1]),
            ({"max_words": 2}, [0, 1]),
            ({"max_words": 9}, [0, 1, 2, 3, 4]),
            ({"wanted": {"other"}}, []),
            ({"wanted": set()}, []),
        ],
    )
    def test_rows(self, read, options, rows):
        words, vectors = read(self.content, size=1, **options)
        assert words == [f"w{i}" for i in rows]
        assert vectors.shape == (len(rows), 1) and vectors.dtype == np.float32
        assert vectors[:, 0].tolist() == rows

    def test_numbers_of_other_rows_are_not_read(self, read):
        content = "a 1\nb x\nc 3\n"
        assert read(content, size=1, wanted={"a", "c"}).words == ["a", "c"]
        with pytest.raises(UserError, match=r"a.txt:2: not a word and its numbers"):
            read(content, size=1, wanted={"a", "b"})

    def test_the_length_of_other_rows_is_checked(self, read):
        with pytest.raises(UserError, match=r"a.txt:2: 1 numbers where the rows before have 2"):
            read("a 1 2\nb 1\n", wanted={"a"})

    def test_memory_is_that_of_the_rows_kept(self, tmp_path):
        path = tmp_path / "big.txt.gz"
        with gzip.open(path, "wt", compresslevel=1) as stream:
            stream.writelines(f"w{i}" + " 0.25" * 100 + "\n" for i in range(20_000))  # 10 MB, as floats 8 MB
        tracemalloc.start()
        vectors = read_vectors(str(path), size=100, wanted={"w19999"}, max_words=10)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(vectors.words) == 11
        assert peak < 1_000_000


BINARY = b"3 2\n" + b"the " + np.array([0.1, -3.3], np.float32).tobytes() + b"\n" + b"of " + b"\xff\x00\x80\x3f" * 2
MALFORMED = {
    "size": ("a 1 2 3\n", {}, r"a.txt:1: --embedding_size=2 but the vectors have 3 numbers; give --embedding_size=3\."),
    "size, short": ("a 1 2\n", {"size": 4}, r"a.txt:1: --embedding_size=4 but .* give --embedding_size=2\."),
    "size of numeric word": ("7 1 2\n", {"size": 3}, r"a.txt:1: .* give --embedding_size=2\."),
    "size in header": ("9 300\na 1\n", {"size": 100}, r"a.txt:1: --embedding_size=100 but .* --embedding_size=300\."),
    "long row": ("a 1 2\nb 1 2 3\n", {}, r"a.txt:2: 3 numbers where the rows before have 2"),
    "short row": ("2 2\na 1 2\n\nb 1\n", {}, r"a.txt:4: 1 numbers where the rows before have 2"),
    "short row, not wanted": ("a 1 2\nb\n", {"wanted": {"a"}}, r"a.txt:2: not a word and its numbers .*: 'b'"),
    "no number": ("a 1 2\nb 1 x\n", {}, r"a.txt:2: not a word and its numbers .*: 'b 1 x'"),
    "long line": ("a" * 99 + " 1 x\n", {}, r"a.txt:1: .*: 'a{59}…'\."),
    "text": ("This is no vector at all.\n", {}, r"a.txt:1: not a word and its numbers .*: 'This is"),
    "NaN": ("a 1 2\nb 1 nan\nc 1 2\n", {}, r"a.txt:2: NaN or infinity"),
    "infinity": ("a 1 2\nb 1 2\nc -inf 2\n", {}, r"a.txt:3: NaN or infinity"),
    "beyond float32": ("1 2\na 1 1e39\n", {}, r"a.txt:2: NaN or infinity"),
    "binary": (BINARY, {}, r"a.txt:2: not text.*binary=True"),
    "binary like a short row": (b"3 2\n\xff\x00 7\n", {}, r"a.txt:2: not text"),
    "fastText's model": (b"\xba\x16\x4f\x2f\x0c\x00\x00\x00d", {}, r"a.txt:1: not text"),
    "word not UTF-8": (b"a 1 2\ncaf\xe9 1 2\n", {}, r"a.txt:2: the word b'caf\\xe9' is not UTF-8"),
    "empty": ("", {}, r"a.txt: no word vectors"),
    "header only": ("0 2\n\n", {}, r"a.txt: no word vectors"),
    "zip": (b"PK\x03\x04rest", {}, r"a.txt is a zip archive: unpack it"),
    "half a gzip": (gzip.compress(GLOVE.encode() * 99)[:-20], {}, r"a.txt is damaged"),
    "broken gzip": (gzip.compress(GLOVE.encode())[:10] + b"\xff" * 40, {}, r"a.txt is damaged"),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_files(read, case):
    content, options, message = MALFORMED[case]
    with pytest.raises(UserError, match=message) as caught:
        read(content, **options)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(UserError, match=r"Cannot read the word vectors .*no.txt: No such file"):
        read_vectors(str(tmp_path / "no.txt"), size=2)
    with pytest.raises(UserError, match=r"Cannot read the word vectors .*: Is a directory"):
        read_vectors(str(tmp_path), size=2)


def test_matching():
    vectors = PretrainedVectors(["the", "US", "us", "Paris"], np.arange(8, dtype=np.float32).reshape(4, 2) + 1)
    rows, found, coverage = match_vectors(["US", "The", "paris", "THE", "us", "the", "Us", "zzz"], vectors)
    assert found.tolist() == [True, True, False, True, True, True, True, False]
    assert rows.tolist() == [[3, 4], [1, 2], [0, 0], [1, 2], [5, 6], [1, 2], [5, 6], [0, 0]]
    assert rows.dtype == np.float32
    assert coverage == Coverage(as_written=3, lower_cased=3, missing=2)


@pytest.mark.parametrize("words", [[], ["a", "B"]])
def test_matching_with_nothing(words):
    rows, found, coverage = match_vectors(words, PretrainedVectors([], np.zeros((0, 3), np.float32)))
    assert rows.shape == (len(words), 3) and not rows.any()
    assert found.shape == (len(words),) and not found.any()
    assert coverage == (0, 0, len(words))


def test_coverage_in_words():
    expected = "Of 9,876 words 71.2 % are found as written, 12.3 % lower-cased, 16.5 % missing."
    assert Coverage(7032, 1215, 1629).describe() == str(Coverage(7032, 1215, 1629)) == expected
    assert Coverage(0, 0, 0).describe() == "There are no words to find vectors for."
