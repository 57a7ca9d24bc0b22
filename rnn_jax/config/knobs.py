"""Knobs: each is declared once, as a field of a frozen dataclass, and is a flag, a JSON field and a sweep override.

    @dataclasses.dataclass(frozen=True)
    class Config:
        encoder: RecurrentConfig = group(RecurrentConfig, "model")
        optimizer: OptimizerConfig = group(OptimizerConfig, "optimiser", schedule="cosine")
        label_smoothing: float = knob(0.0, "share of the target spread over all classes", minimum=0.0, maximum=0.9)

A configuration is composed of groups, which are configurations themselves; flags and JSON are flat. Field types: bool,
int, float, str, these with ``| None``, and tuple[int, ...], tuple[float, ...], tuple[str, ...]. Everything wrong that a
user can give ends in one `UserError` line that names the field.
"""

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from typing import Any

from rnn_jax.config.conditions import Condition
from rnn_jax.config.values import Field, check_value

NETWORK, VOCABULARY = "network", "vocabulary"
"""What a knob describes that comes along from the run that --init_from names."""


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
    in_state: bool = False,
    only_if: Condition | None = None,
    short: bool = False,
    former: tuple[str, ...] = (),
    code: bool = False,
    inherited: str = "",
) -> Any:
    """A dataclass field with help text and rules; bounds and choices hold for each tuple element.

    minimum and maximum may be reached, above and below may not: not in float32 either, which runs compute in and in
    which 0.99999999 is 1 and 1e-50 is 0.
    identity=False marks what may differ between two runs of one run directory (where data lies, how often to log).
    in_state=True marks a number that lies in the train state: runs that differ in it share a compiled program.
    only_if says when the knob counts; given all the same, it is refused. Names of the same group go before others.
    short=True: in --helpshort.
    former: names that it had, in order, still accepted; hashes go by the first. code=True marks names of imported code.
    inherited: NETWORK or VOCABULARY, where it describes that: the run that --init_from names has the default.
    """
    rules: dict[str, Any] = {"help": help, "choices": choices, "minimum": minimum, "maximum": maximum}
    rules |= {"above": above, "below": below, "identity": identity, "in_state": in_state}
    rules |= {"only_if": only_if, "short": short, "former": former, "code": code, "inherited": inherited}
    return dataclasses.field(default=default, metadata=rules)


def group(config_class: Any, heading: str, *, prefix: str = "", **new_defaults: Any) -> Any:
    """A dataclass field that is a configuration itself; its knobs' flags are named with the prefix.

    heading: of these flags in the help. new_defaults: of knobs of the group; help and rules stay as the group has them.
    """
    return dataclasses.field(
        default=config_class(**new_defaults), metadata={"group": config_class, "heading": heading, "prefix": prefix}
    )


def knob_of(config_class: Any, name: str, default: Any = None) -> Any:
    """A field that is the knob of this name of another class, perhaps with another default."""
    (field,) = (field for field in dataclasses.fields(config_class) if field.name == name)
    return dataclasses.field(default=field.default if default is None else default, metadata=field.metadata)


def fields_of(config_class: Any) -> dict[str, Field]:
    """The knobs of a configuration class, those of its groups included, by flat name; TypeError where it is wrong."""
    return _fields_of(config_class)


def value_of(config: Any, name: str) -> Any:
    """The value of the knob of this flat name."""
    for attribute in fields_of(type(config))[name].path:
        config = getattr(config, attribute)
    return config


def flat_values(config: Any) -> dict[str, Any]:
    """The value of every knob, by flat name."""
    return {name: value_of(config, name) for name in fields_of(type(config))}


def from_flat(config_class: type, values: Mapping[str, Any]) -> Any:
    """The configuration of these values; what is missing takes its default. The inverse of `flat_values`."""
    return _from_flat(config_class, values, "", {})


def _from_flat(config_class: Any, values: Mapping[str, Any], prefix: str, defaults: Mapping[str, Any]) -> Any:
    arguments: dict[str, Any] = {}
    for field in dataclasses.fields(config_class):
        if (inner := field.metadata.get("group")) is not None:
            inner_defaults = {f.name: getattr(field.default, f.name) for f in dataclasses.fields(inner)}
            arguments[field.name] = _from_flat(inner, values, prefix + field.metadata["prefix"], inner_defaults)
        elif prefix + field.name in values:
            arguments[field.name] = values[prefix + field.name]
        elif field.name in defaults:
            arguments[field.name] = defaults[field.name]
    return config_class(**arguments)


@functools.cache
def _fields_of(config_class: Any) -> dict[str, Field]:
    class_name = config_class.__name__
    if not dataclasses.is_dataclass(config_class):
        raise TypeError(f"{class_name} is not a dataclass")
    hints = typing.get_type_hints(config_class)
    found: dict[str, Field] = {}

    names: set[str] = set()

    def add(field: Field) -> None:
        for name in (field.name, *field.former):
            if name in names:
                raise TypeError(f"{class_name} has two knobs named {name}")
            names.add(name)
        found[field.name] = field

    for field in dataclasses.fields(config_class):
        where = f"{class_name}.{field.name}"
        if (inner := field.metadata.get("group")) is not None:
            prefix = field.metadata["prefix"]
            of_group = {name: prefix + name for name in _fields_of(inner)}
            for knob_ in _fields_of(inner).values():
                default = functools.reduce(getattr, knob_.path, field.default)
                moved = {"name": prefix + knob_.name, "path": (field.name, *knob_.path), "default": default}
                moved |= {"heading": field.metadata["heading"], "former": tuple(prefix + name for name in knob_.former)}
                moved |= {"only_if": knob_.only_if and knob_.only_if.renamed(of_group)}
                add(_checked_default(knob_._replace(**moved), f"{where}.{knob_.name}"))
            continue
        if field.default is dataclasses.MISSING:
            raise TypeError(f"{where} has no default")
        base, optional, many = _resolve_type(hints[field.name], where)
        resolved = Field(field.name, (field.name,), field.default, base, optional, many, "", **dict(field.metadata))
        add(_checked_default(resolved, where))
    return found


def _checked_default(field: Field, where: str) -> Field:
    try:
        check_value(field, field.default)
    except ValueError as error:
        raise TypeError(f"default of {where}: {error}") from None
    return field


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
