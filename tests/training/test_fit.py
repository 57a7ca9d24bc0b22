"""Training of any task: the carry goes on, interrupted runs end alike, seeds share what they can, devices agree."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from training.toy_task import TASK, Config, LanguageModel, Poisoned, SizelessConfig, loss, make_model

from rnn_jax.config import with_overrides
from rnn_jax.errors import TrainingDiverged, UserError
from rnn_jax.training import fit, in_step
from rnn_jax.training.build import build
from rnn_jax.training.checkpoint import Checkpointer
from rnn_jax.training.complete import train_in
from rnn_jax.training.in_step import train_in_step
from rnn_jax.training.many import train_in_turn
from rnn_jax.training.prepare import first_state, prepare
from rnn_jax.training.run import open_run
from rnn_jax.training.same_program import shared
from rnn_jax.training.seeds import train_all
from rnn_jax.training.session import Session
from rnn_jax.training.trained import load

QUIET = lambda text: None  # noqa: E731


def configured(**knobs):
    return with_overrides(Config(), {"checkpoint_every_seconds": 0.0, **knobs})


def train(directory, **knobs):
    return train_in(TASK, directory, configured(**knobs))


def saved(directory, config, kind="latest"):
    """The bytes of every array of a checkpoint, by path, and its host state."""
    state = jax.eval_shape(lambda: first_state(prepare(TASK, config))[0])
    with open_run(directory, TASK.name, config) as run, Checkpointer(run.checkpoints, config_hash=run.config_hash) as c:
        restored = getattr(c, f"restore_{kind}")(state)
    leaves = jax.tree_util.tree_leaves_with_path(restored.tree)
    return {jax.tree_util.keystr(path): np.asarray(leaf).tobytes() for path, leaf in leaves}, restored.extra


def lines(directory):
    found = map(json.loads, (directory / "metrics.jsonl").read_text().splitlines())
    return [{name: value for name, value in line.items() if name != "seconds"} for line in found]


def test_what_is_learned_is_found_again(tmp_path):
    result = train(tmp_path / "run", num_epochs=30)
    assert result["test/loss"] < 0.6 and result["test/accuracy"] > 0.8  # one letter of ten is skipped: 0.33 nats, 90 %
    trained = load(TASK, tmp_path / "run")
    assert [answer["next"] for answer in trained.answer(["abcdeab", "cdeabcd"])] == ["c", "e"]
    assert TASK.score(trained, TASK.read(Config(), None).parts["test"]).metrics == {
        "loss": result["test/loss"], "accuracy": result["test/accuracy"]
    }  # fmt: skip


def test_updates_are_those_of_a_plain_loop():
    """Adam on the mean loss of each window, the carry going on; written without any of our training code."""
    config = configured()
    prepared = prepare(TASK, config)
    state, _ = first_state(prepared)
    graph, params = prepared.network.graph, state.params
    optimizer = optax.adam(0.01)
    opt_state, carry = optimizer.init(params), None
    state = jax.tree.map(jnp.copy, state)
    for step in range(12):  # more than an epoch: the carry is reset in between
        batch = jax.tree.map(jnp.asarray, prepared.source.batch(step))

        def mean_loss(params, carry=carry, batch=batch):
            sums, after = loss(fit.nnx.merge(graph, params), batch, carry, None)
            return sums["loss"][0] / sums["loss"][1], after

        (expected, carry), grads = jax.value_and_grad(mean_loss, has_aux=True)(params)
        with jax.numpy_dtype_promotion("standard"):
            updates, opt_state = optimizer.update(grads, opt_state, params)
        params = optax.apply_updates(params, updates)
        state, sums = fit.train_step(prepared.program, state, batch)
        np.testing.assert_allclose(sums["loss"][0] / sums["loss"][1], expected, rtol=1e-5)
        for ours, theirs in zip(jax.tree.leaves(state.carry), jax.tree.leaves(carry), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)
    for ours, theirs in zip(jax.tree.leaves(state.params), jax.tree.leaves(params), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_the_carry_matters():
    """With the carry of another text, the loss is another one; where a batch resets, it is not."""
    prepared = prepare(TASK, configured())
    state, _ = first_state(prepared)
    other = jax.tree.map(lambda leaf: leaf + 0.5, state.carry)
    model = fit.nnx.merge(prepared.network.graph, state.params)
    first, second = (jax.tree.map(jnp.asarray, prepared.source.batch(step)) for step in (0, 1))
    of = lambda batch, carry: float(loss(model, batch, carry, None)[0]["loss"][0])  # noqa: E731
    assert of(first, state.carry) == of(first, other) and of(second, state.carry) != of(second, other)


class Killed(BaseException):
    """As SIGKILL: nothing is saved."""


def killed_at(step, monkeypatch):
    """A context in which the first session to count so many updates kills its process."""
    count = Session.count

    def count_or_die(self, *arguments):
        count(self, *arguments)
        if self.step == step:
            raise Killed

    monkeypatch.setattr(Session, "count", count_or_die)
    return pytest.raises(Killed)


@pytest.mark.parametrize("step", [1, 5, 9, 10, 17])
def test_a_killed_run_ends_as_an_undisturbed_one(tmp_path, step, monkeypatch):
    knobs = {"checkpoint_every_steps": 4, "eval_every_steps": 9, "ema_decay": 0.9, "weight_decay": 0.1}
    config = configured(**knobs, optimizer="adamw")
    whole = train_in(TASK, tmp_path / "whole", config)
    with monkeypatch.context() as patch, killed_at(step, patch):
        train_in(TASK, tmp_path / "killed", config)
    resumed = train_in(TASK, tmp_path / "killed", config)
    assert {n: v for n, v in resumed.items() if "/" in n} == {n: v for n, v in whole.items() if "/" in n}
    assert saved(tmp_path / "killed", config) == saved(tmp_path / "whole", config)
    assert lines(tmp_path / "killed") == lines(tmp_path / "whole")
    assert any("carry" in path for path in saved(tmp_path / "whole", config)[0])


def test_a_resumed_run_reads_no_batch_of_before(tmp_path, monkeypatch):
    """Nor does it sort an epoch that is over."""
    config, read, batch = configured(checkpoint_every_steps=4), [], Poisoned.batch
    with monkeypatch.context() as patch, killed_at(14, patch):
        train_in(TASK, tmp_path, config)
    monkeypatch.setattr(Poisoned, "batch", lambda self, step: read.append(step) or batch(self, step))
    train_in(TASK, tmp_path, config)
    assert min(read) == 12 > prepare(TASK, config).plan.steps_per_epoch


def test_weights_may_be_fractions():
    """Of which a batch has less than one in all: the mean loss is what it is with whole ones, and so is the update."""
    prepared = prepare(TASK, configured())
    whole = prepared.source.batch(0)
    states = [first_state(prepared)[0] for _ in range(3)]
    parts = [whole | {"weights": whole["weights"] * np.float32(factor)} for factor in (1, 2**-7, 0)]
    assert 0 < parts[1]["weights"].sum() < 1
    (_, sums), (_, fractions), (_, none) = [
        fit.train_step(prepared.program, state, batch) for state, batch in zip(states, parts, strict=True)
    ]
    assert fractions["gradient_norm"][0] == pytest.approx(float(sums["gradient_norm"][0]), rel=1e-5)
    assert none["gradient_norm"][0] == 0


def test_a_task_needs_no_knob_of_its_size(tmp_path):
    def small(config, codec, rngs):
        return LanguageModel(len(codec.names), 3, rngs)

    task = TASK._replace(config=SizelessConfig, make_model=small)
    result = train_in(task, tmp_path, with_overrides(SizelessConfig(), {"num_steps": 2}))
    # Embedding 5 × 4; GRU (4 + 3 + 1) × 9 and 3 for b_hn; output 3 × 5 + 5.
    assert result["num_parameters"] == 20 + 75 + 20 and "hidden_size" not in result
    assert load(task, tmp_path).config == with_overrides(SizelessConfig(), {"num_steps": 2})


def test_changed_text_is_noticed(tmp_path, monkeypatch):
    config = configured(checkpoint_every_steps=4)

    after = Session.after

    def after_once(self, *arguments):
        state = after(self, *arguments)
        if self.step == 4:
            raise Killed
        return state

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Session, "after", after_once)
        train_in(TASK, tmp_path, config)
    changed = dataclasses.replace(config, text_seed=1)
    document = json.loads((tmp_path / "config.json").read_text())
    document["config"]["text_seed"] = 1  # the flags are the same: it is the file that has changed
    (tmp_path / "config.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match="its rows, their order or their labels differ"):
        train_in(TASK, tmp_path, changed)


SEEDS = {"num_epochs": 1, "eval_every_steps": 5, "checkpoint_every_steps": 2}


def seeds_of(directory, count=3, **knobs):
    return {directory / f"seed_{seed}": configured(**SEEDS | knobs, seed=seed) for seed in range(count)}


def test_in_turn_is_what_single_runs_are_to_the_bit(tmp_path):
    runs = seeds_of(tmp_path / "together", learning_rate=0.02)
    outcomes = train_all(TASK, runs, "map")
    assert [outcome.exit_code for outcome in outcomes.values()] == [0, 0, 0]
    for directory, config in runs.items():
        alone = tmp_path / "alone" / directory.name
        train_in(TASK, alone, config)
        for kind in ("latest", "best"):
            assert saved(directory, config, kind) == saved(alone, config, kind)
        assert lines(directory) == lines(alone)
    assert json.loads((directory / "result.json").read_text())["seeds_mode"] == "map"


def test_another_seed_compiles_nothing(tmp_path):
    counted = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **__: counted.append(event) if event.endswith("backend_compile_duration") else None
    )
    (first, second, third) = seeds_of(tmp_path, hidden_size=(7,)).items()
    train_in_turn(lambda *run: train_in(TASK, *run), dict([first]), QUIET)
    before = len(counted)
    rates = with_overrides(third[1], {"learning_rate": 0.5})  # in the state, as the seed is
    train_in_turn(lambda *run: train_in(TASK, *run), {second[0]: second[1], third[0]: rates}, QUIET)
    assert before > 0 and len(counted) == before


def test_in_step_is_what_single_runs_are_but_for_rounding(tmp_path):
    runs = seeds_of(tmp_path / "together")
    runs = {d: with_overrides(c, {"learning_rate": 0.01 * (i + 1)}) for i, (d, c) in enumerate(runs.items())}
    outcomes = train_all(TASK, runs, "vmap")
    assert [outcome.exit_code for outcome in outcomes.values()] == [0, 0, 0]
    for directory, config in runs.items():
        alone = tmp_path / "alone" / directory.name
        result = train_in(TASK, alone, config)
        ours = json.loads((directory / "result.json").read_text())
        assert ours["seeds_mode"] == "vmap"
        for name, value in result.items():
            if "/" in name:
                assert ours[name] == pytest.approx(value, rel=1e-4)
        (got, host), (expected, host_alone) = saved(directory, config), saved(alone, config)
        assert got.keys() == expected.keys() and host["waited"] == host_alone["waited"]
        for line, line_alone in zip(lines(directory), lines(alone), strict=True):
            assert line == pytest.approx(line_alone, rel=1e-3)


@pytest.mark.parametrize("mode", ["map", "vmap"])
def test_one_that_diverges_does_not_stop_the_others(tmp_path, mode):
    runs = seeds_of(tmp_path)
    directory, config = list(runs.items())[1]
    poisoned = dataclasses.replace(config, poison_step=7)
    runs = runs | {directory: poisoned}
    outcomes = train_all(TASK, runs, mode)
    assert [outcome.exit_code for outcome in outcomes.values()] == [0, TrainingDiverged.exit_code, 0]
    assert "training diverged at step 7" in (directory / "run.log").read_text()
    others = [d for d in runs if d != directory]
    assert all((d / "result.json").exists() for d in others) and not (directory / "result.json").exists()
    for other in others:
        train_in(TASK, tmp_path / "alone" / other.name, runs[other])
        assert lines(other) == [pytest.approx(line, rel=1e-3) for line in lines(tmp_path / "alone" / other.name)]


def require_same_end(runs, undisturbed):
    """Equal but for rounding: what was logged, what is saved, and the results."""
    for (directory, config), other in zip(runs.items(), undisturbed, strict=True):
        assert lines(directory) == [pytest.approx(line, rel=1e-3) for line in lines(other)]
        ours, theirs = (json.loads((d / "result.json").read_text()) for d in (directory, other))
        for name in ("validation/loss", "test/loss", "test/accuracy"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-3)
        (got, host), (expected, host_alone) = saved(directory, config), saved(other, config)
        assert got[".step"] == expected[".step"] and host["waited"] == host_alone["waited"]
        for path, array in expected.items():
            if ".params" in path:
                np.testing.assert_allclose(*(np.frombuffer(a, np.float32) for a in (got[path], array)), atol=1e-4)


def test_in_step_a_kill_between_two_saves_costs_nothing(tmp_path, monkeypatch):
    """The first member has saved, the second has not: this one catches up."""
    whole = seeds_of(tmp_path / "whole", 2)
    train_in_step(TASK, whole, QUIET)
    runs, save, count = seeds_of(tmp_path / "killed", 2), Checkpointer.save, []

    def save_one(self, step, *rest, **more):
        save(self, step, *rest, **more)
        if step == 4:
            count.append(step)
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Checkpointer, "save", save_one)
        train_in_step(TASK, runs, QUIET)
    assert count == [4]
    outcomes = train_in_step(TASK, runs, QUIET)
    assert [outcome.exit_code for outcome in outcomes.values()] == [0, 0]
    require_same_end(runs, whole)
    logs = [(directory / "run.log").read_text() for directory in runs]
    assert ["Continuing at step 4" in log for log in logs] == [True, False]


def test_in_step_one_that_diverged_takes_nothing_from_the_others(tmp_path, monkeypatch):
    """It has one early checkpoint, they have later ones: they go on from these, and it diverges once more."""
    runs, whole = (seeds_of(tmp_path / name, num_steps=16) for name in ("killed", "whole"))
    for some in (runs, whole):
        bad = list(some)[1]
        some[bad] = dataclasses.replace(some[bad], poison_step=5)
    train_in_step(TASK, whole, QUIET)
    with monkeypatch.context() as patch, killed_at(13, patch):
        train_in_step(TASK, runs, QUIET)
    steps = [sorted(int(path.name[-9:]) for path in d.glob("checkpoints/latest_*")) for d in runs]
    assert steps == [[10, 12], [2], [10, 12]]  # the NaN of step 5 is that of the state of step 4
    outcomes = train_in_step(TASK, runs, QUIET)
    assert [outcome.exit_code for outcome in outcomes.values()] == [0, TrainingDiverged.exit_code, 0]
    (first, bad, last), (first_whole, bad_whole, last_whole) = runs, whole
    require_same_end({first: runs[first], last: runs[last]}, [first_whole, last_whole])
    assert lines(bad) == [pytest.approx(line, rel=1e-3) for line in lines(bad_whole)]
    assert all("Continuing at step 12" in (d / "run.log").read_text() for d in (first, last))


def test_in_step_more_seeds_than_before_join_those_that_there_are(tmp_path, monkeypatch):
    whole, runs = (seeds_of(tmp_path / name, 4, num_steps=8) for name in ("whole", "killed"))
    train_in_step(TASK, whole, QUIET)
    with monkeypatch.context() as patch, killed_at(5, patch):
        train_in_step(TASK, dict(list(runs.items())[:2]), QUIET)
    sizes, step_of_all = [], in_step._step_of_all
    monkeypatch.setattr(in_step, "_step_of_all", lambda *a: sizes.append(len(a[1].step)) or step_of_all(*a))
    outcomes = train_in_step(TASK, runs, QUIET)
    assert [outcome.exit_code for outcome in outcomes.values()] == [0] * 4
    assert sizes == [2] * 4 + [4] * 4  # the new ones to step 4, where the old ones stand; then all
    require_same_end(runs, whole)


def test_in_step_a_signal_while_some_catch_up_stops_all(tmp_path, monkeypatch):
    runs, whole = seeds_of(tmp_path / "runs", 2, num_steps=8), seeds_of(tmp_path / "whole", 2, num_steps=8)
    train_in_step(TASK, whole, QUIET)
    with monkeypatch.context() as patch, killed_at(5, patch):
        train_in_step(TASK, dict(list(runs.items())[:1]), QUIET)
    with monkeypatch.context() as patch:
        step_of_all = in_step._step_of_all
        patch.setattr(in_step, "_step_of_all", lambda *a: os.kill(os.getpid(), signal.SIGTERM) or step_of_all(*a))
        outcomes = train_in_step(TASK, runs, QUIET)
    assert [outcome.exit_code for outcome in outcomes.values()] == [143, 143]
    assert not any((directory / "result.json").exists() for directory in runs)
    assert [o.exit_code for o in train_in_step(TASK, runs, QUIET).values()] == [0, 0]
    require_same_end(runs, whole)


def test_what_cannot_be_had_in_step_is_refused(tmp_path):
    with pytest.raises(UserError, match="--early_stopping_patience and --plateau_patience .*alone.* Use map, or leave"):
        train_all(TASK, seeds_of(tmp_path / "a", early_stopping_patience=2, plateau_patience=1), "vmap")
    with pytest.raises(UserError, match="differ in length.* Use map, or give --num_steps"):
        train_all(TASK, seeds_of(tmp_path / "b", own_text=True, num_epochs=1), "vmap")


UNEVEN = {
    "differ in length": {"own_text": True, "num_epochs": 1},
    "the states differ in shape": {"own_lanes": True, "num_steps": 6},
    "with --plateau_patience": {"plateau_patience": 1, "num_steps": 6},
}


@pytest.mark.parametrize("why", UNEVEN)
def test_auto_trains_in_turn_what_cannot_be_had_in_step(tmp_path, monkeypatch, capsys, why):
    """On an accelerator, where it would be in step; with the numbers of a run alone."""
    runs = seeds_of(tmp_path, 2, **UNEVEN[why])
    with monkeypatch.context() as patch:
        patch.setattr("rnn_jax.training.seeds.jax.default_backend", lambda: "gpu")
        outcomes = train_all(TASK, runs, "auto")
    assert [outcome.exit_code for outcome in outcomes.values()] == [0, 0]
    first, then = [line for line in capsys.readouterr().out.splitlines() if line.startswith("--seeds_mode=auto")]
    assert first == "--seeds_mode=auto: vmap" and then.startswith("--seeds_mode=auto: map, as ") and why in then
    for directory, config in runs.items():
        train_in(TASK, tmp_path / "alone" / directory.name, config)
        assert lines(directory) == lines(tmp_path / "alone" / directory.name)


def test_runs_of_one_program_differ_in_seed_and_rates_alone():
    base = configured(optimizer="adamw", weight_decay=0.1)
    same = with_overrides(base, {"seed": 3, "learning_rate": 0.5, "weight_decay": 0.7, "log_every_steps": 9})
    assert shared(base) == shared(same)
    for change in ({"weight_decay": 0.0}, {"hidden_size": (9,)}, {"beta1": 0.5}, {"num_epochs": 7}):
        assert shared(with_overrides(base, change)) != shared(base)


def test_the_width_that_has_so_many_parameters(tmp_path):
    result = train(tmp_path, num_params=500, num_epochs=1)
    network = build(TASK, configured(num_params=500), TASK.read(Config(), None).codec)
    assert result["num_parameters"] == sum(leaf.size for leaf in jax.tree.leaves(network.shapes))
    assert abs(result["num_parameters"] - 500) < 60  # a unit more or less has about seventy
    assert network.config.hidden_size == (int(result["hidden_size"]),)


ON_DEVICES = """
import sys, jax
jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
import numpy as np
from training.toy_task import TASK, Config
from rnn_jax.config import with_overrides
from rnn_jax.training import fit
from rnn_jax.training.devices import data_mesh, place_state, shard_batch
from rnn_jax.training.prepare import first_state, prepare
compiled = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, *_, **__: compiled.append(event) if event.endswith("backend_compile_duration") else None)
prepared = prepare(TASK, with_overrides(Config(), {"batch_size": 6}))
state = place_state(first_state(prepared)[0], data_mesh())
counts = []
for step in range(12):
    state, sums = fit.train_step(prepared.program, state, shard_batch(prepared.source.batch(step), data_mesh()))
    counts.append(len(compiled))
assert len(set(counts)) == 1, counts  # one program, whatever step
if data_mesh().size > 1:
    assert all(not leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(state.carry))
    assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(state._replace(carry=())))
np.save(sys.argv[2], np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(state.params)]))
"""


def test_devices_agree_and_compile_once(tmp_path):
    """One, two and four: 6 lanes are filled up to 8 with rows of weight 0."""
    found = []
    for number in (1, 2, 4):
        path = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
        code = f"import sys; sys.path[:0] = {path!r}\n{ON_DEVICES}"
        file = tmp_path / f"{number}.npy"
        subprocess.run([sys.executable, "-c", code, str(number), str(file)], check=True)
        found.append(np.load(file))
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=2e-6)


RESUMED_ON_DEVICES = """
import sys, jax
jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
from training.test_fit import SIX_LANES
from training.toy_task import TASK
from rnn_jax.training.complete import train_in
from rnn_jax.training.session import Session
count = Session.count
def count_or_die(self, *arguments):
    count(self, *arguments)
    if self.step == int(sys.argv[3]):
        raise SystemExit(9)
Session.count = count_or_die
train_in(TASK, sys.argv[2], SIX_LANES)
"""
SIX_LANES = with_overrides(
    Config(), {"batch_size": 6, "num_epochs": 2, "checkpoint_every_steps": 2, "eval_every_steps": 6}
)


def test_a_carry_goes_on_whatever_the_devices(tmp_path):
    """6 lanes, which are 8 on four devices: from four to four, and to one, in the middle of an epoch."""
    whole = train_in(TASK, tmp_path / "whole", SIX_LANES)
    path = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    code = f"import sys; sys.path[:0] = {path!r}\n{RESUMED_ON_DEVICES}"
    for devices, step, ended in ((4, 3, 9), (4, 5, 9), (1, 0, 0)):
        command = [sys.executable, "-c", code, str(devices), str(tmp_path / "run"), str(step)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == ended, done.stderr
    assert lines(tmp_path / "run") == [pytest.approx(line, rel=1e-4) for line in lines(tmp_path / "whole")]
    assert json.loads((tmp_path / "run/result.json").read_text())["test/loss"] == pytest.approx(whole["test/loss"])


def test_networks_are_made_from_the_seed():
    first, same, other = (first_state(prepare(TASK, configured(seed=seed)))[0].params for seed in (0, 0, 1))
    pairs = zip(*(jax.tree.leaves(params) for params in (first, same, other)), strict=True)
    equal = [(bool((a == b).all()), bool((a == c).all())) for a, b, c in pairs]
    assert all(same for same, _ in equal) and not all(other for _, other in equal)
    assert make_model is TASK.make_model
