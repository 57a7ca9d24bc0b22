"""From the outputs of a language model to probabilities of the next token.

A head has `loss(ys, labels, weights, embeddings, key)` → (total nats, weight), what training minimises, and
`log_probs(ys, embeddings)` (…, V), what everything else reads; `logits(ys, embeddings)` are those up to a constant,
which a penalty for repetition depends on. embeddings: the table (V, E), for heads that are tied: they have E = F.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from rnn_jax.losses import (
    adaptive_cross_entropy,
    adaptive_log_probs,
    cross_entropy,
    init_adaptive,
    log_uniform_proposal,
    mixture_cross_entropy,
    mixture_log_probs,
    sampled_cross_entropy,
)
from rnn_jax.modules import Linear, plain_arrays
from rnn_jax.types import Array, Float, Int, Key

Loss = tuple[Float[Array, ""], Float[Array, ""]]


class SoftmaxHead(nnx.Module):
    """p = softmax(ys Wᵀ + b); W is the table of the embeddings where the head is tied (Press & Wolf 2017).

    num_sampled: training compares a token with so many others, drawn by their rank (ids are sorted by frequency).
    """

    def __init__(self, vocabulary_size: int, input_size: int, *, tied: bool, num_sampled: int = 0, rngs: nnx.Rngs):
        self.num_sampled = num_sampled
        self.b = nnx.Param(jnp.zeros(vocabulary_size, jnp.float32))
        self.w: nnx.Param | None = nnx.data(None)
        if not tied:
            self.w = nnx.Param(jax.nn.initializers.glorot_uniform()(rngs.params(), (vocabulary_size, input_size)))

    def _weights(self, embeddings: Float[Array, "V E"]) -> Float[Array, "V F"]:
        return embeddings if self.w is None else self.w.get_value()

    def logits(self, ys: Float[Array, "*B F"], embeddings: Float[Array, "V E"]) -> Float[Array, "*B V"]:
        """Scores of all tokens, in float32."""
        weights = self._weights(embeddings).astype(ys.dtype)
        scores = jnp.matmul(ys, weights.T, preferred_element_type=jnp.float32)  # 8 bits are too few for a sum
        return scores + jnp.broadcast_to(self.b.get_value(), scores.shape)

    def log_probs(self, ys: Float[Array, "*B F"], embeddings: Float[Array, "V E"]) -> Float[Array, "*B V"]:
        """log p of all tokens."""
        return jax.nn.log_softmax(self.logits(ys, embeddings))

    def loss(
        self,
        ys: Float[Array, "*B F"],
        labels: Int[Array, "*B"],
        weights: Float[Array, "*B"],
        embeddings: Float[Array, "V E"],
        key: Key,
    ) -> Loss:
        """Cross entropy, of all tokens or of those sampled."""
        if not self.num_sampled:
            return cross_entropy(self.logits(ys, embeddings), labels, weights)
        bias = self.b.get_value()
        w, proposal = self._weights(embeddings), log_uniform_proposal(len(bias))
        return sampled_cross_entropy(
            w, bias, ys, labels, weights, key, num_samples=self.num_sampled, log_proposal=proposal
        )


class AdaptiveHead(nnx.Module):
    """Frequent tokens are classes, the others lie in clusters, of fewer features the rarer they are: see `losses`."""

    def __init__(self, vocabulary_size: int, input_size: int, *, cutoffs: tuple[int, ...], rngs: nnx.Rngs):
        self.weights = nnx.data(
            jax.tree.map(nnx.Param, init_adaptive(rngs.params(), input_size, vocabulary_size, cutoffs))
        )

    def log_probs(self, ys: Float[Array, "*B F"], embeddings: Float[Array, "V E"]) -> Float[Array, "*B V"]:
        """log p of all tokens."""
        return adaptive_log_probs(plain_arrays(self.weights), ys)

    def logits(self, ys: Float[Array, "*B F"], embeddings: Float[Array, "V E"]) -> Float[Array, "*B V"]:
        """log p of all tokens: there are no others."""
        return self.log_probs(ys, embeddings)

    def loss(
        self,
        ys: Float[Array, "*B F"],
        labels: Int[Array, "*B"],
        weights: Float[Array, "*B"],
        embeddings: Float[Array, "V E"],
        key: Key,
    ) -> Loss:
        """Cross entropy, computed only for the clusters that the labels are in."""
        return adaptive_cross_entropy(plain_arrays(self.weights), ys, labels, weights)


class MixtureHead(nnx.Module):
    """p = Σ_k π_k softmax(tanh(ys W_k) Wᵀ + b), π = softmax(ys V) (Yang et al. 2018)."""

    def __init__(self, vocabulary_size: int, input_size: int, *, tied: bool, num_mixtures: int, rngs: nnx.Rngs):
        self.num_mixtures = num_mixtures
        self.prior = Linear(input_size, num_mixtures, rngs=rngs)
        self.latent = Linear(input_size, num_mixtures * input_size, rngs=rngs)
        self.softmax = SoftmaxHead(vocabulary_size, input_size, tied=tied, rngs=rngs)

    def _components(self, ys: Array, embeddings: Array) -> tuple[Array, Array]:
        latent = jnp.tanh(self.latent(ys)).reshape(*ys.shape[:-1], self.num_mixtures, ys.shape[-1])
        return self.prior(ys), self.softmax.logits(latent, embeddings)

    def log_probs(self, ys: Float[Array, "*B F"], embeddings: Float[Array, "V E"]) -> Float[Array, "*B V"]:
        """log p of all tokens."""
        return mixture_log_probs(*self._components(ys, embeddings))

    def logits(self, ys: Float[Array, "*B F"], embeddings: Float[Array, "V E"]) -> Float[Array, "*B V"]:
        """log p of all tokens: there are no others."""
        return self.log_probs(ys, embeddings)

    def loss(
        self,
        ys: Float[Array, "*B F"],
        labels: Int[Array, "*B"],
        weights: Float[Array, "*B"],
        embeddings: Float[Array, "V E"],
        key: Key,
    ) -> Loss:
        """Cross entropy of the mixture."""
        return mixture_cross_entropy(*self._components(ys, embeddings), labels, weights)
