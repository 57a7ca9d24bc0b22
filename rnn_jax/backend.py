"""How a sequence is computed: which backend, what its gradient saves, in which pieces; and the measured defaults.

The rules were measured on two CPU cores (BENCHMARKS.md, "What each lever gave"); on accelerators they are expectations:
large matmuls outside of the loop.
"""

import dataclasses
import functools
from typing import Any

import jax

from rnn_jax.types import Cell, Params

BACKENDS = ("auto", "plain", "deferred", "cudnn")
SAVE = ("auto", "preactivations", "carries", "borders")

# One chunk's gate derivatives should stay in the cache between the loop that writes them and the matmuls that read
# them: 1 MiB was slower by a third at hidden size 128, 4 MiB by a tenth at 256.
CHUNK_BYTES = 2 << 20


@dataclasses.dataclass(frozen=True)
class Backend:
    """Settings of `scan_cell`; every field has a default that chooses by platform and shape.

    name: "plain" is `lax.scan` and its own gradient: any cell, any transformation. "deferred" is the same forward
      loop with a custom gradient, for cells with `preactivate` and `activate` and a batch: the backward loop computes
      the carries' derivatives alone, and those of weights and inputs follow as large matmuls, a chunk of steps at a
      time. It has no forward-mode derivative (`jax.jvp`, `jax.jacfwd` of the scan itself; Hessian-vector products as
      `jvp` of `grad` are fine). "cudnn" is NVIDIA's LSTM: float32, a GPU, no mask and no resets.
    save: what the forward pass keeps for the deferred gradient. "preactivations": the carries and what enters the
      gates, at every step; nothing is computed twice but the gates' activations. "carries": those alone; what enters
      the gates is recomputed, a chunk in one matmul. "borders": one carry a chunk; the backward pass repeats the
      forward loop chunk by chunk, for the memory of about T / chunk_size + chunk_size steps.
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
        for field in ("chunk_size", "unroll"):
            value = getattr(self, field)
            if value is not None and value < 1:
                raise ValueError(f"A backend's {field} is at least 1; got {value}.")


DEFAULT = Backend()


def can_defer(cell: Cell) -> bool:
    """Whether a cell has the split of a step that the deferred gradient needs."""
    return all(hasattr(cell, method) for method in ("project", "preactivate", "activate"))


def choose_backend(wanted: Backend | str, cell: Cell, params: Params, xs_shape: tuple[int, ...], dtype: Any) -> Backend:
    """`wanted` with every "auto" replaced.

    Raises:
      ValueError: an unknown name, or a deferred gradient for a cell or inputs that it cannot compute.
    """
    chosen = Backend(wanted) if isinstance(wanted, str) else wanted
    possible = can_defer(cell) and len(xs_shape) == 3 and xs_shape[1] > 0
    if chosen.name == "auto":
        chosen = dataclasses.replace(chosen, name="deferred" if possible else "plain")
    if chosen.name != "deferred":
        return chosen
    if not possible:
        raise ValueError(
            f"The deferred gradient needs a cell with project, preactivate and activate and xs (B, T, D) with at least "
            f'one step; got {type(cell).__name__} and {xs_shape}. Use backend="plain" or "auto".'
        )
    x = jax.ShapeDtypeStruct(xs_shape[2:], dtype)
    preactivations = jax.tree.leaves(jax.eval_shape(functools.partial(_first_preactivations, cell), params, x))
    bytes_a_step = xs_shape[0] * sum(leaf.size * leaf.dtype.itemsize for leaf in preactivations)
    return dataclasses.replace(chosen, **_choices(chosen, xs_shape[1], bytes_a_step, in_parts=len(preactivations) > 1))


def _first_preactivations(cell: Any, params: Params, x: Any) -> Any:
    return cell.preactivate(params, cell.initial_carry(), cell.project(params, x))


def _choices(chosen: Backend, time: int, bytes_a_step: int, *, in_parts: bool) -> dict[str, Any]:
    on_cpu = jax.default_backend() == "cpu"
    save = "preactivations" if chosen.save == "auto" else chosen.save
    size = chosen.chunk_size
    if size is None and save == "borders":
        size = max(1, round(time**0.5))  # minimises T / chunk_size + chunk_size
    elif size is None:
        size = max(4, CHUNK_BYTES // max(bytes_a_step, 1)) if on_cpu else time
    project = chosen.project
    if project == "auto":
        # On a CPU a cell that takes the projection apart, as the GRU does, reads it in slices that do not vectorise.
        project = "step" if on_cpu and in_parts else "chunk"
    return {"save": save, "chunk_size": min(size, time), "project": project}
