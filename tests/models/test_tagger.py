"""The tagger's parts against sums worked out in NumPy, and what its two decoders promise."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rnn_jax import LSTM, Bidirectional
from rnn_jax.models.characters import CharacterEncoder
from rnn_jax.models.tagger import Tagger
from rnn_jax.tagging.crf import Legal
from rnn_jax.tagging.spans import legal_transitions

LABELS = ("O", "B-X", "I-X")
LENGTHS = jnp.array([3, 1, 0], jnp.int32)
WORDS = jnp.array([[2, 3, 4], [5, 0, 0], [0, 0, 0]], jnp.int32)
CHARACTERS = jnp.array(np.arange(3 * 3 * 4).reshape(3, 3, 4) % 6 + 1, jnp.int32).at[0, 1, 2:].set(0).at[1:, 1:].set(0)


def encoder_of(kind, **options):
    return CharacterEncoder(kind, num_characters=9, embedding_size=5, size=6, rngs=nnx.Rngs(1), **options)


def tagger_of(decoder="softmax", legal=False, characters=True, **options):
    return Tagger(
        Bidirectional(LSTM(4)),
        vocabulary_size=7,
        num_labels=len(LABELS),
        embedding_size=5,
        characters=encoder_of("cnn") if characters else None,
        decoder=decoder,
        legal=Legal(*legal_transitions(LABELS, "bio")) if legal else None,
        rngs=nnx.Rngs(0),
        **options,
    )


def emissions_of(model, **options):
    return model(WORDS, LENGTHS, characters=CHARACTERS, **options)


@pytest.mark.parametrize("width", [1, 3, 4])
def test_character_cnn_by_hand(width):
    encoder = encoder_of("cnn", width=width)
    table = np.asarray(encoder.embedding.table.get_value())
    w, b = (np.asarray(p.get_value()) for p in (encoder.convolution.w, encoder.convolution.b))
    vectors = np.asarray(encoder(CHARACTERS))
    before = (width - 1) // 2
    for sentence, word in itertools.product(range(3), range(3)):
        letters = [c for c in np.asarray(CHARACTERS)[sentence, word] if c]
        rows = np.concatenate([np.zeros((before, 5)), table[letters].reshape(-1, 5), np.zeros((width - 1 - before, 5))])
        windows = [np.maximum(rows[i : i + width].reshape(-1) @ w + b, 0) for i in range(len(letters))]
        expected = np.max(windows, axis=0) if windows else np.zeros(6)
        np.testing.assert_allclose(vectors[sentence, word], expected, rtol=1e-5, atol=1e-6)


def test_character_bilstm_reads_every_word_by_itself():
    encoder = encoder_of("bilstm")
    vectors = np.asarray(encoder(CHARACTERS))
    layer, params = encoder.rnn.layer, encoder.rnn.layer_params()
    for sentence, word, length in ((0, 0, 4), (0, 1, 2), (1, 0, 4)):
        xs = encoder.embedding(CHARACTERS[sentence, word, :length])  # no padding at all
        forward, backward = (d.apply(p, xs).ys for d, p in zip(layer.directions, params, strict=True))
        expected = np.concatenate([forward[-1], backward[0]])
        np.testing.assert_allclose(vectors[sentence, word], expected, rtol=1e-5, atol=1e-6)
    assert not vectors[2, 2].any()  # a word without characters


def test_softmax_by_hand():
    model = tagger_of()
    emissions = np.asarray(emissions_of(model), np.float64)
    labels = jnp.array([[1, 2, 0], [2, 0, 0], [0, 0, 0]], jnp.int32)
    weights = jnp.array([[1.0, 0, 1], [1, 0, 0], [0, 0, 0]])
    total, count = model.loss(jnp.asarray(emissions, jnp.float32), labels, LENGTHS, weights)
    log_p = emissions - np.log(np.exp(emissions).sum(-1, keepdims=True))
    assert count == 3
    assert float(total) == pytest.approx(-(log_p[0, 0, 1] + log_p[0, 2, 0] + log_p[1, 0, 2]), rel=1e-5)
    tags = model.tags(jnp.asarray(emissions, jnp.float32), LENGTHS)
    for row, length in enumerate((3, 1, 0)):
        assert tags.labels[row, :length].tolist() == emissions[row, :length].argmax(-1).tolist()
        np.testing.assert_allclose(tags.marginals[row, :length], np.exp(log_p[row, :length]), rtol=1e-5)
        assert not tags.labels[row, length:].any() and not tags.marginals[row, length:].any()
    with pytest.raises(ValueError, match="Only a CRF"):
        model.best_paths(jnp.asarray(emissions, jnp.float32), LENGTHS, 2)


def crf_with_scores(legal):
    model = tagger_of("crf", legal=legal)
    scores = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    for name, value in (("transitions", scores[:3]), ("start", scores[3]), ("end", scores[4])):
        getattr(model.crf, name)[...] = jnp.asarray(value)
    return model, scores.astype(np.float64)


def paths_of(scores, emissions, is_legal):
    """(path, probability) of every sequence of three labels, from the definition."""
    found = {}
    for path in itertools.product(range(3), repeat=3):
        if is_legal and any(LABELS[b] == "I-X" and LABELS[a] == "O" for a, b in zip((0, *path), path, strict=False)):
            continue
        score = scores[3, path[0]] + scores[4, path[-1]] + sum(emissions[t, y] for t, y in enumerate(path))
        found[path] = np.exp(score + sum(scores[a, b] for a, b in itertools.pairwise(path)))
    return {path: value / sum(found.values()) for path, value in found.items()}


@pytest.mark.parametrize("legal", [False, True])
def test_crf_by_enumeration(legal):
    model, scores = crf_with_scores(legal)
    emissions = emissions_of(model)
    emissions = emissions.at[0, 0, 2].set(3.0)  # wants an I-X at the start
    paths = paths_of(scores, np.asarray(emissions[0], np.float64), legal)
    best = max(paths, key=paths.get)
    tags = model.tags(emissions, LENGTHS)
    assert tuple(tags.labels[0].tolist()) == best and (best[0] == 2) == (not legal)
    for t, label in itertools.product(range(3), range(3)):
        marginal = sum(p for path, p in paths.items() if path[t] == label)
        assert float(tags.marginals[0, t, label]) == pytest.approx(marginal, rel=1e-4)
    n_best, probabilities = model.best_paths(emissions, LENGTHS, 4)
    expected = sorted(paths.items(), key=lambda item: -item[1])[:4]
    assert [tuple(path) for path in n_best[0].tolist()] == [path for path, _ in expected]
    np.testing.assert_allclose(probabilities[0], [p for _, p in expected], rtol=1e-4)
    assert np.count_nonzero(np.asarray(probabilities[1]) > 1e-9) == (2 if legal else 3)  # one word, three labels


@pytest.mark.parametrize("legal", [False, True])
def test_crf_loss_leaves_out_what_has_no_label(legal):
    model, scores = crf_with_scores(legal)
    emissions = emissions_of(model)
    labels = jnp.array([[1, 2, 0], [0, 0, 0], [0, 0, 0]], jnp.int32)
    paths = paths_of(scores, np.asarray(emissions[0], np.float64), legal)
    for weights in ([1.0, 1, 1], [1.0, 0, 1], [0.0, 0, 0]):
        observed = jnp.zeros((3, 3)).at[0].set(jnp.array(weights))
        total, count = model.loss(emissions, labels, LENGTHS, observed)
        consistent = [p for path, p in paths.items() if all(path[t] == (1, 2, 0)[t] for t in range(3) if weights[t])]
        assert float(total) == pytest.approx(-np.log(sum(consistent)), abs=1e-4)
        assert count == sum(weights)


@pytest.mark.parametrize("decoder", ["softmax", "crf"])
def test_padding_and_neighbours_change_nothing(decoder):
    model = tagger_of(decoder)
    padded = jnp.pad(WORDS, ((0, 0), (0, 4)), constant_values=6)  # rubbish where no word is
    characters = jnp.pad(CHARACTERS, ((0, 0), (0, 4), (0, 0)), constant_values=3)
    together, alone = model(padded, LENGTHS, characters=characters), emissions_of(model)
    np.testing.assert_allclose(together[:, :3][:2, 0], alone[:2, 0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(together[0, :3], alone[0], rtol=1e-5, atol=1e-6)
    single = model(WORDS[:1], LENGTHS[:1], characters=CHARACTERS[:1])
    np.testing.assert_allclose(single[0], alone[0], rtol=1e-5, atol=1e-6)


def test_dropout_needs_a_key():
    model = tagger_of(word_dropout=0.5, embedding_dropout=0.2, output_dropout=0.5)
    assert jnp.array_equal(emissions_of(model), emissions_of(model))
    drawn = [emissions_of(model, key=jax.random.key(seed)) for seed in (0, 0, 1)]
    assert jnp.array_equal(drawn[0], drawn[1]) and not jnp.allclose(drawn[0], drawn[2])


def test_a_word_that_is_unknown_still_has_its_characters():
    words = WORDS.at[0].set(1)
    with_characters, without = tagger_of(), tagger_of(characters=False)
    changed = CHARACTERS.at[0, 2].set(CHARACTERS[0, 2][::-1])
    plain = with_characters(words, LENGTHS, characters=CHARACTERS)
    assert not jnp.allclose(plain[0], with_characters(words, LENGTHS, characters=changed)[0])
    assert jnp.array_equal(without(words, LENGTHS)[0, 0], without(words, LENGTHS, characters=changed)[0, 0])
    assert without.encoder.input_size == 5 and with_characters.encoder.input_size == 11


def test_gradients_reach_everything():
    model = tagger_of("crf", legal=True)
    graph, params = nnx.split(model)
    labels, weights = jnp.array([[1, 2, 0], [1, 0, 0], [0, 0, 0]], jnp.int32), jnp.zeros((3, 3)).at[0].set(1.0)

    def loss(params):
        merged = nnx.merge(graph, params)
        return merged.loss(emissions_of(merged), labels, LENGTHS, weights)[0]

    for path, leaf in jax.tree_util.tree_leaves_with_path(jax.grad(loss)(params)):
        assert jnp.isfinite(leaf).all() and jnp.any(leaf != 0), path


def test_unknown_names():
    with pytest.raises(ValueError, match="No decoder 'hmm'; there are: softmax, crf"):
        tagger_of("hmm")
    with pytest.raises(ValueError, match="No character encoder 'rnn'; there are: cnn, bilstm"):
        encoder_of("rnn")


def test_a_sentence_that_cannot_be_labelled_has_paths_of_probability_0():
    """Emissions of −∞ for every label of a word: no path, and no NaN; the other sentence's best is 1/9 of all."""
    model = Tagger(LSTM(3), vocabulary_size=5, num_labels=3, embedding_size=4, decoder="crf", rngs=nnx.Rngs(0))
    emissions = jnp.zeros((2, 2, 3)).at[0, 1].set(-jnp.inf)
    _, probabilities = model.best_paths(emissions, jnp.array([2, 2]), 2)
    np.testing.assert_allclose(probabilities, [[0, 0], [1 / 9, 1 / 9]], rtol=1e-5)
