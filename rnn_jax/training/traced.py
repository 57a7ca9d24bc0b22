"""What a compiled train step takes as numbers: runs that differ only in these, and in their seed, share a program.

A knob declared with `traced=True` (learning rate, weight decay, dropout rates) is an argument of the program wherever
it is not zero; zero means that there is no such thing, in the program either. A model holds its rates as attributes,
just as it was given them: it is built with `Named` numbers, which remember the knob that they came from, and
`with_numbers` puts a program's arguments in their places.
"""

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from flax import nnx

from rnn_jax.config import Config, fields_of

_ANY, _ANOTHER = 0.5, 0.25  # the first stands for every value but zero


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


def lost_rates(make_model: Callable[[Any], nnx.Module], config: Any) -> frozenset[str]:
    """The traced rates of a shared configuration of which the model makes something else than an attribute.

    Two models with other rates must be the same once the rates are replaced; where they are not, what was made of one
    is built in.
    """
    names = traced_names(config)
    numbers = dict.fromkeys(names, 0.0)

    def graph(**rates: Named) -> Any:
        own = dataclasses.replace(config, **rates)
        return nnx.graphdef(with_numbers(nnx.eval_shape(lambda: make_model(own)), numbers))

    def others(*names: str) -> dict[str, Named]:
        return {name: Named(_ANOTHER, name) for name in names}

    before = graph()
    if not names or graph(**others(*names)) == before:
        return frozenset()
    return frozenset(name for name in names if graph(**others(name)) != before)
