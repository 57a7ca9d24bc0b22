"""From a signal to a sequence of vectors: images in some order, frames of a video, spectrograms, convolutions in time.

Each maps (signal (B, T, *frame), lengths (B,)) → (xs (B, T', F), lengths' (B,)), and has `output_size` F. What can be
read as it comes in has a `stride` of steps that become one, and `context`: how many steps before these it looks back;
it looks at none behind them.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rnn_jax.data.batching import permutation
from rnn_jax.masking import lengths_to_mask
from rnn_jax.modules import Linear
from rnn_jax.spectrogram import LogMel
from rnn_jax.types import Array, Float, Int

Vectors = tuple[Array, Array]
_SIDE = 3  # of a convolution of a frame


class Flat(nnx.Module):
    """The numbers of a step in one row, whatever its shape."""

    def __init__(self, frame: tuple[int, ...]):
        self.output_size, self.stride, self.context = math.prod(frame), 1, 0

    def __call__(self, signal: Float[Array, "B T ..."], lengths: Int[Array, " B"]) -> Vectors:
        """(B, T, *frame) → (B, T, F)."""
        return signal.reshape(*signal.shape[:2], self.output_size), lengths


class ImageSteps(nnx.Module):
    """An image (H, W, C) as a sequence: its rows, its pixels row by row, or its square patches row by row.

    seed: 0, or that of a permutation of the steps, the same for all images.

    Raises:
      ValueError: patches that do not fill the image.
    """

    stride = None  # an image is there as a whole

    def __init__(self, shape: tuple[int, int, int], order: str, *, patch_size: int = 1, seed: int = 0):
        height, width, channels = shape
        self.patch = {"rows": (1, width), "pixels": (1, 1)}.get(order, (patch_size, patch_size))
        if height % self.patch[0] or width % self.patch[1]:
            raise ValueError(f"patches of {patch_size} × {patch_size} do not fill an image of {height} × {width}")
        self.shape, self.seed = shape, seed
        self.num_steps = height * width // math.prod(self.patch)
        self.output_size = math.prod(self.patch) * channels

    def __call__(self, signal: Float[Array, "B H W C"], lengths: Int[Array, " B"]) -> Vectors:
        """(B, H, W, C) → (B, T', F); a row of length 0 stays one."""
        height, width, channels = self.shape
        high, wide = self.patch
        tiles = signal.reshape(-1, height // high, high, width // wide, wide, channels).swapaxes(2, 3)
        steps = tiles.reshape(-1, self.num_steps, self.output_size)
        if self.seed:
            steps = steps[:, permutation(self.num_steps, self.seed)]
        return steps, jnp.where(lengths > 0, self.num_steps, 0).astype(lengths.dtype)


class FrameConvolutions(nnx.Module):
    """relu(W ∗ x + b) of each frame (H, W, C), 3 × 3 and every other place, several times; then one linear layer."""

    stride, context = 1, 0

    def __init__(self, frame: tuple[int, int, int], sizes: tuple[int, ...], *, rngs: nnx.Rngs):
        height, width, channels = frame
        weights = []
        for size in sizes:
            shape = (_SIDE, _SIDE, channels, size)
            weights.append(nnx.Param(jax.nn.initializers.he_normal()(rngs.params(), shape)))
            height, width, channels = -(-height // 2), -(-width // 2), size
        self.weights = nnx.data(weights)
        self.biases = nnx.data([nnx.Param(jnp.zeros(size)) for size in sizes])
        self.output_size = sizes[-1]
        self.output = Linear(height * width * channels, self.output_size, rngs=rngs)

    def __call__(self, signal: Float[Array, "B T H W C"], lengths: Int[Array, " B"]) -> Vectors:
        """(B, T, H, W, C) → (B, T, F)."""
        ys = signal.reshape(-1, *signal.shape[2:])
        for w, b in zip(self.weights, self.biases, strict=True):
            numbers = ("NHWC", "HWIO", "NHWC")
            ys = jax.lax.conv_general_dilated(ys, w.get_value(), (2, 2), "SAME", dimension_numbers=numbers)
            ys = jax.nn.relu(ys + jnp.broadcast_to(b.get_value(), ys.shape))
        ys = jax.nn.relu(self.output(ys.reshape(len(ys), -1)))
        return ys.reshape(*signal.shape[:2], self.output_size), lengths


class Spectrogram(nnx.Module):
    """(log-mel − mean) / deviation of one channel of sound; mean and deviation of each band are fitted, not learned."""

    def __init__(self, log_mel: LogMel, mean: np.ndarray, deviation: np.ndarray):
        self.log_mel, self.mean, self.deviation = log_mel, tuple(mean.tolist()), tuple(deviation.tolist())
        self.output_size, self.stride = log_mel.num_mels, log_mel.hop
        self.context = log_mel.window - log_mel.hop

    def __call__(self, signal: Float[Array, "B T 1"], lengths: Int[Array, " B"]) -> Vectors:
        """(B, T, 1) → (B, ⌈T / hop⌉, bands)."""
        bands = self.log_mel(signal[..., 0])
        mean, deviation = (jnp.broadcast_to(jnp.float32(each), bands.shape) for each in (self.mean, self.deviation))
        return (bands - mean) / deviation, self.log_mel.num_frames(lengths)


class Convolutions(nnx.Module):
    """y_j = relu(Σ_k W_k x_{(j+1)s−1−k} + b) in time, several times: width w, stride s ≤ w, nothing of the future.

    Before a sequence, and where its last block lacks steps, are zeros, whatever the padding holds; ⌈length / s⌉ steps
    come of it.

    Raises:
      ValueError: widths and strides that are neither one for all nor one each, or a stride above its width.
    """

    def __init__(
        self,
        input_size: int,
        sizes: tuple[int, ...],
        widths: tuple[int, ...],
        strides: tuple[int, ...],
        *,
        rngs: nnx.Rngs,
    ):
        self.widths, self.strides = (_one_each(values, len(sizes)) for values in (widths, strides))
        if any(width < stride for width, stride in zip(self.widths, self.strides, strict=True)):
            raise ValueError("a convolution's stride is at most its width: steps between would be left out")
        weights, size, self.stride, self.context = [], input_size, 1, 0
        for own, width, stride in zip(sizes, self.widths, self.strides, strict=True):
            weights.append(nnx.Param(jax.nn.initializers.he_normal()(rngs.params(), (width, size, own))))
            self.context += (width - stride) * self.stride
            self.stride *= stride
            size = own
        self.weights = nnx.data(weights)
        self.biases = nnx.data([nnx.Param(jnp.zeros(own)) for own in sizes])
        self.output_size = size

    def __call__(self, xs: Float[Array, "B T D"], lengths: Int[Array, " B"]) -> Vectors:
        """(B, T, D) → (B, ⌈T / S⌉, F), S the product of the strides."""
        layers = zip(self.weights, self.biases, self.widths, self.strides, strict=True)
        for w, b, width, stride in layers:
            xs = jnp.where(lengths_to_mask(lengths, xs.shape[1])[..., None], xs, jnp.zeros_like(xs))
            padding = [(width - stride, -xs.shape[1] % stride)]
            numbers = ("NWC", "WIO", "NWC")
            weights = w.get_value().astype(xs.dtype)
            ys = jax.lax.conv_general_dilated(xs, weights, (stride,), padding, dimension_numbers=numbers)
            xs = jax.nn.relu(ys + jnp.broadcast_to(b.get_value().astype(ys.dtype), ys.shape))
            lengths = -(-lengths // stride)
        return xs, lengths


def _one_each(values: tuple[int, ...], count: int) -> tuple[int, ...]:
    if len(values) not in (1, count):
        raise ValueError(f"{len(values)} widths or strides for {count} convolutions: give one, or one each")
    return values * count if len(values) == 1 else values
