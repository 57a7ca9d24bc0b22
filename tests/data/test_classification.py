"""Texts and classes from datasets and files of every kind."""

import itertools

import numpy as np
import pytest

from rnn_jax.data import labelled
from rnn_jax.data.classification import LabelledTextConfig, load_classification, load_part
from rnn_jax.errors import UserError


def load(seed=0, **knobs):
    return load_classification(LabelledTextConfig(**knobs), seed=seed)


def load_one(name="test", *, label_names, **knobs):
    return load_part(LabelledTextConfig(**knobs), name, label_names)


def as_pairs(part, names):
    return sorted((text, names[label]) for text, label in zip(part.texts, part.labels, strict=True))


def test_hidden_test_labels_leave_validation_only(data_dir):
    data = load(dataset="glue/sst2", data_dir=data_dir)
    assert data.label_names == ("negative", "positive")
    assert as_pairs(data.train, data.label_names) == sorted(
        (f"sentence {i}", ("negative", "positive")[i % 2]) for i in range(40)
    )
    assert data.train.labels.dtype == np.int32
    assert len(data.validation.texts) == 6
    assert data.test is None
    assert data.notes[0] == "The labels of glue/sst2 test are hidden: no test/… is reported."
    with pytest.raises(UserError, match="The labels of glue/sst2 test are hidden, so there is nothing to score"):
        load_one(label_names=data.label_names, dataset="glue/sst2", data_dir=data_dir)


def test_a_dev_split_is_the_validation_split(data_dir):
    data = load(dataset="with_dev", data_dir=data_dir)
    assert [len(part.texts) for part in (data.train, data.validation, data.test)] == [10, 4, 3]
    assert sorted(data.validation.texts) == [f"text {i}" for i in range(100, 104)]
    assert data.notes == ()


def test_the_own_validation_split_is_not_used_when_it_is_the_test_or_training_split(data_dir):
    for splits in ({"test_split": "dev"}, {"train_split": "train+dev"}):
        data = load(dataset="with_dev", data_dir=data_dir, validation_fraction=0.5, **splits)
        seen = [set(part.texts) for part in (data.train, data.validation, data.test)]
        assert len(seen[1]) == len(seen[0])  # half of train was cut
        assert not seen[0] & seen[1]
        assert not seen[1] & seen[2]
        assert data.notes == ()


def test_validation_is_cut_from_train_by_the_seed(data_dir):
    def cut(seed, fraction=0.25):
        data = load(
            dataset="two_labels", label_field="label-fine", data_dir=data_dir, validation_fraction=fraction, seed=seed
        )
        assert sorted(data.train.texts + data.validation.texts) == sorted(f"t{i}" for i in range(12))
        names = dict(as_pairs(data.train, data.label_names) + as_pairs(data.validation, data.label_names))
        assert names == {f"t{i}": str(i % 3) for i in range(12)}
        return data.validation.texts

    assert cut(0) == cut(0)
    assert len(cut(0)) == 3
    assert len({tuple(cut(seed)) for seed in range(5)}) > 1
    assert len(cut(0, 0.001)) == 1
    assert len(cut(0, 0.999)) == 11
    for fraction in (0.0, 1.0, -0.5):
        with pytest.raises(UserError, match=rf"^--validation_fraction={fraction} leaves .* above 0 and up to 0\.9"):
            cut(0, fraction)


def test_no_test_split(data_dir):
    data = load(dataset="two_labels", label_field="label-coarse", data_dir=data_dir)
    assert data.test is None
    assert data.notes == ("two_labels comes without a test part: no test/… is reported.",)
    with pytest.raises(UserError, match="no split 'tset'"):
        load(dataset="two_labels", label_field="label-coarse", data_dir=data_dir, test_split="tset")


@pytest.mark.parametrize(
    ("field", "names"),
    [("data/stars", ("8", "9", "10")), ("data/good", ("False", "True"))],
)
def test_integers_and_booleans_are_classes_named_by_their_values(data_dir, field, names):
    data = load(dataset="plain_integers", label_field=field, data_dir=data_dir)
    assert data.label_names == names
    pairs = as_pairs(data.train, names) + as_pairs(data.validation, names)
    expected = [(f"b{i}", str(10 - i % 3) if field == "data/stars" else str(i % 2 == 0)) for i in range(9)]
    assert sorted(pairs) == expected


def test_texts_are_classes_where_they_are_named(data_dir):
    data = load(dataset="string_labels", label_field="verdict", data_dir=data_dir)
    assert data.label_names == ("no", "yes")
    assert set(data.train.texts + data.validation.texts) == {f"t{i}" for i in range(6)}


def test_rows_without_a_label_are_left_out_and_counted(data_dir):
    data = load(dataset="some_hidden", data_dir=data_dir)
    assert len(data.train.texts) + len(data.validation.texts) == 6
    assert data.notes == ("some_hidden train: 3 examples without a label are left out.",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": "two_labels"}, "several fields can be the label: label-coarse, label-fine. .*--label_field"),
        (
            {"dataset": "two_labels", "label_field": "label"},
            "no label field 'label'; --label_field can be: label-coarse",
        ),
        ({"dataset": "ratings"}, "ratings: no field can be the label. rating holds real numbers, not classes"),
        ({"dataset": "ratings", "label_field": "rating"}, "'rating' holds real numbers; a label is one of several"),
        ({"dataset": "ratings", "label_field": "title", "text_field": "body"}, "no text field 'body'.* can be: text."),
        ({"dataset": "string_labels"}, r"no field can be the label. Its fields: text \(Text\), verdict \(Text\)"),
        ({"dataset": "numbers"}, "x holds real numbers"),
        ({"dataset": "not_utf8"}, "not_utf8 train: the field 'text' of example 0 is not UTF-8"),
        ({"dataset": "glue/sst2", "label_field": "idx"}, "40 different labels for 40 texts are no classes"),
        (
            {"dataset": "glue/sst2", "train_split": "test"},
            "glue/sst2 test: no example has a label or target, so there is nothing",
        ),
        ({"dataset": "glue/sst2", "validation_split": "test"}, "choose another --validation_split"),
        ({"dataset": "glue/sst2", "train_split": "tran"}, "Did you mean 'train'"),
    ],
)
def test_errors(data_dir, options, message):
    with pytest.raises(UserError, match=message):
        load(data_dir=data_dir, **options)


def test_splits_that_share_examples_are_noted(data_dir):
    data = load(dataset="with_dev", data_dir=data_dir, validation_split="train[5:]", test_split="train[:2]")
    assert data.notes == (
        "The train split train and the validation split train[5:] share examples: the scores are too good.",
        "The train split train and the test split train[:2] share examples: the scores are too good.",
    )
    data = load(dataset="with_dev", data_dir=data_dir, train_split="train[:50%]", validation_split="train[50%:]")
    assert data.notes == ()


@pytest.fixture
def write(tmp_path):
    def write(name, *rows):
        path = tmp_path / name
        path.write_text("\n".join(["text,label", *rows]) + "\n")
        return str(path)

    return write


def test_files_leave_the_dataset_out(write, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", "/nowhere")
    train = write("train.csv", "fine,good", "poor,bad", ",good", "meh,so-so")
    test = write("test.csv", "rather poor,bad")
    data = load(dataset="imdb_reviews", train_file=train, test_file=test, validation_fraction=0.25)
    assert data.label_names == ("bad", "good", "so-so")
    assert len(data.train.texts) == 3
    assert len(data.validation.texts) == 1
    assert as_pairs(data.test, data.label_names) == [("rather poor", "bad")]
    assert data.notes == ()
    data = load(train_file=train, validation_file=test)
    assert (data.train.texts, data.validation.texts, data.test) == (["fine", "poor", "", "meh"], ["rather poor"], None)
    assert "comes without a test part" in data.notes[0]


def test_integer_labels_of_files_are_in_numeric_order(write):
    train = write("train.csv", *(f"text {i},{label}" for i, label in enumerate([10, 2, -1, 1] * 3)))
    assert load(train_file=train).label_names == ("-1", "1", "2", "10")


@pytest.mark.parametrize("order", list(itertools.permutations(["1", "01", "001"])))
def test_labels_of_equal_numbers_have_an_order_as_well(order):
    """Not that of a set, which another process has in another way: a run could not be resumed."""
    assert sorted(order, key=labelled._label_order) == ["001", "01", "1"]
    assert labelled.class_names_in("a.csv", [*order, "2", "-0", "0"], None) == ("-0", "0", "001", "01", "1", "2")


def test_a_label_that_training_does_not_have(write):
    train = write("train.csv", "fine,good", "poor,bad")
    test = write("test.csv", "fine,good", "who knows,maybe")
    message = r"test.csv:3: the label 'maybe' does not occur in the training data, which has bad, good"
    with pytest.raises(UserError, match=message):
        load(train_file=train, test_file=test)
    with pytest.raises(UserError, match=message):
        load_one(test, label_names=("bad", "good"))


def test_a_dataset_can_be_scored_on_a_file(data_dir, write):
    test = write("mine.csv", "lovely,positive", "dreadful,negative")
    data = load(dataset="with_dev", data_dir=data_dir, test_file=test)
    assert data.test.labels.tolist() == [1, 0]
    assert len(data.validation.texts) == 4
    assert load_one(test, label_names=("positive", "negative")).labels.tolist() == [0, 1]


def test_classes_are_matched_by_name_across_datasets(data_dir):
    part = load_one(label_names=("x", "positive", "negative"), dataset="with_dev", data_dir=data_dir)
    assert as_pairs(part, ("x", "positive", "negative")) == [
        ("text 200", "negative"),
        ("text 201", "positive"),
        ("text 202", "negative"),
    ]


def test_file_errors(write):
    one = write("one.csv", "fine,good")
    with pytest.raises(UserError, match="all labels are 'good'; a classifier needs at least two"):
        load(train_file=one)
    with pytest.raises(UserError, match="--validation_split belongs to --dataset"):
        load(train_file=one, validation_split="train[:1]")
    many = write("many.csv", *(f"text {i},{i / 7:.2f}" for i in range(30)))
    with pytest.raises(UserError, match="30 different labels for 30 texts are no classes"):
        load(train_file=many)
