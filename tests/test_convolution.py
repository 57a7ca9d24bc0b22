"""Convolutions as matrix products, against XLA's own and torch's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from rnn_jax.convolution import convolve


def test_equals_torch_and_its_gradients():
    rng = np.random.default_rng(0)
    image, kernel, pull = (rng.normal(size=shape).astype(np.float32) for shape in [(5, 4, 2), (3, 5, 2, 3), (5, 4, 3)])
    ours, back = jax.vjp(convolve, image, kernel)
    x, w = torch.tensor(image, requires_grad=True), torch.tensor(kernel, requires_grad=True)
    y = torch.nn.functional.conv2d(x.permute(2, 0, 1)[None], w.permute(3, 2, 0, 1), padding=(1, 2))[0].permute(1, 2, 0)
    y.backward(torch.tensor(pull))
    np.testing.assert_allclose(ours, y.detach(), atol=1e-5)
    for gradient, expected in zip(back(jnp.asarray(pull)), (x.grad, w.grad), strict=True):
        np.testing.assert_allclose(gradient, expected, atol=1e-4)


def test_a_kernel_of_one_place_moves_the_image():
    image = jnp.arange(6.0).reshape(2, 3, 1)
    kernel = jnp.zeros((3, 3, 1, 1)).at[1, 0].set(1.0)  # reads the place to the left
    np.testing.assert_array_equal(convolve(image, kernel)[..., 0], [[0, 0, 1], [0, 3, 4]])


def test_a_kernel_without_a_middle_is_refused():
    with pytest.raises(ValueError, match="odd size"):
        convolve(jnp.zeros((4, 4, 1)), jnp.zeros((2, 3, 1, 1)))
