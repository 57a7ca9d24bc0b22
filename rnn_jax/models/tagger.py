"""Sequence labelling: words and characters → recurrent stack → a label for every word, by softmax or CRF."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from rnn_jax.dropout import variational_dropout, word_dropout
from rnn_jax.layers.base import split_key
from rnn_jax.losses import cross_entropy
from rnn_jax.masking import lengths_to_mask
from rnn_jax.models.characters import CharacterEncoder
from rnn_jax.models.tagger_config import DECODERS
from rnn_jax.modules import RNN, Embedding, Linear, plain_arrays
from rnn_jax.tagging import crf
from rnn_jax.tagging.crf import CRFParams, Legal
from rnn_jax.types import Array, Cell, Float, Int, Key, Layer


class Tags(NamedTuple):
    """The label of every word, and the probabilities of all labels there; zeros in the padding."""

    labels: Int[Array, "B T"]
    marginals: Float[Array, "B T L"]


class Tagger(nnx.Module):
    """Labels of the words of a sentence (Lample et al. 2016; Ma & Hovy 2016).

    x_t = E[word_t] ⊕ chars(word_t)                             embeddings
    ys = encoder(x)                                             any layer or cell of ours
    e_t = dropout(ys_t) W + b                                   emissions: a score for each label
    softmax: p(l_t | x) = softmax(e_t)                          each word by itself
    crf: p(l | x) ∝ exp(Σ_t e_t[l_t] + A[l_{t−1}, l_t])         the sentence as a whole

    `legal` keeps the CRF to label sequences that spell spans. Every dropout needs a key; without one the model is
    deterministic.

    Raises:
      ValueError: an unknown decoder.
    """

    LAYERS = (("output", "crf"), ("encoder",), ("embedding", "characters"))  # from the head down

    def __init__(
        self,
        encoder: Layer | Cell,
        *,
        vocabulary_size: int,
        num_labels: int,
        embedding_size: int,
        characters: CharacterEncoder | None = None,
        decoder: str = "softmax",
        legal: Legal | None = None,
        word_dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        output_dropout: float = 0.0,
        unknown_id: int = 1,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ):
        if decoder not in DECODERS:
            raise ValueError(f"No decoder {decoder!r}; there are: {', '.join(DECODERS)}.")
        self.word_dropout, self.output_dropout = word_dropout, output_dropout
        self.unknown_id, self.dtype = unknown_id, dtype
        # As tuples: NNX would take arrays for state, and these are as fixed as the number of labels.
        self.legal: tuple | None = legal and tuple(_as_tuples(part) for part in legal)
        self.embedding = Embedding(vocabulary_size, embedding_size, dropout=embedding_dropout, rngs=rngs)
        self.characters: CharacterEncoder | None = nnx.data(characters)
        self.encoder = RNN(encoder, embedding_size + (characters.size if characters else 0), rngs=rngs)
        self.output = Linear(self.encoder.output_size, num_labels, rngs=rngs)
        self.crf: CRFParams | None = nnx.data(None)
        if decoder == "crf":
            self.crf = nnx.data(jax.tree.map(nnx.Param, crf.init_crf(num_labels)))

    def __call__(
        self,
        words: Int[Array, "B T"],
        lengths: Int[Array, " B"],
        *,
        characters: Int[Array, "B T C"] | None = None,
        key: Key | None = None,
    ) -> Float[Array, "B T L"]:
        """The emissions, in float32: words (B, T), their characters (B, T, C) and the lengths (B,) → (B, T, L)."""
        keys = split_key(key, 5)
        mask = lengths_to_mask(lengths, words.shape[-1])
        xs = self.embedding(
            word_dropout(words, self.word_dropout, keys[0], unknown_id=self.unknown_id), key=keys[1]
        ).astype(self.dtype)
        if self.characters is not None:
            assert characters is not None, "a model with a character encoder needs `characters`"
            xs = jnp.concatenate([xs, self.characters(characters, dtype=self.dtype, key=keys[2])], axis=-1)
        ys = self.encoder(xs, mask=mask, key=keys[3])
        return self.output(variational_dropout(ys, self.output_dropout, keys[4])).astype(jnp.float32)

    def loss(
        self,
        emissions: Float[Array, "B T L"],
        labels: Int[Array, "B T"],
        lengths: Int[Array, " B"],
        weights: Float[Array, "B T"],
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """(Σ −log p of the labels in nats, number of labels); labels of weight 0 are not observed and count nowhere."""
        if self.crf is None:
            return cross_entropy(emissions, labels, weights)
        mask = lengths_to_mask(lengths, labels.shape[-1])
        likelihoods = crf.log_likelihood(self.crf_params(), emissions, labels, mask, observed=weights > 0)
        return -likelihoods.sum(), weights.sum()

    def tags(self, emissions: Float[Array, "B T L"], lengths: Int[Array, " B"]) -> Tags:
        """The most probable labels: of each word (softmax), or of the sentence (crf); and marginals."""
        mask = lengths_to_mask(lengths, emissions.shape[-2])
        if self.crf is None:
            labels = jnp.where(mask, jnp.argmax(emissions, axis=-1).astype(jnp.int32), 0)
            marginals = jax.nn.softmax(emissions, axis=-1)
        else:
            params = self.crf_params()
            labels, _ = crf.viterbi(params, emissions, mask)
            marginals = crf.marginals(params, emissions, mask)
        return Tags(labels, jnp.where(mask[..., None], marginals, 0))

    def best_paths(
        self, emissions: Float[Array, "B T L"], lengths: Int[Array, " B"], n: int
    ) -> tuple[Int[Array, "B n T"], Float[Array, "B n"]]:
        """The n most probable label sequences of a CRF and their probabilities; 0 where there are fewer.

        Raises:
          ValueError: the decoder is no CRF.
        """
        if self.crf is None:
            raise ValueError("Only a CRF has most probable sequences; this decoder is a softmax.")
        mask = lengths_to_mask(lengths, emissions.shape[-2])
        params = self.crf_params()
        labels, scores = crf.nbest(params, emissions, mask, n)
        partition = crf.log_partition(params, emissions, mask)[..., None]
        return labels, jnp.where(scores == -jnp.inf, 0, jnp.exp(scores - partition))  # both −∞: no path is possible

    def crf_params(self) -> CRFParams:
        """The CRF's scores, illegal transitions ruled out."""
        params = plain_arrays(self.crf)
        if self.legal is None:
            return params
        return crf.constrain(params, Legal(*(jnp.asarray(part) for part in self.legal)))


def _as_tuples(array: Any) -> tuple:
    """Booleans as tuples of tuples."""
    return tuple(map(_as_tuples, array)) if array.ndim > 1 else tuple(map(bool, array))
