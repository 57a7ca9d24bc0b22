"""From a configuration back to the command line that trains it."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnn_jax.config import fields_of, value_of


def command_of(module: str, config: Any, directory: str | Path) -> tuple[str, ...]:
    """The arguments after `python`: the module, the flags that differ from its defaults, and the run directory.

    Parsing them as the script does gives the configuration back.
    """
    return ("-m", module, *flags_of(config), f"--workdir={directory}")


def flags_of(config: Any) -> tuple[str, ...]:
    """The flags of all fields that differ from their defaults."""
    changed = ((field, value_of(config, name)) for name, field in fields_of(type(config)).items())
    return tuple(flag_of(field.name, value) for field, value in changed if value != field.default)


def flag_of(name: str, value: Any) -> str:
    """A flag as one would type it: --cell=gru,lstm, --bidirectional, --noresidual, --limit=none."""
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no{name}"
    return f"--{name}={value_text(value)}"


def value_text(value: Any) -> str:
    """A value as flags and sweeps write it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return ",".join(map(value_text, value))
    return "none" if value is None else str(value)


def shell_line(command: Sequence[str]) -> str:
    """The command for a shell, `python` in front."""
    return shlex.join(["python", *command])
