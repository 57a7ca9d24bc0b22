"""Text classification: tokens → embedding → (n-gram convolution) → recurrent stack → pooling → classes."""

import jax
import jax.numpy as jnp
from flax import nnx

from rnn_jax.dropout import dropout, word_dropout
from rnn_jax.masking import lengths_to_mask
from rnn_jax.modules import RNN, Embedding, Linear, NGramConvolution, Pooling
from rnn_jax.types import Array, Cell, Float, Int, Key, Layer


class SentimentClassifier(nnx.Module):
    """Class scores of token sequences.

    x_t = E[token_t] (⊕ Σ_n N[n-gram that ends at t])    ⊕ joins; the n-grams are optional
    x'_t = relu(W · window of x around t)                 optional convolution
    ys, last = encoder(x)                                 any layer or cell of ours
    logits = dropout(pool(ys, last)) W + b

    Every dropout needs a key; without one the model is deterministic.
    """

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
        word_dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        ngram_dropout: float = 0.0,
        output_dropout: float = 0.0,
        unknown_id: int = 1,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ):
        self.word_dropout, self.ngram_dropout, self.output_dropout = word_dropout, ngram_dropout, output_dropout
        self.unknown_id, self.dtype = unknown_id, dtype
        self.embedding = Embedding(vocabulary_size, embedding_size, dropout=embedding_dropout, rngs=rngs)
        size = embedding_size
        self.ngram_embedding = None
        if ngram_vocabulary_size:
            self.ngram_embedding = Embedding(ngram_vocabulary_size, ngram_embedding_size, scale=0.01, rngs=rngs)
            size += ngram_embedding_size
        self.convolution = None
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
        keys: list[Key | None] = [None] * 5 if key is None else list(jax.random.split(key, 5))
        mask = lengths_to_mask(lengths, tokens.shape[-1])
        xs = self.embed(tokens, ngrams, keys[0], keys[1], keys[2]).astype(self.dtype)
        if self.convolution is not None:
            xs = self.convolution(xs, mask=mask)
        encoded = self.encoder.run(xs, mask=mask, key=keys[3])
        pooled = dropout(self.pooling(encoded, mask), self.output_dropout, keys[4])
        return self.output(pooled).astype(jnp.float32)

    def embed(self, tokens, ngrams, word_key, row_key, ngram_key) -> Float[Array, "B T F"]:
        """Word embeddings, joined with the sum of the n-grams' where the model has them."""
        tokens = word_dropout(tokens, self.word_dropout, word_key, unknown_id=self.unknown_id)
        xs = self.embedding(tokens, key=row_key)
        if self.ngram_embedding is None:
            return xs
        ngrams = word_dropout(ngrams, self.ngram_dropout, ngram_key, unknown_id=0)
        rows = jnp.where((ngrams > 0)[..., None], self.ngram_embedding(ngrams), 0)
        return jnp.concatenate([xs, rows.sum(axis=-2)], axis=-1)
