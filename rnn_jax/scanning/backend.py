"""How a sequence is computed: which backend, what its gradient saves, in which pieces; and the measured defaults.

The rules were measured on two CPU cores (BENCHMARKS.md, "What each lever gave"); on accelerators they are expectations:
large matmuls outside of the loop.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from rnn_jax.cells.contract import splits, start
from rnn_jax.scanning.first_step import shapes_of
from rnn_jax.types import Cell, Inputs, Params

ANY_DEVICE = ("auto", "plain", "deferred")
BACKENDS = (*ANY_DEVICE, "cudnn")
SAVE = ("auto", "preactivations", "carries", "borders")

# On a CPU, one chunk's preactivations should stay in the cache between the loop that writes them and the matmuls that
# read them. Of chunks of 1 to 64 MiB, 2 MiB were within 3 % of the fastest (LSTM and GRU, B T D H = 64 256 100 256 and
# 32 200 128 128). At least four steps, so that the matmuls have some rows. Up to 8 MiB in all, one chunk was faster.
CHUNK_BYTES = 2 << 20
WHOLE_BYTES = 8 << 20


@dataclasses.dataclass(frozen=True)
class Backend:
    """Settings of `scan_cell`; the defaults choose by cell, platform and shape, from what was measured.

    name: "plain" is `lax.scan` and its own gradient: any cell, any transformation. "deferred" is the same forward
      loop with a custom gradient, for `SplitCell`s on floating-point numbers: the backward loop computes the carries'
      derivatives alone, and those of weights and inputs follow as large matmuls, a chunk of steps at a time. It has no
      forward-mode derivative (`jax.jvp`, `jax.jacfwd` of the scan itself; Hessian-vector products as `jvp` of `grad`
      are fine). "cudnn" is NVIDIA's LSTM: float32, a GPU, no mask and no resets.
    save: what the forward pass keeps for the deferred gradient. "preactivations": the carries and what enters the
      gates, at every step; of an LSTM, GRU or Elman cell nothing is computed twice but the activations. "carries":
      those alone; what enters the gates is recomputed, a chunk in one matmul. "borders": one carry a chunk; the
      backward pass repeats the forward loop chunk by chunk, for the memory of T / chunk_size + chunk_size steps
      (gradient checkpointing in segments, Chen et al. 2016).
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
IGNORED = {"plain": ("save", "chunk_size", "project"), "cudnn": ("save", "chunk_size", "project", "unroll")}


def as_backend(backend: Backend | str) -> Backend:
    """A backend by its name, or as it is.

    Raises:
      ValueError: an unknown name.
      TypeError: neither a name nor a backend.
    """
    if not isinstance(backend, str | Backend):
        raise TypeError(f"backend is a name ({', '.join(BACKENDS)}) or a Backend; got {backend!r}.")
    return Backend(backend) if isinstance(backend, str) else backend


def choose_backend(wanted: Backend | str, cell: Cell, params: Params, xs: Inputs) -> Backend:
    """`wanted` for xs (B, T, …), with every "auto" replaced.

    Raises:
      ValueError: an unknown name, or settings of the deferred gradient for a cell or inputs that it cannot compute.
    """
    chosen = as_backend(wanted)
    leading = jax.tree.leaves(xs)[0].shape[:2]
    if (0 in leading and chosen.name != "cudnn") or (leading[1] == 1 and chosen.name == "auto"):
        return Backend("plain")  # nothing to compute or to defer, which is no reason to refuse a layer's settings
    hashable: Any = cell
    obstacle, bytes_a_step = _look_at(hashable, *shapes_of(params), *shapes_of(xs))
    if chosen.name == "auto":
        # Settings of the deferred gradient ask for it, also where it is not the faster one.
        asked = any(getattr(chosen, name) != getattr(DEFAULT, name) for name in IGNORED["plain"])
        defer = not obstacle and (asked or getattr(cell, "defer_by_default", True))
        chosen = dataclasses.replace(chosen, name="deferred" if defer else "plain")
    ignored = [name for name in IGNORED.get(chosen.name, ()) if getattr(chosen, name) != getattr(DEFAULT, name)]
    if ignored:
        because = obstacle if chosen.name == "plain" and obstacle else f"the backend is {chosen.name}"
        raise ValueError(f"{', '.join(ignored)} would be ignored: {because}.")
    if chosen.name != "deferred":
        return chosen
    if obstacle:
        raise ValueError(f'The deferred gradient cannot be had: {obstacle}. Use backend="plain" or "auto".')
    return dataclasses.replace(chosen, **_choices(chosen, leading[1], leading[0] * bytes_a_step))


@functools.lru_cache(maxsize=1024)  # a call outside of jit looks once
def _look_at(cell: Any, params_tree: Any, params_leaves: Any, xs_tree: Any, xs_leaves: Any) -> tuple[str, int]:
    """Why the gradient cannot be deferred (empty if it can), and how many bytes the preactivations of a step have."""
    name = type(cell).__name__
    if not splits(cell):
        return f"{name} is no SplitCell, or has a step of its own", 0
    params = jax.tree.unflatten(params_tree, params_leaves)
    x = [jax.ShapeDtypeStruct(leaf.shape[2:], leaf.dtype) for leaf in xs_leaves]
    carry = jax.eval_shape(functools.partial(start, cell), params)
    if not all(jnp.issubdtype(leaf.dtype, jnp.inexact) for leaf in (*params_leaves, *x, *jax.tree.leaves(carry))):
        return f"xs, params or carry of {name} hold other than floating-point numbers", 0

    def first_preactivations(params: Params, x: Inputs) -> Any:
        return cell.preactivate(params, start(cell, params), cell.project(params, x))

    preactivations = jax.eval_shape(first_preactivations, params, jax.tree.unflatten(xs_tree, x))
    return "", sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(preactivations))


def _choices(chosen: Backend, time: int, bytes_a_step: int) -> dict[str, Any]:
    save = "preactivations" if chosen.save == "auto" else chosen.save
    project = "chunk" if chosen.project == "auto" else chosen.project
    size = chosen.chunk_size
    if size is None and save == "borders":
        size = max(1, round(time**0.5))  # grows both numbers, of borders and of steps between two, alike
    elif size is None:
        in_chunks = jax.default_backend() == "cpu" and bytes_a_step * time > WHOLE_BYTES
        size = max(4, CHUNK_BYTES // max(1, bytes_a_step)) if in_chunks else time
    return {"save": save, "chunk_size": min(size, time), "project": project}
