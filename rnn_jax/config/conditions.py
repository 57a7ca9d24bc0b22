"""When a knob counts: conditions on other knobs, which can be checked and said in words."""

import dataclasses
from collections.abc import Container, Mapping
from typing import Any

ABOVE_ZERO, ABOVE_ONE, GIVEN, NOT_GIVEN = "above 0", "above 1", "given", "not given"
"""In place of a value: a number above 0, or 1; a text or list that is not empty; one that is."""


@dataclasses.dataclass(frozen=True)
class Condition:
    """any of these hold: each is (name, allowed values)s that all hold."""

    alternatives: tuple[tuple[tuple[str, Any], ...], ...]

    def holds(self, values: Mapping[str, Any]) -> bool:
        """True if the knob counts. Names without a value are left out; if nothing else is asked for, it does."""
        return any(all(_holds(values[name], allowed) for name, allowed in parts) for parts in self._asked(values))

    def text(self, names: Container[str]) -> str:
        """As in "--optimizer=adam or adamw", of those names that are there."""
        return _joined(self._asked(names))

    def missing(self, values: Mapping[str, Any]) -> str:
        """As `text`, of that which does not hold."""
        return _joined(
            [[part for part in parts if not _holds(values[part[0]], part[1])] for parts in self._asked(values)]
        )

    def renamed(self, names: Mapping[str, str]) -> "Condition":
        """The condition with other names for some knobs."""
        return Condition(
            tuple(tuple((names.get(name, name), allowed) for name, allowed in parts) for parts in self.alternatives)
        )

    def _asked(self, names: Container[str]) -> list[list[tuple[str, Any]]]:
        known = [[part for part in parts if part[0] in names] for parts in self.alternatives]
        return [parts for parts in known if parts] or [[]]


def when(**allowed: Any) -> Condition:
    """All hold: name=value, name=(value, …) for one of several, or one of the words above."""
    return Condition((tuple(allowed.items()),))


def any_of(*conditions: Condition) -> Condition:
    """One of them holds."""
    return Condition(tuple(parts for condition in conditions for parts in condition.alternatives))


def _holds(value: Any, allowed: Any) -> bool:
    if allowed in (GIVEN, NOT_GIVEN):
        return bool(value) == (allowed == GIVEN)
    if allowed in (ABOVE_ZERO, ABOVE_ONE):
        return bool(value > (allowed == ABOVE_ONE))
    return value in allowed if isinstance(allowed, tuple) else value == allowed


def _joined(alternatives: list[list[tuple[str, Any]]]) -> str:
    return ", or ".join(" and ".join(_text(*part) for part in parts) for parts in alternatives if parts)


def _text(name: str, allowed: Any) -> str:
    if allowed in (GIVEN, NOT_GIVEN):
        return f"{'no ' * (allowed == NOT_GIVEN)}--{name}"
    if allowed is True or allowed is False:
        return f"--{'no' * (not allowed)}{name}"
    if allowed in (ABOVE_ZERO, ABOVE_ONE):
        return f"--{name} {allowed}"
    return f"--{name}={' or '.join(map(str, allowed)) if isinstance(allowed, tuple) else allowed}"
