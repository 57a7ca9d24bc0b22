"""Networks that watch series: losses, and errors of whole series and of rows as they come, against loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rnn_jax import GRU
from rnn_jax.data.anomaly.codec import Encoded
from rnn_jax.data.anomaly.windows import Window
from rnn_jax.layers import Recurrent, Stack
from rnn_jax.models import anomaly_errors
from rnn_jax.models.anomaly_errors import errors_of, stream_of
from rnn_jax.models.watchers import StepForecaster, WindowAutoencoder

COLUMNS, INPUTS, HORIZON, CLIP = 2, 1, 2, 2.0
WINDOW = Window(5, 2)


def stack():
    return Stack(Recurrent(GRU(3)))


def forecaster(**options):
    arguments = {"horizon": HORIZON, "forecasts_changes": False, "has_missing": True, "clip": CLIP, "warm_up": 1}
    return StepForecaster(stack(), COLUMNS, INPUTS, rngs=nnx.Rngs(0), **arguments | options)


def autoencoder():
    return WindowAutoencoder(stack(), stack(), COLUMNS, INPUTS, has_missing=True, clip=CLIP, rngs=nnx.Rngs(0))


def series(rows, seed):
    rng = np.random.default_rng(seed)
    known = rng.random((rows, COLUMNS)) > 0.2
    values = np.where(known, rng.normal(size=(rows, COLUMNS)), 0)
    return Encoded(values.astype(np.float32), known, rng.normal(size=(rows, INPUTS)).astype(np.float32))


def batch_of(rows):
    return {name: jnp.asarray(array)[None] for name, array in rows._asdict().items()}


def applied(model):
    """What `Trained` does, without devices."""
    graph, params = nnx.split(model)
    run = jax.jit(lambda function, batch: function(nnx.merge(graph, params), batch), static_argnums=0)
    return lambda function, batch: run(function, jax.tree.map(jnp.asarray, batch))


def untrained_head(model, bias):
    """Outputs that are the bias alone."""
    model.head.w[...] = np.zeros_like(model.head.w[...])
    model.head.b[...] = np.asarray(bias, np.float32)
    return model


def from_the_start(model, batch):
    return model.forecasts(batch)


def as_one(model, batch):
    return model.reconstructions(batch)


def test_errors_are_those_of_forecasts_from_every_prefix(monkeypatch):
    """Chunks, batches of series of uneven lengths and carries between them change nothing."""
    monkeypatch.setattr(anomaly_errors, "_ROWS_AT_ONCE", 4)
    monkeypatch.setattr(anomaly_errors, "_SERIES_AT_ONCE", 2)
    model = forecaster()
    given = [series(9, 1), series(5, 2), series(3, 3)]
    apply = applied(model)
    found = errors_of(apply, model, given, WINDOW)
    for rows, errors in zip(given, found, strict=True):
        expected = np.full((len(rows.values), HORIZON, COLUMNS), np.nan)
        for t in range(len(rows.values)):
            read = np.arange(9) <= t
            padded = (np.resize(array, (9, array.shape[1])) for array in rows)
            prefix = Encoded(*(np.where(read[:, None], array, 0).astype(array.dtype) for array in padded))
            forecasts = np.asarray(apply(from_the_start, batch_of(prefix) | {"mask": read[None]})[1])[0, t]
            for h in range(HORIZON):
                if t + h + 1 < len(rows.values):
                    truth = np.where(rows.known[t + h + 1], rows.values[t + h + 1], np.nan)
                    expected[t + h + 1, h] = truth - forecasts[h]
        np.testing.assert_allclose(errors, expected.reshape(len(errors), -1), rtol=1e-5, atol=1e-6)


def test_changes_are_added_to_the_last_value_that_is_known():
    model = untrained_head(forecaster(forecasts_changes=True, horizon=1), [0.5, 0.0])
    values = np.array([[1, 3], [9, 0], [2, 0], [4, 1]], np.float32)
    known = np.array([[1, 1], [0, 1], [1, 0], [1, 1]], bool)
    rows = Encoded(np.where(known, values, 0), known, np.zeros((4, 1), np.float32))
    (errors,) = errors_of(applied(model), model, [rows], WINDOW)
    # Column 1 is 1, –, 2, 4; column 2 is 3, 0, –, 1. What is read is clipped at 2, what changes are from is not.
    np.testing.assert_allclose(errors, [[np.nan, np.nan], [np.nan, -3], [2 - 1.5, np.nan], [4 - 2.5, 1]], rtol=1e-6)


def test_the_loss_counts_known_values_of_normal_rows_after_the_warm_up():
    """Forecasts are the bias: 1 step ahead (0.5, 1), 2 ahead (−1, 0); row 4 is marked, the last batch row filler."""
    model = untrained_head(forecaster(warm_up=2), [0.5, 1.0, -1.0, 0.0])
    rows = series(6, 4)
    counts = np.array([1, 1, 1, 1, 0, 1], np.float32)
    batch = {name: jnp.stack([array, array]) for name, array in rows._asdict().items()}
    batch |= {"counts": jnp.stack([counts, counts]), "weights": jnp.array([1, 0], jnp.float32)}
    total, number = 0.0, 0
    for t in (2, 3, 5):
        for bias in ((0.5, 1.0), (-1.0, 0.0)):
            for c in range(COLUMNS):
                if rows.known[t, c]:
                    total += (np.clip(rows.values[t, c], -CLIP, CLIP) - bias[c]) ** 2
                    number += 1
    found = model.loss(batch)
    assert float(found[0]) == pytest.approx(total, rel=1e-5) and float(found[1]) == number


def test_an_autoencoders_errors_are_means_over_the_windows_around_a_row():
    model = autoencoder()
    rows = series(12, 5)
    apply = applied(model)
    (errors,) = errors_of(apply, model, [rows], WINDOW)
    sums, counts = np.zeros((12, COLUMNS)), np.zeros(12)
    for start in (0, 2, 4, 6, 7):  # every second row, and so that the last one ends with the series
        piece = Encoded(*(array[start : start + 5] for array in rows))
        found = np.asarray(apply(as_one, batch_of(piece)))[0]
        sums[start : start + 5] += np.abs(piece.values - found)
        counts[start : start + 5] += 1
    expected = np.where(rows.known, sums / counts[:, None], np.nan)
    np.testing.assert_allclose(errors, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [forecaster, autoencoder])
def test_errors_of_rows_that_come_in_are_those_of_the_whole(make):
    model = make()
    rows = series(11, 6)
    apply = applied(model)
    (whole,) = errors_of(apply, model, [rows], WINDOW)
    stream = stream_of(apply, model, WINDOW)
    pieces = [stream.push(Encoded(*(array[t : t + 1] for array in rows))) for t in range(11)]
    if make is forecaster:
        assert all(len(piece) == 1 for piece in pieces)
    rest = stream.finish()
    found = np.concatenate([piece for piece in (*pieces, rest) if len(piece)])
    np.testing.assert_allclose(found, whole, rtol=1e-5, atol=1e-6)
