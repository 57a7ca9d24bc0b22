"""The knobs of what watches a series beside its recurrent stack, of its scores and of its thresholds."""

import dataclasses

from rnn_jax.config import NETWORK, knob, when
from rnn_jax.models.recurrent_config import dropout_knob

MODELS, SCORES, THRESHOLDS = (
    ("forecaster", "autoencoder"),
    ("gaussian", "smoothed", "likelihood"),
    ("quantile", "dynamic"),
)
FORECASTER, DYNAMIC = when(model="forecaster"), when(threshold="dynamic")
SPAN_OF_ERRORS = 105.0  # 0.05 · 2,100 rows, as in Hundman et al. 2018


@dataclasses.dataclass(frozen=True)
class WatcherConfig:
    """What the network says of each row: forecasts of it, or what an autoencoder makes of the windows around it."""

    model: str = knob(
        "forecaster",
        "forecaster: reads on and says what comes next (Malhotra et al. 2015); autoencoder: windows to a vector and"
        " back (EncDec-AD, Malhotra et al. 2016)",
        choices=MODELS,
        short=True,
        inherited=NETWORK,
    )
    horizon: int = knob(
        1, "steps ahead that are forecast", minimum=1, only_if=FORECASTER, short=True, inherited=NETWORK
    )
    forecast: str = knob(
        "value", "of what comes: the values, or their changes from the last one that is known",
        choices=("value", "change"), only_if=FORECASTER, inherited=NETWORK,
    )  # fmt: skip
    loss: str = knob(
        "mse",
        "of scaled values; mae: of series that stand still and jump now and then, as scores are of absolute errors",
        choices=("mse", "mae"),
    )
    clip_inputs: float = knob(
        5.0, "scaled values farther from 0 are read as this far; errors are of the values as they are", above=0.0,
        inherited=NETWORK,
    )  # fmt: skip
    output_dropout: float = dropout_knob("dropout before the output layer")


@dataclasses.dataclass(frozen=True)
class DetectorConfig:
    """How errors become scores, and from where on these are flagged. Labels have no part in it."""

    score: str = knob(
        "gaussian",
        "gaussian: how far out an error lies under the normal ones, Mahalanobis distance (Malhotra et al. 2015);"
        " smoothed: mean absolute error, smoothed (Hundman et al. 2018); likelihood: how many deviations that"
        " lies from the mean of those before it, so that it adapts (as Lavin & Ahmad 2015)",
        choices=SCORES,
        short=True,
    )
    smoothing_span: float | None = knob(
        None, "rows of the exponential smoothing of scores, 1 for none (default: 105 of smoothed, 1 of others)",
        minimum=1.0,
    )  # fmt: skip
    errors_by: str = knob(
        "series",
        "whose normal errors the Gaussian is fitted to: those of each series, or of all together",
        choices=("series", "all"),
        only_if=when(score="gaussian"),
    )
    threshold: str = knob(
        "quantile",
        "quantile: of the normal scores; dynamic: what makes the rest smallest and calmest, with pruning (Hundman et"
        " al. 2018)",
        choices=THRESHOLDS,
        short=True,
    )
    quantile: float = knob(
        0.999, "share of the normal scores that are not flagged", minimum=0.0, maximum=1.0,
        only_if=when(threshold="quantile"), short=True,
    )  # fmt: skip
    threshold_by: str = knob(
        "series",
        "whose normal scores the quantile is of: those of each series, or of all together",
        choices=("series", "all"),
        only_if=when(threshold="quantile"),
    )
    dynamic_window: int = knob(2100, "last rows that a dynamic threshold is chosen by", minimum=2, only_if=DYNAMIC)
    dynamic_batch: int = knob(70, "rows that are decided at once", minimum=1, only_if=DYNAMIC)
    dynamic_buffer: int = knob(100, "rows beside high errors that are flagged too", minimum=0, only_if=DYNAMIC)
    dynamic_gap: float = knob(
        0.13, "share by which the errors of a flagged span exceed what is not flagged", minimum=0.0, only_if=DYNAMIC
    )

    @property
    def span(self) -> float:
        """--smoothing_span, or what it is by default."""
        return self.smoothing_span or (SPAN_OF_ERRORS if self.score == "smoothed" else 1.0)


@dataclasses.dataclass(frozen=True)
class WatchingConfig:
    """How --mode=predict answers."""

    stream: bool = knob(
        False,
        "a row is answered as soon as it is read, with what is known up to it; otherwise the table is read as a whole",
        identity=False,
        only_if=when(mode="predict"),
        short=True,
    )
