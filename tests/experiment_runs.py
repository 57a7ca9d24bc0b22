"""Running an experiment from tests: in this process, or as users do, in one of its own."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import jax
import pytest
from absl import flags

from rnn_jax.config import define_flags
from rnn_jax.errors import UserError
from rnn_jax.training.app import resolve
from rnn_jax.training.checkpoint import Checkpointer
from rnn_jax.training.checkpoint_format import read_manifest
from rnn_jax.training.modes import run_mode
from rnn_jax.training.run import read_run
from rnn_jax.training.run_config import Invocation

ROOT = Path(__file__).parents[1]


@dataclasses.dataclass(frozen=True)
class ExperimentRuns:
    """One experiment: its script, and flags for a small model and little data."""

    script: ModuleType
    small: tuple[str, ...]
    tiny: tuple[str, ...]

    def _of_use(self, arguments):
        """Without the epochs of `small` where a number of steps is given beside them: they would do nothing."""
        in_steps = any(argument.startswith("--num_steps=") for argument in arguments)
        epochs = [flag for flag in self.small if flag.startswith("--num_epochs=") and in_steps]
        return [argument for argument in arguments if argument not in epochs]

    def run_here(self, *arguments):
        """What the experiment's script does, in this process; user errors arrive as exceptions."""
        arguments = self._of_use(arguments)
        flag_values = flags.FlagValues()
        define_flags(Invocation, flag_values)
        define_flags(self.script.Config, flag_values)
        flag_values([self.script.EXPERIMENT, *arguments])
        resolved = resolve(self.script.Config, self.script.EXPERIMENT, flag_values, argv=arguments)
        return run_mode(self.task, *resolved) if hasattr(self.script, "task") else self.script.main(*resolved)

    @property
    def task(self):
        """The experiment's task."""
        return self.script.task()

    def start(self, *arguments, **environment):
        """The experiment as a process; processes of one test session share what they compile."""
        arguments = self._of_use(arguments)
        compiled = Path(os.environ["RNN_JAX_CACHE"]) / "compiled"
        environment = {
            "JAX_COMPILATION_CACHE_DIR": str(compiled),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            **environment,
        }
        return subprocess.Popen(
            [sys.executable, "-m", f"experiments.{self.script.EXPERIMENT}", *arguments],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments, text=b"", **environment):
        """(exit code, standard output, standard error) of the experiment as a process."""
        process = self.start(*arguments, **environment)
        out, err = process.communicate(text, timeout=300)
        return process.returncode, out.decode(), err.decode()

    def is_refused(self, words, *arguments):
        """Running ends with a message that has all the words."""
        with pytest.raises(UserError) as error:
            self.run_here(*arguments)
        assert all(word in str(error.value) for word in words), str(error.value)

    def saved_state(self, workdir, kind="latest"):
        """The bytes of every array of the newest (or best) checkpoint, and the host state beside them."""
        run = read_run(workdir, self.script.EXPERIMENT, self.script.Config)[1]
        newest = max(run.checkpoints.glob(f"{kind}_*"))
        arrays = read_manifest(newest)["arrays"]
        template = {path: jax.ShapeDtypeStruct(given["shape"], given["dtype"]) for path, given in arrays.items()}
        with Checkpointer(run.checkpoints, config_hash=run.config_hash) as checkpoints:
            restored = getattr(checkpoints, f"restore_{kind}")(template)
        return restored.step, {path: array.tobytes() for path, array in restored.tree.items()}, restored.extra


def metrics_of(workdir):
    """result.json without what differs between two runs of the same thing."""
    result = json.loads((Path(workdir) / "result.json").read_text())
    return {name: value for name, value in result.items() if "/" in name or name == "num_parameters"}


def lines_of(workdir):
    """metrics.jsonl without the clock."""
    lines = map(json.loads, (Path(workdir) / "metrics.jsonl").read_text().splitlines())
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def write(path, content):
    """A file of text or bytes; returns its path."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path
