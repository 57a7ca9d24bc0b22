"""Running the sentiment experiment from tests: in this process, or as users do, in one of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
from absl import flags

from experiments import sentiment
from rnn_jax.config import define_flags
from rnn_jax.data.text_inputs import TextInputs
from rnn_jax.training.app import Invocation, resolve
from rnn_jax.training.checkpoint import Checkpointer
from rnn_jax.training.optimizer import make_optimizer
from rnn_jax.training.run import read_run
from rnn_jax.training.state import create_state

ROOT = Path(__file__).parents[1]
SMALL = (
    "--embedding_size=8",
    "--hidden_size=8",
    "--batch_size=32",
    "--num_buckets=2",
    "--num_epochs=2",
    "--log_every_steps=3",
)
TINY = ("--train_split=train[:320]", "--validation_split=validation[:64]", "--test_split=test[:64]", *SMALL)


def run_here(*arguments):
    """The experiment's `main` in this process; user errors arrive as exceptions."""
    flag_values = flags.FlagValues()
    define_flags(Invocation, flag_values)
    define_flags(sentiment.Config, flag_values)
    flag_values(["sentiment", *arguments])
    return sentiment.main(*resolve(sentiment.Config, sentiment.EXPERIMENT, flag_values))


def start(*arguments, **environment):
    """The experiment as a process; processes of one test session share what they compile."""
    compiled = Path(os.environ["RNN_JAX_CACHE"]) / "compiled"
    environment = {
        "JAX_COMPILATION_CACHE_DIR": str(compiled),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        **environment,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.sentiment", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run(*arguments, text=b"", **environment):
    """(exit code, standard output, standard error) of the experiment as a process."""
    process = start(*arguments, **environment)
    out, err = process.communicate(text, timeout=300)
    return process.returncode, out.decode(), err.decode()


def metrics_of(workdir):
    """result.json without what differs between two runs of the same thing."""
    result = json.loads((Path(workdir) / "result.json").read_text())
    return {name: value for name, value in result.items() if "/" in name or name == "num_parameters"}


def lines_of(workdir):
    """metrics.jsonl without the clock."""
    lines = map(json.loads, (Path(workdir) / "metrics.jsonl").read_text().splitlines())
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def saved_state(workdir, kind="latest"):
    """The bytes of every array of the newest (or best) checkpoint, and the host state beside them."""
    config, run = read_run(workdir, sentiment.EXPERIMENT, sentiment.Config)
    optimizer = make_optimizer(config, 1000)
    steps = sentiment.steps_of(config, TextInputs.load(run.path), optimizer)
    template = jax.eval_shape(lambda: create_state(steps.init(), optimizer, config.ema_decay))
    with Checkpointer(run.checkpoints, config_hash=run.config_hash) as checkpoints:
        restored = getattr(checkpoints, f"restore_{kind}")(template)
    leaves = jax.tree_util.tree_leaves_with_path(restored.tree)
    arrays = {jax.tree_util.keystr(path): np.asarray(leaf).tobytes() for path, leaf in leaves}
    return restored.step, arrays, restored.extra
