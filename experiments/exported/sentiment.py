"""Lines on standard input → the class of each; needs jax, numpy and tokenizers."""

import json
import pathlib
import sys

import jax.export
import numpy as np
import tokenizers

HERE = pathlib.Path(__file__).parent
MODEL = jax.export.deserialize(bytearray((HERE / "model.stablehlo").read_bytes()))
CODEC, SETTINGS = (json.loads((HERE / f"{name}.json").read_text(encoding="utf-8")) for name in ("codec", "settings"))
TOKENIZER = tokenizers.Tokenizer.from_str(json.dumps(CODEC["tokenizer"]["tokenizer"]))
START = TOKENIZER.encode("").ids if CODEC["tokenizer"]["tokenizer"].get("post_processor") else []
MOST = SETTINGS["max_tokens"] - len(START)
HEAD = {"head": MOST, "tail": 0, "both": (MOST + 1) // 2}[SETTINGS["truncation"]]

sys.stdin.reconfigure(encoding="utf-8-sig", newline="\n")
sys.stdout.reconfigure(encoding="utf-8")
for line in sys.stdin:
    text = line.removesuffix("\n").removesuffix("\r")
    ids = TOKENIZER.encode(text, add_special_tokens=False).ids
    ids = ids if len(ids) <= MOST else ids[:HEAD] + ids[len(ids) - (MOST - HEAD) :]
    ids = START + ids
    tokens = np.zeros((1, SETTINGS["max_tokens"]), np.int32)
    tokens[0, : len(ids)] = ids
    (row,) = MODEL.call({"tokens": tokens, "lengths": np.array([len(ids)], np.int32)})
    by_name = dict(zip(CODEC["label_names"], map(float, row)))
    found = {"text": text, "label": max(by_name, key=by_name.get), "probabilities": by_name}
    print(json.dumps(found, ensure_ascii=False))
