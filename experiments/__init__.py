"""Experiments: a script for each, and its task. In a clone, trained models are used from Python as well:

from experiments import load

trained = load("runs/sentiment")
trained.answer(["not bad at all"])
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnn_jax.training.task import Trained

_TASKS = Path(__file__).parent / "tasks"


def load(
    workdir: str | Path, *, cell: Callable[..., Any] | Mapping[str, Callable[..., Any]] | None = None
) -> "Trained":
    """The trained model of a run directory, of whichever experiment: `answer`, and called with a function and a batch.

    cell: the class of a run that was trained with one of somebody's own, or classes by the names in its config.json;
    nothing that a run directory names is imported otherwise.

    Raises:
      UserError: no run directory, an unknown experiment, a class that is not given, no checkpoint, or damaged files.
    """
    import importlib

    from rnn_jax.config import fields_of, value_of
    from rnn_jax.errors import UserError
    from rnn_jax.files import read_json
    from rnn_jax.models.own_cells import given_cells
    from rnn_jax.training import trained
    from rnn_jax.training.run_files import require_run, stored_config

    path = Path(workdir).expanduser()
    known = sorted(file.stem for file in _TASKS.glob("[a-z]*.py"))
    require_run(path, "a training run")
    name = read_json(path / "config.json").get("experiment")
    if name not in known:
        raise UserError(f"{path} is a run of {name!r}; models are loaded of: {', '.join(known)}")
    task = importlib.import_module(f"experiments.tasks.{name}").TASK
    config = stored_config(path, name, task.config)
    knobs = [knob for knob, field in fields_of(task.config).items() if field.code]
    names = [name for knob in knobs for name in value_of(config, knob) if ":" in name]
    given = cell if isinstance(cell, Mapping) else dict.fromkeys(names, cell)
    with given_cells({name: given[name] for name in names if given.get(name)}):
        return trained.load(task, path)
