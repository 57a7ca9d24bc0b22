"""Text classification: tokens → embedding → (convolution) → recurrent stack → pooling → classes."""

import jax.numpy as jnp
from flax import nnx

from rnn_jax.dropout import dropout, kept_share, word_dropout
from rnn_jax.layers.base import split_key
from rnn_jax.layers.pooling import mean_pool
from rnn_jax.masking import lengths_to_mask
from rnn_jax.models.classifier_config import NGRAM_FUSIONS
from rnn_jax.modules import RNN, Embedding, Linear, NGramConvolution, Pooling
from rnn_jax.types import Array, Cell, Float, Int, Key, Layer


class SentimentClassifier(nnx.Module):
    """Class scores of token sequences.

    x_t = E[token_t]                                      word embedding
    x'_t = relu(W · window of x around t)                 optional convolution
    ys, last = encoder(x)                                 any layer or cell of ours
    logits = dropout(pool(ys, last)) W + b

    With n-gram embeddings N, n_t = Σ N[n-grams that end at t], and `ngram_fusion`
    "input": the encoder reads x_t ⊕ n_t (⊕ joins);
    "output": a linear bag beside the encoder, mean_t(n_t) V + d; the class scores are the mean of the two heads'. The
    bag knows phrases, the encoder order (as in the ensemble of Mesnil et al. 2014). In training each head has a loss of
    its own, and they share no weights: neither leaves the work to the other.

    Every dropout needs a key; without one the model is deterministic.

    Raises:
      ValueError: an unknown pooling or fusion.
    """

    LAYERS = (  # from the head down
        ("output", "bag_output", "pooling"),
        ("encoder",),
        ("convolution",),
        ("embedding", "ngram_embedding"),
    )

    def __init__(
        self,
        encoder: Layer | Cell,
        *,
        vocabulary_size: int,
        num_classes: int,
        embedding_size: int,
        pooling: str = "last",
        convolution_width: int = 0,
        convolution_size: int = 128,
        ngram_vocabulary_size: int = 0,
        ngram_embedding_size: int = 32,
        ngram_fusion: str = "input",
        word_dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        ngram_dropout: float = 0.0,
        output_dropout: float = 0.0,
        unknown_id: int = 1,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ):
        if ngram_fusion not in NGRAM_FUSIONS:
            raise ValueError(f"No n-gram fusion {ngram_fusion!r}; there are: {', '.join(NGRAM_FUSIONS)}.")
        self.word_dropout, self.ngram_dropout, self.output_dropout = word_dropout, ngram_dropout, output_dropout
        self.unknown_id, self.dtype = unknown_id, dtype
        self.embedding = Embedding(vocabulary_size, embedding_size, dropout=embedding_dropout, rngs=rngs)
        size = embedding_size
        # nnx.data: NNX takes an attribute for a constant if its first value holds no arrays, as None does.
        self.ngram_embedding: Embedding | None = nnx.data(None)
        self.convolution: NGramConvolution | None = nnx.data(None)
        self.bag_output: Linear | None = nnx.data(None)
        if ngram_vocabulary_size:
            self.ngram_embedding = Embedding(ngram_vocabulary_size, ngram_embedding_size, scale=0.01, rngs=rngs)
            if ngram_fusion == "output":
                self.bag_output = Linear(ngram_embedding_size, num_classes, rngs=rngs)
            else:
                size += ngram_embedding_size
        if convolution_width:
            self.convolution = NGramConvolution(size, convolution_size, convolution_width, rngs=rngs)
            size = convolution_size
        self.encoder = RNN(encoder, size, rngs=rngs)
        self.pooling = Pooling(pooling, self.encoder.output_size, rngs=rngs)
        self.output = Linear(self.pooling.output_size, num_classes, rngs=rngs)

    def __call__(
        self,
        tokens: Int[Array, "B T"],
        lengths: Int[Array, " B"],
        *,
        ngrams: Int[Array, "B T N"] | None = None,
        key: Key | None = None,
    ) -> Float[Array, "B C"]:
        """tokens (B, T) and their lengths (B,) → logits (B, C) in float32. `ngrams` (B, T, N): 0 is no n-gram."""
        return self.heads(tokens, lengths, ngrams=ngrams, key=key).mean(axis=0)

    def heads(
        self,
        tokens: Int[Array, "B T"],
        lengths: Int[Array, " B"],
        *,
        ngrams: Int[Array, "B T N"] | None = None,
        key: Key | None = None,
    ) -> Float[Array, "heads B C"]:
        """The logits of the encoder's head and, with a bag beside it, of the bag's."""
        keys = split_key(key, 5)
        mask = lengths_to_mask(lengths, tokens.shape[-1])
        words = self.embedding(
            word_dropout(tokens, self.word_dropout, keys[0], unknown_id=self.unknown_id), key=keys[1]
        ).astype(self.dtype)
        xs, bag_logits = words, []
        if self.ngram_embedding is not None:
            assert ngrams is not None, "a model with n-gram embeddings needs `ngrams`"
            phrases = self._sum_ngrams(self.ngram_embedding, ngrams, keys[2])
            if self.bag_output is not None:
                bag_logits = [self.bag_output(mean_pool(phrases, mask)).astype(jnp.float32)]
            else:
                xs = jnp.concatenate([words, phrases], axis=-1)
        if self.convolution is not None:
            xs = self.convolution(xs, mask=mask)
        encoded = self.encoder.apply(xs, mask=mask, key=keys[3])
        pooled = dropout(self.pooling(encoded, mask), self.output_dropout, keys[4])
        return jnp.stack([self.output(pooled).astype(jnp.float32), *bag_logits])

    def _sum_ngrams(self, embedding: Embedding, ngrams: Int[Array, "B T N"], key: Key | None) -> Float[Array, "B T F"]:
        """n_t; a dropped n-gram is missing at this step only, and those that stay make up for it."""
        kept = word_dropout(ngrams, self.ngram_dropout, key, unknown_id=0)
        scale = 1.0 if key is None else 1.0 / kept_share(self.ngram_dropout, self.dtype)
        rows = jnp.where((kept > 0)[..., None], embedding(kept).astype(self.dtype), 0)
        return rows.sum(axis=-2) * scale
