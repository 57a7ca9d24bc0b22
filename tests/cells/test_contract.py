"""Every cell × everything that a cell run by `scan_cell` promises.

The reference is `oracles.plain_loop`: a Python loop with `if`s and the chain rule by hand. Most tests run in float64,
where agreement to 1e-10 leaves no room for a wrong term. One compiled program a cell (outputs and cotangents together)
serves most promises, so the shapes are the same throughout.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import plain_loop
from oracles.foreign_cells import DecayGRU, DecayingSum
from oracles.jitting import quick_jit
from oracles.plain_loop import Result, stack, take

from rnn_jax import CELLS, Backend, Bidirectional, make_cell, scan_cell, segment_ids_to_resets
from rnn_jax.cells import *  # noqa: F403 — eval(repr(cell)) needs the classes' names
from rnn_jax.cells import GRU, LSTM, LearnedStart, PeepholeConvLSTM, Zoneout
from rnn_jax.cells.contract import size_of, start

B, T, D, H = 4, 6, 3, 4


# Cells that are made elsewhere, with what their `init` is told of one x.
VECTOR, IMAGE = jax.ShapeDtypeStruct((D,), float), jax.ShapeDtypeStruct((3, 2, D), float)
FURTHER = {
    "a user's class": (DecayingSum(H), VECTOR),
    "images": (PeepholeConvLSTM(H, image_size=(3, 2)), IMAGE),
    "values and times": (DecayGRU(H), (VECTOR, jax.ShapeDtypeStruct((), float))),
    "zoneout": (Zoneout(LSTM(H), rate=(0.1, 0.5)), VECTOR),  # at its expectation; with keys in test_wrappers.py
    "learned start": (LearnedStart(GRU(H)), VECTOR),
    "wrapped user's class": (LearnedStart(DecayingSum(H)), VECTOR),
}
NAMES = (*CELLS, *FURTHER)
# One cell of each kind by default, and all of them with --all: what differs in an activation or its number of gates, as
# test_references.py holds it to its equations, keeps and breaks the same promises.
LIKE_ANOTHER = {"elman_leaky_relu", "elman_elu", "elman_sigmoid", "elman_identity", "lstm_coupled", "gru_layer_norm"}
LIKE_ANOTHER |= {"wrapped user's class"}
# What jax's transformations, a step alone, and other ways of scanning keep is the scan's affair more than a cell's: by
# default for one cell of one array, of two that are projected together, and of each kind that is made elsewhere.
OF_THE_SCAN = {"elman", "lstm", "gru", *FURTHER} - LIKE_ANOTHER


def cases(names, by_default=frozenset(NAMES) - LIKE_ANOTHER):
    return [pytest.param(name, marks=[pytest.mark.exhaustive] * (name not in by_default)) for name in names]


# The scope puts all tests of one cell next to each other, so that parallel workers share few compiled programs.
every_cell = pytest.mark.parametrize("name", cases(NAMES), scope="module")
every_kind = pytest.mark.parametrize("name", cases(NAMES, OF_THE_SCAN), scope="module")
every_built_in = pytest.mark.parametrize("name", cases(CELLS), scope="module")
both_directions = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])


@functools.cache
def make(name):
    return make_cell(name, H) if name in CELLS else FURTHER[name][0]


def one_x(name):
    return VECTOR if name in CELLS else FURTHER[name][1]


def input_size(name):
    """What `init` is told: D of a vector, the shape of an image, or the structs of a pair."""
    return size_of(jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, jnp.float32), one_x(name)))


def xs_like(name, *leading, dtype=float):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct((*leading, *x.shape), dtype), one_x(name))


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


# --- data and programs ------------------------------------------------------------------------------------------------


def random_tree(like, seed, scale=1.0):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: scale * rng.normal(size=leaf.shape), like)


@functools.cache
def float64_params(name):
    """Params with no zero left in them: biases, peepholes and scales are moved off their initial values."""
    params = make(name).init(jax.random.key(7), input_size(name))
    return jax.tree.map(lambda leaf, noise: np.asarray(leaf, np.float64) + 0.3 * noise, params, random_tree(params, 1))


def initial_carry(name, batch=B):
    return stack([start(make(name), float64_params(name))] * batch)


def random_carry(name, batch=B, seed=2):
    return random_tree(initial_carry(name, batch), seed, 0.5)


def random_xs(name, *leading, seed=3):
    return random_tree(xs_like(name, *(leading or (B, T))), seed)


def with_padding(mask, xs, padding):
    """xs with `padding` where the mask is False."""

    def fill(leaf):
        return np.where(mask.reshape(mask.shape + (1,) * (leaf.ndim - mask.ndim)), leaf, padding)

    return jax.tree.map(fill, xs)


def random_cotangents(name, seed=4, shape=(B, T)):
    """∂L/∂ of (carry, ys, states) for runs over `shape`."""

    def run(params, xs):
        return scan_cell(make(name), params, xs, return_states=True, batched=True)

    return random_tree(jax.eval_shape(run, float64_params(name), xs_like(name, *shape)), seed)


def bools(*rows):
    return np.array([[character == "1" for character in row] for row in rows])


ALL, NONE = bools(*["1" * T] * B), bools(*["0" * T] * B)
MASK = bools("111111", "111000", "000000", "010110")
RESETS = bools("001000", "010010", "000100", "001000")


def differentiated(name, reverse=False, backend="auto"):
    """(params, xs, carry, mask, resets, cotangents) → everything that comes out, forward and back."""

    def run_and_pull_back(params, xs, carry, mask, resets, cotangents):
        def run(params, xs, carry):
            return scan_cell(
                make(name),
                params,
                xs,
                mask=mask,
                resets=resets,
                carry=carry,
                reverse=reverse,
                backend=backend,
                return_states=True,
            )

        out, vjp = jax.vjp(run, params, xs, carry)
        return Result(*out, *vjp(cotangents))

    return run_and_pull_back


@functools.cache
def program(name, reverse=False, backend="auto"):
    return quick_jit(differentiated(name, reverse, backend))


def assert_close(actual, expected, tolerance=1e-10):
    wanted = jax.tree.leaves(expected)
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for (path, leaf), other in zip(jax.tree.leaves_with_path(actual), wanted, strict=True):
        np.testing.assert_allclose(leaf, other, rtol=tolerance, atol=tolerance, err_msg=jax.tree_util.keystr(path))


def assert_same_bits(actual, expected):
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


# --- one step ---------------------------------------------------------------------------------------------------------


@every_built_in
def test_a_step_is_its_three_parts(name, float64):
    """Projecting the whole sequence first and going on from there gives the outputs of the plain loop over `step`."""
    cell, steps = make(name), 3
    cotangents = random_cotangents(name, shape=(B, steps))
    row = take((random_xs(name, B, steps), random_carry(name), ALL[:, :steps], NONE[:, :steps], cotangents), 0)

    @quick_jit
    def in_parts(params, xs, carry):
        projected, ys = jax.vmap(cell.project, in_axes=(None, 0))(params, xs), []
        for t in range(steps):
            preactivations = cell.preactivate(params, carry, take(projected, t))
            carry, y = cell.activate(params, carry, preactivations)
            ys.append(y)
        return carry, jnp.stack(ys)

    expected = plain_loop.run_row(cell, float64_params(name), *row)
    assert_close(in_parts(float64_params(name), *row[:2]), (expected.carry, expected.ys))


@every_cell
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float64], ids=lambda dtype: dtype.__name__)
def test_carry_keeps_structure_and_dtype(name, dtype):
    """y has the dtype of x; what a step returns is what it takes; gradients have the dtypes of what they belong to."""
    with jax.enable_x64(dtype == jnp.float64):
        cell = make(name)
        params = jax.eval_shape(lambda key: cell.init(key, input_size(name)), jax.random.key(0))
        xs = xs_like(name, B, T, dtype=dtype)
        assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}

        run = lambda p, xs: scan_cell(cell, p, xs, return_states=True, batched=True)  # noqa: E731
        carry, ys, states = jax.eval_shape(run, params, xs)
        after_one_step, y = jax.eval_shape(
            jax.vmap(cell.step, in_axes=(None, 0, 0)), params, carry, xs_like(name, B, dtype=dtype)
        )
        assert after_one_step == carry
        assert jax.tree.structure(carry) == jax.tree.structure(jax.eval_shape(lambda p: start(cell, p), params))
        assert ys == jax.ShapeDtypeStruct((B, T, *y.shape[1:]), dtype)
        assert states == jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((B, T, *leaf.shape[1:]), leaf.dtype), carry)

        def loss(params, xs):
            return scan_cell(cell, params, xs, batched=True)[1].astype(jnp.float32).sum()

        params_bar, xs_bar = jax.eval_shape(jax.grad(loss, argnums=(0, 1)), params, xs)
        assert params_bar == params and xs_bar == xs


@every_built_in
def test_carries_that_accumulate_stay_float32(name):
    """The LSTMs' c and the GRUs' h, which a step adds to; what is made anew every step follows the inputs."""
    params = jax.eval_shape(lambda key: make(name).init(key, D), jax.random.key(0))
    xs = jax.ShapeDtypeStruct((T, D), jnp.bfloat16)
    carry, _ = jax.eval_shape(lambda p, xs: scan_cell(make(name), p, xs), params, xs)
    accumulator = {"lstm": "c", "gru": "h"}.get(name.split("_")[0])
    for field, leaf in carry._asdict().items():
        assert leaf.dtype == (jnp.float32 if field == accumulator else jnp.bfloat16), field


@every_built_in
def test_repr_hash_and_replace(name):
    cell = make_cell(name, 5, {"w_x_init": ("zeros",) * 3 if name.startswith("gru") else "normal"})
    assert eval(repr(cell)) == cell and hash(eval(repr(cell))) == hash(cell)
    wider = dataclasses.replace(cell, hidden_size=6)
    assert wider != cell and wider.hidden_size == 6 and wider.w_x_init == cell.w_x_init
    with pytest.raises(dataclasses.FrozenInstanceError):
        cell.hidden_size = 7


# --- values and gradients ---------------------------------------------------------------------------------------------


@every_cell
@both_directions
def test_scan_equals_a_plain_loop(name, reverse, float64):
    """Outputs, carries of every step, and gradients wrt params, xs and carry; mask with gaps, resets, an empty row."""
    arguments = (float64_params(name), random_xs(name), random_carry(name), MASK, RESETS, random_cotangents(name))
    actual = program(name, reverse)(*arguments)
    expected = plain_loop.run_batch(make(name), *arguments[:3], MASK, RESETS, arguments[-1], reverse=reverse)
    assert_close(actual, expected)
    assert_same_bits(take(actual.states, (slice(None), 0 if reverse else -1)), actual.carry)


@every_cell
def test_gradients_equal_finite_differences(name, float64):
    """Central differences along a random direction in each argument."""
    params, xs, carry, cotangents = (
        float64_params(name),
        random_xs(name),
        random_carry(name),
        random_cotangents(name),
    )
    run = program(name)

    def loss(*arguments):
        result = run(*arguments, MASK, RESETS, cotangents)
        return inner((result.carry, result.ys, result.states), cotangents)

    def inner(a, b):
        return sum(np.vdot(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))

    result = run(params, xs, carry, MASK, RESETS, cotangents)
    bars, epsilon = (result.params_bar, result.xs_bar, result.carry_bar), 1e-5
    for index, (argument, bar) in enumerate(zip((params, xs, carry), bars, strict=True)):
        direction = random_tree(argument, 10 + index)
        moved = [
            [
                jax.tree.map(lambda a, d, e=e: a + e * d, argument, direction) if other == index else kept
                for other, kept in enumerate((params, xs, carry))
            ]
            for e in (epsilon, -epsilon)
        ]
        slope = (loss(*moved[0]) - loss(*moved[1])) / (2 * epsilon)
        np.testing.assert_allclose(inner(bar, direction), slope, rtol=1e-6, atol=1e-6)


@every_cell
def test_jit_equals_eager(name, float64):
    """Without jit a scan is a Python loop over primitives."""
    params, xs, carry = float64_params(name), random_xs(name), random_carry(name)
    compiled = program(name)(params, xs, carry, MASK, RESETS, random_cotangents(name))
    with jax.disable_jit():
        eager = scan_cell(
            make(name),
            jax.tree.map(jnp.asarray, params),
            jax.tree.map(jnp.asarray, xs),
            mask=jnp.asarray(MASK),
            resets=jnp.asarray(RESETS),
            carry=carry,
            return_states=True,
        )
    assert_close(eager, (compiled.carry, compiled.ys, compiled.states))


@every_kind
def test_vmap_equals_loop_and_gives_per_example_gradients(name, float64):
    """vmap over examples of the single-sequence form: each example's own gradients, params included."""
    arguments = (random_xs(name), random_carry(name), MASK, RESETS, random_cotangents(name))
    mapped = quick_jit(jax.vmap(differentiated(name), in_axes=(None, 0, 0, 0, 0, 0)))(float64_params(name), *arguments)
    rows = plain_loop.run_rows(make(name), float64_params(name), *arguments)
    assert_close(mapped, stack(rows))


@every_kind
def test_single_sequence_is_a_batch_of_one(name, float64):
    arguments = (random_xs(name), random_carry(name), MASK, RESETS, random_cotangents(name))
    row = 3
    single = program(name)(float64_params(name), *take(arguments, row))
    expected = plain_loop.run_row(make(name), float64_params(name), *take(arguments, row))
    assert_close(single, expected)


@every_kind
def test_ensemble_over_params_equals_a_loop_over_members(name, float64):
    members = [float64_params(name), jax.tree.map(lambda leaf: 0.5 - leaf, float64_params(name))]
    shared = (random_xs(name), random_carry(name), MASK, RESETS, random_cotangents(name))
    ensemble = quick_jit(jax.vmap(differentiated(name), in_axes=(0, None, None, None, None, None)))
    actual = ensemble(stack(members), *shared)
    expected = [plain_loop.run_batch(make(name), member, *shared) for member in members]
    assert_close(actual, stack(expected))


@every_kind
def test_unroll_changes_nothing(name, float64):
    """2 does not divide T = 3."""
    arguments = (random_xs(name, B, 3), random_carry(name), MASK[:, 3:], RESETS[:, 3:])
    cotangents = random_cotangents(name, shape=(B, 3))
    unrolled = program(name, backend=Backend(unroll=2))(float64_params(name), *arguments, cotangents)
    assert_close(unrolled, plain_loop.run_batch(make(name), float64_params(name), *arguments, cotangents))


# --- mask -------------------------------------------------------------------------------------------------------------


@every_cell
@both_directions
@pytest.mark.parametrize("padding", [1e30, np.inf, np.nan], ids=["garbage", "inf", "nan"])
def test_padding_is_invisible(name, reverse, padding, float64):
    """Not to outputs, carry or states, and not to any gradient: not a bit of them changes."""
    xs = random_xs(name)
    arguments = (random_carry(name), MASK, RESETS, random_cotangents(name))
    clean = program(name, reverse)(float64_params(name), with_padding(MASK, xs, 0.0), *arguments)
    dirty = program(name, reverse)(float64_params(name), with_padding(MASK, xs, padding), *arguments)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(clean))
    assert_same_bits(dirty, clean)
    for leaf in jax.tree.leaves((dirty.ys, dirty.xs_bar)):
        assert not np.asarray(leaf)[~MASK].any()


@every_cell
@both_directions
def test_row_of_length_0_returns_the_carry_it_was_given_and_zeros(name, reverse, float64):
    xs, cotangents = with_padding(NONE, random_xs(name), np.nan), random_cotangents(name)
    for carry in (initial_carry(name), random_carry(name)):
        result = program(name, reverse)(float64_params(name), xs, carry, NONE, NONE, cotangents)
        assert_same_bits(result.carry, carry)
        assert not np.any(result.ys)
        assert not any(np.any(leaf) for leaf in jax.tree.leaves((result.params_bar, result.xs_bar)))
        from_states = jax.tree.map(lambda leaf: leaf.sum(axis=1), cotangents[2])
        assert_close(result.carry_bar, jax.tree.map(np.add, cotangents[0], from_states))


@every_cell
def test_gaps_equal_the_sequence_without_them(name, float64):
    """Rows with holes against the same steps moved together, padded at the end."""
    gaps = bools("101101", "010101", "011110", "100001")
    first = np.argsort(~gaps, axis=1, kind="stable")  # the real steps first, in their order
    moved = jax.tree.map(lambda leaf: np.stack([row[order] for row, order in zip(leaf, first)]), random_xs(name))
    together = np.sort(gaps, axis=1)[:, ::-1]
    arguments = (float64_params(name), random_carry(name), random_cotangents(name))
    with_gaps = program(name)(arguments[0], random_xs(name), arguments[1], gaps, NONE, arguments[2])
    padded = with_padding(together, moved, np.nan)
    without = program(name)(arguments[0], padded, arguments[1], together, NONE, arguments[2])
    assert_close(with_gaps.carry, without.carry)
    np.testing.assert_allclose(np.asarray(with_gaps.ys)[gaps], np.asarray(without.ys)[together], rtol=1e-12)


# --- resets: packed rows ----------------------------------------------------------------------------------------------

# Rows of segment ids; 0 is padding. In the last row the first sequence has a gap, which is no boundary.
PACKED = ("112222", "100220", "000000", "011013")
SEQUENCES = [[(0, 1), (2, 3, 4, 5)], [(0,), (3, 4)], [], [(1, 2, 4), (5,)]]
PACKED_MASK = bools(*(row.replace("2", "1").replace("3", "1") for row in PACKED))


@functools.cache
def packed_resets():
    from_ids = segment_ids_to_resets(jnp.asarray([[int(character) for character in row] for row in PACKED]))
    return np.concatenate([from_ids[:3], bools("010001")])


def run_apart(name, params, xs, cotangents, reverse):
    """Each packed sequence alone, by the plain loop, which begins with a reset: {(row, steps): Result}."""
    apart, initial = {}, start(make(name), params)
    zero = jax.tree.map(np.zeros_like, initial)
    for row, sequences in enumerate(SEQUENCES):
        for steps in sequences:
            index = np.array(steps)
            bars = (zero, take(cotangents[1], (row, index)), take(cotangents[2], (row, index)))
            everywhere, at_its_start = np.ones(len(steps), bool), np.zeros(len(steps), bool)
            at_its_start[-1 if reverse else 0] = True
            apart[row, steps] = plain_loop.run_row(
                make(name), params, take(xs, (row, index)), initial, everywhere, at_its_start, bars, reverse=reverse
            )
    return apart


@every_cell
def test_packed_rows_equal_separate_sequences(name, float64):
    """Outputs and gradients; NaN between the sequences."""
    params, xs = float64_params(name), with_padding(PACKED_MASK, random_xs(name), np.nan)
    final, ys_bar, states_bar = random_cotangents(name)
    zeros = jax.tree.map(np.zeros_like, (final, states_bar))
    packed = program(name)(params, xs, initial_carry(name), PACKED_MASK, packed_resets(), (zeros[0], ys_bar, zeros[1]))
    apart = run_apart(name, params, xs, (final, ys_bar, zeros[1]), reverse=False)
    for (row, steps), alone in apart.items():
        assert_close(take((packed.ys, packed.xs_bar), (row, np.array(steps))), (alone.ys, alone.xs_bar))
    total = functools.reduce(lambda a, b: jax.tree.map(np.add, a, b), [alone.params_bar for alone in apart.values()])
    assert_close(packed.params_bar, total)


@every_kind
def test_bidirectional_packed_rows_equal_separate_sequences(name, float64):
    """Hence bidirectional results don't depend on the padding either: the separate sequences have none."""
    layer, xs = Bidirectional(make(name)), with_padding(PACKED_MASK, random_xs(name), np.nan)
    params = layer.init(jax.random.key(0), input_size(name))._replace(
        forward=float64_params(name), backward=jax.tree.map(lambda leaf: 0.5 - leaf, float64_params(name))
    )
    run = quick_jit(lambda params, xs, mask, resets: layer.apply(params, xs, mask=mask, resets=resets))
    out = run(params, xs, PACKED_MASK, packed_resets())
    cotangents = random_cotangents(name)
    forward = run_apart(name, params.forward, xs, cotangents, reverse=False)
    backward = run_apart(name, params.backward, xs, cotangents, reverse=True)
    for row, steps in forward:
        expected = np.concatenate([forward[row, steps].ys, backward[row, steps].ys], axis=-1)
        assert_close(take(out.ys, (row, np.array(steps))), expected)
    for row, sequences in enumerate(SEQUENCES):
        if not sequences:
            assert_close(take(out.carry.forward, row), start(make(name), params.forward))
            assert not out.last[row].any()
            continue
        # The scan that goes forward ends with the last sequence, the one that goes back with the first; a boundary
        # in the padding beyond them (here: of rows 1 and 3) leaves the initial carry.
        forward_start, backward_start = (start(make(name), way) for way in (params.forward, params.backward))
        resets = packed_resets()[row]
        boundary_after, boundary_before = resets[sequences[-1][-1] + 1 :].any(), resets[1 : sequences[0][0] + 1].any()
        assert_close(
            take(out.carry.forward, row), forward_start if boundary_after else forward[row, sequences[-1]].carry
        )
        assert_close(
            take(out.carry.backward, row), backward_start if boundary_before else backward[row, sequences[0]].carry
        )
        last = np.concatenate([forward[row, sequences[-1]].ys[-1], backward[row, sequences[0]].ys[0]], axis=-1)
        assert_close(out.last[row], last)


@every_cell
@both_directions
def test_reset_forgets_even_a_carry_that_is_not_a_number(name, reverse, float64):
    """A reset replaces the carry; a product with zero would keep the NaN, in the outputs and in the gradients."""
    first = np.zeros((B, T), bool)
    first[:, -1 if reverse else 0] = True
    arguments = (float64_params(name), random_xs(name))
    broken = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), random_carry(name))
    reset = program(name, reverse)(*arguments, broken, ALL, first, random_cotangents(name))
    fresh = plain_loop.run_batch(
        make(name), *arguments, initial_carry(name), ALL, first, random_cotangents(name), reverse=reverse
    )
    assert_close(reset._replace(carry_bar=None), fresh._replace(carry_bar=None))
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(reset.carry_bar))


# --- chunks and directions --------------------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("truncated", [False, True], ids=["whole", "truncated"])
def test_chunks_equal_the_whole(name, truncated, float64):
    """Two chunks of 3 steps: outputs and carry, the gradient through both, and truncated BPTT's, cut between them.

    The gradient goes from chunk to chunk by the chain rule: the second one's ∂L/∂carry is the first one's cotangent,
    or zero where `stop_gradient` stands between them.
    """
    params, xs, start, (final_bar, ys_bar, states_bar) = (
        float64_params(name),
        random_xs(name),
        random_carry(name),
        random_cotangents(name),
    )

    def part(tree, chunk):
        return jax.tree.map(lambda leaf: leaf[:, 3 * chunk : 3 * chunk + 3], tree)

    def run(chunk, carry, carry_bar):
        cotangents = (carry_bar, part(ys_bar, chunk), part(states_bar, chunk))
        return program(name)(params, part(xs, chunk), carry, part(MASK, chunk), part(RESETS, chunk), cotangents)

    zeros = jax.tree.map(np.zeros_like, start)
    second = run(1, run(0, start, zeros).carry, final_bar)
    first = run(0, start, zeros if truncated else second.carry_bar)
    expected = plain_loop.run_batch(
        make(name),
        params,
        xs,
        start,
        MASK,
        RESETS,
        (final_bar, ys_bar, states_bar),
        cuts=(3,) if truncated else (),
    )
    ys, states, xs_bar = (
        jax.tree.map(lambda a, b: np.concatenate([a, b], axis=1), getattr(first, field), getattr(second, field))
        for field in ("ys", "states", "xs_bar")
    )
    params_bar = jax.tree.map(np.add, first.params_bar, second.params_bar)
    assert_close(Result(second.carry, ys, states, params_bar, xs_bar, first.carry_bar), expected)


@every_cell
def test_reverse_equals_flipped(name, float64):
    """A reverse scan is a forward one over everything flipped in time."""
    params, xs, carry, (final, ys_bar, states_bar) = (
        float64_params(name),
        random_xs(name),
        random_carry(name),
        random_cotangents(name),
    )

    def flip(tree):
        return jax.tree.map(lambda leaf: leaf[:, ::-1], tree)

    backward = program(name, reverse=True)(params, xs, carry, MASK, RESETS, (final, ys_bar, states_bar))
    flipped = program(name)(params, flip(xs), carry, flip(MASK), flip(RESETS), (final, flip(ys_bar), flip(states_bar)))
    unflipped = flipped._replace(ys=flip(flipped.ys), states=flip(flipped.states), xs_bar=flip(flipped.xs_bar))
    assert_close(backward, unflipped)


# --- lengths, compilation, precision ----------------------------------------------------------------------------------


@every_kind
def test_one_step_equals_the_step(name, float64):
    """T = 1, values and gradients."""
    arguments = (
        float64_params(name),
        random_xs(name, B, 1),
        random_carry(name),
        bools("1", "1", "0", "1"),
        bools("0", "1", "1", "0"),
        random_cotangents(name, shape=(B, 1)),
    )
    assert_close(program(name)(*arguments), plain_loop.run_batch(make(name), *arguments))


@every_cell
def test_gradients_are_finite_after_1000_steps(name):
    """With the initial weights as drawn; the loss looks at all outputs. The first step's input still has a gradient."""
    cell = make(name)
    params = cell.init(jax.random.key(0), input_size(name))
    xs = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), random_xs(name, 2, 1000))

    @quick_jit
    @functools.partial(jax.grad, argnums=(0, 1))
    def gradients(params, xs):
        ys = scan_cell(cell, params, xs, batched=True)[1]
        return jnp.mean(jnp.square(ys))

    params_bar, xs_bar = gradients(params, xs)
    for path, leaf in jax.tree.leaves_with_path((params_bar, xs_bar)):
        assert np.isfinite(leaf).all(), jax.tree_util.keystr(path)
    assert np.abs(jax.tree.leaves(xs_bar)[0][:, 0]).max() > 0


@every_kind
def test_second_call_compiles_nothing(name):
    """Other values and an equal cell made anew find the compiled program; another length does not."""
    traces = []

    @functools.partial(quick_jit, static_argnames="cell")
    def run(cell, params, xs, mask):
        traces.append(jax.tree.leaves(xs)[0].shape)
        return scan_cell(cell, params, xs, mask=mask)

    cell, mask = make(name), MASK
    xs = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), random_xs(name))
    init = lambda seed: cell.init(jax.random.key(seed), input_size(name))  # noqa: E731
    first = run(cell, init(0), xs, mask)
    again = make_cell(name, H) if name in CELLS else cell
    second = run(again, init(1), jax.tree.map(lambda leaf: 2 * leaf, xs), ALL)
    assert len(traces) == 1 and not np.allclose(first[1], second[1])
    run.lower(cell, init(0), jax.tree.map(lambda leaf: leaf[:, :2], xs), mask[:, :2])
    assert len(traces) == 2


@every_cell
def test_bfloat16_stays_near_float32(name):
    """bfloat16 has 8 bits: after 6 steps outputs are within 3 % of their largest value, carries likewise."""
    cell = make(name)
    params = cell.init(jax.random.key(3), input_size(name))
    xs = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.bfloat16), random_xs(name, seed=5))  # the same in both runs
    run = quick_jit(lambda params, xs: scan_cell(cell, params, xs, mask=jnp.asarray(MASK)))
    exact, rounded = run(params, jax.tree.map(lambda leaf: leaf.astype(jnp.float32), xs)), run(params, xs)
    assert rounded[1].dtype == jnp.bfloat16
    for wide, narrow in zip(jax.tree.leaves(exact), jax.tree.leaves(rounded), strict=True):
        narrow, largest = np.asarray(narrow, np.float32), np.abs(wide).max()
        np.testing.assert_allclose(narrow, wide, rtol=0, atol=0.03 * largest)
        assert np.abs(narrow - wide).max() > 0  # the narrow run did compute in bfloat16
