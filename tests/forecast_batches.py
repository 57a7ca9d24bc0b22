"""Batches of made-up windows, and forecasters that read them: shared by the tests of forecasting networks."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from oracles.jitting import quick_jit

from rnn_jax.models.forecast_sizes import SeriesSizes
from rnn_jax.models.forecaster_config import ForecasterConfig
from rnn_jax.models.make_forecaster import make_forecaster
from rnn_jax.models.recurrent_config import RecurrentConfig

SIZES = SeriesSizes(
    context_length=7,
    horizon=5,
    num_targets=2,
    num_past_features=3,
    num_future_features=3,
    num_static=1,
    num_series=4,
    has_missing=True,
)
PLAIN = SeriesSizes(context_length=7, horizon=5, num_targets=2)


def batch_of(sizes=SIZES, num=3, seed=0, counts=False):
    """`num` windows; of sizes with missing values, some are missing in past and target."""
    rng = np.random.default_rng(seed)
    length, horizon, columns = sizes[:3]

    def normal(*shape):
        return rng.normal(size=(num, *shape)).astype(np.float32)

    def values(*shape):
        return rng.poisson(3.0, (num, *shape)).astype(np.float32) if counts else normal(*shape)

    batch = {
        "past": values(length, columns),
        "past_mask": rng.random((num, length, columns)) > 0.3 * sizes.has_missing,
        "past_features": normal(length, sizes.num_past_features),
        "future_features": normal(horizon, sizes.num_future_features),
        "static": normal(sizes.num_static),
        "series": rng.integers(0, sizes.num_series, num).astype(np.int32),
        "target": values(horizon, columns),
        "target_mask": rng.random((num, horizon, columns)) > 0.3 * sizes.has_missing,
        "location": np.zeros((num, columns), np.float32),
        "scale": np.ones((num, columns), np.float32),
        "weights": np.ones(num, np.float32),
    }
    batch["past"] = np.where(batch["past_mask"], batch["past"], 0)
    return jax.tree.map(jnp.asarray, batch)


def forecaster_of(sizes=SIZES, *, cell=("gru",), hidden_size=(6,), encoder=None, **knobs):
    recurrent = dataclasses.replace(RecurrentConfig(), cell=cell, hidden_size=hidden_size, **(encoder or {}))
    if knobs.get("decoder") == "segments":
        knobs.setdefault("segment_length", 3)
    return make_forecaster(recurrent, ForecasterConfig(**knobs), sizes, nnx.Rngs(0))


@functools.partial(quick_jit, static_argnums=0)
def _loss(graph, params, batch, key):
    def mean_loss(params):
        total, weight = nnx.merge(graph, params).loss(batch, key)
        return total / weight

    return jax.value_and_grad(mean_loss)(params)


@functools.partial(quick_jit, static_argnums=0)
def _forecast(graph, params, batch, key):
    return nnx.merge(graph, params).forecast(batch, key)


@functools.partial(quick_jit, static_argnums=(0, 1))
def _applied(function, graph, params, arguments):
    return function(nnx.merge(graph, params), *arguments)


def loss_of(model, batch, key=None):
    """Mean loss and its gradient."""
    return _loss(*nnx.split(model), batch, key)


def forecast_of(model, batch, seed=0):
    return _forecast(*nnx.split(model), batch, jax.random.key(seed))


def applied(function, model, *arguments):
    """function(model, *arguments), compiled."""
    return _applied(function, *nnx.split(model), arguments)


def array(param):
    """Of an `nnx.Param`, in float64."""
    return np.asarray(param.get_value(), np.float64)
