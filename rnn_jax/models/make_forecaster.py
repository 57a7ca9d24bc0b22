"""From the knobs of a forecaster and the sizes of its windows to the network."""

from typing import Any

from flax import nnx

from rnn_jax.attention import Attention, make_attention
from rnn_jax.errors import UserError
from rnn_jax.losses.distributions import DISTRIBUTIONS
from rnn_jax.models.forecast_decoders import DirectDecoder, SegmentDecoder
from rnn_jax.models.forecast_outputs import DistributionOutput, Output, PointOutput, QuantileOutput
from rnn_jax.models.forecast_sizes import SeriesSizes
from rnn_jax.models.forecast_stepwise import AttentionDecoder, RecursiveDecoder
from rnn_jax.models.forecast_windows import Columns, RowSizes
from rnn_jax.models.forecaster import Forecaster
from rnn_jax.models.forecaster_config import ForecasterConfig, check_forecaster
from rnn_jax.models.recurrent_config import RecurrentConfig
from rnn_jax.models.seq2seq_config import DecoderConfig
from rnn_jax.models.stack import make_stack
from rnn_jax.models.window_normalization import WindowNormalization


def make_forecaster(
    encoder: RecurrentConfig, config: ForecasterConfig, sizes: SeriesSizes, rngs: nnx.Rngs
) -> Forecaster:
    """The network, with fresh parameters.

    Raises:
      UserError: knobs that do not go together, or not with these windows.
    """
    check_forecaster(config, encoder)
    _check_sizes(config, sizes)
    columns = Columns(sizes.num_targets, config.channels == "independent")
    output = _output(config)
    embedded = {
        "series_embedding_size": config.series_embedding_size,
        "channel_embedding_size": _channel_embedding_size(config, columns),
    }
    row = RowSizes(
        sizes.context_length,
        sizes.horizon,
        columns.in_row,
        sizes.num_past_features,
        sizes.num_future_features,
        sizes.num_static + sum(embedded.values()),
        sizes.has_missing,
        output.size,
    )
    of_counts = config.output == "negative_binomial"
    return Forecaster(
        _decoder(encoder, config, row, columns, rngs),
        output,
        WindowNormalization(config.normalizer, sizes.num_targets, of_counts=of_counts),
        columns,
        forces_teacher=config.forces_teacher,
        num_samples=config.num_samples,
        num_series=sizes.num_series,
        rngs=rngs,
        **embedded,
    )


def _check_sizes(config: ForecasterConfig, sizes: SeriesSizes) -> None:
    only_past = sizes.num_past_features - sizes.num_future_features
    if config.decoder == "recursive" and only_past:
        raise UserError(
            f"--decoder=recursive reads the same features in past and future, and {only_past} of the"
            f" {sizes.num_past_features} past features are not known ahead. Give --decoder=attention, direct or"
            " segments, or leave these columns out."
        )
    if config.decoder == "segments" and config.segment_length > sizes.context_length:
        raise UserError(
            f"--segment_length={config.segment_length} is more than the {sizes.context_length} steps of the context:"
            f" give at most {sizes.context_length}."
        )
    if config.series_embedding_size and sizes.num_series == 1:
        raise UserError(
            f"--series_embedding_size={config.series_embedding_size} tells many series apart, and the data has one:"
            " leave it out."
        )


def _output(config: ForecasterConfig) -> Output:
    if config.output == "point":
        return PointOutput(config.loss, config.huber_delta)
    if config.output == "quantiles":
        return QuantileOutput(config.quantiles)
    return DistributionOutput(DISTRIBUTIONS[config.output], config.quantiles)


def _channel_embedding_size(config: ForecasterConfig, columns: Columns) -> int:
    """That of what is read at every step; segments have one of their own."""
    told_apart = columns.independent and columns.number > 1 and config.decoder != "segments"
    return config.channel_embedding_size if told_apart else 0


def _decoder(
    encoder: RecurrentConfig, config: ForecasterConfig, sizes: RowSizes, columns: Columns, rngs: nnx.Rngs
) -> Any:
    stack, head_dropout = make_stack(encoder), config.head_dropout
    if config.decoder == "direct":
        return DirectDecoder(stack, sizes, head_dropout=head_dropout, rngs=rngs)
    if config.decoder == "recursive":
        return RecursiveDecoder(stack, sizes, head_dropout=head_dropout, rngs=rngs)
    if config.decoder == "segments":
        return SegmentDecoder(
            stack,
            sizes,
            segment_length=config.segment_length,
            embedding_size=config.segment_embedding_size or encoder.hidden_size[0],
            num_channels=columns.number if columns.independent else 0,
            head_dropout=head_dropout,
            rngs=rngs,
        )
    written = make_stack(DecoderConfig().stack(encoder))  # as the encoder's, but forwards only
    try:
        return AttentionDecoder(
            stack, written, sizes, attention=_attention(encoder, config), head_dropout=head_dropout, rngs=rngs
        )
    except ValueError as error:
        remedy = " Give --attention=general or no --bidirectional." if config.attention == "dot" else ""
        raise UserError(f"The past cannot be attended to: {error}{remedy}") from error


def _attention(encoder: RecurrentConfig, config: ForecasterConfig) -> Attention:
    options = {"num_heads": config.attention_heads} if config.attention == "multi_head" else {}
    return make_attention(config.attention, config.attention_size or encoder.hidden_size[-1], **options)
