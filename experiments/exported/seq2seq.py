"""Lines on standard input → the greedy translation of each; needs jax, numpy and tokenizers."""

import json
import pathlib
import sys

import jax.export
import numpy as np
import tokenizers

HERE = pathlib.Path(__file__).parent
MODEL = jax.export.deserialize(bytearray((HERE / "model.stablehlo").read_bytes()))
CODEC, SETTINGS = (json.loads((HERE / f"{name}.json").read_text(encoding="utf-8")) for name in ("codec", "settings"))
SOURCE, TARGET = (tokenizers.Tokenizer.from_str(json.dumps(CODEC[side]["tokenizer"])) for side in ("source", "target"))
MOST = SETTINGS["max_tokens"]

sys.stdin.reconfigure(encoding="utf-8-sig", newline="\n")
sys.stdout.reconfigure(encoding="utf-8")
for line_number, line in enumerate(sys.stdin, start=1):
    ids = SOURCE.encode(line.strip(), add_special_tokens=False).ids
    if len(ids) > MOST:
        print(f"warning: line {line_number}: of {len(ids)} tokens the first {MOST} are read", file=sys.stderr)
        ids = ids[:MOST]
    source = np.zeros((1, MOST), np.int32)
    source[0, : len(ids)] = ids
    tokens, length = MODEL.call({"source": source, "lengths": np.array([len(ids)], np.int32)})
    written = [int(i) for i in np.asarray(tokens)[0, : int(length[0])] if i >= 4] if ids else []  # 0 to 3 are no text
    print(json.dumps({"source": line.strip(), "translation": TARGET.decode(written).strip()}, ensure_ascii=False))
