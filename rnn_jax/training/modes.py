"""What a command does to a task: train it, show what it would train, score it, apply it, export it."""

from pathlib import Path
from typing import Any

import jax

from rnn_jax.data.parts import choose_part
from rnn_jax.training import fit
from rnn_jax.training.answers import json_line, predict
from rnn_jax.training.complete import train_in
from rnn_jax.training.export import export
from rnn_jax.training.plan import describe, longest_batch, memory_estimate
from rnn_jax.training.prepare import first_state, prepare
from rnn_jax.training.run_config import Invocation
from rnn_jax.training.seeds import train_seeds
from rnn_jax.training.task import Task, Trained
from rnn_jax.training.trained import load
from rnn_jax.training.window import prefixed


def run_mode(task: Task, config: Any, invocation: Invocation) -> None:
    """Does what --mode, --dry_run and --num_seeds say."""
    if invocation.mode == "predict":
        predict(load(task, invocation.workdir, config), invocation.input)
    elif invocation.mode == "eval":
        evaluate(load(task, invocation.workdir, config), invocation.part)
    elif invocation.mode == "export":
        export(load(task, invocation.workdir, config), Path(invocation.workdir))
    elif invocation.dry_run:
        show_plan(task, config, with_memory=invocation.memory)
    elif invocation.num_seeds > 1:
        train_seeds(task, invocation.workdir, config, num_seeds=invocation.num_seeds, mode=invocation.seeds_mode)
    else:
        train_in(task, invocation.workdir, config)


def evaluate(trained: Trained, name: str) -> None:
    """--mode=eval: prints the metrics of one part as a JSON line."""
    task, config = trained.task, trained.config
    name, part = choose_part(
        config.data,
        name,
        lambda: task.read(config, trained.codec),
        lambda other: task.read_part(config, trained.codec, other),
    )
    metrics = task.score(trained, part).metrics | task.settings(config)
    print(json_line(prefixed(name, metrics)), end="")


def show_plan(task: Task, config: Any, *, with_memory: bool) -> None:
    """--dry_run: prints what a run would do; trains nothing and writes nothing."""
    prepared = prepare(task, config)
    print(describe(config, prepared.network.shapes, prepared.plan, prepared.source))
    if with_memory:
        state = jax.eval_shape(lambda: first_state(prepared)[0])
        batch = longest_batch(prepared.source)
        print(f"Memory: {memory_estimate(fit.train_step, prepared.program, state, batch)}.")
