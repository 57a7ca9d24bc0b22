"""Our cells against other people's, against the papers' equations, and against numbers worked out by hand."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from jax.experimental import rnn as cudnn_rnn
from oracles import bptt, equations
from oracles.jitting import quick_jit

from rnn_jax import (
    GRU,
    LSTM,
    Bidirectional,
    CoupledLSTM,
    Elman,
    LayerNormGRU,
    LayerNormLSTM,
    Memoryless,
    PeepholeLSTM,
    ProjectedLSTM,
    Recurrent,
    ResetBeforeGRU,
    Stack,
    lengths_to_mask,
    scan_cell,
)
from rnn_jax.cells import ACTIVATIONS, GRUCarry, LSTMCarry
from rnn_jax.layers import BidirectionalParams

B, T, D, H = 3, 5, 4, 3


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def random(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def random_params(cell, input_size, seed=0):
    """Params without zeros, as numpy in float64."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda key: cell.init(key, input_size), jax.random.key(0))
    return jax.tree.map(lambda leaf: 0.7 * rng.normal(size=leaf.shape), shapes)


# --- numbers worked out by hand ---------------------------------------------------------------------------------------


def run_scalar(cell, params, inputs):
    """ys of a cell with one unit and one input; `params` in the order of its NamedTuple."""
    params = type(cell.init(jax.random.key(0), 1))(*map(np.float64, params))
    ys = quick_jit(lambda params, xs: scan_cell(cell, params, xs)[1])(params, np.array(inputs, np.float64)[:, None])
    return np.asarray(ys)[:, 0]


def test_elman_two_units_by_hand():
    # x_1 W_x = (1, 1) [[1, 2], [0, −1]] = (1, 1);  + b = (1, 2);                                     h_1 = (1, 2)
    # x_2 W_x = (2, 3);  h_1 W_h = (1, 2) [[1, −1], [2, 0]] = (5, −1);  sum + b = (7, 3);             h_2 = (7, 3)
    # x_3 W_x = (−1, −2);  h_2 W_h = (7 + 6, −7) = (13, −7);  sum + b = (12, −8), cut off by relu:    h_3 = (12, 0)
    cell = Elman(2, activation="relu")
    params = cell.init(jax.random.key(0), 2)._replace(
        w_x=np.array([[1.0, 2], [0, -1]]), w_h=np.array([[1.0, -1], [2, 0]]), b=np.array([0.0, 1])
    )
    carry, ys = quick_jit(functools.partial(scan_cell, cell))(params, np.array([[1.0, 1], [2, 1], [-1, 0]]))
    np.testing.assert_array_equal(ys, [[1, 2], [7, 3], [12, 0]])
    np.testing.assert_array_equal(carry.h, [12, 0])


def test_elman_tanh_by_hand():
    # h_1 = tanh(0.5·1 − 1·0 + 0.1) = tanh 0.6 = 0.537050
    # h_2 = tanh(0.5·2 − 0.537050 + 0.1) = tanh 0.562950 = 0.510163
    ys = run_scalar(Elman(1), ([[0.5]], [[-1]], [0.1]), [1, 2])
    assert ys.tolist() == pytest.approx([0.5370495669980353, 0.5101632506598709], abs=1e-12)


def test_lstm_by_hand():
    # w_x = (0.5, −0.5, 1, 0.25), w_h = (0.1, 0.2, −0.3, 0.4), b = (0, 1, 0, 0.1) for i f g o; h_0 = c_0 = 0
    # x_1 = 1:  i = σ(0.5) = 0.622459   f = σ(0.5) = 0.622459   g = tanh 1 = 0.761594   o = σ(0.35) = 0.586618
    #           c_1 = 0.622459·0.761594 = 0.474061              h_1 = 0.586618·tanh 0.474061 = 0.258977
    # x_2 = −2: i = σ(−1 + 0.025898) = 0.274064   f = σ(1 + 0.051795 + 1) = 0.886129
    #           g = tanh(−2 − 0.077693) = −0.969125   o = σ(−0.5 + 0.103591 + 0.1) = 0.426436
    #           c_2 = 0.886129·0.474061 − 0.274064·0.969125 = 0.154478   h_2 = 0.426436·tanh 0.154478 = 0.065356
    ys = run_scalar(LSTM(1), ([[0.5, -0.5, 1, 0.25]], [[0.1, 0.2, -0.3, 0.4]], [0, 1, 0, 0.1]), [1, -2])
    assert ys.tolist() == pytest.approx([0.2589769919472405, 0.06535574568134862], abs=1e-12)


GRU_WEIGHTS = ([[0.5, -0.5, 1]], [[0.1, 0.3, 0.8]], [0.2, -0.1, 0.05])  # gates r z n


def test_gru_by_hand():
    # b_hn = 0.4
    # x_1 = 1:  r = σ(0.7) = 0.668188   z = σ(−0.6) = 0.354344   n = tanh(1.05 + 0.668188·0.4) = 0.866105
    #           h_1 = 0.645656·0.866105 = 0.559206
    # x_2 = −2: r = σ(−1 + 0.055921 + 0.2) = 0.322113   z = σ(1 + 0.167762 − 0.1) = 0.744171
    #           n = tanh(−1.95 + 0.322113·(0.8·0.559206 + 0.4)) = −0.932478
    #           h_2 = 0.255829·(−0.932478) + 0.744171·0.559206 = 0.177590
    ys = run_scalar(GRU(1), (*GRU_WEIGHTS, [0.4]), [1, -2])
    assert ys.tolist() == pytest.approx([0.5592059517140578, 0.17758997367813664], abs=1e-12)


def test_reset_before_gru_by_hand():
    # x_1 = 1:  r = 0.668188, z = 0.354344 as above;  n = tanh 1.05 = 0.781806;  h_1 = 0.645656·0.781806 = 0.504778
    # x_2 = −2: r = σ(−0.8 + 0.050478) = 0.320925   z = σ(0.9 + 0.151433) = 0.741050
    #           n = tanh(−1.95 + 0.8·(0.320925·0.504778)) = −0.948879
    #           h_2 = 0.258950·(−0.948879) + 0.741050·0.504778 = 0.128354
    ys = run_scalar(ResetBeforeGRU(1), GRU_WEIGHTS, [1, -2])
    assert ys.tolist() == pytest.approx([0.5047782050375244, 0.12835387527750874], abs=1e-12)


# --- the papers' equations --------------------------------------------------------------------------------------------


def named(params, gates):
    """Our joined blocks as one matrix a gate, by the papers' names."""
    p = {}
    for index, gate in enumerate(gates):
        block = slice(index * H, (index + 1) * H)
        p |= {f"Wx{gate}": params.w_x[:, block], f"b{gate}": params.b[block]}
        if hasattr(params, "w_h"):
            p[f"Wh{gate}"] = params.w_h[:, block]
    if hasattr(params, "p"):
        p |= {f"wc{gate}": params.p[row] for row, gate in enumerate("ifo")}
    others = {
        "b_hn": "bhn",
        "scale_x": "alpha_x",
        "scale_h": "alpha_h",
        "scale_c": "alpha_c",
        "b_c": "beta_c",
        "w_p": "Wp",
    }
    return p | {theirs: getattr(params, ours) for ours, theirs in others.items() if hasattr(params, ours)}


EQUATIONS = {
    Elman(H): (equations.elman, "h"),
    Memoryless(H): (equations.memoryless, "h"),
    LSTM(H): (equations.lstm, "ifgo"),
    PeepholeLSTM(H): (equations.peephole_lstm, "ifgo"),
    CoupledLSTM(H): (equations.coupled_lstm, "fgo"),
    LayerNormLSTM(H): (equations.layer_norm_lstm, "ifgo"),
    GRU(H): (equations.gru, "rzn"),
    ResetBeforeGRU(H): (equations.reset_before_gru, "rzn"),
    ProjectedLSTM(H, projection_size=2): (equations.projected_lstm, "ifgo"),
    LayerNormGRU(H): (equations.layer_norm_gru, "rzn"),
}


@pytest.mark.parametrize("cell", EQUATIONS, ids=lambda cell: type(cell).__name__)
def test_cell_follows_its_paper(cell):
    equation, gates = EQUATIONS[cell]
    params, xs = random_params(cell, D), random(1, T, D)
    ys = quick_jit(lambda params, xs: scan_cell(cell, params, xs)[1])(params, xs)
    np.testing.assert_allclose(ys, equation(named(params, gates), xs), rtol=1e-12, atol=1e-13)


def test_projected_lstm_is_torchs():
    """`proj_size`, values and gradients, with our weights transposed."""
    cell = ProjectedLSTM(H, projection_size=2)
    params, xs, ys_bar = random_params(cell, D), random(1, B, T, D), random(2, B, T, 2)
    module = torch.nn.LSTM(D, H, proj_size=2, batch_first=True, dtype=torch.float64)
    theirs = {
        "weight_ih_l0": params.w_x,
        "weight_hh_l0": params.w_h,
        "bias_ih_l0": params.b,
        "weight_hr_l0": params.w_p,
    }
    with torch.no_grad():
        module.bias_hh_l0.zero_()
        for name, array in theirs.items():
            getattr(module, name).copy_(torch.tensor(np.array(array.T)))
    expected, (h, c) = module(torch.tensor(xs))
    (expected * torch.tensor(ys_bar)).sum().backward()
    (carry, ys), vjp = jax.vjp(lambda params: scan_cell(cell, params, xs), params)
    (gradient,) = vjp((jax.tree.map(jnp.zeros_like, carry), jnp.asarray(ys_bar)))
    close = functools.partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-11)
    close(ys, expected.detach())
    close(carry.h, h[0].detach())
    close(carry.c, c[0].detach())
    for name, field in zip(theirs, ("w_x", "w_h", "b", "w_p")):
        close(getattr(gradient, field), getattr(module, name).grad.numpy().T)


# --- backpropagation through time, by hand ----------------------------------------------------------------------------


def chunked_loss(cell, loss_bars, chunk):
    """Σ_t ⟨loss_bars_t, h_t⟩, run in chunks with `stop_gradient` between them."""

    def loss(params, xs, carry):
        total = 0.0
        for start in range(0, T, chunk):
            part = slice(start, start + chunk)
            carry, ys = scan_cell(cell, params, xs[part], carry=jax.lax.stop_gradient(carry) if start else carry)
            total += jnp.sum(ys * loss_bars[part])
        return total

    return loss


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_grad_equals_bptt_by_hand(activation):
    """The textbook's explicit sum over pairs of steps."""
    cell = Elman(H, activation=activation)
    params, xs, h_0, loss_bars = random_params(cell, D), random(1, T, D), random(2, H), random(3, T, H)
    expected = bptt.gradients(*params, xs, h_0, loss_bars, activation)
    gradients = quick_jit(jax.grad(chunked_loss(cell, loss_bars, chunk=T), argnums=(0, 1, 2)))
    params_bar, xs_bar, carry_bar = gradients(params, xs, cell.initial_carry(params)._replace(h=h_0))
    for name, actual in {**params_bar._asdict(), "xs": xs_bar, "h_0": carry_bar.h}.items():
        np.testing.assert_allclose(actual, getattr(expected, name), rtol=1e-10, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_truncated_bptt_equals_the_sum_over_pairs_within_chunks(chunk):
    cell = Elman(H)
    params, xs, h_0, loss_bars = random_params(cell, D), random(1, T, D), random(2, H), random(3, T, H)
    expected = bptt.gradients(*params, xs, h_0, loss_bars, chunk=chunk)
    whole = bptt.gradients(*params, xs, h_0, loss_bars)
    gradients = quick_jit(jax.grad(chunked_loss(cell, loss_bars, chunk), argnums=(0, 1, 2)))
    params_bar, xs_bar, carry_bar = gradients(params, xs, cell.initial_carry(params)._replace(h=h_0))
    for name, actual in {**params_bar._asdict(), "xs": xs_bar, "h_0": carry_bar.h}.items():
        np.testing.assert_allclose(actual, getattr(expected, name), rtol=1e-10, atol=1e-12, err_msg=name)
        assert not np.allclose(actual, getattr(whole, name)), name


# --- torch ------------------------------------------------------------------------------------------------------------

KINDS = {
    "tanh": (lambda **shape: torch.nn.RNN(nonlinearity="tanh", **shape), Elman(H)),
    "relu": (lambda **shape: torch.nn.RNN(nonlinearity="relu", **shape), Elman(H, activation="relu")),
    "lstm": (torch.nn.LSTM, LSTM(H)),
    "gru": (torch.nn.GRU, GRU(H)),
}


def torch_names(layers, bidirectional):
    """The endings of torch's weight names, in the order of our params' leaves."""
    return [f"l{layer}{way}" for layer in range(layers) for way in (["", "_reverse"] if bidirectional else [""])]


def to_torch(params, module, suffix):
    """Copies one cell's params: transposed weights; our one bias into b_ih, b_hn into b_hh, zeros elsewhere."""
    hidden_bias = np.zeros_like(params.b)
    if hasattr(params, "b_hn"):
        hidden_bias[2 * H :] = params.b_hn
    arrays = {"weight_ih": params.w_x.T, "weight_hh": params.w_h.T, "bias_ih": params.b, "bias_hh": hidden_bias}
    with torch.no_grad():
        for name, array in arrays.items():
            getattr(module, f"{name}_{suffix}").copy_(torch.tensor(array))


def grads_from_torch(params, module, suffix):
    """∂L/∂params in our layout."""
    grad = {name: getattr(module, f"{name}_{suffix}").grad.numpy() for name in ("weight_ih", "weight_hh", "bias_ih")}
    like = params._replace(w_x=grad["weight_ih"].T, w_h=grad["weight_hh"].T, b=grad["bias_ih"])
    if hasattr(params, "b_hn"):
        like = like._replace(b_hn=getattr(module, f"bias_hh_{suffix}").grad.numpy()[2 * H :])
    return like


def run_torch(module, xs, lengths, ys_bar, states_bar):
    """Packed sequences through torch: outputs, last states, and ∂/∂ of ⟨ys_bar, ys⟩ + Σ ⟨states_bar, states⟩."""
    xs = torch.tensor(xs, requires_grad=True)
    packed = torch.nn.utils.rnn.pack_padded_sequence(xs, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
    ys, states = module(packed)
    ys = torch.nn.utils.rnn.pad_packed_sequence(ys, batch_first=True, total_length=T)[0]
    states = states if isinstance(states, tuple) else (states,)
    loss = (ys * torch.tensor(ys_bar)).sum()
    loss = loss + sum((state * torch.tensor(bar)).sum() for state, bar in zip(states, states_bar, strict=True))
    loss.backward()
    return ys.detach().numpy(), [state.detach().numpy() for state in states], xs.grad.numpy()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "bidirectional"])
def test_two_layers_equal_torch(kind, bidirectional):
    """Outputs, last states and gradients on packed sequences of lengths 5, 2 and 1, with weights copied over."""
    make_torch, cell = KINDS[kind]
    layers, directions = 2, 1 + bidirectional
    layer = Bidirectional(cell) if bidirectional else Recurrent(cell)
    stack = Stack(layer, layer)
    cells = [
        random_params(cell, D if index < directions else directions * H, seed=index) for index in range(2 * directions)
    ]
    params = (BidirectionalParams(*cells[:2]), BidirectionalParams(*cells[2:])) if bidirectional else tuple(cells)
    xs, lengths, ys_bar = random(1, B, T, D), np.array([5, 2, 1]), random(2, B, T, directions * H)
    states_bar = random(3, len(cell.initial_carry(cells[0])), layers * directions, B, H)

    module = make_torch(
        input_size=D, hidden_size=H, num_layers=layers, bidirectional=bidirectional, batch_first=True
    ).double()
    names = torch_names(layers, bidirectional)
    for cell_params, suffix in zip(cells, names, strict=True):
        to_torch(cell_params, module, suffix)
    expected_ys, expected_states, expected_xs_bar = run_torch(module, xs, lengths, ys_bar, states_bar)

    def loss(params, xs):
        carry, ys, _ = stack.apply(params, xs, mask=lengths_to_mask(jnp.asarray(lengths), T))
        carries = [way for layer in carry for way in layer] if bidirectional else list(carry)
        states = jax.tree.map(lambda *leaves: jnp.stack(leaves), *carries)
        return jnp.sum(ys * ys_bar) + sum(map(jnp.vdot, states, jnp.asarray(states_bar))), (ys, states)

    (_, (ys, states)), (params_bar, xs_bar) = quick_jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))(
        params, xs
    )
    close = functools.partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-10)
    close(ys, expected_ys)
    for state, expected in zip(states, expected_states, strict=True):
        close(state, expected)
    close(xs_bar, expected_xs_bar)
    actual = [way for layer in params_bar for way in layer] if bidirectional else params_bar
    for cell_params, cell_bar, suffix in zip(cells, actual, names, strict=True):
        jax.tree.map(close, cell_bar, grads_from_torch(cell_params, module, suffix))


# --- jax.experimental and Flax ----------------------------------------------------------------------------------------


def test_bidirectional_lstm_equals_lstm_ref():
    """`jax.experimental.rnn.lstm_ref`, cuDNN's semantics; its rows must not be empty."""
    cell, lengths = LSTM(H), np.array([5, 3, 1], np.int32)
    ways = [random_params(cell, D, seed=0), random_params(cell, D, seed=1)]
    xs, zeros = random(2, B, T, D), np.zeros((2, B, H))
    weights = [
        {way: jnp.asarray(array(params)) for way, params in enumerate(ways)}
        for array in (lambda p: p.w_x.T, lambda p: p.w_h.T, lambda p: p.b, lambda p: 0 * p.b)
    ]
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        expected, h, c = cudnn_rnn.lstm_ref(
            *map(jnp.asarray, (xs, zeros, zeros)), *weights, jnp.asarray(lengths), D, H, 1, 0.0, True
        )
    layer = Bidirectional(cell)
    run = quick_jit(lambda params, xs: layer.apply(params, xs, mask=lengths_to_mask(jnp.asarray(lengths), T)))
    carry, ys, _ = run(BidirectionalParams(*ways), xs)
    real = np.arange(T) < lengths[:, None]  # past the length lstm_ref promises nothing
    np.testing.assert_allclose(np.asarray(ys)[real], np.asarray(expected)[real], rtol=1e-10)
    for way, ours in enumerate(carry):
        np.testing.assert_allclose(ours.h, h[way], rtol=1e-10)
        np.testing.assert_allclose(ours.c, c[way], rtol=1e-10)


def run_flax(step, carry, xs):
    ys = []
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        for x in xs:
            carry, y = step(carry, jnp.asarray(x))
            ys.append(y)
    return carry, np.stack(ys)


def test_lstm_equals_flax_nnx():
    """Flax holds the carry as (c, h)."""
    cell, params, xs = LSTM(H), random_params(LSTM(H), D), random(1, T, D)
    theirs = nnx.OptimizedLSTMCell(D, H, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
    theirs.dense_i.kernel[...], theirs.dense_h.kernel[...], theirs.dense_h.bias[...] = params
    (c, h), expected = run_flax(theirs, (jnp.zeros(H), jnp.zeros(H)), xs)
    carry, ys = quick_jit(functools.partial(scan_cell, cell))(params, xs)
    np.testing.assert_allclose(ys, expected, rtol=1e-10)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-10), carry, LSTMCarry(h, c))


def test_gru_equals_flax_nnx():
    """Flax NNX's GRUCell has no b_hn; otherwise its convention is torch's."""
    cell, xs = GRU(H), random(1, T, D)
    params = random_params(cell, D)._replace(b_hn=np.zeros(H))
    theirs = nnx.GRUCell(D, H, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
    theirs.dense_i.kernel[...], theirs.dense_h.kernel[...], theirs.dense_i.bias[...] = params[:3]
    h, expected = run_flax(theirs, jnp.zeros(H), xs)
    carry, ys = quick_jit(functools.partial(scan_cell, cell))(params, xs)
    np.testing.assert_allclose(ys, expected, rtol=1e-10)
    np.testing.assert_allclose(carry.h, h, rtol=1e-10)


def test_gru_equals_flax_linen():
    """Flax linen's GRUCell has the bias of the candidate's recurrent part."""
    cell, params, xs = GRU(H), random_params(GRU(H), D), random(1, T, D)
    theirs = {"hn": {"bias": params.b_hn}}
    for index, gate in enumerate("rzn"):
        block = slice(index * H, (index + 1) * H)
        theirs[f"i{gate}"] = {"kernel": params.w_x[:, block], "bias": params.b[block]}
        theirs.setdefault(f"h{gate}", {})["kernel"] = params.w_h[:, block]
    module = nn.GRUCell(H)
    h, expected = run_flax(lambda carry, x: module.apply({"params": theirs}, carry, x), jnp.zeros(H), xs)
    carry, ys = quick_jit(functools.partial(scan_cell, cell))(params, xs)
    np.testing.assert_allclose(ys, expected, rtol=1e-10)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-10), carry, GRUCarry(h))


def test_elman_equals_flax_linen():
    cell, params, xs = Elman(H), random_params(Elman(H), D), random(1, T, D)
    theirs = {"i": {"kernel": params.w_x, "bias": params.b}, "h": {"kernel": params.w_h}}
    module = nn.SimpleCell(H)
    h, expected = run_flax(lambda carry, x: module.apply({"params": theirs}, carry, x), jnp.zeros(H), xs)
    carry, ys = quick_jit(functools.partial(scan_cell, cell))(params, xs)
    np.testing.assert_allclose(ys, expected, rtol=1e-10)
    np.testing.assert_allclose(carry.h, h, rtol=1e-10)
