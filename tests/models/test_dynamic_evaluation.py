"""Dynamic evaluation: against PyTorch, a token at a time; nothing is learned before it is scored."""

import jax
import numpy as np
import pytest
import torch
from language_model_runs import trained_of

from rnn_jax.data.batching import Ragged
from rnn_jax.data.lanes import Lanes
from rnn_jax.models.adaptation_config import AdaptationConfig
from rnn_jax.models.dynamic_evaluation import dynamic_readings, gradient_squares
from rnn_jax.models.language_score import document_nats, stream_windows
from rnn_jax.text.language_codec import END_ID as END

H, ALPHABET = 7, "abcdefgh"
V = 3 + len(ALPHABET)
LANES, BPTT = 3, 6


def texts(seed, *lengths):
    """Documents of random tokens."""
    rng = np.random.default_rng(seed)
    return Ragged.from_rows([rng.integers(3, V, length) for length in lengths])


TEXTS, TRAIN = texts(1, 29, 1, 0, 13), texts(0, 90)


def trained(tied=False, scale=3.0):
    return trained_of([ALPHABET], scale=scale, tie_output=tied, hidden_size=(H,), output_dropout=0.5)


def lanes():
    return Lanes(TRAIN, LANES, BPTT, boundary=END, seed=0)


def scored(model, documents, size=12, **knobs):
    """−log p of all tokens, by windows of this size."""
    config = AdaptationConfig(dynamic_evaluation=True, **knobs)
    windows = stream_windows(documents, size, END)
    found = [np.asarray(reading.nats)[0] for _, reading in dynamic_readings(model, config, lanes, windows)]
    return np.concatenate(found)[: len(documents.values)]


class Torch:
    """The same model in float64: embedding, one LSTM, and a softmax, tied to the embedding by way of a projection."""

    def __init__(self, params):
        flat = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
        self.names = list(flat)
        self.leaves = [torch.tensor(np.asarray(v, np.float64), requires_grad=True) for v in flat.values()]
        self.state = None

    def get(self, *parts):
        """The one parameter whose name has these parts, None where there is none."""
        found = [x for name, x in zip(self.names, self.leaves, strict=True) if all(f"'{p}'" in name for p in parts)]
        assert len(found) <= 1
        return found[0] if found else None

    def nats(self, token, label):
        """−log p of the label after the token, and one step of the state."""
        h, c = self.state or (torch.zeros(H, dtype=torch.float64),) * 2
        table = self.get("embedding", "table")
        w_x, w_h, b = (self.get("encoder", name) for name in ("w_x", "w_h", "b"))
        i, f, g, o = (table[int(token)] @ w_x + h @ w_h + b).chunk(4)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        self.state = h, c
        features, weights = h, self.get("head", "w")
        if weights is None:
            features, weights = h @ self.get("projection", "w") + self.get("projection", "b"), table
        return -torch.log_softmax(weights @ features + self.get("head", "b"), 0)[int(label)]

    def gradients(self, steps):
        """−log p of each (token, label, begins anew), and the gradients of their mean; the state has none."""
        if self.state is not None:
            self.state = tuple(x.detach() for x in self.state)
        nats = []
        for token, label, begins in steps:
            self.state = None if begins else self.state
            nats.append(self.nats(token, label))
        return [float(x.detach()) for x in nats], torch.autograd.grad(sum(nats) / len(nats), self.leaves)


def stream(documents):
    """(token, label, begins anew) of all documents."""
    rows = (documents.row(i).tolist() for i in range(len(documents)))
    return [(([END, *row])[t], label, t == 0) for row in rows for t, label in enumerate(row)]


def torch_squares(model, num_windows):
    """Mean of (∇ mean nats)² of the windows, all lanes together, times the tokens of a window."""
    ends = np.linspace(0, len(TRAIN.values), LANES + 1).astype(int)
    steps, states, sums = stream(TRAIN), [None] * LANES, None
    for window in range(num_windows):
        total, count = None, 0
        for lane in range(LANES):
            first = ends[lane] + window * BPTT
            part = [(token, label, window == 0 and t == 0) for t, (token, label, _) in enumerate(steps[first:][:BPTT])]
            model.state = states[lane]
            _, gradients = model.gradients(part)
            states[lane] = model.state
            gradients = [len(part) * g for g in gradients]
            total = gradients if total is None else [a + b for a, b in zip(total, gradients, strict=True)]
            count += len(part)
        squares = [count * (g / count) ** 2 / num_windows for g in total]
        sums = squares if sums is None else [a + b for a, b in zip(sums, squares, strict=True)]
    model.state = None
    return sums


def torch_scored(model, documents, segment, rate, decay, mean_squares=None):
    """The rule as the paper has it, θ ← θ − η g / (RMS + ε) + λ RMS_norm (θ_trained − θ), with ε = mean RMS."""
    first = [x.detach().clone() for x in model.leaves]
    scale, pull = [1.0] * len(first), [decay] * len(first)
    if mean_squares is not None:
        rms = [x.div(segment).sqrt() for x in mean_squares]
        mean = torch.cat([x.flatten() for x in rms]).mean()
        scale = [1 / (x + mean) for x in rms]
        pull = [(decay * x / mean).clamp(max=1) for x in rms]
    steps, nats = stream(documents), []
    for start in range(0, len(steps), segment):
        found, gradients = model.gradients(steps[start : start + segment])
        nats += found
        with torch.no_grad():
            for x, x0, g, r, d in zip(model.leaves, first, gradients, scale, pull, strict=True):
                x += -rate * r * g + d * (x0 - x)
    return np.array(nats)


@pytest.mark.parametrize("tied", [False, True])
def test_squares_of_gradients(tied):
    model = trained(tied)
    found = gradient_squares(model, lanes(), 4, 3)
    expected = torch_squares(Torch(model.params), 4)
    for leaf, by_hand in zip(jax.tree.leaves(found), expected, strict=True):
        np.testing.assert_allclose(leaf, by_hand / 3, rtol=2e-4, atol=1e-8)


def test_squares_of_windows_whose_length_varies_count_real_tokens_only():
    """Padded to one shape or cut to what is real, it is the same text."""

    class Unpadded(Lanes):
        def batch(self, step):
            batch = super().batch(step)
            size = batch["mask"].sum(axis=1).max()
            return {name: leaf[:, :size] if leaf.ndim == 2 else leaf for name, leaf in batch.items()}

    model, options = trained(), {"boundary": END, "seed": 0, "varies": True}
    sources = [made(TRAIN, LANES, 12, **options) for made in (Lanes, Unpadded)]
    assert len({sources[1].batch(step)["tokens"].shape for step in range(3)}) > 1
    pairs = zip(*(jax.tree.leaves(gradient_squares(model, s, 3, 3)) for s in sources), strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize(("tied", "segment", "decay"), [(False, 4, 0.05), (True, 5, 0.3), (True, 60, 0.05)])
def test_rms_against_torch(tied, segment, decay):
    """Segments run on over the ends of windows and documents; the last one is cut. λ = 0.3 reaches where RMS clips."""
    model = trained(tied)
    knobs = {"dynamic_segment": segment, "dynamic_rate": 0.1, "dynamic_decay": decay, "dynamic_windows": 4}
    other = Torch(model.params)
    squares = torch_squares(other, 4)
    rms = torch.cat([x.flatten() for x in squares]).sqrt()
    assert decay < 0.3 or decay * rms.max() / rms.mean() > 1
    expected = torch_scored(other, TEXTS, segment, 0.1, decay, squares)
    np.testing.assert_allclose(scored(model, TEXTS, 3 * segment, **knobs), expected, rtol=1e-3, atol=1e-4)
    still = document_nats(model, TEXTS, 2, END)
    assert segment == 60 or abs(expected - still).max() > 0.1


def test_sgd_against_torch():
    model = trained()
    expected = torch_scored(Torch(model.params), TEXTS, 4, 0.5, 0.05)
    found = scored(model, TEXTS, dynamic_rule="sgd", dynamic_segment=4, dynamic_rate=0.5, dynamic_decay=0.05)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("rule", ["rms", "sgd"])
def test_a_rate_of_zero_is_the_model_itself(rule):
    model = trained()
    found = scored(model, TEXTS, dynamic_rule=rule, dynamic_rate=0.0, dynamic_segment=3)
    np.testing.assert_allclose(found, document_nats(model, TEXTS, 2, END), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("segment", [1, 4, 12])
def test_no_token_is_learned_from_before_it_is_scored(segment):
    """Another token changes nothing before it, and within its segment only what the carry says."""
    model, place = trained(), 17
    changed = TEXTS.values.copy()
    changed[place] = 3 if changed[place] != 3 else 4
    knobs = {"dynamic_segment": segment, "dynamic_rate": 0.1}
    before, after = (scored(model, Ragged(values, TEXTS.offsets), **knobs) for values in (TEXTS.values, changed))
    np.testing.assert_array_equal(before[:place], after[:place])
    assert abs(before[place + 1 :] - after[place + 1 :]).max() > 1e-3


def test_the_first_segment_is_scored_by_the_trained_parameters():
    model = trained()
    found = scored(model, TEXTS, dynamic_segment=6, dynamic_rate=0.5)
    np.testing.assert_allclose(found[:6], document_nats(model, TEXTS, 2, END)[:6], rtol=1e-5)


@pytest.mark.parametrize("knobs", [{"dynamic_rule": "sgd"}, {"dynamic_rate": 0.02}])
def test_a_text_that_repeats_itself_is_learned(knobs):
    model = trained(scale=1.0)
    repeated = Ragged.from_rows([np.tile(texts(6, 10).values, 30)])
    nats, still = scored(model, repeated, dynamic_segment=4, **knobs), document_nats(model, repeated, 1, END)
    assert nats[-60:].mean() < 0.8 * still[-60:].mean()


def test_windows_change_nothing():
    model, knobs = trained(), {"dynamic_segment": 4, "dynamic_rate": 0.1}
    one, *others = (scored(model, TEXTS, size, **knobs) for size in (4, 16, 64))
    for other in others:
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
