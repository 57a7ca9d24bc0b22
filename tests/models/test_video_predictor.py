"""The model of videos, against a loop with torch's convolutions; its loss against torch's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from oracles.jitting import quick_jit

from rnn_jax.cells import IMAGE_CELLS
from rnn_jax.data.video.codec import VideoCodec
from rnn_jax.errors import UserError
from rnn_jax.losses import binary_cross_entropy
from rnn_jax.models.make_video_predictor import make_video_predictor
from rnn_jax.models.video_config import IMAGE_CELL_NAMES, VideoModelConfig

B, S, T, SIDE, PATCH, H = 2, 3, 2, 4, 2, 3
CODEC = VideoCodec((SIDE, SIDE, 1), S, T, "uint8", 10.0, np.zeros((SIDE, SIDE, 1), np.float32))


def make(**knobs):
    config = VideoModelConfig(**({"hidden_size": (H,), "patch_size": PATCH} | knobs))
    return make_video_predictor(config, CODEC, nnx.Rngs(0))


def some_frames(seed=0):
    return np.random.default_rng(seed).integers(0, 11, (B, S + T, SIDE, SIDE, 1)).astype(np.uint8)


def patches(frames):
    """(B, T, F, Y, X) of frames (B, T, H, W, 1), place by place."""
    places = SIDE // PATCH
    found = np.zeros((*frames.shape[:2], PATCH * PATCH, places, places))
    for y in range(SIDE):
        for x in range(SIDE):
            found[:, :, (y % PATCH) * PATCH + x % PATCH, y // PATCH, x // PATCH] = frames[:, :, y, x, 0]
    return torch.tensor(found)


def lstm_step(weights, h, c, x):
    """Gates in the order i f g o."""
    w_x, w_h, b = (torch.tensor(np.asarray(weight, np.float64)) for weight in weights)
    conv = torch.nn.functional.conv2d
    a = conv(x, w_x.permute(3, 2, 0, 1), padding=1) + conv(h, w_h.permute(3, 2, 0, 1), padding=1) + b[:, None, None]
    i, f, g, o = a.split(H, dim=1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def predicted_by_torch(model, frames):
    """Logits of the frames after the first, those of the context included: (B, S + T − 1, F, Y, X)."""
    encoder = model.encoder.layer_params()[0]
    forecaster = encoder if model.forecaster is None else model.forecaster.layer_params()[0]
    w, b = (torch.tensor(np.asarray(p.get_value(), np.float64)) for p in (model.output.w, model.output.b))
    xs = patches(frames / CODEC.divisor)
    h = c = torch.zeros(B, H, SIDE // PATCH, SIDE // PATCH, dtype=torch.float64)
    logits = []
    for t in range(S + T - 1):
        x = xs[:, t] if t < S else torch.sigmoid(logits[-1])
        h, c = lstm_step(encoder if t < S - 1 else forecaster, h, c, x)
        logits.append(torch.einsum("bhyx,hf->bfyx", h, w) + b[:, None, None])
    return torch.stack(logits, dim=1)


@pytest.mark.parametrize("shared", [False, True])
def test_equals_a_loop_in_torch(shared):
    """Predictions, and both losses: of the future, and with shared weights of the context's own frames too."""
    model, frames = make(shared_weights=shared), some_frames()
    logits = predicted_by_torch(model, frames)
    predicted = quick_jit(lambda frames: model.predict(frames, T))(frames)
    assert predicted.shape == (B, T, SIDE, SIDE, 1)
    np.testing.assert_allclose(patches(np.asarray(predicted)), torch.sigmoid(logits[:, -T:]), atol=1e-5)
    first = 1 if shared else S
    target, weights = patches(frames / CODEC.divisor)[:, first:], np.array([1.0, 0.25], np.float32)
    for kind in ("cross_entropy", "mse"):
        model.kind = kind
        total, weight = quick_jit(lambda frames, weights: model.loss(frames, weights))(frames, weights)
        given = logits[:, first - 1 :]
        if kind == "mse":
            losses = (torch.sigmoid(given) - target) ** 2
        else:
            losses = torch.nn.functional.binary_cross_entropy_with_logits(given, target, reduction="none")
        np.testing.assert_allclose(total, losses.mean(dim=(1, 2, 3, 4)) @ torch.tensor([1.0, 0.25]).double(), rtol=1e-5)
        assert weight == 1.25


def test_the_future_is_not_read():
    model, frames = make(), some_frames()
    changed = frames.copy()
    changed[:, S:] = 0
    predict = quick_jit(lambda frames: model.predict(frames, T))
    np.testing.assert_array_equal(predict(frames), predict(changed))


def test_clips_that_fill_a_batch_reach_nothing():
    graph, params = nnx.split(make())
    frames, weights = some_frames(), jnp.asarray([1.0, 0])
    value = quick_jit(jax.value_and_grad(lambda params, frames: nnx.merge(graph, params).loss(frames, weights)[0]))
    other = frames.copy()
    other[1] = 7
    jax.tree.map(np.testing.assert_array_equal, value(params, frames), value(params, other))


def test_binary_cross_entropy_is_torchs():
    rng = np.random.default_rng(0)
    logits, target, weights = 4 * rng.normal(size=20), rng.random(20), rng.random(20)
    logits, target, weights = (jnp.asarray(array, jnp.float32) for array in (logits, target, weights))
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        *(torch.tensor(np.asarray(array)) for array in (logits, target, weights)), reduction="sum"
    )
    total, weight = binary_cross_entropy(logits, target, weights)
    np.testing.assert_allclose((total, weight), (expected, weights.sum()), rtol=1e-5)
    logits, weights = logits.at[3].set(jnp.nan), weights.at[3].set(0)
    assert np.isfinite(binary_cross_entropy(logits, target, weights)[0])


def test_names_of_cells_are_those_of_the_registry():
    assert tuple(IMAGE_CELLS) == IMAGE_CELL_NAMES


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"patch_size": 3}, "--patch_size=3: .*4 × 4"),
        ({"patch_size": 8}, "--patch_size=8"),
        ({"kernel_size": 2}, "--kernel_size=2"),
        ({"hidden_size": (2, 2), "num_layers": 3}, "--hidden_size=2,2 has 2 entries for --num_layers=3"),
    ],
)
def test_knobs_that_make_no_model(knobs, words):
    with pytest.raises(UserError, match=words):
        make(**knobs)
