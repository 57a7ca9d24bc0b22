"""Finding the module of an experiment by the name that a sweep file gives."""

import dataclasses
import importlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from rnn_jax.config import did_you_mean, fields_of, refuse_idle_changes, validate
from rnn_jax.errors import UserError
from rnn_jax.models.own_cells import import_cells_of


def import_experiment(name: str, where: str) -> ModuleType:
    """The module of an experiment by its short or full name; `where` is for messages.

    Raises:
      UserError: no such module, or it has no Config, EXPERIMENT or METRICS.
    """
    given = f"{where}: EXPERIMENT = {name!r}"
    full = f"experiments.{name}" if "." not in name and _exists(f"experiments.{name}") else name
    if not _exists(full):
        known = _file_names("experiments")
        raise UserError(f"{given} is no module in experiments/, nor the full name of one.{did_you_mean(name, known)}")
    try:
        module = importlib.import_module(full)
    except ImportError as error:
        raise UserError(f"{given} cannot be imported: {error}") from error
    missing = [attribute for attribute in ("Config", "EXPERIMENT", "METRICS") if not hasattr(module, attribute)]
    if missing or not dataclasses.is_dataclass(module.Config) or "seed" not in fields_of(module.Config):
        lacks = ", ".join(missing) or "a Config dataclass with a seed"
        raise UserError(f"{given}: {module.__file__} is no experiment (it lacks {lacks})")
    return module


def check(experiment: ModuleType, config: Any) -> None:
    """Checks what can be told of a configuration without data.

    Raises:
      UserError: it cannot be, or a knob that was changed does nothing.
    """
    validate(config)
    import_cells_of(config)  # a sweep file is code that the user runs
    refuse_idle_changes(config)
    if hasattr(experiment, "task"):
        from rnn_jax.training.optimizer import make_optimizer

        experiment.task().check(config)
        make_optimizer(config.optimizer, total_steps=1_000_000)
    elif hasattr(experiment, "check"):
        experiment.check(config)


def _exists(module: str) -> bool:
    try:
        return all(part.isidentifier() for part in module.split(".")) and importlib.util.find_spec(module) is not None
    except ImportError:  # of what comes before the last dot
        return False


def _file_names(package: str) -> list[str]:
    spec = importlib.util.find_spec(package)
    folders = (spec and spec.submodule_search_locations) or []
    return [file.stem for folder in folders for file in Path(folder).glob("[a-z]*.py")]
