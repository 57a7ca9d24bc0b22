"""Flax NNX modules around our layers: `RNN` for any layer, and the small modules that models share.

Params are plain `nnx.Param`s and no RNG state is kept among them: dropout takes an explicit `key`, so that the modules
work under `nnx.jit`, `jax.jit` of a split state, `jax.grad` and `jax.vmap` alike.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from rnn_jax.dropout import embedding_dropout as drop_rows
from rnn_jax.layers import LayerOutput, as_layer, pooling
from rnn_jax.types import Array, Bool, Carry, Cell, Float, Inputs, Int, Key, Layer, Params


class RNN(nnx.Module):
    """Any layer (or cell) of ours as an NNX module: `ys = RNN(layer, input_size=…, rngs=…)(xs, mask=…)`."""

    def __init__(self, layer: Layer | Cell, input_size: int, *, rngs: nnx.Rngs):
        self.layer = as_layer(layer)
        self.input_size = input_size
        self.output_size = self.layer.output_size(input_size)
        # One Param an array, not one around all of them: nnx.Optimizer keeps moments of nothing else in its own form.
        self.params = nnx.data(jax.tree.map(nnx.Param, self.layer.init(rngs.params(), input_size)))

    def __call__(
        self,
        xs: Float[Array, "*B T D"],
        *,
        mask: Bool[Array, "*B T"] | None = None,
        resets: Bool[Array, "*B T"] | None = None,
        carry: Carry | None = None,
        key: Key | None = None,
    ) -> Float[Array, "*B T F"]:
        """The outputs of all steps; zeros where the mask is False. A `key` switches the layer's dropout on."""
        return self.apply(xs, mask=mask, resets=resets, carry=carry, key=key).ys

    def apply(self, xs, *, mask=None, resets=None, carry=None, key=None, first_step=0, batched=None) -> LayerOutput:
        """The carry, the outputs of all steps, and the last output: what `layer.apply` returns."""
        return self.layer.apply(
            self.layer_params(),
            xs,
            mask=mask,
            resets=resets,
            carry=carry,
            key=key,
            first_step=first_step,
            batched=batched,
        )

    def step(self, carry, x, *, reset=None, key=None, step=0, batched=None) -> tuple[Carry, Array]:
        """One step, as the layer's: x (D,) or (B, D) → the carry after it and y."""
        return self.layer.step(self.layer_params(), carry, x, reset=reset, key=key, step=step, batched=batched)

    def initial_carry(self, batch: int | None = None, *, x: Inputs | None = None) -> Carry:
        """The carry before the first step, as the layer's."""
        return self.layer.initial_carry(self.layer_params(), batch, x=x)

    def layer_params(self) -> Params:
        """The params as plain arrays, as `layer.init` made them and `layer.apply` takes them."""
        return jax.tree.map(lambda p: p.get_value(), self.params, is_leaf=lambda leaf: isinstance(leaf, nnx.Param))


class Embedding(nnx.Module):
    """A table with one row a token; `dropout` drops whole rows, so that a word is missing wherever it occurs."""

    def __init__(self, vocabulary_size: int, size: int, *, dropout: float = 0.0, scale: float = 0.1, rngs: nnx.Rngs):
        self.dropout = dropout
        self.table = nnx.Param(scale * jax.random.normal(rngs.params(), (vocabulary_size, size), jnp.float32))

    def __call__(self, tokens: Int[Array, "..."], *, key: Key | None = None) -> Float[Array, "..."]:
        """tokens (…) → rows (…, F)."""
        return jnp.take(self.rows(key=key), tokens, axis=0)

    def rows(self, *, key: Key | None = None) -> Float[Array, "V F"]:
        """The table as tokens are looked up in it: with a key, some rows are dropped."""
        return drop_rows(self.table.get_value(), self.dropout, key)


class Linear(nnx.Module):
    """x W + b, with Glorot weights and zero bias."""

    def __init__(self, input_size: int, output_size: int, *, rngs: nnx.Rngs):
        self.w = nnx.Param(jax.nn.initializers.glorot_uniform()(rngs.params(), (input_size, output_size), jnp.float32))
        self.b = nnx.Param(jnp.zeros(output_size, jnp.float32))

    def __call__(self, x: Float[Array, "*B D"]) -> Float[Array, "*B F"]:
        """The projection, in the dtype of x."""
        y = x @ self.w.get_value().astype(x.dtype)
        return y + jnp.broadcast_to(self.b.get_value().astype(x.dtype), y.shape)


class NGramConvolution(nnx.Module):
    """relu(Σ_k x_{t+k} W_k + b), k from −⌊(w−1)/2⌋ to ⌊w/2⌋: one feature vector for each window of `width` steps.

    Padding counts as zeros on both sides of a sequence, whatever it holds.
    """

    def __init__(self, input_size: int, output_size: int, width: int, *, rngs: nnx.Rngs):
        self.width = width
        self.w = nnx.Param(jax.nn.initializers.he_normal()(rngs.params(), (width * input_size, output_size)))
        self.b = nnx.Param(jnp.zeros(output_size, jnp.float32))

    def __call__(self, xs: Float[Array, "*B T D"], *, mask: Bool[Array, "*B T"]) -> Float[Array, "*B T F"]:
        """xs (…, T, D) → (…, T, F)."""
        xs = jnp.where(mask[..., None], xs, 0)
        before = (self.width - 1) // 2
        widths = [(0, 0)] * (xs.ndim - 2) + [(before, self.width - 1 - before), (0, 0)]
        padded, steps = jnp.pad(xs, widths), xs.shape[-2]
        windows = jnp.concatenate([padded[..., k : k + steps, :] for k in range(self.width)], axis=-1)
        ys = windows @ self.w.get_value().astype(xs.dtype)
        return jax.nn.relu(ys + jnp.broadcast_to(self.b.get_value().astype(xs.dtype), ys.shape))


POOLINGS: dict[str, Callable[[Array, Array], Array]] = {
    "mean": pooling.mean_pool,
    "max": pooling.max_pool,
    "mean_max": pooling.mean_max_pool,
}


class Pooling(nnx.Module):
    """One vector from a layer's output: last, mean, max, mean_max, or attention with a learned query.

    attention: α = softmax_t(v · tanh(y_t W + b)), Σ_t α_t y_t (Yang et al. 2016)

    Raises:
      ValueError: an unknown kind.
    """

    KINDS = ("last", *POOLINGS, "attention")

    def __init__(self, kind: str, input_size: int, *, rngs: nnx.Rngs):
        if kind not in self.KINDS:
            raise ValueError(f"No pooling {kind!r}; there are: {', '.join(self.KINDS)}.")
        self.kind = kind
        self.output_size = 2 * input_size if kind == "mean_max" else input_size
        if kind == "attention":
            self.hidden = Linear(input_size, input_size, rngs=rngs)
            self.query = Linear(input_size, 1, rngs=rngs)

    def __call__(self, output: LayerOutput, mask: Bool[Array, "*B T"]) -> Float[Array, "*B F"]:
        """Pools over the real steps; a row without any gives zeros."""
        if self.kind == "last":
            return output.last
        if self.kind == "attention":
            scores = self.query(jnp.tanh(self.hidden(output.ys)))[..., 0]
            return pooling.attention_pool(output.ys, scores, mask)
        return POOLINGS[self.kind](output.ys, mask)


__all__ = ["RNN", "Embedding", "Linear", "NGramConvolution", "Pooling"]
