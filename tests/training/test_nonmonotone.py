"""NT-ASGD beside a plain loop of its algorithm: when the mean begins, what it is, and what kills leave of it."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from oracles.jitting import counted_programs
from training.toy_runs import QUIET, configured, killed_at, lines, saved
from training.toy_task import TASK, loss

from rnn_jax.config import refuse_idle_changes, with_overrides
from rnn_jax.errors import UserError
from rnn_jax.training.complete import train_in
from rnn_jax.training.in_step import train_in_step
from rnn_jax.training.nonmonotone import NonmonotoneTrigger, begun, include, mean_or, not_begun
from rnn_jax.training.prepare import first_state, prepare
from rnn_jax.training.seeds import train_all
from rnn_jax.training.task import Trained
from rnn_jax.training.trained import load

LEARNING_RATE, STEPS, EVERY = 3.0, 24, 2  # so high that the validation loss soon rises and falls
# Of these seeds the mean begins at different evaluations, by margins that no processor's rounding makes up for.
KNOBS = {"optimizer": "sgd", "learning_rate": LEARNING_RATE, "num_steps": STEPS, "eval_every_steps": EVERY}
SAID = "averaging the weights from here on."


def nonmonotone(interval=2, **knobs):
    return configured(**KNOBS | {"nonmonotone_interval": interval} | knobs)


def algorithm_1(config):
    """Evaluated weights, their validation losses, and T: plain SGD, a list of losses and of all weights."""
    prepared, interval = prepare(TASK, config), config.optimizer.nonmonotone_interval
    state, _ = first_state(prepared)
    graph, w, carry = prepared.network.graph, state.params, state.carry

    def loss_of(w, batch, carry):
        sums, carry = loss(nnx.merge(graph, w), batch, carry, None)
        return sums["loss"][0] / sums["loss"][1], carry

    gradient = jax.jit(jax.grad(loss_of, has_aux=True))
    logs, iterates, evaluated, trigger = [], [], [], None
    for k in range(1, STEPS + 1):
        gradients, carry = gradient(w, prepared.source.batch(k - 1), carry)
        w = jax.tree.map(lambda w, g: w - LEARNING_RATE * g, w, gradients)
        iterates.append(w)
        if k % EVERY == 0:
            since = [w] if trigger is None else iterates[trigger:]
            mean = jax.tree.map(lambda *ws: jnp.asarray(np.mean(ws, axis=0, dtype=np.float64), jnp.float32), *since)
            trained = Trained(TASK, config, prepared.data.codec, graph, mean)
            v = TASK.score(trained, prepared.data.parts["validation"]).metrics["loss"]
            if trigger is None and len(logs) > interval and v > min(logs[:-interval]):
                trigger = k
            logs.append(v)
            evaluated.append(mean)
    return evaluated, logs, trigger


def recording():
    """The toy task, and the list that its evaluations during training add their weights to."""
    seen = []

    def score(trained, part):
        if not trained.is_final:
            seen.append(jax.device_get(trained.params))
        return TASK.score(trained, part)

    return TASK._replace(score=score), seen


def assert_close(ours, theirs, **tolerance):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


@pytest.mark.parametrize(("interval", "seed", "expected"), [(2, 0, 18), (1, 5, 10), (1, 1, 18)])
def test_evaluated_weights_are_those_of_a_plain_loop(tmp_path, capsys, interval, seed, expected):
    config = nonmonotone(interval, seed=seed)
    evaluated, losses, trigger = algorithm_1(config)
    assert trigger == expected
    task, seen = recording()
    train_in(task, tmp_path, config)
    assert len(seen) == len(evaluated) == STEPS // EVERY
    for ours, theirs in zip(seen, evaluated, strict=True):
        assert_close(ours, theirs, atol=2e-4)
    scores = [line for line in lines(tmp_path) if "validation/loss" in line]
    assert [line["step"] for line in scores] == list(range(EVERY, STEPS + 1, EVERY))
    np.testing.assert_allclose([line["validation/loss"] for line in scores], losses, rtol=1e-3)
    assert {line["learning_rate"] for line in lines(tmp_path)} == {LEARNING_RATE}
    said = capsys.readouterr().out.splitlines()
    (place,) = [number for number, line in enumerate(said) if SAID in line]
    assert (
        f" step {trigger} " in said[place - 1] and f"the best of all before it but the last {interval}:" in said[place]
    )
    best = int(np.argmin(losses))
    assert EVERY * (best + 1) > trigger  # a mean
    assert_close(load(TASK, tmp_path).params, seen[best], rtol=0)  # to the bit


def test_updates_are_those_without_it(tmp_path):
    """The mean begins, and the weights go on as if it had not; without it there is no copy of them."""
    config, without = nonmonotone(), nonmonotone(0)
    train_in(TASK, tmp_path / "with", config)
    train_in(TASK, tmp_path / "without", without)
    ours, theirs = (saved(tmp_path / "with", config)[0], saved(tmp_path / "without", without)[0])
    assert np.frombuffer(ours[".mean.count"], np.int32) > 0
    assert {path for path in ours if not path.startswith(".mean")} == theirs.keys()
    assert not any(path.startswith((".mean", ".ema")) for path in theirs)
    for path, array in theirs.items():
        if path.startswith(".params"):
            np.testing.assert_allclose(*(np.frombuffer(a, np.float32) for a in (ours[path], array)), atol=2e-4)


def checked_by_definition(scores, interval):
    """The numbers of the evaluations at which v is worse than all but the last n."""
    logs, found = [], []
    for number, score in enumerate(scores):
        if len(logs) > interval and score < max(logs[:-interval]):
            found.append(number)
        logs.append(score)
    return found


@pytest.mark.parametrize("interval", [1, 2, 3, 5])
def test_the_trigger_is_the_definition_and_goes_on_from_json(interval):
    for seed in range(20):
        scores = [(float(a), float(b)) for a, b in np.random.default_rng(seed).integers(0, 4, (14, 2))]
        trigger, found = NonmonotoneTrigger(interval), []
        for number, score in enumerate(scores):
            found += [number] if trigger.update(score) else []
            assert len(trigger.ranks) <= interval + 1
            trigger = NonmonotoneTrigger(interval, json.loads(json.dumps(trigger.ranks)))
        assert found == checked_by_definition(scores, interval)


def test_the_trigger_by_hand():
    """With n = 2 the fourth is compared with the first, and so on; a tie is not worse, and nor is a new best."""
    two, one, never = map(NonmonotoneTrigger, (2, 1, 0))
    scores = [0.6, 0.9, 0.8, 0.6, 0.9, 0.95, 0.85]  # the last one's is 0.9, of all before 0.9 and 0.95
    assert [two.update((score,)) for score in scores] == [False] * 6 + [True]
    assert [one.update((score,)) for score in (0.6, 0.5, 0.4)] == [False, False, True]
    assert [never.update((score,)) for score in (0.6, 0.5, 0.4)] == [False] * 3 and never.ranks == []


def test_a_mean_is_that_of_the_weights_since_it_began():
    """Sums of NumPy in float64; one program all along; what is no number before it begins does not matter."""
    rng, compilations = np.random.default_rng(0), []
    weights = [{"w": rng.normal(size=(3, 2)).astype(np.float32), "b": np.float32(rng.normal())} for _ in range(200)]
    weights[3]["w"][0, 0] = np.nan

    @jax.jit
    def update(mean, params):
        compilations.append(1)
        mean = include(mean, params)
        return mean, mean_or(mean, params)

    mean = not_begun(weights[0])
    for number, params in enumerate(weights):
        if number == 7:
            mean = begun(mean)
            np.testing.assert_array_equal(mean_or(mean, params)["w"], params["w"])  # it has taken nothing in yet
        mean, used = update(mean, params)
        since = weights[7 : number + 1] or [params]
        for name in ("w", "b"):
            expected = np.mean([other[name] for other in since], axis=0, dtype=np.float64)
            np.testing.assert_allclose(used[name], expected, atol=1e-6)
            assert used[name].dtype == jnp.float32
    assert int(mean.count) == 193 and mean.count.dtype == jnp.int32 and len(compilations) == 1


@pytest.mark.parametrize("step", [17, 19, 20, 23])
def test_a_killed_run_ends_as_an_undisturbed_one(tmp_path, step, monkeypatch):
    """The mean begins after step 18: back to before it, to just then, to in between two evaluations."""
    config = nonmonotone(checkpoint_every_steps=3)
    whole = train_in(TASK, tmp_path / "whole", config)
    with monkeypatch.context() as patch, killed_at(step, patch):
        train_in(TASK, tmp_path / "killed", config)
    resumed = train_in(TASK, tmp_path / "killed", config)
    assert {n: v for n, v in resumed.items() if "/" in n} == {n: v for n, v in whole.items() if "/" in n}
    for kind in ("latest", "best"):
        assert saved(tmp_path / "killed", config, kind) == saved(tmp_path / "whole", config, kind)
    assert lines(tmp_path / "killed") == lines(tmp_path / "whole")
    assert np.frombuffer(saved(tmp_path / "whole", config)[0][".mean.count"], np.int32) == STEPS - 18


def test_it_begins_once_and_early_stopping_counts_on(tmp_path, capsys):
    config = nonmonotone(1, seed=1, early_stopping_patience=3)
    train_in(TASK, tmp_path, config)
    scores = [line["validation/loss"] for line in lines(tmp_path) if "validation/loss" in line]
    waited = [number - int(np.argmin(scores[: number + 1])) for number in range(len(scores))]
    assert max(waited) <= 3 and (waited[-1] == 3 or len(scores) == STEPS // EVERY)
    assert capsys.readouterr().out.count(SAID) == 1


def test_evaluations_to_be_averaged_are_those_of_the_mean(tmp_path):
    config = nonmonotone(average_checkpoints=3, average_checkpoints_from="last")
    task, seen = recording()
    train_in(task, tmp_path, config)
    expected = jax.tree.map(lambda *ws: np.mean(ws, axis=0, dtype=np.float64), *seen[-3:])
    assert_close(load(TASK, tmp_path).params, expected, rtol=1e-6, atol=1e-7)


def test_one_program_for_all_updates(tmp_path):
    config = nonmonotone(hidden_size=(9,))
    with counted_programs() as programs:
        train_in(TASK, tmp_path, config)
    assert np.frombuffer(saved(tmp_path, config)[0][".mean.count"], np.int32) > 0
    assert programs["update"] == 1


TRIGGERS = {5: 10, 0: 18, 2: 20}  # by seed


def seeds_of(directory, count=3, **knobs):
    return {directory / f"seed_{seed}": nonmonotone(1, seed=seed, **knobs) for seed in list(TRIGGERS)[:count]}


def require_as_alone(runs, alone):
    for (directory, config), began in zip(runs.items(), TRIGGERS.values()):
        other = alone / directory.name
        if not (other / "result.json").exists():
            train_in(TASK, other, config)
        (got, host), (expected, host_alone) = saved(directory, config), saved(other, config)
        assert np.frombuffer(got[".mean.count"], np.int32) == STEPS - began
        np.testing.assert_allclose(host["nonmonotone"], host_alone["nonmonotone"], rtol=1e-3)
        for path, array in expected.items():
            if path.startswith((".mean.params", ".params")):
                np.testing.assert_allclose(*(np.frombuffer(a, np.float32) for a in (got[path], array)), atol=2e-3)
        assert lines(directory) == [pytest.approx(line, rel=5e-3) for line in lines(other)]
        assert (directory / "run.log").read_text().count(SAID) == 1


def test_in_step_each_has_its_own_trigger(tmp_path, monkeypatch):
    """Begun in step, killed in step, and as alone in the end."""
    runs = seeds_of(tmp_path / "together")
    outcomes = train_all(TASK, runs, "vmap")
    assert [outcome.exit_code for outcome in outcomes.values()] == [0] * 3
    require_as_alone(runs, tmp_path / "alone")
    again = seeds_of(tmp_path / "killed", checkpoint_every_steps=3)
    with monkeypatch.context() as patch, killed_at(17, patch):
        train_in_step(TASK, again, QUIET)
    train_in_step(TASK, again, QUIET)
    for directory, config in again.items():
        whole = tmp_path / "together" / directory.name
        assert saved(directory, config) == saved(whole, runs[whole])
        assert lines(directory) == lines(whole)


ON_DEVICES = """
import jax, sys
from pathlib import Path
jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
from oracles.jitting import counted_programs
from training.test_nonmonotone import nonmonotone, seeds_of
from training.toy_task import TASK
from rnn_jax.training.complete import train_in
from rnn_jax.training.in_step import train_in_step
with counted_programs() as programs:
    train_in(TASK, sys.argv[2] + "/one", nonmonotone())
    train_in_step(TASK, seeds_of(Path(sys.argv[2]), 2), lambda text: None)
assert programs["update"] == programs["_step_of_all"] == 1, programs
"""


def test_two_devices_give_the_numbers_of_one(tmp_path):
    """With one program each, alone and in step."""
    path = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    code = f"import sys; sys.path[:0] = {path!r}\n{ON_DEVICES}"
    done = subprocess.run([sys.executable, "-c", code, "2", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    require_as_alone(seeds_of(tmp_path, 2), tmp_path / "alone")
    train_in(TASK, tmp_path / "alone/one", nonmonotone())
    assert lines(tmp_path / "one") == [pytest.approx(line, rel=5e-3) for line in lines(tmp_path / "alone/one")]


def test_beside_an_ema_it_is_refused():
    refuse_idle_changes(nonmonotone(5))
    with pytest.raises(UserError, match=r"--nonmonotone_interval needs --ema_decay=0\.0"):
        refuse_idle_changes(with_overrides(nonmonotone(5), {"ema_decay": 0.9}))
    with pytest.raises(UserError, match="nonmonotone_interval.*at least 0"):
        nonmonotone(-1)
