"""The train state: updates, gradient norm and debiased averages by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rnn_jax.training.state import apply_gradients, create_state, evaluation_params, global_norm


@pytest.fixture(autouse=True)
def strict():
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


def test_two_steps_by_hand():
    optimizer = optax.chain(optax.clip(1.0), optax.sgd(0.5))
    state = create_state({"w": jnp.array([1.0, 2.0])}, optimizer)
    assert state.ema is None and evaluation_params(state) is state.params
    state, metrics = apply_gradients(state, {"w": jnp.array([3.0, 4.0])}, optimizer)
    assert float(metrics["gradient_norm"]) == 5.0  # before clipping
    np.testing.assert_array_equal(state.params["w"], [0.5, 1.5])
    state, _ = apply_gradients(state, {"w": jnp.array([0.0, 1.0])}, optimizer)
    np.testing.assert_array_equal(state.params["w"], [0.5, 1.0])
    assert int(state.step) == 2 and state.step.dtype == jnp.int32


def test_a_factor_of_the_learning_rate_comes_after_clipping():
    optimizer = optax.chain(optax.clip(1.0), optax.sgd(0.5))
    state = create_state({"w": jnp.array([1.0, 2.0])}, optimizer)
    state, _ = apply_gradients(state, {"w": jnp.array([3.0, 0.5])}, optimizer, rate_factor=jnp.float32(0.5))
    np.testing.assert_array_equal(state.params["w"], [0.75, 1.875])


def test_average_is_debiased():
    """w = 1, 2, 3 after the updates and d = ½: Σ ½^(3−i) w_i / Σ ½^(3−i) = (¼·1 + ½·2 + 1·3) / 1¾."""
    optimizer = optax.sgd(1.0)
    state = create_state({"w": jnp.zeros(())}, optimizer, 0.5)
    assert float(evaluation_params(state, 0.5)["w"]) == 0.0
    averages = []
    for _ in range(3):
        state, _ = apply_gradients(state, {"w": -jnp.ones(())}, optimizer, 0.5)
        averages.append(float(evaluation_params(state, 0.5)["w"]))
    np.testing.assert_allclose(averages, [1.0, (0.5 + 2.0) / 1.5, (0.25 + 1.0 + 3.0) / 1.75], rtol=1e-6)


@pytest.mark.parametrize("decay", [0.9, 0.999, 0.99999])
def test_average_of_constant_weights_is_the_weights(decay):
    optimizer = optax.sgd(0.0)
    state = create_state({"w": jnp.full((4,), 0.7)}, optimizer, decay)

    @jax.jit
    def update(state):
        return apply_gradients(state, {"w": jnp.ones(4)}, optimizer, decay)[0]

    for _ in range(5):
        state = update(state)
        np.testing.assert_allclose(evaluation_params(state, decay)["w"], 0.7, rtol=3e-5)


def test_before_any_update_the_weights_are_evaluated():
    state = create_state({"w": jnp.full((2,), 3.0)}, optax.sgd(0.1), 0.99)
    np.testing.assert_array_equal(evaluation_params(state, 0.99)["w"], [3.0, 3.0])


def test_ensembles_by_vmap_equal_single_runs():
    optimizer = optax.adam(0.1)
    params = {"w": jnp.arange(6.0).reshape(3, 2)}
    grads = {"w": jnp.array([[1.0, 2.0], [0.0, -1.0], [3.0, 0.5]])}

    def one(params, grads):
        with jax.numpy_dtype_promotion("standard"):  # optax itself needs it
            state = create_state(params, optimizer, 0.9)
            state, metrics = apply_gradients(state, grads, optimizer, 0.9)
        return evaluation_params(state, 0.9), metrics["gradient_norm"]

    together, norms = jax.vmap(one)(params, grads)
    for member in range(3):
        alone, norm = one({"w": params["w"][member]}, {"w": grads["w"][member]})
        np.testing.assert_allclose(together["w"][member], alone["w"], rtol=1e-6)
        np.testing.assert_allclose(norms[member], norm, rtol=1e-6)


def test_global_norm_accumulates_in_float32():
    tree = {"a": jnp.full((1000,), 1.0, jnp.bfloat16), "b": [jnp.full((2, 3), 2.0)]}
    np.testing.assert_allclose(float(global_norm(tree)), np.sqrt(1000 + 24), rtol=1e-6)
    assert global_norm(tree).dtype == jnp.float32 and float(global_norm({})) == 0.0
