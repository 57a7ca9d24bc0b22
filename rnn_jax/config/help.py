"""--help and --helpshort: the flags under headings, with the examples of the script's docstring."""

import textwrap
from collections.abc import Container

from rnn_jax.config.knobs import fields_of
from rnn_jax.config.values import Field

HELP_FLAGS = ("help", "helpshort", "helpfull", "h")
MODE = "mode"  # the heading of knobs that are in no group
_WIDTH, _INDENT = 120, " " * 6


def help_text(docstring: str, config_classes: tuple[type, ...], *, short: bool) -> str:
    """What the script does, examples, and its flags: those that people use, or all."""
    fields = [field for config_class in config_classes for field in fields_of(config_class).values()]
    names = {field.name for field in fields}
    shown = [field for field in fields if field.short or not short]
    lines = [docstring.strip(), ""]
    for heading in dict.fromkeys(field.heading or MODE for field in shown):
        lines += [f"{heading}:", *(_entry(field, names) for field in shown if (field.heading or MODE) == heading), ""]
    if len(shown) < len(fields):
        lines.append(f"{len(fields) - len(shown)} more flags: --help. Flags can be kept in a file: --flagfile=FILE.")
    return "\n".join(lines)


def _entry(field: Field, names: Container[str]) -> str:
    default = ",".join(map(str, field.default)) if isinstance(field.default, tuple) else str(field.default)
    needs = field.only_if.text(names) if field.only_if else ""
    switch = field.base is bool and not field.many
    name = f"  --[no]{field.name}" if switch else f"  --{field.name}={default or _kind(field)}"
    choices = f"; one of: {', '.join(str(choice) for choice in field.choices if choice != '')}" if field.choices else ""
    text = f"{field.help}{f' (only with {needs})' if needs else ''}{choices}"
    text += f"; default: {default.lower()}" * switch
    return "\n".join([name, *textwrap.wrap(text, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT)])


def _kind(field: Field) -> str:
    return {int: "N", float: "X", str: "TEXT", bool: "BOOL"}[field.base] + ",…" * field.many
