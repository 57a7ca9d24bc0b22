"""What all forecasters promise: what is missing or padding is invisible, forecasts move with the window, all learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from forecast_batches import PLAIN, SIZES, applied, batch_of, forecast_of, forecaster_of, loss_of

KINDS = {
    "direct": {"decoder": "direct", "output": "student_t", "normalization": "revin"},
    "counts": {"decoder": "direct", "output": "negative_binomial", "num_samples": 3, "channels": "joint"},
    "segments": {"decoder": "segments", "output": "quantiles", "cell": ("lstm",), "series_embedding_size": 2},
    "recursive": {"decoder": "recursive", "cell": ("lstm_layer_norm",), "loss": "huber", "channels": "joint"},
    "deepar": {
        "decoder": "recursive",
        "output": "gaussian",
        "num_samples": 3,
        "cell": ("elman",),
        "encoder": {"num_layers": 2},
    },
    "attention": {"decoder": "attention", "output": "gaussian", "num_samples": 3, "encoder": {"bidirectional": True}},
}
NORMALIZED = {"direct": "revin", "segments": "last", "recursive": "revin", "attention": "last"}


def pointing(decoder):
    return forecaster_of(decoder=decoder, normalization=NORMALIZED[decoder], series_embedding_size=2)


def made(kind):
    return forecaster_of(**KINDS[kind]), batch_of(counts=kind == "counts")


def same(a, b, rtol=1e-5):
    """But for rounding, which goes by the largest number of an array."""
    for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=2e-6 * max(1, np.abs(y).max()))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_missing_or_filling_is_invisible(kind):
    """NaN behind the masks, and a row that only fills the batch, change neither loss, gradients nor forecasts."""
    model, batch = made(kind)
    filler = jax.tree.map(lambda leaf: leaf[:1], batch_of(seed=1)) | {"weights": jnp.zeros(1)}
    longer = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), batch, filler)
    for name in ("past", "target"):
        longer[name] = jnp.where(longer[f"{name}_mask"], longer[name], jnp.nan)
    same(loss_of(model, longer), loss_of(model, batch))
    found = forecast_of(model, longer)
    same(jax.tree.map(lambda leaf: leaf[:-1], found), forecast_of(model, batch))
    assert np.isfinite(found["point"]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_every_parameter(kind):
    model, batch = made(kind)
    _, gradients = loss_of(model, batch)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
        assert np.abs(leaf).max() > 0, jax.tree_util.keystr(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_window_without_any_value_is_forecast(kind):
    model, batch = made(kind)
    batch = batch | {"past_mask": jnp.zeros_like(batch["past_mask"])}
    loss, gradients = loss_of(model, batch)
    assert np.isfinite([loss, *(np.abs(leaf).max() for leaf in jax.tree.leaves(gradients))]).all()
    assert all(np.isfinite(leaf).all() for leaf in forecast_of(model, batch).values())


@pytest.mark.parametrize("decoder", NORMALIZED)
def test_a_constant_added_to_a_window_is_added_to_its_forecast(decoder):
    model, batch = pointing(decoder), batch_of()
    shift = jnp.array([[[3.0, -2.0]]])
    found = forecast_of(model, batch | {"past": batch["past"] + shift})["point"]
    np.testing.assert_allclose(found, forecast_of(model, batch)["point"] + shift, rtol=1e-4, atol=1e-4)


def test_revin_and_mean_abs_forecast_in_the_units_of_the_window():
    batch = batch_of()
    for normalization, atol in (("mean_abs", 1e-5), ("revin", 1e-3)):  # ε of the variance is no part of the units
        model = forecaster_of(normalization=normalization, series_embedding_size=2)
        found = forecast_of(model, batch | {"past": 4 * batch["past"]})["point"]
        np.testing.assert_allclose(found, 4 * forecast_of(model, batch)["point"], rtol=1e-3, atol=4 * atol)


def test_a_column_of_its_own_sees_no_other():
    """Independent columns: another first column leaves the second one's forecast; joint ones share a sequence."""
    batch = batch_of(PLAIN)
    other = batch | {"past": batch["past"].at[..., 0].add(jnp.arange(7.0)[None])}
    for channels, unchanged in (("independent", True), ("joint", False)):
        model = forecaster_of(PLAIN, channels=channels)
        first, second = (forecast_of(model, each)["point"] for each in (batch, other))
        assert np.array_equal(first[..., 1], second[..., 1]) == unchanged
        assert not np.array_equal(first[..., 0], second[..., 0])


@pytest.mark.parametrize("name", ["past_features", "future_features", "static", "series"])
@pytest.mark.parametrize("decoder", NORMALIZED)
def test_covariates_are_read(decoder, name):
    """Features of the last future step reach its forecast, and none before it where steps come one after another."""
    model, batch = pointing(decoder), batch_of()
    last = (batch[name] + 1) % 4 if name == "series" else batch[name].at[:, -1:].add(1.0)
    before, after = (forecast_of(model, each)["point"] for each in (batch, batch | {name: last}))
    changed = np.abs(before - after).max(axis=(0, 2)) > 1e-6
    assert changed[-1]
    if name == "future_features" and decoder != "segments":
        np.testing.assert_array_equal(changed[:-1], False)


def mean_of_counts(model, batch):
    windows = model.windows(batch)
    return model.output.distribution(model.decoder(windows), windows.units).mean()


def test_counts_are_counted_in_the_units_of_the_data():
    """The scale of the batch changes no likelihood, and the mean of many draws is that of the distribution."""
    model, batch = forecaster_of(output="negative_binomial", num_samples=400, channels="joint"), batch_of(counts=True)
    scaled = batch | {"location": jnp.full((3, 2), 2.0), "scale": jnp.full((3, 2), 4.0)}
    scaled |= {name: (batch[name] - 2) / 4 for name in ("past", "target")}
    same(loss_of(model, scaled), loss_of(model, batch), rtol=1e-4)
    expected = applied(mean_of_counts, model, batch)
    found = forecast_of(model, scaled)
    np.testing.assert_allclose(4 * found["point"] + 2, expected, rtol=0.3)
    counts = np.asarray(4 * found["quantiles"] + 2)
    assert counts.min() >= -1e-5 and (np.diff(counts, axis=-1) >= 0).all()


def test_dropout_needs_a_key_and_forecasts_have_none():
    model, batch = forecaster_of(head_dropout=0.5, encoder={"recurrent_dropout": 0.5}), batch_of()
    losses = [float(loss_of(model, batch, key)[0]) for key in (None, None, jax.random.key(0), jax.random.key(1))]
    assert losses[0] == losses[1] and len(set(losses)) == 3
    first, second = (forecast_of(model, batch, seed)["point"] for seed in (0, 1))
    np.testing.assert_array_equal(first, second)


def test_draws_need_a_key():
    model = forecaster_of(output="negative_binomial")
    with pytest.raises(ValueError, match="give forecast a key"):
        model.forecast(batch_of(counts=True))


def test_layers_are_all_of_the_network():
    model = pointing("direct")
    _, gradients = loss_of(model, batch_of(SIZES))
    first = {str(path[0].key) for path, _ in jax.tree_util.tree_leaves_with_path(gradients)}
    assert first == {name for layer in model.LAYERS for name in layer}
