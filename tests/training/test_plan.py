"""How many steps and how much padding, by hand, for a few lengths; and batches by step number."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from rnn_jax.config import knob
from rnn_jax.data.batching import Ragged
from rnn_jax.errors import UserError
from rnn_jax.training.optimizer import OptimizerConfig
from rnn_jax.training.plan import plan_training
from rnn_jax.training.run import RunConfig

# Padded to (4, 8) they take 4·4 + 2·8 = 32 positions; to (2, 8) 36, to (6, 8) 38. 23 of them hold tokens.
LENGTHS = np.array([8, 1, 4, 3, 5, 2])


@dataclasses.dataclass(frozen=True)
class Config(OptimizerConfig, RunConfig):
    batch_size: int = knob(2, "most rows in a batch")
    num_buckets: int = knob(2, "most lengths")


def rows_of(lengths=LENGTHS) -> Ragged:
    """Row i is i repeated."""
    return Ragged.from_rows([[i] * length for i, length in enumerate(lengths)])


def planned(lengths=LENGTHS, tokens_per_batch=None, **knobs):
    return plan_training(Config(**knobs), lengths, multiple_of=2, tokens_per_batch=tokens_per_batch)


@pytest.mark.parametrize(
    ("lengths", "batch_size", "tokens_per_batch", "steps", "waste"),
    [
        (LENGTHS, 2, None, 3, 1 - 23 / 32),  # 2 batches of 2 × 4, 1 of 2 × 8
        (LENGTHS, 6, 8, 4, 1 - 23 / 32),  # 2 of 2 × 4, 2 of 1 × 8
        (LENGTHS, 6, None, 1, 1 - 23 / 48),  # all 6 rows move up to 8
        (np.array([4, 4, 4, 8, 8]), 2, None, 3, 1 - 28 / 40),  # 1 of 2 × 4, the third row moves up: 2 of 2 × 8
        (np.array([8, 8]), 2, None, 1, 0.0),
    ],
)
def test_steps_and_waste_by_hand(lengths, batch_size, tokens_per_batch, steps, waste):
    plan = planned(lengths, tokens_per_batch, batch_size=batch_size, num_epochs=1)
    assert plan.steps_per_epoch == plan.total_steps == steps
    assert plan.waste == pytest.approx(waste, abs=1e-12)
    # And so it is in the batches that come.
    batches = list(plan.batches(rows_of(lengths), 0, seed=0))
    assert len(batches) == steps
    assert sum(int(batch.lengths.sum()) for batch in batches) == lengths.sum()
    positions = sum(batch.tokens.size for batch in batches)
    assert 1 - lengths.sum() / positions == pytest.approx(waste, abs=1e-12)


def test_num_steps_goes_before_num_epochs():
    assert planned(num_epochs=3).total_steps == 9
    assert planned(num_epochs=3, num_steps=7).total_steps == 7
    assert planned(num_epochs=3, num_steps=7).steps_per_epoch == 3


def test_lengths_of_batches_are_the_cheapest_multiples():
    assert planned().shapes == {"batch_size": 2, "buckets": (4, 8), "tokens_per_batch": None}
    assert planned(num_buckets=1).shapes["buckets"] == (8,)
    assert planned(num_buckets=9, tokens_per_batch=50).shapes == {
        "batch_size": 2,
        "buckets": (2, 4, 6, 8),
        "tokens_per_batch": 50,
    }


def test_the_schedule_and_the_optimizer_run_over_the_steps_of_the_plan():
    """A cosine over 9 steps, and updates −rate · gradient that follow it."""
    plan = planned(num_epochs=3, optimizer="sgd", learning_rate=0.5, schedule="cosine")
    expected = [0.25 * (1 + np.cos(np.pi * t / 9)) for t in range(10)]
    np.testing.assert_allclose([float(plan.learning_rate(t)) for t in range(10)], expected, atol=1e-6)
    state, params, updates = plan.optimizer.init({"w": jnp.ones(())}), {"w": jnp.ones(())}, []
    for _ in range(10):
        update, state = plan.optimizer.update({"w": jnp.ones(())}, state, params)
        updates.append(float(update["w"]))
    np.testing.assert_allclose(updates, np.negative(expected), atol=1e-6)
    with pytest.raises(UserError, match=r"--warmup_steps=9 leaves nothing of the 9 training steps"):
        planned(num_epochs=3, schedule="cosine", warmup_steps=9)


def assert_same_batches(actual, expected) -> None:
    for a, e in zip(actual, expected, strict=True):
        for ours, theirs in zip(a, e, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("first_step", [0, 1, 2, 3, 4, 9, 10])
def test_batches_from_a_step_are_the_tail_of_all_batches(first_step):
    plan = planned(num_steps=10)  # three epochs of 3, and a step
    batches = list(plan.batches(rows_of(), 0, seed=3))
    assert len(batches) == 10
    assert_same_batches(plan.batches(rows_of(), first_step, seed=3), batches[first_step:])


def test_an_epoch_has_every_row_once_in_an_order_of_seed_and_epoch():
    plan = planned(num_epochs=8)

    def orders(seed: int) -> list[list[int]]:
        batches = list(plan.batches(rows_of(), 0, seed=seed))
        return [[int(i) for b in batches[at : at + 3] for i in b.indices if i >= 0] for at in range(0, 24, 3)]

    for order in orders(0):
        assert sorted(order) == [0, 1, 2, 3, 4, 5]
    assert len(set(map(tuple, orders(0)))) > 4  # of 8 epochs
    assert orders(0) != orders(1)


def test_tokens_are_those_of_the_rows():
    for batch in planned(num_epochs=1).batches(rows_of(), 0, seed=0):
        for row, length, index in zip(batch.tokens, batch.lengths, batch.indices):
            assert row.tolist() == [max(index, 0)] * length + [0] * (len(row) - length)
            assert length == (LENGTHS[index] if index >= 0 else 0)


@pytest.mark.parametrize(("tokens_per_batch", "rows"), [(None, 2), (8, 1)])
def test_the_longest_batch(tokens_per_batch, rows):
    longest = planned(tokens_per_batch=tokens_per_batch).longest_batch(rows_of())
    assert longest.tokens.shape[1] == 8 and (longest.indices >= 0).sum() == rows
