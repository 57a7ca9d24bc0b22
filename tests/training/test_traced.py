"""Numbers as arguments of a program: which runs share one, and that the model computes with them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sentiment_runs
from flax import nnx

from experiments import sentiment
from rnn_jax.cells import GRU, LSTM
from rnn_jax.config import with_overrides
from rnn_jax.layers import Bidirectional, Recurrent, Stack
from rnn_jax.modules import RNN
from rnn_jax.training.traced import Named, lost_rates, shared_config, traced_names, with_numbers

CONFIG = sentiment.Config(optimizer="adamw", weight_decay=0.1, output_dropout=0.3)


@pytest.mark.parametrize(
    "change",
    [{"seed": 9}, {"learning_rate": 0.5}, {"weight_decay": 1e-4}, {"output_dropout": 0.9}, {"data_dir": "/elsewhere"}],
    ids=lambda change: next(iter(change)),
)
def test_runs_that_share_a_program(change):
    assert shared_config(with_overrides(CONFIG, change)) == shared_config(CONFIG)


@pytest.mark.parametrize(
    "change",
    [{"weight_decay": 0.0}, {"output_dropout": 0.0}, {"layer_dropout": 0.1}, {"hidden_size": "9"}, {"clip_value": 1.0}],
    ids=lambda change: next(iter(change)),
)
def test_runs_that_do_not(change):
    assert shared_config(with_overrides(CONFIG, change)) != shared_config(CONFIG)


def test_what_is_traced_is_what_is_not_zero():
    assert set(traced_names(shared_config(CONFIG))) == {"learning_rate", "weight_decay", "output_dropout"}
    assert traced_names(CONFIG) == []


def named(value, name):
    return Named(value, name)


def test_numbers_take_the_places_of_their_names_and_of_nothing_else():
    layer = Stack(
        Recurrent(LSTM(3), recurrent_dropout=named(0.5, "a")),
        Bidirectional(GRU(3), recurrent_dropout=0.5),
        dropout=named(0.5, "b"),
        input_dropout=0.5,
    )
    model = RNN(layer, 2, rngs=nnx.Rngs(0))
    before = jax.tree.leaves(nnx.state(model))
    replaced = with_numbers(model, {"a": jnp.float32(0.25), "b": jnp.float32(0.75)}).layer
    assert float(replaced.layers[0].recurrent_dropout) == 0.25 and float(replaced.dropout) == 0.75
    assert replaced.layers[1] is layer.layers[1] and replaced.input_dropout == 0.5
    assert layer.dropout == 0.5 and layer.layers[0].recurrent_dropout == 0.5  # a layer is shared with others
    assert all(a is b for a, b in zip(jax.tree.leaves(nnx.state(model)), before, strict=True))


class Scaled(nnx.Module):
    """Keeps rates as they are; of some it makes something else, too."""

    def __init__(self, *kept, made=0.0):
        self.kept, self.scale = kept, 1.0 / (1.0 - made)


@pytest.mark.parametrize(
    ("make", "lost"),
    [
        (lambda c: Scaled(c.word_dropout, c.output_dropout), set()),
        (lambda c: Scaled(c.word_dropout, made=c.output_dropout), {"output_dropout"}),
        (lambda c: Scaled(c.word_dropout, c.output_dropout, made=c.word_dropout), {"word_dropout"}),
        (lambda c: Scaled(c.word_dropout), set()),  # no use for the other
        (lambda c: Scaled(made=c.word_dropout * c.output_dropout), {"word_dropout", "output_dropout"}),
    ],
)
def test_a_rate_of_which_the_model_makes_something_else_is_found_out(make, lost):
    assert lost_rates(make, shared_config(sentiment.Config(word_dropout=0.2, output_dropout=0.4))) == lost


RATES = ("word_dropout", "embedding_dropout", "input_dropout", "layer_dropout", "recurrent_dropout", "output_dropout")


@pytest.fixture(scope="module")
def encoded(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("encoded") / "run"
    sentiment_runs.run_here(*sentiment_runs.TINY, "--num_steps=1", f"--workdir={workdir}")
    return sentiment.load_best(workdir)


@pytest.mark.parametrize("rate", RATES)
def test_each_rate_of_dropout_is_an_argument_that_counts(encoded, rate):
    """The loss is that of a model with the rate built in; another rate gives another loss from the same program."""
    config = dataclasses.replace(encoded.config, num_layers=2)
    tokens = jnp.asarray(np.arange(24).reshape(4, 6) % 7 + 2)
    arrays = {
        "tokens": tokens,
        "lengths": jnp.full(4, 6, jnp.int32),
        "labels": jnp.array([0, 1, 0, 1]),
        "weights": jnp.ones(4),
    }
    losses = {}
    for value in (0.2, 0.6):
        own = dataclasses.replace(config, **{rate: value})
        steps = sentiment.steps_of(own, encoded.inputs, 10)
        state = sentiment.create_state(steps.init(), sentiment.make_optimizer(own, 10))
        losses[value] = float(steps.train(state, arrays)[1]["loss"])
        model = sentiment.make_model(own, encoded.inputs)
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(own.seed), 1), 0)
        (total, count), _ = sentiment.forward(model, arrays, key)
        assert losses[value] == pytest.approx(float(total / count), rel=1e-5)
    assert losses[0.2] != losses[0.6]


def test_programs_are_shared_and_found_again(encoded):
    first = sentiment.steps_of(encoded.config, encoded.inputs, 10)
    other = sentiment.steps_of(dataclasses.replace(encoded.config, seed=5, learning_rate=0.1), encoded.inputs, 10)
    assert first.compiled_update is other.compiled_update and first.predict is other.predict
    assert not np.array_equal(first.numbers["seed"], other.numbers["seed"])
    assert sentiment.steps_of(encoded.config, encoded.inputs, 11).compiled_update is not first.compiled_update
    draws = [jax.tree.leaves(steps.init())[0] for steps in (first, other)]
    assert not np.array_equal(*draws)
