"""Inputs, outputs and carries of any shape: images, pairs, tokens, scalars; and drawn combinations of everything."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import plain_loop
from oracles.foreign_cells import ConvLSTM, DecayGRU, TokenLSTM
from oracles.plain_loop import Result

from rnn_jax import GRU, LSTM, Backend, Bidirectional, Elman, Recurrent, Stack, scan_cell
from rnn_jax.cells import LearnedStart, Zoneout
from rnn_jax.cells.contract import draws, output_size

KEY = jax.random.key(0)


def close(actual, expected, tolerance=1e-10):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), actual, expected)


def random_like(tree, seed):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), tree)


@dataclasses.dataclass(frozen=True)
class Running:
    """y is the running sum of x in a shape of its own: () of its mean, (F,) as it is, or (1, F, 2) twice."""

    rank: int
    size: int

    def init(self, key, input_size):
        return {"scale": jnp.ones(input_size)}

    def initial_carry(self, params):
        return jnp.zeros(self.size)

    def step(self, params, carry, x):
        carry = carry + params["scale"].astype(x.dtype) * x
        twice = jnp.stack([carry, -carry], axis=-1)[None]
        return carry, {0: carry.mean(), 1: carry, 3: twice}[self.rank]


@pytest.mark.parametrize("rank", [0, 1, 3])
@pytest.mark.parametrize("size", [2, 3, 6])
def test_outputs_of_any_rank_are_masked_by_row_and_step(rank, size):
    """Also where the size of y is that of the batch, 3, or of the time, 6."""
    xs = np.random.default_rng(0).normal(size=(3, 6, size)).astype(np.float32)
    mask = np.array([[1, 1, 1, 1, 1, 1], [1, 0, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0]], bool)
    sums = np.cumsum(np.where(mask[..., None], xs, 0), axis=1)
    wanted = {0: sums.mean(-1), 1: sums, 3: np.stack([sums, -sums], axis=-1)[:, :, None]}[rank]
    wanted = np.where(mask.reshape(3, 6, *[1] * rank), wanted, 0)
    cell = Running(rank, size)
    carry, ys = scan_cell(cell, cell.init(KEY, size), xs, mask=jnp.asarray(mask))
    np.testing.assert_allclose(ys, wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(carry, sums[:, -1], rtol=1e-5, atol=1e-6)


def test_a_cell_may_read_tokens():
    """Integers have no gradient; a batch of them looks like (T, D), so that something must say what it is."""
    cell = TokenLSTM(3, vocabulary_size=5)
    params, tokens = cell.init(KEY, None), jnp.asarray([[1, 4, 2], [0, 3, 0]])
    table, lstm = params["table"], LSTM(3)
    _, hs = scan_cell(lstm, params["lstm"], table[tokens], mask=jnp.asarray([[True] * 3, [True, True, False]]))
    for given_mask in (jnp.asarray([[True] * 3, [True, True, False]]), jnp.asarray([[1, 1, 1], [2, 1, 0]])):
        _, ys = scan_cell(cell, params, tokens, mask=given_mask)
        np.testing.assert_allclose(ys, hs.sum(-1), rtol=1e-6)
    one = scan_cell(cell, params, tokens[0], batched=False)[1]
    np.testing.assert_allclose(one, hs[0].sum(-1), rtol=1e-6)
    gradient = jax.grad(lambda p: scan_cell(cell, p, tokens, batched=True)[1].sum())(params)
    assert np.all(np.any(np.asarray(gradient["table"])[[0, 1, 2, 3, 4]], axis=1))
    with pytest.raises(ValueError, match=r"give batched=True or False. Got int32\[2, 3\]"):
        scan_cell(cell, params, tokens)


def test_images_in_layers():
    """A stack of convolutional LSTMs in both directions; sizes are shapes, `last` are images."""
    cell = ConvLSTM(4, image=(3, 2))
    stack = Stack(Bidirectional(cell), Recurrent(cell), dropout=0.5)
    assert stack.output_size((3, 2, 1)) == (3, 2, 4) and Bidirectional(cell).output_size((3, 2, 1)) == (3, 2, 8)
    params = stack.init(KEY, (3, 2, 1))
    xs, mask = jax.random.normal(KEY, (2, 5, 3, 2, 1)), jnp.asarray([[True] * 5, [True, True, False, False, False]])
    out = stack.apply(params, xs, mask=mask)
    first = [scan_cell(cell, way, xs, mask=mask, reverse=bool(back))[1] for back, way in enumerate(params[0])]
    expected = scan_cell(cell, params[1], jnp.concatenate(first, axis=-1), mask=mask)[1]
    np.testing.assert_allclose(out.ys, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(out.last, np.stack([out.ys[0, 4], out.ys[1, 1]]))
    dropped = stack.apply(params, xs, mask=mask, key=KEY).ys
    assert dropped.shape == (2, 5, 3, 2, 4) and not np.allclose(dropped, out.ys)
    single = stack.apply(params, xs[1], batched=False, mask=None)
    alone = stack.apply(params, xs[1:], batched=True)
    np.testing.assert_allclose(single.ys, alone.ys[0], rtol=1e-5, atol=1e-6)


def test_pairs_in_layers():
    """Values and times below, vectors above; dropout has no business with times."""
    pair = (jax.ShapeDtypeStruct((2,), jnp.float32), jax.ShapeDtypeStruct((), jnp.float32))
    stack = Stack(DecayGRU(4), LSTM(3))
    assert stack.output_size(pair) == 3 and output_size(DecayGRU(4), pair) == 4
    params = stack.init(KEY, pair)
    xs = jax.random.normal(KEY, (3, 5, 2)), jnp.ones((3, 5))
    below = scan_cell(DecayGRU(4), params[0], xs, batched=True)[1]
    np.testing.assert_allclose(
        stack.apply(params, xs, batched=True).ys, scan_cell(LSTM(3), params[1], below)[1], rtol=1e-6
    )
    with pytest.raises(ValueError, match="is for one array"):
        dataclasses.replace(stack, input_dropout=0.5).apply(params, xs, batched=True, key=KEY)


def test_a_plain_tuple_is_a_carry():
    cell = LSTM(3)
    params, xs = cell.init(KEY, 2), jnp.ones((4, 5, 2))
    h, c = jnp.full((4, 3), 0.5), jnp.full((4, 3), -0.5)
    for given_carry in ((h, c), [h, c]):
        named = scan_cell(cell, params, xs, carry=cell.initial_carry(params)._replace(h=h, c=c))
        jax.tree.map(np.testing.assert_array_equal, scan_cell(cell, params, xs, carry=given_carry), named)
    with pytest.raises(ValueError, match=r"carry does not fit .*\(4, 3\).*\(4, 2\)"):
        scan_cell(cell, params, xs, carry=(h, c[:, :2]))


def test_a_start_a_row_is_where_sequences_begin():
    """In every layer, over a sequence and step by step; of one that has None the start is its own."""
    stack, key = Stack(GRU(3), LSTM(2)), jax.random.key(1)
    params, xs = stack.init(KEY, 2), jax.random.normal(key, (4, 5, 2))
    resets = jax.random.bernoulli(key, 0.4, (4, 5))
    start = random_like(stack.initial_carry(params, 4), 0)
    start = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), start)
    out = stack.apply(params, xs, resets=resets, start=start)
    below = scan_cell(GRU(3), params[0], xs, resets=resets, start=start[0], carry=start[0])[1]
    expected = scan_cell(LSTM(2), params[1], below, resets=resets, start=start[1], carry=start[1])[1]
    np.testing.assert_allclose(out.ys, expected, rtol=1e-5, atol=1e-6)
    carry, ys = start, []
    for t in range(5):
        carry, y = stack.step(params, carry, xs[:, t], reset=resets[:, t], start=start)
        ys.append(y)
    np.testing.assert_allclose(jnp.stack(ys, 1), expected, rtol=1e-5, atol=1e-6)
    half = stack.apply(params, xs, resets=resets, start=(start[0], None)).ys
    np.testing.assert_allclose(half, scan_cell(LSTM(2), params[1], below, resets=resets)[1], rtol=1e-5, atol=1e-6)
    both = Bidirectional(GRU(3))
    ways = both.init(KEY, 2)
    ys = both.apply(ways, xs, start=(start[0], None)).ys
    one_way = scan_cell(GRU(3), ways.forward, xs, start=start[0])[1]
    np.testing.assert_allclose(ys[..., :3], one_way, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="start has one entry for each of 2 layers or directions; got 1"):
        stack.apply(params, xs, start=start[:1])
    with pytest.raises(ValueError, match="carry has one entry for each of 2 layers or directions; got 3"):
        stack.apply(params, xs, carry=(None, None, None))


def test_a_step_that_changes_its_carry_is_refused():
    class Growing(Running):
        def step(self, params, carry, x):
            return jnp.concatenate([carry, x]), x

    with pytest.raises(ValueError, match=r"another carry than the one it starts from: .*\(4,\).*\(2,\)"):
        scan_cell(Growing(1, 2), {"scale": jnp.ones(2)}, jnp.ones((3, 2)))


# --- everything at once -----------------------------------------------------------------------------------------------

CELLS = {
    "gru": GRU(3),
    "learned zoneout": LearnedStart(Zoneout(LSTM(3), rate=(0.2, 0.4))),
    "elman": Elman(3),
}
BACKENDS = {
    "plain": "plain",
    "auto": "auto",
    "chunks": Backend("deferred", save="preactivations", chunk_size=2, project="chunk"),
    "carries": Backend("deferred", save="carries", chunk_size=3, project="step", unroll=2),
    "borders": Backend("deferred", save="borders", chunk_size=4),
}


class Case(NamedTuple):
    """What hypothesis draws."""

    cell: str
    backend: str
    mask: list[list[bool]]
    resets: list[list[bool]]
    reverse: bool
    given_carry: bool
    given_start: bool
    with_keys: bool
    cut: int
    joined: bool
    seed: int


@st.composite
def cases(draw):
    rows, steps = draw(st.integers(1, 3)), draw(st.integers(1, 7))
    flags = st.lists(st.lists(st.booleans(), min_size=steps, max_size=steps), min_size=rows, max_size=rows)
    return Case(
        draw(st.sampled_from(sorted(CELLS))),
        draw(st.sampled_from(sorted(BACKENDS))),
        draw(flags),
        draw(flags),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.integers(0, steps)),
        draw(st.booleans()),
        draw(st.integers(0, 9)),
    )


@settings(max_examples=25)
@given(case=cases())
def test_any_combination_equals_the_plain_loop(case):
    """T, mask, resets, reverse, carry, starts a row, keys, chunks handed on by their carry, and backend together;
    outputs and gradients. Two chunks are scanned one after the other, in scanning order; either may be empty."""
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        patch.setattr("rnn_jax.scanning.scan.join_steps", lambda: case.joined)
        cell, mask, resets = CELLS[case.cell], np.array(case.mask), np.array(case.resets)
        rows, steps = mask.shape
        params = random_like(cell.init(KEY, 2), case.seed)
        xs = np.random.default_rng(case.seed + 1).normal(size=(rows, steps, 2))
        out = jax.eval_shape(lambda: scan_cell(cell, params, xs, return_states=True))
        cotangents, carry = random_like(out, case.seed + 2), random_like(out[0], case.seed + 3)
        row_keys = jax.random.split(jax.random.key(case.seed), rows)
        keys = [[jax.random.fold_in(key, t) for t in range(steps)] for key in row_keys]

        row_start = random_like(out[0], case.seed + 4) if case.given_start else None

        def scan(params, xs, carry, row_start, part):
            return scan_cell(
                cell,
                params,
                xs[:, part],
                mask=jnp.asarray(mask[:, part]),
                resets=jnp.asarray(resets[:, part]),
                carry=carry,
                start=row_start,
                key=row_keys if case.with_keys else None,
                first_step=part.start,
                reverse=case.reverse,
                return_states=True,
                backend="auto" if part.stop - part.start < 1 else BACKENDS[case.backend],
            )

        def run(params, xs, carry, row_start):
            parts = [slice(0, case.cut), slice(case.cut, steps)][:: -1 if case.reverse else 1]
            made = {}
            for part in parts:
                carry, ys, states = scan(params, xs, carry, row_start, part)
                made[part.start, part.stop] = ys, states
            first, second = (made[part.start, part.stop] for part in sorted(parts, key=lambda part: part.stop))
            join = lambda a, b: jnp.concatenate([a, b], axis=1)  # noqa: E731
            return (carry, *jax.tree.map(join, first, second))

        initial = (
            jax.tree.map(np.asarray, Recurrent(cell).initial_carry(params, rows)) if row_start is None else row_start
        )
        start = carry if case.given_carry else initial
        actual, vjp = jax.vjp(run, params, jnp.asarray(np.where(mask[..., None], xs, np.nan)), start, row_start)
        *bars, row_start_bar = vjp(cotangents)
        drawn = case.with_keys and draws(cell)  # others ignore the key
        options = {"keys": keys if drawn else None, "reverse": case.reverse, "starts": row_start}
        expected = plain_loop.run_batch(cell, params, xs, start, mask, resets, cotangents, **options)
        close((Result(*actual, *bars), row_start_bar), (expected._replace(start_bar=None), expected.start_bar), 1e-9)
