"""The knobs of a forecaster beside its recurrent stack."""

import dataclasses

from rnn_jax.config import NETWORK, any_of, knob, when
from rnn_jax.errors import UserError
from rnn_jax.models.recurrent_config import RecurrentConfig, dropout_knob
from rnn_jax.models.seq2seq_config import ATTENTION_NAMES

STEPWISE, AT_ONCE = ("recursive", "attention"), ("direct", "segments")
FORECAST_DECODERS = ("direct", "recursive", "attention", "segments")
DISTRIBUTION_NAMES = ("gaussian", "student_t", "negative_binomial")  # of `losses.distributions`; a test compares them
OUTPUTS = ("point", "quantiles", *DISTRIBUTION_NAMES)
NORMALIZATIONS = ("none", "last", "revin", "mean_abs")
ATTENTION, SEGMENTS = when(decoder="attention"), when(decoder="segments")


@dataclasses.dataclass(frozen=True)
class ForecasterConfig:
    """How a window is read and normalised, how its future is written, and what is said of it: numbers or chances."""

    decoder: str = knob(
        "direct",
        "direct: the last state to all steps at once; recursive: one step ahead, fed back (with a distribution: DeepAR,"
        " Salinas et al. 2020); attention: a decoder that attends to the past, fed back; segments: SegRNN (Lin et al."
        " 2023)",
        choices=FORECAST_DECODERS,
        short=True,
        inherited=NETWORK,
    )
    output: str = knob(
        "point",
        "what is forecast of each value: a number, --quantiles, or a distribution",
        choices=OUTPUTS,
        short=True,
        inherited=NETWORK,
    )
    loss: str = knob(
        "mse", "of point forecasts, of scaled values", choices=("mse", "mae", "huber"), only_if=when(output="point")
    )
    huber_delta: float = knob(
        1.0, "errors above it count linearly", above=0.0, only_if=when(output="point", loss="huber")
    )
    quantiles: tuple[float, ...] = knob(
        (0.1, 0.25, 0.5, 0.75, 0.9),
        "levels of the quantiles that are forecast, rising",
        above=0.0,
        below=1.0,
        only_if=when(output=OUTPUTS[1:]),
        inherited=NETWORK,
    )
    num_samples: int = knob(
        100,
        "paths drawn for each forecast",
        minimum=1,
        identity=False,
        only_if=any_of(when(output="negative_binomial"), when(decoder=STEPWISE, output=DISTRIBUTION_NAMES)),
    )
    normalization: str = knob(
        "auto",
        "of each window by its own past: last: less its last value; revin: mean, deviation and a learned map (Kim et"
        " al. 2022); mean_abs: over its mean size, as DeepAR; auto: mean_abs for counts and DeepAR, else last",
        choices=("auto", *NORMALIZATIONS),
        short=True,
        inherited=NETWORK,
    )
    channels: str = knob(
        "independent",
        "joint: all target columns in one sequence; independent: each in one of its own, with the same weights",
        choices=("joint", "independent"),
        inherited=NETWORK,
    )
    channel_embedding_size: int = knob(
        8,
        "numbers that tell the network which of several columns it reads (0 = none)",
        minimum=0,
        only_if=when(channels="independent", decoder=("direct", *STEPWISE)),
        inherited=NETWORK,
    )
    series_embedding_size: int = knob(
        0, "numbers that tell the network which of many series it reads (0 = none)", minimum=0, inherited=NETWORK
    )
    segment_length: int = knob(12, "steps in a segment", minimum=1, only_if=SEGMENTS, inherited=NETWORK)
    segment_embedding_size: int = knob(
        0, "size of a segment's embedding (0 = the first hidden size)", minimum=0, only_if=SEGMENTS, inherited=NETWORK
    )
    teacher_forcing: bool = knob(
        False,
        "training feeds back the true values, as it always does with distributions, and not the network's own",
        only_if=when(decoder=STEPWISE, output="point"),
    )
    attention: str = knob(
        "additive", "how the past is attended to", choices=ATTENTION_NAMES, only_if=ATTENTION, inherited=NETWORK
    )
    attention_size: int = knob(
        0,
        "numbers in additive and concat, and in all heads (0 = the last hidden size)",
        minimum=0,
        only_if=when(decoder="attention", attention=("additive", "concat", "multi_head")),
        inherited=NETWORK,
    )
    attention_heads: int = knob(
        4, "heads", minimum=1, only_if=when(decoder="attention", attention="multi_head"), inherited=NETWORK
    )
    head_dropout: float = dropout_knob("dropout before the last projection", default=0.0)

    @property
    def is_distribution(self) -> bool:
        """Whether the output is one."""
        return self.output in DISTRIBUTION_NAMES

    @property
    def normalizer(self) -> str:
        """--normalization, with what auto means."""
        if self.normalization != "auto":
            return self.normalization
        by_size = self.output == "negative_binomial" or (self.decoder == "recursive" and self.is_distribution)
        return "mean_abs" if by_size else "last"

    @property
    def forces_teacher(self) -> bool:
        """Whether training feeds true values back."""
        return self.decoder in STEPWISE and (self.is_distribution or self.teacher_forcing)


def check_forecaster(config: ForecasterConfig, encoder: RecurrentConfig) -> None:
    """Refuses what does not go together, as far as it can be told without data.

    Raises:
      UserError: such a combination.
    """
    if encoder.bidirectional and config.decoder in ("recursive", "segments"):
        raise UserError(
            f"--bidirectional: with --decoder={config.decoder} the recurrence goes on into the future, so it reads"
            " forwards only. Leave it out, or give --decoder=direct or attention."
        )
    if config.output == "quantiles" and config.decoder in STEPWISE:
        raise UserError(
            f"--output=quantiles with --decoder={config.decoder}: what is fed back has to be a value, so the quantiles"
            " of later steps would be too close together. Give --decoder=direct or segments, or --output=student_t or"
            " another distribution, whose paths are drawn."
        )
    if config.output == "negative_binomial" and config.normalizer in ("last", "revin"):
        raise UserError(
            f"--normalization={config.normalizer} moves counts below 0, and --output=negative_binomial is of counts."
            " Give --normalization=mean_abs or none."
        )
    if list(config.quantiles) != sorted(set(config.quantiles)) or not config.quantiles:
        given = ",".join(map(str, config.quantiles))
        raise UserError(f"--quantiles={given}: levels that rise, as in 0.1,0.5,0.9.")
    if config.output == "quantiles" and 0.5 not in config.quantiles:
        given = ",".join(map(str, config.quantiles))
        raise UserError(f"--quantiles={given}: the forecast itself is the median; give 0.5 among them.")
