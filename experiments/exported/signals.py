"""Paths of .wav, .npy or .csv files on standard input → the class of each; needs jax and numpy."""

import json
import pathlib
import sys
import wave

import jax.export
import numpy as np

HERE = pathlib.Path(__file__).parent
MODEL = jax.export.deserialize(bytearray((HERE / "model.stablehlo").read_bytes()))
CODEC, SETTINGS = (json.loads((HERE / f"{name}.json").read_text(encoding="utf-8")) for name in ("codec", "settings"))
FRAME, MOST = CODEC["frame"], SETTINGS["steps"]


def read_wav(path):
    """16-bit samples (T, channels) in −1 … 1."""
    with wave.open(path) as file:
        if file.getsampwidth() != 2:
            sys.exit(f"{path}: WAV of 16 bits a sample is needed")
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())
    # The network was trained on fractions where files were read, on integers where a dataset has them.
    return samples / np.float32(1 if CODEC["divisor"] != 1 else 32768)


def read_csv(path):
    """The columns that the model was trained on, or all of them where it knows no names."""
    with open(path, encoding="utf-8-sig") as file:
        names = [name.strip() for name in file.readline().split(",")]
        used = [names.index(channel) for channel in CODEC["channels"] if channel in names]
        return np.loadtxt(file, delimiter=",", ndmin=2, usecols=used or None)


READERS = {".wav": read_wav, ".npy": lambda path: np.load(path, allow_pickle=False), ".csv": read_csv}
sys.stdin.reconfigure(encoding="utf-8-sig", newline="\n")
sys.stdout.reconfigure(encoding="utf-8")
for line in sys.stdin:
    path = line.strip()
    values = READERS[pathlib.Path(path).suffix.lower()](path)
    values = values[:, None] if values.ndim == 1 else values
    if list(values.shape[1:]) != FRAME or not 0 < len(values) <= MOST:
        sys.exit(f"{path}: 1 to {MOST} steps of {FRAME} are read; this has {len(values)} of {list(values.shape[1:])}")
    signal = np.zeros((1, MOST, *FRAME), np.float32)
    signal[0, : len(values)] = values
    (row,) = MODEL.call({"signal": signal, "lengths": np.array([len(values)], np.int32)})
    by_name = dict(zip(CODEC["label_names"], map(float, row)))
    found = {"path": path, "label": max(by_name, key=by_name.get), "probabilities": by_name}
    print(json.dumps(found, ensure_ascii=False))
