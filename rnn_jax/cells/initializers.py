"""Initial values of weights and biases, by name and per gate.

A cell names its initializers in its fields (`w_x_init`, `w_h_init`, `b_init`): one for all gates, or a tuple with one
a gate. Every gate's block is drawn on its own, so that "orthogonal" means an orthogonal block for each gate and
"glorot_uniform" counts the fan of one gate, not of all joined together.
"""

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


def constant(value: float) -> Initializer:
    """All entries equal `value`."""
    return jax.nn.initializers.constant(value)


def chrono(longest: int) -> Initializer:
    """log U(1, T_max − 1) with T_max = `longest`: the bias of a gate that keeps the memory (Tallec & Ollivier 2018).

    A gate that is constantly σ(b) forgets with time constant 1 + e^b, so these are spread evenly from 2 to T_max steps.
    The LSTMs have a field for it, as in LSTM(64, chrono=100); a GRU takes it as b_init=("zeros", chrono(100), "zeros").

    Raises:
      ValueError: `longest` is less than 2.
    """
    if longest < 2:
        raise ValueError(f"The chrono initialisation is for dependencies of at least 2 steps; got {longest}.")

    def initialize(key: Key, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
        return jnp.log(jax.random.uniform(key, shape, dtype, 1, longest - 1))

    return initialize


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
        return constant(spec)
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
