"""What `scan_cell` does around the cell's steps and no cell is needed to see; the rest is in cells/test_contract.py."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.jitting import quick_jit

from rnn_jax import CELLS, GRU, LSTM, Cell, Elman, make_cell, scan_cell
from rnn_jax.cells.contract import output_size


class Counter:
    """A cell whose every number is known beforehand: it adds its inputs up and counts its steps in an integer."""

    def init(self, key, input_size):
        return {"scale": jnp.ones(input_size)}

    def initial_carry(self):
        return {"sum": jnp.full(2, 100.0), "steps": jnp.zeros((), jnp.int32)}

    def step(self, params, carry, x):
        total = carry["sum"] + params["scale"] * x
        return {"sum": total, "steps": carry["steps"] + 1}, total


COUNTER = Counter()
PARAMS = {"scale": jnp.ones(2)}
XS = jnp.asarray([[[1.0, 10], [2, 20], [4, 40], [8, 80]], [[3, 30], [5, 50], [7, 70], [9, 90]]])


def bools(*rows):
    return jnp.asarray([[character == "1" for character in row] for row in rows])


def first_unit(ys):
    return np.asarray(ys)[..., 0].tolist()


def test_user_class_is_a_cell_without_base_class_or_registration():
    assert isinstance(COUNTER, Cell) and not isinstance(object(), Cell)


def test_sums_by_hand():
    carry, ys = scan_cell(COUNTER, PARAMS, XS)
    assert first_unit(ys) == [[101, 103, 107, 115], [103, 108, 115, 124]]
    assert first_unit(carry["sum"]) == [115, 124] and carry["steps"].tolist() == [4, 4]
    assert carry["steps"].dtype == jnp.int32


def test_mask_by_hand():
    carry, ys = scan_cell(COUNTER, PARAMS, XS, mask=bools("1010", "0000"))
    assert first_unit(ys) == [[101, 0, 105, 0], [0, 0, 0, 0]]
    assert first_unit(carry["sum"]) == [105, 100] and carry["steps"].tolist() == [2, 0]


def test_resets_by_hand():
    """Also at a padded step: the second row's sum is gone although nothing came after."""
    carry, ys = scan_cell(COUNTER, PARAMS, XS, mask=bools("1111", "1100"), resets=bools("0100", "0001"))
    assert first_unit(ys) == [[101, 102, 106, 114], [103, 108, 0, 0]]
    assert first_unit(carry["sum"]) == [114, 100] and carry["steps"].tolist() == [3, 0]


def test_reverse_by_hand():
    carry, ys = scan_cell(COUNTER, PARAMS, XS, mask=bools("1111", "0110"), resets=bools("0100", "0000"), reverse=True)
    assert first_unit(ys) == [[103, 102, 112, 108], [0, 112, 107, 0]]
    assert first_unit(carry["sum"]) == [103, 112]


def test_states_by_hand():
    _, _, states = scan_cell(COUNTER, PARAMS, XS, mask=bools("1010", "0011"), return_states=True)
    assert first_unit(states["sum"]) == [[101, 101, 105, 105], [100, 100, 107, 116]]
    assert states["steps"].tolist() == [[1, 1, 2, 2], [0, 0, 1, 2]]


def test_single_sequence_by_hand():
    carry, ys, states = scan_cell(COUNTER, PARAMS, XS[0], mask=bools("1011")[0], return_states=True)
    assert first_unit(ys) == [101, 0, 105, 113] and carry["steps"] == 3
    assert states["steps"].tolist() == [1, 1, 2, 3]


def test_carry_continues():
    carry, _ = scan_cell(COUNTER, PARAMS, XS[:, :3])
    carry, ys = scan_cell(COUNTER, PARAMS, XS[:, 3:], carry=carry)
    assert first_unit(ys) == [[115], [124]] and carry["steps"].tolist() == [4, 4]


def test_carry_with_integers_has_gradients():
    """Σ ys over 4 steps: x_1 counts 4 times, x_4 once; ∂/∂scale = Σ_t (5 − t) x_t."""
    loss = lambda params, xs: scan_cell(COUNTER, params, xs, mask=bools("1111", "0000"))[1].sum()  # noqa: E731
    params_bar, xs_bar = jax.grad(loss, argnums=(0, 1))(PARAMS, XS)
    assert first_unit(xs_bar) == [[4, 3, 2, 1], [0, 0, 0, 0]]
    assert params_bar["scale"].tolist() == [4 * 1 + 3 * 2 + 2 * 4 + 8, 10 * (4 * 1 + 3 * 2 + 2 * 4 + 8)]


def test_no_steps():
    """T = 0: the carry it was given, and no output; a batch of no rows likewise."""
    carry, ys = scan_cell(COUNTER, PARAMS, XS[:, :0])
    assert first_unit(carry["sum"]) == [100, 100] and ys.shape == (2, 0, 2)
    carry, ys = scan_cell(COUNTER, PARAMS, XS[:0])
    assert carry["sum"].shape == (0, 2) and ys.shape == (0, 4, 2)


@pytest.mark.parametrize("cell", [Elman(3), LSTM(3), GRU(3)], ids=lambda cell: type(cell).__name__)
def test_gradient_equals_autodiff_of_a_python_loop(cell):
    """All of JAX's autodiff, none of its loops: the steps written out, as in a tutorial."""
    params, xs = cell.init(jax.random.key(0), 2), jax.random.normal(jax.random.key(1), (2, 5, 2))

    def scanned(params, xs):
        return jnp.sum(jnp.sin(scan_cell(cell, params, xs)[1]))

    def unrolled(params, xs):
        total = 0.0
        for row in xs:
            carry = cell.initial_carry(params)
            for x in row:
                carry, y = cell.step(params, carry, x)
                total += jnp.sum(jnp.sin(y))
        return total

    actual, expected = (quick_jit(jax.value_and_grad(f, argnums=(0, 1)))(params, xs) for f in (scanned, unrolled))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=2e-5, atol=1e-6), actual, expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"xs": jnp.zeros(4)}, r"give batched=True or False. Got float32\[4\]"),
        ({"xs": jnp.zeros((1, 2, 3, 4))}, r"give batched=True or False. Got float32\[1, 2, 3, 4\]"),
        ({"xs": (XS, XS[:, :2]), "batched": True}, r"begin with the same \(B, T\); got .*2, 4, 2.*2, 2, 2"),
        (
            {"xs": XS, "mask": bools("111", "111")},
            r"mask has the leading shape of xs, \(2, 4\) .*; got \(2, 3\)",
        ),
        (
            {"xs": XS, "resets": bools("1111")[0]},
            r"resets has the leading shape of xs, \(2, 4\) .*; got \(4,\)",
        ),
    ],
)
def test_wrong_shapes_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(scan_cell)(COUNTER, PARAMS, **arguments)  # without the tests' type checker, which speaks first


def test_output_size_computes_nothing_and_asks_the_cell():
    assert output_size(LSTM(7), 3) == 7
    assert output_size(COUNTER, 2) == 2


def test_a_carry_of_another_batch_is_refused():
    cell = LSTM(3)
    params, xs = cell.init(jax.random.key(0), 2), jnp.zeros((4, 5, 2))
    with pytest.raises(ValueError, match=r"carry does not fit.*\(3,\).*\(4, 3\)"):
        scan_cell(cell, params, xs, carry=cell.initial_carry(params))


def test_a_cell_that_is_not_hashable_is_refused():
    class Loose:
        __hash__ = None
        init = initial_carry = step = None

    with pytest.raises(TypeError, match="hashable.*Loose"):
        scan_cell(Loose(), None, jnp.zeros((5, 2)))


def test_params_hold_no_array_twice():
    for name in CELLS:
        leaves = jax.tree.leaves(make_cell(name, 4).init(jax.random.key(0), 3))
        assert len({id(leaf) for leaf in leaves}) == len(leaves), name
