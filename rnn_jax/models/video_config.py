"""The knobs of a model that predicts the frames of a video, and of how many are scored at a time."""

import dataclasses

from rnn_jax.config import ABOVE_ONE, NETWORK, knob, when

IMAGE_CELL_NAMES = ("conv_lstm", "conv_lstm_peephole")  # of `cells.IMAGE_CELLS`; a test compares them


@dataclasses.dataclass(frozen=True)
class VideoModelConfig:
    """An encoder and a forecaster of image cells, and their loss."""

    cell: str = knob(
        "conv_lstm",
        "cell of every layer: Shi et al. (2015), with peepholes or without",
        choices=IMAGE_CELL_NAMES,
        short=True,
        inherited=NETWORK,
    )
    hidden_size: tuple[int, ...] = knob(
        (64,), "channels of every layer, or one a layer", minimum=1, short=True, inherited=NETWORK
    )
    num_layers: int = knob(1, "number of recurrent layers", minimum=1, short=True, inherited=NETWORK)
    kernel_size: int = knob(3, "side of the kernels, in patches; odd", minimum=1, short=True, inherited=NETWORK)
    patch_size: int = knob(
        4, "squares of so many pixels become the channels of one place", minimum=1, short=True, inherited=NETWORK
    )
    layer_dropout: float = knob(
        0.0, "dropout between layers", minimum=0.0, maximum=0.99, only_if=when(num_layers=ABOVE_ONE)
    )
    shared_weights: bool = knob(
        False,
        "one network reads and predicts, and learns from the frames that are read as well (else the forecaster has"
        " weights of its own, as published)",
        short=True,
        inherited=NETWORK,
    )
    loss: str = knob("cross_entropy", "of each pixel", choices=("cross_entropy", "mse"), short=True)
    score_batch_size: int = knob(16, "videos that are scored, or predicted, at a time", minimum=1, identity=False)
