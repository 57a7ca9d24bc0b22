"""The cells' equations in numpy and float64, one weight matrix a gate, as the papers print them.

Each function runs one sequence xs (T, D) from zeros and returns the outputs (T, H). `p` holds the weights by the names
of the papers: `p["Wxi"]` (D, H), `p["Whi"]` (H, H), `p["bi"]` (H,), …
"""

import numpy as np


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def normalise(a, scale, epsilon=1e-5):
    """Layer normalisation (Ba et al. 2016, eq. 4) without the shift."""
    mean = a.sum() / a.size
    deviation = np.sqrt(((a - mean) ** 2).sum() / a.size + epsilon)
    return scale * (a - mean) / deviation


def elman(p, xs):
    """Elman (1990)."""
    h, ys = np.zeros(p["bh"].size), []
    for x in xs:
        h = np.tanh(x @ p["Wxh"] + h @ p["Whh"] + p["bh"])
        ys.append(h)
    return np.stack(ys)


def memoryless(p, xs):
    """tanh of an affine map of each step."""
    return np.stack([np.tanh(x @ p["Wxh"] + p["bh"]) for x in xs])


def lstm(p, xs):
    """Gers et al. (2000) without peepholes; as Graves (2013), eqs. 7–11, without the diagonal weights."""
    h, c, ys = np.zeros(p["bi"].size), np.zeros(p["bi"].size), []
    for x in xs:
        i = sigmoid(x @ p["Wxi"] + h @ p["Whi"] + p["bi"])
        f = sigmoid(x @ p["Wxf"] + h @ p["Whf"] + p["bf"])
        g = np.tanh(x @ p["Wxg"] + h @ p["Whg"] + p["bg"])
        o = sigmoid(x @ p["Wxo"] + h @ p["Who"] + p["bo"])
        c = f * c + i * g
        h = o * np.tanh(c)
        ys.append(h)
    return np.stack(ys)


def projected_lstm(p, xs):
    """Sak et al. (2014), eqs. 7–13, without peepholes and the second projection: r_t = W_rm m_t goes back."""
    r, c, ys = np.zeros(p["Wp"].shape[1]), np.zeros(p["bi"].size), []
    for x in xs:
        i = sigmoid(x @ p["Wxi"] + r @ p["Whi"] + p["bi"])
        f = sigmoid(x @ p["Wxf"] + r @ p["Whf"] + p["bf"])
        c = f * c + i * np.tanh(x @ p["Wxg"] + r @ p["Whg"] + p["bg"])
        o = sigmoid(x @ p["Wxo"] + r @ p["Who"] + p["bo"])
        r = (o * np.tanh(c)) @ p["Wp"]
        ys.append(r)
    return np.stack(ys)


def peephole_lstm(p, xs):
    """Graves (2013), eqs. 7–11: i and f see the old memory, o the new one."""
    h, c, ys = np.zeros(p["bi"].size), np.zeros(p["bi"].size), []
    for x in xs:
        i = sigmoid(x @ p["Wxi"] + h @ p["Whi"] + p["wci"] * c + p["bi"])
        f = sigmoid(x @ p["Wxf"] + h @ p["Whf"] + p["wcf"] * c + p["bf"])
        c = f * c + i * np.tanh(x @ p["Wxg"] + h @ p["Whg"] + p["bg"])
        o = sigmoid(x @ p["Wxo"] + h @ p["Who"] + p["wco"] * c + p["bo"])
        h = o * np.tanh(c)
        ys.append(h)
    return np.stack(ys)


def coupled_lstm(p, xs):
    """CIFG of Greff et al. (2017): i_t = 1 − f_t."""
    h, c, ys = np.zeros(p["bf"].size), np.zeros(p["bf"].size), []
    for x in xs:
        f = sigmoid(x @ p["Wxf"] + h @ p["Whf"] + p["bf"])
        i = 1 - f
        g = np.tanh(x @ p["Wxg"] + h @ p["Whg"] + p["bg"])
        o = sigmoid(x @ p["Wxo"] + h @ p["Who"] + p["bo"])
        c = f * c + i * g
        h = o * np.tanh(c)
        ys.append(h)
    return np.stack(ys)


def layer_norm_lstm(p, xs):
    """Ba et al. (2016), eqs. 20–22: (f i o g) = LN(W_h h; α_1) + LN(W_x x; α_2) + b over all gates together."""
    h, c, ys = np.zeros(p["bi"].size), np.zeros(p["bi"].size), []
    w_x = np.hstack([p["Wxi"], p["Wxf"], p["Wxg"], p["Wxo"]])
    w_h = np.hstack([p["Whi"], p["Whf"], p["Whg"], p["Who"]])
    b = np.hstack([p["bi"], p["bf"], p["bg"], p["bo"]])
    for x in xs:
        gates = normalise(x @ w_x, p["alpha_x"]) + normalise(h @ w_h, p["alpha_h"]) + b
        i, f, g, o = gates.reshape(4, -1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(normalise(c, p["alpha_c"]) + p["beta_c"])
        ys.append(h)
    return np.stack(ys)


def gru(p, xs):
    """torch.nn.GRU / cuDNN: the reset gate after the recurrent matmul, which has a bias of its own."""
    h, ys = np.zeros(p["br"].size), []
    for x in xs:
        r = sigmoid(x @ p["Wxr"] + h @ p["Whr"] + p["br"])
        z = sigmoid(x @ p["Wxz"] + h @ p["Whz"] + p["bz"])
        n = np.tanh(x @ p["Wxn"] + p["bn"] + r * (h @ p["Whn"] + p["bhn"]))
        h = (1 - z) * n + z * h
        ys.append(h)
    return np.stack(ys)


def reset_before_gru(p, xs):
    """Cho et al. (2014), eqs. 5–8: the reset gate before the recurrent matmul; z keeps the old state (eq. 7)."""
    h, ys = np.zeros(p["br"].size), []
    for x in xs:
        r = sigmoid(x @ p["Wxr"] + h @ p["Whr"] + p["br"])
        z = sigmoid(x @ p["Wxz"] + h @ p["Whz"] + p["bz"])
        n = np.tanh(x @ p["Wxn"] + p["bn"] + (r * h) @ p["Whn"])
        h = z * h + (1 - z) * n
        ys.append(h)
    return np.stack(ys)


def layer_norm_gru(p, xs):
    """As `gru`, with x W_x and h W_h each normalised over its 3H numbers."""
    size, h, ys = p["br"].size, np.zeros(p["br"].size), []
    for x in xs:
        x_r, x_z, x_n = normalise(np.hstack([x @ p["Wxr"], x @ p["Wxz"], x @ p["Wxn"]]), p["alpha_x"]).reshape(3, size)
        h_r, h_z, h_n = normalise(np.hstack([h @ p["Whr"], h @ p["Whz"], h @ p["Whn"]]), p["alpha_h"]).reshape(3, size)
        r, z = sigmoid(x_r + p["br"] + h_r), sigmoid(x_z + p["bz"] + h_z)
        n = np.tanh(x_n + p["bn"] + r * (h_n + p["bhn"]))
        h = (1 - z) * n + z * h
        ys.append(h)
    return np.stack(ys)
