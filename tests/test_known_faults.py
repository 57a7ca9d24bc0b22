"""Faults that other recurrent layers have or had, each with a test that ours does not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from oracles.jitting import quick_jit

from rnn_jax import GRU, LSTM, Bidirectional, Elman, Recurrent, scan_cell
from rnn_jax.losses import cross_entropy
from rnn_jax.modules import RNN

T, D, H = 4, 2, 3
XS = jax.random.normal(jax.random.key(1), (2, T, D))
CELLS = [Elman(H), LSTM(H), GRU(H)]
every_cell = pytest.mark.parametrize("cell", CELLS, ids=lambda cell: type(cell).__name__)


@every_cell
def test_row_of_length_0_keeps_its_carry(cell):
    """Flax linen and NNX take the carry at index length − 1 = −1: that of the last step, all padding."""
    params = cell.init(jax.random.key(0), D)
    mask = jnp.asarray([[False] * T, [True] * T])
    given = jax.tree.map(lambda leaf: jnp.full((2, *leaf.shape), 0.25, leaf.dtype), cell.initial_carry(params))
    for start, expected in ((None, 0.0), (given, 0.25)):
        carry, ys = quick_jit(lambda start: scan_cell(cell, params, XS, mask=mask, carry=start))(start)
        for leaf in jax.tree.leaves(carry):
            assert np.all(leaf[0] == expected) and not np.any(leaf[1] == expected)
        assert not np.any(ys[0])


@every_cell
@pytest.mark.parametrize("layer", [Recurrent, Bidirectional])
def test_nan_in_padding_stays_out_of_gradients(cell, layer):
    """Flax and Keras-JAX mask the outputs only: 0 · ∂step/∂NaN is NaN."""
    model = layer(cell)
    params = model.init(jax.random.key(0), D)
    mask = jnp.asarray([[True, True, False, False], [True, True, True, False]])
    xs = jnp.where(mask[..., None], XS, jnp.nan)
    gradients = quick_jit(jax.grad(lambda params, xs: model.apply(params, xs, mask=mask).last.sum(), argnums=(0, 1)))
    for leaf in jax.tree.leaves(gradients(params, xs)):
        assert np.isfinite(leaf).all() and np.any(leaf)


@every_cell
def test_bfloat16_in_gives_bfloat16_out(cell):
    """Flax computes in the float32 of the params. What accumulates stays float32 here too, but inside the carry."""
    model = RNN(Bidirectional(cell), D, rngs=nnx.Rngs(0))
    output = jax.eval_shape(lambda xs: model.apply(xs), XS.astype(jnp.bfloat16))
    assert output.ys.dtype == output.last.dtype == jnp.bfloat16
    assert model.layer_params().forward.w_x.dtype == jnp.float32


def test_loss_is_not_averaged_over_padding():
    """Flax's seq2seq example divides by all positions: more padding, smaller loss. log 4 for uniform logits, always."""
    labels = jnp.asarray([[1, 2], [3, 0]])
    for padding in (0, 5):
        padded = jnp.pad(labels, ((0, 0), (0, padding)))
        weights = jnp.pad(jnp.asarray([[1.0, 1.0], [1.0, 0.0]]), ((0, 0), (0, padding)))
        logits = jnp.where(weights[..., None] > 0, jnp.zeros((*padded.shape, 4)), jnp.nan)
        total, count = cross_entropy(logits, padded, weights)
        assert count == 3 and total / count == pytest.approx(np.log(4))


@every_cell
def test_bidirectional_result_does_not_depend_on_the_amount_of_padding(cell):
    """A backward pass that starts in the padding, or a flip of the whole row, gives other numbers in longer batches."""
    model = Bidirectional(cell)
    params = model.init(jax.random.key(0), D)
    alone = quick_jit(lambda xs: model.apply(params, xs))(XS)
    for padding in (1, 4):
        xs = jnp.pad(XS, ((0, 0), (0, padding), (0, 0)), constant_values=7.0)
        mask = jnp.broadcast_to(jnp.arange(T + padding), (2, T + padding)) < T
        padded = quick_jit(lambda xs, mask: model.apply(params, xs, mask=mask))(xs, mask)
        assert not np.any(padded.ys[:, T:])
        actual = (padded.ys[:, :T], padded.last, padded.carry)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
            actual,
            (alone.ys, alone.last, alone.carry),
        )
