import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.foreign_cells import DecayingSum
from oracles.jitting import counted_programs, quick_jit

from rnn_jax import CELLS, LSTM, Bidirectional, Memoryless, Recurrent
from rnn_jax.cells import ElmanParams, GRUParams
from rnn_jax.dropout import (
    check_rate,
    dropout,
    embedding_dropout,
    recurrent_dropout,
    variational_dropout,
    word_dropout,
)

KEY = jax.random.key(0)
ONES = jnp.ones((20, 30, 50))


def test_rate_and_scaling():
    """A quarter is dropped, the rest is divided by 3/4, the mean stays."""
    dropped = np.asarray(dropout(ONES, 0.25, KEY))
    assert set(np.unique(dropped)) == {np.float32(0), np.float32(1 / 0.75)}
    assert (dropped == 0).mean() == pytest.approx(0.25, abs=0.01)
    assert dropped.mean() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    "drop",
    [
        dropout,
        variational_dropout,
        embedding_dropout,
        lambda x, rate, key: word_dropout(x.astype(jnp.int32), rate, key, unknown_id=9).astype(x.dtype),
        lambda x, rate, key: recurrent_dropout(ElmanParams(x, x, x), rate, key).w_h,
    ],
    ids=["dropout", "variational", "embedding", "word", "recurrent"],
)
def test_nothing_is_dropped_without_key_or_rate(drop):
    x = jnp.ones((4, 5))
    assert drop(x, 0.5, None).tolist() == x.tolist()
    assert drop(x, 0.0, KEY).tolist() == x.tolist()
    assert drop(x, 0.5, KEY).tolist() != x.tolist()  # and dropped with both


def test_dropped_numbers_may_be_anything():
    x = jnp.full((10, 10), jnp.nan)
    assert np.isfinite(dropout(x, 0.5, KEY)).any()


def test_variational_mask_is_one_for_all_steps_but_not_for_rows_or_units():
    masks = np.asarray(variational_dropout(ONES, 0.5, KEY)) > 0
    assert (masks == masks[:, :1]).all()
    assert len({mask[0].tobytes() for mask in masks}) == 20  # rows differ
    assert 0.4 < masks[:, 0].mean() < 0.6  # units too


def test_embedding_dropout_drops_words_not_numbers():
    table = np.asarray(embedding_dropout(jnp.ones((1000, 4)), 0.3, KEY)) > 0
    assert (table == table[:, :1]).all() and table.mean() == pytest.approx(0.7, abs=0.05)


def test_word_dropout_replaces_tokens_unscaled():
    tokens = jnp.arange(10_000, dtype=jnp.int32) + 5
    dropped = np.asarray(word_dropout(tokens, 0.2, KEY, unknown_id=1))
    assert ((dropped == 1) | (dropped == tokens)).all() and (dropped == 1).mean() == pytest.approx(0.2, abs=0.02)


def test_recurrent_dropout_touches_w_h_only():
    params = GRUParams(w_x=jnp.ones((3, 90)), w_h=jnp.ones((30, 90)), b=jnp.ones(90), b_hn=jnp.ones(30))
    dropped = recurrent_dropout(params, 0.4, KEY)
    assert (np.asarray(dropped.w_h) == 0).mean() == pytest.approx(0.4, abs=0.05)
    for name in ("w_x", "b", "b_hn"):
        np.testing.assert_array_equal(getattr(dropped, name), getattr(params, name))


def test_recurrent_dropout_is_one_draw_for_all_steps_and_rows():
    """The layer with dropped weights is the layer run on weights dropped beforehand, by the same key, once."""
    layer = Recurrent(LSTM(4), recurrent_dropout=0.5)
    params, xs = layer.init(KEY, 3), jax.random.normal(KEY, (2, 6, 3))
    apply = quick_jit(lambda layer, params, key: layer.apply(params, xs, key=key)[1], static_argnums=0)
    dropped, without = apply(layer, params, jax.random.key(3)), apply(layer, params, None)
    by_hand = apply(Recurrent(LSTM(4)), recurrent_dropout(params, 0.5, jax.random.key(3)), None)
    np.testing.assert_allclose(dropped, by_hand, rtol=1e-6)
    assert not np.allclose(dropped, without)
    np.testing.assert_allclose(dropped[:, 0], without[:, 0])  # no recurrent weight has acted yet


def test_bidirectional_drops_each_direction_on_its_own():
    layer = Bidirectional(LSTM(4), recurrent_dropout=0.5)
    params, xs = layer.init(KEY, 3), jax.random.normal(KEY, (6, 3))
    params = params._replace(backward=params.forward)
    mirrored = jnp.concatenate([xs, xs[::-1]])  # both directions read the same
    ys, undropped = (
        np.asarray(quick_jit(lambda key: layer.apply(params, mirrored, key=key)[1])(key)) for key in (KEY, None)
    )
    np.testing.assert_allclose(undropped[:, :4], undropped[::-1, 4:], rtol=1e-5)
    assert not np.allclose(ys[:, :4], ys[::-1, 4:])


def test_recurrent_dropout_needs_recurrent_weights():
    layer = Recurrent(Memoryless(2), recurrent_dropout=0.5)
    params, xs = layer.init(KEY, 3), jnp.ones((4, 3))
    layer.apply(params, xs)  # without a key nothing is dropped
    with pytest.raises(ValueError, match="names in `recurrent_weights`, here none; the params are: w_x, b. Name them"):
        layer.apply(params, xs, key=KEY)
    with pytest.raises(ValueError, match=r"\('w_h',\); the params are: rec\."):
        recurrent_dropout({"rec": jnp.ones((2, 2))}, 0.5, KEY)


def test_any_cell_may_name_its_recurrent_weights():
    """Two of them, one deeper than the other; each has a draw of its own, and what is not named stays."""
    params = {"rec": jnp.ones((50, 50)), "deep": {"er": jnp.ones((50, 50))}, "in": jnp.ones((50, 50))}
    dropped = recurrent_dropout(params, 0.5, KEY, names=("rec", "deep.er"))
    for weights in (dropped["rec"], dropped["deep"]["er"]):
        assert set(np.unique(weights)) == {0.0, 2.0}
    assert not np.array_equal(dropped["rec"], dropped["deep"]["er"])
    np.testing.assert_array_equal(dropped["in"], 1.0)

    class Named(DecayingSum):
        recurrent_weights = ("rec",)

    layer = Recurrent(Named(4), recurrent_dropout=0.5)
    params, xs = layer.init(KEY, 3), jax.random.normal(KEY, (2, 6, 3))
    by_hand = layer.apply(recurrent_dropout(params, 0.5, KEY, names=("rec",)), xs).ys
    np.testing.assert_allclose(layer.apply(params, xs, key=KEY).ys, by_hand, rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in CELLS if name != "memoryless"])
def test_every_cell_with_memory_has_recurrent_weights_to_drop(name):
    cell = CELLS[name](hidden_size=4)
    names = cell.recurrent_weights
    assert names
    jax.eval_shape(lambda key: recurrent_dropout(cell.init(key, 3), 0.5, key, names=names), KEY)


def test_dropout_keeps_bfloat16():
    assert dropout(jnp.ones((2, 2), jnp.bfloat16), 0.5, KEY).dtype == jnp.bfloat16


DROPS = {  # each as a function of floats of any shape (rows, columns)
    "dropout": dropout,
    "shared": lambda x, rate, key: dropout(x, rate, key, shared_axes=(0,)),
    "variational": variational_dropout,
    "embedding": embedding_dropout,
    "recurrent": lambda w, rate, key: recurrent_dropout(ElmanParams(w, w, w), rate, key).w_h,
}
every_drop = pytest.mark.parametrize("drop", DROPS.values(), ids=DROPS)


@every_drop
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16, jnp.bfloat16])
def test_at_a_rate_of_1_nothing_is_left_and_no_gradient(drop, dtype):
    """Known or traced."""
    x = jnp.full((4, 5), 3.0, dtype)
    loss = lambda x, rate: jnp.sum(drop(x, rate, KEY).astype(jnp.float32))  # noqa: E731
    for gradient in (jax.value_and_grad(lambda x: loss(x, 1.0)), lambda x: jax.jit(jax.value_and_grad(loss))(x, 1.0)):
        total, of_x = gradient(x)
        assert total == 0 and not np.asarray(of_x, np.float32).any()


def test_at_a_rate_of_1_every_word_is_unknown():
    tokens = jnp.arange(5, 15)
    traced = jax.jit(lambda rate: word_dropout(tokens, rate, KEY, unknown_id=1))
    assert word_dropout(tokens, 1.0, KEY, unknown_id=1).tolist() == traced(1.0).tolist() == [1] * 10


RATES = (0.0, 0.25, 1.0)


@every_drop
def test_a_traced_rate_is_the_known_one(drop):
    x = jnp.ones((20, 30))
    traced = jax.jit(lambda rate: drop(x, rate, KEY))
    with counted_programs() as programs:
        dropped = [traced(rate) for rate in RATES]
    assert programs["<lambda>"] == 1
    for rate, found in zip(RATES, dropped, strict=True):
        np.testing.assert_allclose(found, drop(x, rate, KEY), rtol=1e-6)


@pytest.mark.parametrize("rate", [-0.5, 1.5, float("nan"), float("inf"), jnp.float32(1.5)])
@pytest.mark.parametrize("key", [KEY, None], ids=["key", "no_key"])
def test_rates_that_are_no_probabilities_are_refused(rate, key):
    """With a key and without: a wrong rate should not wait for the first step of training."""
    x = jnp.ones((2, 3))
    drops = [*DROPS.values(), lambda x, rate, key: word_dropout(x.astype(jnp.int32), rate, key, unknown_id=1)]
    for drop in drops:
        with pytest.raises(ValueError, match=r"rate is a probability of dropping, in \[0, 1\]; got (-0.5|1.5|nan|inf)"):
            drop(x, rate, key)
    with pytest.raises(ValueError, match="layer_dropout is a probability"):
        check_rate("layer_dropout", rate)
