"""What networks that watch series minimise, and that far values stay no error for ever, against loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rnn_jax import GRU
from rnn_jax.data.anomaly.codec import fit_anomaly_codec
from rnn_jax.data.anomaly.parts import AnomalyPart
from rnn_jax.data.anomaly.windows import Window
from rnn_jax.data.series.series import Columns, Series, SeriesSet
from rnn_jax.layers import Recurrent, Stack
from rnn_jax.models.anomaly_errors import errors_of
from rnn_jax.models.anomaly_score import mean_loss, part_errors
from rnn_jax.models.watchers import StepForecaster

ROWS, HORIZON, CLIP = 9, 2, 2.0
WINDOW = Window(5, 2)
VALUES = np.array([0.5, -1, np.nan, 7, 8, 1, np.nan, -3, 0.25])


def forecaster(*, horizon=HORIZON, changes=True, loss="mse"):
    return StepForecaster(
        Stack(Recurrent(GRU(3))), 1, 0, horizon=horizon, forecasts_changes=changes, has_missing=True, clip=CLIP,
        warm_up=0, loss=loss, rngs=nnx.Rngs(0),
    )  # fmt: skip


def applied(model):
    graph, params = nnx.split(model)
    run = jax.jit(lambda function, batch: function(nnx.merge(graph, params), batch), static_argnums=0)
    return lambda function, batch: run(function, jax.tree.map(jnp.asarray, batch))


@pytest.fixture(scope="module")
def part():
    """One series, unscaled, of which every row counts."""
    series = (Series("", VALUES[:, None], None, np.zeros((ROWS, 0)), np.zeros((ROWS, 0))),)
    data = SeriesSet("made", series, Columns(("x",)))
    codec, _ = fit_anomaly_codec(data, [ROWS], "none", has_missing=True)
    return AnomalyPart("validation", codec, series, np.array([(0, ROWS)]))


def test_an_untrained_forecaster_of_changes_repeats_the_last_value(part):
    """Whatever it reads: a value that stays far out is an error once, when it comes."""
    model = forecaster(horizon=1)
    (errors,) = part_errors(applied(model), model, part, WINDOW)
    nan = np.nan
    np.testing.assert_allclose(errors[:, 0], [nan, -1.5, nan, 8, 1, -7, nan, -4, 3.25], rtol=1e-6)


@pytest.mark.parametrize("changes", [False, True])
@pytest.mark.parametrize(("loss", "size"), [("mse", np.square), ("mae", np.abs)])
def test_validation_measures_what_training_minimises(part, changes, loss, size):
    """Of forecasts b_h, or of changes by b_h, all values within ±2, over the rows that are known."""
    model, bias = forecaster(changes=changes, loss=loss), (0.5, -1.0)
    model.head.w[...] = np.zeros_like(model.head.w[...])
    model.head.b[...] = np.array(bias, np.float32)
    seen = np.clip(VALUES, -CLIP, CLIP)
    last, found = 0.0, []
    for t in range(ROWS):
        last = last if np.isnan(seen[t]) else seen[t]
        for h, value in enumerate(bias, start=1):
            if t + h < ROWS and not np.isnan(seen[t + h]):
                found.append(size(value + changes * last - seen[t + h]))
    encoded = part.codec.encode_series(part.series[0])
    batch = {name: jnp.asarray(array)[None] for name, array in encoded._asdict().items()}
    total, number = model.loss(batch | {"counts": jnp.ones((1, ROWS)), "weights": jnp.ones(1)})
    assert float(number) == len(found) and float(total) == pytest.approx(sum(found), rel=1e-5)
    errors = errors_of(applied(model), model, [encoded], WINDOW)
    assert mean_loss(model, part, errors) == pytest.approx(np.mean(found), rel=1e-5)
