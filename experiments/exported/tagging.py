"""Lines of words between spaces on standard input → the label of each; needs jax and numpy."""

import json
import pathlib
import sys

import jax.export
import numpy as np

HERE = pathlib.Path(__file__).parent
MODEL = jax.export.deserialize(bytearray((HERE / "model.stablehlo").read_bytes()))
CODEC, SETTINGS = (json.loads((HERE / f"{name}.json").read_text(encoding="utf-8")) for name in ("codec", "settings"))
WORDS, CHARACTERS = ({name: i for i, name in enumerate(CODEC[kind], start=2)} for kind in ("words", "characters"))
MOST, WIDTH = SETTINGS["max_words"], CODEC["max_characters"]
HEAD = (WIDTH + 1) // 2


def number(word):
    known = WORDS.get(word.lower() if CODEC["lowercase"] else word)
    return known or (WORDS.get(word.lower()) if CODEC["lowercase_unknown"] else None) or 1


for line in sys.stdin:
    sentence = line.split()[:MOST]
    words, characters = np.zeros((1, MOST), np.int32), np.zeros((1, MOST, WIDTH), np.int32)
    for i, word in enumerate(sentence):
        words[0, i] = number(word)
        word = word if len(word) <= WIDTH else word[:HEAD] + word[len(word) - (WIDTH - HEAD) :]
        characters[0, i, : len(word)] = [CHARACTERS.get(character, 1) for character in word]
    lengths = np.array([len(sentence)], np.int32)
    (row,) = MODEL.call({"words": words, "characters": characters, "lengths": lengths})
    labels = [SETTINGS["labels"][i] for i in np.asarray(row)[: len(sentence)]]
    print(json.dumps({"tokens": sentence, "labels": labels}, ensure_ascii=False))
