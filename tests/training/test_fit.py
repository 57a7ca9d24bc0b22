"""Training of any task: the carry goes on, interrupted runs end alike, seeds share what they can, devices agree."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from training.toy_runs import SIX_LANES, Killed, configured, killed_at, lines, saved
from training.toy_task import TASK, Config, LanguageModel, Poisoned, SizelessConfig, loss

from rnn_jax.config import with_overrides
from rnn_jax.errors import UserError
from rnn_jax.files import read_json
from rnn_jax.training import fit
from rnn_jax.training.build import build
from rnn_jax.training.complete import train_in
from rnn_jax.training.prepare import first_state, prepare
from rnn_jax.training.same_program import shared
from rnn_jax.training.session import Session
from rnn_jax.training.trained import load


def train(directory, **knobs):
    return train_in(TASK, directory, configured(**knobs))


def test_what_is_learned_is_found_again(tmp_path):
    result = train(tmp_path / "run", num_epochs=30)
    assert result["test/loss"] < 0.6 and result["test/accuracy"] > 0.8  # one letter of ten is skipped: 0.33 nats, 90 %
    trained = load(TASK, tmp_path / "run")
    assert [answer["next"] for answer in trained.answer(["abcdeab", "cdeabcd"])] == ["c", "e"]
    assert TASK.score(trained, TASK.read(Config(), None).parts["test"]).metrics == {
        "loss": result["test/loss"], "accuracy": result["test/accuracy"]
    }  # fmt: skip


def test_what_goes_wrong_in_pictures_costs_no_result(tmp_path, caplog):
    """But a message for people ends the run, which goes on from there."""

    def illustrate(trained, name, part, details, run):
        raise RuntimeError(f"no ink for {name}")

    def examples(trained, part):
        yield "one"
        raise MemoryError("no paper")

    def unwritable(trained, name, part, details, run):
        raise UserError("the disk is full")

    config = configured(num_steps=2)
    with pytest.raises(UserError, match="the disk is full"):
        train_in(TASK._replace(illustrate=unwritable), tmp_path, config)
    result = train_in(TASK._replace(illustrate=illustrate, examples=examples), tmp_path, config)
    assert read_json(tmp_path / "result.json")["test/loss"] == result["test/loss"]
    for what in ("the pictures of test: RuntimeError: no ink for test", "the examples: MemoryError: no paper"):
        assert f"could not make {what}" in caplog.text


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


def test_a_task_may_scale_the_learning_rate_of_an_update():
    def slowed(model, batch, carry, key):
        sums, carry = loss(model, batch, carry, key)
        return sums | {"rate_factor": (jnp.float32(0.25), jnp.float32(1))}, carry

    prepared = prepare(TASK, configured(optimizer="sgd", learning_rate=1.0, clip_global_norm=0.1))
    state, _ = first_state(prepared)
    batch = jax.tree.map(jnp.asarray, prepared.source.batch(0))
    plain, _ = fit.update(prepared.program, state, batch)
    slow, sums = fit.update(dataclasses.replace(prepared.program, loss=slowed), state, batch)
    assert sums["rate_factor"][0] == 0.25
    for before, a, b in zip(*map(jax.tree.leaves, (state.params, plain.params, slow.params)), strict=True):
        np.testing.assert_allclose(b - before, (a - before) / 4, rtol=1e-4, atol=1e-7)


def test_the_carry_matters():
    """With the carry of another text, the loss is another one; where a batch resets, it is not."""
    prepared = prepare(TASK, configured())
    state, _ = first_state(prepared)
    other = jax.tree.map(lambda leaf: leaf + 0.5, state.carry)
    model = fit.nnx.merge(prepared.network.graph, state.params)
    first, second = (jax.tree.map(jnp.asarray, prepared.source.batch(step)) for step in (0, 1))
    of = lambda batch, carry: float(loss(model, batch, carry, None)[0]["loss"][0])  # noqa: E731
    assert of(first, state.carry) == of(first, other) and of(second, state.carry) != of(second, other)


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
    # Embedding 6 × 4; GRU (4 + 3 + 1) × 9 and 3 for b_hn; output 3 × 6 + 6.
    assert result["num_parameters"] == 24 + 75 + 24 and "hidden_size" not in result
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


HERE = Path(__file__)
FINDING_THE_TESTS = f"import sys; sys.path[:0] = [{str(HERE.parents[1])!r}, {str(HERE.parents[2])!r}]\n"
ON_DEVICES = """
import sys, jax
jax.config.update("jax_num_cpu_devices", 4)
import numpy as np
from oracles.jitting import counted_programs
from training.toy_task import TASK, Config
from rnn_jax.config import with_overrides
from rnn_jax.training import fit
from rnn_jax.training.devices import data_mesh, place_state, shard_batch
from rnn_jax.training.prepare import first_state, prepare
devices = jax.devices()
for number in (1, 2, 4):
    jax.devices = lambda: devices[:number]
    mesh, prepared = data_mesh(), prepare(TASK, with_overrides(Config(), {"batch_size": 6}))
    state = place_state(first_state(prepared)[0], mesh)
    with counted_programs() as programs:
        for step in range(12):
            state, sums = fit.train_step(prepared.program, state, shard_batch(prepared.source.batch(step), mesh))
    assert programs == {"update": 1}, programs  # one program, whatever step
    assert {len(leaf.devices()) for leaf in jax.tree.leaves(state)} == {number}
    if number > 1:
        assert all(not leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(state.carry))
        assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(state._replace(carry=())))
    np.save(f"{sys.argv[1]}/{number}.npy", np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(state.params)]))
"""


def test_devices_agree_and_compile_once(tmp_path):
    """One, two and four: 6 lanes are filled up to 8 with rows of weight 0."""
    subprocess.run([sys.executable, "-c", FINDING_THE_TESTS + ON_DEVICES, str(tmp_path)], check=True)
    found = [np.load(tmp_path / f"{number}.npy") for number in (1, 2, 4)]
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=2e-6)


RESUMED_ON_DEVICES = """
import sys, jax
jax.config.update("jax_num_cpu_devices", 4)
from training.toy_runs import SIX_LANES
from training.toy_task import TASK
from rnn_jax.training.complete import train_in
from rnn_jax.training.session import Session
count = Session.count
def count_or_die(self, *arguments):
    count(self, *arguments)
    if self.step == last:
        raise SystemExit(9)
Session.count = count_or_die
for last in (3, 5):
    try:
        train_in(TASK, sys.argv[1], SIX_LANES)
    except SystemExit as end:
        assert end.code == 9
        print("ended at", last)
"""


def test_a_carry_goes_on_whatever_the_devices(tmp_path):
    """6 lanes, which are 8 on four devices: from four to four, and to one, in the middle of an epoch."""
    whole = train_in(TASK, tmp_path / "whole", SIX_LANES)
    command = [sys.executable, "-c", FINDING_THE_TESTS + RESUMED_ON_DEVICES, str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and re.findall(r"ended at (\d)", done.stdout) == ["3", "5"], done.stderr
    assert not (tmp_path / "run" / "result.json").exists()
    train_in(TASK, tmp_path / "run", SIX_LANES)
    assert lines(tmp_path / "run") == [pytest.approx(line, rel=1e-4) for line in lines(tmp_path / "whole")]
    assert json.loads((tmp_path / "run/result.json").read_text())["test/loss"] == pytest.approx(whole["test/loss"])


def test_networks_are_made_from_the_seed():
    first, same, other = (first_state(prepare(TASK, configured(seed=seed)))[0].params for seed in (0, 0, 1))
    pairs = zip(*(jax.tree.leaves(params) for params in (first, same, other)), strict=True)
    equal = [(bool((a == b).all()), bool((a == c).all())) for a, b, c in pairs]
    assert all(same for same, _ in equal) and not all(other for _, other in equal)
