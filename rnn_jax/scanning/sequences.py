"""Sequences as pytrees: whether there is a batch, what shape masks have, and the keys of single steps."""

from typing import Any

import jax
import jax.numpy as jnp

from rnn_jax.masking import as_flags
from rnn_jax.types import Array, Bool, Inputs, Int, Key


def is_batch(xs: Inputs, mask: Array | None, resets: Array | None, batched: bool | None) -> bool:
    """Whether the arrays of xs begin with (B, T), or with (T,) alone.

    `batched` says it. Where it is None, one array of floating-point numbers holds vectors, (T, D) or (B, T, D); of all
    else the rank does not tell, but that of mask or resets does.

    Raises:
      ValueError: nothing tells.
    """
    if batched is not None:
        return batched
    if isinstance(xs, jax.Array) and xs.ndim in (2, 3) and jnp.issubdtype(xs.dtype, jnp.floating):
        return xs.ndim == 3
    for flags in (mask, resets):
        if flags is not None and flags.ndim in (1, 2):
            return flags.ndim == 2
    raise ValueError(
        "xs is (T, D) or (B, T, D); of anything else the shape does not say whether there is a batch: give "
        f"batched=True or False. Got {describe(xs)}."
    )


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
        raise ValueError(f"{name} has the leading shape of xs, {shape}; got {flags.shape}.")
    return flags


def false_rows(xs: Inputs) -> Bool[Array, " B"]:
    """False for every row of xs (B, …), made out of xs so that it lies on the devices that the rows lie on."""
    leaf = jax.tree.leaves(xs)[0]
    return jnp.any(jnp.zeros_like(leaf, dtype=bool), axis=tuple(range(1, leaf.ndim)))


def typed_key(key: Key) -> Key:
    """The key as `jax.random.key` makes them, also if it is one of uint32, as from `jax.random.PRNGKey`."""
    return key if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else jax.random.wrap_key_data(key)


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
    numbers = jnp.asarray(first_step, jnp.uint32) + jnp.arange(steps, dtype=jnp.uint32)
    of_steps = jax.vmap(jax.random.fold_in, in_axes=(None, 0))
    return jax.vmap(of_steps, in_axes=(0, None))(key, numbers)
