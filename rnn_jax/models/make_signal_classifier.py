"""From the knobs of a classifier of signals and its codec to the network."""

from typing import Any

from flax import nnx

from rnn_jax.augmentation import Augmentation
from rnn_jax.data.signals.codec import SignalCodec, log_mel
from rnn_jax.data.signals_config import IMAGE_ORDERS, FrontEndConfig
from rnn_jax.errors import UserError
from rnn_jax.models.recurrent_config import RecurrentConfig
from rnn_jax.models.signal_config import SignalModelConfig
from rnn_jax.models.signal_front_ends import Convolutions, Flat, FrameConvolutions, ImageSteps, Spectrogram
from rnn_jax.models.signals import SignalClassifier
from rnn_jax.models.stack import make_stack

_IMAGE_AXES, _VIDEO_AXES = 2, 3  # of a step: a row of an image; an image


def make_signal_classifier(
    encoder: RecurrentConfig, front_end: FrontEndConfig, model: SignalModelConfig, codec: SignalCodec, rngs: nnx.Rngs
) -> SignalClassifier:
    """The network.

    Raises:
      UserError: no stack can be made of the knobs, or the front end is not for such signals.
    """
    first = _front_end(front_end, codec, rngs)
    try:
        convolutions = None
        if model.convolution_sizes:
            shape = (model.convolution_sizes, model.convolution_widths, model.convolution_strides)
            convolutions = Convolutions(first.output_size, *shape, rngs=rngs)
    except ValueError as error:
        raise UserError(f"The convolutions cannot be made: {error}.") from error
    return SignalClassifier(
        make_stack(encoder),
        first,
        convolutions,
        num_classes=len(codec.label_names),
        num_static=len(codec.static_names),
        num_numbers=Flat(codec.frame).output_size,
        augmentation=Augmentation(model.jitter, model.scale_jitter, model.time_warp, model.mask_share),
        rngs=rngs,
        **model.arguments(),
    )


def _front_end(config: FrontEndConfig, codec: SignalCodec, rngs: nnx.Rngs) -> Any:
    kind, frame = config.front_end, codec.frame
    if kind in IMAGE_ORDERS:
        if len(frame) != _IMAGE_AXES or not codec.steps:
            raise UserError(f"--front_end={kind} is for images of one size; a step has the shape {frame}.")
        try:
            width, channels = frame
            return ImageSteps((codec.steps, width, channels), kind, patch_size=config.patch_size, seed=config.permute)
        except ValueError as error:
            raise UserError(f"--patch_size={config.patch_size}: {error}.") from error
    if kind == "frames":
        if len(frame) != _VIDEO_AXES:
            raise UserError(f"--front_end=frames is for videos; a step has the shape {frame}.")
        height, width, channels = frame
        return FrameConvolutions((height, width, channels), config.frame_sizes, rngs=rngs)
    if kind == "log_mel":
        return Spectrogram(log_mel(codec, config), codec.mean, codec.deviation)
    return Flat(frame)
