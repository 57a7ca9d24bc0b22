"""What a compiled train step takes as numbers: runs that differ only in these, and in their seed, share a program.

A knob declared with `traced=True` (learning rate, weight decay, dropout rates) is an argument of the program wherever
it is not zero; zero means that there is no such thing, in the program either. A model holds its rates as attributes,
just as it was given them: it is built with `Named` numbers, which remember the knob that they came from, and
`with_numbers` puts a program's arguments in their places.
"""

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

from flax import nnx

from rnn_jax.config import Config, fields_of

_ANY = 0.5  # stands for every value but zero


class Named(float):
    """A number that knows the knob it came from."""

    name: str

    def __new__(cls, value: float, name: str) -> "Named":
        """The number, with the name."""
        number = super().__new__(cls, value)
        number.name = name
        return number


def traced_names(config: Any) -> list[str]:
    """The knobs that are arguments in a shared configuration's program."""
    return [name for name in fields_of(type(config)) if isinstance(getattr(config, name), Named)]


def shared_config(config: Config) -> Config:
    """What runs of one program have in common: equal for two configurations exactly if they can share it.

    The seed is 0, traced knobs are `Named`, and knobs that may differ within a run have their defaults.
    """
    fields = fields_of(type(config))
    free = {name: field.default for name, field in fields.items() if not field.identity}
    named = {name: Named(_ANY, name) for name, field in fields.items() if field.traced and getattr(config, name)}
    return dataclasses.replace(config, **{**free, **named, **({"seed": 0} if "seed" in fields else {})})  # type: ignore[type-var]


def with_numbers(module: Any, numbers: Mapping[str, Any]) -> Any:
    """The module, with these numbers (tracers) wherever it or what it holds has a `Named` one.

    A model that was merged for this call is changed; dataclasses, which layers are, are copied.
    """
    if isinstance(module, Named):
        return numbers.get(module.name, module)
    if isinstance(module, nnx.Variable):
        return module
    if isinstance(module, nnx.Module) or (dataclasses.is_dataclass(module) and not isinstance(module, type)):
        before = vars(module)
        after = {name: with_numbers(value, numbers) for name, value in before.items()}
        changed = {name: value for name, value in after.items() if value is not before[name]}
        if not changed:
            return module
        target = module if isinstance(module, nnx.Module) else copy.copy(module)
        for name, value in changed.items():
            object.__setattr__(target, name, value)  # past the checks, which compare: a tracer has no value
        return target
    if type(module) in (tuple, list):
        items = [with_numbers(item, numbers) for item in module]
        return type(module)(items) if any(a is not b for a, b in zip(items, module)) else module
    return module


def lost_rates(model: Any, config: Any) -> frozenset[str]:
    """The traced rates of a shared configuration that a model made with it does not hold as they were given.

    It may have no use for them, or it made something else of them. The optimiser's numbers are not a model's.
    """
    held = _Names()
    with_numbers(model, held)
    return frozenset(traced_names(config)) - held.asked - {"learning_rate", "weight_decay"}


class _Names(dict):
    """Replaces nothing, and remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        return default
