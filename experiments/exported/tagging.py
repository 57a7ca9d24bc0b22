"""Lines of text on standard input → the words and tags of each; --pretokenized: words between spaces. jax and numpy."""

import itertools
import json
import pathlib
import re
import sys
import unicodedata

import jax.export
import numpy as np

HERE = pathlib.Path(__file__).parent
MODEL = jax.export.deserialize(bytearray((HERE / "model.stablehlo").read_bytes()))
CODEC, SETTINGS = (json.loads((HERE / f"{name}.json").read_text(encoding="utf-8")) for name in ("codec", "settings"))
WORD = re.compile(SETTINGS["word_between_spaces" if "--pretokenized" in sys.argv[1:] else "word"], re.VERBOSE)
WORDS, CHARACTERS = ({name: i for i, name in enumerate(CODEC[kind], start=2)} for kind in ("words", "characters"))
MOST, WIDTH = SETTINGS["max_words"], CODEC["max_characters"]
HEAD = (WIDTH + 1) // 2


def number(word):
    known = WORDS.get(word.lower() if CODEC["lowercase"] else word)
    return known or (WORDS.get(word.lower()) if CODEC["lowercase_unknown"] else None) or 1


def as_in_data(labels):
    """The model's spans in the spelling of the data; labels that spell none are O."""
    tags, (single, first, inside, last) = ["O"] * len(labels), SETTINGS["letters"]
    for kind, places in itertools.groupby(range(len(labels)), key=lambda i: labels[i] != "O" and labels[i][1:]):
        start, end = (places := list(places))[0], None  # kind: "-PER", or "" where there is one type, without a name
        for span in re.finditer(SETTINGS["span"], "".join(labels[i][0] for i in places)) if kind is not False else ():
            letters = single if len(span[0]) == 1 else first + inside * (len(span[0]) - 2) + last
            letters = "B" + letters[1:] if CODEC["scheme"] == "iob1" and span.start() == end else letters
            tags[start + span.start() : start + span.end()] = [letter + kind for letter in letters]
            end = span.end()
    return tags


sys.stdin.reconfigure(encoding="utf-8-sig", newline="\n")
sys.stdout.reconfigure(encoding="utf-8")
for line_number, line in enumerate(sys.stdin, start=1):
    line = unicodedata.normalize("NFC", line.removesuffix("\n"))
    sentence = [match.group() for match in WORD.finditer(line)]
    if len(sentence) > MOST:
        print(f"warning: line {line_number}: of {len(sentence)} words the first {MOST} are read", file=sys.stderr)
        sentence = sentence[:MOST]
    words, characters = np.zeros((1, MOST), np.int32), np.zeros((1, MOST, WIDTH), np.int32)
    for i, word in enumerate(sentence):
        words[0, i] = number(word)
        word = word if len(word) <= WIDTH else word[:HEAD] + word[len(word) - (WIDTH - HEAD) :]
        characters[0, i, : len(word)] = [CHARACTERS.get(character, 1) for character in word]
    lengths = np.array([len(sentence)], np.int32)
    (row,) = MODEL.call({"words": words, "characters": characters, "lengths": lengths})
    labels = [SETTINGS["labels"][i] for i in np.asarray(row)[: len(sentence)]]
    tags = as_in_data(labels) if SETTINGS["span"] else labels
    print(json.dumps({"tokens": sentence, "tags": tags}, ensure_ascii=False))
