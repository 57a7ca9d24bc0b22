"""What a row is called, by people and on disk."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rnn_jax.config import config_hash, differences, with_overrides
from rnn_jax.sweeps.commands import value_text

LONGEST_NAME = 60


def row_names(configs: Sequence[Any], baseline_overrides: Mapping[str, Any]) -> list[str]:
    """What differs from the baseline, which comes first, as in "cell=gru, num_layers=2".

    The baseline itself goes by those of its overrides that others change, and is "baseline" if they change none.
    """
    baseline, *others = configs
    changes = [{name: new for name, _, new in differences(baseline, config)} for config in others]
    changed_by_others = {name for change in changes for name in change}
    own = {name: value for name, value in baseline_overrides.items() if name in changed_by_others}
    return [assignments(own) or "baseline", *map(assignments, changes)]


def assignments(values: Mapping[str, Any]) -> str:
    """As in "cell=gru, num_layers=2"."""
    return ", ".join(f"{name}={value_text(value)}" for name, value in values.items())


def slug_of(name: str, config: Any) -> str:
    """The name as a directory's, and the digits of the configuration."""
    readable = re.sub(r"[^A-Za-z0-9._]+", "-", name)[:LONGEST_NAME].strip("-._")
    return f"{readable or 'row'}-{digits_of(config)}"


def digits_of(config: Any) -> str:
    """Eight digits that tell configurations apart; the seed is not part of them."""
    return config_hash(with_overrides(config, {"seed": 0}))[:8]
