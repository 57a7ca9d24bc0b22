"""Configurations as frozen dataclasses: each knob, declared once, is a flag, a JSON field and a sweep override.

    @dataclasses.dataclass(frozen=True)
    class Config(OptimizerConfig, RunConfig):
        hidden_size: int = knob(128, "width of the recurrent layer", minimum=1)
        cell: str = knob("lstm", "recurrent cell", choices=("lstm", "gru"))

Field types: bool, int, float, str, these with ``| None``, and tuple[int, ...], tuple[float, ...], tuple[str, ...].
Groups combine by inheritance. Everything wrong that a user can give ends in one `UserError` line that names the field.
"""

import dataclasses
import difflib
import functools
import hashlib
import json
import math
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np
from absl import flags

from rnn_jax.errors import UserError

Config = TypeVar("Config")

_TRUE, _FALSE = (("true", "t", "1", "yes", "y", "on"), ("false", "f", "0", "no", "n", "off"))
_EXPECTED = {bool: "true or false", int: "an integer, such as 100 or 2e6", float: "a finite number", str: "text"}


class Field(NamedTuple):
    """One knob, resolved: its name, default, element type and rules."""

    name: str
    default: Any
    base: type
    optional: bool
    many: bool
    help: str
    choices: tuple | None
    minimum: int | float | None
    maximum: int | float | None
    above: float | None
    below: float | None
    identity: bool
    traced: bool


def knob(
    default: Any,
    help: str,  # noqa: A002 (what dataclass and flag fields call it)
    *,
    choices: tuple | None = None,
    minimum: int | float | None = None,
    maximum: int | float | None = None,
    above: float | None = None,
    below: float | None = None,
    identity: bool = True,
    traced: bool = False,
) -> Any:
    """A dataclass field with help text and rules; bounds and choices hold for each tuple element.

    minimum and maximum may be reached, above and below may not: not in float32 either, which runs compute in and in
    which 0.99999999 is 1 and 1e-50 is 0.
    identity=False marks what may differ between two runs of one run directory (where data lies, how often to log).
    traced=True marks a number that a compiled train step takes as an argument: runs that differ in it share a program.
    """
    rules = {"help": help, "choices": choices, "minimum": minimum, "maximum": maximum}
    rules |= {"above": above, "below": below, "identity": identity, "traced": traced}
    return dataclasses.field(default=default, metadata=rules)


def fields_of(config_class: Any) -> dict[str, Field]:
    """The knobs of a configuration class by name; TypeError where the class itself is wrong."""
    return _fields_of(config_class)


def new_default(group: type, name: str, default: Any) -> Any:
    """A knob of a group, by its name, with another default: help and rules stay as the group has them."""
    (field,) = (field for field in dataclasses.fields(group) if field.name == name)
    return dataclasses.field(default=default, metadata=field.metadata)


@functools.cache
def _fields_of(config_class: Any) -> dict[str, Field]:
    class_name = config_class.__name__
    if not dataclasses.is_dataclass(config_class):
        raise TypeError(f"{class_name} is not a dataclass")
    hints = typing.get_type_hints(config_class)
    fields = {}
    for field in dataclasses.fields(config_class):
        base, optional, many = _resolve_type(hints[field.name], f"{class_name}.{field.name}")
        if field.default is dataclasses.MISSING:
            raise TypeError(f"{class_name}.{field.name} has no default")
        rules: dict[str, Any] = {
            "help": "",
            "choices": None,
            "minimum": None,
            "maximum": None,
            "above": None,
            "below": None,
            "identity": True,
            "traced": False,
        } | dict(field.metadata)
        resolved = Field(field.name, field.default, base, optional, many, **rules)
        try:
            check_value(resolved, field.default)
        except ValueError as error:
            raise TypeError(f"default of {class_name}.{field.name}: {error}") from None
        fields[field.name] = resolved
    return fields


def _resolve_type(hint: Any, where: str) -> tuple[type, bool, bool]:
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType) and len(arguments) == 2 and type(None) in arguments:
        inner = arguments[0] if arguments[1] is type(None) else arguments[1]
        base, _, many = _resolve_type(inner, where)
        return base, True, many
    if typing.get_origin(hint) is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        base, _, _ = _resolve_type(arguments[0], where)
        return base, False, True
    if hint in (bool, int, float, str):
        return hint, False, False
    raise TypeError(f"{where}: a knob cannot have type {hint}")


def check_value(field: Field, value: Any) -> Any:
    """The value in the field's type (2e6 → 2000000 for an int, list → tuple); ValueError saying what is allowed."""
    if value is None and field.optional:
        return None
    if field.many:
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise ValueError(f"expected a list of values, each {_EXPECTED[field.base]}")
        return tuple(_check_scalar(field, element) for element in value)
    return _check_scalar(field, value)


def _check_scalar(field: Field, value: Any) -> Any:
    integral = isinstance(value, int) and not isinstance(value, bool)
    if field.base is float and (integral or (isinstance(value, float) and math.isfinite(value))):
        value = float(value)
    elif field.base is int and (integral or (isinstance(value, float) and value.is_integer())):
        value = int(value)
    elif field.base not in (bool, str) or not isinstance(value, field.base):
        raise ValueError(f"expected {_EXPECTED[field.base]}{' or none' if field.optional else ''}")
    if field.choices is not None and value not in field.choices:
        allowed = ", ".join(map(str, field.choices))
        raise ValueError(f"allowed: {allowed}.{did_you_mean(str(value), map(str, field.choices))}")
    _check_bounds(field, value)
    return value


def _check_bounds(field: Field, value: Any) -> None:
    low, high, above, below = field.minimum, field.maximum, field.above, field.below
    broken = (
        (low is not None and value < low)
        or (high is not None and value > high)
        or (above is not None and _in_float32(value) <= above)
        or (below is not None and _in_float32(value) >= below)
    )
    if broken:
        between = low is not None and high is not None
        bounds = [
            f"between {low} and {high}" if between else "",
            f"at least {low}" if low is not None and not between else "",
            f"at most {high}" if high is not None and not between else "",
            f"above {above}" if above is not None else "",
            f"below {below}" if below is not None else "",
        ]
        raise ValueError(f"must be {' and '.join(filter(None, bounds))}")


def _in_float32(value: float) -> float:
    """The number as float32 has it, with 0 for those so small that devices flush them to it."""
    if abs(value) < float(np.finfo(np.float32).tiny):
        return 0.0
    with np.errstate(over="ignore"):
        return float(np.float32(value))


def parse_text(field: Field, text: str) -> Any:
    """What a flag or a sweep means by this text; ValueError saying what is allowed."""
    if field.optional and text.lower() == "none":
        return None
    if field.many:
        parts = [part.strip() for part in text.split(",")]
        return check_value(field, [_parse_scalar(field, part) for part in parts if part])
    return check_value(field, _parse_scalar(field, text))


def _parse_scalar(field: Field, text: str) -> Any:
    if field.base is str:
        return text
    if field.base is bool:
        lowered = text.strip().lower()
        return True if lowered in _TRUE else False if lowered in _FALSE else text
    for parse in (int, float) if field.base is int else (float,):
        try:
            return parse(text)
        except ValueError:
            pass
    return text  # check_value says what is expected


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The suffix "Did you mean …?" with the nearest of the names, or nothing."""
    close = difflib.get_close_matches(name, list(names), n=1)
    return f" Did you mean {close[0]}?" if close else ""


def config_to_dict(config: Any) -> dict[str, Any]:
    """Every field as JSON values: tuples become lists, floats stay exact."""
    values = {name: check_value(field, getattr(config, name)) for name, field in fields_of(type(config)).items()}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def config_from_dict(config_class: type[Config], values: Mapping[str, Any]) -> Config:
    """The configuration with these JSON values; what is missing takes its default, unknown or wrong ones: UserError."""
    return config_class(**_checked(config_class, values, check_value))


def with_overrides(config: Config, overrides: Mapping[str, Any]) -> Config:
    """A copy with some fields replaced; texts are read as the flag would read them. Unknown or wrong: UserError."""

    def read(field: Field, value: Any) -> Any:
        return parse_text(field, value) if isinstance(value, str) else check_value(field, value)

    return dataclasses.replace(config, **_checked(type(config), overrides, read))  # type: ignore[type-var]


def validate(config: Any) -> None:
    """UserError if a field of the configuration breaks its own rules (a dataclass constructor checks nothing)."""
    _checked(type(config), {name: getattr(config, name) for name in fields_of(type(config))}, check_value)


def require_defaults(config: Any, names: Iterable[str], needs: str) -> None:
    """For knobs that do nothing as the others stand.

    Raises:
      UserError: one of them is not at its default; says what it `needs`.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    for name in names:
        if (value := getattr(config, name)) != defaults[name]:
            raise UserError(
                f"--{name}={value} does nothing without {needs}: give that too, or leave it at {defaults[name]}."
            )


def _checked(config_class: type, values: Mapping[str, Any], read: Any) -> dict[str, Any]:
    fields, result = fields_of(config_class), {}
    for name, value in values.items():
        if name not in fields:
            raise UserError(f"unknown configuration field {name!r}.{did_you_mean(name, fields)}")
        try:
            result[name] = read(fields[name], value)
        except ValueError as error:
            raise UserError(f"{name}={value!r}: {error}") from None
    return result


def config_hash(config: Any) -> str:
    """16 hexadecimal digits that depend on the identity fields only."""
    fields = fields_of(type(config))
    identity = {name: value for name, value in config_to_dict(config).items() if fields[name].identity}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def differences(old: Config, new: Config) -> list[tuple[str, Any, Any]]:
    """(name, old value, new value) of each identity field that differs."""
    before, after = config_to_dict(old), config_to_dict(new)
    fields = fields_of(type(new))
    return [(n, before[n], after[n]) for n in fields if fields[n].identity and before[n] != after[n]]


class _Parser(flags.ArgumentParser):
    """Lets absl read a flag by the field's rules."""

    def __init__(self, field: Field):
        self.field = field
        self.syntactic_help = ""
        if field.choices is not None:
            self.syntactic_help = f"one of: {', '.join(map(str, field.choices))}"
        elif field.base is not bool:
            kind = "a comma list of " * field.many + {int: "integer", float: "number", str: "text"}[field.base]
            self.syntactic_help = kind + " or none" * field.optional

    def parse(self, argument: Any) -> Any:
        """The value; absl turns the ValueError into a message that names the flag."""
        return parse_text(self.field, argument) if isinstance(argument, str) else check_value(self.field, argument)

    def flag_type(self) -> str:
        """Type name for absl's XML help."""
        return self.field.base.__name__


class _Serializer(flags.ArgumentSerializer):
    """Writes a value so that parsing it gives the value back (absl writes flagfiles with it)."""

    def serialize(self, value: Any) -> str:
        """The value as one would type it."""
        return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def define_flags(config_class: type, flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines one absl flag per field: --name=value, and --name/--noname for booleans."""
    flags.disclaim_key_flags()  # the flags belong to the script that calls, so that its --helpshort lists them
    for name, field in fields_of(config_class).items():
        is_switch = field.base is bool and not field.many
        flag: flags.Flag = flags.Flag(
            _Parser(field), _Serializer(), name, field.default, field.help or name, boolean=is_switch
        )
        flags.DEFINE_flag(flag, flag_values)


def config_from_flags(config_class: type[Config], flag_values: flags.FlagValues = flags.FLAGS) -> Config:
    """The configuration that the parsed flags describe."""
    return config_class(**{name: flag_values[name].value for name in fields_of(config_class)})


def given_flags(config_class: type, flag_values: flags.FlagValues = flags.FLAGS) -> dict[str, Any]:
    """Name and value of the flags that the command line (or a flagfile) names explicitly."""
    return {name: flag_values[name].value for name in fields_of(config_class) if flag_values[name].present}
