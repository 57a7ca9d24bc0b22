"""The LSTMs of images: against a loop of torch's convolutions by the paper's equations, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from oracles.jitting import quick_jit

from rnn_jax import ConvLSTM, PeepholeConvLSTM, Recurrent, Stack, scan_cell

B, T, D, H = 2, 4, 2, 3
IMAGE = (4, 3)
CELLS = [ConvLSTM(H, image_size=IMAGE, kernel_size=5), PeepholeConvLSTM(H, image_size=IMAGE)]


def shi(cell, params, xs):
    """Shi et al. (2015), eq. 3, in torch: images are (B, channels, Y, X) there."""

    def conv(images, kernel):
        return torch.nn.functional.conv2d(images, kernel.permute(3, 2, 0, 1), padding=cell.kernel_size // 2)

    gates = {}
    for place, name in enumerate("ifgo"):
        block = slice(place * H, (place + 1) * H)
        gates[name] = (params["w_x"][..., block], params["w_h"][..., block], params["b"][block])
    peepholes = params.get("p", torch.zeros(3, *IMAGE, H, dtype=torch.float64)).permute(0, 3, 1, 2)
    h = c = torch.zeros(B, H, *IMAGE, dtype=torch.float64)
    ys = []
    for t in range(T):
        x = xs[:, t].permute(0, 3, 1, 2)
        a = {name: conv(x, w_x) + conv(h, w_h) + b[:, None, None] for name, (w_x, w_h, b) in gates.items()}
        i = torch.sigmoid(a["i"] + peepholes[0] * c)
        f = torch.sigmoid(a["f"] + peepholes[1] * c)
        c = f * c + i * torch.tanh(a["g"])
        h = torch.sigmoid(a["o"] + peepholes[2] * c) * torch.tanh(c)
        ys.append(h.permute(0, 2, 3, 1))
    return torch.stack(ys, dim=1), c.permute(0, 2, 3, 1)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: type(cell).__name__)
def test_equals_torch_and_its_gradients(cell):
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        shapes = jax.eval_shape(lambda key: cell.init(key, (*IMAGE, D)), jax.random.key(0))
        params = jax.tree.map(lambda leaf: 0.5 * rng.normal(size=leaf.shape), shapes)
        xs, ys_bar = rng.normal(size=(B, T, *IMAGE, D)), rng.normal(size=(B, T, *IMAGE, H))

        def run(params, xs):
            carry, ys = scan_cell(cell, params, xs, batched=True)
            return (ys * ys_bar).sum(), (ys, carry.c)

        differentiated = quick_jit(jax.value_and_grad(run, argnums=(0, 1), has_aux=True))
        (_, (ys, c)), (params_bar, xs_bar) = differentiated(params, xs)
    theirs = {name: torch.tensor(array, requires_grad=True) for name, array in params._asdict().items()}
    inputs = torch.tensor(xs, requires_grad=True)
    expected, memory = shi(cell, theirs, inputs)
    (expected * torch.tensor(ys_bar)).sum().backward()
    np.testing.assert_allclose(ys, expected.detach(), atol=1e-11)
    np.testing.assert_allclose(c, memory.detach(), atol=1e-11)
    np.testing.assert_allclose(xs_bar, inputs.grad, atol=1e-10)
    for name, tensor in theirs.items():
        np.testing.assert_allclose(getattr(params_bar, name), tensor.grad, atol=1e-9, err_msg=name)


def test_without_peepholes_they_are_one():
    plain, peephole = (kind(H, image_size=IMAGE) for kind in (ConvLSTM, PeepholeConvLSTM))
    drawn = peephole.init(jax.random.key(0), (*IMAGE, D))
    assert drawn.p.shape == (3, *IMAGE, H) and not drawn.p.any()
    np.testing.assert_array_equal(drawn.b, np.repeat([0.0, 1, 0, 0], H))
    for ours, other in zip(plain.init(jax.random.key(0), (*IMAGE, D)), drawn[:3], strict=True):
        np.testing.assert_array_equal(ours, other)


def test_layers_of_images_lie_on_each_other():
    stack = Stack(*(Recurrent(ConvLSTM(size, image_size=IMAGE)) for size in (3, 2)))
    params = stack.init(jax.random.key(0), (*IMAGE, D))
    assert params[1].w_x.shape == (3, 3, 3, 8)
    xs = jnp.ones((B, 1, *IMAGE, D))
    whole = stack.apply(params, xs, batched=True)
    carry, y = stack.step(params, stack.initial_carry(params, B), xs[:, 0], batched=True)
    np.testing.assert_allclose(y, whole.ys[:, 0], rtol=1e-6)
    np.testing.assert_allclose(carry[1].c, whole.carry[1].c, rtol=1e-6)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image_size": (4, 3), "kernel_size": 4}, "kernel_size is odd.*4"),
        ({"image_size": (4, 0)}, "image_size"),
        ({"image_size": (4, 3), "hidden_size": 0}, "hidden_size"),
    ],
)
def test_fields_that_make_no_cell(fields, message):
    with pytest.raises(ValueError, match=message):
        ConvLSTM(**({"hidden_size": 2} | fields))


@pytest.mark.parametrize("input_size", [3, (4, 3), (3, 4, 1)])
def test_what_is_no_image_of_that_size(input_size):
    with pytest.raises(ValueError, match=r"input_size is the shape of one image, \(4, 3\)"):
        CELLS[0].init(jax.random.key(0), input_size)
