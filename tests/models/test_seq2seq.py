"""The encoder–decoder: both ways of computing it agree, with an independent one too, and padding is invisible."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rnn_jax import GRU, LSTM, Bidirectional, Recurrent, Stack
from rnn_jax.attention import ATTENTIONS, make_attention
from rnn_jax.models.seq2seq import Seq2Seq

E, H, SOURCES, TARGETS = 6, 8, 11, 13
SOURCE = jnp.array([[3, 4, 5, 6, 7], [8, 9, 10, 0, 0], [0, 0, 0, 0, 0]], jnp.int32)
LENGTHS = jnp.array([5, 3, 0], jnp.int32)
INPUTS = jnp.array([[2, 4, 5, 6], [2, 9, 3, 7], [2, 12, 11, 10]], jnp.int32)


def model_of(kind="general", decoder=None, encoder=None, **options):
    attention = (
        None if kind == "none" else make_attention(kind, 6, **({"num_heads": 2} if kind == "multi_head" else {}))
    )
    return Seq2Seq(
        encoder or Stack(Bidirectional(LSTM(H // 2))),
        decoder or Stack(LSTM(H)),
        source_vocabulary_size=SOURCES,
        target_vocabulary_size=TARGETS,
        embedding_size=E,
        attention=attention,
        rngs=nnx.Rngs(0),
        **options,
    )


def logits_of(model, source=SOURCE, lengths=LENGTHS, inputs=INPUTS, key=None, **options):
    keys = (None,) * 3 if key is None else jax.random.split(key, 3)
    readouts = model.read_out(model.encode(source, lengths, key=keys[0]), inputs, key=keys[1], **options).readouts
    return model.logits(readouts, key=keys[2])


def stepped(model, num_hypotheses=1):
    """The logits of all steps by `step`, the function that decoding uses."""
    encoded, outputs = model.encode(SOURCE, LENGTHS), []
    state = model.initial_state(encoded, num_hypotheses)
    for t in range(INPUTS.shape[1]):
        state, logits = model.step(encoded, state, jnp.repeat(INPUTS[:, t : t + 1], num_hypotheses, axis=1))
        outputs.append(logits)
    return jnp.stack(outputs, axis=2)  # (B, K, T, V)


@pytest.mark.parametrize("input_feeding", [False, True])
@pytest.mark.parametrize("kind", ["none", *ATTENTIONS])
def test_all_steps_at_once_are_one_after_the_other(kind, input_feeding):
    model = model_of(kind, input_feeding=input_feeding)
    whole = logits_of(model)
    for k, logits in enumerate(jnp.moveaxis(stepped(model, 2), 1, 0)):
        np.testing.assert_allclose(logits, whole, rtol=1e-4, atol=1e-5, err_msg=f"hypothesis {k}")


def test_the_decoder_may_be_deep_and_mixed():
    model = model_of(decoder=Stack(GRU(5), LSTM(H), LSTM(H), residual=False), input_feeding=True)
    np.testing.assert_allclose(stepped(model)[:, 0], logits_of(model), rtol=1e-4, atol=1e-5)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def lstm(params, x, h, c):
    i, f, g, o = np.split(x @ params["w_x"] + h @ params["w_h"] + params["b"], 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


@pytest.mark.parametrize("input_feeding", [False, True])
def test_against_the_equations_in_numpy(input_feeding):
    """One sentence at a time, one step at a time, in float64: Luong's general attention, linear bridge, tied output."""
    model = model_of(input_feeding=input_feeding, tie_output=True)
    arrays = lambda tree: {k: np.asarray(v, np.float64) for k, v in tree._asdict().items()}  # noqa: E731
    of = lambda linear: (np.asarray(linear.w.get_value(), np.float64), np.asarray(linear.b.get_value()))  # noqa: E731
    (both,) = model.encoder.layer_params()
    (decoder,) = map(arrays, model.decoder.layer_params())
    source_table, target_table = (
        np.asarray(e.table.get_value(), np.float64) for e in (model.source_embedding, model.target_embedding)
    )
    w_attention = np.asarray(model.attention_params.w.get_value(), np.float64)
    w_r, b_r = of(model.readout)
    expected = np.zeros((2, 4, TARGETS))
    for row, length in enumerate((5, 3)):
        xs, states = source_table[np.asarray(SOURCE[row, :length])], {}
        for name, order in (("forward", range(length)), ("backward", reversed(range(length)))):
            h, c, params = np.zeros(H // 2), np.zeros(H // 2), arrays(getattr(both, name))
            for t in order:
                h, c = lstm(params, xs[t], h, c)
                states[name, t] = h
        memory = np.stack([np.concatenate([states["forward", t], states["backward", t]]) for t in range(length)])
        last = np.concatenate([states["forward", length - 1], states["backward", 0]])
        (h_bridge, c_bridge) = map(of, model.bridges)
        names = [str(path[-1]) for path, _ in jax.tree_util.tree_leaves_with_path(model._initial_carry(1))]
        assert names == [".h", ".c"]
        h, c = (np.tanh(last @ w + b) for w, b in (h_bridge, c_bridge))
        readout = np.zeros(E)
        for t in range(4):
            x = target_table[int(INPUTS[row, t])]
            h, c = lstm(decoder, np.concatenate([x, readout]) if input_feeding else x, h, c)
            scores = memory @ w_attention @ h
            weights = np.exp(scores - scores.max())
            context = weights / weights.sum() @ memory
            readout = np.tanh(np.concatenate([h, context]) @ w_r + b_r)
            expected[row, t] = readout @ target_table.T + np.asarray(model.output_bias.get_value())
    np.testing.assert_allclose(logits_of(model)[:2], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bridge", ["linear", "copy", "zero"])
def test_bridges(bridge):
    """With a zero bridge and no attention nothing of the source reaches the decoder; with the others it does."""
    other = SOURCE.at[0, 0].set(9)
    model = model_of("none", bridge=bridge)
    same = np.array_equal(logits_of(model)[0], logits_of(model, source=other)[0])
    assert same == (bridge == "zero")


def test_a_copied_carry_is_the_encoders():
    model = model_of(bridge="copy", encoder=Stack(LSTM(5), Bidirectional(LSTM(4))), decoder=Stack(LSTM(5), LSTM(8)))
    run = model.encoder.apply(model.source_embedding(SOURCE), mask=jnp.arange(5)[None] < LENGTHS[:, None])
    first, second = model.encode(SOURCE, LENGTHS).carry
    np.testing.assert_array_equal(first.c, run.carry[0].c)
    np.testing.assert_array_equal(second.h, jnp.concatenate([run.carry[1].forward.h, run.carry[1].backward.h], axis=-1))


@pytest.mark.parametrize("kind", ["none", *ATTENTIONS])
def test_source_padding_is_invisible(kind):
    """Other tokens in the padding, or none of it, change neither scores nor gradients."""
    model = model_of(kind)
    graph, params = nnx.split(model)

    def loss(params, source):
        return jnp.sin(logits_of(nnx.merge(graph, params), source=source)).sum()

    garbage = jnp.where(jnp.arange(5)[None] < LENGTHS[:, None], SOURCE, 7)
    for a, b in zip(*(jax.tree.leaves(jax.value_and_grad(loss)(params, s)) for s in (SOURCE, garbage)), strict=True):
        np.testing.assert_array_equal(a, b)
    shorter = logits_of(model, SOURCE[1:2, :3], LENGTHS[1:2], INPUTS[1:2])
    np.testing.assert_allclose(shorter[0], logits_of(model)[1], rtol=1e-5, atol=1e-6)


def test_the_target_is_read_from_left_to_right():
    model = model_of()
    changed = logits_of(model, inputs=INPUTS.at[:, 2].set(1))
    np.testing.assert_array_equal(changed[:, :2], logits_of(model)[:, :2])
    assert (np.abs(np.asarray(changed - logits_of(model)))[:, 2:].max(axis=-1) > 1e-6).all()


@pytest.mark.parametrize("input_feeding", [False, True])
def test_gradients_reach_everything(input_feeding):
    graph, params = nnx.split(model_of("additive", input_feeding=input_feeding, tie_embeddings=False))
    gradient = jax.grad(lambda p: jnp.sin(logits_of(nnx.merge(graph, p))).sum())(params)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert np.abs(np.asarray(leaf)).max() > 0, jax.tree_util.keystr(path)


def test_tied_embeddings_are_one_table():
    model = Seq2Seq(
        Stack(LSTM(4)),
        Stack(LSTM(4)),
        source_vocabulary_size=13,
        target_vocabulary_size=13,
        embedding_size=E,
        attention=None,
        tie_embeddings=True,
        tie_output=True,
        rngs=nnx.Rngs(0),
    )
    tables = [leaf for leaf in jax.tree.leaves(nnx.split(model)[1]) if leaf.shape == (13, E) or leaf.shape == (E, 13)]
    assert len(tables) == 1
    before = logits_of(model)
    table = model.target_embedding.table
    table.set_value(table.get_value().at[12].add(5.0))  # row 12 is read in the target only, and is an output
    after = logits_of(model)
    assert np.abs(np.asarray(after - before))[:2, :, 12].min() > 1e-3
    np.testing.assert_array_equal(after[:2, :, :12], before[:2, :, :12])


def test_scheduled_sampling_between_its_ends():
    model = model_of(input_feeding=False)
    key, ones = jax.random.key(3), jnp.ones(3)
    np.testing.assert_allclose(
        logits_of(model, key=key, teacher_forcing=ones), logits_of(model), rtol=1e-4, atol=1e-5
    )  # the model has no dropout: always the given tokens
    own = logits_of(model, key=key, teacher_forcing=0 * ones)
    others = logits_of(model, inputs=INPUTS.at[:, 1:].set(1), key=key, teacher_forcing=0 * ones)
    np.testing.assert_array_equal(own, others)  # never the given ones, but for the first
    assert np.abs(np.asarray(own - logits_of(model)))[:, 0].max() < 1e-5
    rows = logits_of(model, key=key, teacher_forcing=jnp.array([1.0, 0.0, 1.0]))
    np.testing.assert_allclose(rows[0], logits_of(model)[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(rows[1], own[1], rtol=1e-4, atol=1e-5)


def test_what_is_drawn_follows_the_model():
    """A model sure of one token draws it, whatever it is given."""
    model = model_of(tie_output=True)
    model.output_bias.set_value(model.output_bias.get_value().at[5].set(60.0))
    sampled = logits_of(model, key=jax.random.key(0), teacher_forcing=jnp.zeros(3))
    expected = logits_of(model, inputs=INPUTS.at[:, 1:].set(5))
    np.testing.assert_allclose(sampled, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["word_dropout", "embedding_dropout"])
def test_both_ways_drop_alike(name):
    """With the right token always given, the way of scheduled sampling is that of all steps at once, dropout too."""
    decoder = Stack(Recurrent(LSTM(H), recurrent_dropout=0.3), input_dropout=0.4, variational=True)
    model, key = model_of(decoder=decoder, **{name: 0.4}), jax.random.key(5)
    at_once = logits_of(model, key=key)
    np.testing.assert_allclose(logits_of(model, key=key, teacher_forcing=jnp.ones(3)), at_once, rtol=1e-4, atol=1e-5)
    assert np.abs(np.asarray(at_once - logits_of(model))).max() > 0.01


def test_forbidden_tokens_are_never_generated():
    model = model_of(forbidden=(0, 5))
    encoded = model.encode(SOURCE, LENGTHS)
    _, logits = model.step(encoded, model.initial_state(encoded, 1), INPUTS[:, :1])
    assert (logits[..., jnp.array([0, 5])] == -jnp.inf).all() and jnp.isfinite(logits[..., 1:5]).all()
    assert jnp.isfinite(logits_of(model)).all()  # the loss is over all tokens
    model.output.b.set_value(model.output.b.get_value().at[5].set(60.0).at[6].set(40.0))
    sampled = logits_of(model, key=jax.random.key(0), teacher_forcing=jnp.zeros(3))
    expected = logits_of(model, inputs=INPUTS.at[:, 1:].set(6))
    np.testing.assert_allclose(sampled, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["word_dropout", "embedding_dropout", "output_dropout"])
def test_dropout_needs_a_key(name):
    model = model_of(**{name: 0.5})
    plain = logits_of(model)
    np.testing.assert_array_equal(plain, logits_of(model_of()))
    dropped = logits_of(model, key=jax.random.key(1))
    assert np.abs(np.asarray(dropped - plain)).max() > 1e-3
    np.testing.assert_array_equal(dropped, logits_of(model, key=jax.random.key(1)))


def test_half_precision():
    wide, half = logits_of(model_of()), logits_of(model_of(dtype="bfloat16"))
    assert half.dtype == jnp.float32
    np.testing.assert_allclose(half, wide, atol=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bridge": "bend"}, "No bridge 'bend'; there are: linear, copy, zero"),
        ({"tie_output": True, "readout_size": 7}, "readouts of the embeddings' size; got 7 and 6"),
        ({"tie_embeddings": True}, "one vocabulary for source and target"),
        ({"decoder": Stack(Recurrent(LSTM(4), reverse=True))}, "from left to right only"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        model_of(**options)


def test_a_carry_that_cannot_be_copied_is_refused():
    for decoder in (Stack(LSTM(9)), Stack(GRU(8)), Stack(GRU(8), GRU(8))):
        with pytest.raises(ValueError, match=r"cannot copy the encoder's carries, .*h=8, c=8.*, to the decoder's"):
            model_of(bridge="copy", decoder=decoder)
