"""The network of a language model: its equations, its carry from window to window, what it drops and what it keeps."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from language_model_runs import RUNS, model_of, trained_of
from oracles.jitting import quick_jit

from rnn_jax import GRU, LSTM, Elman, Recurrent, Stack
from rnn_jax.cells import Memoryless
from rnn_jax.data.batching import Ragged
from rnn_jax.data.lanes import Lanes
from rnn_jax.errors import UserError
from rnn_jax.models.language_heads import SoftmaxHead
from rnn_jax.models.language_model import LanguageModel
from rnn_jax.models.recurrent_config import CELL_NAMES
from rnn_jax.models.sizes import num_parameters
from rnn_jax.training.build import build

V, E, H = 9, 6, 7
END = 2
TOKENS = jnp.array([[2, 3, 4, 5, 4, 3, 8, 7], [6, 6, 5, 2, 3, 7, 8, 3]], jnp.int32)
RESETS = TOKENS == END
LABELS = jnp.array([[3, 4, 5, 4, 3, 8, 7, 6], [6, 5, 2, 3, 7, 8, 3, 4]], jnp.int32)
loss_of = RUNS.task.loss


def make(stack=None, *, tied=True, **options):
    head = functools.partial(SoftmaxHead, V, tied=tied)
    sizes = {"vocabulary_size": V, "embedding_size": E, "projected_size": E if tied else 0}
    return LanguageModel(stack or Stack(LSTM(H)), head, **sizes, rngs=nnx.Rngs(0), **options)


def read(model, tokens=TOKENS, **options):
    return quick_jit(lambda tokens, options: model.read(tokens, **options))(tokens, options)


def log_probs(model, *arguments, **options):
    return model.log_probs(read(model, *arguments, **options).features)


def batch_of(window, labels=LABELS, mask=None):
    weights = jnp.ones(TOKENS.shape, jnp.float32)[:, window] if mask is None else mask.astype(jnp.float32)
    batch = {"tokens": TOKENS[:, window], "labels": labels[:, window], "weights": weights, "resets": RESETS[:, window]}
    return batch if mask is None else batch | {"mask": mask}


def test_against_the_equations_in_numpy():
    """One row, one step at a time, in float64: an LSTM, a projection to the embeddings' size, a tied softmax."""
    model = make()
    table, b = (np.asarray(p.get_value(), np.float64) for p in (model.embedding.table, model.head.b))
    ((w_x, w_h, bias),) = (
        [np.asarray(getattr(params, name), np.float64) for name in ("w_x", "w_h", "b")]
        for params in model.encoder.layer_params()
    )
    w_p, b_p = (np.asarray(p.get_value(), np.float64) for p in (model.projection.w, model.projection.b))
    sigmoid = lambda a: 1 / (1 + np.exp(-a))  # noqa: E731
    found = log_probs(model, resets=RESETS)
    for row in range(2):
        h, c = np.zeros(H), np.zeros(H)
        for t, token in enumerate(np.asarray(TOKENS[row])):
            if token == END:
                h, c = np.zeros(H), np.zeros(H)
            i, f, g, o = np.split(table[token] @ w_x + h @ w_h + bias, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            scores = np.exp((h @ w_p + b_p) @ table.T + b)
            np.testing.assert_allclose(found[row, t], np.log(scores / scores.sum()), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_steps_are_reading_for_every_cell(cell):
    """The function that writes, token by token, says what reading says; and so does the carry."""
    trained = trained_of(["abcdef"], cell=(cell,), num_layers=2, scale=2.0)
    model, tokens = model_of(trained), TOKENS[:, :4]
    whole, carry = read(model, tokens), model.initial_carry(2)
    expected, step = model.log_probs(whole.features), quick_jit(model.step)
    for t in range(4):
        carry, logits = step(carry, tokens[:, t])
        np.testing.assert_allclose(jax.nn.log_softmax(logits), expected[:, t], rtol=1e-4, atol=1e-5)
    for a, b in zip(jax.tree.leaves(carry), jax.tree.leaves(whole.carry), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_windows_go_on_where_the_one_before_ended():
    model = make(Stack(GRU(5), LSTM(H)))
    whole = log_probs(model, resets=RESETS)
    first = read(model, TOKENS[:, :3], resets=RESETS[:, :3])
    second = log_probs(model, TOKENS[:, 3:], resets=RESETS[:, 3:], carry=first.carry)
    np.testing.assert_allclose(jnp.concatenate([model.log_probs(first.features), second], axis=1), whole, rtol=1e-5)


def test_documents_know_nothing_of_each_other():
    model = make()
    alone = log_probs(model, TOKENS[1:, 3:])
    np.testing.assert_allclose(log_probs(model, resets=RESETS)[1, 3:], alone[0], rtol=1e-5)
    assert np.abs(log_probs(model)[1, 3:] - alone[0]).max() > 1e-3


def plain_windows(graph, params, cuts):
    """Σ −log p over all steps by a Python loop, the gradient cut where a window begins."""
    model, total = nnx.merge(graph, params), 0.0
    carry = model.initial_carry(2)
    for t in range(TOKENS.shape[1]):
        if t in cuts:
            carry = jax.lax.stop_gradient(carry)
        fresh = model.initial_carry(2)
        keep = lambda new, old, t=t: jnp.where(RESETS[:, t, None], new, old)  # noqa: E731
        carry, logits = model.step(jax.tree.map(keep, fresh, carry), TOKENS[:, t])
        total -= jnp.take_along_axis(jax.nn.log_softmax(logits), LABELS[:, t, None], axis=1).sum()
    return total


@pytest.mark.parametrize("cell", [LSTM(H), GRU(H)])
def test_gradients_of_windows_are_those_of_a_loop_that_is_cut_between_them(cell):
    graph, params = nnx.split(make(Stack(cell)))

    def window(params, batch, carry):
        sums, carry = loss_of(nnx.merge(graph, params), batch, carry, jax.random.key(0))
        return sums["loss"][0], carry

    carry, total, gradients = None, 0.0, None
    for steps in (slice(0, 4), slice(4, 8)):
        (nats, carry), found = quick_jit(jax.value_and_grad(window, has_aux=True))(params, batch_of(steps), carry)
        total += nats
        gradients = found if gradients is None else jax.tree.map(jnp.add, gradients, found)
    expected, wanted = quick_jit(jax.value_and_grad(functools.partial(plain_windows, graph, cuts={4})))(params)
    uncut = quick_jit(jax.grad(functools.partial(plain_windows, graph, cuts=())))(params)
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    leaves = list(map(jax.tree.leaves, (gradients, wanted, uncut)))
    for a, b in zip(*leaves[:2], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert max(np.abs(a - b).max() for a, b in zip(*leaves[1:], strict=True)) > 1e-3  # a cut can be told from none


def test_padded_steps_of_varying_windows_change_nothing():
    """Loss, penalties and carry of a window that is padded to the longest are those of the window without."""
    tokens = np.random.default_rng(0).integers(3, V, 200).astype(np.int32)
    lanes = Lanes(Ragged.from_rows([tokens]), 2, 12, boundary=END, seed=1, varies=True)
    model = make(activation_penalty=2.0, temporal_penalty=3.0)
    loss = quick_jit(lambda batch, carry: loss_of(model, batch, carry, jax.random.key(0)))
    carry, shorter = model.initial_carry(2), 0
    for step in range(3):
        padded = lanes.batch(step)
        real = int(padded["mask"][0].sum())
        shorter += real < padded["mask"].shape[1]
        cut = {name: padded[name][:, :real] for name in ("tokens", "labels", "weights", "resets")}
        sums, after = loss(padded, carry)
        expected, expected_carry = loss(cut, carry)
        factor, _ = sums.pop("rate_factor")
        for a, b in zip(jax.tree.leaves((sums, after)), jax.tree.leaves((expected, expected_carry)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        # Gradients are means over a window, and short windows are to count for less.
        assert float(factor) == pytest.approx(real / 12, rel=1e-6)
        poisoned = padded | {name: np.where(padded["mask"], padded[name], 7) for name in ("tokens", "labels")}
        again, after_again = loss(poisoned, carry)
        again.pop("rate_factor")
        for a, b in zip(jax.tree.leaves((again, after_again)), jax.tree.leaves((sums, after)), strict=True):
            np.testing.assert_array_equal(a, b)
        carry = after
    assert shorter


def test_penalties_against_numpy():
    mask = jnp.arange(8)[None] < jnp.array([[8], [5]])
    model = make(output_dropout=0.5, activation_penalty=2.0, temporal_penalty=3.0)
    key = jax.random.key(3)
    out = read(model, resets=RESETS, mask=mask, key=jax.random.split(key)[0])
    sums, _ = loss_of(model, batch_of(slice(None), mask=mask), None, key)
    dropped, ys, real = (np.asarray(array, np.float64) for array in (out.dropped, out.ys, mask))
    assert (dropped == 0).mean() > 0.3
    outputs = sum((dropped[b, t] ** 2).mean() for b in range(2) for t in range(8) if real[b, t]) / 13
    goes_on = real[:, 1:] * ~np.asarray(RESETS)[:, 1:]
    changes = [((ys[b, t + 1] - ys[b, t]) ** 2).mean() for b, t in np.argwhere(goes_on)]
    expected = 2.0 * outputs + 3.0 * sum(changes) / len(changes)
    (total, weight), (nats, _) = sums["loss"], sums["nats"]
    assert 0 < len(changes) < 11 and weight == 13
    assert (total - nats) / weight == pytest.approx(expected, rel=1e-4)
    without = loss_of(make(), batch_of(slice(None)), None, key)[0]
    assert without.keys() == {"loss"}


RATES = {
    "output_dropout": 0.5,
    "word_dropout": 0.5,
    "embedding_dropout": 0.5,
}


@pytest.mark.parametrize("name", [*RATES, "recurrent_dropout", "layer_dropout"])
def test_what_drops_needs_a_key(name):
    rate = 0.5
    stacks = {
        "recurrent_dropout": Stack(Recurrent(LSTM(H), recurrent_dropout=rate)),
        "layer_dropout": Stack(GRU(5), LSTM(H), dropout=rate),
    }
    plain = {"recurrent_dropout": Stack(LSTM(H)), "layer_dropout": Stack(GRU(5), LSTM(H))}
    model = make(stacks.get(name), **({name: rate} if name in RATES else {}))
    other = make(plain.get(name))
    np.testing.assert_array_equal(log_probs(model), log_probs(other))
    draws = [np.asarray(log_probs(model, key=jax.random.key(seed))) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert np.abs(draws[0] - draws[2]).max() > 1e-4 and np.abs(draws[0] - log_probs(model)).max() > 1e-4


def test_weight_drop_is_on_the_recurrent_weights_and_one_draw_for_all_steps_and_rows():
    model = make(Stack(Recurrent(Elman(H), recurrent_dropout=0.5)))
    same = jnp.broadcast_to(TOKENS[:1], TOKENS.shape)
    dry, wet = (read(model, same, key=key).ys for key in (None, jax.random.key(0)))
    np.testing.assert_array_equal(wet[0], wet[1])
    np.testing.assert_allclose(wet[:, 0], dry[:, 0], rtol=1e-6)  # nothing is recurrent there
    # What each step adds through w_h is linear in the state before it: one matrix explains all steps, and half is gone.
    (params,) = model.encoder.layer_params()
    table = model.embedding.table.get_value()
    own = np.asarray(table)[same[0, 1:]] @ np.asarray(params.w_x) + np.asarray(params.b)
    added = np.arctanh(np.asarray(wet[0, 1:], np.float64)) - own
    w_h = np.linalg.lstsq(np.asarray(wet[0, :-1], np.float64), added, rcond=None)[0]
    kept = np.isclose(w_h, 2 * np.asarray(params.w_h), atol=1e-2)
    assert (kept | np.isclose(w_h, 0, atol=1e-2)).all() and 0.2 < kept.mean() < 0.8


@pytest.mark.parametrize("variational", [False, True])
def test_output_dropout_drops_the_same_units_at_every_step_if_variational(variational):
    out = read(make(output_dropout=0.5, variational_output=variational), key=jax.random.key(0))
    gone = np.asarray(out.dropped) == 0
    assert 0.2 < gone.mean() < 0.8
    assert (gone == gone[:, :1]).all() == variational
    np.testing.assert_allclose(np.where(gone, 0, 2 * np.asarray(out.ys)), out.dropped, rtol=1e-6)


def test_words_are_dropped_into_the_unknown_one_and_rows_of_the_table_wherever_they_are_read():
    tokens = jnp.array([[3, 4, 5, 3, 4, 5, 3, 4], [5, 5, 3, 3, 4, 4, 5, 5]], jnp.int32)
    reads = lambda **rate: np.asarray(read(make(Stack(Memoryless(H)), **rate), tokens, key=jax.random.key(1)).ys)  # noqa: E731
    plain, unknown = (np.asarray(read(make(Stack(Memoryless(H))), t).ys) for t in (tokens, jnp.full((2, 8), 1)))
    words = reads(word_dropout=0.5)
    lost = np.isclose(words, unknown, atol=1e-6).all(axis=-1)
    assert 0.2 < lost.mean() < 0.8
    np.testing.assert_allclose(words[~lost], plain[~lost], rtol=1e-6)
    rows = reads(embedding_dropout=0.5)
    for token in (3, 4, 5):
        same = rows[np.asarray(tokens) == token]
        np.testing.assert_array_equal(same, np.broadcast_to(same[0], same.shape))


def test_a_tied_table_has_the_gradients_of_both_its_uses():
    """Those of an untied model with the same numbers in both places, added."""
    tied, untied = make(Stack(LSTM(E))), make(Stack(LSTM(E)), tied=False)
    untied.embedding.table.set_value(tied.embedding.table.get_value())
    untied.head.w.set_value(tied.embedding.table.get_value())
    for mine, theirs in zip(jax.tree.leaves(untied.encoder.weights), jax.tree.leaves(tied.encoder.weights)):
        np.testing.assert_array_equal(mine, theirs)
    assert tied.head.w is None and tied.projection is None

    def gradient(model):
        graph, params = nnx.split(model)
        nats = lambda params: loss_of(nnx.merge(graph, params), batch_of(slice(None)), None, jax.random.key(0))[0]  # noqa: E731
        return quick_jit(jax.grad(lambda params: nats(params)["loss"][0]))(params)

    both, apart = gradient(tied), gradient(untied)
    expected = apart.embedding.table.get_value() + apart.head.w.get_value()
    np.testing.assert_allclose(both.embedding.table.get_value(), expected, rtol=1e-4, atol=1e-6)
    assert np.abs(apart.embedding.table.get_value()).max() > 1e-3


@pytest.mark.parametrize("head", ["softmax", "adaptive", "mixture"])
def test_half_precision_computes_near_the_same(head):
    options = {"head": head, "scale": 3.0, "num_layers": 2}
    exact, half = (
        model_of(trained_of(["abcdefgh"], compute_dtype=dtype, **options)) for dtype in ("float32", "bfloat16")
    )
    tokens = TOKENS[:, :5]
    out = read(half, tokens)
    assert out.ys.dtype == jnp.bfloat16
    found = half.log_probs(out.features)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, exact.log_probs(read(exact, tokens).features), atol=0.1)
    carry, step = half.initial_carry(2), quick_jit(half.step)
    for t in range(5):
        carry, logits = step(carry, tokens[:, t])
    np.testing.assert_allclose(jax.nn.log_softmax(logits), found[:, -1], atol=0.05)
    wanted, got = (jax.tree.map(lambda leaf: leaf.dtype, tree) for tree in (out.carry, carry))
    assert wanted == got


def test_half_precision_sums_logits_in_single_precision():
    """Rounded to bfloat16, logits of about 100 would lie half a nat apart."""
    head = SoftmaxHead(2, 64, tied=True, rngs=nnx.Rngs(0))
    table = np.ones((2, 64), np.float32)
    table[1, 0] = 1 + 2**-7
    logits = head.logits(jnp.full((1, 64), 2.0, jnp.bfloat16), jnp.asarray(table))
    np.testing.assert_allclose(logits, [[128.0, 128.0 + 2**-6]], rtol=0, atol=1e-6)


@pytest.mark.parametrize("head", ["softmax", "adaptive", "mixture"])
def test_num_params_solves_the_width(head):
    trained = trained_of(["abcdefghij"], head=head, num_params=20_000, num_layers=2)
    assert num_parameters(build(RUNS.task, trained.config, trained.codec).shapes) == pytest.approx(20_000, rel=0.03)


def test_a_model_that_sees_what_it_has_to_say_is_refused():
    with pytest.raises(UserError, match="--bidirectional: a language model reads forwards only"):
        trained_of(["abc"], bidirectional=True)
