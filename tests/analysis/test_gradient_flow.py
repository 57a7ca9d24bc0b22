"""Gradient norms by distance to the loss, against powers, finite differences, torch, and autodiff of the scan."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax.flatten_util import ravel_pytree
from oracles.foreign_cells import ConvLSTM
from oracles.jitting import quick_jit

from rnn_jax import CELLS, GRU, LSTM, Bidirectional, Elman, Memoryless, Recurrent, Stack, make_cell, scan_cell
from rnn_jax.analysis.gradient_flow import gradient_by_distance, gradient_norms, row_norms

B, T, D, H = 3, 5, 4, 3


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def random(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def random_params(layer, input_size, seed=0):
    """Params without zeros, in float64."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda key: layer.init(key, input_size), jax.random.key(0))
    return jax.tree.map(lambda leaf: jnp.asarray(0.7 * rng.normal(size=leaf.shape)), shapes)


def norms_of(layer, params, xs, **options):
    function = functools.partial(gradient_norms, layer, **options)
    return np.asarray(quick_jit(function)(params, xs))


class Delay:
    """Gives each input back one step later: a user's own class, whose output is no part of its new carry."""

    def init(self, key, input_size):
        return ()

    def initial_carry(self):
        return jnp.zeros(2)

    def step(self, params, carry, x):
        return x, carry.astype(x.dtype)


# --- what can be worked out by hand -----------------------------------------------------------------------------------


@pytest.mark.parametrize("gain", [0.5, 1.0, 1.25])
def test_a_linear_network_has_powers_of_its_gain(gain):
    """h_t = x_t W_x + gain · h_{t−1}: ∂(Σ h_T)/∂h_{T−d} = gain^d · (1, …, 1), and the same times W_xᵀ for x_{T−d}."""
    cell, length = Elman(H, activation="identity"), 60
    params = random_params(cell, D)._replace(w_h=gain * np.eye(H))
    xs, powers = random(1, B, length, D), gain ** np.arange(length)
    of_carry, of_input = (norms_of(cell, params, xs, of=of) for of in ("carry", "input"))
    np.testing.assert_allclose(of_carry, np.tile(powers * np.sqrt(H), (B, 1)), rtol=1e-12)
    np.testing.assert_allclose(of_input, np.tile(powers * np.linalg.norm(params.w_x.sum(axis=1)), (B, 1)), rtol=1e-12)


@pytest.mark.parametrize(("of", "expected"), [("carry", [1, 0.739734]), ("input", [0.369867, 0.263189])])
def test_two_steps_of_tanh_by_hand(of, expected):
    # h_1 = tanh(0.5·1 + 0.1) = 0.537050, h_2 = tanh(0.5·2 − h_1 + 0.1) = 0.510163
    # ∂h_2/∂h_1 = −(1 − h_2²) = −0.739734      ∂h_2/∂x_2 = 0.5·0.739734 = 0.369867
    # ∂h_2/∂x_1 = −0.739734·0.5·(1 − h_1²) = −0.739734·0.5·0.711578 = −0.263189
    cell = Elman(1)
    params = cell.init(jax.random.key(0), 1)._replace(w_x=jnp.array([[0.5]]), w_h=-jnp.eye(1), b=jnp.array([0.1]))
    np.testing.assert_allclose(norms_of(cell, params, jnp.array([[1.0], [2.0]]), of=of), expected, atol=1e-6)


def test_an_output_that_is_no_part_of_the_carry():
    """y_T = x_{T−1} = s_{T−1}, and s_{T−1} does not depend on s_{T−2}."""
    np.testing.assert_allclose(norms_of(Delay(), (), random(0, 4, 2)), [np.sqrt(2), np.sqrt(2), 0, 0])
    np.testing.assert_allclose(norms_of(Delay(), (), random(0, 4, 2), of="input"), [0, np.sqrt(2), 0, 0])


def test_without_memory_nothing_flows():
    cell = Memoryless(H)
    norms = norms_of(cell, random_params(cell, D), random(1, B, T, D))
    assert norms[:, 0] == pytest.approx(np.sqrt(H)) and not norms[:, 1:].any()


def test_a_loss_of_ones_own():
    """L = ½ Σ_b w_b ‖y_b‖²: ∂L/∂y_b = w_b y_b."""
    cell, weights = Elman(H, activation="identity"), jnp.array([1.0, 2, 0])
    params = random_params(cell, D)._replace(w_h=np.zeros((H, H)))
    xs = random(1, B, T, D)
    norms = norms_of(cell, params, xs, loss=lambda y: 0.5 * jnp.sum(weights[:, None] * y**2))
    last = np.linalg.norm(np.asarray(xs[:, -1] @ params.w_x) + np.asarray(params.b), axis=1)
    np.testing.assert_allclose(norms[:, 0], weights * last, rtol=1e-12)


# --- finite differences, torch, autodiff ------------------------------------------------------------------------------


every_cell = pytest.mark.parametrize("name", CELLS, scope="module")


@functools.cache
def program(name):
    """One compiled program a cell, for both tests of every cell."""
    cell = make_cell(name, H)
    return quick_jit(
        lambda params, xs, mask, weights: gradient_norms(
            cell, params, xs, mask=mask, loss=lambda y: jnp.sum(y @ weights)
        )
    )


@every_cell
def test_every_cell_by_finite_differences(name):
    """The loss from each step on, with every number of the carry moved a little up and down."""
    cell, xs = make_cell(name, H), random(1, T, D)
    params, weights = random_params(cell, D), random(2, H)
    step = quick_jit(jax.vmap(cell.step, in_axes=(None, 0, None)))

    def losses(carries, first):
        for x in xs[first:]:
            carries, ys = step(params, carries, x)
        return np.asarray(ys) @ weights

    flat, unflatten = ravel_pytree(jax.tree.map(np.float64, cell.initial_carry(params)))
    epsilon, expected = 1e-5, [np.linalg.norm(weights)]
    moves = epsilon * np.concatenate([np.eye(flat.size), -np.eye(flat.size)])
    states = [jax.tree.map(lambda leaf: leaf[None], unflatten(flat))]
    for x in xs[:-1]:
        states.append(step(params, states[-1], x)[0])
    for first in range(T - 1, 0, -1):  # the carry after `first` steps
        state, _ = ravel_pytree(states[first])
        up, down = np.split(losses(jax.vmap(unflatten)(state[None] + moves), first), 2)
        expected.append(np.linalg.norm((up - down) / (2 * epsilon)))
    padded, mask = jnp.zeros((100, D)).at[:T].set(xs), jnp.arange(100) < T
    norms = program(name)(params, padded, mask, weights)[:T]
    np.testing.assert_allclose(norms, expected, rtol=1e-7, atol=1e-9)


@every_cell
def test_every_cell_as_it_is_drawn_over_a_hundred_steps(name):
    params = jax.tree.map(jnp.float64, make_cell(name, H).init(jax.random.key(0), D))
    norms = np.asarray(program(name)(params, random(1, 100, D), jnp.ones(100, bool), random(2, H)))
    assert np.isfinite(norms).all() and (norms >= 0).all()
    assert norms[0] == pytest.approx(np.linalg.norm(random(2, H)))


TORCH_CELLS = {
    "tanh": (torch.nn.RNNCell, Elman(H)),
    "lstm": (torch.nn.LSTMCell, LSTM(H)),
    "gru": (torch.nn.GRUCell, GRU(H)),
}


@pytest.mark.parametrize("kind", TORCH_CELLS)
def test_torch_with_retained_gradients(kind):
    make_torch, cell = TORCH_CELLS[kind]
    params, xs = random_params(cell, D), random(1, B, T, D)
    module = make_torch(D, H).double()
    hidden_bias = np.zeros_like(params.b)
    if kind == "gru":
        hidden_bias[2 * H :] = params.b_hn
    arrays = {"weight_ih": params.w_x.T, "weight_hh": params.w_h.T, "bias_ih": params.b, "bias_hh": hidden_bias}
    module.load_state_dict({name: torch.tensor(array) for name, array in arrays.items()})

    states, inputs = [], torch.tensor(np.asarray(xs), requires_grad=True)
    state = (torch.zeros(B, H, dtype=torch.float64),) * (2 if kind == "lstm" else 1)
    for t in range(T):
        state = module(inputs[:, t], state if kind == "lstm" else state[0])
        # Copies, so that the gradient of c_t is that of the carry, without the way from c_t to h_t in the same step.
        state = tuple(part.clone() for part in (state if kind == "lstm" else (state,)))
        for part in state:
            part.retain_grad()
        states.append(state)
    state[0].sum().backward()

    def norm(tensors):
        return np.sqrt(sum((part.grad.numpy() ** 2).sum(-1) for part in tensors if part.grad is not None))

    np.testing.assert_allclose(norms_of(cell, params, xs), np.stack([norm(s) for s in states[::-1]], 1), rtol=1e-10)
    of_input = np.linalg.norm(inputs.grad.numpy(), axis=-1)[:, ::-1]
    np.testing.assert_allclose(norms_of(cell, params, xs, of="input"), of_input, rtol=1e-10)


STACKS = {
    "mixed": Stack(LSTM(4), Elman(3)),
    "residual": Stack(GRU(4), GRU(4), residual=True),
    "recurrent": Recurrent(GRU(4)),
}


@pytest.mark.parametrize("name", STACKS)
def test_layers_against_autodiff_of_the_rest_of_the_run(name):
    """∂(Σ y_T)/∂s_t is the gradient of a run that starts from s_t; over all layers' states together."""
    layer, xs = STACKS[name], random(1, B, T, D)
    params = random_params(layer, D)

    # One compiled program each: a masked step keeps the carry.
    state_after = quick_jit(lambda t: layer.apply(params, xs, mask=jnp.tile(jnp.arange(T) < t, (B, 1))).carry)

    @quick_jit
    @jax.grad
    def gradient(carry, t):
        return layer.apply(params, xs, carry=carry, mask=jnp.tile(jnp.arange(T) >= t, (B, 1))).last.sum()

    expected = [np.full(B, np.sqrt(layer.output_size(D)))]
    for t in range(T - 1, 0, -1):
        leaves = jax.tree.leaves(gradient(state_after(t), t))
        expected.append(np.sqrt(sum((np.asarray(leaf) ** 2).sum(-1) for leaf in leaves)))
    np.testing.assert_allclose(norms_of(layer, params, xs), np.stack(expected, axis=1), rtol=1e-10)


# --- masks, batches, long sequences -----------------------------------------------------------------------------------


@pytest.mark.parametrize("of", ["carry", "input"])
def test_rows_of_any_length_count_from_their_own_end(of):
    """Padding in front, behind and within, NaN in it; entries that a row is too short for are NaN."""
    cell = LSTM(H)
    params, xs = random_params(cell, D), random(1, 4, T, D)
    mask = jnp.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 1, 0, 1, 0], [0, 0, 0, 0, 0]], bool)
    norms = norms_of(cell, params, jnp.where(mask[..., None], xs, jnp.nan), mask=mask, of=of)
    for row, real in enumerate(np.asarray(mask[:3])):
        alone = norms_of(cell, params, xs[row][real], of=of)
        np.testing.assert_allclose(norms[row, : len(alone)], alone, rtol=1e-12)
    assert np.isnan(norms).tolist() == [[d >= length for d in range(T)] for length in (5, 3, 2, 0)]


def test_the_mean_is_over_the_rows_that_are_long_enough():
    cell = Elman(1, activation="identity")
    params = cell.init(jax.random.key(0), 1)._replace(w_h=2 * np.eye(1))
    mask = jnp.array([[1, 1, 1, 0], [1, 0, 0, 0]], bool)

    def loss(y):
        return y[0, 0] + 5 * y[1, 0]

    mean = quick_jit(functools.partial(gradient_by_distance, cell, mask=mask, loss=loss))(params, random(0, 2, 4, 1))
    np.testing.assert_allclose(mean, [(1 + 5) / 2, 2, 4, np.nan], rtol=1e-12)


def test_one_row_vmap_and_batch_agree():
    cell = GRU(H)
    params, xs = random_params(cell, D), random(1, B, T, D)
    batch = norms_of(cell, params, xs)
    np.testing.assert_allclose(norms_of(cell, params, xs[1]), batch[1], rtol=1e-12)
    mapped = quick_jit(jax.vmap(functools.partial(gradient_norms, cell), in_axes=(None, 0)))(params, xs)
    np.testing.assert_allclose(mapped, batch, rtol=1e-12)


def test_float32_stays_float32():
    with jax.enable_x64(False):
        cell = LSTM(H)
        norms = norms_of(cell, cell.init(jax.random.key(0), D), jax.random.normal(jax.random.key(1), (B, T, D)))
    assert norms.dtype == np.float32 and norms[:, 0] == pytest.approx(np.sqrt(H))


def test_what_the_textbooks_say_of_a_hundred_steps():
    """tanh forgets; an LSTM keeps the more, the more its forget gates are open; chrono's keep their share."""
    cells = {
        "elman": Elman(16, w_h_init="glorot_uniform"),
        "lstm": LSTM(16),
        "closed": LSTM(16, b_init=0.0),
        "open": LSTM(16, b_init=(0.0, 3.0, 0.0, 0.0)),
        "chrono": LSTM(16, chrono=100),
    }
    xs, left = random(1, 4, 101, 16), {}
    for name, cell in cells.items():
        params = jax.tree.map(np.float64, cell.init(jax.random.key(0), 16))
        norms = np.asarray(quick_jit(functools.partial(gradient_by_distance, cell))(params, xs))
        left[name] = norms[100] / norms[0]
    assert left["elman"] < 1e-6 * left["lstm"]
    assert left["closed"] < 1e-4 * left["lstm"] < 1e-8 * left["open"] < left["chrono"]


@pytest.mark.parametrize("layer", [Bidirectional(GRU(H)), Recurrent(GRU(H), reverse=True)], ids=["both", "reverse"])
def test_a_layer_that_reads_backwards_is_refused(layer):
    with pytest.raises(ValueError, match="from left to right only"):
        gradient_norms(layer, layer.init(jax.random.key(0), D), random(0, T, D))


def test_other_quantities_are_refused():
    with pytest.raises(ValueError, match="gradient of 'weights'.*carry, input"):
        gradient_norms(GRU(H), GRU(H).init(jax.random.key(0), D), random(0, T, D), of="weights")


@pytest.mark.parametrize("size", [1e20, 1.0, 1e-25])
def test_norms_of_rows_are_numpys_whatever_their_squares(size):
    """In float32; a row of zeros, NaN and ∞ are what they are, each in its own row."""
    rng = np.random.default_rng(0)
    leaves = [(size * rng.normal(size=(4, *shape))).astype(np.float32) for shape in ((3,), (2, 2))]
    for leaf, value in zip((leaf[1:] for leaf in leaves), (np.nan, np.inf)):
        leaf[0 if np.isnan(value) else 1].flat[0] = value
    for leaf in leaves:
        leaf[3] = 0
    rows = np.concatenate([leaf.reshape(4, -1) for leaf in leaves], axis=1).astype(np.float64)
    np.testing.assert_allclose(
        row_norms([jnp.asarray(leaf) for leaf in leaves]), np.linalg.norm(rows, axis=1), rtol=1e-6
    )


def test_images_have_gradients_by_distance_too():
    """Against JAX's own gradient of the last output by each input, of one sequence and of a batch."""
    cell = ConvLSTM(2, image=(3, 2))
    params, xs = cell.init(jax.random.key(0), (3, 2, 1)), jax.random.normal(jax.random.key(1), (2, 4, 3, 2, 1))
    expected = jax.grad(lambda xs: scan_cell(cell, params, xs, batched=True)[1][:, -1].sum())(xs)
    expected = np.sqrt((np.asarray(expected) ** 2).sum(axis=(2, 3, 4)))[:, ::-1]
    norms = gradient_norms(cell, params, xs, of="input", batched=True)
    np.testing.assert_allclose(norms, expected, rtol=1e-4)
    np.testing.assert_allclose(gradient_norms(cell, params, xs[1], of="input", batched=False), expected[1], rtol=1e-4)
