"""Folders of prepared data that name code are refused before TFDS imports it."""

import json
import sys

import pytest
import tensorflow_datasets as tfds
from data.builders import prepare

from rnn_jax.data.source import open_split
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


@pytest.mark.parametrize("key", ["pythonClassName", "python_class_name", "type"])
def test_other_classes_are_refused_and_not_imported(features, tmp_path, monkeypatch, key):
    mark = tmp_path / "imported"
    (tmp_path / "evil_features.py").write_text(f"open({str(mark)!r}, 'w').close()")
    monkeypatch.syspath_prepend(tmp_path)
    document = json.loads(features.read_text())
    inner = document["featuresDict"]["features"]["text"]
    inner.pop("pythonClassName")
    inner[key] = "evil_features.Text"
    features.write_text(json.dumps(document))
    with pytest.raises(UserError, match="names the class evil_features.Text, which is none of TFDS's own"):
        open_split("reviews", "train", str(tmp_path))
    assert not mark.exists() and "evil_features" not in sys.modules
