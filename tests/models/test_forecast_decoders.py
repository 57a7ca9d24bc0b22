"""Decoders against the equations of their papers: SegRNN in torch, DeepAR and the direct head in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from forecast_batches import PLAIN, SIZES, applied, array, batch_of, forecast_of, forecaster_of
from scipy import stats

from rnn_jax.models.forecast_paths import drawn_paths, own_points
from rnn_jax.models.forecast_stepwise import Keys


def torch_gru(params):
    """A torch GRU with our weights."""
    gru = torch.nn.GRU(len(params.w_x), len(params.w_h), batch_first=True)
    recurrent_bias = np.concatenate([np.zeros(2 * len(params.w_h)), params.b_hn])
    for name, value in {
        "weight_ih_l0": np.asarray(params.w_x).T,
        "weight_hh_l0": np.asarray(params.w_h).T,
        "bias_ih_l0": np.asarray(params.b),
        "bias_hh_l0": recurrent_bias,
    }.items():
        getattr(gru, name).data = torch.tensor(np.array(value, np.float32))
    return gru


@torch.no_grad()
def test_segrnn_is_the_papers():
    """L = 7 and H = 5 in segments of 3, two channels: paper's equations 3 to 9 and its parallel decoding, in torch."""
    model, batch = forecaster_of(PLAIN, decoder="segments"), batch_of(PLAIN)
    decoder, of = model.decoder, lambda p: torch.tensor(array(p).astype(np.float32))
    (params,) = decoder.encoder.layer_params()
    gru = torch_gru(params)
    x = torch.tensor(np.asarray(batch["past"]))
    last = x[:, -1:, :]
    x = (x - last).permute(0, 2, 1).reshape(-1, 7)  # each channel of each window
    x = torch.nn.functional.pad(x, (2, 0)).reshape(-1, 3, 3)
    embedded = torch.relu(x @ of(decoder.embedding.w) + of(decoder.embedding.b))
    _, hidden = gru(embedded)
    positions, channels = of(decoder.positions.table), of(decoder.channels.table)
    assert positions.shape == (2, 3) and channels.shape == (2, 3)
    queries = torch.cat([positions[None].repeat(2, 1, 1), channels[:, None].repeat(1, 2, 1)], dim=-1)
    queries = queries.repeat(3, 1, 1).reshape(-1, 1, 6)  # windows, channels, segments
    _, written = gru(queries, hidden.repeat_interleave(2, dim=1))
    y = written[0] @ of(decoder.head.w) + of(decoder.head.b)
    y = y.reshape(3, 2, 6)[..., :5].permute(0, 2, 1) + last
    np.testing.assert_allclose(forecast_of(model, batch)["point"], y.numpy(), rtol=1e-5, atol=1e-6)


def test_direct_head_by_hand():
    """W s + b, and a hidden layer of state and features at each step."""
    model, batch = forecaster_of(normalization="none", channels="joint"), batch_of()
    decoder = model.decoder
    xs = [batch["past"], batch["past_mask"].astype(jnp.float32), batch["past_features"]]
    xs = jnp.concatenate([*xs, jnp.repeat(batch["static"][:, None], 7, axis=1)], axis=-1)
    (params,), state = decoder.encoder.layer_params(), np.zeros((3, 6))
    for t in range(7):
        state = gru_step(params, np.asarray(xs[:, t]), state)
    expected = (state @ array(decoder.head.w) + array(decoder.head.b)).reshape(3, 5, 2)
    for h in range(5):
        joined = np.concatenate([state, batch["future_features"][:, h]], axis=-1)
        hidden = np.maximum(joined @ array(decoder.step_hidden.w) + array(decoder.step_hidden.b), 0)
        expected[:, h] += hidden @ array(decoder.step_head.w) + array(decoder.step_head.b)
    np.testing.assert_allclose(forecast_of(model, batch)["point"], expected, rtol=1e-4, atol=1e-5)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def gru_step(params, x, h):
    """PyTorch's GRU, in NumPy."""
    w_x, w_h, b, b_hn = (np.asarray(p, np.float64) for p in params)
    (xr, xz, xn), (hr, hz, hn) = np.split(x @ w_x + b, 3, -1), np.split(h @ w_h, 3, -1)
    r, z = sigmoid(xr + hr), sigmoid(xz + hz)
    return (1 - z) * np.tanh(xn + r * (hn + b_hn)) + z * h


def softplus(x):
    return np.log1p(np.exp(x))


def test_deepars_likelihood_is_that_of_a_loop():
    """Window by window, step by step, in NumPy and SciPy: past and future, where observed, scaled by ν = mean |z|."""
    model = forecaster_of(decoder="recursive", output="gaussian", channels="joint")
    batch = batch_of()
    (params,) = model.decoder.encoder.layer_params()
    w, b, total, count = array(model.decoder.head.w), array(model.decoder.head.b), 0.0, 0
    for i in range(3):
        of = {name: np.asarray(leaf[i]) for name, leaf in batch.items()}
        z, seen = (np.concatenate([of[f"past{n}"], of[f"target{n}"]]) for n in ("", "_mask"))
        features = np.concatenate([of["past_features"], of["future_features"]])
        nu = np.array([np.abs(z[:7, c][seen[:7, c]]).mean() for c in range(2)])
        h, before, observed = np.zeros(6), np.zeros(2), np.zeros(2)
        for t in range(12):
            h = gru_step(params, np.concatenate([before, observed, features[t], of["static"]]), h)
            (mu, sigma) = (h @ w + b).reshape(2, 2).T
            density = stats.norm(nu * mu, nu * (softplus(sigma) + 1e-4)).logpdf(z[t])
            total, count = total - density[seen[t]].sum(), count + seen[t].sum()
            before, observed = np.where(seen[t], z[t] / nu, 0), seen[t].astype(float)
    found, weight = applied(type(model).loss, model, batch, None)
    np.testing.assert_allclose([found, weight], [total, count], rtol=1e-4)


def looped_points(model, windows):
    """Single steps, each fed the number before it."""
    keys = Keys.of(None)
    started, outputs = model.decoder.start(windows, keys), []
    carry, value, seen = started.carry, started.value, started.observed
    for h in range(5):
        x = [value, seen.astype(jnp.float32), windows.future_features[:, h], windows.constants]
        x = jnp.concatenate(x, axis=-1)
        carry, out = model.decoder.step(carry, x, started.memory, keys, jnp.asarray(h, jnp.int32))
        outputs.append(out)
        value, seen = out[..., 0], jnp.ones_like(seen)
    return jnp.stack(outputs, axis=1)


def points_two_ways(model, batch, key):
    """What is fed back, and all steps at once, given as true values what was fed back."""
    windows = model.windows(batch)
    own = own_points(model.decoder, windows, key=key)
    known = model.decoder.forced(windows, own[..., 0], jnp.ones((3, 5, 2), bool), key=key)
    return own, known[:, -5:]


@pytest.mark.parametrize("decoder", ["recursive", "attention"])
def test_points_fed_back_are_a_loop_of_single_steps(decoder):
    model, batch = forecaster_of(decoder=decoder, channels="joint"), batch_of()
    own, known = applied(points_two_ways, model, batch, None)
    looped = applied(lambda model, batch: looped_points(model, model.windows(batch)), model, batch)
    np.testing.assert_allclose(own, looped, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(known, looped, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("decoder", ["recursive", "attention"])
def test_what_is_dropped_is_the_same_step_by_step(decoder):
    dropped = {"recurrent_dropout": 0.5, "input_dropout": 0.3}
    model = forecaster_of(decoder=decoder, channels="joint", head_dropout=0.4, encoder=dropped)
    own, known = applied(points_two_ways, model, batch_of(), jax.random.key(3))
    np.testing.assert_allclose(own, known, rtol=1e-4, atol=1e-5)


def standardised(model, batch, keys):
    """Paths that are drawn, each value less the mean and over the deviation that are said, given the path before it."""
    windows = model.windows(batch)
    paths = drawn_paths(model.decoder, windows, model.output.distribution, 200, keys)  # (R, N, H, C)

    def of_path(path):
        everything = jnp.ones_like(path, dtype=bool)
        outputs = model.decoder.forced(windows, windows.units.normalize(path, everything), everything)
        said = model.output.distribution(outputs[:, -5:], windows.units)
        return (path - said.mu) / said.sigma

    return jax.vmap(of_path, in_axes=1)(paths)


@pytest.mark.parametrize("decoder", ["recursive", "attention"])
def test_drawn_paths_are_of_the_distributions_given_the_path(decoder):
    model = forecaster_of(decoder=decoder, output="gaussian", channels="joint")
    drawn = np.asarray(applied(standardised, model, batch_of(), jax.random.split(jax.random.key(0), 3)))
    assert stats.kstest(drawn.ravel(), "norm").pvalue > 0.01
    flat = drawn.reshape(200, -1)
    correlations = np.corrcoef(flat.T) - np.eye(flat.shape[1])
    assert np.abs(correlations).max() < 0.35  # no draw is used twice


def samples(model, batch, key):
    return model._samples(model.output, batch, model.windows(batch), key)


def test_forecasts_of_paths_are_their_mean_and_quantiles():
    model = forecaster_of(decoder="recursive", output="gaussian", num_samples=50, quantiles=(0.1, 0.5, 0.9))
    batch = batch_of(SIZES, num=2)
    found = forecast_of(model, batch)
    paths = applied(samples, model, batch, jax.random.key(0))
    paths = np.asarray(paths).reshape(2, 2, 50, 5).transpose(0, 2, 3, 1)  # windows, paths, steps, columns
    np.testing.assert_allclose(found["point"], paths.mean(axis=1), rtol=1e-4, atol=1e-5)
    expected = np.moveaxis(np.quantile(paths, [0.1, 0.5, 0.9], axis=1), 0, -1)
    np.testing.assert_allclose(found["quantiles"], expected, rtol=1e-4, atol=1e-5)
