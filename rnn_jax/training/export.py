"""--mode=export: a trained model as a folder that answers with jax and numpy (and, for text, tokenizers) alone.

model.stablehlo   the network with its weights, for one input (`jax.export`)
codec.json        as in the run directory
settings.json     what it needs beside that
answer.py         a short script: lines on standard input, JSON lines out
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import export as jax_export

from rnn_jax.errors import UserError
from rnn_jax.files import explain_write_errors, write_atomically
from rnn_jax.training.task import Trained

PLATFORMS = ("cpu", "cuda", "tpu")


def export(trained: Trained, workdir: Path) -> Path:
    """Writes the folder `export` into the run directory; says where. UserError for a task that has no exported form."""
    form = trained.task.exported
    if form is None:
        raise UserError(f"--mode=export: {trained.task.name} has no exported form.")
    function, shapes, script, settings = form(trained)
    folder = workdir / "export"
    with explain_write_errors(folder):
        folder.mkdir(exist_ok=True)
        (folder / "model.stablehlo").write_bytes(serialised(trained, function, shapes))
        trained.codec.save(folder)
        write_atomically(folder / "settings.json", json.dumps(settings, ensure_ascii=False) + "\n")
        shutil.copyfile(script, folder / "answer.py")
    print(f"Exported to {folder}; try: echo … | python {folder / 'answer.py'}", flush=True)
    return folder


def serialised(trained: Trained, function: Any, shapes: Mapping[str, Any]) -> bytes:
    """function(model, batch) for a batch of these shapes, with the weights in it."""
    params = jax.tree.map(jnp.asarray, jax.device_get(trained.params))

    def apply(batch: dict[str, jax.Array]) -> Any:
        return function(nnx.merge(trained.graph, params), batch)

    return bytes(jax_export.export(jax.jit(apply), platforms=PLATFORMS)(dict(shapes)).serialize())
