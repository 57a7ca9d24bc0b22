"""What users give: masks of integers, lists, numpy; sizes, initializers and shapes that are wrong. Without the hooks of
the other tests, which would speak first (see conftest.py)."""

import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from oracles.foreign_cells import DecayingSum
from oracles.jitting import counted_programs
from training import toy_task

from rnn_jax import (
    GRU,
    LSTM,
    Bidirectional,
    Elman,
    HiddenDropout,
    LearnedStart,
    Memoryless,
    ProjectedLSTM,
    Recurrent,
    SplitCell,
    Stack,
    Zoneout,
    initializer,
    make_cell,
    scan_cell,
)
from rnn_jax.analysis import gate_values, gradient_norms
from rnn_jax.cells import CELLS, chrono
from rnn_jax.errors import UserError
from rnn_jax.modules import RNN
from rnn_jax.training.task import Trained

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


@functools.cache
def of_booleans():
    return list(runs(MASK, RESETS))


@pytest.mark.parametrize("dtype", ["int32", "uint8", pytest.param("int8", marks=pytest.mark.exhaustive)])
def test_masks_of_integers_mean_what_they_say(dtype):
    for as_integers, as_booleans in zip(runs(2 * MASK.astype(dtype), RESETS.astype(dtype)), of_booleans()):
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
        (lambda: initializer("gaussian"), "initializer.'gaussian'.* is no call of jax.nn.initializers"),
        (lambda: initializer("normal", sigma=1), "is no call of jax.nn.initializers: .*sigma"),
        (lambda: LSTM(3).init(4, KEY), r"^init\(key, input_size\): key is one jax.random.key; got 4\.$"),
        (lambda: LSTM(3).init(KEY, KEY), r"^init\(key, input_size\): input_size is an integer .*; got an array of key"),
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
        with pytest.raises(
            ValueError, match=r"^(The params do not fit|x has shape \(5,\) .* made for vectors of 3 numbers)"
        ):
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


def other(cell, size=3):
    return cell.init(KEY, size)


FIT = LSTM(4).init(KEY, 3)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda: scan_cell(LSTM(5), FIT, XS), r"^The params do not .*: w_x \(3, 16\), init gives \(3, 20\); w_h"),
        (lambda: scan_cell(LSTM(4), other(GRU(4)), XS), "^The params do not fit LSTM.*b_hn"),
        (lambda: scan_cell(GRU(4), FIT, XS), "^The params do not fit GRU"),
        (lambda: scan_cell(LearnedStart(LSTM(4)), FIT, XS), "^The params do not fit LearnedStart.*cell.w_x"),
        (lambda: scan_cell(LSTM(4), other(LearnedStart(LSTM(4))), XS), "^The params do not fit LSTM"),
        (lambda: scan_cell(LSTM(4), None, XS), r"^The params do not fit LSTM .* w_x missing, init gives \(3, 16\)"),
        (lambda: scan_cell(LSTM(4), tuple(FIT), XS), "^The params do not fit LSTM"),
        (lambda: scan_cell(LSTM(4), FIT._replace(b=np.zeros(1)), XS), r"^The params .*: b \(1,\), init gives \(16,\)"),
        (lambda: Stack(LSTM(4), GRU(4)).apply((FIT,), XS), "^params has one entry for each of 2 layers"),
        (lambda: Stack(LSTM(4)).apply((FIT,) * 2, XS), "^params has one entry for each of 1 layers"),
        (lambda: Bidirectional(LSTM(4)).apply(FIT, XS), "^params has one entry for each of 2 layers or dir"),
        (lambda: scan_cell(LSTM(4), FIT, XS, carry={"h": 0, "c": 0}), r"^The carry .* expected h \(2, 4\)"),
        (lambda: scan_cell(LSTM(4), FIT, XS[0], carry=(XS, XS)), r"^The carry .* expected h \(4,\), c \(4,\)"),
        (lambda: scan_cell(Zoneout(LSTM(4)), FIT, XS, key=0), "^key is .*, or one a row; got 0"),
        (lambda: Stack(LSTM(4), dropout=0.5).apply((FIT,), XS, key=0), "^key is one jax.random.key; got 0"),
        (lambda: Stack(LSTM(4)).init(None, 3), "^key is one jax.random.key; got None"),
        (lambda: Recurrent(Zoneout(LSTM(4))).apply(FIT, XS, key=jax.random.split(KEY)), "^key is one"),
        (lambda: scan_cell(LSTM(4), FIT, XS, first_step=-1), "^first_step counts from 0; got -1"),
        (lambda: Stack(LSTM(4), dropout=1.5), r"^dropout is a probability of dropping, in \[0, 1\]; got 1.5"),
        (lambda: Recurrent(LSTM(4), recurrent_dropout=-0.1), "^recurrent_dropout is a probability"),
        (lambda: Stack(LSTM(4), input_dropout="a"), "^input_dropout is a probability .* got 'a'"),
        (lambda: Bidirectional(LSTM(4), LSTM(5), merge="sum").init(KEY, 3), "needs directions of one size"),
        (lambda: LSTM(4, chrono=5.5), "at least 2 steps, an integer; got 5.5"),
        (lambda: LSTM(4, w_h_init=float("nan")), "^w_h_init is a finite number; got nan"),
        (lambda: LSTM(4, b_init="orthogonal").init(KEY, 3), r"^b_init='orthogonal' cannot draw the shape \(4,\)"),
        (lambda: initializer("normal", dtype="float16"), "an initializer takes no dtype"),
        (lambda: make_cell(LSTM, 4), "^make_cell takes the name of a cell"),
        (lambda: scan_cell(HiddenDropout(LSTM(4), state="z"), FIT, XS), "drops the carry's field 'z', but"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_in_one_sentence(run, message):
    with pytest.raises(ValueError, match=message) as caught:
        run()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda: Recurrent("lstm"), r"^Recurrent\(cell\) is a cell, with init, .*; got 'lstm', without init"),
        (lambda: Recurrent(LSTM), r"^Recurrent\(cell\) is a cell; got the class LSTM: make one, as LSTM\(…\)"),
        (lambda: Stack(LSTM), "got the class LSTM: make one"),
        (lambda: Stack((LSTM(3), GRU(3))), r"^Layers are given one by one, as Stack\(a, b\)"),
        (lambda: LearnedStart(3), r"^LearnedStart\(cell\) is a cell, .*; got 3"),
        (lambda: Bidirectional(LSTM(3), "sum"), r"^Bidirectional\(backward_cell\) is a cell"),
        (lambda: scan_cell(Recurrent(LSTM(3)), FIT, XS), "got a layer, .*: call its apply"),
        (lambda: scan_cell(LSTM(4), FIT, XS, reverse="no"), "^reverse is True or False; got 'no'"),
        (lambda: scan_cell(LSTM(4), FIT, XS, batched="yes"), "^batched is True or False; got 'yes'"),
        (lambda: Stack(LSTM(3), residual="yes"), "^residual is True or False"),
        (lambda: scan_cell(LSTM(4), FIT, XS, first_step=1.5), "^first_step is one integer .* got 1.5"),
        (lambda: scan_cell(LSTM(4), FIT, XS, backend=None), "^backend is a name .* got None"),
        (lambda: gate_values(LSTM(3), FIT, XS, return_states=True), "keyword argument 'return_states'"),
    ],
)  # fmt: skip
def test_what_is_no_cell_or_no_flag_is_said_in_one_sentence(run, message):
    with pytest.raises(TypeError, match=message):
        run()


def test_a_step_says_what_it_returns():
    class Lonely(DecayingSum):
        def step(self, params, carry, x):
            return carry

    class Unfinished(SplitCell):
        init, initial_carry = LSTM(3).init, LSTM(3).initial_carry

        def project(self, params, x):
            return x

    with pytest.raises(ValueError, match="A step of Lonely returns .*; got|another carry"):
        scan_cell(Lonely(3), Lonely(3).init(KEY, 3), XS)
    with pytest.raises(NotImplementedError, match="Unfinished is a SplitCell without `preactivate`"):
        scan_cell(Unfinished(), other(LSTM(3)), XS)


def test_a_mask_says_whether_there_is_a_batch():
    """Its shape fits one reading only: also for images with one channel, and for values at times."""
    cell = DecayingSum(4)
    params = cell.init(KEY, 3)
    one = scan_cell(cell, params, XS[0], mask=MASK[0])[1]
    np.testing.assert_allclose(scan_cell(cell, params, XS, mask=MASK)[1][0], one, rtol=1e-6)
    steps = Recurrent(cell)
    carry, y = steps.step(params, steps.initial_carry(params, 2), XS[:, 0], reset=True)
    np.testing.assert_allclose(y, steps.step(params, carry, XS[:, 0], reset=[True, True])[1], rtol=1e-6)
    with pytest.raises(ValueError, match=r"^x is \(D,\) or \(B, D\), .* Got float32\[1, 5, 5\]"):
        steps.step(params, carry, np.ones((1, 5, 5), np.float32))


def test_lists_of_numbers_and_sizes_of_numpy():
    cell, params = cell_and_params()
    same(scan_cell(cell, params, XS.tolist()), scan_cell(cell, params, XS))
    stack = Stack(LSTM(4), GRU(3))
    same(stack.init(KEY, np.int64(3)), stack.init(KEY, 3))


def test_a_gradient_outside_of_jit_compiles_once():
    """Of an equal cell made anew as well."""
    params = LSTM(6).init(KEY, 3)
    loss = lambda p, xs: jnp.sum(scan_cell(LSTM(6), p, xs)[1])  # noqa: E731
    with counted_programs() as programs:
        jax.grad(loss)(params, XS)
    assert programs
    with counted_programs() as programs:
        jax.grad(loss)(params, 2 * XS)
    assert not programs


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
    params, xs = spelt().init(KEY, 3), XS[..., 1:, :]  # of a length that is nowhere else
    with counted_programs() as programs:
        scan_cell(spelt(), params, xs)
        scan_cell(spelt(), params, 2 * xs)
    assert programs["_scan"] == 1


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


@pytest.mark.parametrize(
    ("shape", "flags"),
    [((0, 4, 3), True), ((2, 0, 3), True), ((0, 3), True), ((0, 0, 3), False)]
    + [
        pytest.param(*case, marks=pytest.mark.exhaustive)
        for case in (((0, 4, 3), False), ((2, 0, 3), False), ((0, 3), False), ((0, 0, 3), True))
    ],
)
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
        for key in (None, KEY) if getattr(layer, "dropout", 0) else (None,):
            out = layer.apply(params, np.zeros(shape, np.float32), key=key, **given)
            assert out.ys.shape == (*leading, width) and out.last.shape == (*rows, width) and not np.any(out.last)
            assert [leaf.shape for leaf in jax.tree.leaves(out.carry)] == [(*rows, *one) for one in carry_shapes]
        loss = lambda params, layer=layer: layer.apply(params, np.zeros(shape, np.float32), **given).ys.sum()  # noqa: E731
        assert not any(np.any(leaf) for leaf in jax.tree.leaves(jax.grad(loss)(params)))


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ("abc", "takes a list of texts, and was given 'abc': put it into a list"),
        (b"abc", "was given b'abc'"),
        (3, "was given 3"),
        (["abc", 3], "item 1 of it is no str: 3"),
        (iter([None]), "item 0 of it is no str: None"),
    ],
)
def test_answers_are_given_to_lists_of_texts(inputs, said):
    task = toy_task.TASK._replace(answer=lambda trained, texts: ({"text": text} for text in texts))
    trained = Trained(task, None, None, None, None)
    assert trained.answer(iter(["a", "b"])) == [{"text": "a"}, {"text": "b"}]
    with pytest.raises(UserError, match=said):
        trained.answer(inputs)
