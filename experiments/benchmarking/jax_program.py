"""A JAX peer as a program: forward, gradient and Adam step of its `apply`, compiled ahead, with seconds and memory."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benchmarking.problems import Problem, Unsupported, stack_params

LEARNING_RATE = 1e-3
TOLERANCE = 1e-5

Apply = Callable[[Any, jax.Array, jax.Array | None], jax.Array]
"""(params, xs, lengths) → ys, where params are a pytree of the peer's own; lengths is None or (B,) int32."""


class JaxProgram:
    """What `timing` and `equivalence` see of a peer; each pass is compiled when it is first asked for.

    `forward()`, `gradient()` and `train_step()` return when their results are ready, and convert nothing. `outputs()`,
    `gradients()` and `trained()` give the same in our layout, in numpy. `without` names weights of our layout that the
    peer does not have: it computes the problem with those at zero.
    """

    def __init__(
        self,
        name: str,
        problem: Problem,
        params: Any,
        apply: Apply,
        to_ours: Callable[[Any], list[list[Any]]],
        *,
        without: tuple[str, ...] = (),
        tolerance: float = TOLERANCE,
        xs_dtype: Any = None,
    ):
        self.name, self.problem, self.to_ours = name, problem, to_ours
        self.without, self.tolerance = without, tolerance
        self.compile_seconds: dict[str, float] = {}
        self.temp_bytes: dict[str, int | None] = {}
        self._apply = apply
        self._params = jax.tree.map(jnp.asarray, params)
        self._xs = jnp.asarray(problem.xs, xs_dtype)
        self._cotangent = jnp.asarray(problem.cotangent)
        self._lengths = None if problem.lengths is None else jnp.asarray(problem.lengths)
        self._optimizer = optax.adam(LEARNING_RATE)
        self._compiled: dict[str, Any] = {}
        self._state: Any = None

    def forward(self) -> jax.Array:
        """ys (B, T, F)."""
        return jax.block_until_ready(self._call("forward", self._params, self._xs, self._lengths))

    def gradient(self) -> tuple[Any, jax.Array]:
        """∂loss/∂params in the peer's layout, and ∂loss/∂xs."""
        return jax.block_until_ready(self._call("gradient", self._params, self._xs, self._cotangent, self._lengths))

    def train_step(self) -> None:
        """One step of Adam from wherever the last one ended; its state lives here, in donated buffers."""
        if self._state is None:
            self._start_training()
        *self._state, xs_bar = self._call("train", *self._state, self._xs, self._cotangent, self._lengths)
        jax.block_until_ready((self._state, xs_bar))

    def outputs(self) -> np.ndarray:
        """ys, in numpy."""
        return np.asarray(self.forward(), np.float32)

    def gradients(self) -> tuple[Any, np.ndarray]:
        """The gradient in our layout, and that of xs, in numpy."""
        params_bar, xs_bar = self.gradient()
        return self._ours(params_bar), np.asarray(xs_bar, np.float32)

    def trained(self) -> tuple[Any, Any]:
        """The params before and after one step from the start, both in our layout."""
        self._start_training()
        self.train_step()
        trained = self._ours(self._state[0])
        self._state = None
        return self._ours(self._params), trained

    def compile(self, name: str) -> None:
        """Compiles a pass, unless it was; later calls of it take no time but their own."""
        if name in self._compiled:
            return
        if name == "train":
            if self._state is None:
                self._start_training()
            arguments = (*self._state, self._xs, self._cotangent, self._lengths)
        elif name == "gradient":
            arguments = (self._params, self._xs, self._cotangent, self._lengths)
        else:
            arguments = (self._params, self._xs, self._lengths)
        functions = {"forward": self._apply, "gradient": self._gradient, "train": self._train}
        start = time.perf_counter()
        jitted = jax.jit(functions[name], donate_argnums=(0, 1) if name == "train" else ())
        self._compiled[name] = compiled = jitted.lower(*arguments).compile()
        self.compile_seconds[name] = time.perf_counter() - start
        memory = compiled.memory_analysis()
        self.temp_bytes[name] = None if memory is None else memory.temp_size_in_bytes

    def _call(self, name: str, *arguments: Any) -> Any:
        self.compile(name)
        return self._compiled[name](*arguments)

    def _start_training(self) -> None:
        params = jax.tree.map(jnp.copy, self._params)  # donated: the originals serve the gradient
        self._state = [params, self._optimizer.init(params)]

    def _gradient(self, params, xs, cotangent, lengths):
        def loss(params, xs):
            return jnp.sum(self._apply(params, xs, lengths).astype(cotangent.dtype) * cotangent)

        return jax.grad(loss, argnums=(0, 1))(params, xs)

    def _train(self, params, state, xs, cotangent, lengths):
        params_bar, xs_bar = self._gradient(params, xs, cotangent, lengths)
        updates, state = self._optimizer.update(params_bar, state, params)
        return optax.apply_updates(params, updates), state, xs_bar

    def _ours(self, params: Any) -> Any:
        return jax.tree.map(np.asarray, stack_params(self.to_ours(params)))


def zeros_past_lengths(ys: jax.Array, lengths: jax.Array | None) -> jax.Array:
    """ys (B, T, F) with zeros in the padding, where many a peer promises nothing."""
    return ys if lengths is None else jnp.where(mask_of(lengths, ys)[..., None], ys, 0)


def zero_padding(problem: Problem, apply: Callable[[Any, jax.Array], jax.Array]) -> Apply:
    """For peers that ignore lengths: they compute the padding too, whose outputs become zeros here.

    Raises:
      Unsupported: the problem is ragged and bidirectional, where the padding would come first.
    """
    if problem.lengths is not None and problem.shape.bidirectional:
        raise Unsupported("reads the padding before the text in the backward direction")

    def padded(params, xs, lengths):
        return zeros_past_lengths(apply(params, xs), lengths)

    return padded


def mask_of(lengths: jax.Array, xs: jax.Array) -> jax.Array:
    """True at the real steps, (B, T), for lengths (B,) and xs (B, T, …)."""
    return jnp.arange(xs.shape[1], dtype=lengths.dtype)[None] < lengths[:, None]
