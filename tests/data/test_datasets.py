"""Opening prepared datasets: which splits, which fields, and what is said when there are none."""

import json
import re
import shutil
from pathlib import Path

import pytest

from rnn_jax.data.datasets import open_split, prepared_datasets, read_examples, split_names, splits_overlap
from rnn_jax.data.fields import find_label_fields, find_text_fields, pick_field
from rnn_jax.errors import UserError


def fields(dataset, data_dir):
    features = open_split(dataset, "train", data_dir).dataset_info.features
    return find_text_fields(features), find_label_fields(features)


def test_a_split_has_random_access(data_dir):
    source = open_split("glue/sst2", "train", data_dir)
    assert len(source) == 40
    assert source[3] == {"sentence": source[3]["sentence"], "label": source[3]["idx"] % 2, "idx": source[3]["idx"]}
    everything = source.__getitems__(range(40))
    assert sorted(row["idx"] for row in everything) == list(range(40))
    assert sorted(row["sentence"] for row in everything) == sorted(f"sentence {i}".encode() for i in range(40))


def test_slices_divide_a_split(data_dir):
    whole = [row["idx"] for row in open_split("glue/sst2", "train", data_dir).__getitems__(range(40))]
    parts = [open_split("glue/sst2", split, data_dir) for split in ("train[:90%]", "train[90%:]")]
    assert [len(part) for part in parts] == [36, 4]
    assert [row["idx"] for part in parts for row in part.__getitems__(range(len(part)))] == whole
    assert len(open_split("glue/sst2", "train[:3]+validation", data_dir)) == 9


def test_the_configuration_and_the_version_can_be_left_out(data_dir):
    for name in ("glue", "glue/sst2", "glue/sst2:1.0.0"):
        assert split_names(name, data_dir) == ("train", "validation", "test")


def test_the_environment_names_the_folder(data_dir, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", data_dir)
    assert len(open_split("with_dev", "dev")) == 4
    with pytest.raises(UserError, match="The data_dir /nowhere is not a folder"):
        open_split("with_dev", "dev", "/nowhere")  # an argument goes first


def test_what_a_folder_holds(data_dir, tmp_path):
    held = prepared_datasets(Path(data_dir))
    assert held[:2] == ["glue/sst2", "not_utf8"]
    assert len(held) == 9
    assert prepared_datasets(tmp_path) == []


@pytest.mark.parametrize(
    ("dataset", "split", "message"),
    [
        ("imdb", "train", r"No dataset 'imdb' in the data_dir .*It holds glue/sst2, .*, with_dev; .*synthetic_reviews"),
        ("with_deb", "train", r"Did you mean 'with_dev'\? `tfds build NAME --file_format=array_record --data_dir="),
        ("syntetic_reviews", "train", r"Did you mean 'synthetic_reviews'\?"),
        ("glue/sst3", "train", r"No dataset 'glue/sst3'.* Did you mean 'glue/sst2'\?"),
        ("with_dev:2.0.0", "train", r"No dataset 'with_dev:2.0.0'"),
        ("../etc", "train", r"No dataset '../etc'"),
        ("with_dev", "validation", r"with_dev: no split 'validation'. It has train, dev, test; slices .*"),
        ("with_dev", "tain", r"Did you mean 'train'\?"),
        ("with_dev", "train[", r"no split 'train\['"),
        ("with_dev", "train[10%]", r"no split 'train\[10%\]'"),
        ("with_dev", "", r"no split ''"),
        ("with_dev", "train[5:5]", r"the split 'train\[5:5\]' is empty"),
    ],
)
def test_errors_name_what_there_is(data_dir, dataset, split, message):
    with pytest.raises(UserError, match=message):
        open_split(dataset, split, data_dir)


def test_a_data_dir_one_level_too_high(data_dir):
    with pytest.raises(UserError, match=re.escape(f"Did you mean --data_dir={data_dir}?")):
        open_split("glue/sst2", "train", str(Path(data_dir).parent))


def test_no_data_dir(monkeypatch):
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    with pytest.raises(UserError, match=r"'imdb_reviews' needs --data_dir=FOLDER .*TFDS_DATA_DIR.*synthetic_reviews"):
        open_split("imdb_reviews", "train")


def test_an_empty_folder(tmp_path):
    with pytest.raises(UserError, match="It holds no prepared datasets"):
        open_split("imdb_reviews", "train", str(tmp_path))


def copied(data_dir, tmp_path):
    shutil.copytree(Path(data_dir) / "with_dev", tmp_path / "with_dev")
    return tmp_path / "with_dev" / "1.0.0"


def test_a_format_without_random_access(data_dir, tmp_path):
    info = copied(data_dir, tmp_path) / "dataset_info.json"
    info.write_text(json.dumps(json.loads(info.read_text()) | {"fileFormat": "tfrecord"}))
    with pytest.raises(
        UserError, match=r"prepared in the format 'tfrecord', .*`tfds build with_dev --file_format=array"
    ):
        open_split("with_dev", "train", str(tmp_path))


def test_damaged_data(data_dir, tmp_path):
    folder = copied(data_dir, tmp_path)
    (shard,) = folder.glob("*-train.*")
    whole = shard.read_bytes()
    for content in (whole[:1000], b"", None):
        shard.unlink() if content is None else shard.write_bytes(content)
        with pytest.raises(UserError, match=r"The dataset in .*with_dev/1.0.0 is damaged: .*Prepare it again"):
            read_examples(open_split("with_dev", "train", str(tmp_path)))
    (folder / "dataset_info.json").write_text("{")
    with pytest.raises(UserError, match=r"The dataset in .*with_dev/1.0.0 is damaged: .*Prepare it again"):
        open_split("with_dev", "train", str(tmp_path))


@pytest.mark.parametrize(
    ("dataset", "texts", "labels"),
    [
        ("glue/sst2", ["sentence"], ["label"]),  # idx is an integer too, but there is a ClassLabel
        ("two_labels", ["text"], ["label-coarse", "label-fine"]),
        ("plain_integers", ["data/body"], ["data/good", "data/stars"]),
        ("ratings", ["text", "title"], []),
        ("numbers", [], []),
    ],
)
def test_fields_are_found_by_type(data_dir, dataset, texts, labels):
    assert fields(dataset, data_dir) == (texts, labels)


def test_pick_field():
    assert pick_field("", ["a"], "text") == "a"
    assert pick_field("b", ["a", "b"], "text") == "b"
    with pytest.raises(
        UserError, match=r"no text field 'titel'; --text_field can be: body, title. Did you mean 'title'\?"
    ):
        pick_field("titel", ["body", "title"], "text")
    with pytest.raises(UserError, match="several fields can be the label: a, b. Choose one with --label_field"):
        pick_field("", ["a", "b"], "label")
    with pytest.raises(UserError, match=r"no field can be the label. Its fields: x \(str\)"):
        pick_field("", [], "label", features={"x": "feature"})


@pytest.mark.parametrize(
    ("a", "b", "overlap"),
    [
        ("train", "validation", False),
        ("train[:90%]", "train[90%:]", False),
        ("train[:90%]", "train[80%:]", True),
        ("train", "train[3:4]", True),
        ("validation", "train+validation[5:]", True),
    ],
)
def test_overlap(data_dir, a, b, overlap):
    assert splits_overlap("glue/sst2", data_dir, a, b) is overlap
    assert splits_overlap("glue/sst2", data_dir, b, a) is overlap
