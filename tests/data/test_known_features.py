"""Folders of prepared data that name code are refused before TFDS imports it."""

import json
import sys

import pytest
import tensorflow_datasets as tfds
from data.builders import prepare

from rnn_jax.data.datasets import open_split
from rnn_jax.errors import UserError


@pytest.fixture
def features(tmp_path):
    rows = {"train": [{"text": "good", "label": 1}] * 3}
    spec = {"text": tfds.features.Text(), "label": tfds.features.ClassLabel(names=["neg", "pos"])}
    prepare(str(tmp_path), "reviews", spec, rows)
    (file,) = tmp_path.rglob("features.json")
    return file


def test_tfds_own_features_are_read(features, tmp_path):
    assert len(open_split("reviews", "train", str(tmp_path))) == 3


@pytest.fixture
def evil(tmp_path, monkeypatch):
    """A module on the path, and a check that nobody imported it."""
    mark = tmp_path / "imported"
    (tmp_path / "evil_features.py").write_text(f"open({str(mark)!r}, 'w').close()")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    assert not mark.exists() and "evil_features" not in sys.modules


def refused(tmp_path):
    with pytest.raises(UserError, match="names the class evil_features.Text, which is none of TFDS's own"):
        open_split("reviews", "train", str(tmp_path))


@pytest.mark.parametrize("key", ["pythonClassName", "python_class_name", "type"])
def test_other_classes_are_refused_and_not_imported(features, tmp_path, evil, key):
    document = json.loads(features.read_text())
    inner = document["featuresDict"]["features"]["text"]
    inner.pop("pythonClassName")
    inner[key] = "evil_features.Text"
    features.write_text(json.dumps(document))
    refused(tmp_path)


def test_features_in_the_dataset_info_are_read_too(features, tmp_path, evil):
    info = features.with_name("dataset_info.json")
    document = json.loads(info.read_text())
    info.write_text(json.dumps(document | {"features": {"pythonClassName": "evil_features.Text"}}))
    refused(tmp_path)


NESTED = {"text": {"type": "evil_features.Text", "content": {}}}
DICT = "tensorflow_datasets.core.features.features_dict.FeaturesDict"


@pytest.mark.parametrize(
    "document",
    [
        {"pythonClassName": DICT, "jsonFeature": {"json": json.dumps(NESTED)}},
        {
            "type": DICT,
            "proto_cls": "tensorflow_datasets.JsonFeature",
            "content": json.dumps({"json": json.dumps(NESTED)}),
        },
    ],
)
def test_json_within_json_is_read_too(features, tmp_path, evil, document):
    features.write_text(json.dumps(document))
    refused(tmp_path)


def test_a_name_that_leads_out_of_the_folder(features, tmp_path, evil):
    (tmp_path / "root" / "reviews").mkdir(parents=True)
    features.write_text(json.dumps(NESTED["text"]))
    with pytest.raises(UserError, match="No dataset"):
        open_split("reviews/../../reviews", "train", str(tmp_path / "root"))


def test_links_are_followed_as_tfds_does(features, tmp_path, evil):
    """To the folder of a version, and to that of a dataset."""
    features.write_text(json.dumps(NESTED["text"]))
    version = features.parent
    hidden = version.rename(tmp_path / "hidden")
    version.symlink_to(hidden, target_is_directory=True)
    refused(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    dataset = version.parent.rename(tmp_path / "elsewhere" / "reviews")
    version.parent.symlink_to(dataset, target_is_directory=True)
    refused(tmp_path)


def test_linked_folders_of_known_features_are_read(features, tmp_path):
    version = features.parent
    version.symlink_to(version.rename(tmp_path / "hidden"), target_is_directory=True)
    assert len(open_split("reviews", "train", str(tmp_path))) == 3


def test_a_default_configuration_that_leads_elsewhere(features, tmp_path, evil):
    """TFDS goes where the metadata of a dataset names one, out of the folder too."""
    features.write_text(json.dumps(NESTED["text"]))
    features.parent.parent.rename(tmp_path / "hidden")
    metadata = tmp_path / "root" / "reviews" / ".config" / "metadata.json"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(json.dumps({"default_config_name": "../../hidden"}))
    refused(tmp_path / "root")
