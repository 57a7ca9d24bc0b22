"""ensemble: the numbers of separate calls, by either method; what is shared stays shared; messages."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles.jitting import environment_of_devices

from rnn_jax import GRU, LSTM, Bidirectional, Stack, lengths_to_mask
from rnn_jax.analysis import ensembles
from rnn_jax.analysis.ensembles import ensemble

SEEDS = 3
METHODS = ("vmap", "map", "auto")


def stacked(init):
    return jax.vmap(init)(jax.random.split(jax.random.key(0), SEEDS))


def assert_equals_separate_calls(combined, separate):
    for index, expected in enumerate(separate):
        jax.tree.map(
            lambda a, b, i=index: np.testing.assert_allclose(a[i], b, rtol=2e-5, atol=1e-6), combined, expected
        )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stack", [Stack(LSTM(5)), Stack(Bidirectional(GRU(4)), LSTM(3))], ids=["one", "two"])
def test_train_steps_of_an_ensemble_are_those_of_its_models(method, stack):
    xs = jax.random.normal(jax.random.key(1), (SEEDS, 2, 7, 6))
    mask = lengths_to_mask(jnp.array([7, 3]), 7)  # the same for all models
    optimizer = optax.sgd(0.1, momentum=0.9)

    def step(state, xs, mask):
        params, moments = state
        loss, grads = jax.value_and_grad(lambda p: jnp.square(stack.apply(p, xs, mask=mask)[1]).sum())(params)
        updates, moments = optimizer.update(grads, moments)
        return (optax.apply_updates(params, updates), moments), loss

    params = stacked(lambda key: stack.init(key, 6))
    state = (params, jax.vmap(optimizer.init)(params))
    together, alone = jax.jit(ensemble(step, method, in_axes=(0, 0, None))), jax.jit(step)
    states = [jax.tree.map(lambda leaf, i=i: leaf[i], state) for i in range(SEEDS)]
    for _ in range(3):
        state, losses = together(state, xs, mask)
        states, expected = zip(*(alone(s, xs[i], mask) for i, s in enumerate(states)), strict=True)
        assert_equals_separate_calls((state, losses), zip(states, expected, strict=True))
    assert len({float(loss) for loss in losses}) == SEEDS


@pytest.mark.parametrize("method", METHODS)
def test_keys_hyperparameters_and_keyword_arguments(method):
    def noisy(key, rate, offset, *, scale):
        return {"y": rate * jax.random.normal(key, (4,)) + offset, "scale": scale * offset}

    keys, rates = jax.random.split(jax.random.key(2), SEEDS), np.array([0.0, 1.0, 10.0], np.float32)
    scales = jnp.arange(3.0)
    result = jax.jit(ensemble(noisy, method, in_axes=(0, 0, None)))(keys, rates, 5.0, scale=scales)
    assert_equals_separate_calls(result, [noisy(keys[i], rates[i], 5.0, scale=scales[i]) for i in range(SEEDS)])
    np.testing.assert_allclose(result["y"][0], 5.0)
    np.testing.assert_allclose(result["scale"], [0.0, 5.0, 10.0])


@pytest.mark.parametrize("method", METHODS)
def test_gradients_go_through_it(method):
    """Σ_s Σ (w_s · x)², by hand: 2 (w_s · x) x for each model, and 2 Σ_s (w_s · x) w_s for what they share."""
    w, x = jnp.array([[1.0, 2.0], [3.0, -1.0], [0.0, 1.0]]), jnp.array([2.0, 1.0])
    function = ensemble(lambda w, x: jnp.square(w @ x), method, in_axes=(0, None))
    dw, dx = jax.jit(jax.grad(lambda w, x: function(w, x).sum(), argnums=(0, 1)))(w, x)
    np.testing.assert_allclose(dw, [[16.0, 8.0], [20.0, 10.0], [4.0, 2.0]])
    np.testing.assert_allclose(dx, [2 * (4 * 1 + 5 * 3 + 0), 2 * (4 * 2 + 5 * -1 + 1 * 1)])


def test_the_methods_are_what_they_are_called():
    """map keeps the matmul of one model inside a loop, vmap has one batched matmul and no loop."""
    w, x = jnp.ones((SEEDS, 2, 2)), jnp.ones((2, 2))

    def operations(method):
        text = str(jax.make_jaxpr(ensemble(jnp.matmul, method, in_axes=(0, None)))(w, x))
        return "scan[" in text, f"f32[{SEEDS},2,2] = dot_general" in text

    assert operations("map") == (True, False)
    assert operations("vmap") == (False, True)
    assert operations("auto") == operations("map")  # tests run on a CPU


EIGHT_DEVICES = """
import jax, jax.numpy as jnp, numpy as np, pytest
from jax.sharding import Mesh
from rnn_jax import GRU, scan_cell
from rnn_jax.scanning.plan import join_steps
from rnn_jax.analysis.ensembles import ensemble

cell, joined = GRU(5), []
xs, weights = jax.random.normal(jax.random.key(1), (16, 3, 7, 2)), jnp.arange(5.0)

def gradient(params, xs, weights):
    joined.append(join_steps())
    loss = lambda params, weights: jnp.sum((scan_cell(cell, params, xs)[1] @ weights) ** 2)
    return jax.grad(loss, argnums=(0, 1))(params, weights)

params = jax.vmap(lambda key: cell.init(key, 2))(jax.random.split(jax.random.key(0), 16))
mesh = Mesh(np.asarray(jax.devices()).reshape(4, 2), ("a", "b"))
expected = [jax.jit(gradient)(jax.tree.map(lambda leaf: leaf[i], params), xs[i], weights) for i in range(16)]
assert not any(joined)
for method in ("vmap", "map"):
    joined.clear()
    together = jax.jit(ensemble(gradient, method, in_axes=(0, 0, None), mesh=mesh))
    result = together(params, xs, weights)
    assert joined and all(joined)  # each device works for itself
    for leaf in jax.tree.leaves(result):
        assert len(leaf.sharding.device_set) == 8 and leaf.addressable_shards[0].data.shape[0] == 2
    for i, single in enumerate(expected):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a[i], b, rtol=2e-5, atol=1e-5), result, single)
    program = together.lower(*jax.tree.map(jnp.asarray, (params, xs, weights))).compile().as_text()
    assert not any(word in program for word in ("all-reduce", "all-gather", "all-to-all", "permute(")), method

total = ensemble(lambda w, x: jnp.square(w @ x), "map", in_axes=(0, None), mesh=mesh)
w, x = jax.random.normal(jax.random.key(2), (8, 3)), jnp.array([2.0, 1.0, -1.0])
dx = jax.jit(jax.grad(lambda x: total(w, x).sum()))(x)
np.testing.assert_allclose(dx, 2 * (w @ x) @ w, rtol=1e-5)
with pytest.raises(ValueError, match="12 models cannot be split evenly over 8 devices"):
    total(w.repeat(2, axis=0)[:12], x)
"""


def test_a_mesh_shares_the_models():
    environment = environment_of_devices(8)
    result = subprocess.run([sys.executable, "-c", EIGHT_DEVICES], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]


def test_one_after_the_other_on_a_cpu_together_elsewhere():
    assert [ensembles.choose_method(platform) for platform in ("cpu", "gpu", "tpu")] == ["map", "vmap", "vmap"]


@pytest.mark.parametrize("method", METHODS)
def test_messages(method):
    def add(*args, **kwargs):
        return sum(args) + sum(kwargs.values())

    with pytest.raises(ValueError, match="in_axes has 2 entries for 1 positional"):
        ensemble(add, method, in_axes=(0, 0))(jnp.ones(3))
    with pytest.raises(ValueError, match=r"\(2,\), \(3,\)"):
        ensemble(add, method)(jnp.ones(3), jnp.ones(2))
    with pytest.raises(ValueError, match="leading axis"):
        ensemble(add, method)(jnp.ones(3), jnp.ones(()))
    with pytest.raises(ValueError, match="no mapped argument"):
        ensemble(add, method, in_axes=None)(jnp.ones(3))
    with pytest.raises(ValueError, match="axis of the models is 0"):
        ensemble(add, method, in_axes=1)


def test_unknown_method():
    with pytest.raises(ValueError, match="No method 'pmap'; there are: auto, vmap, map"):
        ensemble(jnp.sum, "pmap")
