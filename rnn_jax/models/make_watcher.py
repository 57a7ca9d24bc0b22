"""From the knobs of what watches a series to the network."""

from flax import nnx

from rnn_jax.data.anomaly.codec import AnomalyCodec
from rnn_jax.data.anomaly.windows import Window
from rnn_jax.data.anomaly_config import AnomalyConfig
from rnn_jax.errors import UserError
from rnn_jax.models.anomaly_config import WatcherConfig
from rnn_jax.models.recurrent_config import RecurrentConfig
from rnn_jax.models.stack import make_stack
from rnn_jax.models.watchers import StepForecaster, WindowAutoencoder

Watcher = StepForecaster | WindowAutoencoder


def make_watcher(
    encoder: RecurrentConfig, config: WatcherConfig, data: AnomalyConfig, codec: AnomalyCodec, rngs: nnx.Rngs
) -> Watcher:
    """The network of these knobs, for the columns of the codec."""
    sizes = len(codec.target), len(codec.inputs)
    if config.model == "autoencoder":
        stacks = make_stack(encoder), make_stack(encoder)
        return WindowAutoencoder(
            *stacks, *sizes, has_missing=codec.has_missing, clip=config.clip_inputs, loss=config.loss,
            output_dropout=config.output_dropout, rngs=rngs,
        )  # fmt: skip
    return StepForecaster(
        make_stack(encoder),
        *sizes,
        horizon=config.horizon,
        forecasts_changes=config.forecast == "change",
        has_missing=codec.has_missing,
        clip=config.clip_inputs,
        warm_up=data.warm_up,
        loss=config.loss,
        output_dropout=config.output_dropout,
        rngs=rngs,
    )


def check_watcher(encoder: RecurrentConfig, config: WatcherConfig, data: AnomalyConfig) -> None:
    """Refuses what does not go together.

    Raises:
      UserError: a forecaster that reads backwards; windows without a step that counts.
    """
    make_stack(encoder)
    if config.model != "forecaster":
        return
    if encoder.bidirectional:
        raise UserError("--bidirectional: a forecaster reads forwards only. Leave it out, or give --model=autoencoder.")
    if max(data.warm_up, config.horizon) >= data.bptt:
        raise UserError(
            f"--bptt={data.bptt}: no forecast of a window counts with --warm_up={data.warm_up} and"
            f" --horizon={config.horizon}. Raise it, or lower these."
        )


def window_of(config: WatcherConfig, data: AnomalyConfig) -> Window:
    """The windows of these knobs."""
    if config.model == "autoencoder":
        return Window(data.window_length, data.stride or max(data.window_length // 4, 1), True)
    first = max(data.warm_up, 1)  # of the first step there is no forecast
    return Window(data.bptt, data.stride or max(data.bptt // 2, 1), False, first)
