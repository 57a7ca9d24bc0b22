"""Signals from datasets, tables and sound files: what is found, and what is refused and how it is said."""

import dataclasses
import io
import re
import wave

import numpy as np
import PIL.Image
import pytest
import tensorflow_datasets as tfds
from data.builders import prepare

from rnn_jax.data.signals.codec import _fitted_statics
from rnn_jax.data.signals.from_dataset import read_signal_split
from rnn_jax.data.signals.from_files import read_signal_file
from rnn_jax.data.signals.parts import read_signals, to_predict
from rnn_jax.data.signals_config import FrontEndConfig, SignalConfig
from rnn_jax.errors import UserError

LABEL = tfds.features.ClassLabel(names=["no", "yes"])
RNG = np.random.default_rng(0)
PLAIN = FrontEndConfig()


def as_png(image):
    """A file: TFDS needs TensorFlow to encode arrays."""
    file = io.BytesIO()
    PIL.Image.fromarray(image[..., 0]).save(file, "png")
    file.seek(0)
    return file


def tensor(shape, dtype=np.float32):
    return tfds.features.Tensor(shape=shape, dtype=dtype)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    image = RNG.integers(0, 255, (4, 6, 1), dtype=np.uint8)
    prepare(folder, "pictures", {"picture": tfds.features.Image(shape=(4, 6, 1)), "label": LABEL},
            {"train": [{"picture": as_png(image), "label": i % 2} for i in range(4)]})  # fmt: skip
    clip = RNG.integers(0, 255, (5, 4, 6), dtype=np.uint8)
    prepare(folder, "clips", {"clip": tensor((5, 4, 6), np.uint8), "label": LABEL},
            {"train": [{"clip": clip, "label": i % 2} for i in range(4)]})  # fmt: skip
    rows = [
        {"a": RNG.normal(size=(3 + i, 2)).astype(np.float32), "b": [1.0, 2.0], "label": i % 2, "who": i // 4,
         "age": float(i)}
        for i in range(40)
    ]  # fmt: skip
    features = {"a": tensor((None, 2)), "b": tfds.features.Sequence(np.float32), "label": LABEL}
    features |= {"who": tensor((), np.int64), "age": tensor(())}
    prepare(folder, "uneven", features, {"train": rows[:32], "test": rows[30:]})
    hidden = [
        {"s": RNG.normal(size=4).astype(np.float32), "label": -1 if i in (3, 6) else i % 2, "who": i // 5,
         "age": np.nan if i in (1, 8) else 1.0 + i}
        for i in range(14)
    ]  # fmt: skip
    features = {"s": tensor((4,)), "label": LABEL, "who": tensor((), np.int64), "age": tensor(())}
    prepare(folder, "hidden", features, {"train": hidden[:10], "test": hidden[10:]})
    ended = [np.array([1, 2, np.nan, np.nan]), np.array([1, np.nan, 3, 4]), np.array([1.0, 2, 3, 4])]
    prepare(folder, "gaps", {"s": tensor((4,)), "label": LABEL},
            {"train": [{"s": s.astype(np.float32), "label": i % 2} for i, s in enumerate(ended)]})  # fmt: skip
    return str(folder)


def config(dataset, data_dir, **knobs):
    return SignalConfig(dataset=dataset, data_dir=data_dir, **knobs)


@pytest.mark.parametrize(("dataset", "steps", "frame"), [("pictures", 4, (6, 1)), ("clips", 5, (4, 6, 1))])
def test_images_and_videos_are_found_by_their_types(data_dir, dataset, steps, frame):
    signals = read_signal_split("train", config(dataset, data_dir))
    assert signals.sequences.frame == frame and set(signals.sequences.lengths) == {steps}
    assert signals.sequences.values.dtype == np.uint8
    assert sorted(signals.labels) == ["no", "no", "yes", "yes"]
    assert signals.sequences.values.std() > 50


def test_the_signal_is_named_where_several_fit(data_dir):
    with pytest.raises(UserError, match="a, b. Choose one with --signal_field"):
        read_signal_split("train", config("uneven", data_dir))
    signals = read_signal_split("train", config("uneven", data_dir, signal_field=("a",)))
    assert sorted(signals.sequences.lengths) == list(range(3, 35))


def test_groups_stay_together_and_leaks_are_told(data_dir):
    knobs = {"signal_field": ("a",), "validation_fraction": 0.25}
    data = read_signals(config("uneven", data_dir, group_field="who", static_fields=("age",), **knobs), PLAIN, 0, None)
    train, validation = data.train_part().signals, data.parts["validation"].signals
    assert len(set(validation.groups)) == 2 and not set(train.groups) & set(validation.groups)
    assert len(train.labels) == 24
    leaks = [note for note in data.notes if "WARNING" in note]
    assert len(leaks) == 1 and "share 1 of their groups (7)" in leaks[0]  # 30 and 31 are in train and in test
    codec = data.codec
    age = train.statics[:, 0]
    np.testing.assert_array_equal(age // 4, [int(group) for group in train.groups])
    np.testing.assert_array_equal(age + 3, train.sequences.lengths)
    np.testing.assert_allclose(codec.static_mean, [age.mean()], rtol=1e-6)
    values = np.concatenate([train.sequences.row(i) for i in range(24)])
    np.testing.assert_allclose(codec.mean, values.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(codec.deviation, values.std(axis=0), rtol=1e-4)
    batch = data.train_part().make_batch(np.array([3, -1]), 40)
    real = train.sequences.row(3)
    np.testing.assert_allclose(batch["signal"][0, : len(real)], (real - codec.mean) / codec.deviation, rtol=1e-4)
    assert not batch["signal"][0, len(real) :].any() and not batch["signal"][1].any()
    assert batch["lengths"].tolist() == [len(real), 0] and batch["weights"].tolist() == [1, 0]
    without = read_signals(config("uneven", data_dir, **knobs), PLAIN, 0, None)
    assert any("values of who are in both" in note for note in without.notes)


def test_missing_values_end_a_sequence_are_refused_or_held(data_dir):
    with pytest.raises(UserError, match=r"example \d: a value is missing at step 1. --missing=hold"):
        read_signal_split("train", config("gaps", data_dir))
    signals = read_signal_split("train", config("gaps", data_dir, missing="hold"))
    assert sorted(signals.sequences.row(i)[:, 0].tolist() for i in range(3)) == [[1, 1, 3, 4], [1, 2], [1, 2, 3, 4]]


def write_table(path, labels, *, ids=("a", "b", "c", "d")):
    lines = ["id,t,x,y,label"]
    for i, (name, own) in enumerate(zip(ids, labels, strict=True)):
        lines += [f"{name},{t},{10 * i + t},0.5,{label}" for t, label in enumerate(own)]
    path.write_text("\n".join(lines) + "\n")
    return SignalConfig(train_file=str(path))


def test_a_long_table_is_one_sequence_an_id(tmp_path):
    knobs = write_table(tmp_path / "a.csv", [["u"] * 3, ["v"] * 5, ["u"] * 4, ["v"] * 3])
    signals = read_signal_file(knobs.train_file, knobs)
    assert signals.form.channels == ("x", "y") and "'t' only counts" in signals.notes[0]
    assert signals.sequences.row(1)[:, 0].tolist() == [10, 11, 12, 13, 14]
    assert signals.labels == ["u", "v", "u", "v"] and signals.step_labels is None
    with pytest.raises(UserError, match=r"a.csv:2: the column 'label' holds 'u', which is no number.*--signal_field"):
        read_signal_file(knobs.train_file, dataclasses.replace(knobs, signal_field=("x", "label"), label_field="y"))
    with pytest.raises(UserError, match="no column 'class'.*--label_field"):
        read_signal_file(knobs.train_file, dataclasses.replace(knobs, label_field="class"))


def test_windows_have_the_label_of_most_of_their_steps(tmp_path):
    knobs = write_table(tmp_path / "a.csv", [["u"] * 4 + ["v"] * 6, ["v"] * 3], ids="ab")
    signals = read_signal_file(knobs.train_file, knobs)
    with pytest.raises(UserError, match="--window=STEPS"):
        signals.in_windows(0, 0)
    windows, owners = signals.in_windows(4, 3)
    assert windows.labels == ["u", "v", "v", "v"] and owners.tolist() == [0, 0, 0, 1]
    starts = [windows.sequences.row(i)[0, 0] for i in range(4)]
    assert starts == [0, 3, 6, 10] and windows.sequences.lengths.tolist() == [4, 4, 4, 3]


def write_wav(path, samples, rate=8000):
    path.parent.mkdir(exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(np.asarray(samples, "<i2").tobytes())


def test_sound_comes_from_a_folder_or_from_a_list(tmp_path):
    for label, first in (("one", 16384), ("two", -32768)):
        for i in range(2):
            write_wav(tmp_path / label / f"{i}.wav", [first, 0, 8192 + i])
    knobs = SignalConfig(train_file=str(tmp_path))
    signals = read_signal_file(knobs.train_file, knobs)
    assert signals.labels == ["one", "one", "two", "two"] and signals.form.sample_rate == 8000
    np.testing.assert_array_equal(signals.sequences.row(2)[:, 0], [-1, 0, 0.25])
    (tmp_path / "list.csv").write_text("path,label,speaker\none/0.wav,1,x\ntwo/1.wav,2,y\n")
    listed = SignalConfig(train_file=str(tmp_path / "list.csv"), group_field="speaker")
    signals = read_signal_file(listed.train_file, listed)
    assert signals.labels == ["1", "2"] and signals.groups == ["x", "y"]
    write_wav(tmp_path / "two" / "1.wav", [0], rate=16000)
    with pytest.raises(UserError) as caught:
        read_signal_file(knobs.train_file, dataclasses.replace(knobs, signal_field=("again",)))
    counted = r"3 of 8000 Hz with 1 channel \(.*0.wav, .*\); 1 of 16000 Hz with 1 channel \([^,]*two/1.wav\)"
    assert re.search(counted, str(caught.value))
    assert f"`ffmpeg -i {tmp_path}/two/1.wav -ar 8000 -ac 1 converted.wav`" in str(caught.value)


def test_examples_without_a_label_are_counted(data_dir):
    data = read_signals(config("hidden", data_dir, static_fields=("age",)), PLAIN, 0, None)
    assert len(data.train_part().labels) == 7 and len(data.parts["test"].labels) == 4
    assert "hidden train: 2 of 10 examples have no label, and are left out." in data.notes
    assert len([note for note in data.notes if "no label" in note]) == 1


def test_static_features_that_are_missing_are_counted_and_do_not_reach_their_group(data_dir):
    knobs = {"static_fields": ("age",), "validation_split": "train", "group_field": "who", "static_by_group": True}
    data = read_signals(config("hidden", data_dir, **knobs), PLAIN, 0, None)
    (note,) = [note for note in data.notes if "static feature" in note]
    assert "'age' is missing in some examples (2 of 8 in train, 2 of 8 in validation, 0 of 4 in test)" in note
    train = data.train_part()
    ages, groups = train.signals.statics[:, 0], np.asarray(train.signals.groups)
    ratios = [age / np.nanmean(ages[groups == group]) for age, group in zip(ages, groups, strict=True)]
    assert np.isnan(ratios).sum() == 2
    scaled = (ratios - np.nanmean(ratios)) / np.nanstd(ratios)
    np.testing.assert_allclose(train.statics[:, 1], np.where(np.isnan(scaled), 0, scaled), atol=1e-6)


def test_a_file_to_predict_from_has_the_form_of_training(tmp_path):
    knobs = write_table(tmp_path / "a.csv", [["u"] * 3, ["v"] * 5, ["u"] * 4, ["v"] * 3])
    codec = read_signals(knobs, PLAIN, 0, None).codec
    (tmp_path / "b.csv").write_text("y,x\n1,2\n3,4\n")
    part = to_predict(knobs, codec, str(tmp_path / "b.csv"))
    assert part.signals.sequences.row(0).tolist() == [[2, 1], [4, 3]]
    (tmp_path / "c.csv").write_text("y,z\n1,2\n3,4\n")
    with pytest.raises(UserError, match="'x'; the columns are y, z"):
        to_predict(knobs, codec, str(tmp_path / "c.csv"))
    np.save(tmp_path / "d.npy", np.zeros((4, 3)))
    with pytest.raises(UserError, match=r"the shape \(3,\), and the model reads steps of \(2,\)"):
        to_predict(knobs, codec, str(tmp_path / "d.npy"))


def test_one_gap_does_not_set_the_scale_of_a_static_feature():
    values = np.concatenate([np.linspace(-1, 1, 4999), [1e6]])[:, None]
    low, high, mean, deviation = _fitted_statics(np.concatenate([values, np.full_like(values, np.nan)], axis=1))
    assert -1 <= low[0] <= -0.997 and 0.997 <= high[0] <= 1 and abs(mean[0]) < 2e-3
    np.testing.assert_allclose(deviation, [np.sqrt(1 / 3), 1], rtol=5e-3)
    assert np.isinf([low[1], high[1]]).all() and mean[1] == 0
