"""Networks that learn what is normal in series: a forecaster that reads on and on, and an autoencoder of windows.

One network for all series: what differs between these are scales and errors.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from rnn_jax.dropout import dropout
from rnn_jax.layers import Stack
from rnn_jax.losses.regression import absolute_error, squared_error
from rnn_jax.models.forecast_windows import as_inputs
from rnn_jax.modules import RNN, Linear
from rnn_jax.types import Array, Float, Key

Batch = Mapping[str, Array]
Loss = tuple[Array, Array]
ERRORS = {"mse": squared_error, "mae": absolute_error}


class StepForecaster(nnx.Module):
    """x̂_{t+h} = W_h y_t + b_h for h = 1 … H, with y the outputs of a recurrence over (x, is x known?, inputs).

    Where changes are forecast, x̂_{t+h} = x_t + W_h y_t + b_h, x_t the last known value of each column as it is: y reads
    values clipped, but what is far from 0 is no error for as long as it stays there.

    A batch has values and known (B, T, C), inputs (B, T, K); counts (B, T), which rows are normal, and weights (B,) for
    the loss. Where `known` is False the values are 0.

    Source: Malhotra et al. 2015; one network over all series, as many steps ahead as one likes.
    """

    LAYERS = (("head",), ("encoder",))

    def __init__(
        self,
        stack: Stack,
        num_columns: int,
        num_inputs: int,
        *,
        horizon: int,
        forecasts_changes: bool,
        has_missing: bool,
        clip: float,
        warm_up: int,
        loss: str = "mse",
        output_dropout: float = 0.0,
        rngs: nnx.Rngs,
    ):
        self.encoder = RNN(stack, num_columns * (1 + has_missing) + num_inputs, rngs=rngs)
        self.head = Linear(self.encoder.output_size, horizon * num_columns, rngs=rngs)
        if forecasts_changes:  # begins as the forecast that nothing changes
            self.head.w[...] = jnp.zeros_like(self.head.w[...])
        self.horizon, self.num_columns, self.has_missing = horizon, num_columns, has_missing
        self.forecasts_changes, self.clip, self.warm_up = forecasts_changes, clip, warm_up
        self.error, self.output_dropout = loss, output_dropout

    def forecasts(self, batch: Batch, carry: Any = None, key: Key | None = None) -> tuple[Any, Float[Array, "B T H C"]]:
        """The state after the last row, and what is forecast after each row for the H rows that follow it."""
        keys = (None, None) if key is None else tuple(jax.random.split(key))
        inner, last = (None, jnp.zeros_like(batch["values"][:, 0])) if carry is None else carry
        values = jnp.clip(batch["values"], -self.clip, self.clip)
        xs = jnp.concatenate([as_inputs(values, batch["known"], self.has_missing), batch["inputs"]], axis=-1)
        out = self.encoder.apply(xs, mask=batch.get("mask"), carry=inner, key=keys[0])
        ys = out.ys if keys[1] is None else dropout(out.ys, self.output_dropout, keys[1])
        found = self.head(ys).reshape(*ys.shape[:2], self.horizon, self.num_columns)
        lasts = last_known(batch["values"], batch["known"], last)
        if self.forecasts_changes:
            found = found + lasts[:, :, None]
        return (out.carry, lasts[:, -1]), found

    def loss(self, batch: Batch, key: Key | None = None) -> Loss:
        """(Σ error, number) of the known values of normal rows, from the warm-up on.

        Values are clipped here as well: one spike must not outweigh all.
        """
        targets = jnp.clip(batch["values"], -self.clip, self.clip)
        _, found = self.forecasts({**batch, "values": targets}, key=key)
        counts = _counts(batch)
        total, weight = jnp.float32(0), jnp.float32(0)
        for h in range(1, self.horizon + 1):
            first = max(self.warm_up, h)
            weights = counts[:, first:]
            forecasts = found[:, first - h : targets.shape[1] - h, h - 1]
            own = ERRORS[self.error](forecasts, targets[:, first:], weights)
            total, weight = total + own[0], weight + own[1]
        return total, weight


class WindowAutoencoder(nnx.Module):
    """Windows → the last state of a recurrence over (x, is x known?, inputs) → the values again, last step first.

    z = encoder(x_1 … x_L)    x̂_L, …, x̂_1 = W decoder(z ⊕ inputs) + b

    The decoder reads z at every step. Source: EncDec-AD, Malhotra et al. 2016, which begins the decoder with the
    encoder's state and feeds back the values, true ones in training: here it gets nothing that it did not encode.
    Batches as of `StepForecaster`.
    """

    LAYERS = (("head",), ("decoder",), ("encoder",))

    def __init__(
        self,
        encoder: Stack,
        decoder: Stack,
        num_columns: int,
        num_inputs: int,
        *,
        has_missing: bool,
        clip: float,
        loss: str = "mse",
        output_dropout: float = 0.0,
        rngs: nnx.Rngs,
    ):
        self.encoder = RNN(encoder, num_columns * (1 + has_missing) + num_inputs, rngs=rngs)
        self.decoder = RNN(decoder, self.encoder.output_size + num_inputs, rngs=rngs)
        self.head = Linear(self.decoder.output_size, num_columns, rngs=rngs)
        self.has_missing, self.clip, self.error, self.output_dropout = has_missing, clip, loss, output_dropout

    def reconstructions(self, batch: Batch, key: Key | None = None) -> Float[Array, "B T C"]:
        """The values of windows, as far as they went through the code."""
        keys = (None,) * 3 if key is None else tuple(jax.random.split(key, 3))
        values = jnp.clip(batch["values"], -self.clip, self.clip)
        xs = jnp.concatenate([as_inputs(values, batch["known"], self.has_missing), batch["inputs"]], axis=-1)
        code = self.encoder.apply(xs, key=keys[0]).last
        backwards = batch["inputs"][:, ::-1]
        codes = jnp.broadcast_to(code[:, None], (*xs.shape[:2], code.shape[-1]))
        ys = self.decoder(jnp.concatenate([codes, backwards], axis=-1), key=keys[1])
        ys = ys if keys[2] is None else dropout(ys, self.output_dropout, keys[2])
        return self.head(ys)[:, ::-1]

    def loss(self, batch: Batch, key: Key | None = None) -> Loss:
        """(Σ error, number) of the known values of normal rows."""
        targets = jnp.clip(batch["values"], -self.clip, self.clip)
        return ERRORS[self.error](self.reconstructions(batch, key), targets, _counts(batch))


def _counts(batch: Batch) -> Float[Array, "B T C"]:
    """What each value weighs in the loss."""
    counts = (batch["counts"] > 0)[..., None] & batch["known"]
    return jnp.where(counts, batch["weights"][:, None, None], 0)


def last_known(values: Float[Array, "B T C"], known: Array, before: Float[Array, "B C"]) -> Float[Array, "B T C"]:
    """Of each row and column the last value that is known up to it; `before`, where none is."""
    steps = jnp.arange(values.shape[1], dtype=jnp.int32)[None, :, None]
    at = jax.lax.cummax(jnp.where(known, steps, -1), axis=1)
    found = jnp.take_along_axis(values, jnp.maximum(at, 0), axis=1)
    return jnp.where(at >= 0, found, before[:, None])
