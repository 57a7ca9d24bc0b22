"""NVIDIA's LSTM (cuDNN) through `jax.experimental.rnn`, behind the signature of `scan_cell`.

Gates are in the same order (i f g o) and the mathematics are the same, so that packing the weights is all there is.
cuDNN's second bias is zero.
"""

from typing import Any

import jax
import jax.numpy as jnp

from rnn_jax.cells import LSTM, LSTMCarry, LSTMParams
from rnn_jax.scanning.plan import Plan
from rnn_jax.scanning.sequences import describe
from rnn_jax.types import Array, Carry, Float, Inputs, Params


def pack_weights(params: LSTMParams) -> Float[Array, " N"]:
    """One layer's and direction's weights as cuDNN's single array: W_xᵀ, W_hᵀ, b and the second bias."""
    return jnp.concatenate([params.w_x.T.ravel(), params.w_h.T.ravel(), params.b, jnp.zeros_like(params.b)])


def scan_cudnn(
    plan: Plan, params: Params, xs: Inputs, mask: Array | None, resets: Array | None, carry: Carry | None
) -> tuple[Carry, Array]:
    """(carry, ys) of the LSTM in float32 over xs (B, T, D).

    Raises:
      ValueError: another cell, dtype, device or option than cuDNN has.
    """
    refusals = {
        f"the cell is {plan.cell!r}": type(plan.cell) is not LSTM,
        f"xs is {describe(xs)}": not isinstance(xs, jax.Array) or xs.ndim != 3 or xs.dtype != jnp.float32,
        "there are masks or resets": mask is not None or resets is not None,
        "return_states was asked for": plan.return_states,
        f"the device is {jax.default_backend()}": jax.default_backend() != "gpu",
    }
    if any(refusals.values()):
        reasons = ", ".join(reason for reason, refused in refusals.items() if refused)
        raise ValueError(
            f'backend="cudnn" is for an LSTM on a GPU, xs float32 (B, T, D), no mask, no resets; here {reasons}. '
            f'Use backend="auto".'
        )
    from jax.experimental import rnn  # here: it loads the GPU plugin's modules, which few need

    return run_cudnn(params, xs, carry, reverse=plan.reverse, lstm=rnn.lstm)


def run_cudnn(params: LSTMParams, xs: Array, carry: Carry | None, *, reverse: bool, lstm: Any) -> tuple[Carry, Array]:
    """As `scan_cudnn`, by `lstm`, which has the arguments of `jax.experimental.rnn.lstm`."""
    (batch, time, input_size), hidden_size = xs.shape, params.w_h.shape[0]
    zeros = jnp.zeros((batch, hidden_size), xs.dtype)
    h, c = (zeros, zeros) if carry is None else carry
    ys, h, c = lstm(
        jnp.flip(xs, 1) if reverse else xs,
        h[None],
        c[None],
        pack_weights(params),
        jnp.full(batch, time, jnp.int32),
        input_size=input_size,
        hidden_size=hidden_size,
        num_layers=1,
        dropout=0.0,
        bidirectional=False,
        precision=jax.config.jax_default_matmul_precision,  # type: ignore[attr-defined]
    )
    return LSTMCarry(h[0], c[0]), jnp.flip(ys, 1) if reverse else ys
