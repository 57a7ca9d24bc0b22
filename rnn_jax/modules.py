"""Flax NNX modules around our layers: `RNN` for any layer, and the small modules that models share.

Params are plain `nnx.Param`s and no RNG state is kept among them: dropout takes an explicit `key` or `rngs` at the
call, so that the modules work under `nnx.jit`, `jax.jit` of a split state, `jax.grad` and `jax.vmap` alike.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

try:
    from flax import nnx
except ImportError as error:
    raise ImportError(
        "rnn_jax.modules needs Flax: pip install 'rnn-jax-research[flax]' (from a checkout: pip install '.[flax]')."
    ) from error

from rnn_jax.dropout import embedding_dropout as drop_rows
from rnn_jax.layers import LayerOutput, as_layer, pooling
from rnn_jax.types import Array, Bool, Carry, Cell, Float, Inputs, InputSize, Int, Key, Layer, Outputs, Params

Randomness = nnx.Rngs | nnx.RngStream | Key
"""What Flax's own modules take as `rngs` at a call; of an `nnx.Rngs`, the stream `dropout` is used."""


def dropout_key(key: Key | None, rngs: Randomness | None, deterministic: bool) -> Key | None:
    """The key that dropout draws from, None where nothing is dropped. Nothing is drawn from rngs if deterministic.

    Raises:
      ValueError: both are given.
    """
    if key is not None and rngs is not None:
        raise ValueError("Give dropout its randomness as key or as rngs, not both.")
    if deterministic:
        return None
    if isinstance(rngs, nnx.Rngs):
        return rngs.dropout()
    return rngs() if isinstance(rngs, nnx.RngStream) else key if rngs is None else rngs


def plain_arrays(params: Any) -> Any:
    """The arrays in a tree of `nnx.Param`s."""
    return jax.tree.map(lambda p: p.get_value(), params, is_leaf=lambda leaf: isinstance(leaf, nnx.Param))


class RNN(nnx.Module):
    """Any layer (or cell) of ours as an NNX module: `ys = RNN(layer, input_size=…, rngs=…)(xs, mask=…)`.

    The layer's dropout is on at a call that gets a `key`, or `rngs` (an `nnx.Rngs` with a stream `dropout`, such a
    stream, or a key), and off without: a module in train mode that gets neither drops nothing. `deterministic` switches
    it off in any case: `eval()` sets it and `train()` unsets it, `nnx.view` too, and the argument of a call wins.

    With `keep_rngs` the module keeps a fork of the stream `dropout`, as `nnx.Dropout` does, and draws from that where
    a call brings no randomness. It then has RNG state beside its params, which transforms must be told of. This is
    what makes `nnx.bridge.to_linen(RNN, layer, input_size=…, keep_rngs=True)` heed `apply(…, rngs={"dropout": key})`;
    without it, such a module takes `key`.
    """

    def __init__(
        self,
        layer: Layer | Cell,
        input_size: InputSize,
        *,
        deterministic: bool = False,
        keep_rngs: bool = False,
        rngs: nnx.Rngs,
    ):
        self.layer = as_layer(layer)
        self.input_size = input_size
        self.output_size = self.layer.output_size(input_size)
        self.deterministic = deterministic
        # Not `params`, which is the name of Flax's collection: `nnx.bridge.to_linen` would set both as one attribute.
        # One Param an array, not one around all of them: nnx.Optimizer keeps moments of nothing else in its own form.
        self.weights = nnx.data(jax.tree.map(nnx.Param, self.layer.init(rngs.params(), input_size)))
        self.rngs = nnx.data(rngs.dropout.fork() if keep_rngs else None)

    def __call__(self, xs: Inputs, **options: Any) -> Outputs:
        """The outputs of all steps; zeros where the mask is False. `options` are those of `apply`."""
        return self.apply(xs, **options).ys

    def apply(
        self,
        xs: Inputs,
        *,
        key: Key | None = None,
        rngs: Randomness | None = None,
        deterministic: bool | None = None,
        **options: Any,
    ) -> LayerOutput:
        """The carry, the outputs of all steps, and the last output.

        `options` go to the layer's `apply`: mask, resets, carry, first_step, batched.

        Raises:
          ValueError: both key and rngs are given.
        """
        key = self._key(key, rngs, deterministic)
        return self.layer.apply(self.layer_params(), xs, key=key, **options)

    def step(
        self,
        carry: Carry,
        x: Inputs,
        *,
        key: Key | None = None,
        rngs: Randomness | None = None,
        deterministic: bool | None = None,
        **options: Any,
    ) -> tuple[Carry, Outputs]:
        """One step: x (D,) or (B, D) → the carry after it and y. `options` go to the layer's `step`."""
        key = self._key(key, rngs, deterministic)
        return self.layer.step(self.layer_params(), carry, x, key=key, **options)

    def initial_carry(self, batch: int | None = None, *, x: Inputs | None = None) -> Carry:
        """The carry before the first step, as the layer's."""
        return self.layer.initial_carry(self.layer_params(), batch, x=x)

    def _key(self, key: Key | None, rngs: Randomness | None, deterministic: bool | None) -> Key | None:
        if key is None and rngs is None:
            rngs = self.rngs
        return dropout_key(key, rngs, self.deterministic if deterministic is None else deterministic)

    def layer_params(self) -> Params:
        """The params as plain arrays, as `layer.init` made them and `layer.apply` takes them."""
        return plain_arrays(self.weights)

    def set_view(self, deterministic: bool | None = None):
        """For `nnx.view`: another mode, the same params."""
        if deterministic is not None:
            self.deterministic = deterministic


class Embedding(nnx.Module):
    """A table with one row a token; `dropout` drops whole rows, so that a word is missing wherever it occurs.

    When it drops, and what `rngs` and `deterministic` mean, is as in `RNN`.
    """

    def __init__(
        self,
        vocabulary_size: int,
        size: int,
        *,
        dropout: float = 0.0,
        scale: float = 0.1,
        deterministic: bool = False,
        rngs: nnx.Rngs,
    ):
        self.dropout = dropout
        self.deterministic = deterministic
        self.table = nnx.Param(scale * jax.random.normal(rngs.params(), (vocabulary_size, size), jnp.float32))

    def __call__(
        self, tokens: Int[Array, "..."], *, key: Key | None = None, rngs: Randomness | None = None
    ) -> Float[Array, "..."]:
        """tokens (…) → rows (…, F)."""
        return jnp.take(self.rows(key=key, rngs=rngs), tokens, axis=0)

    def rows(self, *, key: Key | None = None, rngs: Randomness | None = None) -> Float[Array, "V F"]:
        """The table as tokens are looked up in it: with a key or rngs, some rows are dropped."""
        return drop_rows(self.table.get_value(), self.dropout, dropout_key(key, rngs, self.deterministic))


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
    """One vector from a layer's output: last, mean, max, joined ones of these, or attention with a learned query.

    last_mean_max: y_T ⊕ mean_t y_t ⊕ max_t y_t (Howard & Ruder 2018, "concat pooling")
    attention: α = softmax_t(v · tanh(y_t W + b)), Σ_t α_t y_t (Yang et al. 2016)

    Raises:
      ValueError: an unknown kind.
    """

    KINDS = ("last", *POOLINGS, "last_mean_max", "attention")

    def __init__(self, kind: str, input_size: int, *, rngs: nnx.Rngs):
        if kind not in self.KINDS:
            raise ValueError(f"No pooling {kind!r}; there are: {', '.join(self.KINDS)}.")
        self.kind = kind
        self.output_size = {"mean_max": 2, "last_mean_max": 3}.get(kind, 1) * input_size
        if kind == "attention":
            self.hidden = Linear(input_size, input_size, rngs=rngs)
            self.query = Linear(input_size, 1, rngs=rngs)

    def __call__(self, output: LayerOutput, mask: Bool[Array, "*B T"]) -> Float[Array, "*B F"]:
        """Pools over the real steps; a row without any gives zeros."""
        if self.kind == "last":
            return output.last
        if self.kind == "last_mean_max":
            return jnp.concatenate([output.last, pooling.mean_max_pool(output.ys, mask)], axis=-1)
        if self.kind == "attention":
            scores = self.query(jnp.tanh(self.hidden(output.ys)))[..., 0]
            return pooling.attention_pool(output.ys, scores, mask)
        return POOLINGS[self.kind](output.ys, mask)


__all__ = ["RNN", "Embedding", "Linear", "NGramConvolution", "Pooling"]
