"""The frames that come next in a video: an encoder and a forecaster of image cells (Shi et al. 2015)."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from rnn_jax.losses.cross_entropy import binary_cross_entropy
from rnn_jax.losses.regression import squared_error
from rnn_jax.modules import RNN, Linear
from rnn_jax.types import Array, Float, Key, Layer


class VideoPredictor(nnx.Module):
    """Predicts frames one by one, each of which it then reads.

    x_t = the P × P patches of frame t, as channels (Y, X, P·P·C)
    carry = encoder(x_1 … x_{S−1})                        S frames are read
    carry, h_t = forecaster(carry, x_t),  t ≥ S           from the encoder's carry; x_t is frame S, then a prediction
    ŷ_{t+1} = σ(h_t W + b)                                each place by itself; back from patches to pixels

    With `shared_weights` the forecaster is the encoder, whose outputs predict the frames that it reads, too; the loss
    then is of these as well. Differences to Shi et al.: the forecaster reads its predictions, and only the topmost
    layer is read out.

    frame: (H, W, C). divisor: the value of a pixel that becomes 1. mean: of pixels in 0 … 1, which σ(b) starts at: an
    optimiser whose steps are short would take a thousand of them to make frames dark.

    Raises:
      ValueError: patches that do not fill a frame.
    """

    LAYERS = (("output",), ("forecaster",), ("encoder",))  # from the head down

    def __init__(
        self,
        encoder: Layer,
        forecaster: Layer | None,
        frame: tuple[int, int, int],
        *,
        patch_size: int,
        num_context: int,
        divisor: float = 1.0,
        mean: float = 0.5,
        loss: str = "cross_entropy",
        rngs: nnx.Rngs,
    ):
        height, width, channels = frame
        if height % patch_size or width % patch_size:
            raise ValueError(f"patches of {patch_size} × {patch_size} do not fill frames of {height} × {width}")
        self.frame, self.patch_size, self.num_context = frame, patch_size, num_context
        self.divisor, self.kind = divisor, loss
        size = patch_size * patch_size * channels
        image = (height // patch_size, width // patch_size, size)
        self.encoder = RNN(encoder, image, rngs=rngs)
        # nnx.data: NNX takes an attribute for a constant if its first value holds no arrays, as None does.
        self.forecaster: RNN | None = nnx.data(None if forecaster is None else RNN(forecaster, image, rngs=rngs))
        self.output = Linear(self.encoder.output_size[-1], size, rngs=rngs)
        self.output.b.set_value(jnp.full(size, math.log(mean / (1 - mean)), jnp.float32))

    def logits(self, context: Float[Array, "B S H W C"], num_future: int, key: Key | None = None) -> Array:
        """(B, T, Y, X, P·P·C): of the frames after the first, S − 1 of the context where weights are shared, T in all.

        Of these the last `num_future` are predictions of what is not in the context.
        """
        xs = self._patches(context)
        keys = (None, None) if key is None else tuple(jax.random.split(key))
        read = self.encoder.apply(xs[:, :-1], batched=True, key=keys[0])
        forecaster, first = self.forecaster or self.encoder, xs.shape[1] - 1

        def step(state: Any, number: Array) -> tuple[Any, Array]:
            carry, x = state
            carry, h = forecaster.step(carry, x, batched=True, key=keys[1], step=first + number)
            logits = self.output(h)
            return (carry, jax.nn.sigmoid(logits)), logits

        _, logits = jax.lax.scan(step, (read.carry, xs[:, -1]), jnp.arange(num_future))
        logits = logits.swapaxes(0, 1)
        return logits if self.forecaster else jnp.concatenate([self.output(read.ys), logits], axis=1)

    def predict(self, frames: Array, num_future: int) -> Float[Array, "B T H W C"]:
        """The frames, in 0 … 1, that follow the first S of frames (B, ≥ S, H, W, C), as the data has these."""
        logits = self.logits(self._scaled(frames[:, : self.num_context]), num_future)[:, -num_future:]
        return self._pixels(jax.nn.sigmoid(logits))

    def loss(self, frames: Array, weights: Float[Array, " B"], key: Key | None = None) -> tuple[Array, Array]:
        """(Σ w · mean over frames and pixels, Σ w) of clips (B, S + T, H, W, C), as the data has them."""
        frames = self._scaled(frames)
        num_future = frames.shape[1] - self.num_context
        logits = self.logits(frames[:, : self.num_context], num_future, key)
        target = self._patches(frames[:, -logits.shape[1] :])
        spread = jnp.broadcast_to(jnp.expand_dims(weights, (1, 2, 3, 4)), logits.shape)
        if self.kind == "mse":
            total, _ = squared_error(jax.nn.sigmoid(logits), target, spread)
        else:
            total, _ = binary_cross_entropy(logits, target, spread)
        return total / (logits.size / len(logits)), weights.sum()

    def _scaled(self, frames: Array) -> Array:
        return frames.astype(jnp.float32) / self.divisor

    def _patches(self, frames: Float[Array, "B T H W C"]) -> Float[Array, "B T Y X F"]:
        (batch, steps, height, width, channels), side = frames.shape, self.patch_size
        tiles = frames.reshape(batch, steps, height // side, side, width // side, side, channels)
        return tiles.swapaxes(3, 4).reshape(batch, steps, height // side, width // side, -1)

    def _pixels(self, patches: Float[Array, "B T Y X F"]) -> Float[Array, "B T H W C"]:
        (batch, steps, high, wide, _), side = patches.shape, self.patch_size
        tiles = patches.reshape(batch, steps, high, wide, side, side, -1)
        return tiles.swapaxes(3, 4).reshape(batch, steps, *self.frame)
