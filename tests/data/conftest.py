"""Prepared folders of small datasets, made once a session."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
from data.builders import prepare

TEXT = tfds.features.Text()
LABEL = tfds.features.ClassLabel(names=["negative", "positive"])


def scalar(dtype):
    return tfds.features.Tensor(shape=(), dtype=dtype)


def sentences(count, offset=0):
    return [{"text": f"text {i + offset}", "label": i % 2} for i in range(count)]


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    """One dataset for each way in which a dataset can differ from a text and a ClassLabel."""
    folder = tmp_path_factory.mktemp("tfds")
    rows = [{"sentence": f"sentence {i}", "label": i % 2, "idx": i} for i in range(40)]
    hidden = [{"sentence": f"hidden {i}", "label": -1, "idx": i} for i in range(5)]
    features = {"sentence": TEXT, "label": LABEL, "idx": scalar(np.int32)}
    prepare(folder, "glue", features, {"train": rows, "validation": rows[:6], "test": hidden}, config="sst2")
    prepare(
        folder,
        "two_labels",
        {"text": TEXT, "label-coarse": LABEL, "label-fine": tfds.features.ClassLabel(num_classes=3)},
        {"train": [{"text": f"t{i}", "label-coarse": i % 2, "label-fine": i % 3} for i in range(12)]},
    )
    prepare(
        folder,
        "plain_integers",  # an odd text type and plain integers, nested
        {
            "data": {"body": scalar(np.str_), "stars": scalar(np.int64), "good": scalar(np.bool_)},
            "price": scalar(np.float32),
        },
        {
            "train": [
                {"data": {"body": f"b{i}", "stars": 10 - i % 3, "good": i % 2 == 0}, "price": 0.5} for i in range(9)
            ]
        },
    )
    prepare(
        folder,
        "with_dev",
        {"text": TEXT, "label": LABEL},
        {"train": sentences(10), "dev": sentences(4, 100), "test": sentences(3, 200)},
    )
    prepare(
        folder,
        "ratings",
        {"text": TEXT, "title": TEXT, "rating": scalar(np.float32)},
        {"train": [{"text": "a", "title": "b", "rating": 0.5}]},
    )
    prepare(
        folder,
        "string_labels",
        {"text": TEXT, "verdict": TEXT},
        {"train": [{"text": f"t{i}", "verdict": ("yes", "no")[i % 2]} for i in range(6)]},
    )
    prepare(
        folder,
        "some_hidden",
        {"text": TEXT, "label": LABEL},
        {"train": [{"text": f"t{i}", "label": i % 3 - 1} for i in range(9)], "test": sentences(2)},
    )
    prepare(
        folder, "not_utf8", {"text": scalar(np.bytes_), "label": LABEL}, {"train": [{"text": b"caf\xe9", "label": 1}]}
    )
    prepare(folder, "numbers", {"x": scalar(np.float32)}, {"train": [{"x": 1.0}]})
    return str(folder)
