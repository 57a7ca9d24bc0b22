"""Texts of language models: what files and datasets hold, to the letter, and what is said where they cannot be read."""

import gzip
import json

import numpy as np
import pytest
import tensorflow_datasets as tfds
from data.builders import prepare

from rnn_jax.data.documents import Documents, load_documents, read_part
from rnn_jax.data.language_config import LanguageConfig
from rnn_jax.data.synthetic.prepare import prepare_synthetic
from rnn_jax.errors import UserError

TEXT = "One line.\n\nTwo  lines,\ttabs\u00a0and 日本.\n   \n\n the end  \n"


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        content = content if isinstance(content, bytes) else content.encode()
        path = tmp_path / name
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return str(path)

    return write


def jsonl(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def texts_of(path, **knobs):
    return read_part(LanguageConfig(train_file=path, **knobs), path).texts


def refused(path, message, **knobs):
    with pytest.raises(UserError) as found:
        read_part(LanguageConfig(train_file=path, **knobs), path)
    assert str(found.value).startswith(message), found.value


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "no_ending", "a.md", "wiki.train.tokens", "a.csv"])
@pytest.mark.parametrize(
    "text",
    [TEXT, TEXT.rstrip("\n"), "one line", "one line\n", "\n\n text", "a\rb\x0bc\x0cd\x1ce\u2028f\x85g\n", "\ufeffa"],
)
def test_a_text_file_is_one_text_to_the_letter(write, name, text):
    path = write(name, "\ufeff" + text if text.startswith("\ufeff") else text)
    assert read_part(LanguageConfig(train_file=path), path) == Documents(path, [text], None)


def test_line_ends_and_byte_order_marks_of_windows(write):
    assert texts_of(write("a.txt", b"\xef\xbb\xbfone\r\ntwo\r\n\r\n")) == ["one\ntwo\n\n"]
    assert texts_of(write("b.jsonl", "\ufeff" + jsonl({"text": "one\r\ntwo"}).replace("\n", "\r\n"))) == ["one\ntwo"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.jsonl.gz", "a.JSONL"])
def test_a_text_a_row_of_json_lines(write, name):
    path = write(name, jsonl({"text": TEXT, "id": 1}) + "\n  \n" + jsonl({"text": ""}, {"text": "🙂\x00"}))
    assert texts_of(path) == [TEXT, "", "🙂\x00"]
    other = write("b" + name, jsonl({"body": "x", "text": "y"}))
    assert texts_of(other, text_field="body") == ["x"]


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        ("texts", [TEXT, "a\r\n\r\nb"]),
        ("lines", ["One line.", "Two  lines,\ttabs\u00a0and 日本.", " the end  ", "a", "b"]),
        ("paragraphs", ["One line.", "Two  lines,\ttabs\u00a0and 日本.", " the end  ", "a", "b"]),
    ],
)
def test_what_begins_and_ends_by_itself(write, documents, expected):
    found = texts_of(write("a.jsonl", jsonl({"text": TEXT}, {"text": "a\r\n\r\nb"})), documents=documents)
    assert found == [text.replace("\r\n", "\n") for text in expected]


def test_paragraphs_keep_their_lines(write):
    path = write("a.txt", "\n\n a\nb\n\nc\n \t\n\n\nd\n e\n\n")
    assert texts_of(path, documents="paragraphs") == [" a\nb", "c", "d\n e"]
    assert texts_of(path, documents="lines") == [" a", "b", "c", "d", " e"]


@pytest.mark.parametrize("documents", ["texts", "lines", "paragraphs"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        *[("a.txt", content) for content in ("", "\n\n\n", " \t\r\n", b"\xef\xbb\xbf")],
        *[("a.jsonl", content) for content in ("", "\n \n", jsonl({"text": ""}, {"text": " "}))],
        ("a.txt.gz", ""),
    ],
)
def test_files_without_text(write, name, content, documents):
    path = write(name, content)
    refused(path, f"{path}: there is no text in it.", documents=documents)


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_other_encodings(write, name):
    path = write(name, '{"text": "où"}\n'.encode("utf-16"))
    refused(path, f"{path}:1: not UTF-8 (byte 0xff at byte 1 of the line). The text seems to be in UTF-16")
    path = write(name, b'{"text": "a"}\n{"text": "caf\xe9"}\n')
    refused(path, f"{path}:2: not UTF-8 (byte 0xe9 at byte 14 of the line). The text seems to be in another encoding")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "no mark\n".encode("utf-16-le")),
        ("a.parquet", b"PAR1\x15\x04\x15\x00\x15"),
        ("a.tar.gz", b"a.txt" + b"\0" * 500 + b"text\n"),
        ("a.npy", b"\x93NUMPY\x01\x00v\x00"),
    ],
)
def test_binary_files(write, name, content):
    path = write(name, content)
    refused(path, f"{path}:1: no text, but binary: give a text or JSONL file, also .gz.")


def test_a_pdf(write):
    path = write("a.pdf", b"%PDF-1.7\n%\xb5\xed\xae\xfb\n4 0 obj\n")
    refused(path, f"{path}:2: not UTF-8")


def test_damaged_archives(write, tmp_path):
    whole = gzip.compress(np.random.default_rng(0).bytes(5000).hex().encode())
    flipped = bytearray(whole)
    flipped[2000] ^= 255
    for content in (whole[:-100], whole[:5], bytes(flipped), whole[:-8] + b"\0" * 8):
        path = tmp_path / "a.txt.gz"
        path.write_bytes(content)
        refused(str(path), f"{path} is damaged, perhaps by a download that broke off: ")


def test_files_that_are_not_there(tmp_path):
    refused(f"{tmp_path}/a.txt", f"Cannot read {tmp_path}/a.txt: No such file or directory.")
    for name in (str(tmp_path), f"{tmp_path}/corpus", "train"):  # none is taken for a split of the dataset
        with pytest.raises(UserError, match=f"^Cannot read {name}: (Is a directory|No such file or directory)"):
            load_documents(LanguageConfig(train_file=name))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "a"', "not JSON: "),
        ("plain text", "not JSON: "),
        ("[" * 100_000, "not JSON: "),
        ('{"body": "a", "id": 3}', "no field 'text'; it has 'body', 'id'. See --text_field."),
        ("{}", "no field 'text'; it has none. See --text_field."),
        ('["text"]', "no field 'text'; it has none. See --text_field."),
        ("null", "no field 'text'; it has none. See --text_field."),
        ('{"text": 3}', "the field 'text' must be a Unicode string. See --text_field."),
        ('{"text": null}', "the field 'text' must be a Unicode string."),
        ('{"text": ["a"]}', "the field 'text' must be a Unicode string."),
        (r'{"text": "half a \ud83d"}', "the field 'text' must be a Unicode string."),
        (r'{"text": "\ude00\ud83d"}', "the field 'text' must be a Unicode string."),
    ],
)
def test_malformed_rows(write, line, message):
    path = write("a.jsonl", jsonl({"text": r"whole: \ud83d\ude00 🙂"}) + "\n" + line + "\n")
    refused(path, f"{path}:3: {message}")


def test_a_field_for_files_without_fields(write):
    text, rows = write("a.txt", "one\ntwo\n"), write("b.jsonl", jsonl({"body": "x"}))
    refused(text, f"--text_field=body: {text} is a text file, which has no fields.", text_field="body")
    data = load_documents(LanguageConfig(train_file=text, validation_file=rows, text_field="body"))
    assert (data.train.texts, data.validation.texts) == (["one\ntwo\n"], ["x"])


def test_the_end_of_a_single_text_validates(write):
    lines = [f"line {i:03} of them\n" for i in range(100)]
    path = write("a.txt", "".join(lines))
    data = load_documents(LanguageConfig(train_file=path))
    assert data.train == Documents(path, ["".join(lines[:90])], None)
    assert data.validation == Documents(f"the end of {path}", ["".join(lines[90:])], None)
    assert data.test is None and data.notes == (f"{path} comes without a test part: no test/… is reported.",)
    for seed in (0, 1):
        data = load_documents(LanguageConfig(train_file=path, validation_fraction=0.255), seed=seed)
        assert data.validation.texts == ["".join(lines[74:])]


@pytest.mark.parametrize(
    ("text", "fraction", "train"),
    [
        ("a bb ccc dddd\nee ffffff", 0.3, "a bb ccc dddd\n"),  # a line end
        ("a bb ccc dddd\neeeee ffffff", 0.2, "a bb ccc dddd\neeeee "),  # one that is too far from where it should be
        ("one two three four five", 0.3, "one two three "),  # a space
        ("0123456789", 0.3, "0123456"),  # anywhere
        ("a\n" + "x" * 30, 0.5, "a\n" + "x" * 14),  # a line end that is not near is left alone
    ],
)
def test_where_a_text_is_cut(write, text, fraction, train):
    data = load_documents(LanguageConfig(train_file=write("a.txt", text), validation_fraction=fraction))
    assert data.train.texts == [train] and data.validation.texts == [text.removeprefix(train)]


@pytest.mark.parametrize(
    ("text", "fraction"), [("x", 0.1), ("abc\n\n\n\n", 0.2), ("two lines\nof text\n", 0.0), ("two lines\nof text", 0.0)]
)
def test_texts_that_cannot_be_cut(write, text, fraction):
    path = write("a.txt", text)
    with pytest.raises(UserError) as found:
        load_documents(LanguageConfig(train_file=path, validation_fraction=fraction))
    assert str(found.value) == (
        f"{path}: a text of {len(text)} characters cannot be divided into training and validation data by"
        f" --validation_fraction={fraction}: give a --validation_file, or a longer text."
    )


def test_several_texts_are_drawn_to_validate_with(write):
    path = write("a.txt", "".join(f"line {i}\n" for i in range(40)))
    drawn = [load_documents(LanguageConfig(train_file=path, documents="lines"), seed=seed) for seed in (0, 0, 1)]
    for data in drawn:
        assert len(data.validation.texts) == 4 and data.validation.num_examples == 4
        assert sorted(data.train.texts + data.validation.texts) == sorted(f"line {i}" for i in range(40))
    assert drawn[0].validation == drawn[1].validation != drawn[2].validation


def test_files_of_all_parts(write):
    names = {name: write(f"{name}.txt", f"the {name} text\n") for name in ("train", "validation", "test")}
    data = load_documents(LanguageConfig(**{f"{name}_file": path for name, path in names.items()}))
    assert [part.texts for part in data[:3]] == [[f"the {name} text\n"] for name in names] and data.notes == ()


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    text, number = tfds.features.Text(), tfds.features.Tensor(shape=(), dtype=np.int64)
    prepare(folder, "long", {"text": text}, {"train": [{"text": TEXT * 9}], "test": [{"text": "a\r\nb\n"}]})
    poems = [{"verses": f"v {i}", "year": i} for i in range(30)]
    prepare(folder, "poems", {"verses": text, "year": number}, {"train": poems})
    row = {"title": "the title", "text": "the text", "source": {"url": "the address"}}
    features = {"title": text, "text": text, "source": {"url": text}}
    prepare(folder, "named", features, {"train": [row] * 3, "validation": [row]})
    prepare(folder, "unnamed", {"title": text, "body": text}, {"train": [{"title": "t", "body": "b"}] * 3})
    prepare(folder, "numbers", {"year": number}, {"train": [{"year": 1}]})
    prepare(folder, "blank", {"text": text}, {"train": [{"text": " \n"}] * 3})
    return str(folder)


def test_datasets_of_one_text_feature(data_dir):
    data = load_documents(LanguageConfig(dataset="long", data_dir=data_dir))
    assert "".join(data.train.texts + data.validation.texts) == TEXT * 9 and data.test.texts == ["a\nb\n"]
    assert [part.name for part in data[:3]] == ["long train", "the end of long train", "long test"]
    lines = load_documents(LanguageConfig(dataset="long", data_dir=data_dir, documents="lines"))
    assert len(lines.train.texts + lines.validation.texts) == 27 and lines.test.texts == ["a", "b"]
    poems = load_documents(LanguageConfig(dataset="poems", data_dir=data_dir, validation_fraction=0.5))
    assert sorted(poems.train.texts + poems.validation.texts) == sorted(f"v {i}" for i in range(30))
    assert len(poems.train.texts) == 15 and poems.test is None
    part = read_part(LanguageConfig(dataset="poems", data_dir=data_dir), "train[:2]")
    assert part.name == "poems train[:2]" and len(part.texts) == 2


def test_datasets_of_several_text_features(data_dir):
    config = LanguageConfig(dataset="named", data_dir=data_dir)
    assert load_documents(config).train.texts == ["the text"] * 3
    nested = LanguageConfig(dataset="named", data_dir=data_dir, text_field="source/url")
    assert load_documents(nested).validation.texts == ["the address"]
    message = "unnamed: several fields can be the text: body, title. Choose one with --text_field."
    with pytest.raises(UserError, match=message):
        load_documents(LanguageConfig(dataset="unnamed", data_dir=data_dir))
    with pytest.raises(UserError, match="no text field 'bodi'; --text_field can be: body, title.* Did you mean 'body'"):
        load_documents(LanguageConfig(dataset="unnamed", data_dir=data_dir, text_field="bodi"))


def test_datasets_without_text(data_dir):
    with pytest.raises(UserError, match="numbers: no field can be the text. Its fields: year"):
        load_documents(LanguageConfig(dataset="numbers", data_dir=data_dir))
    with pytest.raises(UserError, match="^blank train: there is no text in it"):
        load_documents(LanguageConfig(dataset="blank", data_dir=data_dir))


def test_the_field_of_a_dataset_does_not_concern_text_files(data_dir, write):
    config = LanguageConfig(dataset="unnamed", data_dir=data_dir, text_field="body", test_file=write("a.txt", "text\n"))
    data = load_documents(config)
    assert data.test.texts == ["text\n"] and data.train.texts == ["b", "b"]


def test_nats_are_those_of_whole_splits():
    config = LanguageConfig()
    data = load_documents(config)
    written = tfds.builder_from_directory(prepare_synthetic("synthetic_language")).info.metadata["nats"]
    assert [part.nats for part in data[:3]] == [written["train"], written["validation"], written["test"]]
    assert written["test"] / len(data.test.texts[0]) == pytest.approx(0.342, abs=0.01)  # nats a character
    for split in ("test[:100%]", "train[0:1]", "train+test"):
        assert read_part(config, split).nats is None
    assert read_part(LanguageConfig(documents="lines"), "test").nats is None
    assert data.train.take([0]).nats is None
    cut = load_documents(LanguageConfig(train_split="train[:100%]", validation_split=""))
    assert cut.train.nats is None
