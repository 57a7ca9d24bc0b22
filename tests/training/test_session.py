"""A session around a small training: learning rates on a plateau, averages, and resuming bit for bit."""

import dataclasses
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training import toy_task

from rnn_jax.config import group, with_overrides
from rnn_jax.data.codec import Codec
from rnn_jax.errors import TrainingDiverged, UserError
from rnn_jax.files import read_metrics
from rnn_jax.metrics.directions import MAXIMISE, MINIMISE
from rnn_jax.training.checkpoint import Checkpointer
from rnn_jax.training.complete import train_in
from rnn_jax.training.modes import run_mode
from rnn_jax.training.optimizer import make_optimizer, make_schedule
from rnn_jax.training.optimizer_config import OptimizerConfig
from rnn_jax.training.plan import Plan
from rnn_jax.training.plateau import learning_rate_scale
from rnn_jax.training.run import open_run
from rnn_jax.training.run_config import Invocation, RunConfig
from rnn_jax.training.session import Session
from rnn_jax.training.state import TrainState, apply_gradients, create_state, evaluation_params
from rnn_jax.training.task import Scored
from rnn_jax.training.trained import restore_params
from rnn_jax.training.window import means, of_each, to_floats

TOTAL, PER_EPOCH = 9, 4
START, SHAPES = [1.0, -2.0, 0.5], {"w": jax.ShapeDtypeStruct((3,), jnp.float32)}
TARGETS = np.random.default_rng(0).normal(size=(TOTAL, 3)).astype(np.float32)
SCORES = [0.5, 0.4, 0.4, 0.3, 0.3, 0.6, 0.6, 0.5, 0.5]  # of the evaluation after each step
DEFAULTS = {"optimizer": "sgd", "learning_rate": 0.4, "checkpoint_every_seconds": 0.0, "log_every_steps": 1}


@dataclasses.dataclass(frozen=True)
class Config:
    optimizer: OptimizerConfig = group(OptimizerConfig, "optimiser")
    run: RunConfig = group(RunConfig, "run")


TASK = toy_task.TASK._replace(config=Config, codec=Codec, metrics={"accuracy": MAXIMISE, "loss": MINIMISE})


def configured(**knobs) -> Config:
    return with_overrides(Config(), DEFAULTS | knobs)


def plan_of(config: Config) -> Plan:
    return Plan(PER_EPOCH, TOTAL, make_schedule(config.optimizer, TOTAL))


def initial_state(config: Config, w=START, **fields):
    optimizer = make_optimizer(config.optimizer, TOTAL)
    return create_state({"w": jnp.array(w)}, optimizer, config.optimizer.ema_decay)._replace(**fields)


def train(workdir, config: Config, crash=lambda session: None, scores=SCORES, losses=None, data="rows"):
    """½‖w − target‖² with a target for each step; after each one `crash` may raise. The last state and all weights.

    scores, losses: of the evaluation after each step. data: the digest of the targets.
    """
    state, decay = initial_state(config), config.optimizer.ema_decay

    @jax.jit
    def step_of(state: TrainState, target: jax.Array):
        loss, grads = jax.value_and_grad(lambda params: 0.5 * jnp.sum((params["w"] - target) ** 2))(state.params)
        state, norms = apply_gradients(state, grads, make_optimizer(config.optimizer, TOTAL), decay)
        return state, {"loss": (3 * loss, 3.0), "gradient_norm": (norms["gradient_norm"], 1.0)}

    weights = {}
    with (
        open_run(workdir, "toy", config) as run,
        Session(TASK, config, run, plan_of(config), Codec(), data) as session,
    ):
        state = jax.device_put(session.restore(state))
        session.begin(["toy"])

        def evaluate(state: TrainState) -> Scored:
            loss = {} if losses is None else {"loss": losses[session.step - 1]}
            return Scored({"accuracy": scores[session.step - 1], **loss})

        for target in TARGETS[session.step :]:
            if session.exhausted:
                break
            state, sums = step_of(state, target)
            weights[session.step + 1] = np.asarray(evaluation_params(state, decay)["w"])
            session.count(sums, 3)
            if any(due := session.due()):
                state = session.after(state, due, evaluate)
            crash(session)
    return state, weights


def lines_of(workdir) -> list[dict]:
    """metrics.jsonl without the clock."""
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def test_the_learning_rate_falls_after_evaluations_without_a_new_best(tmp_path, capsys):
    """Two without a best after steps 3, 5 and 8 (a tie is none): × 0.3 each from the next step on, in log and in fact.

    On top of the schedule: a warm-up of two steps.
    """
    state, weights = train(
        tmp_path, configured(eval_every_steps=1, plateau_patience=2, plateau_factor=0.3, warmup_steps=2)
    )
    rates = [0.2, 0.4, 0.4, 0.12, 0.12, 0.036, 0.036, 0.036, 0.0108]
    np.testing.assert_allclose([line["learning_rate"] for line in lines_of(tmp_path)], rates, rtol=1e-6)
    w = np.array(START)
    for step, (rate, target) in enumerate(zip(rates, TARGETS, strict=True), start=1):
        w = w - rate * (w - target)
        np.testing.assert_allclose(weights[step], w, rtol=1e-5, atol=1e-6)
    assert learning_rate_scale(state.opt_state) == pytest.approx(0.3**3, rel=1e-6)
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("No new best")]
    assert said == [f"No new best in 2 evaluations: learning rate × {scale}." for scale in ("0.3", "0.09", "0.027")]


def test_evaluations_and_not_steps_are_counted(tmp_path):
    """Evaluations after steps 2, 4, 6, 8 and 9: 0.5, 0.4 (one without a best), 0.6, 0.6, 0.5 (two: after the end)."""
    scores = [0.0, 0.5, 0.0, 0.4, 0.0, 0.6, 0.0, 0.6, 0.5]
    state, _ = train(tmp_path, configured(eval_every_steps=2, plateau_patience=1, plateau_factor=0.5), scores=scores)
    rates = [0.4, 0.4, 0.4, 0.4, 0.2, 0.2, 0.2, 0.2, 0.1]
    np.testing.assert_allclose([line["learning_rate"] for line in lines_of(tmp_path)], rates, rtol=1e-6)
    assert learning_rate_scale(state.opt_state) == 0.125  # also reduced after the last one


@pytest.mark.parametrize(("patience", "last_step"), [(2, 3), (4, 5), (5, 9)])
def test_early_stopping_counts_apart_from_the_plateau(tmp_path, patience, last_step):
    config = configured(eval_every_steps=1, plateau_patience=2, early_stopping_patience=patience)
    for _ in range(2):  # the same command again finds nothing to do
        train(tmp_path, config)
        assert [line["step"] for line in lines_of(tmp_path)] == list(range(1, last_step + 1))


def test_the_state_comes_back_as_it_was_but_for_a_plateau(tmp_path):
    config = configured(eval_every_steps=2, plateau_patience=1, optimizer="adam")
    states = [initial_state(config, [float(n)]) for n in range(6)]
    sums = {"loss": (jnp.float32(1.0), jnp.float32(1.0)), "gradient_norm": (jnp.float32(1.0), jnp.float32(1.0))}
    with (
        open_run(tmp_path, "toy", config) as run,
        Session(TASK, config, run, plan_of(config), Codec(), "rows") as session,
    ):
        session.begin([])
        returned = []
        for state in states:
            session.count(sums, 1)
            returned.append(session.after(state, session.due(), lambda state: Scored({"accuracy": 0.5})))
        assert [after is given for after, given in zip(returned, states)] == [True, True, True, False, True, False]
        assert [learning_rate_scale(state.opt_state) for state in returned] == [1.0, 1.0, 1.0, 0.5, 1.0, 0.5]
        assert returned[3].params is states[3].params
        with Checkpointer(run.checkpoints, config_hash=run.config_hash) as saved:
            assert learning_rate_scale(saved.restore_step(4, states[0]).tree.opt_state) == 0.5


def die(*args, **kwargs):
    raise KeyboardInterrupt


def kill_after(step: int):
    return lambda session: session.step == step and die()


def kill_before_the_checkpoint_of(step: int):
    """Metrics and kept parameters of the evaluation are written, the checkpoint isn't."""
    return lambda session: session.step == step - 1 and setattr(session._checkpoints, "save", die)


RESUMABLE = {"plateau_patience": 1, "plateau_factor": 0.3, "average_checkpoints": 2, "ema_decay": 0.9}
RESUMABLE |= {"optimizer": "adam", "eval_every_steps": 2, "log_every_steps": 3}


def saved_bytes(workdir, config: Config) -> list:
    """Latest and best checkpoint, host state included, and what is kept."""
    template = initial_state(config, [0.0] * 3)
    with open_run(workdir, "toy", config) as run:
        with Checkpointer(run.checkpoints, config_hash=run.config_hash) as saved:
            found = [saved.restore_latest(template), saved.restore_best(template)]
        with Checkpointer(run.path / "averaged", config_hash=run.config_hash) as kept:
            found += [kept.restore_step(step, template.params) for step in sorted(kept.extras())]
    return [(one.step, [leaf.tobytes() for leaf in jax.tree.leaves(one.tree)], one.extra) for one in found]


@pytest.mark.parametrize(
    ("crash", "every", "average"),
    [
        (kill_after(3), 0, "best"),  # back to step 2
        (kill_after(3), 1, "last"),  # from step 3, in the middle of what a log line is the mean of
        (kill_after(4), 0, "last"),  # just after an evaluation that lowered the learning rate
        (kill_after(8), 0, "best"),
        (kill_before_the_checkpoint_of(6), 0, "best"),
    ],
)
def test_a_resumed_session_ends_as_an_uninterrupted_one(tmp_path, crash, every, average):
    config = configured(**RESUMABLE, average_checkpoints_from=average, checkpoint_every_steps=every)
    whole, weights = train(tmp_path / "whole", config)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "killed", config, crash)
    resumed, _ = train(tmp_path / "killed", config)
    assert jax.tree.structure(resumed) == jax.tree.structure(whole)
    for ours, theirs in zip(jax.tree.leaves(resumed), jax.tree.leaves(whole), strict=True):
        assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes()
    assert lines_of(tmp_path / "killed") == lines_of(tmp_path / "whole")
    assert [line["step"] for line in lines_of(tmp_path / "whole")] == [2, 3, 4, 6, 8, 9]
    assert saved_bytes(tmp_path / "killed", config) == saved_bytes(tmp_path / "whole", config)
    kept = [6, 9] if average == "best" else [8, 9]  # of the ties 8 and 9 the later
    assert [step for step, *_ in saved_bytes(tmp_path / "killed", config)] == [9, 6, *kept]
    with open_run(tmp_path / "killed", "toy", config) as run:
        mean = np.mean([weights[step].astype(np.float64) for step in kept], axis=0).astype(np.float32)
        np.testing.assert_array_equal(restore_params(run, SHAPES, config)["w"], mean)


def test_a_run_of_an_earlier_release_goes_on(tmp_path):
    """Its checkpoints hold neither the plateau's count nor kept parameters."""
    config = configured(eval_every_steps=2)
    state = initial_state(config, step=jnp.int32(5))
    with (
        open_run(tmp_path, "toy", config) as run,
        Checkpointer(run.checkpoints, config_hash=run.config_hash) as saved,
    ):
        # Of each update since the last line: means, not sums.
        saved.save(5, state, {"best": [0.6], "waited": 1, "window": [{"loss": 2.5, "gradient_norm": 0.5}]})
        (run.path / "codec.json").write_text(Codec().document)
    train(tmp_path, config)
    assert [line["step"] for line in lines_of(tmp_path)] == [6, 7, 8, 9]
    loss = 0.5 * np.sum((np.array(START) - TARGETS[5]) ** 2)
    assert lines_of(tmp_path)[0]["train/loss"] == pytest.approx((2.5 + 3 * loss) / 4)  # weights 1 and 3


# The distance from the targets grows a thousandfold in each update, the loss a millionfold from a first one near 2:
# powers of ten away from the limits below, so that no processor's rounding decides.
EXPLODING = {"learning_rate": 1001.0, "divergence_factor": 1e10, "eval_every_steps": 100}


def diverges(workdir, config: Config, **more) -> str:
    with pytest.raises(TrainingDiverged) as caught:
        train(workdir, config, **more)
    return str(caught.value)


def saved_names(workdir) -> list[str]:
    return sorted(path.name for path in workdir.glob("checkpoints/*"))


@pytest.mark.parametrize(("log_every", "logged"), [(1, [1, 2]), (2, [2]), (100, [])])
def test_a_finite_loss_above_the_limit_is_divergence(tmp_path, log_every, logged):
    """Named by its step, whenever the numbers are fetched; nothing of it is logged or saved."""
    said = diverges(tmp_path, configured(**EXPLODING, log_every_steps=log_every))
    assert said.startswith("training diverged at step 3: loss ") and "; the limit is " in said
    assert "No good checkpoint had been saved." in said
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == logged and saved_names(tmp_path) == []


def test_without_a_limit_only_what_is_not_finite_is_divergence(tmp_path):
    config = configured(**EXPLODING | {"divergence_factor": 0.0})
    assert "the limit is" not in diverges(tmp_path, config)  # beyond float32's 1e38
    assert len(lines_of(tmp_path)) >= 4


@pytest.mark.parametrize("crash", [lambda session: None, kill_after(1), kill_after(2)])
def test_a_state_that_the_next_update_finds_bad_is_no_checkpoint(tmp_path, crash):
    """That of step 2 is saved before its loss is known; a kill in between changes nothing, nor does another try."""
    config = configured(**EXPLODING, checkpoint_every_steps=1)
    with pytest.raises((TrainingDiverged, KeyboardInterrupt)):
        train(tmp_path, config, crash)
    for _ in range(2):
        said = diverges(tmp_path, config)
        assert said.startswith("training diverged at step 3: ") and "last good checkpoint, of step 1, is kept" in said
        assert saved_names(tmp_path) == ["latest_000000001"]


def test_a_state_that_its_evaluation_found_good_stays(tmp_path):
    config = configured(**EXPLODING | {"eval_every_steps": 2})
    assert "last good checkpoint, of step 2, is kept" in diverges(tmp_path, config, losses=[1.0] * TOTAL)
    assert saved_names(tmp_path) == ["best_000000002", "latest_000000002"]


@pytest.mark.parametrize("loss", [np.nan, np.inf, 1e9])
def test_an_evaluation_can_find_that_a_run_has_diverged(tmp_path, loss):
    """However high its score: it is not logged, not the best, and not among what is averaged."""
    config = configured(eval_every_steps=1, average_checkpoints=2)
    scores, losses = [0.1, 0.2, 0.9, *[0.0] * 6], [1.0, 1.0, loss, *[1.0] * 6]
    said = diverges(tmp_path, config, scores=scores, losses=losses)
    assert said.startswith(f"training diverged at step 3: validation loss {loss:g}")
    assert "last good checkpoint, of step 2, is kept" in said
    assert [line["step"] for line in lines_of(tmp_path)] == [1, 2]
    assert saved_names(tmp_path) == ["best_000000002", "latest_000000001", "latest_000000002"]
    assert sorted(path.name for path in tmp_path.glob("averaged/*")) == ["latest_000000001", "latest_000000002"]


def test_a_resumed_run_judges_by_the_first_loss_of_all(tmp_path):
    config = configured(eval_every_steps=100, checkpoint_every_steps=2)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, config, kill_after(4))
    first = lines_of(tmp_path)[0]["train/loss"]
    said = diverges(tmp_path, with_overrides(config, {"divergence_factor": 1e-6}))  # below any loss there is
    assert said.startswith("training diverged at step 5: ") and f"times the first loss of {first:g}, " in said


def test_the_seconds_count_from_the_last_checkpoint_of_whatever_reason(tmp_path, monkeypatch):
    """Four seconds a step, one in two of which saves: ten seconds without a checkpoint never pass."""
    now, steps, save = [0.0], [], Checkpointer.save
    monkeypatch.setattr("rnn_jax.training.stopping.time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(
        Checkpointer, "save", lambda self, step, *a, **k: steps.append(step) or save(self, step, *a, **k)
    )
    config = configured(checkpoint_every_seconds=10.0, checkpoint_every_steps=2)
    train(tmp_path, config, lambda session: now.append(now.pop() + 4))
    assert steps == [2, 4, 6, 8, 9]


@pytest.mark.parametrize(("process", "saves"), [(0, True), (1, False)])
def test_of_several_processes_the_clock_of_the_first_decides(tmp_path, monkeypatch, process, saves):
    config = configured(checkpoint_every_seconds=1e-9)
    with (
        open_run(tmp_path, "toy", config) as run,
        Session(TASK, config, run, plan_of(config), Codec(), "rows") as session,
        monkeypatch.context() as patch,
    ):
        session.begin([])
        session.count({"loss": (1.0, 1.0)}, 1)
        patch.setattr("rnn_jax.training.session.jax.process_index", lambda: process)
        assert session.due().saving == saves


def test_losses_are_means_over_what_has_weight():
    """train/loss is Σ total / Σ weight over the updates since the last line, not a mean of the batches' means."""
    window = [{"loss": (6.0, 3.0), "gradient_norm": (1.0, 1.0)}, {"loss": (1.0, 1.0), "gradient_norm": (2.0, 1.0)}]
    assert means(to_floats(window)) == {"loss": 7 / 4, "gradient_norm": 1.5}
    of_members = [{"loss": (np.array([6.0, 8.0]), np.array([3.0, 2.0]))}]
    assert means(to_floats(of_members, 1)) == {"loss": 4.0}
    fractions = [{"loss": (0.25, 0.125)}, {"loss": (0.5, 0.125)}, {"loss": (0.0, 0.0)}]
    assert of_each(fractions, "loss") == [2.0, 4.0, 0.0] and means(fractions) == {"loss": 3.0}


@pytest.mark.parametrize(
    ("what", "said"), [("data", "its rows, their order or their labels differ"), ("codec", "vocabulary")]
)
def test_changed_data_is_noticed(tmp_path, what, said):
    config = configured(eval_every_steps=2)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, config, kill_after(4))
    (manifest,) = (path for path in tmp_path.glob("checkpoints/latest_000000004/manifest.json"))
    with open_run(tmp_path, "toy", config) as run, Checkpointer(run.checkpoints, config_hash=run.config_hash) as saved:
        host = saved.extras()[4]
        assert host["data"] == "rows" and host["codec"] == Codec().digest and manifest.exists()
        state = jax.device_put(saved.restore_latest(initial_state(config)).tree)
        saved.save(4, state, host | {what: "other"})
    with pytest.raises(UserError, match=f"The training data is not what it was .*{said}"):
        train(tmp_path, config)


def test_the_metric_that_chooses_must_be_declared(tmp_path):
    """For training and --dry_run alike."""
    config = with_overrides(toy_task.Config(), {"select_by": "f1"})
    for does in (lambda: train_in(toy_task.TASK, tmp_path, config), lambda: run_dry(config)):
        with pytest.raises(UserError, match="--select_by=f1: allowed: loss, accuracy"):
            does()


def test_a_dry_run_refuses_an_optimizer_that_training_would():
    """As of a flagfile, where flags that do nothing are allowed."""
    with pytest.raises(UserError, match="needs --optimizer=adamw"):
        run_dry(with_overrides(toy_task.Config(), {"weight_decay": 0.1}))


def run_dry(config):
    run_mode(toy_task.TASK, config, Invocation(dry_run=True))


def test_the_declared_direction_chooses_the_best(tmp_path):
    config = configured(eval_every_steps=1, select_by="loss")
    train(tmp_path, config, losses=[3.0, 2.0, 0.5, 1.0, *[2.0] * 5], scores=[0.0, 0.0, 0.0, 1.0, *[0.0] * 5])
    assert "best_000000003" in saved_names(tmp_path)
