"""Dropout, with explicit keys: on activations, on whole sequences, on words, on embedding rows, on recurrent weights.

All are inverted dropout: what is kept is divided by 1 − rate, so that evaluation needs no rescaling. A rate of 0 or a
key of None leaves the argument as it is, a rate of 1 leaves zeros (of words: the unknown one). A rate may be traced: a
number that a compiled program takes as an argument. Any other is checked: ValueError outside of [0, 1].
"""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from rnn_jax.numerics import known_number
from rnn_jax.types import Array, Float, Int, Key

P = TypeVar("P")
Rate = float | Float[Array, ""]


def dropout(x: Float[Array, "..."], rate: Rate, key: Key | None, *, shared_axes: tuple[int, ...] = ()):
    """x ⊙ m / (1 − rate), m ~ Bernoulli(1 − rate), one m along `shared_axes` (Srivastava et al. 2014)."""
    check_rate("rate", rate)
    if key is None or is_off(rate):
        return x
    shape = list(x.shape)
    for axis in shared_axes:
        shape[axis] = 1
    keep = jax.random.bernoulli(key, 1.0 - rate, shape) | jnp.zeros_like(x, dtype=bool)  # where x lies, on a mesh
    return jnp.where(keep, x / kept_share(rate, x.dtype), jnp.zeros_like(x))


def check_rate(name: str, rate: Rate) -> None:
    """That a rate is a probability; a traced one cannot be checked.

    Raises:
      ValueError: it is below 0, above 1, or NaN.
    """
    try:
        number = known_number(rate)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is a probability of dropping, in [0, 1]; got {rate!r}.") from error
    if number is not None and not 0.0 <= number <= 1.0:
        raise ValueError(f"{name} is a probability of dropping, in [0, 1]; got {number:g}.")


def kept_share(rate: Rate, dtype: Any) -> Float[Array, ""]:
    """1 − rate, which whatever is kept is divided by; 1 where nothing is, as 0 / 0 would be NaN in the gradient."""
    share = jnp.asarray(1.0 - rate, dtype)
    return jnp.where(share > 0, share, 1)


def is_off(rate: Rate) -> bool:
    """Whether the rate is known to be 0; a traced one is not known."""
    return isinstance(rate, int | float) and rate == 0.0


def variational_dropout(xs: Float[Array, "*B T D"], rate: Rate, key: Key | None) -> Float[Array, "*B T D"]:
    """The same units of a sequence are dropped at each of its steps (Gal & Ghahramani 2016)."""
    return dropout(xs, rate, key, shared_axes=(-2,))


def word_dropout(tokens: Int[Array, "..."], rate: Rate, key: Key | None, *, unknown_id: int) -> Int[Array, "..."]:
    """Replaces each token by `unknown_id` with probability `rate` (Dai & Le 2015); nothing is rescaled."""
    check_rate("rate", rate)
    if key is None or is_off(rate):
        return tokens
    return jnp.where(jax.random.bernoulli(key, rate, tokens.shape), jnp.asarray(unknown_id, tokens.dtype), tokens)


def embedding_dropout(table: Float[Array, "V F"], rate: Rate, key: Key | None) -> Float[Array, "V F"]:
    """Drops whole rows of the embedding table: a word is missing wherever it occurs (Gal & Ghahramani 2016)."""
    return dropout(table, rate, key, shared_axes=(-1,))


def recurrent_dropout(params: P, rate: Rate, key: Key | None, *, names: tuple[str, ...] = ("w_h",)) -> P:
    """DropConnect on a cell's recurrent weights: one draw for all steps and rows (Merity et al. 2018).

    `names` are those of the weights in `params`, a cell's `recurrent_weights`: fields or keys, joined by dots where
    they lie deeper.

    Raises:
      ValueError: there are no names, the params have no such weights, or the rate is none.
    """
    check_rate("rate", rate)
    if key is None or is_off(rate):
        return params
    named, structure = jax.tree_util.tree_flatten_with_path(params)
    paths = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in named]
    missing = sorted(set(names) - set(paths))
    if missing or not names:
        raise ValueError(
            f"Recurrent dropout acts on the params that a cell names in `recurrent_weights`, {names or 'here none'}; "
            f"the params are: {', '.join(paths)}. Name them, or set it to 0 for this cell."
        )
    keys = dict(zip(names, [key] if len(names) == 1 else jax.random.split(key, len(names))))
    leaves = [dropout(leaf, rate, keys[path]) if path in keys else leaf for path, (_, leaf) in zip(paths, named)]
    return jax.tree.unflatten(structure, leaves)
