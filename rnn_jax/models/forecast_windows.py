"""What decoders read of a batch: one row for each window, or for each target column of it, in units of its own."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnn_jax.models.window_normalization import WindowUnits
from rnn_jax.types import Array, Bool, Float, Int, Key

Batch = Mapping[str, Array]


class Windows(NamedTuple):
    """R rows of L past and H future steps and C columns; R and C as `Columns` divides them.

    past: normalised, 0 where not observed. constants: what holds for all steps, static features and embeddings.
    channel: of each row its target column, 0 where a row has all.
    """

    past: Float[Array, "R L C"]
    observed: Bool[Array, "R L C"]
    past_features: Float[Array, "R L P"]
    future_features: Float[Array, "R H F"]
    constants: Float[Array, "R S"]
    channel: Int[Array, " R"]
    units: WindowUnits


class Columns(NamedTuple):
    """How target columns become rows: all of a window in one, or each in a row of its own, window after window."""

    number: int
    independent: bool

    @property
    def in_row(self) -> int:
        """Columns that a row has."""
        return 1 if self.independent else self.number

    def split(self, values: Float[Array, "B T C"] | Bool[Array, "B T C"]) -> Array:
        """(B, T, C) → (B · C, T, 1), or as it is."""
        if not self.independent:
            return values
        return jnp.moveaxis(values, 2, 1).reshape(-1, values.shape[1], 1)

    def join(self, values: Float[Array, "R T C ..."]) -> Array:
        """The inverse of `split`: (B · C, T, 1, …) → (B, T, C, …)."""
        if not self.independent:
            return values
        rows = values.reshape(-1, self.number, values.shape[1], *values.shape[3:])
        return jnp.moveaxis(rows, 1, 2)

    def repeat(self, values: Array) -> Array:
        """What all columns of a window share, once for each of its rows."""
        return jnp.repeat(values, self.number, axis=0) if self.independent else values

    def channels(self, num_windows: int) -> Int[Array, " R"]:
        """The target column of each row."""
        if not self.independent:
            return jnp.zeros(num_windows, jnp.int32)
        return jnp.tile(jnp.arange(self.number, dtype=jnp.int32), num_windows)


class RowSizes(NamedTuple):
    """Steps and numbers a step of the rows, numbers in `constants`, and outputs for each value.

    has_missing: the mask is an input beside the values.
    """

    context_length: int
    horizon: int
    columns: int
    past_features: int
    future_features: int
    constants: int
    has_missing: bool
    outputs: int

    @property
    def values(self) -> int:
        """Numbers that the values of a step are read as."""
        return self.columns * (1 + self.has_missing)

    @property
    def outputs_a_step(self) -> int:
        """Numbers that a step's values are made of."""
        return self.columns * self.outputs


def as_inputs(
    values: Float[Array, "R *T C"], observed: Bool[Array, "R *T C"], has_missing: bool
) -> Float[Array, "R *T D"]:
    """Values, 0 where they are not observed, and where some may be missing the mask beside them."""
    values = jnp.where(observed, values, 0)
    return jnp.concatenate([values, observed.astype(values.dtype)], axis=-1) if has_missing else values


def past_inputs(windows: Windows, has_missing: bool) -> Float[Array, "R L D"]:
    """All that is known of each past step, the constants aside."""
    values = as_inputs(windows.past, windows.observed, has_missing)
    return jnp.concatenate([values, windows.past_features], axis=-1)


def at_all_steps(constants: Float[Array, "R S"], num_steps: int) -> Float[Array, "R T S"]:
    """The constants, repeated at each step."""
    rows, size = constants.shape
    return jnp.broadcast_to(constants[:, None], (rows, num_steps, size))


def row_keys(key: Key, past: Float[Array, "R L C"], channel: Int[Array, " R"]) -> Key:
    """A key for each row, made of what is in it: forecasts do not depend on the batch that a window comes in.

    The same window with the same key gets the same draws. (Of bits, as sums of floats depend on the batch.)
    """
    bits = jax.lax.bitcast_convert_type(past.astype(jnp.float32), jnp.uint32).reshape(len(past), -1)
    places = 2 * jnp.arange(bits.shape[1], dtype=jnp.uint32) + 1  # odd: no bit is lost, and order matters
    digest = (bits * places[None]).sum(axis=1, dtype=jnp.uint32) + channel.astype(jnp.uint32)
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, digest)
