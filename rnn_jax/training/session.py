"""The bookkeeping around a training loop: restore, show, log, evaluate, save, stop. The loop itself is the script's."""

import contextlib
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax

from rnn_jax.data.inputs import Inputs, require_unchanged_data
from rnn_jax.training.checkpoint import Checkpointer
from rnn_jax.training.devices import any_process
from rnn_jax.training.divergence import DivergenceRule, Finding, diverged
from rnn_jax.training.kept import KeptParams
from rnn_jax.training.plan import TrainingPlan
from rnn_jax.training.plateau import learning_rate_scale, reduce_learning_rate
from rnn_jax.training.progress import Progress
from rnn_jax.training.run import Run
from rnn_jax.training.state import TrainState
from rnn_jax.training.stopping import Patience, SaveTimer, StopSignal
from rnn_jax.training.window import Window, mean_over_steps, prefixed, shown, to_floats

Scores = dict[str, float]


class Session:
    """One process' share of a run: from its last checkpoint, or from the start, to the end or to a signal.

    with Session(config, run, plan, inputs, rank=lambda scores: (scores["accuracy"],)) as session:
        state = session.restore(state)
        session.begin("…")
        for batch in plan.batches(rows, session.step, seed=config.seed):
            if session.exhausted:
                break
            state, metrics = train_step(state, batch)
            state = session.after_step(state, metrics, evaluate, num_tokens=…)

    config: has the knobs of RunConfig and OptimizerConfig.
    rank: of an evaluation's scores, what checkpoints are compared by; a tuple whose later entries break ties.
    headline: the scores that are worth a line on the screen (default: all); metrics.jsonl gets every one.
    """

    def __init__(
        self,
        config: Any,
        run: Run,
        plan: TrainingPlan,
        inputs: Inputs,
        *,
        rank: Callable[[Scores], tuple[float, ...]],
        headline: tuple[str, ...] = (),
    ):
        self.config, self.run, self.plan, self.inputs = config, run, plan, inputs
        self._rank, self._headline = rank, headline
        self._eval_every = config.eval_every_steps or plan.steps_per_epoch
        self._patience = Patience(config.early_stopping_patience, best=(-math.inf,))
        self._plateau = Patience(config.plateau_patience, best=(-math.inf,))
        self._divergence = DivergenceRule(config.divergence_factor)
        self._scale = 1.0
        self._digest = inputs.digest()
        self._window: Window = []
        self.step = 0

    def __enter__(self) -> "Session":
        with contextlib.ExitStack() as stack:
            self._checkpoints = stack.enter_context(
                Checkpointer(self.run.checkpoints, config_hash=self.run.config_hash)
            )
            self._kept = KeptParams(self.run, self.config.average_checkpoints, self.config.average)
            stack.callback(self._kept.close)
            start = self._checkpoints.latest_step() or 0
            self._progress = stack.enter_context(Progress(self.plan.total_steps, start_step=start))
            self._stop = stack.enter_context(StopSignal())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._stack.__exit__(*exception)

    def restore(self, state: TrainState) -> TrainState:
        """The state of the latest checkpoint, where there is one."""
        if (restored := self._checkpoints.restore_latest(state)) is not None:
            self.step, state, host = restored
            # Runs of earlier releases have the digest in no checkpoint; their files tell it.
            began_with = host.get("inputs") or type(self.inputs).load(self.run.path).digest()
            require_unchanged_data(self.inputs, began_with, self.run.path)
            self._window = host["window"]
            self._patience = Patience(self.config.early_stopping_patience, host["best"], host["waited"])
            # Runs of earlier releases noted no first loss: the first one known takes its place.
            self._divergence = DivergenceRule(self.config.divergence_factor, host.get("first_loss"))
            before = host.get("plateau", [[-math.inf], 0])  # runs of earlier releases know nothing of it
            self._plateau = Patience(self.config.plateau_patience, *before)
            self._scale = learning_rate_scale(state.opt_state)
            self.say(f"Continuing at step {self.step} of {self.plan.total_steps}.")
        return state

    def begin(self, *lines: str) -> None:
        """Says what is about to happen, once nothing can be wrong any more; log lines of later steps go."""
        for line in lines:
            self.say(line)
        if self.step == 0 and jax.process_index() == 0:
            self.inputs.save(self.run.path)
        self.run.truncate_metrics(after_step=self.step)
        self._timer = SaveTimer(self.config.checkpoint_every_seconds, self.config.checkpoint_every_steps)

    @property
    def exhausted(self) -> bool:
        """True when --early_stopping_patience says that there is no more to gain."""
        return self._patience.exhausted

    def say(self, text: str) -> None:
        """A line that stays above the progress bar."""
        self._progress.message(text)

    def after_step(
        self,
        state: TrainState,
        metrics: Mapping[str, jax.Array],
        evaluate: Callable[[TrainState], Scores],
        *,
        num_tokens: int,
    ) -> TrainState:
        """Counts an update; shows, logs, evaluates and saves when it is time to. Returns the state to go on with.

        It is the state given, but for a learning rate that falls on a plateau.

        Raises:
          TrainingDiverged: by `DivergenceRule`, of this evaluation, or of an update since numbers were last fetched;
            nothing of it is logged, saved or kept.
          TrainingInterrupted: a signal came; the state is saved.
        """
        self.step += 1
        self._window.append(dict(metrics))
        self._progress.update(self.step, num_tokens, loss=metrics["loss"])
        stopping = any_process(self._stop.requested)
        evaluating = self._is_evaluated(self.step)
        logging = evaluating or self.step % self.config.log_every_steps == 0
        saving = evaluating or stopping or any_process(self._timer.due(self.step))
        if logging or saving:
            self._window = to_floats(self._window)
            losses, norms = [m["loss"] for m in self._window], [m["gradient_norm"] for m in self._window]
            self._stop_if_diverged(self._divergence.of_updates(losses, norms, self.step))
        validation, is_best = (evaluate(state) if evaluating else None), False
        if validation is not None and "loss" in validation:
            self._stop_if_diverged(self._divergence.of_evaluation(validation["loss"], self.step))
        if logging:
            is_best = self._log(validation)
        if validation is not None:
            rank = self._rank(validation)
            self._kept.add(self.step, state, rank, self.config.ema_decay)
            state = self._on_plateau(state, rank)
        if saving:
            host = {"best": self._patience.best, "waited": self._patience.waited, "window": self._window}
            host |= {"plateau": [self._plateau.best, self._plateau.waited], "inputs": self._digest}
            host |= {"first_loss": self._divergence.first_loss}
            self._checkpoints.save(self.step, state, host, best=is_best)
        if stopping:
            raise self._stop.interruption(self.step)
        return state

    def _is_evaluated(self, step: int) -> bool:
        return step % self._eval_every == 0 or step == self.plan.total_steps

    def _stop_if_diverged(self, found: Finding | None) -> None:
        """Raises TrainingDiverged, once the checkpoints are good ones.

        A state that was saved without an evaluation is judged by the next update, whose loss is that state's: where it
        is found bad, its checkpoint goes.
        """
        if found is None:
            return
        if not self._is_evaluated(found.state_step):
            self._checkpoints.withdraw(found.state_step)
        raise diverged(found, self.run.checkpoints, self._checkpoints.latest_step())

    def _on_plateau(self, state: TrainState, rank: tuple[float, ...]) -> TrainState:
        """The state with a lower learning rate, where --plateau_patience says so."""
        self._plateau.update(rank)
        if not self._plateau.exhausted:
            return state
        self._plateau.waited = 0
        state = state._replace(opt_state=reduce_learning_rate(state.opt_state, self.config.plateau_factor))
        self._scale = learning_rate_scale(state.opt_state)  # float32: a resumed run logs the same number
        self.say(f"No new best in {self.config.plateau_patience} evaluations: learning rate × {self._scale:.4g}.")
        return state

    def _log(self, validation: Scores | None) -> bool:
        """Writes a line of metrics, and with an evaluation's scores says them; True if they are the best so far."""
        scores = prefixed("train", mean_over_steps(self._window))
        scores |= {"learning_rate": float(self.plan.learning_rate(self.step - 1)) * self._scale}
        epoch, is_best = self.step / self.plan.steps_per_epoch, False
        if validation is not None:
            scores |= prefixed("validation", validation)
            is_best = self._patience.update(self._rank(validation))
            best = " · best so far" if is_best else ""
            hidden = {f"validation/{name}" for name in validation if self._headline and name not in self._headline}
            worth = {name: value for name, value in scores.items() if name not in hidden}
            self.say(f"epoch {epoch:.2f} · step {self.step} · {shown(worth)}{best}")
        self.run.log(self.step, epoch, scores)
        self._window = []
        return is_best
