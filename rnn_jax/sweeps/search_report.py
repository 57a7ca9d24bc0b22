"""What a search has found: search.md and search.png in its workdir, and a line for each trial that ends."""

from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from rnn_jax.errors import UserError
from rnn_jax.files import read_json, write_atomically
from rnn_jax.sweeps.commands import command_of, shell_line, value_text
from rnn_jax.sweeps.search_goal import Goal
from rnn_jax.training.plots import never_fails
from rnn_jax.training.run import read_run

_WORDS = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "unfinished",
    TrialState.WAITING: "waiting",
}


def status_of(trial: FrozenTrial) -> str:
    """finished, pruned, diverged, failed, unfinished or waiting."""
    return "diverged" if trial.user_attrs.get("diverged") else _WORDS[trial.state]


def best_of(study: optuna.Study) -> FrozenTrial | None:
    """The best of the finished trials, the first one of several; None while there is none."""
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    sign = 1.0 if study.direction == optuna.study.StudyDirection.MAXIMIZE else -1.0
    return max(finished, key=lambda trial: sign * (trial.value or 0.0), default=None)


def went_well(study: optuna.Study) -> bool:
    """True if some trial finished and none failed; that one was pruned or diverged is what searching is like."""
    states = {trial.state for trial in study.get_trials(deepcopy=False)}
    return TrialState.COMPLETE in states and TrialState.FAIL not in states


def trial_line(study: optuna.Study, number: int, goal: Goal) -> str:
    """What a trial has come to, in a line."""
    trial, best = study.get_trials(deepcopy=False)[number], best_of(study)
    parts = [f"trial {number} {status_of(trial)}"]
    if trial.value is not None:
        parts[0] += f": {goal.metric} {trial.value:.4f}"
    if status_of(trial) == "pruned" and trial.last_step is not None:
        parts[0] += f" at step {trial.last_step}"
    if best is not None:
        parts.append("best so far" if best.number == number else f"best so far {best.value:.4f} (trial {best.number})")
    parts.append(", ".join(f"{name}={shown(value)}" for name, value in trial.params.items()) or "no parameters")
    if "message" in trial.user_attrs and status_of(trial) == "failed":
        parts.append(trial.user_attrs["message"].splitlines()[-1])
    return " · ".join(parts)


def write_search_report(study: optuna.Study, goal: Goal, workdir: Path, *, final: bool = True) -> None:
    """Writes search.md; with `final` also what takes longer, search.png and the importance of parameters."""
    sections = [_heading(study, goal), _best(study, goal, workdir)]
    valued = any(trial.value is not None for trial in study.get_trials(deepcopy=False))
    if final and valued and draw_search(study, goal, workdir / "search.png"):
        sections.append(
            f"![{goal.metric} by trial](search.png)\n\nFinished trials as dots, pruned ones as crosses where they "
            "were stopped, failed ones on the lower edge; the line is the best so far."
        )
    sections += [_importances(study)] if final else []
    sections += [_table(study, goal), _messages(study)]
    write_atomically(workdir / "search.md", "\n\n".join(filter(None, sections)) + "\n")


def shown(value: Any) -> str:
    """A parameter's value for a table."""
    return f"{value:.4g}" if isinstance(value, float) else value_text(value)


def _heading(study: optuna.Study, goal: Goal) -> str:
    trials = study.get_trials(deepcopy=False)
    statuses = [status_of(trial) for trial in trials]
    counts = ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))
    better = "higher" if goal.sweep.maximize else "lower"
    text = f"# Search: {goal.sweep.title.rstrip('.')}\n\n"
    text += (
        f"{len(trials)} trials of {goal.sweep.module} by {goal.metric} ({better} is better): {counts or 'none yet'}."
    )
    if goal.metric != goal.sweep.metric:
        text += (
            f"\nThe sweep compares by {goal.sweep.metric}; a search goes by the validation data, because whatever has "
            "been used to choose is too good to be true afterwards. So are the numbers below: train the winner with "
            "other seeds before comparing it with anything."
        )
    return text


def _best(study: optuna.Study, goal: Goal, workdir: Path) -> str:
    best = best_of(study)
    if best is None:
        return "No trial has finished yet."
    text = f"## Best: trial {best.number}, {goal.metric} {best.value:.6g}"
    directory = workdir / "runs" / f"trial_{best.number:04d}"
    result_file = directory / "result.json"
    if goal.metric != goal.sweep.metric and result_file.exists():
        value = read_json(result_file).get(goal.sweep.metric)
        if isinstance(value, int | float):
            text += f"\n\n{goal.sweep.metric} of that run: {value:.6g}."
    config: Any
    try:  # what it was trained with, whatever the sweep file says today
        config, run = read_run(directory, goal.sweep.experiment, goal.sweep.config_class)
    except UserError as error:  # the run was deleted, the experiment has changed since
        return f"{text}\n\nNo command for it: {error}"
    run.close()
    return f"{text}\n\n```bash\n{shell_line(command_of(goal.sweep.module, config, 'runs/best'))}\n```"


def _importances(study: optuna.Study) -> str:
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(finished) < 5 or len({trial.value for trial in finished}) < 2:
        return ""
    try:
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    except (ImportError, RuntimeError, ValueError):  # further packages, or parameters that not all trials have
        return ""
    rows = "\n".join(f"| {name} | {share:.2f} |" for name, share in shares.items())
    return f"## Importance of the parameters\n\n| parameter | share (PED-ANOVA) |\n|---|---:|\n{rows}" if rows else ""


def _table(study: optuna.Study, goal: Goal) -> str:
    trials, best = study.get_trials(deepcopy=False), best_of(study)
    names = list(dict.fromkeys(name for trial in trials for name in trial.params))
    head = ["trial", "state", goal.metric, "last step", *names]
    lines = [f"| {' | '.join(head)} |", f"|---:|---|{'---:|' * (len(head) - 2)}"]
    for trial in trials:
        value = "" if trial.value is None else f"{trial.value:.6g}"
        step = "" if trial.last_step is None else str(trial.last_step)
        params = [shown(trial.params[name]) if name in trial.params else "" for name in names]
        cells = [str(trial.number), status_of(trial), value, step, *params]
        if best is not None and trial.number == best.number:
            cells = [f"**{cell}**" if cell else "" for cell in cells]
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "## Trials\n\n" + "\n".join(lines)


def _messages(study: optuna.Study) -> str:
    told = [trial for trial in study.get_trials(deepcopy=False) if "message" in trial.user_attrs]
    if not told:
        return ""
    parts = [f"Trial {trial.number} ({status_of(trial)}):\n\n```\n{trial.user_attrs['message']}\n```" for trial in told]
    return "## Messages\n\n" + "\n\n".join(parts)


@never_fails
def draw_search(figure: Any, study: optuna.Study, goal: Goal, png_path: Path) -> None:
    """The value of each trial, and the best so far."""
    trials = [trial for trial in study.get_trials(deepcopy=False) if trial.value is not None]
    finished = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    pruned = [trial for trial in trials if trial.state == TrialState.PRUNED]
    failed = study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
    figure.set_size_inches(8.0, 4.4)
    axes = figure.subplots()
    axes.plot([t.number for t in pruned], [t.value for t in pruned], "x", color="tab:gray", label="pruned")
    axes.plot([t.number for t in finished], [t.value for t in finished], "o", color="tab:blue", label="finished")
    best: list[float] = []
    for trial in finished:
        assert trial.value is not None
        better = max if goal.sweep.maximize else min
        best.append(better(best[-1], trial.value) if best else trial.value)
    if best:
        numbers = [*(trial.number for trial in finished), study.get_trials(deepcopy=False)[-1].number]
        axes.step(numbers, [*best, best[-1]], where="post", color="black", label="best so far")
    if failed:
        edge = axes.get_xaxis_transform()
        axes.plot(
            [t.number for t in failed], [0.02] * len(failed), "v", color="tab:red", transform=edge, label="failed"
        )
    axes.set_xlabel("trial")
    axes.set_ylabel(goal.metric)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
