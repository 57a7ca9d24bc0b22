"""From the knobs of a model of videos to the network."""

from flax import nnx

from rnn_jax.cells import IMAGE_CELLS
from rnn_jax.data.video.codec import VideoCodec
from rnn_jax.errors import UserError
from rnn_jax.layers import Stack
from rnn_jax.models.video_config import VideoModelConfig
from rnn_jax.models.video_predictor import VideoPredictor


def make_video_predictor(config: VideoModelConfig, codec: VideoCodec, rngs: nnx.Rngs) -> VideoPredictor:
    """The network for videos of this codec.

    Raises:
      UserError: patches that do not fill a frame, an even kernel, sizes that are not one a layer.
    """
    height, width, channels = codec.frame
    places = (height // config.patch_size, width // config.patch_size)
    try:
        if not all(places):
            raise ValueError(f"a patch of {config.patch_size} is larger than frames of {height} × {width}")
        encoder = make_image_stack(config, places)
        return VideoPredictor(
            encoder,
            None if config.shared_weights else encoder,
            (height, width, channels),
            patch_size=config.patch_size,
            num_context=codec.num_context,
            divisor=codec.divisor,
            loss=config.loss,
            rngs=rngs,
        )
    except ValueError as error:
        raise UserError(f"--patch_size={config.patch_size}: {error}.") from error


def make_image_stack(config: VideoModelConfig, places: tuple[int, int]) -> Stack:
    """The layers for images of so many places.

    Raises:
      UserError: an even kernel, sizes that are not one a layer.
    """
    sizes, count = config.hidden_size, config.num_layers
    if len(sizes) not in (1, count):
        raise UserError(
            f"--hidden_size={','.join(map(str, sizes))} has {len(sizes)} entries for --num_layers={count}: give one for"
            f" all layers, or {count}."
        )
    make = IMAGE_CELLS[config.cell]
    try:
        cells = [make(size, image_size=places, kernel_size=config.kernel_size) for size in sizes * (count // len(sizes))]
        return Stack(*cells, dropout=config.layer_dropout)
    except ValueError as error:
        raise UserError(f"--kernel_size={config.kernel_size}: {error}") from error
