"""Data larger than the machine's memory is refused before it is read."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
from data.builders import prepare

from rnn_jax.data import memory
from rnn_jax.data.classification import load_classification
from rnn_jax.data.classification_config import LabelledTextConfig
from rnn_jax.data.datasets import split_bytes
from rnn_jax.data.translation import load_translation
from rnn_jax.data.translation_config import PairsConfig
from rnn_jax.errors import UserError


@pytest.fixture
def machine(monkeypatch):
    """A machine of ten kilobytes."""
    monkeypatch.setattr(memory, "machine_memory", lambda: 10_000)


@pytest.fixture
def dataset(tmp_path):
    """400 reviews of 1,000 characters that no compression makes short, each a record of as many bytes and a few."""
    drawn = np.random.default_rng(0).integers(33, 127, (400, 1000), dtype=np.uint8)
    spec = {"text": tfds.features.Text(), "label": tfds.features.ClassLabel(names=["neg", "pos"])}
    rows = [{"text": bytes(row).decode(), "label": i % 2} for i, row in enumerate(drawn)]
    return prepare(str(tmp_path / "data"), "reviews", spec, {"train": rows, "test": rows[:2]})


def test_a_slice_takes_its_share_of_the_split(dataset):
    whole = split_bytes("reviews", "train", dataset)
    assert split_bytes("reviews", "train[:25%]", dataset) == pytest.approx(whole / 4, abs=1)
    assert split_bytes("reviews", "train[:50%]+train[50%:]", dataset) == pytest.approx(whole, abs=2)
    assert 330_000 < whole < 600_000  # random letters out of 94 hold 6.6 of 8 bits


def test_this_machine():
    assert 2**28 < memory.machine_memory() < 2**50


def test_a_machine_that_does_not_say_refuses_nothing(monkeypatch, tmp_path):
    """Windows has no sysconf."""
    (tmp_path / "a.tsv").write_text("text\tlabel\n")
    monkeypatch.delattr(memory.os, "sysconf")
    memory.require_memory([str(tmp_path / "a.tsv")], "", [], None)


def test_a_file_larger_than_memory(tmp_path, machine):
    file = tmp_path / "a.tsv"
    file.write_text("text\tlabel\n" + f"{'x' * 97}\t1\n" * 250)
    assert file.stat().st_size == 25_011
    with pytest.raises(UserError, match=r"takes 250% of this machine's memory \(0.0 GB\).*a.tsv.*read a part"):
        load_classification(LabelledTextConfig(train_file=str(file)), seed=0)


def test_files_of_pairs_are_added_up(tmp_path, machine):
    for name in ("a.en", "a.de"):
        (tmp_path / name).write_text("word\n" * 1200)
    with pytest.raises(UserError, match=r"takes 120% .*a.en: 0.0 GB; .*a.de: 0.0 GB"):
        load_translation(PairsConfig(train_file=f"{tmp_path}/a.en,{tmp_path}/a.de"), seed=0)


def test_a_split_larger_than_memory_is_served_in_part(dataset, monkeypatch):
    monkeypatch.setattr(memory, "machine_memory", lambda: 250_000)
    with pytest.raises(UserError, match=r"of this machine's memory.*reviews, train: 0.0 GB; reviews, test"):
        load_classification(LabelledTextConfig(dataset="reviews", data_dir=dataset), seed=0)
    part = LabelledTextConfig(dataset="reviews", data_dir=dataset, train_split="train[:10%]")
    assert len(load_classification(part, seed=0).train.texts) == 36  # a tenth of it validates
