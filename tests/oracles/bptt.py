r"""Backpropagation through time for the Elman network, as textbooks write it: an explicit sum over pairs of steps.

    a_t = x_t W_x + h_{t−1} W_h + b      h_t = φ(a_t)      L = Σ_t L_t(h_t)

With the Jacobian of one step J_j = ∂h_j/∂h_{j−1} = W_h diag(φ'(a_j)) (row vectors: δ_{j−1} = δ_j J_jᵀ), what the loss
at t says about the state at k ≤ t is

    δ_{t,k} = ∂L_t/∂h_k = ∂L_t/∂h_t · J_tᵀ J_{t−1}ᵀ … J_{k+1}ᵀ

and every gradient is a sum over both, of the immediate effect at k:

    ∂L/∂W_h = Σ_t Σ_{k≤t} h_{k−1}ᵀ (δ_{t,k} ⊙ φ'(a_k))
    ∂L/∂W_x = Σ_t Σ_{k≤t} x_kᵀ (δ_{t,k} ⊙ φ'(a_k))
    ∂L/∂b   = Σ_t Σ_{k≤t} δ_{t,k} ⊙ φ'(a_k)
    ∂L/∂x_k = Σ_{t≥k} (δ_{t,k} ⊙ φ'(a_k)) W_xᵀ
    ∂L/∂h_0 = Σ_t (δ_{t,1} ⊙ φ'(a_1)) W_hᵀ

Truncated BPTT in chunks of c steps keeps the pairs of one chunk: k ≥ c ⌊t / c⌋ (steps counted from 0). Quadratic in T
on purpose: no quantity is carried from one step to the next but the product of Jacobians itself.
"""

from typing import NamedTuple

import numpy as np

# φ and φ' as a function of a; the kinks' derivatives are never asked for in the tests.
ACTIVATIONS = {
    "tanh": (np.tanh, lambda a: 1 - np.tanh(a) ** 2),
    "relu": (lambda a: np.maximum(a, 0), lambda a: (a > 0) * 1.0),
    "leaky_relu": (lambda a: np.where(a > 0, a, 0.01 * a), lambda a: np.where(a > 0, 1.0, 0.01)),
    "elu": (lambda a: np.where(a > 0, a, np.exp(a) - 1), lambda a: np.where(a > 0, 1.0, np.exp(a))),
    "sigmoid": (lambda a: 1 / (1 + np.exp(-a)), lambda a: np.exp(-a) / (1 + np.exp(-a)) ** 2),
    "identity": (lambda a: a, np.ones_like),
}


class Gradients(NamedTuple):
    """∂L/∂ of everything that the network is given."""

    w_x: np.ndarray
    w_h: np.ndarray
    b: np.ndarray
    xs: np.ndarray
    h_0: np.ndarray


def forward(w_x, w_h, b, xs, h_0, activation="tanh") -> tuple[np.ndarray, np.ndarray]:
    """Pre-activations a (T, H) and states h (T, H) of one sequence xs (T, D)."""
    phi, _ = ACTIVATIONS[activation]
    h, pre_activations, states = h_0, [], []
    for x in xs:
        a = x @ w_x + h @ w_h + b
        h = phi(a)
        pre_activations.append(a)
        states.append(h)
    return np.stack(pre_activations), np.stack(states)


def gradients(w_x, w_h, b, xs, h_0, loss_bars, activation="tanh", chunk: int | None = None) -> Gradients:
    """The sums above for one sequence; loss_bars[t] = ∂L_t/∂h_t (H,); `chunk` truncates, None keeps all pairs."""
    a, h = forward(w_x, w_h, b, xs, h_0, activation)
    slope = ACTIVATIONS[activation][1](a)
    total = Gradients(*(np.zeros_like(array) for array in (w_x, w_h, b, xs, h_0)))
    for t in range(len(xs)):
        earliest = 0 if chunk is None else chunk * (t // chunk)
        for k in range(earliest, t + 1):
            delta = loss_bars[t]
            for j in range(t, k, -1):
                jacobian = w_h * slope[j]  # ∂h_j/∂h_{j−1}: entry (from, to)
                delta = delta @ jacobian.T
            at_a = delta * slope[k]
            h_before = h[k - 1] if k > 0 else h_0
            total.w_x[...] += np.outer(xs[k], at_a)
            total.w_h[...] += np.outer(h_before, at_a)
            total.b[...] += at_a
            total.xs[k] += at_a @ w_x.T
            if k == 0:
                total.h_0[...] += at_a @ w_h.T
    return total
