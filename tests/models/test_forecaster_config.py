"""What does not go together is refused, and what would do nothing."""

import dataclasses

import pytest
from forecast_batches import SIZES, forecaster_of

from rnn_jax.config import group, refuse_idle
from rnn_jax.errors import UserError
from rnn_jax.losses.distributions import DISTRIBUTIONS
from rnn_jax.models.forecaster_config import DISTRIBUTION_NAMES, ForecasterConfig


@dataclasses.dataclass(frozen=True)
class Config:
    forecaster: ForecasterConfig = group(ForecasterConfig, "model")


def test_names_are_those_of_the_registry():
    assert tuple(DISTRIBUTIONS) == DISTRIBUTION_NAMES


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"decoder": "recursive", "encoder": {"bidirectional": True}}, "--bidirectional: with --decoder=recursive"),
        ({"decoder": "segments", "encoder": {"bidirectional": True}}, "or give --decoder=direct or attention"),
        ({"decoder": "attention", "output": "quantiles"}, "Give --decoder=direct or segments, or --output=student_t"),
        ({"output": "negative_binomial", "normalization": "revin"}, "Give --normalization=mean_abs or none"),
        ({"output": "gaussian", "quantiles": (0.9, 0.1)}, "--quantiles=0.9,0.1: levels that rise"),
        ({"output": "quantiles", "quantiles": (0.1, 0.9)}, "give 0.5 among them"),
        ({"decoder": "segments", "segment_length": 8}, "--segment_length=8 is more than the 7 steps of the context"),
        ({"sizes": SIZES._replace(num_series=1), "series_embedding_size": 3}, "the data has one: leave it out"),
        (
            {"decoder": "recursive", "sizes": SIZES._replace(num_future_features=1)},
            "2 of the 3 past features are not known ahead",
        ),
        (
            {"decoder": "attention", "attention": "dot", "encoder": {"bidirectional": True}},
            "Give --attention=general or no --bidirectional",
        ),
        (
            {"decoder": "attention", "attention": "multi_head", "attention_size": 6, "attention_heads": 4},
            "The past cannot be attended to",
        ),
    ],
)
def test_refusals(knobs, message):
    with pytest.raises(UserError, match=message):
        forecaster_of(**knobs)


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"segment_length": 4}, "--segment_length needs --decoder=segments"),
        ({"huber_delta": 2.0}, "--huber_delta needs --loss=huber"),
        ({"output": "gaussian", "loss": "mae"}, "--loss needs --output=point"),
        ({"num_samples": 9, "output": "gaussian"}, "--num_samples needs"),
        ({"quantiles": (0.5,)}, "--quantiles needs --output="),
        ({"channels": "joint", "channel_embedding_size": 3}, "--channel_embedding_size needs --channels=independent"),
        ({"decoder": "recursive", "output": "gaussian", "teacher_forcing": True}, "--teacher_forcing needs"),
        ({"attention": "dot"}, "--attention needs --decoder=attention"),
    ],
)
def test_idle_knobs_are_refused(given, missing):
    with pytest.raises(UserError, match=missing):
        refuse_idle(given, Config(ForecasterConfig(**given)))


@pytest.mark.parametrize(
    ("knobs", "normalizer", "forced"),
    [
        ({}, "last", False),
        ({"decoder": "segments"}, "last", False),
        ({"output": "negative_binomial"}, "mean_abs", False),
        ({"decoder": "recursive", "output": "student_t"}, "mean_abs", True),
        ({"decoder": "recursive", "normalization": "revin"}, "revin", False),
        ({"decoder": "attention", "teacher_forcing": True}, "last", True),
    ],
)
def test_what_is_chosen(knobs, normalizer, forced):
    config = ForecasterConfig(**knobs)
    assert (config.normalizer, config.forces_teacher) == (normalizer, forced)
