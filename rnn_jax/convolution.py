"""Convolutions of images as matrix products."""

import jax.numpy as jnp

from rnn_jax.types import Array, Float


def convolve(image: Float[Array, "Y X D"], kernel: Float[Array, "K L D F"]) -> Float[Array, "Y X F"]:
    """y[i, j] = Σ_{k, l} image[i + k − ⌊K/2⌋, j + l − ⌊L/2⌋] · kernel[k, l], zeros around the image; in its dtype.

    The K · L shifted images lie side by side, and one product with the kernel sums them. XLA's gradient of its own
    convolution takes 25 times as long on a CPU (B T Y X D H = 16 19 16 16 16 32, 3 × 3: 24 against 1.0 s on one core).

    Raises:
      ValueError: a kernel of even size, or of other channels than the image's.
    """
    (high, wide, channels, size), (height, width, own) = kernel.shape, image.shape
    if not (high % 2 and wide % 2) or channels != own:
        raise ValueError(
            f"A kernel is of odd size, and reads as many channels as the image has; got {kernel.shape} for an image of"
            f" {image.shape}."
        )
    padded = jnp.pad(image, ((high // 2,) * 2, (wide // 2,) * 2, (0, 0)))
    shifted = [padded[k : k + height, l : l + width] for k in range(high) for l in range(wide)]  # noqa: E741
    return jnp.concatenate(shifted, axis=-1) @ kernel.astype(image.dtype).reshape(-1, size)
