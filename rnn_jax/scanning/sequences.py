"""Sequences as pytrees: whether there is a batch, what shape masks have, and the keys of single steps."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.masking import as_flags
from rnn_jax.types import Array, Bool, Inputs, Int, Key


def as_arrays(xs: Inputs) -> Inputs:
    """xs with jax arrays as leaves; lists of numbers are arrays."""
    if isinstance(xs, list) and not any(hasattr(leaf, "shape") for leaf in jax.tree.leaves(xs)):
        return jnp.asarray(xs)
    return jax.tree.map(jnp.asarray, xs)


def is_batch(
    xs: Inputs, mask: Array | None, resets: Array | None, batched: bool | None, *, of_steps: bool = True
) -> bool:
    """Whether the arrays of xs begin with (B, T), or with (T,) alone; if not `of_steps`, with (B,) or none.

    `batched` says it. Where it is None, the shape of mask or resets does; without them, one array of floating-point
    numbers holds vectors, (T, D) or (B, T, D), and of all else nothing tells.

    Raises:
      ValueError: nothing tells.
      TypeError: `batched` is no boolean.
    """
    if batched is not None:
        check_bool("batched", batched)
        return bool(batched)
    time = 1 if of_steps else 0
    for flags in (mask, resets):
        for axes in range(1, 2 + time):
            if flags is not None and all(leaf.shape[:axes] == flags.shape for leaf in jax.tree.leaves(xs)):
                return axes == 1 + time
    if isinstance(xs, jax.Array) and xs.ndim - time in (1, 2) and jnp.issubdtype(xs.dtype, jnp.floating):
        return xs.ndim - time == 2
    vectors = "xs is (T, D) or (B, T, D)" if of_steps else "x is (D,) or (B, D)"
    raise ValueError(
        f"{vectors}, of floating-point numbers; of anything else (integers, images, several arrays) the shape does not "
        f"say whether there is a batch: give batched=True or False. Got {describe(xs)}."
    )


def check_bool(argument: str, value: Any) -> None:
    """TypeError where an argument that is yes or no is neither."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{argument} is True or False; got {value!r}.")


def leading_shape(xs: Inputs, batched: bool) -> tuple[int, ...]:
    """(T,) or (B, T), which all arrays of xs begin with.

    Raises:
      ValueError: they do not, or there is no array.
    """
    axes = 2 if batched else 1
    shapes = {leaf.shape[:axes] for leaf in jax.tree.leaves(xs)}
    if len(shapes) != 1 or len(min(shapes)) < axes:
        expected = "(B, T)" if batched else "(T,)"
        raise ValueError(f"All arrays of xs begin with the same {expected}; got {describe(xs)}.")
    return shapes.pop()


def describe(tree: Any) -> str:
    """Shapes and dtypes, for messages."""
    parts = [f"{leaf.dtype}{list(leaf.shape)}" for leaf in jax.tree.leaves(tree)]
    return ", ".join(parts) if parts else "no array at all"


def checked_flags(name: str, flags: Array | None, shape: tuple[int, ...]) -> Array | None:
    """A mask or resets as booleans (T,) or (B, T).

    Raises:
      ValueError: another shape.
      TypeError: floating-point numbers.
    """
    if flags is None:
        return None
    flags = as_flags(name, flags)
    if flags.shape != shape:
        raise ValueError(f"{name} has the leading shape of xs, {shape} (batched= says which it is); got {flags.shape}.")
    return flags


def false_rows(xs: Inputs) -> Bool[Array, " B"]:
    """False for every row of xs (B, …), made out of xs so that it lies on the devices that the rows lie on."""
    leaf = jax.tree.leaves(xs)[0]
    return jnp.any(jnp.zeros_like(leaf, dtype=bool), axis=tuple(range(1, leaf.ndim)))


def typed_key(key: Key) -> Key:
    """The key as `jax.random.key` makes them, also if it is one of uint32, as from `jax.random.PRNGKey`.

    Raises:
      ValueError: it is no key, nor an array of them.
    """
    dtype = getattr(key, "dtype", None)
    if dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return key
    if dtype != jnp.uint32:
        raise ValueError(f"key is a jax.random.key, or one a row; got {key!r}.")
    return jax.random.wrap_key_data(key)


def step_keys(key: Key, xs: Inputs, first_step: int | Int[Array, ""]) -> Key:
    """A key for every step of every row of xs (B, T, …), (B, T).

    `key` is folded by the number of the row and then by that of the step, counted from `first_step`: a row's draws
    depend neither on the other rows nor on how the steps are cut in chunks. Where there is one key a row, (B,), it is
    folded by the step alone.

    Raises:
      ValueError: neither one key nor one a row.
    """
    rows, steps = jax.tree.leaves(xs)[0].shape[:2]
    if key.shape not in ((), (rows,)):
        raise ValueError(f"key is one key, or one a row, ({rows},); got keys of shape {key.shape}.")
    no = false_rows(xs)
    if key.ndim == 0:
        key = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(
            key, no.astype(jnp.uint32) + jnp.arange(rows, dtype=jnp.uint32)
        )
    key = jnp.where(no, key, key)
    numbers = step_numbers(first_step, steps)
    of_steps = jax.vmap(jax.random.fold_in, in_axes=(None, 0))
    return jax.vmap(of_steps, in_axes=(0, None))(key, numbers)


def step_numbers(first_step: int | Int[Array, ""], steps: int) -> Array:
    """The numbers of so many steps from the first one on."""
    return jnp.asarray(first_step, jnp.uint32) + jnp.arange(steps, dtype=jnp.uint32)


def check_first_step(first_step: int | Int[Array, ""]) -> None:
    """That the number of the first step is one.

    Raises:
      ValueError: it is negative.
      TypeError: it is no integer, or more than one.
    """
    if not jnp.issubdtype(jnp.result_type(first_step), jnp.integer) or jnp.ndim(first_step) != 0:
        raise TypeError(f"first_step is one integer for all rows; got {first_step!r}.")
    if isinstance(first_step, int) and first_step < 0:
        raise ValueError(f"first_step counts from 0; got {first_step}.")
