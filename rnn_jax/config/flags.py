"""Configurations as absl flags, in one flat space of names."""

from collections.abc import Iterable
from typing import Any, TypeVar

from absl import flags

from rnn_jax.config.knobs import fields_of, from_flat
from rnn_jax.config.values import Field, check_value, parse_text
from rnn_jax.errors import UserError

Config = TypeVar("Config")


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
    """Defines one absl flag per knob: --name=value, and --name/--noname for booleans; former names too."""
    flags.disclaim_key_flags()  # the flags belong to the script that calls, so that its --helpshort lists them
    for name, field in fields_of(config_class).items():
        is_switch = field.base is bool and not field.many
        for spelling in (name, *field.former):
            text = (field.help or name) if spelling == name else f"former name of --{name}"
            default = field.default if spelling == name else None
            flag: flags.Flag = flags.Flag(_Parser(field), _Serializer(), spelling, default, text, boolean=is_switch)
            flags.DEFINE_flag(flag, flag_values)


def given_flags(config_class: type, flag_values: flags.FlagValues = flags.FLAGS) -> dict[str, Any]:
    """Name and value of the flags that the command line (or a flagfile) names explicitly, by present name.

    Raises:
      UserError: a flag is given by its former name and its present one.
    """
    given: dict[str, Any] = {}
    for name, field in fields_of(config_class).items():
        spellings = [spelling for spelling in (name, *field.former) if flag_values[spelling].present]
        if len(spellings) > 1:
            raise UserError(f"--{spellings[1]} is the former name of --{spellings[0]}: give one of them")
        if spellings:
            given[name] = flag_values[spellings[0]].value
    return given


def refuse_empty(typed: Iterable[str], config_class: type, flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Checks that no typed flag is empty where that means "not given", as with a shell variable that is not set.

    After a value, from a flagfile say, an empty one takes that back.

    Raises:
      UserError: one is.
    """
    fields = fields_of(config_class)
    for field in (fields[name] for name in typed if name in fields):
        for flag in (flag_values[spelling] for spelling in (field.name, *field.former)):
            if flag.value == field.default == "" and flag.present == 1 and field.choices is None:
                raise UserError(
                    f"--{flag.name}= is empty (a shell variable that is not set?): give a value, or leave it out"
                )


def config_from_flags(config_class: type[Config], flag_values: flags.FlagValues = flags.FLAGS) -> Config:
    """The configuration that the parsed flags describe."""
    values = {name: flag_values[name].value for name in fields_of(config_class)}
    return from_flat(config_class, values | given_flags(config_class, flag_values))
