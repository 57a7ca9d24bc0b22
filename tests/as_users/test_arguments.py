"""What users give: masks of integers, lists, numpy; sizes, initializers and shapes that are wrong. Without the hooks of
the other tests, which would speak first (see conftest.py)."""

import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rnn_jax import (
    GRU,
    LSTM,
    Bidirectional,
    Elman,
    Memoryless,
    ProjectedLSTM,
    Recurrent,
    Stack,
    initializer,
    make_cell,
    scan_cell,
)
from rnn_jax.analysis import gate_values, gradient_norms
from rnn_jax.cells import CELLS, chrono
from rnn_jax.modules import RNN
from rnn_jax.scanning.scan import _scan

KEY = jax.random.key(0)
XS = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
MASK = np.array([[True, True, False, True], [True, False, False, False]])
RESETS = np.array([[False, False, True, False], [False, True, False, False]])


def cell_and_params(cell=None):
    cell = cell or LSTM(5)
    return cell, cell.init(KEY, 3)


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


# --- masks ------------------------------------------------------------------------------------------------------------


def runs(mask, resets):
    """Everything that takes a mask over time, on the same data."""
    cell, params = cell_and_params()
    stack = Stack(Bidirectional(LSTM(5)), GRU(4), residual=False)
    rnn = RNN(stack, 3, rngs=nnx.Rngs(0))
    yield scan_cell(cell, params, XS, mask=mask, resets=resets)
    yield scan_cell(cell, params, XS, mask=mask, resets=resets, reverse=True, backend="plain")
    yield scan_cell(cell, params, XS[0], mask=mask[0], resets=resets[0])
    yield stack.apply(stack.init(KEY, 3), XS, mask=mask, resets=resets)
    yield rnn(XS, mask=mask, resets=resets)
    yield gate_values(cell, params, XS, mask=mask, resets=resets)
    yield gradient_norms(cell, params, jnp.asarray(XS), mask=mask)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "int8"])
def test_masks_of_integers_mean_what_they_say(dtype):
    for as_integers, as_booleans in zip(runs(2 * MASK.astype(dtype), RESETS.astype(dtype)), runs(MASK, RESETS)):
        same(as_integers, as_booleans)


@pytest.mark.parametrize("name", ["mask", "resets"])
def test_masks_between_yes_and_no_are_refused(name):
    half = np.full((2, 4), 0.5, np.float32)
    for given in (half, MASK.astype(np.float32)):
        flags = {"mask": MASK, "resets": RESETS} | {name: given}
        with pytest.raises(TypeError, match=f"{name} holds booleans, or integers .* got float32. Give {name} > 0"):
            list(runs(flags["mask"], flags["resets"]))


# --- messages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [LSTM, GRU, Elman, Memoryless, ProjectedLSTM])
@pytest.mark.parametrize("size", [4.0, -1, 0, "4", None, True, (3,)])
def test_sizes_are_integers_of_at_least_1(kind, size):
    with pytest.raises(ValueError) as caught:
        kind(size)
    assert str(caught.value) == f"hidden_size is an integer of at least 1; got {size!r}."


def test_numpy_integers_are_sizes():
    assert LSTM(np.int64(4)) == LSTM(4) and hash(LSTM(np.int64(4))) == hash(LSTM(4))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: LSTM(3, b_init=[0, 1, 0, 0]),
            r"^b_init is a name .*one a gate; got \[0, 1, 0, 0\]\.$",
        ),
        (
            lambda: LSTM(3, b_init=(0, 1, 0)),
            r"^b_init is one initializer, or a tuple of 4, .*; got \(0, 1, 0\)\.$",
        ),
        (lambda: GRU(3, w_h_init="ortho"), r"^w_h_init: no initializer 'ortho'; there are: .*orthogonal"),
        (
            lambda: LSTM(3, w_x_init=lambda *_: 0),
            r"^w_x_init is a name .*stddev=0.02\).*got <function",
        ),
        (lambda: LSTM(3, w_x_init=jax.nn.initializers.normal(1)), r"^w_x_init is a name .*initializer\('normal'"),
        (lambda: GRU(3, w_x_init=functools.partial(max)), r"^w_x_init is a name .*got functools.partial"),
        (lambda: ProjectedLSTM(3, projection_size=0), "^projection_size is an integer of at least 1; got 0.$"),
        (lambda: initializer("gaussian"), "initializer.'gaussian'.* is none of jax.nn.initializers"),
        (lambda: initializer("normal", sigma=1), "is none of jax.nn.initializers: .*sigma"),
        (lambda: LSTM(3).init(4, KEY), r"^init\(key, input_size\): key is a jax.random.key; got 4\.$"),
        (lambda: LSTM(3).init(KEY, KEY), r"^init\(key, input_size\): input_size is an integer .*; got Array"),
        (lambda: GRU(3).init(KEY, 0), "^input_size is an integer of at least 1; got 0.$"),
        (lambda: GRU(3).init(KEY, (2, 3)), r"^input_size is an integer of at least 1; got \(2, 3\)\.$"),
    ],
)
def test_one_sentence_names_the_argument(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("name", [name for name in CELLS if "elman_" not in name])
@pytest.mark.parametrize("backend", ["auto", "plain"])
def test_five_features_into_a_cell_of_three(name, backend):
    cell, params = cell_and_params(make_cell(name, 4))
    for run in (
        lambda: scan_cell(cell, params, jnp.ones((2, 4, 5)), backend=backend),
        lambda: Stack(cell).apply((params,), jnp.ones((4, 5))),
        lambda: cell.step(params, Recurrent(cell).initial_carry(params), jnp.ones(5)),
    ):
        with pytest.raises(ValueError, match=r"^x has shape \(5,\) .* made for vectors of 3 numbers"):
            run()


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool"])
@pytest.mark.parametrize("cell", [LSTM(4), GRU(4), Memoryless(4)], ids=lambda cell: type(cell).__name__)
def test_inputs_are_floating_point_numbers(cell, dtype):
    """Weights in such a dtype would all be 0."""
    with pytest.raises(TypeError, match=rf"x holds floating-point numbers; got {dtype}\. Give xs\.astype"):
        scan_cell(cell, cell.init(KEY, 3), jnp.ones((2, 4, 3), dtype), batched=True)


def test_fields_after_the_size_go_by_name():
    for make in (lambda: Elman(3, "relu"), lambda: LSTM(3, "zeros"), lambda: Memoryless(3, "zeros")):
        with pytest.raises(TypeError, match="positional argument"):
            make()


# --- cells are values -------------------------------------------------------------------------------------------------


def spelt():
    return GRU(
        6,
        b_init=("zeros", chrono(30), 0.5),
        w_x_init=initializer("normal", stddev=0.02),
        w_h_init=initializer("orthogonal", scale=0.9),
    )


def test_initializers_with_options_are_values():
    """Equal, hashable, picklable; they draw what jax.nn.initializers do."""
    assert spelt() == spelt() and hash(spelt()) == hash(spelt()) and pickle.loads(pickle.dumps(spelt())) == spelt()
    assert spelt() != GRU(6, b_init=("zeros", chrono(31), 0.5))
    drawn = initializer("normal", stddev=0.02)(KEY, (50, 40))
    np.testing.assert_array_equal(drawn, jax.nn.initializers.normal(0.02)(KEY, (50, 40)))
    assert abs(spelt().init(KEY, 200).w_x.std() - 0.02) < 0.002


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_is_picklable(name):
    cell = make_cell(name, 4)
    assert pickle.loads(pickle.dumps(cell)) == cell
    layer = Stack(Bidirectional(cell), cell, dropout=0.5)
    assert pickle.loads(pickle.dumps(layer)) == layer


def test_equal_cells_share_what_is_compiled():
    """Also outside of jit: the second eager call finds the first one's program."""
    params = spelt().init(KEY, 3)
    scan_cell(spelt(), params, XS)
    programs = _scan._cache_size()
    scan_cell(spelt(), params, 2 * XS)
    assert _scan._cache_size() == programs


def test_cells_and_layers_are_arguments_of_jit():
    """Static pytrees: no leaves, and one trace for equal ones."""
    traces = []

    @jax.jit
    def run(cell, layer, params, xs):
        traces.append(cell)
        return layer.apply((params,), scan_cell(cell, params, xs)[1]).ys

    cell = LSTM(3)
    params = cell.init(KEY, 3)
    first = run(cell, Stack(LSTM(3)), params, XS)
    np.testing.assert_array_equal(run(LSTM(3), Stack(LSTM(3)), params, XS), first)
    assert len(traces) == 1 and jax.tree.leaves((cell, Stack(cell))) == []
    run(LSTM(3, chrono=5), Stack(LSTM(3)), params, XS)
    assert len(traces) == 2


# --- what else may be given -------------------------------------------------------------------------------------------


def test_numpy_and_lists_in_jax_out():
    cell, params = cell_and_params()
    on_host = jax.tree.map(np.asarray, params)
    carry = [np.ones((2, 5), np.float32), [[0.5] * 5] * 2]
    expected = scan_cell(cell, params, jnp.asarray(XS), mask=jnp.asarray(MASK), carry=tuple(map(jnp.asarray, carry)))
    same(scan_cell(cell, on_host, XS, mask=MASK, carry=(carry[0], np.asarray(carry[1], np.float32))), expected)
    same(
        scan_cell(cell, on_host, XS.astype(np.float64), mask=MASK.tolist(), carry=tuple(map(jnp.asarray, carry))),
        expected,
    )


@pytest.mark.parametrize("shape", [(0, 4, 3), (2, 0, 3), (0, 0, 3), (0, 3)])
@pytest.mark.parametrize("flags", [False, True])
def test_nothing_gives_nothing(shape, flags):
    """No rows, no steps, neither: empty results of the right shape from every layer, and gradients of zeros."""
    *leading, _ = shape
    given = {"mask": np.ones(leading, bool), "resets": np.ones(leading, bool)} if flags else {}
    rows = leading[:-1]
    for layer, carry_shapes, width in (
        (Recurrent(LSTM(5)), [(5,), (5,)], 5),
        (Recurrent(GRU(5), reverse=True), [(5,)], 5),
        (Bidirectional(Elman(5)), [(5,), (5,)], 10),
        (Stack(Bidirectional(GRU(2)), LSTM(4), GRU(4), dropout=0.5, residual=True), [(2,), (2,), (4,), (4,), (4,)], 4),
    ):
        params = layer.init(KEY, 3)
        for key in (None, KEY):
            out = layer.apply(params, np.zeros(shape, np.float32), key=key, **given)
            assert out.ys.shape == (*leading, width) and out.last.shape == (*rows, width) and not np.any(out.last)
            assert [leaf.shape for leaf in jax.tree.leaves(out.carry)] == [(*rows, *one) for one in carry_shapes]
        loss = lambda params, layer=layer: layer.apply(params, np.zeros(shape, np.float32), **given).ys.sum()  # noqa: E731
        assert not any(np.any(leaf) for leaf in jax.tree.leaves(jax.grad(loss)(params)))
