"""What a knob may be: values are checked, and read from text; what is wrong is said in a few words."""

import difflib
import math
import struct
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

from rnn_jax.config.conditions import Condition

_TRUE, _FALSE = (("true", "t", "1", "yes", "y", "on"), ("false", "f", "0", "no", "n", "off"))
SMALLEST_FLOAT32, LARGEST_FLOAT32 = 2.0**-126, (2 - 2.0**-23) * 2.0**127  # normal numbers
LARGEST_INT32 = 2**31 - 1  # of integers with no bound of their own: no array is larger, counters have 32 bits
_EXPECTED = {bool: "true or false", int: "an integer, such as 100 or 2e6", float: "a finite number", str: "text"}


class Field(NamedTuple):
    """One knob, resolved: its flat name, the attributes that lead to it, default, element type and rules."""

    name: str
    path: tuple[str, ...]
    default: Any
    base: type
    optional: bool
    many: bool
    heading: str
    help: str = ""
    choices: tuple | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    above: float | None = None
    below: float | None = None
    identity: bool = True
    in_state: bool = False
    only_if: Condition | None = None
    short: bool = False
    former: tuple[str, ...] = ()
    code: bool = False
    inherited: str = ""


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
    if field.base is float and (integral or isinstance(value, float)) and abs(value) <= sys.float_info.max:
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
    if field.base is int and high is None and abs(value) > LARGEST_INT32:
        raise ValueError(f"must be {f'at most {LARGEST_INT32}' if value > 0 else f'at least {-LARGEST_INT32}'}")


def _in_float32(value: float) -> float:
    """The number as float32 has it, with 0 for those so small that devices flush them to it."""
    if abs(value) < SMALLEST_FLOAT32:
        return 0.0
    return math.inf if abs(value) > LARGEST_FLOAT32 else struct.unpack("f", struct.pack("f", value))[0]


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
