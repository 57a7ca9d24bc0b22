"""The common shapes of a sweep: each yields dicts of overrides, the baseline first.

    def rows():
        yield from one_at_a_time({"cell": "lstm"}, cell=["gru", "elman"], num_layers=[2, 3])

A change is left out where it turns out to be the baseline again: {"cell": "lstm"} in the example above.
"""

import itertools
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from rnn_jax.errors import UserError

Overrides = Mapping[str, Any]

_NOTHING: Overrides = MappingProxyType({})
_DRAWS_PER_TRIAL = 100  # before a space counts as exhausted


class Derived(dict):
    """Overrides that a helper made. One that is the same configuration as an earlier row is left out, without error.

    Only the reader of the sweep file knows the experiment's defaults: with them, {"cell": "lstm"} may be the baseline.
    """


def one_at_a_time(baseline: Overrides = _NOTHING, **fields: Any) -> Iterator[dict[str, Any]]:
    """The baseline, then each value of each field changed alone."""
    lists = {name: _listed(name, values) for name, values in fields.items()}
    changes = ({name: value} for name, values in lists.items() for value in values)
    return _changed(baseline, changes)


def grid(baseline: Overrides = _NOTHING, **fields: Any) -> Iterator[dict[str, Any]]:
    """The baseline, then every combination of the values; the last field changes fastest."""
    lists = [_listed(name, values) for name, values in fields.items()]
    return _changed(baseline, (dict(zip(fields, values, strict=True)) for values in itertools.product(*lists)))


def zipped(baseline: Overrides = _NOTHING, **fields: Any) -> Iterator[dict[str, Any]]:
    """The baseline, then the first value of every field together, the second ones, and so on.

    Raises:
      UserError: lists of different lengths.
    """
    lists = {name: _listed(name, values) for name, values in fields.items()}
    if len({len(values) for values in lists.values()}) > 1:
        lengths = ", ".join(f"{name} has {len(values)}" for name, values in lists.items())
        raise UserError(f"zipped needs as many values of every field: {lengths}")
    return _changed(baseline, (dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)))


def equal_parameters(num_params: int, baseline: Overrides = _NOTHING, **fields: Any) -> Iterator[dict[str, Any]]:
    """Every combination of the values, each with the width that gives about `num_params` parameters.

    The first combination is the baseline: equal_parameters(200_000, cell=["lstm", "gru"]). The experiment solves for
    the width by its knob --num_params.
    """
    lists = [_listed(name, values) for name, values in fields.items()]
    combinations = itertools.product(*lists)
    shared = {**baseline, "num_params": num_params}
    return (Derived(shared | dict(zip(fields, values, strict=True))) for values in combinations)


def _listed(name: str, values: Any) -> list[Any]:
    if isinstance(values, (str, Mapping)) or not isinstance(values, Iterable):
        raise UserError(f"{name}={values!r}: give a list of values, as in {name}=[{values!r}]")
    return list(values)


def _changed(baseline: Overrides, changes: Iterable[Overrides]) -> Iterator[dict[str, Any]]:
    first = Derived(baseline)
    yield first
    for change in changes:
        if (row := Derived({**baseline, **change})) != first:
            yield row


class Distribution(NamedTuple):
    """What random search draws a field's values from; made by the four functions below."""

    kind: str
    low: float | int = 0
    high: float | int = 0
    values: tuple[Any, ...] = ()

    def draw(self, generator: np.random.Generator) -> Any:
        """One value. Real numbers have three significant digits, so that rows have names that can be typed."""
        if self.kind == "choice":
            return self.values[int(generator.integers(len(self.values)))]
        if self.kind == "integers":
            return int(generator.integers(int(self.low), int(self.high), endpoint=True))
        if self.kind == "log_integers":  # each integer has the share of the logarithmic scale from n − ½ to n + ½
            value = math.exp(generator.uniform(math.log(self.low - 0.5), math.log(self.high + 0.5)))
            return min(max(round(value), int(self.low)), int(self.high))
        if self.kind == "log_uniform":
            value = math.exp(generator.uniform(math.log(self.low), math.log(self.high)))
        else:
            value = float(generator.uniform(self.low, self.high))
        return min(max(float(f"{value:.3g}"), float(self.low)), float(self.high))


def uniform(low: float | int, high: float | int) -> Distribution:
    """Real numbers between two bounds, all alike."""
    _require_order("uniform", low, high)
    return Distribution("uniform", low, high)


def log_uniform(low: float | int, high: float | int) -> Distribution:
    """Positive numbers whose logarithm is uniform: as many between 0.001 and 0.01 as between 0.01 and 0.1."""
    _require_order("log_uniform", low, high, above=0)
    return Distribution("log_uniform", low, high)


def integers(low: int, high: int, log: bool = False) -> Distribution:
    """Whole numbers, both bounds included; with `log`, uniform in their logarithm."""
    if int(low) != low or int(high) != high:
        raise UserError(f"integers({low}, {high}): the bounds are whole numbers")
    _require_order("integers", low, high, above=0 if log else None)
    return Distribution("log_integers" if log else "integers", low, high)


def choice(*values: Any) -> Distribution:
    """One of the values, all alike."""
    if not values:
        raise UserError("choice() needs values: choice('lstm', 'gru')")
    return Distribution("choice", values=values)


def _require_order(name: str, low: float | int, high: float | int, above: int | None = None) -> None:
    if not low < high or (above is not None and low <= above):
        bound = "" if above is None else f", both above {above}"
        raise UserError(f"{name}({low}, {high}): give the lower bound, then the higher one{bound}")


def random_search(num: int, seed: int, baseline: Overrides = _NOTHING, **fields: Any) -> Iterator[dict[str, Any]]:
    """The baseline, then `num` different draws of all fields on top of it.

    A field's values depend on the seed and its own name only: another field, or another order, changes none of them,
    and a higher `num` only adds rows.

    Raises:
      UserError: a field's space is no distribution, or so small that it has no `num` different draws.
    """
    for name, distribution in fields.items():
        if not isinstance(distribution, Distribution):
            raise UserError(
                f"{name}={distribution!r}: random_search draws from log_uniform(low, high), uniform(low, high), "
                "integers(low, high) or choice(value, …)"
            )
    if num < 1:
        raise UserError(f"random_search({num}, …): ask for at least one draw")
    return _drawn(num, seed, baseline, fields)


def _drawn(num: int, seed: int, baseline: Overrides, fields: Mapping[str, Distribution]) -> Iterator[dict[str, Any]]:
    seen = [Derived(baseline)]
    yield seen[0]
    for number in range(num * _DRAWS_PER_TRIAL):
        draws = {
            name: distribution.draw(np.random.default_rng([seed, zlib.crc32(name.encode()), number]))
            for name, distribution in fields.items()
        }
        row = Derived({**baseline, **draws})
        if row not in seen:
            seen.append(row)
            yield row
        if len(seen) == num + 1:
            return
    raise UserError(f"random_search({num}, …): the space has only {len(seen) - 1} different draws; ask for fewer")
