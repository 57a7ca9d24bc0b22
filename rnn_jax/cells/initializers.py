"""Initial values of weights and biases, by name and per gate.

A cell names its initializers in its fields (`w_x_init`, `w_h_init`, `b_init`): one for all gates, or a tuple with one
a gate. Every gate's block is drawn on its own, so that "orthogonal" means an orthogonal block for each gate and
"glorot_uniform" counts the fan of one gate, not of all joined together.
"""

import dataclasses
import math
import types
from typing import Any

import jax
import jax.numpy as jnp

from rnn_jax.types import Array, Float, Initializer, InitSpec, Key


def identity(key: Key, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
    """Ones on the diagonal: the IRNN's recurrent matrix (Le, Jaitly & Hinton 2015)."""
    del key
    rows, columns = shape
    return jnp.eye(rows, columns, dtype=dtype)


def torch_uniform(key: Key, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
    """U(−1/√H, 1/√H) with H the last axis: what PyTorch draws for every recurrent weight and bias."""
    bound = shape[-1] ** -0.5
    return jax.random.uniform(key, shape, dtype, -bound, bound)


@dataclasses.dataclass(frozen=True)
class Chrono:
    """log U(1, T_max − 1) with T_max = `longest`: the bias of a gate that keeps the memory (Tallec & Ollivier 2018).

    A gate that is constantly σ(b) forgets with time constant 1 + e^b, so these are spread evenly from 2 to T_max steps.
    The LSTMs have a field for it, as in LSTM(64, chrono=100); a GRU takes it as b_init=("zeros", chrono(100), "zeros").

    Raises:
      ValueError: `longest` is less than 2.
    """

    longest: int

    def __post_init__(self):
        if isinstance(self.longest, float) or self.longest < 2:
            raise ValueError(
                f"The chrono initialisation is for dependencies of at least 2 steps, an integer; got {self.longest}."
            )

    def __call__(self, key: Key, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
        """Draws."""
        return jnp.log(jax.random.uniform(key, shape, dtype, 1, self.longest - 1))


def chrono(longest: int) -> Chrono:
    """The initializer `Chrono`, by the name that the LSTMs' field has."""
    return Chrono(longest)


@dataclasses.dataclass(frozen=True)
class Drawn:
    """An initializer of `jax.nn.initializers` with options, as a value: see `initializer`."""

    name: str
    options: tuple[tuple[str, Any], ...] = ()

    def __call__(self, key: Key, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
        """Draws."""
        return getattr(jax.nn.initializers, self.name)(**dict(self.options))(key, shape, dtype)


def initializer(name: str, **options: Any) -> Drawn:
    """`jax.nn.initializers.<name>(**options)` as a value: equal ones are equal, hashable, and can be pickled.

    `LSTM(64, w_x_init=initializer("normal", stddev=0.02))`. (What the functions of jax.nn.initializers themselves
    return is a closure, of which no two are equal.)

    Raises:
      ValueError: jax.nn.initializers has no such function, or it does not take the options.
    """
    made = Drawn(name, tuple(sorted(options.items())))
    if "dtype" in options:
        raise ValueError("Weights are drawn in float32: an initializer takes no dtype.")
    try:
        hash(made)
        jax.eval_shape(lambda key: made(key, (2, 2)), jax.eval_shape(lambda: jax.random.key(0)))
    except (AttributeError, TypeError) as error:
        raise ValueError(f"initializer({name!r}, **{options}) is no call of jax.nn.initializers: {error}.") from error
    return made


INITIALIZERS: dict[str, Initializer] = {
    "glorot_uniform": jax.nn.initializers.glorot_uniform(),
    "glorot_normal": jax.nn.initializers.glorot_normal(),
    "he_normal": jax.nn.initializers.he_normal(),
    "he_uniform": jax.nn.initializers.he_uniform(),
    "lecun_normal": jax.nn.initializers.lecun_normal(),
    "normal": jax.nn.initializers.normal(0.01),
    "orthogonal": jax.nn.initializers.orthogonal(),
    "identity": identity,
    "torch_uniform": torch_uniform,
    "zeros": jax.nn.initializers.zeros,
    "ones": jax.nn.initializers.ones,
}


def check_spec(argument: str, spec: Any, num_gates: int) -> None:
    """Whether a field of a cell says how to draw `num_gates` blocks; `argument` is its name.

    Raises:
      ValueError: an unknown name, a tuple that does not have one entry a gate, or what equal cells could not share: a
        list, or a function made inside of another one, of which no two are equal.
    """
    specs = spec if isinstance(spec, tuple) else (spec,)
    if isinstance(spec, tuple) and len(spec) != num_gates:
        raise ValueError(f"{argument} is one initializer, or a tuple of {num_gates}, one a gate; got {spec!r}.")
    for one in specs:
        if isinstance(one, str) and one not in INITIALIZERS:
            raise ValueError(f"{argument}: no initializer {one!r}; there are: {', '.join(sorted(INITIALIZERS))}.")
        if isinstance(one, float) and not math.isfinite(one):
            raise ValueError(f"{argument} is a finite number; got {one}.")
        if not isinstance(one, str | int | float) and not _is_value(one):
            raise ValueError(
                f"{argument} is a name ({', '.join(sorted(INITIALIZERS))}), a number, a function defined at the top of "
                f"a module, or initializer('normal', stddev=0.02), or a tuple of these, one a gate; got {one!r}."
            )


def _is_value(function: Any) -> bool:
    """Whether equal descriptions compare equal: a function with a name of its own, or an object with an equality."""
    if isinstance(function, types.FunctionType):
        return "<" not in function.__qualname__  # <locals>, <lambda>
    comparable = type(function).__eq__ is not object.__eq__ and type(function).__hash__ is not None
    return callable(function) and (comparable or isinstance(function, type | types.BuiltinFunctionType))


def get_initializer(spec: InitSpec) -> Initializer:
    """The function behind a name, a constant or a function.

    Raises:
      ValueError: the name is not in `INITIALIZERS`.
    """
    if isinstance(spec, str):
        if spec not in INITIALIZERS:
            raise ValueError(f"No initializer {spec!r}; there are: {', '.join(sorted(INITIALIZERS))}.")
        return INITIALIZERS[spec]
    if isinstance(spec, int | float):
        return jax.nn.initializers.constant(spec)
    return spec


def init_gates(
    key: Key, spec: InitSpec | tuple[InitSpec, ...], num_gates: int, shape: tuple[int, ...]
) -> Float[Array, "..."]:
    """Draws `num_gates` blocks of `shape` and joins them on the last axis.

    Raises:
      ValueError: a tuple that does not have one entry a gate, or an unknown name.
    """
    specs = spec if isinstance(spec, tuple) else (spec,) * num_gates
    if len(specs) != num_gates:
        raise ValueError(f"One initializer a gate: {num_gates} gates, but {len(specs)} given: {specs}.")
    keys = jax.random.split(key, num_gates)
    blocks = [get_initializer(s)(k, shape, jnp.float32) for k, s in zip(keys, specs, strict=True)]
    return jnp.concatenate(blocks, axis=-1)
