"""Schedules of scheduled sampling against numbers by hand."""

import itertools
import math

import pytest

from rnn_jax.config import refuse_idle_changes, validate
from rnn_jax.errors import UserError
from rnn_jax.text.teacher_forcing import (
    SCHEDULES,
    TeacherForcingConfig,
    teacher_forcing_probability,
)


def probabilities(schedule: str, floor: float, k: int, steps) -> list[float]:
    config = TeacherForcingConfig(schedule, teacher_forcing_floor=floor, teacher_forcing_steps=k)
    return [teacher_forcing_probability(config, step) for step in steps]


@pytest.mark.parametrize(
    ("schedule", "floor", "k", "expected"),
    [
        ("always", 0.25, 4, {0: 1.0, 1: 1.0, 1000: 1.0}),
        ("constant", 0.25, 4, {0: 0.25, 1: 0.25, 1000: 0.25}),
        ("linear", 0.0, 4, {0: 1.0, 1: 0.75, 3: 0.25, 4: 0.0, 5: 0.0}),
        ("linear", 0.4, 10, {0: 1.0, 5: 0.5, 6: 0.4, 7: 0.4, 1000: 0.4}),
        ("exponential", 0.0, 2, {0: 1.0, 1: 0.6065306597, 2: 0.3678794412, 4: 0.1353352832}),
        ("exponential", 0.3, 2, {0: 1.0, 2: 0.3678794412, 4: 0.3}),
        ("inverse_sigmoid", 0.0, 4, {0: 0.8, 4: 0.5953903248, 8: 0.3512143557}),  # 4 / (4 + 1, e, e²)
        ("inverse_sigmoid", 0.5, 4, {0: 0.8, 4: 0.5953903248, 8: 0.5}),
    ],
)
def test_numbers_by_hand(schedule, floor, k, expected):
    assert probabilities(schedule, floor, k, expected) == pytest.approx(list(expected.values()), abs=1e-9)


@pytest.mark.parametrize("floor", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_probability_never_rises_and_never_falls_below_the_floor(schedule, floor):
    found = probabilities(schedule, floor, 10, range(200))
    assert all(before >= after for before, after in itertools.pairwise(found))
    assert all(floor <= probability <= 1.0 for probability in found)
    if schedule in ("linear", "exponential", "inverse_sigmoid") and floor < 0.9:
        assert found[0] > found[1] > found[2]  # it does fall
        assert found[-1] == pytest.approx(floor, abs=1e-6)  # to the floor, and stays there


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("k", [1, 1000])
def test_late_steps_do_not_overflow(schedule, k):
    late = probabilities(schedule, 0.0, k, [10**7])[0]
    assert late == (1.0 if schedule == "always" else pytest.approx(0.0, abs=1e-300))
    assert probabilities(schedule, 0.75, k, [10**7])[0] == (1.0 if schedule == "always" else 0.75)


@pytest.mark.parametrize("schedule", ["linear", "exponential", "inverse_sigmoid"])
def test_the_larger_k_the_slower_the_fall(schedule):
    values = [probabilities(schedule, 0.0, k, [50])[0] for k in (20, 60, 200, 10**6)]
    assert all(slow > fast for fast, slow in itertools.pairwise(values))
    assert values[-1] == pytest.approx(1.0, abs=1e-4)


def test_knobs_of_a_schedule_are_refused_without_one():
    with pytest.raises(UserError, match="--teacher_forcing_floor needs --teacher_forcing=constant or linear"):
        refuse_idle_changes(TeacherForcingConfig(teacher_forcing_floor=0.5))
    with pytest.raises(UserError, match="--teacher_forcing_steps needs --teacher_forcing=linear or exponential"):
        refuse_idle_changes(TeacherForcingConfig("constant", teacher_forcing_steps=5))
    refuse_idle_changes(TeacherForcingConfig("linear", teacher_forcing_floor=0.5))


def test_the_default_gives_the_right_token_always_and_wrong_knobs_are_refused():
    assert teacher_forcing_probability(TeacherForcingConfig(), 10**6) == 1.0
    assert math.isclose(teacher_forcing_probability(TeacherForcingConfig("linear"), 100), 0.9)  # k = 1000
    with pytest.raises(UserError, match=r"teacher_forcing='never': allowed: always, constant, linear"):
        validate(TeacherForcingConfig("never"))
    with pytest.raises(UserError, match=r"teacher_forcing_floor=1.5: must be between 0.0 and 1.0"):
        validate(TeacherForcingConfig(teacher_forcing_floor=1.5))
    with pytest.raises(UserError, match=r"teacher_forcing_steps=0: must be at least 1"):
        validate(TeacherForcingConfig(teacher_forcing_steps=0))
