"""When a run has diverged, by hand-made numbers; tests/training/test_session.py has what comes of it."""

import json
import math

import jax.numpy as jnp
import numpy as np
import pytest

from rnn_jax.config import fields_of
from rnn_jax.training.divergence import SMALLEST_FIRST_LOSS, DivergenceRule, diverged
from rnn_jax.training.run_config import RunConfig

FACTOR = 100.0


def just_above(number: float) -> float:
    return math.nextafter(number, math.inf)


@pytest.mark.parametrize(
    ("first_loss", "limit"),
    [
        (5.0, 500.0),
        (SMALLEST_FIRST_LOSS, FACTOR),
        (0.5, FACTOR),  # counted as the smallest
        (1e-8, FACTOR),
        (0.0, FACTOR),
        (-0.5, FACTOR),
        (-5.0, 500.0),
    ],
)
def test_the_limit_is_a_multiple_of_the_first_loss(first_loss, limit):
    rule = DivergenceRule(FACTOR)
    assert rule.limit == math.inf
    assert rule.of_updates(first_loss, 1.0, 1) is None
    assert (rule.first_loss, rule.limit) == (first_loss, limit)
    for loss, is_bad in ((limit, False), (just_above(limit), True), (-1e30, False), (1e30, True)):
        assert (rule.of_updates(loss, 1.0, 2) is not None) == is_bad
        assert (rule.of_evaluation(loss, 2) is not None) == is_bad
    assert rule.first_loss == first_loss


def test_large_gradients_alone_are_no_divergence():
    assert DivergenceRule(FACTOR, 1.0).of_updates([1.0, 2.0], [1e30, 0.0], 2) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("factor", [0.0, FACTOR])
def test_what_is_not_finite_is_divergence_at_any_factor(bad, factor):
    for first_loss in (None, 2.0):
        rule = DivergenceRule(factor, first_loss)
        assert rule.of_updates(jnp.float32(bad), jnp.float32(2.5), 7) == (7, f"loss {bad:g}, gradient norm 2.5", 6)
        rule = DivergenceRule(factor, first_loss)
        assert rule.of_updates(1.0, bad, 7) == (7, f"loss 1, gradient norm {bad:g}", 6)
        assert rule.of_evaluation(bad, 7) == (7, f"validation loss {bad:g}", 7)


def test_without_a_factor_there_is_no_limit():
    rule = DivergenceRule(0.0, 1.0)
    assert rule.limit == math.inf
    assert rule.of_updates([1.0, 1e38], [1.0, 1.0], 2) is None and rule.of_evaluation(1e300, 2) is None


def test_of_several_updates_the_first_bad_one_is_named():
    """Steps 7, 8, 9, 10."""
    finding = DivergenceRule(FACTOR, 1.0).of_updates(
        np.float32([1, 2, np.inf, np.nan]), jnp.array([10.0, 20.0, 30.0, jnp.nan]), 10
    )
    assert finding == (9, "loss inf, gradient norm 30", 8)
    finding = DivergenceRule(FACTOR, 1.0).of_updates([1.0, 250.0, math.nan, 1.0], [1.0] * 4, 10)
    assert (finding.step, finding.state_step) == (8, 7) and finding.what.startswith("loss 250, gradient norm 1; the")


def test_a_rule_that_goes_on_has_the_same_limit():
    """Through JSON, as beside a checkpoint; float32 losses are floats by then."""
    rule = DivergenceRule(FACTOR)
    rule.of_updates(jnp.array([2.7, 1.0], jnp.float32), jnp.ones(2), 2)
    again = DivergenceRule(FACTOR, json.loads(json.dumps(rule.first_loss)))
    again.of_updates([0.1], [1.0], 3)
    assert again.limit == rule.limit == FACTOR * float(np.float32(2.7))


def test_the_message_says_step_numbers_limit_checkpoint_and_what_to_do(tmp_path):
    finding = DivergenceRule(FACTOR, 0.5).of_updates(9e29, 2.5, 7)
    error = diverged(finding, tmp_path, 4)
    assert str(error) == (
        "training diverged at step 7: loss 9e+29, gradient norm 2.5; the limit is 100 (--divergence_factor=100 times "
        "the first loss of 0.5, counted as at least 1). "
        f"The last good checkpoint, of step 4, is kept in {tmp_path}. "
        "Try a lower --learning_rate, more --warmup_steps or --clip_global_norm=1, with another --workdir."
    )
    assert error.exit_code == 3
    finding = DivergenceRule(FACTOR, 0.5).of_evaluation(math.nan, 7)
    assert str(diverged(finding, tmp_path, None)).startswith(
        "training diverged at step 7: validation loss nan. No good checkpoint had been saved. Try"
    )


def test_the_knob_is_every_experiments_and_may_change_within_a_run():
    knob = fields_of(RunConfig)["divergence_factor"]
    assert not knob.identity and knob.minimum == 0.0
    assert knob.default >= 1000.0  # spikes that runs recover from are below
