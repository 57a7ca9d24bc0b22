"""Which steps are real and where sequences start: lengths and segment ids → mask and resets."""

import jax.numpy as jnp

from rnn_jax.types import Array, Bool, Int


def lengths_to_mask(lengths: Int[Array, "*B"], max_length: int) -> Bool[Array, "*B T"]:
    """mask[…, t] = t < length: True at the real steps of rows padded at the end."""
    shape = (*lengths.shape, max_length)
    steps, lengths = jnp.arange(max_length, dtype=jnp.int32), lengths.astype(jnp.int32)
    return jnp.broadcast_to(steps, shape) < jnp.broadcast_to(lengths[..., None], shape)


def segment_ids_to_mask(segment_ids: Int[Array, "*B T"]) -> Bool[Array, "*B T"]:
    """True where a packed row holds a step of some sequence (id ≥ 1); 0 is padding."""
    return segment_ids > 0


def segment_ids_to_resets(
    segment_ids: Int[Array, "*B T"], previous_ids: Int[Array, "*B"] | None = None
) -> Bool[Array, "*B T"]:
    """True at the first step of every packed sequence; padding (id 0) starts none.

    `previous_ids`: the ids of the step before, if the rows continue a chunk whose carry is passed on.
    """
    if previous_ids is None:
        previous_ids = jnp.zeros_like(segment_ids[..., 0])
    before = jnp.concatenate([previous_ids[..., None], segment_ids[..., :-1]], axis=-1)
    return (segment_ids != before) & (segment_ids > 0)


def reverse_resets(resets: Bool[Array, "*B T"]) -> Bool[Array, "*B T"]:
    """The resets that a reverse scan needs: a sequence that starts at t + 1 makes one end at t.

    Read backwards, the sequence that ends at t starts there. The last step starts none: the scan starts there anyway.
    """
    return jnp.concatenate([resets[..., 1:], jnp.zeros_like(resets[..., :1])], axis=-1)
