"""Recurrent, Bidirectional and Stack: what they add to `scan_cell`."""

import dataclasses
import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.jitting import quick_jit

from rnn_jax import (
    GRU,
    LSTM,
    Backend,
    Bidirectional,
    CoupledLSTM,
    Elman,
    Layer,
    LayerOutput,
    Memoryless,
    Recurrent,
    Stack,
    scan_cell,
    segment_ids_to_mask,
    segment_ids_to_resets,
)
from rnn_jax.dropout import dropout, variational_dropout
from rnn_jax.layers import BidirectionalCarry, as_layer

B, T, D, H = 3, 5, 2, 4
KEY = jax.random.key(0)
XS = jax.random.normal(jax.random.key(1), (B, T, D))
MASK = jnp.asarray([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0]], bool)
NAN_PADDED = jnp.where(MASK[..., None], XS, jnp.nan)

close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)


@functools.partial(quick_jit, static_argnames=("cell", "reverse"))
def scan(cell, params, xs, mask=None, reverse=False):
    return scan_cell(cell, params, xs, mask=mask, reverse=reverse)


@functools.partial(quick_jit, static_argnames="layer")
def run(layer, params, xs, mask=None, resets=None, carry=None, key=None):
    return layer.apply(params, xs, mask=mask, resets=resets, carry=carry, key=key)


# --- Recurrent and Bidirectional --------------------------------------------------------------------------------------


@pytest.mark.parametrize("reverse", [False, True])
def test_last_is_the_output_of_the_last_step_made(reverse):
    """ys at the last real step, at the first one for a reverse layer; zeros for an empty row."""
    layer = Recurrent(LSTM(H), reverse=reverse)
    out = run(layer, layer.init(KEY, D), NAN_PADDED, MASK)
    steps = [0, 0] if reverse else [4, 2]
    for row, step in enumerate(steps):
        np.testing.assert_array_equal(out.last[row], out.ys[row, step])
        np.testing.assert_array_equal(out.last[row], out.carry.h[row])
        assert out.last[row].any()
    assert not out.last[2].any()


MERGES = {
    "concat": lambda forward, backward: np.concatenate([forward, backward], axis=-1),
    "sum": lambda forward, backward: forward + backward,
    "mean": lambda forward, backward: 0.5 * forward + 0.5 * backward,
    "max": np.maximum,
}


@pytest.mark.parametrize("merge", MERGES)
def test_merges(merge):
    """Outputs and `last`: each direction's own, merged. Both directions have their own params."""
    layer = Bidirectional(GRU(H), merge=merge)
    params = layer.init(KEY, D)
    assert not np.allclose(params.forward.w_x, params.backward.w_x)
    out = run(layer, params, NAN_PADDED, MASK)
    (forward_carry, forward), (backward_carry, backward) = (
        scan(GRU(H), way, NAN_PADDED, MASK, reverse=bool(index)) for index, way in enumerate(params)
    )
    close(out.ys, MERGES[merge](forward, backward))
    close(out.last, MERGES[merge](forward_carry.h, backward_carry.h))
    close(out.carry.forward.h, forward_carry.h)
    close(out.carry.backward.h, backward_carry.h)
    assert layer.output_size(D) == out.ys.shape[-1] == (2 * H if merge == "concat" else H)


def test_directions_may_be_different_cells():
    layer = Bidirectional(LSTM(H), backward_cell=Elman(3))
    out = run(layer, layer.init(KEY, D), XS, MASK)
    _, backward = scan(Elman(3), layer.init(KEY, D).backward, XS, MASK, reverse=True)
    close(out.ys[..., H:], backward)
    assert layer.output_size(D) == H + 3


def test_directions_of_different_size_only_concatenate():
    with pytest.raises(ValueError, match="merge='sum' needs directions of one size; got 4 and 3"):
        Bidirectional(LSTM(H), backward_cell=Elman(3), merge="sum").output_size(D)


def test_bidirectional_gradients_do_not_depend_on_the_amount_of_padding():
    """Three real steps in rows of 3 and of 6, padded before and after: outputs and gradients are the same."""
    layer, padding = Bidirectional(LSTM(H)), 3
    params, xs = layer.init(KEY, D), np.asarray(XS[:, :3])
    before = padding // 2
    longer = np.pad(xs, [(0, 0), (before, padding - before), (0, 0)], constant_values=np.nan)
    real = np.broadcast_to(np.arange(3 + padding) - before < 3, longer.shape[:2]) & ~np.isnan(longer[..., 0])

    @quick_jit
    def loss_and_gradients(params, xs, mask):
        def loss(params):
            out = layer.apply(params, xs, mask=mask)
            return jnp.sum(jnp.square(out.ys)) + jnp.sum(out.last), out

        return jax.value_and_grad(loss, has_aux=True)(params)

    (short_loss, short), short_bar = loss_and_gradients(params, xs, np.ones((B, 3), bool))
    (long_loss, long), long_bar = loss_and_gradients(params, longer, real)
    close(np.asarray(long.ys)[real].reshape(short.ys.shape), short.ys)
    jax.tree.map(close, (long_loss, long.carry, long.last, long_bar), (short_loss, short.carry, short.last, short_bar))


def test_packed_gradients_equal_those_of_separate_sequences():
    """The gradient of all sequences packed in one row is the sum of each one's own."""
    layer, segments = Bidirectional(LSTM(H)), jnp.asarray([[1, 1, 2, 2, 2, 0, 3]])
    params, xs = layer.init(KEY, D), jax.random.normal(KEY, (1, 7, D))
    weights = jax.random.normal(jax.random.key(2), (1, 7, 2 * H))
    mask, resets = segment_ids_to_mask(segments), segment_ids_to_resets(segments)
    dirty = jnp.where(mask[..., None], xs, jnp.nan)

    def packed(params):
        return jnp.sum(weights * layer.apply(params, dirty, mask=mask, resets=resets)[1])

    def separate(params):
        parts = [slice(0, 2), slice(2, 5), slice(6, 7)]
        return sum(jnp.sum(weights[0, part] * layer.apply(params, xs[0, part])[1]) for part in parts)

    jax.tree.map(close, *(quick_jit(jax.value_and_grad(loss))(params) for loss in (packed, separate)))


def test_forward_layer_continues_from_a_carry():
    layer = Stack(LSTM(H), GRU(3))
    params = layer.init(KEY, D)
    whole = run(layer, params, XS)
    first = run(layer, params, XS[:, :2])
    second = run(layer, params, XS[:, 2:], carry=first.carry)
    close(np.concatenate([first.ys, second.ys], axis=1), whole.ys)
    jax.tree.map(close, second.carry, whole.carry)


def test_bidirectional_continues_one_direction():
    """A chunk of a stream: the way forward goes on, the way back starts anew."""
    layer = Bidirectional(GRU(H))
    params = layer.init(KEY, D)
    whole, first = run(layer, params, XS), run(layer, params, XS[:, :2])
    second = run(layer, params, XS[:, 2:], carry=BidirectionalCarry(first.carry.forward, None))
    close(second.ys, whole.ys[:, 2:])


# --- Stack ------------------------------------------------------------------------------------------------------------


def test_stack_of_mixed_cells_widths_and_directions():
    stack = Stack(Bidirectional(LSTM(H)), Recurrent(GRU(3), reverse=True), Memoryless(2), Elman(5))
    params = stack.init(KEY, D)
    out = run(stack, params, NAN_PADDED, MASK)
    below = run(stack.layers[0], params[0], NAN_PADDED, MASK).ys
    _, below = scan(GRU(3), params[1], below, MASK, reverse=True)
    _, below = scan(Memoryless(2), params[2], below, MASK)
    carry, expected = scan(Elman(5), params[3], below, MASK)
    close(out.ys, expected)
    close(out.last, carry.h)
    assert stack.output_size(D) == 5
    assert [params[0].forward.w_x.shape, params[1].w_x.shape, params[2].w_x.shape, params[3].w_x.shape] == [
        (D, 4 * H),
        (2 * H, 9),
        (3, 2),
        (2, 5),
    ]


def test_layers_of_a_stack_start_apart():
    params = Stack(Elman(2), Elman(2)).init(KEY, 2)
    assert not np.allclose(params[0].w_x, params[1].w_x)


def test_stacks_nest():
    inner = Stack(GRU(3), GRU(H))
    nested = Stack(inner, LSTM(H), residual=True)
    params = nested.init(KEY, D)
    out, first = run(nested, params, XS, MASK), run(inner, params[0], XS, MASK)
    carry, top = scan(LSTM(H), params[1], first.ys, MASK)
    close(out.ys, first.ys + top)
    close(out.last, first.last + carry.h)
    jax.tree.map(close, out.carry, (first.carry, carry))


def test_residual_adds_the_input_of_every_layer_but_the_first():
    stack = Stack(*[Elman(D)] * 3, residual=True)
    params = stack.init(KEY, D)
    first = scan(Elman(D), params[0], NAN_PADDED, MASK)[1]
    second = first + scan(Elman(D), params[1], first, MASK)[1]
    third = second + scan(Elman(D), params[2], second, MASK)[1]
    out = run(stack, params, NAN_PADDED, MASK)
    close(out.ys, third)
    close(out.last[1], third[1, 2])
    assert not out.ys[~np.asarray(MASK)].any()


@pytest.mark.parametrize(
    ("top", "steps"),
    [
        (Recurrent(GRU(4)), "last"),
        (Recurrent(GRU(4), reverse=True), "first"),
        (Bidirectional(GRU(2)), "both"),
        (Bidirectional(GRU(3), backward_cell=LSTM(1)), "both"),
        (Stack(GRU(4), Bidirectional(Elman(2))), "both"),
    ],
    ids=["forward", "reverse", "bidirectional", "unequal", "nested"],
)
@pytest.mark.parametrize(
    "below", [Bidirectional(GRU(2)), Recurrent(LSTM(4), reverse=True)], ids=["both ways", "reverse"]
)
def test_last_of_residual_stacks_is_made_of_their_outputs(below, top, steps):
    """Whatever lies below: ys at the end of each of the top layer's directions, and zeros for an empty row."""
    stack = Stack(below, top, residual=True)
    out = run(stack, stack.init(KEY, D), NAN_PADDED, MASK)
    width = 3 if top == Bidirectional(GRU(3), backward_cell=LSTM(1)) else 2
    for row, length in enumerate([5, 3]):
        first, last = out.ys[row, 0], out.ys[row, length - 1]
        both = np.concatenate([last[:width], first[width:]])
        np.testing.assert_array_equal(out.last[row], {"last": last, "first": first, "both": both}[steps])
    assert not out.last[2].any()
    unmasked = run(stack, stack.init(KEY, D), XS)
    first, last = unmasked.ys[:, 0], unmasked.ys[:, -1]
    both = np.concatenate([last[:, :width], first[:, width:]], axis=-1)
    np.testing.assert_array_equal(unmasked.last, {"last": last, "first": first, "both": both}[steps])


@pytest.mark.parametrize("merge", ["sum", "mean", "max"])
def test_last_of_a_residual_stack_whose_directions_were_added(merge):
    """What belongs to neither direction, the residual, is taken as the mean of both ends; one step is its own end."""
    layer = Bidirectional(GRU(4), merge=merge)
    stack = Stack(Elman(4), layer, residual=True)
    params = stack.init(KEY, D)
    below = run(stack.layers[0], params[0], NAN_PADDED, MASK)
    alone, out = run(layer, params[1], below.ys, MASK), run(stack, params, NAN_PADDED, MASK)
    for row, length in enumerate([5, 3]):
        close(out.last[row], alone.last[row] + 0.5 * (below.ys[row, 0] + below.ys[row, length - 1]))
    single = run(stack, params, XS[:, :1])
    close(single.last, single.ys[:, 0])


def test_residual_needs_equal_sizes():
    with pytest.raises(ValueError, match="residual: layer 1 maps 4 to 3 numbers; they must be equal"):
        Stack(GRU(H), GRU(3), residual=True).init(KEY, D)
    Stack(GRU(H), GRU(H), residual=True).init(KEY, D)  # the first may change the size


# --- dropout in stacks ------------------------------------------------------------------------------------------------


class Echo:
    """A layer without params that shows what it was given."""

    def init(self, key, input_size):
        return ()

    def output_size(self, input_size):
        return input_size

    def apply(self, params, xs, *, mask=None, key=None, **options):
        return LayerOutput((), xs, xs[..., -1, :])


ONES = jnp.ones((40, 25, 30))


def test_user_layer_is_a_layer():
    assert isinstance(Echo(), Layer) and as_layer(Echo()).output_size(7) == 7


def test_stack_drops_nothing_without_a_key():
    stack = Stack(Echo(), Echo(), dropout=0.5, input_dropout=0.5)
    close(run(stack, ((), ()), ONES).ys, ONES)


def test_dropout_acts_between_layers_not_after_the_last():
    one, two = (run(Stack(*[Echo()] * layers, dropout=0.5), ((),) * layers, ONES, key=KEY).ys for layers in (1, 2))
    close(one, ONES)
    assert (np.asarray(two) == 0).mean() == pytest.approx(0.5, abs=0.01)
    assert np.asarray(two).mean() == pytest.approx(1, abs=0.02)


def test_input_dropout_acts_before_the_first_layer_only():
    dropped = np.asarray(run(Stack(Echo(), Echo(), input_dropout=0.2), ((), ()), ONES, key=KEY).ys)
    assert (dropped == 0).mean() == pytest.approx(0.2, abs=0.01)
    assert set(np.unique(dropped)) == {np.float32(0), np.float32(1 / 0.8)}


def test_variational_dropout_in_a_stack():
    """One draw for all steps of a row; units and rows have their own. Plain dropout draws for every step."""
    masks = {}
    for variational in (False, True):
        stack = Stack(Echo(), Echo(), dropout=0.5, variational=variational)
        masks[variational] = np.asarray(run(stack, ((), ()), ONES, key=KEY).ys) > 0
    assert (masks[True] == masks[True][:, :1]).all() and not (masks[False] == masks[False][:, :1]).all()
    assert len({mask.tobytes() for mask in masks[True][:, 0]}) == 40
    assert 0.45 < masks[True].mean() < 0.55


def test_every_layer_draws_its_own_dropout():
    """After two drops at rate 1/2 a quarter is left; the same draw twice would leave half."""
    left = np.asarray(run(Stack(*[Echo()] * 3, dropout=0.5), ((),) * 3, ONES, key=KEY).ys) > 0
    assert left.mean() == pytest.approx(0.25, abs=0.01)


def test_dropout_changes_with_the_key_and_repeats_with_it():
    stack = Stack(LSTM(H), LSTM(H), dropout=0.5)
    params = stack.init(KEY, D)
    first, again, other = (run(stack, params, XS, key=jax.random.key(seed)).ys for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_dropout_functions_are_those_of_the_library():
    """What the stack applies is `dropout` and `variational_dropout`; the layer above sees dropped, rescaled outputs."""
    for variational, function in ((False, dropout), (True, variational_dropout)):
        ys = run(Stack(Echo(), input_dropout=0.5, variational=variational), ((),), ONES, key=KEY).ys
        assert set(np.unique(ys)) == set(np.unique(function(ONES, 0.5, KEY))) == {0.0, 2.0}


# --- descriptions -----------------------------------------------------------------------------------------------------


def test_layers_are_values():
    """Equal, hashable, printable so that the print makes them again, and changed by `dataclasses.replace`."""

    def make():
        backward = Recurrent(CoupledLSTM(2), reverse=True, backend=Backend(save="borders"))
        return Stack(Bidirectional(LSTM(H), backward_cell=GRU(3)), backward, dropout=0.1)

    assert make() == make() and hash(make()) == hash(make()) and len({make(), make()}) == 1
    assert eval(repr(make())) == make()
    other = dataclasses.replace(make(), dropout=0.2)
    assert other != make() and other.layers == make().layers and repr(other) != repr(make())


def test_cells_stand_where_layers_do():
    assert Stack(LSTM(2)) == Stack(Recurrent(LSTM(2)))
    with pytest.raises(TypeError, match="A layer has init, output_size and apply, a cell init, .*; got 3"):
        inspect.unwrap(as_layer)(3)  # without the type checker of the tests, which would speak first


def test_errors_of_descriptions():
    with pytest.raises(ValueError, match="No merge 'add'; there are: concat, sum, mean, max"):
        Bidirectional(LSTM(2), merge="add")
    with pytest.raises(ValueError, match="needs at least one layer"):
        Stack()
    with pytest.raises(ValueError, match="No activation 'gelu'; there are: tanh, relu"):
        Elman(2, activation="gelu")


def test_a_stack_takes_its_layers_by_name_too():
    """As dataclasses.replace gives them."""
    assert Stack(layers=(LSTM(3), Bidirectional(LSTM(4)))) == Stack(LSTM(3), Bidirectional(LSTM(4)))
    assert dataclasses.replace(Stack(LSTM(3)), layers=(LSTM(4),), dropout=0.1) == Stack(LSTM(4), dropout=0.1)


def test_no_steps_at_all():
    layer = Bidirectional(LSTM(3))
    carry, ys, last = layer.apply(layer.init(jax.random.key(0), 2), jnp.zeros((4, 0, 2)))
    assert ys.shape == (4, 0, 6)
    np.testing.assert_array_equal(last, 0.0)
    np.testing.assert_array_equal(carry.forward.h, 0.0)
