"""Sampled softmax (Bengio and Senécal 2008; Jean et al. 2015): training over a few of a large vocabulary's tokens.

Negatives s_1 … s_k are drawn from a proposal q, once for all rows. A row's loss tells its label y from them,

    −log p(y | y, s_1 … s_k) = log Σ_{j ∈ {y, s_1, …, s_k}} exp(o_j) / q_j − o_y + log q_y,        o_j = x · w_j + b_j,

which is smallest where softmax(o) is the distribution of the labels, whatever k and q are (Ma and Collins 2018: ranking
NCE). For that every o is corrected by q, the label's too, and a negative that happens to be the label stays: where such
accidental hits are removed, as they often are, a label that is drawn in most batches is hardly ever found wrong, and
frequent tokens end with too much probability. The more negatives, the nearer are loss and gradient to those of all
tokens; with q = softmax(o) the loss is the same for any.
"""

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.losses.cross_entropy import cross_entropy
from rnn_jax.numerics import check_integer, wide, wide_dtype
from rnn_jax.types import Array, Float, Int, Key


def sampled_cross_entropy(
    w: Float[Array, "V D"],
    b: Float[Array, " V"],
    xs: Float[Array, "*B D"],
    labels: Int[Array, "*B"],
    weights: Float[Array, "*B"],
    key: Key,
    *,
    num_samples: int,
    log_proposal: Float[Array, " V"],
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """(Σ w · (log (Σ_j exp(o_j) / q_j / (k + 1)) − o_y), Σ w): an estimate of the cross entropy over all V tokens.

    It is the loss above without its constant log q_y + log (k + 1), so that it is comparable with `cross_entropy`, and
    of rows of weight 0 it promises the same. For training: evaluate with `cross_entropy` of all logits.

    Args:
      w: one row a token, as in an embedding: x · w_j + b_j is the logit of token j, in the dtype of x (summed in
        float32).
      num_samples: k, the tokens drawn, with replacement.
      log_proposal: log q, as of `log_uniform_proposal` and `counts_proposal`. Where it is −∞ a token is never drawn,
        and must not be a label: the total is NaN then.

    Raises:
      ValueError: num_samples is no integer of at least 1.
    """
    check_integer("num_samples", num_samples, 1)
    real = weights > 0
    xs, labels = jnp.where(real[..., None], xs, 0), jnp.where(real, labels, 0)
    dtype = wide_dtype(xs)
    log_proposal = jax.lax.stop_gradient(log_proposal.astype(dtype))
    negatives = _draw(key, log_proposal, num_samples)
    # Wide before tokens are picked: a token's gradient is summed over all that picked it.
    w, bias = wide(w), b.astype(dtype) - log_proposal
    own = jnp.einsum("...d,...d->...", xs, w[labels].astype(xs.dtype), preferred_element_type=dtype) + bias[labels]
    others = jnp.einsum("...d,kd->...k", xs, w[negatives].astype(xs.dtype), preferred_element_type=dtype)
    others += jnp.broadcast_to(bias[negatives], others.shape)
    total, weight = cross_entropy(
        jnp.concatenate([own[..., None], others], axis=-1), jnp.zeros_like(labels), wide(weights)
    )
    constant = log_proposal[labels] + jnp.log(jnp.asarray(num_samples + 1, dtype))
    return total - jnp.where(real, weights.astype(dtype) * constant, 0).sum(), weight


def log_uniform_proposal(size: int) -> Float[Array, " V"]:
    """log q of q(i) = log((i + 2) / (i + 1)) / log(V + 1), about Zipf's law, for ids sorted by frequency; float32.

    Raises:
      ValueError: the size is no integer of at least 1.
    """
    check_integer("size", size, 1)
    return jnp.asarray(np.log(np.log1p(1 / np.arange(1.0, size + 1)) / np.log(size + 1)), jnp.float32)


def counts_proposal(counts: Float[Array, " V"] | Int[Array, " V"], *, power: float = 1.0) -> Float[Array, " V"]:
    """log q of q ∝ counts^power, float32: 1 for the labels' own distribution, 0 for the uniform one.

    Counts below 1 are taken for 1, so that every token can be drawn and be a label.
    """
    logs = power * jnp.log(jnp.maximum(jnp.asarray(counts, jnp.float32), 1))
    return jax.nn.log_softmax(logs)


def _draw(key: Key, log_proposal: Array, num_samples: int) -> Array:
    """Tokens by the inverse of the cumulated proposal; float32 gives each its share to about 1e−7 of the whole."""
    cumulated = jnp.cumsum(jnp.exp(log_proposal))
    # Of the sum, which is 1 up to rounding; the last token that can be drawn is where it is first reached.
    drawn = jax.random.uniform(key, (num_samples,), log_proposal.dtype) * cumulated[-1]
    last = jnp.searchsorted(cumulated, cumulated[-1])
    return jnp.minimum(jnp.searchsorted(cumulated, drawn, side="right"), last)
