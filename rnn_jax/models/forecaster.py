"""Forecasts of series: the past of a window → its future, with any cell of ours and several ways of writing it."""

from typing import Any

import jax.numpy as jnp
from flax import nnx

from rnn_jax.models.forecast_outputs import DistributionOutput, Forecasts, Loss, Output
from rnn_jax.models.forecast_paths import drawn_paths, drawn_values, own_points
from rnn_jax.models.forecast_stepwise import AttentionDecoder, RecursiveDecoder
from rnn_jax.models.forecast_windows import Batch, Columns, Windows, row_keys
from rnn_jax.models.window_normalization import WindowNormalization
from rnn_jax.modules import Embedding
from rnn_jax.types import Array, Key


class Forecaster(nnx.Module):
    """The future of windows, given their past.

    z = normalise(past)                              `window_normalization`, by the window's own observed past
    s = static ⊕ E_series[series] ⊕ E_channel[c]     what holds for all steps
    outputs = decoder(z, features, s)                `forecast_decoders` (at once), `forecast_stepwise` (fed back)
    forecast = denormalise(outputs)                  `forecast_outputs`

    A batch has, with B windows, L past and H future steps, and C target columns; 0 columns where a kind is missing:
        past (B, L, C), past_mask (B, L, C) True where observed; past_features (B, L, P), future_features (B, H, F), the
        first F of the P; static (B, S); series (B,); location and scale (B, C), with which value · scale + location is
        in the units of the data; weights (B,) 0 for rows that only fill the batch;
        target (B, H, C) and target_mask (B, H, C) for the loss.
    What stands where a mask is False (NaN included) reaches neither outputs nor gradients.

    Counts (a negative binomial) are read and forecast in the units of the data, whatever the scale of the batch, and
    forecasts come back in the scale of the batch, as all do.
    """

    LAYERS = (("decoder",), ("normalization", "series_embedding", "channel_embedding"))  # from the head down

    def __init__(
        self,
        decoder: Any,
        output: Output,
        normalization: WindowNormalization,
        columns: Columns,
        *,
        forces_teacher: bool = False,
        num_samples: int = 100,
        num_series: int = 1,
        series_embedding_size: int = 0,
        channel_embedding_size: int = 0,
        rngs: nnx.Rngs,
    ):
        self.decoder, self.output, self.normalization, self.columns = decoder, output, normalization, columns
        self.forces_teacher, self.num_samples = forces_teacher, num_samples
        self.series_embedding: Embedding | None = nnx.data(None)
        self.channel_embedding: Embedding | None = nnx.data(None)
        if series_embedding_size:
            self.series_embedding = nnx.data(Embedding(num_series, series_embedding_size, rngs=rngs))
        if channel_embedding_size:
            self.channel_embedding = nnx.data(Embedding(columns.number, channel_embedding_size, rngs=rngs))

    def loss(self, batch: Batch, key: Key | None) -> Loss:
        """(total, weight) of the observed targets, in the scale of the batch (nats for distributions).

        Where true values are fed back, a recurrence that goes through the past predicts that too, and its observed
        values count as well (Salinas et al. 2020). Without a key nothing is dropped.
        """
        batch = self._in_own_units(batch)
        windows = self.windows(batch)
        target, observed = (self.columns.split(batch[name]) for name in ("target", "target_mask"))
        if not self._is_stepwise:
            outputs = self.decoder(windows, key=key)
        elif self.forces_teacher:
            outputs = self.decoder.forced(windows, windows.units.normalize(target, observed), observed, key=key)
            values = jnp.concatenate([self.columns.split(batch["past"]), target], axis=1)
            target = values[:, -outputs.shape[1] :]
            observed = jnp.concatenate([windows.observed, observed], axis=1)[:, -outputs.shape[1] :]
        else:
            outputs = own_points(self.decoder, windows, key=key)
        weights = self.columns.repeat(batch["weights"])[:, None, None]
        return self.output.loss(outputs, windows.units, target, jnp.where(observed, weights, 0))

    def forecast(self, batch: Batch, key: Key | None = None) -> Forecasts:
        """point (B, H, C), and quantiles (B, H, C, Q) where the output has any, in the scale of the batch.

        The point is the network's number, the median of quantiles, or the mean of a distribution. A key is needed
        where paths are drawn; the draws of a window depend on it and on the window, not on the rest of the batch.

        Raises:
          ValueError: paths have to be drawn, and there is no key.
        """
        own = self._in_own_units(batch)
        windows = self.windows(own)
        if isinstance(self.output, DistributionOutput) and (self._is_stepwise or not self.output.has_quantiles):
            if key is None:
                raise ValueError("These forecasts are drawn: give forecast a key.")
            found = self.output.forecast_of_samples(self._samples(self.output, batch, windows, key))
        else:
            outputs = own_points(self.decoder, windows) if self._is_stepwise else self.decoder(windows)
            found = self.output.forecast(outputs, windows.units)
        found = {name: self.columns.join(values) for name, values in found.items()}
        return {name: self._in_scale_of(batch, values) for name, values in found.items()}

    def windows(self, batch: Batch) -> Windows:
        """What the decoder reads."""
        observed = batch["past_mask"]
        units = self.normalization(batch["past"], observed)
        split, repeat = self.columns.split, self.columns.repeat
        channel = self.columns.channels(len(observed))
        constants = [repeat(batch["static"])]
        if self.series_embedding is not None:
            constants.append(repeat(self.series_embedding(batch["series"])))
        if self.channel_embedding is not None:
            constants.append(self.channel_embedding(channel))
        return Windows(
            past=split(units.normalize(batch["past"], observed)),
            observed=split(observed),
            past_features=repeat(batch["past_features"]),
            future_features=repeat(batch["future_features"]),
            constants=jnp.concatenate(constants, axis=-1),
            channel=channel,
            units=type(units)(*map(split, units)),
        )

    def _samples(self, output: DistributionOutput, batch: Batch, windows: Windows, key: Key) -> Array:
        past = self.columns.split(jnp.where(batch["past_mask"], batch["past"], 0))
        keys = row_keys(key, past, windows.channel)
        if self._is_stepwise:
            return drawn_paths(self.decoder, windows, output.distribution, self.num_samples, keys)
        return drawn_values(output.distribution(self.decoder(windows), windows.units), self.num_samples, keys)

    @property
    def _is_stepwise(self) -> bool:
        return isinstance(self.decoder, RecursiveDecoder | AttentionDecoder)

    def _in_own_units(self, batch: Batch) -> Batch:
        """Counts in the units of the data, anything else as it is."""
        if not self.normalization.of_counts:
            return batch
        location, scale = batch["location"][:, None], batch["scale"][:, None]
        counts = {name: batch[name] * scale + location for name in ("past", "target") if name in batch}
        return {**batch, **counts}

    def _in_scale_of(self, batch: Batch, values: Array) -> Array:
        if not self.normalization.of_counts:
            return values
        shape = (len(values), 1, self.columns.number, *(1,) * (values.ndim - 3))
        return (values - batch["location"].reshape(shape)) / batch["scale"].reshape(shape)
