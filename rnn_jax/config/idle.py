"""Flags that would do nothing are refused."""

from collections.abc import Iterable, Mapping
from typing import Any

from rnn_jax.config.knobs import fields_of, flat_values
from rnn_jax.config.values import Field
from rnn_jax.errors import UserError


def refuse_idle(given: Iterable[str], *configs: Any) -> None:
    """Checks that each given flag counts, whatever its value; conditions look at the knobs of all configurations.

    Raises:
      UserError: some do not (names each, what it needs, and what to do).
    """
    fields, values = _joined(configs)
    _refuse([fields[name] for name in given if name in fields], values)


def refuse_idle_changes(config: Any) -> None:
    """As `refuse_idle` for a configuration that no command line gave: every knob that is not at its default counts."""
    fields, values = _joined((config,))
    changed = [field for name, field in fields.items() if values[name] != field.default]
    _refuse(changed, values | {"mode": "train"})


def _joined(configs: Iterable[Any]) -> tuple[dict[str, Field], dict[str, Any]]:
    fields: dict[str, Field] = {}
    values: dict[str, Any] = {}
    for config in configs:
        fields |= fields_of(type(config))
        values |= flat_values(config)
    return fields, values


def _refuse(fields: list[Field], values: Mapping[str, Any]) -> None:
    idle = [f for f in fields if f.only_if is not None and not f.only_if.holds(values)]
    if idle:
        said = "; ".join(f"--{f.name} needs {f.only_if.missing(values)}" for f in idle if f.only_if is not None)
        raise UserError(
            f"{'this flag' if len(idle) == 1 else 'these flags'} would do nothing: {said}. Leave"
            f" {'it' if len(idle) == 1 else 'them'} out, or give what {'it needs' if len(idle) == 1 else 'they need'}."
        )
