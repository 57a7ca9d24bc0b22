"""The knobs of a classifier of signals beside its recurrent stack, of its training and of its answers."""

import dataclasses
from typing import Any

from rnn_jax.config import GIVEN, NETWORK, knob, when
from rnn_jax.models.classifier_config import POOLINGS
from rnn_jax.models.recurrent_config import dropout_knob

WITH_CONVOLUTIONS = when(convolution_sizes=GIVEN)


@dataclasses.dataclass(frozen=True)
class SignalModelConfig:
    """Convolutions before the recurrent stack, pooling and head behind it, augmentation in training."""

    convolution_sizes: tuple[int, ...] = knob(
        (), "features of each 1-D convolution before the recurrence (none = off)", minimum=1, short=True,
        inherited=NETWORK,
    )  # fmt: skip
    convolution_widths: tuple[int, ...] = knob(
        (5,), "widths of the convolutions, one for all or one each", minimum=1, only_if=WITH_CONVOLUTIONS,
        inherited=NETWORK,
    )  # fmt: skip
    convolution_strides: tuple[int, ...] = knob(
        (2,), "steps that become one, one for all convolutions or one each", minimum=1, only_if=WITH_CONVOLUTIONS,
        inherited=NETWORK,
    )  # fmt: skip
    pooling: str = knob("last", "from all outputs to one vector", choices=POOLINGS, short=True, inherited=NETWORK)
    statistics: bool = knob(
        False, "mean, deviation, extremes and mean change of each channel are joined at the head", inherited=NETWORK
    )
    head_size: int = knob(0, "units of a hidden layer before the classes (0 = none)", minimum=0, inherited=NETWORK)
    output_dropout: float = dropout_knob("dropout before the output layer", short=True)
    label_smoothing: float = knob(0.0, "share of the target spread over all classes", minimum=0.0, maximum=0.9)
    jitter: float = knob(0.0, "in training, noise of this deviation on every number", minimum=0.0)
    scale_jitter: float = knob(0.0, "in training, factors exp(N(0, this²)) on each channel", minimum=0.0)
    time_warp: float = knob(0.0, "in training, paces exp(N(0, this²)) in each quarter of a sequence", minimum=0.0)
    mask_share: float = knob(
        0.0, "in training, up to this share of the steps is masked, in one span", minimum=0.0, maximum=1.0
    )
    compute_dtype: str = knob("float32", "dtype of activations", choices=("float32", "bfloat16"))
    num_params: int = knob(0, "solve --hidden_size for this number of parameters (0 = off)", minimum=0)

    def arguments(self) -> dict[str, Any]:
        """Arguments of the network that it takes as they are."""
        names = ("pooling", "statistics", "head_size", "output_dropout", "label_smoothing")
        return {name: getattr(self, name) for name in names} | {"dtype": self.compute_dtype}


@dataclasses.dataclass(frozen=True)
class StreamConfig:
    """How --mode=predict answers."""

    stream_every: int = knob(
        0,
        "a label after so many steps each, as if the signal came in while it is read (0 = one at its end)",
        minimum=0,
        identity=False,
        only_if=when(mode="predict"),
        short=True,
    )
