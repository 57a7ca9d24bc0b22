"""Pairs of texts from datasets and files of every kind, and the parts to train on, validate with and test on."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
from data.builders import prepare

from rnn_jax.data.paired import TextPairs, read_pairs_file, read_pairs_split
from rnn_jax.data.parts import is_file as names_a_file
from rnn_jax.data.translation import load_translation, read_part
from rnn_jax.data.translation_config import PairsConfig
from rnn_jax.errors import UserError

TEXT = tfds.features.Text()
BYTES = tfds.features.Tensor(shape=(), dtype=np.bytes_)


def rows(count, offset=0):
    return [{"en": f"house {i}", "de": f"Haus {i}"} for i in range(offset, offset + count)]


@pytest.fixture(scope="session")
def pairs_dir(tmp_path_factory):
    folder, both = tmp_path_factory.mktemp("pairs"), {"en": TEXT, "de": TEXT}
    languages = tfds.features.Translation(languages=("de", "en"))
    tests = {"test": rows(2, 30), "test_2017_x": rows(3, 40), "test_2018": rows(4, 50), "extra": rows(1, 60)}
    prepare(folder, "plain", both, {"train": rows(20), "dev": rows(3, 20), **tests})
    prepare(folder, "wmt", languages, {"train": rows(5)}, config="de-en", supervised_keys=("en", "de"))
    prepare(folder, "nested", {"pair": both, "id": TEXT}, {"train": [{"pair": row, "id": "0"} for row in rows(5)]})
    three = {"a": TEXT, "b": TEXT, "c": TEXT}
    prepare(folder, "three", three, {"train": [{name: f" {name}{i}\n" for name in three} for i in range(5)]})
    prepare(folder, "same", {"text": TEXT}, {"train": [{"text": "a"}] * 5}, supervised_keys=("text", "text"))
    prepare(folder, "one", {"en": TEXT}, {"train": [{"en": "alone"}] * 5})
    broken = [{"en": b"cafe", "de": b"Kaffee"}, {"en": b"caf\xe9", "de": b"Kaffee"}]
    prepare(folder, "not_utf8", {"en": BYTES, "de": BYTES}, {"train": broken})
    holes = [*rows(4), {"en": "", "de": "nichts"}, {"en": "nothing", "de": " \n"}, {"en": "", "de": ""}]
    prepare(folder, "holes", both, {"train": holes, "validation": holes, "test": holes})
    return str(folder)


def load(seed=0, **knobs):
    return load_translation(PairsConfig(**knobs), seed=seed)


def pairs_of(part):
    return sorted(zip(part.sources, part.targets, strict=True))


def english_to_german(*numbers):
    return sorted((f"house {i}", f"Haus {i}") for i in numbers)


def german_to_english(*numbers):
    return sorted((f"Haus {i}", f"house {i}") for i in numbers)


@pytest.mark.parametrize("fields", [("en", "de"), ("en", ""), ("", "de")])
def test_of_two_texts_naming_one_names_the_other(pairs_dir, fields):
    assert pairs_of(read_pairs_split("plain", "train", pairs_dir, *fields)) == english_to_german(*range(20))
    assert pairs_of(read_pairs_split("plain", "dev", pairs_dir, *reversed(fields))) == german_to_english(20, 21, 22)


def test_supervised_keys_say_source_and_target(pairs_dir):
    part = read_pairs_split("wmt/de-en", "train", pairs_dir)
    assert part.name == "wmt/de-en train" and part.num_examples == 5
    assert pairs_of(part) == english_to_german(*range(5))
    assert pairs_of(read_pairs_split("wmt/de-en", "train", pairs_dir, "de")) == german_to_english(*range(5))


def test_nested_fields_and_white_space_around_texts(pairs_dir):
    part = read_pairs_split("nested", "train", pairs_dir, "pair/de", "pair/en")
    assert pairs_of(part) == german_to_english(*range(5))
    assert pairs_of(read_pairs_split("three", "train", pairs_dir, "c", "a")) == [(f"c{i}", f"a{i}") for i in range(5)]


@pytest.mark.parametrize(
    ("dataset", "fields", "message"),
    [
        ("three", ("", ""), r"three: several fields can be the source: a, b, c\. Choose one with --source_field"),
        ("three", ("b", ""), r"three: several fields can be the target: a, b, c\. Choose one with --target_field"),
        ("three", ("b", "b"), r"three: source and target are both 'b'; .* fields: a, b, c"),
        ("plain", ("", ""), "plain: several fields can be the source: de, en"),
        ("plain", ("eng", ""), "plain: no source field 'eng'; --source_field can be: de, en. Did you mean 'en'"),
        ("wmt/de-en", ("en", "fr"), "no target field 'fr'; --target_field can be: de, en"),
        ("one", ("", ""), "one: source and target are both 'en'"),  # or else a model would learn to copy
        ("same", ("", ""), "same: source and target are both 'text'"),
        ("one", ("en", ""), "one: source and target are both 'en'"),
        ("not_utf8", ("en", "de"), r"not_utf8 train: the field 'en' of example [01] is not UTF-8"),
    ],
)
def test_fields_that_cannot_be_told_or_read(pairs_dir, dataset, fields, message):
    with pytest.raises(UserError, match=message):
        read_pairs_split(dataset, "train", pairs_dir, *fields)


def test_parts_and_further_tests_found_by_pattern(pairs_dir):
    knobs = {"dataset": "plain", "data_dir": pairs_dir, "source_field": "en"}
    data = load(**knobs)
    assert pairs_of(data.train) == english_to_german(*range(20)) and data.notes == ()
    assert pairs_of(data.validation) == english_to_german(20, 21, 22)
    sizes = [(name, part.num_examples) for name, part in data.tests.items()]
    assert sizes == [("test", 2), ("test_2017_x", 3), ("test_2018", 4)]
    assert pairs_of(data.tests["test_2017_x"]) == english_to_german(40, 41, 42)
    assert list(load(**knobs, further_tests=("*_x", "extra")).tests) == ["test", "test_2017_x", "extra"]
    assert list(load(**knobs, further_tests=()).tests) == ["test"]


def test_hidden_targets_are_not_scored(tmp_path):
    hidden = [{"en": f"house {i}", "de": ""} for i in range(3)]
    splits = {"train": rows(8), "validation": rows(2, 8), "test": hidden, "test_a": rows(3, 10), "test_b": hidden}
    prepare(str(tmp_path), "blind", {"en": TEXT, "de": TEXT}, splits)
    data = load(dataset="blind", data_dir=str(tmp_path), source_field="en")
    assert list(data.tests) == ["test_a"]
    assert data.notes == (
        "The labels of blind test are hidden: no test/… is reported.",
        "The targets of blind test_b are hidden: it is not scored.",
    )


@pytest.mark.parametrize(
    ("test_split", "tests"),
    [
        ("test[:1]", {"test": 1, "test_2017_x": 3, "test_2018": 4}),
        ("test_2018", {"test": 4, "test_2017_x": 3}),
        ("test_2017_x+test_2018", {"test": 7}),
    ],
)
def test_the_chosen_test_split_is_the_one_called_test(pairs_dir, test_split, tests):
    data = load(dataset="plain", data_dir=pairs_dir, source_field="en", test_split=test_split)
    assert {name: part.num_examples for name, part in data.tests.items()} == tests
    assert data.tests["test"].name == f"plain {test_split}"


def test_empty_sides_are_left_out_of_training_alone(pairs_dir):
    data = load(dataset="holes", data_dir=pairs_dir, source_field="en")
    assert pairs_of(data.train) == english_to_german(*range(4))
    assert data.notes == ("holes train: 3 pairs with an empty source or target are left out.",)
    whole = sorted([*english_to_german(*range(4)), ("", "nichts"), ("nothing", ""), ("", "")])
    assert pairs_of(data.validation) == pairs_of(data.tests["test"]) == whole


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(name, content):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return name

    return write


def test_parallel_files_line_by_line(write):
    write("a.en", b"\xef\xbb\xbfone\r\n\r\n  two \x0c words\t\r\n \t \r\n")
    write("a.de", "eins\n\nzwei\u2028Wörter\nvier")  # a blank line is a sentence without words: it has its partner
    expected = TextPairs("a.en,a.de", ["one", "", "two \x0c words", ""], ["eins", "", "zwei\u2028Wörter", "vier"])
    assert read_pairs_file("a.en,a.de") == expected


def test_a_table_by_number_and_by_name(write):
    table = write("a.tsv", b"\xef\xbb\xbfid\ten \tde\r\n1\t one \teins\r\n\r\n \t\t\n2\t\"two\"\tzwei, 'drei'\tmore")
    assert read_pairs_file(table, "de", "en") == (table, ["eins", "zwei, 'drei'"], ["one", '"two"'])
    assert read_pairs_file(table, "2", "0") == (table, ["de", "eins", "zwei, 'drei'"], ["id", "1", "2"])
    with pytest.raises(UserError, match="a.tsv has 3 columns: say which hold source and target by --source_field"):
        read_pairs_file(table)
    assert read_pairs_file(write("b.txt", "a\t\n\tb\n")) == ("b.txt", ["a", ""], ["", "b"])


@pytest.mark.parametrize(
    ("files", "name", "fields", "message"),
    [
        ({"a": "1\n2\n3\n", "b": "1\n2"}, "a,b", (), "a has 3 lines and b 2: line i of one must translate"),
        ({"a": "1\n" * 1200, "b": ""}, "a,b", (), "a has 1,200 lines and b 0"),
        ({"a": "", "b": ""}, "a,b", (), "a,b: no pairs"),
        ({}, "a,b,c", (), "a,b,c: parallel files are two"),
        ({}, "a,", (), "a,: parallel files are two"),
        ({"a": "1\n"}, "a,b", (), "Cannot read the data file b: No such file"),
        ({}, "a.tsv", (), "Cannot read the data file a.tsv: No such file"),
        ({"a": b"ok\ncaf\xe9\n", "b": "1\n2\n"}, "a,b", (), r"a:2: not UTF-8 \(byte 0xe9 at byte 4"),
        ({"a.tsv": b"a\tb\n\nc\td\xff\n"}, "a.tsv", (), r"a.tsv:3: not UTF-8 \(byte 0xff"),
        ({"a.tsv": "a\tb\n\nc\n"}, "a.tsv", (), "a.tsv:3: 1 columns; source and target are columns 0 and 1"),
        ({"a.tsv": "a\tb\n"}, "a.tsv", ("0", "2"), "a.tsv:1: 2 columns; source and target are columns 0 and 2"),
        ({"a.tsv": "en\tde\na\tb\nc\n"}, "a.tsv", ("en", "de"), "a.tsv:3: 1 columns"),
        ({"a.tsv": "en\tde\na\tb\n"}, "a.tsv", ("en", "fr"), "a.tsv: no column 'fr' in the header, which has en, de"),
        ({"a.tsv": "en\tde\na\tb\n"}, "a.tsv", ("en", ""), "--source_field=en and --target_field=1: two numbers, or"),
        ({"a.tsv": "a\tb\n"}, "a.tsv", ("", "0"), "a.tsv: source and target are both column 0"),
        ({"a.tsv": "en\tde\n"}, "a.tsv", ("en", "de"), "a.tsv: no pairs"),
        ({"a.tsv": ""}, "a.tsv", ("en", "de"), "no column 'en' in the header, which has none"),
        ({"a.csv": "a,b\n"}, "a.csv", (), "a.csv: a file of pairs ends in .tsv or .txt"),
    ],
)
def test_files_that_cannot_be_read(write, files, name, fields, message):
    for file, content in files.items():
        write(file, content)
    with pytest.raises(UserError, match=message):
        read_pairs_file(name, *fields)


def test_validation_is_cut_from_the_training_file_by_the_seed(write):
    write("a.en", "".join(f"house {i}\n" for i in range(10)))
    write("a.de", "".join(f"Haus {i}\n" for i in range(10)))
    data = load(train_file="a.en,a.de", validation_fraction=0.3)
    assert (data.train.num_examples, data.validation.num_examples, data.tests) == (7, 3, {})
    assert sorted(pairs_of(data.train) + pairs_of(data.validation)) == english_to_german(*range(10))
    assert data.notes == ("a.en,a.de comes without a test part: no test/… is reported.",)
    cuts = [tuple(load(seed, train_file="a.en,a.de", validation_fraction=0.3).validation.sources) for seed in range(5)]
    assert cuts[0] == tuple(data.validation.sources) and len(set(cuts)) > 1


def test_files_of_each_part_with_the_fields_of_the_header(write):
    for name, number in (("a.tsv", 1), ("b.tsv", 2), ("c.tsv", 3)):
        write(name, f"de\ten\nHaus {number}\thouse {number}\n")
    data = load(train_file="a.tsv", validation_file="b.tsv", test_file="c.tsv", source_field="en", target_field="de")
    assert [pairs_of(part) for part in data[:2]] == [english_to_german(1), english_to_german(2)]
    assert {name: pairs_of(part) for name, part in data.tests.items()} == {"test": english_to_german(3)}


def test_fields_of_a_dataset_do_not_concern_a_test_file(pairs_dir, write):
    knobs = {"dataset": "plain", "data_dir": pairs_dir, "source_field": "en", "target_field": "de"}
    write("a.tsv", "house 7\tHaus 7\n")
    data = load(**knobs, test_file="a.tsv")
    assert pairs_of(data.tests["test"]) == english_to_german(7) and data.tests["test_2018"].num_examples == 4
    assert read_part(PairsConfig(**knobs), "a.tsv") == data.tests["test"]
    assert pairs_of(read_part(PairsConfig(**knobs), "test[:1]")) in (english_to_german(30), english_to_german(31))


def test_parallel_files_have_no_fields(write):
    write("a.en", "house\n")
    write("a.de", "Haus\n")
    with pytest.raises(UserError, match="--train_file=a.de,a.en: the first of two parallel files is the source"):
        load(train_file="a.de,a.en", source_field="en")


def test_a_split_is_read_from_the_dataset_though_a_file_has_its_name(pairs_dir, write):
    write("train", "this is no data\n")
    data = load(dataset="plain", data_dir=pairs_dir, source_field="en")
    assert pairs_of(data.train) == english_to_german(*range(20))


def test_texts_are_composed(write):
    """ü as one character on both sides, as models write it."""
    write("a.tsv", "u\u0308ber\tfu\u0308r\n")
    assert load(train_file="a.tsv", validation_file="a.tsv").train[1:] == (["über"], ["für"])


def test_a_training_file_of_another_kind_or_without_a_whole_pair(write):
    with pytest.raises(UserError, match=r"train.en: a file of pairs ends in .tsv or .txt .* as in train.en,train.de"):
        load(train_file=write("train.en", "one\ntwo\n"))
    with pytest.raises(UserError, match="every pair has an empty source or target, so there is nothing to train on"):
        load(train_file=write("a.tsv", "a\t\n\tb\n"))


@pytest.mark.parametrize(
    ("name", "is_file"),
    [("test", False), ("test[0.5:]", False), ("a.de-en", False), ("a.TSV", True), ("b.txt", True), ("a.en,a.de", True)],
)
def test_names_of_files_and_splits(name, is_file):
    assert names_a_file(name) is is_file
