"""How a sequence is computed: which backend, what its gradient saves, in which pieces; and the measured defaults.

The rules were measured on two CPU cores (BENCHMARKS.md, "What each lever gave"); on accelerators they are expectations:
large matmuls outside of the loop.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from rnn_jax.types import Cell, Params

BACKENDS = ("auto", "plain", "deferred", "cudnn")
SAVE = ("auto", "preactivations", "carries", "borders")

# On a CPU, one chunk's preactivations should stay in the cache between the loop that writes them and the matmuls that
# read them. Of chunks of 1 to 64 MiB, 2 MiB were within 3 % of the fastest (LSTM and GRU, B T D H = 64 256 100 256 and
# 32 200 128 128). At least four steps, so that the matmuls have some rows. Up to 8 MiB in all, one chunk was faster.
CHUNK_BYTES = 2 << 20
WHOLE_BYTES = 8 << 20


@dataclasses.dataclass(frozen=True)
class Backend:
    """Settings of `scan_cell`; every field has a default that chooses by platform and shape.

    name: "plain" is `lax.scan` and its own gradient: any cell, any transformation. "deferred" is the same forward
      loop with a custom gradient, for cells with `preactivate` and `activate`: the backward loop computes the
      carries' derivatives alone, and those of weights and inputs follow as large matmuls, a chunk of steps at a time.
      It has no forward-mode derivative (`jax.jvp`, `jax.jacfwd` of the scan itself; Hessian-vector products as
      `jvp` of `grad` are fine). "cudnn" is NVIDIA's LSTM: float32, a GPU, no mask and no resets.
    save: what the forward pass keeps for the deferred gradient. "preactivations": the carries and what enters the
      gates, at every step; of an LSTM, GRU or Elman cell nothing is computed twice but the activations. "carries":
      those alone; what enters the gates is recomputed, a chunk in one matmul. "borders": one carry a chunk; the
      backward pass repeats the forward loop chunk by chunk, for the memory of T / chunk_size + chunk_size steps.
    chunk_size: steps a chunk, of the backward pass and of the input projection; None chooses.
    project: "step" multiplies the inputs with their weights inside of the loop, "chunk" in one matmul a chunk.
    unroll: steps joined in one iteration of the compiled loop.

    Raises:
      ValueError: an unknown name, save or project, or a chunk size below 1.
    """

    name: str = "auto"
    save: str = "auto"
    chunk_size: int | None = None
    project: str = "auto"
    unroll: int = 1

    def __post_init__(self):
        for field, allowed in (("name", BACKENDS), ("save", SAVE), ("project", ("auto", "step", "chunk"))):
            if getattr(self, field) not in allowed:
                raise ValueError(f"No {field} {getattr(self, field)!r} of a backend; there are: {', '.join(allowed)}.")
        for field, value in (("chunk_size", self.chunk_size), ("unroll", self.unroll)):
            if (field, value) != ("chunk_size", None) and not (isinstance(value, int) and value >= 1):
                raise ValueError(f"A backend's {field} is an integer of at least 1; got {value!r}.")


DEFAULT = Backend()


def as_backend(backend: Backend | str) -> Backend:
    """A backend by its name, or as it is.

    Raises:
      ValueError: an unknown name.
    """
    return Backend(backend) if isinstance(backend, str) else backend


def can_defer(cell: Cell) -> bool:
    """Whether a cell has the split of a step that the deferred gradient needs, and `step` is made of it.

    A subclass that changes `step` or `recur` alone, to add a residual say, means something else than the `activate`
    that it inherits.
    """
    classes = type(cell).__mro__

    def place(name: str) -> int | None:
        """Which of the classes defines it; 0 is the cell's own."""
        return next((place for place, kind in enumerate(classes) if name in vars(kind)), None)

    step, project, preactivate, activate = map(place, ("step", "project", "preactivate", "activate"))
    if step is None or project is None or preactivate is None or activate is None:
        return False
    recur = place("recur")
    whole = step if recur is None else min(step, recur)
    return max(preactivate, activate) <= whole


def choose_backend(wanted: Backend | str, cell: Cell, params: Params, xs_shape: tuple[int, ...], dtype: Any) -> Backend:
    """`wanted` with every "auto" replaced.

    Raises:
      ValueError: an unknown name, or settings of the deferred gradient for a cell or inputs that it cannot compute.
    """
    chosen = as_backend(wanted)
    obstacle = _obstacle(cell, params, xs_shape)
    if chosen.name == "auto":
        chosen = dataclasses.replace(chosen, name="plain" if obstacle else "deferred")
    if chosen.name != "deferred":
        if (chosen.save, chosen.chunk_size, chosen.project) != ("auto", None, "auto"):
            because = obstacle if chosen.name == "plain" and obstacle else f"the backend is {chosen.name}"
            raise ValueError(f"save, chunk_size and project are settings of the deferred gradient, but {because}.")
        return chosen
    if obstacle:
        raise ValueError(f'The deferred gradient cannot be had: {obstacle}. Use backend="plain" or "auto".')
    *batch, time, features = xs_shape
    x = jax.ShapeDtypeStruct((features,), dtype)
    preactivations = jax.tree.leaves(jax.eval_shape(functools.partial(_first_preactivations, cell), params, x))
    bytes_a_step = math.prod(batch) * sum(leaf.size * leaf.dtype.itemsize for leaf in preactivations)
    return dataclasses.replace(chosen, **_choices(chosen, time, bytes_a_step))


def _obstacle(cell: Cell, params: Params, xs_shape: tuple[int, ...]) -> str:
    """Why the gradient cannot be deferred; empty if it can."""
    if not can_defer(cell):
        return f"{type(cell).__name__} does not split its step into project, preactivate and activate"
    if 0 in xs_shape:
        return f"it is for at least one number, and xs is {xs_shape}"
    leaves = jax.tree.leaves((params, jax.eval_shape(cell.initial_carry)))
    if not all(jnp.issubdtype(leaf.dtype, jnp.inexact) for leaf in leaves):
        return f"params or carry of {type(cell).__name__} hold other than floating-point numbers"
    return ""


def _first_preactivations(cell: Any, params: Params, x: Any) -> Any:
    return cell.preactivate(params, cell.initial_carry(), cell.project(params, x))


def _choices(chosen: Backend, time: int, bytes_a_step: int) -> dict[str, Any]:
    save = "preactivations" if chosen.save == "auto" else chosen.save
    project = "chunk" if chosen.project == "auto" else chosen.project
    size = chosen.chunk_size
    if size is None and save == "borders":
        size = max(1, round(time**0.5))  # grows both numbers, of borders and of steps between two, alike
    elif size is None:
        in_chunks = jax.default_backend() == "cpu" and bytes_a_step * time > WHOLE_BYTES
        size = max(4, CHUNK_BYTES // bytes_a_step) if in_chunks else time
    return {"save": save, "chunk_size": min(size, time), "project": project}
