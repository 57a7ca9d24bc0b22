"""The plateau's factor on the updates, beside optax without it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rnn_jax.training.optimizer import make_optimizer
from rnn_jax.training.optimizer_config import OPTIMIZERS, OptimizerConfig
from rnn_jax.training.plateau import PlateauState, learning_rate_scale, reduce_learning_rate, scale_by_plateau

STEPS = 6


def problem():
    rng = np.random.default_rng(0)
    params = {"w": jnp.asarray(rng.normal(size=(3, 2)), jnp.float32), "b": jnp.asarray(rng.normal(size=2), jnp.float32)}
    grads = [jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape), jnp.float32), params) for _ in range(STEPS)]
    return params, grads


def updates_of(optimizer, factors=()):
    """The updates of fixed parameters; before step t the learning rate is reduced by the factors[t] that there are."""
    params, grads = problem()
    state, updates = optimizer.init(params), []
    for t, gradient in enumerate(grads):
        for factor in dict(factors).get(t, ()):
            state = reduce_learning_rate(state, factor)
        update, state = optimizer.update(gradient, state, params)
        updates.append(jax.tree.map(np.asarray, update))
    return updates, state


def test_updates_are_those_of_optax_times_the_factor():
    """Bit for bit: 0.3 isn't a power of two, and momentum remembers updates from before the reductions."""
    inner = optax.sgd(0.1, momentum=0.9)
    plain, _ = updates_of(inner)
    reduced, state = updates_of(optax.chain(inner, scale_by_plateau()), {2: [0.3], 4: [0.3, 0.5]}.items())
    once = np.float32(0.3)
    thrice = once * np.float32(0.3) * np.float32(0.5)
    for update, expected, scale in zip(reduced, plain, [1, 1, once, once, thrice, thrice], strict=True):
        for name in ("w", "b"):
            assert update[name].dtype == np.float32
            np.testing.assert_array_equal(update[name], expected[name] * np.float32(scale))
    assert learning_rate_scale(state) == float(thrice)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_rule_obeys_on_top_of_its_schedule(optimizer):
    config = OptimizerConfig(optimizer=optimizer, learning_rate=0.1, schedule="exponential", decay_steps=3, l2=0.1)
    with_plateau = OptimizerConfig(**vars(config) | {"plateau_patience": 3})
    plain, state = updates_of(make_optimizer(config, STEPS))
    assert learning_rate_scale(state) == 1.0
    reduced, state = updates_of(make_optimizer(with_plateau, STEPS), {3: [0.25]}.items())
    assert learning_rate_scale(state) == 0.25
    for t, (update, expected) in enumerate(zip(reduced, plain, strict=True)):
        for name in ("w", "b"):
            np.testing.assert_array_equal(update[name], expected[name] * np.float32(0.25 if t >= 3 else 1))


def test_decoupled_weight_decay_falls_with_the_learning_rate():
    """w ← w − lr · scale · decay · w where there is no gradient: 0.5 · 0.1 · 0.2 · 4 = 0.04."""
    config = OptimizerConfig(optimizer="adamw", learning_rate=0.5, weight_decay=0.2, plateau_patience=1)
    optimizer, params = make_optimizer(config, STEPS), {"w": jnp.full((1, 1), 4.0)}
    state = reduce_learning_rate(optimizer.init(params), 0.1)
    updates, _ = optimizer.update({"w": jnp.zeros((1, 1))}, state, params)
    assert float(updates["w"][0, 0]) == pytest.approx(-0.04, rel=1e-6)


def test_only_the_scale_of_the_state_changes():
    config = OptimizerConfig(optimizer="adam", clip_global_norm=1.0, plateau_patience=2)
    _, state = updates_of(make_optimizer(config, STEPS))
    reduced = reduce_learning_rate(state, 0.3)
    assert jax.tree.structure(reduced) == jax.tree.structure(state)
    changed = {
        jax.tree_util.keystr(path): (float(old), float(new))
        for (path, old), new in zip(jax.tree_util.tree_leaves_with_path(state), jax.tree.leaves(reduced), strict=True)
        if np.asarray(old).tobytes() != np.asarray(new).tobytes() or old.dtype != new.dtype
    }
    (values,) = changed.values()
    assert values == (1.0, float(np.float32(0.3)))
    assert learning_rate_scale(state) == 1.0  # the state given is left alone


def test_an_optimizer_without_a_plateau_has_scale_one_and_no_state_of_it():
    params, _ = problem()
    for optimizer in (optax.sgd(0.1), make_optimizer(OptimizerConfig(), STEPS)):
        state = optimizer.init(params)
        assert learning_rate_scale(state) == 1.0
        halved = reduce_learning_rate(state, 0.5)
        assert learning_rate_scale(halved) == 1.0
        nodes = jax.tree.leaves(halved, is_leaf=lambda node: isinstance(node, PlateauState))
        assert not any(isinstance(node, PlateauState) for node in nodes)
    assert learning_rate_scale(optax.chain(optax.sgd(0.1), scale_by_plateau()).init(params)) == 1.0


def test_a_compiled_step_obeys_without_compiling_anew():
    optimizer, compilations = optax.chain(optax.sgd(1.0), scale_by_plateau()), []

    @jax.jit
    def update(grads, state):
        compilations.append(1)
        return optimizer.update(grads, state)

    grads = {"w": jnp.array([2.0, -4.0])}
    state = optimizer.init(grads)
    for expected in ([-2.0, 4.0], [-1.0, 2.0], [-0.5, 1.0]):
        updates, state = update(grads, state)
        np.testing.assert_array_equal(updates["w"], expected)
        state = reduce_learning_rate(state, 0.5)
        (scale,) = jax.tree.leaves(state)
        assert scale.dtype == jnp.float32 and scale.shape == () and not scale.weak_type
    assert len(compilations) == 1


def test_updates_keep_their_dtype_and_the_scale_its_own():
    transformation = scale_by_plateau()
    state = reduce_learning_rate(transformation.init(None), 0.25)
    updates, state = transformation.update({"w": jnp.array([8.0, 1.0], jnp.bfloat16)}, state)
    assert updates["w"].dtype == jnp.bfloat16 and state.scale.dtype == jnp.float32
    np.testing.assert_array_equal(updates["w"].astype(jnp.float32), [2.0, 0.25])
