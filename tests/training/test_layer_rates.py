"""Layers with rates of their own, and frozen ones, against torch and numbers by hand."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from training import toy_runs

from rnn_jax.config import with_overrides
from rnn_jax.errors import UserError
from rnn_jax.training.build import build
from rnn_jax.training.layer_rates import LayerRates, depths_of, layer_rates, names_of, said_of_layers
from rnn_jax.training.optimizer import make_optimizer
from rnn_jax.training.optimizer_config import OptimizerConfig
from rnn_jax.training.prepare import prepare

LAYERS = (("output", "pooling"), ("encoder",), ("convolution",), ("embedding",))
STEPS, PER_EPOCH = 12, 3
DEPTHS = {"embedding": 3, "encoder 0": 2, "encoder 1": 1, "output": 0}
FACTOR = 0.5


def problem():
    """Parameters, and gradients of each update."""
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731

    def tree():
        encoder = {"weights": [{"w": draw(2, 2), "b": draw(2)}, {"w": draw(2, 2), "b": draw(2)}]}
        return {"embedding": {"table": draw(5, 2)}, "encoder": encoder, "output": {"b": draw(3), "w": draw(2, 3)}}

    return tree(), [tree() for _ in range(STEPS)]


def by_group(tree):
    groups = {"embedding": tree["embedding"], "output": tree["output"]}
    groups |= {f"encoder {i}": tree["encoder"]["weights"][i] for i in (0, 1)}
    return {(group, name): array for group, arrays in groups.items() for name, array in arrays.items()}


def run(config):
    """The parameters after each update."""
    params, gradients = jax.tree.map(jnp.asarray, problem())
    layers = layer_rates(config, params, LAYERS, PER_EPOCH)
    optimizer = make_optimizer(config, STEPS, layers=layers)
    state = optimizer.init(params)
    traces = []

    @jax.jit
    def update(params, state, grads):
        traces.append(1)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    after = []
    for grads in gradients:
        params, state = update(params, state, grads)
        after.append(jax.device_get(params))
    assert len(traces) == 1
    return after


def test_rates_by_hand():
    """sgd: w − learning_rate · factor^depth · g, from the layer's first update on."""
    params, gradients = problem()
    after = run(OptimizerConfig(optimizer="sgd", learning_rate=0.1, layer_rate_decay=FACTOR, unfreeze_every=1.0))
    for (group, name), start in by_group(params).items():
        depth = DEPTHS[group]
        expected = start.astype(np.float64)
        for step in range(STEPS):
            if step >= PER_EPOCH * depth:
                expected = expected - 0.1 * FACTOR**depth * by_group(gradients[step])[group, name]
                np.testing.assert_allclose(by_group(after[step])[group, name], expected, rtol=1e-5, atol=1e-6)
            else:
                np.testing.assert_array_equal(by_group(after[step])[group, name], start)


@pytest.mark.parametrize("name", ["momentum", "adagrad", "rmsprop", "adam", "adamw"])
def test_frozen_layers_are_as_if_they_were_not_there(name):
    """torch: a group of parameters a layer; those of frozen ones have no gradient, and the norm is of the others."""
    torch = pytest.importorskip("torch")
    decay, penalty = (0.2, 0.0) if name == "adamw" else (0.0, 0.1)
    config = OptimizerConfig(
        optimizer=name,
        learning_rate=0.05,
        momentum=0.8,
        beta2=0.95,
        clip_global_norm=1.5,
        weight_decay=decay,
        l2=penalty,
        layer_rate_decay=FACTOR,
        unfreeze_every=1.0,
    )
    start, gradients = problem()
    ours = run(config)
    theirs = {key: torch.nn.Parameter(torch.tensor(value)) for key, value in by_group(start).items()}
    groups = [
        {"params": [p], "lr": 0.05 * FACTOR ** DEPTHS[key[0]], "weight_decay": (decay or penalty) * (p.ndim >= 2)}
        for key, p in theirs.items()
    ]
    make = {
        "momentum": lambda: torch.optim.SGD(groups, momentum=0.8),
        "adagrad": lambda: torch.optim.Adagrad(groups, eps=1e-8),
        "rmsprop": lambda: torch.optim.RMSprop(groups, alpha=0.95),
        "adam": lambda: torch.optim.Adam(groups, betas=(0.9, 0.95)),
        "adamw": lambda: torch.optim.AdamW(groups, betas=(0.9, 0.95)),
    }
    optimizer = make[name]()
    for step in range(STEPS):
        learning = {key: p for key, p in theirs.items() if step >= PER_EPOCH * DEPTHS[key[0]]}
        for key, p in learning.items():
            p.grad = torch.tensor(by_group(gradients[step])[key])
        torch.nn.utils.clip_grad_norm_(learning.values(), 1.5)
        optimizer.step()
        for key, p in theirs.items():
            np.testing.assert_allclose(by_group(ours[step])[key], p.detach(), rtol=1e-4, atol=1e-5, err_msg=str(key))
            if key not in learning:
                np.testing.assert_array_equal(by_group(ours[step])[key], by_group(start)[key])


def test_infinite_gradients_do_not_reach_a_frozen_layer():
    """Zero times infinity would be NaN."""
    params = {"embedding": jnp.ones((1, 1)), "output": jnp.ones((1, 1))}
    config = OptimizerConfig(optimizer="adam", clip_global_norm=1.0, unfreeze_every=1.0)
    optimizer = make_optimizer(config, 9, layers=layer_rates(config, params, LAYERS, 3))
    grads = {"embedding": jnp.full((1, 1), jnp.inf), "output": jnp.ones((1, 1))}
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    assert updates["embedding"].item() == 0 and np.isfinite(updates["output"].item())


def test_what_the_knobs_mean():
    params, _ = problem()
    assert layer_rates(OptimizerConfig(), params, LAYERS, 10) is None
    found = layer_rates(OptimizerConfig(layer_rate_decay=0.5), params, LAYERS, 10)
    assert found == LayerRates((3, 2, 2, 1, 1, 0, 0), (1.0, 0.5, 0.25, 0.125), (0, 0, 0, 0))
    assert layer_rates(OptimizerConfig(unfreeze_every=0.25), params, LAYERS, 10).starts == (0, 2, 4, 6)
    assert layer_rates(OptimizerConfig(unfreeze_every=0.001), params, LAYERS, 10).starts == (0, 1, 2, 3)
    with pytest.raises(UserError, match="--layer_rate_decay and --unfreeze_every need"):
        layer_rates(OptimizerConfig(layer_rate_decay=0.5), params, (), 10)


def test_layers_that_a_network_does_not_have_are_no_depth():
    names = ["embedding.table", "encoder.weights.0.w", "encoder.weights.10.w", "encoder.weights.9.w", "output.w"]
    assert depths_of(names, LAYERS) == (4, 3, 1, 2, 0)
    assert depths_of(["pooling.w", "convolution.w"], LAYERS) == (0, 1)
    with pytest.raises(ValueError, match=r"to which of its layers bias\.b belongs"):
        depths_of([*names, "bias.b"], LAYERS)


def test_what_is_said():
    params, _ = problem()
    rates = LayerRates((3, 2, 2, 1, 1, 0, 0), (1.0, 0.5, 0.25, 0.125), (0, 2000, 4000, 6000))
    assert said_of_layers(rates, params, 6000) == (
        "Learning rates: output × 1; encoder layer 2 × 0.5 from step 2,000 on; encoder layer 1 × 0.25 from step 4,000"
        " on; embedding × 0.125 never."
    )


@pytest.mark.parametrize(
    ("experiment", "knobs", "deepest"),
    [
        ("sentiment", {"pooling": "attention", "ngram_vocabulary_size": 20, "convolution_width": 3}, 4),
        ("sentiment", {"ngram_vocabulary_size": 20, "ngram_fusion": "output"}, 3),
        ("tagging", {"decoder": "crf"}, 3),
        ("seq2seq", {"bidirectional": True}, 6),
        ("seq2seq", {"tie_output": False, "tie_embeddings": False}, 6),
        ("language_model", {}, 3),
        ("language_model", {"head": "adaptive", "tokenizer": "word", "cutoffs": (20, 60)}, 3),
        ("language_model", {"head": "mixture"}, 3),
    ],
)
def test_every_network_says_where_its_arrays_belong(experiment, knobs, deepest):
    module = importlib.import_module(f"experiments.{experiment}")
    few = {} if experiment == "language_model" else {"train_split": "train[:64]"}
    config, task = with_overrides(module.Config(), {"num_layers": 2, **few, **knobs}), module.task()
    network = build(task, config, task.read(config, None).codec)
    names = names_of(network.shapes)
    depths = dict(zip(names, depths_of(names, network.layers), strict=True))
    assert max(depths.values()) == deepest
    assert all(depth == deepest for name, depth in depths.items() if "embedding" in name)
    assert depths["encoder.weights.0" + next(name[17:] for name in names if name.startswith("encoder.weights.0"))] == (
        1 + depths["encoder.weights.1" + next(name[17:] for name in names if name.startswith("encoder.weights.1"))]
    )


def test_a_network_without_an_order_is_refused():
    with pytest.raises(UserError, match="LAYERS"):
        prepare(toy_runs.TASK, toy_runs.configured(unfreeze_every=1.0))
