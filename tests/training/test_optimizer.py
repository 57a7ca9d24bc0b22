"""Optimisers and schedules against numbers by hand, NumPy and torch."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_jax.config import with_overrides
from rnn_jax.errors import UserError
from rnn_jax.training.optimizer import make_optimizer, make_schedule
from rnn_jax.training.optimizer_config import OPTIMIZERS, OptimizerConfig
from rnn_jax.training.state import apply_gradients, create_state, evaluation_params, global_norm

STEPS = 6


@pytest.fixture(autouse=True)
def strict():
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


def problem() -> tuple[dict[str, np.ndarray], list[dict[str, np.ndarray]]]:
    rng = np.random.default_rng(0)
    params = {"w": rng.normal(size=(3, 2)).astype(np.float32), "b": rng.normal(size=2).astype(np.float32)}
    return params, [
        {k: (3 * rng.normal(size=v.shape)).astype(np.float32) for k, v in params.items()} for _ in range(STEPS)
    ]


def run(config: OptimizerConfig, total_steps: int = STEPS) -> dict[str, np.ndarray]:
    start, gradients = problem()
    optimizer = make_optimizer(config, total_steps)
    params = jax.tree.map(jnp.asarray, start)
    state = optimizer.init(params)

    @jax.jit
    def update(params, state, grads):
        updates, state = optimizer.update(grads, state, params)
        return jax.tree.map(jnp.add, params, updates), state

    for grads in gradients:
        params, state = update(params, state, grads)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))
    return {name: np.asarray(value) for name, value in params.items()}


def run_numpy(config: OptimizerConfig, rates: list[float] | None = None) -> dict[str, np.ndarray]:
    """The equations of the module's docstring, in float64, one array at a time (no global-norm clipping here)."""
    start, gradients = problem()
    result = {}
    for name, w in start.items():
        w = w.astype(np.float64)
        m, s, is_weight = np.zeros_like(w), np.zeros_like(w), w.ndim >= 2
        for t, grads in enumerate(gradients):
            g = grads[name].astype(np.float64)
            if config.clip_value:
                g = np.clip(g, -config.clip_value, config.clip_value)
            if is_weight:
                g = g + config.l2 * w + config.l1 * np.sign(w)
            beta1, beta2, epsilon = config.beta1, config.beta2, config.epsilon
            match config.optimizer:
                case "sgd":
                    u = g
                case "momentum":
                    m = config.momentum * m + g
                    u = m
                case "adagrad":
                    s = s + g**2
                    u = g / np.sqrt(s + epsilon**2)
                case "rmsprop":
                    s = beta2 * s + (1 - beta2) * g**2
                    u = g / (np.sqrt(s) + epsilon)
                case _:
                    m = beta1 * m + (1 - beta1) * g
                    s = beta2 * s + (1 - beta2) * g**2
                    u = m / (1 - beta1 ** (t + 1)) / (np.sqrt(s / (1 - beta2 ** (t + 1))) + epsilon)
            if config.optimizer == "adamw" and is_weight:
                u = u + config.weight_decay * w
            w = w - (config.learning_rate if rates is None else rates[t]) * u
        result[name] = w
    return result


def assert_close(actual: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    for name, value in expected.items():
        np.testing.assert_allclose(actual[name], value, rtol=2e-5, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_rules_equal_numpy(optimizer):
    config = OptimizerConfig(optimizer=optimizer, learning_rate=0.05, momentum=0.8, beta1=0.7, beta2=0.9, epsilon=1e-3)
    assert_close(run(config), run_numpy(config))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_rules_with_penalties_clipping_and_decay_equal_numpy(optimizer):
    decay = 0.3 if optimizer == "adamw" else 0.0
    config = OptimizerConfig(
        optimizer=optimizer, learning_rate=0.05, beta2=0.9, clip_value=1.5, l1=0.2, l2=0.1, weight_decay=decay
    )
    assert_close(run(config), run_numpy(config))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_rules_equal_torch(optimizer):
    torch = pytest.importorskip("torch")
    start, gradients = problem()
    parameters = {name: torch.nn.Parameter(torch.tensor(value)) for name, value in start.items()}
    weight, bias = [parameters["w"]], [parameters["b"]]
    decay = 0.2 if optimizer == "adamw" else 0.0
    groups = [{"params": weight, "weight_decay": decay}, {"params": bias, "weight_decay": 0.0}]
    reference = {
        "sgd": lambda: torch.optim.SGD(groups, lr=0.1),
        "momentum": lambda: torch.optim.SGD(groups, lr=0.1, momentum=0.9),
        "adagrad": lambda: torch.optim.Adagrad(groups, lr=0.1),
        "rmsprop": lambda: torch.optim.RMSprop(groups, lr=0.1, alpha=0.95),
        "adam": lambda: torch.optim.Adam(groups, lr=0.1, betas=(0.9, 0.95)),
        "adamw": lambda: torch.optim.AdamW(groups, lr=0.1, betas=(0.9, 0.95)),
    }[optimizer]()
    for grads in gradients:
        for name, gradient in grads.items():
            parameters[name].grad = torch.tensor(gradient)
        reference.step()
    config = OptimizerConfig(optimizer=optimizer, learning_rate=0.1, beta2=0.95, weight_decay=decay)
    assert_close(run(config), {name: value.detach().numpy() for name, value in parameters.items()})


def test_l2_equals_torch_weight_decay_after_norm_clipping():
    """Also fixes the order: torch clips the data gradient, then adds the penalty."""
    torch = pytest.importorskip("torch")
    start, gradients = problem()
    parameters = {name: torch.nn.Parameter(torch.tensor(value)) for name, value in start.items()}
    groups = [{"params": [parameters["w"]], "weight_decay": 0.5}, {"params": [parameters["b"]], "weight_decay": 0.0}]
    reference = torch.optim.SGD(groups, lr=0.1)
    for grads in gradients:
        for name, gradient in grads.items():
            parameters[name].grad = torch.tensor(gradient)
        torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        reference.step()
    config = OptimizerConfig(optimizer="sgd", learning_rate=0.1, l2=0.5, clip_global_norm=1.0)
    assert_close(run(config), {name: value.detach().numpy() for name, value in parameters.items()})


def one_sgd_step(config: OptimizerConfig, params: dict, grads: dict) -> dict:
    optimizer = make_optimizer(config, 10)
    params, grads = ({name: jnp.asarray(value) for name, value in tree.items()} for tree in (params, grads))
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    return {name: np.asarray(value).tolist() for name, value in updates.items()}


def test_clipping_by_hand():
    params, grads = {"a": [[0.0]], "b": [0.0]}, {"a": [[3.0]], "b": [4.0]}
    base = {"optimizer": "sgd", "learning_rate": 1.0}
    assert one_sgd_step(OptimizerConfig(**base, clip_value=2.0), params, grads) == {"a": [[-2.0]], "b": [-2.0]}
    clipped = one_sgd_step(OptimizerConfig(**base, clip_global_norm=1.0), params, grads)  # ‖(3, 4)‖ = 5
    np.testing.assert_allclose(clipped["a"] + [clipped["b"]], [[-0.6], [-0.8]], rtol=1e-6)
    assert one_sgd_step(OptimizerConfig(**base, clip_global_norm=6.0), params, grads) == {"a": [[-3.0]], "b": [-4.0]}
    both = one_sgd_step(OptimizerConfig(**base, clip_value=3.0, clip_global_norm=1.0), params, grads)
    np.testing.assert_allclose(both["a"][0] + both["b"], [-math.sqrt(0.5)] * 2, rtol=1e-6)  # (3, 3) → norm 1


@pytest.mark.parametrize("size", [1e20, 3e38, 1e-25])
def test_clipping_of_any_length(size):
    """Four equal entries and clip c: each becomes c/2, also where their squares are no float32 numbers."""
    clip = min(1.0, size)
    config = OptimizerConfig(optimizer="sgd", learning_rate=1.0, clip_global_norm=clip)
    updates = one_sgd_step(config, {"a": [[0.0, 0.0]], "b": [0.0, 0.0]}, {"a": [[size, size]], "b": [size, size]})
    np.testing.assert_allclose(np.ravel([*updates["a"], updates["b"]]), [-clip / 2] * 4, rtol=1e-6)


def test_clipping_leaves_what_is_short_enough_to_the_bit():
    rng = np.random.default_rng(0)
    grads = {"a": rng.normal(size=(3, 3)).astype(np.float32), "b": rng.normal(size=3).astype(np.float32)}
    config = OptimizerConfig(optimizer="sgd", learning_rate=1.0, clip_global_norm=100.0)
    updates = one_sgd_step(config, jax.tree.map(np.zeros_like, grads), grads)
    jax.tree.map(np.testing.assert_array_equal, updates, {name: (-value).tolist() for name, value in grads.items()})


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_clipping_does_not_hide_what_is_not_finite(wrong):
    config = OptimizerConfig(optimizer="sgd", learning_rate=1.0, clip_global_norm=1.0)
    updates = one_sgd_step(config, {"a": [[0.0]], "b": [0.0]}, {"a": [[wrong]], "b": [1.0]})
    assert np.isnan(updates["a"][0][0])


def test_the_norm_that_is_logged_is_right_for_large_and_small_gradients():
    for size in (1e20, 1.0, 1e-25):
        _, metrics = apply_gradients(
            create_state({"a": jnp.zeros(4)}, make_optimizer(OptimizerConfig(), 1)),
            {"a": jnp.full(4, size)},
            make_optimizer(OptimizerConfig(), 1),
        )
        assert float(metrics["gradient_norm"]) == pytest.approx(2 * size, rel=1e-6)
    assert np.isinf(global_norm([jnp.array([1.0, jnp.inf])])) and np.isnan(global_norm([jnp.array([jnp.nan])]))


def test_penalties_leave_vectors_alone():
    params = {"w": [[2.0, -4.0, 0.0]], "b": [2.0]}
    grads = {"w": [[0.0, 0.0, 0.0]], "b": [0.0]}
    config = OptimizerConfig(optimizer="sgd", learning_rate=1.0, l1=0.5, l2=0.25)
    assert one_sgd_step(config, params, grads) == {"w": [[-1.0, 1.5, 0.0]], "b": [0.0]}


def rates(config: OptimizerConfig, steps: list[int], total: int = 100) -> list[float]:
    schedule = jax.jit(make_schedule(config, total))
    return [float(schedule(jnp.int32(step))) for step in steps]


@pytest.mark.parametrize(
    ("settings", "steps", "expected"),
    [
        ({"schedule": "constant", "warmup_steps": 4}, [0, 1, 3, 4, 99], [0.25, 0.5, 1.0, 1.0, 1.0]),
        ({"schedule": "constant"}, [0, 50], [1.0, 1.0]),
        ({"schedule": "cosine"}, [0, 25, 50, 100, 150], [1.0, 0.5 + math.sqrt(0.125), 0.5, 0.0, 0.0]),
        (
            {"schedule": "cosine", "warmup_steps": 20, "final_learning_rate_fraction": 0.2},
            [0, 19, 20, 60, 100],
            [0.05, 1.0, 1.0, 0.6, 0.2],
        ),
        (
            {"schedule": "exponential", "decay_rate": 0.25, "decay_steps": 10},
            [0, 5, 10, 15, 20],
            [1.0, 0.5, 0.25, 0.125, 0.0625],
        ),
        (
            {"schedule": "step", "decay_rate": 0.25, "decay_steps": 10},
            [0, 9, 10, 19, 20],
            [1.0, 1.0, 0.25, 0.25, 0.0625],
        ),
        (
            {"schedule": "step", "decay_rate": 0.1, "decay_steps": 10, "warmup_steps": 5},
            [0, 4, 5, 14, 15, 25],
            [0.2, 1.0, 1.0, 1.0, 0.1, 0.01],
        ),
        (
            {"schedule": "exponential", "decay_rate": 0.5, "decay_steps": 1, "final_learning_rate_fraction": 0.3},
            [1, 2, 60],
            [0.5, 0.3, 0.3],
        ),
    ],
)
def test_schedules_by_hand(settings, steps, expected):
    np.testing.assert_allclose(rates(OptimizerConfig(learning_rate=1.0, **settings), steps), expected, atol=1e-6)
    np.testing.assert_allclose(
        rates(OptimizerConfig(learning_rate=0.5, **settings), steps), [0.5 * e for e in expected], atol=1e-6
    )


def test_the_optimizer_follows_its_schedule():
    config = OptimizerConfig(optimizer="adam", learning_rate=0.1, schedule="cosine", warmup_steps=2)
    by_hand = [0.05, 0.1] + [0.05 * (1 + math.cos(math.pi * i / 4)) for i in range(4)]
    assert_close(run(config, total_steps=6), run_numpy(config, by_hand))


def test_impossible_settings_are_refused():
    with pytest.raises(UserError, match=r"--warmup_steps=10 leaves nothing of the 10 training steps"):
        make_schedule(OptimizerConfig(schedule="cosine", warmup_steps=10), 10)
    with pytest.raises(UserError, match=r"--weight_decay=0.1 .* needs --optimizer=adamw .*use --l2"):
        make_optimizer(OptimizerConfig(optimizer="adam", weight_decay=0.1), 10)
    with pytest.raises(UserError, match=r"--optimizer=lion: allowed: sgd, momentum"):
        make_optimizer(OptimizerConfig(optimizer="lion"), 10)


@pytest.mark.parametrize("name", ["beta1", "beta2"])
@pytest.mark.parametrize("value", ["1", "1.0", "0.99999999", "-0.1", "nan"])
def test_decays_of_averages_are_below_1(name, value):
    """In float32 as well, where 0.99999999 is 1 and 1 − β, which the averages are divided by, is 0."""
    allowed = "must be at least 0.0 and below 1.0|expected a finite number"
    with pytest.raises(UserError, match=f"{name}='{value}': ({allowed})"):
        with_overrides(OptimizerConfig(), {name: value})


@pytest.mark.parametrize("value", ["0", "1e-46", "1e-40", "-1e-8"])
def test_epsilon_is_above_0(value):
    """0 / 0 for a weight without gradient; in float32 1e-46 is 0, and 1e-40 where subnormal numbers are."""
    with pytest.raises(UserError, match=f"epsilon='{value}': must be above 0.0"):
        with_overrides(OptimizerConfig(), {"epsilon": value})


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    "edge",
    [
        {"beta1": 0.0, "beta2": 0.0, "momentum": 0.0},
        {"beta1": 0.9999999, "beta2": 0.9999999, "momentum": 1.0},
        {"epsilon": 1e-37},
        {"decay_rate": 0.0, "schedule": "exponential"},
        {"decay_rate": 0.0, "schedule": "step", "decay_steps": 1},
        {"ema_decay": 0.999999},
    ],
    ids=str,
)
def test_what_is_allowed_at_the_edges_updates_with_numbers(optimizer, edge):
    """Gradients of 0, at first and later, beside some that are not."""
    config = with_overrides(OptimizerConfig(optimizer=optimizer), edge)
    rule = make_optimizer(config, 4)
    state = create_state({"w": jnp.ones((2, 2))}, rule, config.ema_decay)
    for gradient in ([[0.0, 1.0], [0.0, 1e-3]], [[0.0, 0.0], [1.0, 0.0]]):
        state, _ = apply_gradients(state, {"w": jnp.array(gradient)}, rule, config.ema_decay)
        averaged = evaluation_params(state, config.ema_decay)
        assert np.isfinite(state.params["w"]).all() and np.isfinite(averaged["w"]).all()
