"""Who is compared: each peer by its name, imported only when it is asked for."""

import functools
import importlib
from collections.abc import Callable
from typing import Any

from experiments.benchmarking.peers import ours as our_engine
from experiments.benchmarking.problems import Problem, Unsupported

# name → module of this package, and function in it
SOURCES = {
    "ours": ("ours", "ours"),
    "naive": ("naive", "naive"),
    "flax_nnx": ("flax_peers", "flax_nnx"),
    "flax_nnx_optimized": ("flax_peers", "flax_nnx_optimized"),
    "flax_linen": ("flax_peers", "flax_linen"),
    "flax_linen_optimized": ("flax_peers", "flax_linen_optimized"),
    "haiku": ("haiku_peer", "haiku"),
    "equinox": ("equinox_peer", "equinox"),
    "keras": ("keras_peer", "keras"),
    "torch": ("torch_peer", "torch_even"),
    "torch_packed": ("torch_peer", "torch_packed"),
    "torch_padded": ("torch_peer", "torch_padded"),
    "jax_cudnn": ("jax_cudnn", "jax_cudnn"),
    "ours_cudnn": ("ours", "ours_cudnn"),
    "ours_bf16": ("ours", "ours_bf16"),
    "torch_bf16": ("torch_peer", "torch_bf16"),
    "torch_fp16": ("torch_peer", "torch_fp16"),
}
JAX_PEERS = (
    "naive",
    "flax_nnx",
    "flax_nnx_optimized",
    "flax_linen",
    "flax_linen_optimized",
    "haiku",
    "equinox",
    "keras",
    "jax_cudnn",
)
"""Who counts for "best JAX peer". Variants of ours are not among them, so that we are never our own rival."""


def _build(name: str, problem: Problem) -> Any:
    module, function = SOURCES[name]
    try:
        peer = importlib.import_module(f"{__name__}.{module}")
    except ImportError as error:
        raise Unsupported(f"not installed ({error.name})") from error
    return getattr(peer, function)(problem)


PEERS: dict[str, Callable[[Problem], Any]] = {
    **{name: functools.partial(_build, name) for name in SOURCES},
    **our_engine.rungs(),
}
"""name → function from a problem to a program, or Unsupported with the reason."""
