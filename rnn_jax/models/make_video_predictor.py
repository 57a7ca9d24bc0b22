"""From the knobs of a model of videos to the network."""

from flax import nnx

from rnn_jax.cells import IMAGE_CELLS
from rnn_jax.data.video.codec import VideoCodec
from rnn_jax.errors import UserError
from rnn_jax.layers import Stack
from rnn_jax.models.video_config import VideoModelConfig
from rnn_jax.models.video_predictor import VideoPredictor

_MEANS = (0.001, 0.999)  # of pixels, whose logit a bias can start at


def make_video_predictor(config: VideoModelConfig, codec: VideoCodec, rngs: nnx.Rngs) -> VideoPredictor:
    """The network for videos of this codec.

    Raises:
      UserError: patches that do not fill a frame, and as `make_image_stack`.
    """
    (height, width, channels), side = codec.frame, config.patch_size
    if height % side or width % side:
        raise UserError(f"--patch_size={side}: such patches do not fill frames of {height} × {width} pixels.")
    encoder = make_image_stack(config, (height // side, width // side))
    return VideoPredictor(
        encoder,
        None if config.shared_weights else encoder,
        (height, width, channels),
        patch_size=side,
        num_context=codec.num_context,
        divisor=codec.divisor,
        mean=float(codec.mean_frame.mean().clip(*_MEANS)),
        loss=config.loss,
        rngs=rngs,
    )


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
    if config.kernel_size % 2 == 0:
        raise UserError(f"--kernel_size={config.kernel_size}: a kernel has a middle, so its size is odd.")
    make = IMAGE_CELLS[config.cell]
    cells = (make(size, image_size=places, kernel_size=config.kernel_size) for size in sizes * (count // len(sizes)))
    return Stack(*cells, dropout=config.layer_dropout)
