"""Several training loops in one process: each ends as it would have ended alone."""

import dataclasses
import os
import signal
import time

import numpy as np
import pytest
import sentiment_runs
from experiment_runs import lines_of, metrics_of
from sentiment_runs import NO_LOSS_IS_LOW_ENOUGH, TINY, saved_state

from experiments import sentiment
from rnn_jax.config import with_overrides
from rnn_jax.errors import TrainingDiverged, TrainingInterrupted
from rnn_jax.training import seeds
from rnn_jax.training.files import LOG
from rnn_jax.training.loop import train_in, training_loop
from rnn_jax.training.timing import time_methods
from rnn_jax.training.together import run_together
from rnn_jax.training.updates import Update

SETTINGS = dict(flag.removeprefix("--").split("=", 1) for flag in TINY) | {"num_buckets": "1"}
BASE = with_overrides(sentiment.Config(optimizer="adamw", weight_decay=0.1, output_dropout=0.3), SETTINGS)
# Seeds, and every number that a program takes as an argument.
CONFIGS = (
    BASE,
    dataclasses.replace(BASE, seed=1),
    dataclasses.replace(BASE, seed=2, learning_rate=1e-2, weight_decay=0.01, output_dropout=0.1),
)


def loops_in(directory, configs=CONFIGS):
    places = [directory / str(number) for number in range(len(configs))]
    return [make_loop(place, config) for place, config in zip(places, configs, strict=True)], places


def make_loop(place, config):
    return lambda clock: training_loop(place, "sentiment", config, sentiment.train, clock=clock)


def run_all(directory, method, configs=CONFIGS, size=None):
    loops, places = loops_in(directory, configs)
    said = []
    outcomes = run_together(
        loops, [place / LOG for place in places], method=method, size=size or len(loops), say=said.append
    )
    return outcomes, places, said


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    directory = tmp_path_factory.mktemp("alone")
    for number, config in enumerate(CONFIGS):
        train_in(str(directory / str(number)), "sentiment", config, sentiment.train)
    return [directory / str(number) for number in range(len(CONFIGS))]


def test_in_turn_every_bit_is_that_of_single_runs(alone, tmp_path):
    outcomes, places, _ = run_all(tmp_path, "map")
    assert [outcome.exit_code for outcome in outcomes] == [0, 0, 0]
    for place, single in zip(places, alone, strict=True):
        assert lines_of(place) == lines_of(single) and metrics_of(place) == metrics_of(single)
        assert saved_state(place) == saved_state(single)
    losses = {lines_of(place)[0]["train/loss"] for place in places}
    assert len(losses) == 3


def assert_close(lines, expected):
    assert [line.keys() for line in lines] == [line.keys() for line in expected] and len(lines) > 3
    for line, other in zip(lines, expected, strict=True):
        assert list(line.values()) == pytest.approx(list(other.values()), rel=2e-3, abs=1e-5)


def test_as_one_program_the_numbers_are_those_of_single_runs(alone, tmp_path):
    outcomes, places, said = run_all(tmp_path, "vmap")
    assert [outcome.exit_code for outcome in outcomes] == [0, 0, 0] and said == []
    for place, single in zip(places, alone, strict=True):
        assert_close(lines_of(place), lines_of(single))
        assert metrics_of(place) == pytest.approx(metrics_of(single), rel=2e-3, abs=1e-5)
    result = sentiment_runs.RUNS.script.load_best(places[0])
    assert result.config == BASE


def interrupt_after(loop, num_updates):
    """The loop; a signal comes when it has been given so many updates."""
    computed = yield next(loop)
    for number in range(1, 1000):
        if number == num_updates:
            os.kill(os.getpid(), signal.SIGTERM)
        try:
            asked = loop.send(computed)
        except StopIteration as end:
            return end.value
        computed = yield asked


@pytest.mark.parametrize("method", ["map", "vmap"])
def test_a_signal_stops_all_and_they_end_as_if_it_had_not_come(method, tmp_path):
    _, undisturbed, _ = run_all(tmp_path / "undisturbed", method)
    loops, places = loops_in(tmp_path / "stopped")
    first = loops[1]
    loops[1] = lambda clock: interrupt_after(first(clock), 8)
    outcomes = run_together(loops, [place / LOG for place in places], method=method, size=3)
    assert [outcome.exit_code for outcome in outcomes] == [143] * 3
    # One of them is further than the others, and one ends before they go on: its place stays.
    train = sentiment.train if method == "map" else None
    if train:
        train_in(str(places[2]), "sentiment", CONFIGS[2], train)
    outcomes, places, _ = run_all(tmp_path / "stopped", method)
    assert [outcome.exit_code for outcome in outcomes] == [0] * 3
    for place, other in zip(places, undisturbed, strict=True):
        assert lines_of(place) == lines_of(other)
        assert saved_state(place)[1] == saved_state(other)[1]


def test_places_of_runs_that_have_ended_compute_for_nothing(tmp_path):
    """A program has the same number of models at every restart, and so the same rounding."""
    _, whole, _ = run_all(tmp_path / "whole", "vmap")
    outcomes, part, _ = run_all(tmp_path / "part", "vmap", CONFIGS[:2], size=3)
    assert [outcome.exit_code for outcome in outcomes] == [0, 0]
    for place, other in zip(part, whole):
        assert saved_state(place)[1] == saved_state(other)[1]


@pytest.mark.parametrize(("method", "tolerance"), [("map", 0.0), ("vmap", 2e-3)])
def test_a_run_that_diverges_leaves_the_others_alone(method, tolerance, alone, tmp_path):
    configs = (CONFIGS[0], dataclasses.replace(CONFIGS[1], divergence_factor=NO_LOSS_IS_LOW_ENOUGH), CONFIGS[2])
    outcomes, places, _ = run_all(tmp_path, method, configs)
    assert [outcome.exit_code for outcome in outcomes] == [0, TrainingDiverged.exit_code, 0]
    assert "diverged at step 1: loss 0." in (places[1] / LOG).read_text()
    assert metrics_of(places[2]) == pytest.approx(metrics_of(alone[2]), rel=tolerance, abs=tolerance)
    assert not (places[1] / "result.json").exists()


def test_runs_with_data_of_their_own_take_turns(tmp_path):
    configs = (BASE, dataclasses.replace(BASE, seed=1, train_split="train[:160]"))
    outcomes, places, said = run_all(tmp_path, "vmap", configs)
    assert [outcome.exit_code for outcome in outcomes] == [0, 0]
    (line,) = said
    assert "computed one by one" in line
    train_in(str(tmp_path / "single"), "sentiment", configs[1], sentiment.train)
    assert metrics_of(places[1]) == metrics_of(tmp_path / "single")


def test_a_run_that_cannot_start_says_so_in_its_log(tmp_path):
    configs = (BASE, dataclasses.replace(BASE, dataset="nowhere_to_be_found", data_dir=str(tmp_path)))
    outcomes, places, _ = run_all(tmp_path / "runs", "map", configs)
    assert [outcome.exit_code for outcome in outcomes] == [0, 2]
    assert "nowhere_to_be_found" in (places[1] / LOG).read_text()


def test_an_error_of_ours_is_in_the_log_too(tmp_path):
    def broken():
        raise ZeroDivisionError("of ours")
        yield

    (outcome,) = run_together([lambda clock: broken()], [tmp_path / LOG], method="map", size=1)
    assert outcome.exit_code == 1 and "ZeroDivisionError: of ours" in (tmp_path / LOG).read_text()


def test_the_loops_furthest_behind_go_first(tmp_path):
    class Steps:
        compiled_update = object()

        def train(self, state, arrays):
            order.append(state)
            return state, {}

    order, steps = [], Steps()

    def loop(name, first, last):
        for step in range(first, last):
            yield Update(steps, name, {"x": np.zeros((1, 1))}, step)
        return {}

    loops = [lambda clock: loop("ahead", 2, 4), lambda clock: loop("behind", 0, 4)]
    run_together(loops, [tmp_path / "a.log", tmp_path / "b.log"], method="map", size=2)
    assert order == ["behind", "behind", "ahead", "behind", "ahead", "behind"]


def test_every_run_has_its_share_of_the_time(tmp_path):
    """Its own start, then a half for as long as the other one runs, then all; never more in all than has passed."""
    shares = []

    def loop(clock, num_steps):
        shares.append(clock)
        time.sleep(0.05)
        for step in range(num_steps):
            yield Update(Steps(), "state", {"x": np.zeros((1, 1))}, step)
        return {}

    class Steps:
        compiled_update = object()

        def train(self, state, arrays):
            time.sleep(0.02)
            return state, {}

    began = time.monotonic()
    logs = [tmp_path / "a.log", tmp_path / "b.log"]
    loops = [lambda clock: loop(clock, 2), lambda clock: loop(clock, 6)]
    outcomes = run_together(loops, logs, method="map", size=2)
    passed = time.monotonic() - began
    short, long = (outcome.seconds for outcome in outcomes)
    assert 0.07 <= short < long
    assert long >= 0.13
    assert short + long <= passed and shares[0]() == short


@pytest.mark.parametrize("during", ["the start of another run", "the timing"])
def test_a_signal_counts_whenever_it_comes(during, tmp_path, monkeypatch):
    def train(config, run):
        if config.seed == 1 and during == "the start of another run":
            os.kill(os.getpid(), signal.SIGTERM)
        return (yield from sentiment.train(config, run))

    def timed(*_):
        os.kill(os.getpid(), signal.SIGTERM)
        return {"map": 1.0, "vmap": 2.0}

    monkeypatch.setattr(seeds, "time_methods", timed)
    runs = {tmp_path / str(n): dataclasses.replace(BASE, seed=n) for n in (0, 1)}
    options = {"size": 2, "mode": "auto" if during == "the timing" else "map", "choice": tmp_path / "choice.json"}
    if during == "the timing":
        with pytest.raises(TrainingInterrupted):
            seeds.run_all(runs, "sentiment", train, **options)
    else:
        outcomes = seeds.run_all(runs, "sentiment", train, **options)
        assert [outcome.exit_code for outcome in outcomes.values()] == [143, 143]
    assert not list(tmp_path.glob("*/result.json"))


def test_timing_measures_both_ways(tmp_path):
    loops, _ = loops_in(tmp_path)
    loop = loops[0](time.monotonic)
    milliseconds = time_methods(next(loop), 2, repeats=2)
    loop.close()
    assert milliseconds.keys() == {"map", "vmap"} and all(0 < value < 60_000 for value in milliseconds.values())
