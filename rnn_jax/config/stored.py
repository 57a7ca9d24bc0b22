"""Configurations as JSON: written, read, hashed, compared and overridden."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from rnn_jax.config.knobs import fields_of, flat_values, from_flat
from rnn_jax.config.values import Field, check_value, did_you_mean, parse_text
from rnn_jax.errors import UserError

Config = TypeVar("Config")


def config_to_dict(config: Any) -> dict[str, Any]:
    """Every knob by flat name as JSON values: tuples become lists, floats stay exact."""
    fields = fields_of(type(config))
    values = {name: check_value(fields[name], value) for name, value in flat_values(config).items()}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def config_from_dict(config_class: type[Config], values: Mapping[str, Any]) -> Config:
    """The configuration with these JSON values; what is missing takes its default, unknown or wrong ones: UserError."""
    return from_flat(config_class, _checked(config_class, values, check_value))


def with_overrides(config: Config, overrides: Mapping[str, Any]) -> Config:
    """A copy with some knobs replaced; texts are read as the flag would read them. Unknown or wrong: UserError."""

    def read(field: Field, value: Any) -> Any:
        return parse_text(field, value) if isinstance(value, str) else check_value(field, value)

    return from_flat(type(config), flat_values(config) | _checked(type(config), overrides, read))


def validate(config: Any) -> None:
    """UserError if a knob of the configuration breaks its own rules (a dataclass constructor checks nothing)."""
    _checked(type(config), flat_values(config), check_value)


def _checked(config_class: type, values: Mapping[str, Any], read: Any) -> dict[str, Any]:
    fields, result = fields_of(config_class), {}
    now_called = {former: name for name, field in fields.items() for former in field.former}
    for given, value in values.items():
        name = now_called.get(given, given)
        if name not in fields:
            raise UserError(f"unknown configuration field {given!r}.{did_you_mean(given, fields)}")
        if name != given and name in values:
            raise UserError(f"{given} is the former name of {name}: give one of them")
        try:
            result[name] = read(fields[name], value)
        except ValueError as error:
            raise UserError(f"{given}={value!r}: {error}") from None
    return result


def config_hash(config: Any) -> str:
    """16 hexadecimal digits that depend on the identity fields only, by the first names that they had."""
    fields, values = fields_of(type(config)), config_to_dict(config)
    identity = {[*field.former, name][0]: values[name] for name, field in fields.items() if field.identity}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def differences(old: Config, new: Config) -> list[tuple[str, Any, Any]]:
    """(name, old value, new value) of each identity field that differs."""
    before, after = config_to_dict(old), config_to_dict(new)
    fields = fields_of(type(new))
    return [(n, before[n], after[n]) for n in fields if fields[n].identity and before[n] != after[n]]
