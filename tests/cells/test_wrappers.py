"""Cells around cells: learned starts, zoneout, dropout of the state; and randomness per step in general."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import plain_loop
from oracles.foreign_cells import DecayingSum
from oracles.jitting import quick_jit
from oracles.plain_loop import Result

from rnn_jax import GRU, LSTM, Backend, Bidirectional, Elman, Recurrent, Stack, scan_cell
from rnn_jax.cells import HiddenDropout, LearnedStart, Zoneout
from rnn_jax.cells.contract import draws, splits

B, T, D, H = 3, 5, 2, 3
MASK = np.array([[1, 1, 1, 1, 1], [1, 0, 1, 1, 0], [0, 0, 0, 0, 0]], bool)
RESETS = np.array([[0, 0, 1, 0, 0], [0, 1, 0, 0, 1], [0, 0, 0, 1, 0]], bool)
ROW_KEYS = jax.random.split(jax.random.key(5), B)
DRAWING = {
    "zoneout": Zoneout(LSTM(H), rate=(0.2, 0.5)),
    "hidden dropout": HiddenDropout(GRU(H), rate=0.4),
    "both": Zoneout(HiddenDropout(LearnedStart(LSTM(H)), rate=0.4), rate=0.3),
    "a user's class": Zoneout(DecayingSum(H), rate=0.3, output=None),
}
BACKENDS = {
    "auto": "auto",
    "plain": "plain",
    "borders": Backend("deferred", save="borders", chunk_size=2),
    "carries": Backend("deferred", save="carries", chunk_size=3, project="step"),
}


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def random_like(tree, seed):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: rng.normal(size=np.shape(leaf)), tree)


def params_of(cell):
    return random_like(cell.init(jax.random.key(0), D), 1)


def arguments_of(cell):
    params, xs = params_of(cell), np.random.default_rng(2).normal(size=(B, T, D))
    run = lambda params: scan_cell(cell, params, xs, return_states=True)  # noqa: E731
    out = jax.eval_shape(run, params)
    return params, xs, random_like(out[0], 3), random_like(out, 4)


def scanned(cell, backend, key, *arguments, reverse=False, first_step=0, steps=slice(None)):
    """Outputs, and the gradients by params, xs and carry."""
    params, xs, carry, cotangents = arguments
    part = lambda tree: jax.tree.map(lambda leaf: leaf[:, steps], tree)  # noqa: E731

    def run(params, xs, carry):
        return scan_cell(
            cell,
            params,
            xs,
            mask=jnp.asarray(part(MASK)),
            resets=jnp.asarray(part(RESETS)),
            carry=carry,
            key=key,
            first_step=first_step,
            reverse=reverse,
            return_states=True,
            backend=backend,
        )

    out, vjp = jax.vjp(run, params, part(xs), carry)
    return Result(*out, *vjp((cotangents[0], part(cotangents[1]), part(cotangents[2]))))


def close(actual, expected, tolerance=1e-10):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), actual, expected)


@pytest.mark.parametrize(
    ("name", "backend", "reverse"),
    [
        pytest.param(
            name, backend, reverse, marks=[pytest.mark.exhaustive] * (reverse or backend not in ("auto", "borders"))
        )
        for name in DRAWING
        for backend in BACKENDS
        for reverse in (False, True)
        if splits(DRAWING[name]) or backend in ("auto", "plain")
    ],
)
def test_draws_are_those_of_row_and_step(name, backend, reverse, float64):
    """Against the plain loop, which folds a row's key by the number of the step; values and gradients."""
    cell, arguments = DRAWING[name], arguments_of(DRAWING[name])
    step_keys = [[jax.random.fold_in(key, t) for t in range(T)] for key in ROW_KEYS]
    actual = quick_jit(lambda *args: scanned(cell, BACKENDS[backend], ROW_KEYS, *args, reverse=reverse))(*arguments)
    params, xs, carry, cotangents = arguments
    expected = plain_loop.run_batch(cell, params, xs, carry, MASK, RESETS, cotangents, keys=step_keys, reverse=reverse)
    close(actual, expected)
    without = quick_jit(lambda *args: scanned(cell, "plain", None, *args, reverse=reverse).ys)(*arguments)
    assert draws(cell) and np.abs(actual.ys - without)[0].max() > 1e-3  # it did draw


@pytest.mark.parametrize("name", ["zoneout", "hidden dropout"])
def test_draws_depend_on_neither_chunks_nor_neighbours(name, float64):
    """A chunk with the number of its first step; a row alone; one key is as good as one a row."""
    cell, (params, xs, carry, _) = DRAWING[name], arguments_of(DRAWING[name])
    key = jax.random.key(9)
    run = quick_jit(lambda xs, carry, key, first: scan_cell(cell, params, xs, carry=carry, key=key, first_step=first))
    after, ys = run(xs, carry, key, 0)
    between, first = run(xs[:, :2], carry, key, 0)
    end, second = run(xs[:, 2:], between, key, 2)
    close(np.concatenate([first, second], axis=1), ys)
    close(end, after)

    take = lambda tree, rows: jax.tree.map(lambda leaf: leaf[rows], tree)  # noqa: E731
    row_keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, jnp.arange(B, dtype=jnp.uint32))
    close(run(xs, carry, row_keys, 0)[1], ys)
    close(run(xs[:2], take(carry, slice(2)), key, 0)[1], ys[:2])
    close(run(xs[2:], take(carry, slice(2, 3)), row_keys[2:], 0)[1], ys[2:])
    close(run(xs[1], take(carry, 1), row_keys[1], 0)[1], ys[1])
    mapped = jax.vmap(lambda x, c, k: scan_cell(cell, params, x, carry=c, key=k)[1])(xs, carry, row_keys)
    close(mapped, ys)
    assert not np.array_equal(run(xs, carry, key, 1)[1], ys)


def test_old_keys_draw_what_new_ones_do():
    cell, (params, xs, _, _) = DRAWING["zoneout"], arguments_of(DRAWING["zoneout"])
    old, new = (scan_cell(cell, params, xs, key=make(3))[1] for make in (jax.random.PRNGKey, jax.random.key))
    np.testing.assert_array_equal(old, new)
    with pytest.raises(ValueError, match=r"one a row, \(3,\); got keys of shape \(2,\)"):
        scan_cell(cell, params, xs, key=jax.random.split(jax.random.key(0), 2))


# --- zoneout ----------------------------------------------------------------------------------------------------------


def test_zoneout_by_its_equations():
    """Krueger et al. (2017): every unit of h and c is the old one with its rate, or the LSTM's own; y is that h."""
    cell, size = LSTM(400), 400
    params, x = cell.init(jax.random.key(0), D), jnp.ones(D)
    carry = jax.tree.map(lambda leaf: leaf + 0.5, cell.initial_carry(params))
    own, _ = cell.step(params, carry, x)
    zoned = Zoneout(cell, rate=(0.1, 0.6))
    after, y = zoned.step(params, carry, x, jax.random.key(1))
    for old, new, mixed, rate in zip(carry, own, after, (0.1, 0.6)):
        kept = np.asarray(mixed == old)
        np.testing.assert_array_equal(mixed, np.where(kept, old, new))
        assert abs(kept.mean() - rate) < 4 * np.sqrt(rate * (1 - rate) / size)
    np.testing.assert_array_equal(y, after.h)

    expectation, y = zoned.step(params, carry, x)
    for old, new, mixed, rate in zip(carry, own, expectation, (0.1, 0.6)):
        np.testing.assert_allclose(mixed, rate * np.asarray(old) + (1 - rate) * np.asarray(new), rtol=1e-6)
    np.testing.assert_array_equal(y, expectation.h)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_zoneout_at_its_ends_is_the_cell_itself_or_none(rate):
    cell = GRU(H)
    params, xs = cell.init(jax.random.key(0), D), jax.random.normal(jax.random.key(1), (B, T, D))
    ys = scan_cell(Zoneout(cell, rate=rate), params, xs, key=jax.random.key(2))[1]
    np.testing.assert_allclose(ys, scan_cell(cell, params, xs)[1] if rate == 0 else np.zeros((B, T, H)), atol=1e-6)


def test_zoneout_messages():
    with pytest.raises(ValueError, match=r"rate is a probability .* in \[0, 1\]; got 1.5"):
        Zoneout(LSTM(H), rate=(0.1, 1.5))
    with pytest.raises(ValueError, match=r"in \[0, 1\]; got nan"):
        Zoneout(LSTM(H), rate=float("nan"))
    cell = Zoneout(LSTM(H), rate=(0.1, 0.1, 0.1))
    with pytest.raises(ValueError, match=r"3 rates, .* but the carry has 2 arrays"):
        scan_cell(cell, cell.init(jax.random.key(0), D), jnp.ones((T, D)))
    cell = Zoneout(DecayingSum(H))
    with pytest.raises(ValueError, match=r"field 'h' as y, but the carry of DecayingSum has none: give output="):
        scan_cell(cell, cell.init(jax.random.key(0), D), jnp.ones((T, D)))


# --- dropout of the state ---------------------------------------------------------------------------------------------


def test_hidden_dropout_drops_what_the_matmul_reads_and_not_what_is_remembered():
    """GRU with W_h = 0: the dropped state has no way in, and h still decays by its update gate alone."""
    cell = GRU(H, w_h_init="zeros")
    params, xs = cell.init(jax.random.key(0), D), jax.random.normal(jax.random.key(1), (T, D))
    carry = cell.initial_carry(params)._replace(h=jnp.ones(H))
    plain, dropped = (
        scan_cell(c, params, xs, carry=carry, key=jax.random.key(2))[1] for c in (cell, HiddenDropout(cell, rate=0.9))
    )
    np.testing.assert_array_equal(plain, dropped)


def test_hidden_dropout_by_hand():
    """An identity network with W_h = I: h_1 = h_0 ⊙ m / (1 − rate) for the mask m of that step."""
    cell = HiddenDropout(Elman(1000, activation="identity", w_x_init="zeros", w_h_init="identity"), rate=0.25)
    params = cell.init(jax.random.key(0), 1)
    carry = cell.initial_carry(params)._replace(h=jnp.full(1000, 3.0))
    ys = [np.asarray(cell.step(params, carry, jnp.zeros(1), jax.random.key(seed))[1]) for seed in (0, 1)]
    assert set(np.unique(ys)) == {0.0, 4.0} and not np.array_equal(*ys)
    assert (ys[0] == 0).mean() == pytest.approx(0.25, abs=0.05)
    np.testing.assert_array_equal(cell.step(params, carry, jnp.zeros(1))[1], 3.0)


def test_hidden_dropout_needs_a_cell_that_splits():
    with pytest.raises(ValueError, match="for cells that are SplitCells; DecayingSum is none"):
        HiddenDropout(DecayingSum(H))
    with pytest.raises(ValueError, match=r"in \[0, 1\]; got -0.5"):
        HiddenDropout(GRU(H), rate=-0.5)


# --- learned starts ---------------------------------------------------------------------------------------------------


def test_learned_start_by_hand():
    """An identity network h_t = 2 h_{t−1} + x_t from h_0 = s, reset before its second step: Σ y = 4 s + …, so ∂/∂s = 4.

    A gradient that forgets resets would have 2 for the first step alone.
    """
    cell = LearnedStart(Elman(1, activation="identity"))
    params = cell.init(jax.random.key(0), 1)
    inner = params.cell._replace(w_x=jnp.ones((1, 1)), w_h=jnp.full((1, 1), 2.0), b=jnp.zeros(1))
    params = params._replace(cell=inner, start=params.start._replace(h=jnp.array([5.0])))

    def total(params, resets):
        return scan_cell(cell, params, jnp.array([[1.0], [10.0]]), resets=resets)[1].sum()

    resets = jnp.array([False, True])
    assert total(params, resets) == (2 * 5 + 1) + (2 * 5 + 10)
    gradient = jax.grad(total)(params, resets)
    assert gradient.start.h == 4 and gradient.cell.w_h == 10
    assert jax.grad(total)(params, ~resets).start.h == 2 + 4


def test_learned_start_begins_where_the_cell_does():
    cell = LearnedStart(DecayingSum(H))
    params = cell.init(jax.random.key(0), D)
    jax.tree.map(np.testing.assert_array_equal, params.start, (np.full(H, 0.5), np.ones(())))


def test_learned_start_of_each_direction_and_layer():
    layer = Stack(Bidirectional(LearnedStart(GRU(H))), LearnedStart(LSTM(H)))
    params = layer.init(jax.random.key(0), D)
    xs, mask = jnp.ones((2, T, D)), jnp.zeros((2, T), bool)
    moved = jax.tree.map(lambda leaf: leaf + 0.25, params)
    out = layer.apply(moved, xs, mask=mask)
    for leaf in jax.tree.leaves(out.carry):
        np.testing.assert_array_equal(leaf, 0.25)


# --- what wrappers promise as cells -----------------------------------------------------------------------------------


def test_a_wrapper_splits_if_its_cell_does():
    assert splits(Zoneout(LSTM(H))) and splits(LearnedStart(Zoneout(GRU(H))))
    assert not splits(Zoneout(DecayingSum(H)))


@pytest.mark.parametrize("cell", [Zoneout(LSTM(H), rate=0.2), LearnedStart(GRU(H)), HiddenDropout(Elman(H))])
def test_wrappers_are_values(cell):
    assert eval(repr(cell)) == cell and hash(eval(repr(cell))) == hash(cell)
    assert dataclasses.replace(cell, cell=LSTM(H + 1)) != cell


def test_recurrent_dropout_reaches_the_weights_inside():
    """DropConnect on w_h where the wrapper keeps it; nothing else is dropped."""
    cell = LearnedStart(LSTM(50))
    params, xs = cell.init(jax.random.key(0), D), jnp.ones((1, 3, D))
    layer = Recurrent(cell, recurrent_dropout=0.5)
    dropped = layer.apply(params, xs, key=jax.random.key(1)).ys
    assert np.abs(dropped - layer.apply(params, xs).ys).max() > 1e-3
    still = params._replace(cell=params.cell._replace(w_h=jnp.zeros_like(params.cell.w_h)))
    np.testing.assert_array_equal(layer.apply(still, xs, key=jax.random.key(1)).ys, layer.apply(still, xs).ys)


def test_counters_of_a_carry_are_not_learned():
    """A step counter stays an integer that starts at 0; the numbers beside it are learned."""

    class Counting(DecayingSum):
        def initial_carry(self):
            return super().initial_carry(), jnp.zeros((), jnp.int32)

        def step(self, params, carry, x):
            after, y = super().step(params, carry[0], x)
            return (after, carry[1] + 1), y

    cell = LearnedStart(Counting(H))
    params = cell.init(jax.random.key(0), D)
    assert [leaf.dtype for leaf in jax.tree.leaves(params.start)] == [jnp.float32] * 2
    carry, _ = scan_cell(cell, params, jnp.ones((B, T, D)), resets=jnp.asarray(RESETS))
    assert carry[1].dtype == jnp.int32 and carry[1].tolist() == [3, 1, 2]  # steps since the last reset
    gradient = jax.grad(lambda p: scan_cell(cell, p, jnp.ones((B, T, D)))[1].sum())(params)
    assert np.any(gradient.start[0][0])


@pytest.mark.parametrize("backend", ["plain", "deferred"])
def test_learned_starts_sum_their_gradient_in_float32(backend):
    """3,000 resets in bfloat16, whose own sum would stop growing at some hundreds."""
    cell = LearnedStart(LSTM(4))
    params = cell.init(jax.random.key(0), D)
    xs = jax.random.normal(jax.random.key(1), (1, 3000, D))

    def gradient(xs):
        resets = jnp.ones((1, 3000), bool)
        loss = lambda p: scan_cell(cell, p, xs, resets=resets, backend=backend)[1].astype(jnp.float32).sum()  # noqa: E731
        return quick_jit(jax.grad(loss))(params).start.h

    exact, rounded = gradient(xs), gradient(xs.astype(jnp.bfloat16))
    assert rounded.dtype == jnp.float32 and np.abs(exact).max() > 300
    np.testing.assert_allclose(rounded, exact, rtol=0.02, atol=0.01 * np.abs(exact).max())


# --- which methods take a key -----------------------------------------------------------------------------------------


class KeyByName(DecayingSum):
    """Takes its key as this library writes it, by name, beside another argument with a default."""

    def step(self, params, carry, x, scale=0.5, *, key=None):
        noise = 0.0 if key is None else jax.random.normal(key, x.shape)
        return super().step(params, carry, x * scale + noise)


class NoisyElman(Elman):
    """Draws in one of its three parts and overrides nothing else."""

    def activate(self, params, carry, preactivations, key=None):
        noise = 0.0 if key is None else jax.random.normal(key, preactivations.shape)
        return super().activate(params, carry, preactivations + noise)


@pytest.mark.parametrize(
    ("cell", "backend"), [(KeyByName(H), "plain"), (NoisyElman(H), "plain"), (NoisyElman(H), "deferred")]
)
def test_keys_go_by_name_to_the_methods_that_take_one(cell, backend):
    params, xs, key = cell.init(jax.random.key(0), D), jnp.ones((T, D)), jax.random.key(3)
    assert draws(cell) and not draws(LearnedStart(LSTM(H))) and not draws(DecayingSum(H))
    ys = scan_cell(cell, params, xs, key=key, backend=backend)[1]
    carry, expected = Recurrent(cell).initial_carry(params), []
    for t in range(T):
        carry, y = cell.step(params, carry, xs[t], key=jax.random.fold_in(key, t))
        expected.append(y)
    np.testing.assert_allclose(ys, jnp.stack(expected), rtol=1e-5)
    assert np.abs(ys - scan_cell(cell, params, xs)[1]).max() > 0.01


def test_a_key_is_none_by_default():
    class Demanding(DecayingSum):
        def step(self, params, carry, x, key):
            return super().step(params, carry, x)

    with pytest.raises(TypeError, match="step takes key=None: without a key it computes the expectation"):
        scan_cell(Demanding(H), Demanding(H).init(jax.random.key(0), D), jnp.ones((T, D)), key=jax.random.key(0))
