"""What a row is called, by people and on disk."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from rnn_jax.config import config_hash, differences
from rnn_jax.sweeps.commands import value_text

LONGEST_NAME = 60


def row_name(config: Any, baseline: Any, overrides: Mapping[str, Any]) -> str:
    """What differs from the baseline, as in "cell=gru, num_layers=2".

    The baseline itself goes by its overrides, and is "baseline" if it has none.
    """
    changed = {name: new for name, _, new in differences(baseline, config)} or dict(overrides)
    return ", ".join(f"{name}={value_text(value)}" for name, value in changed.items()) or "baseline"


def slug_of(name: str, config: Any) -> str:
    """The name as a directory's, and the digits of the configuration."""
    readable = re.sub(r"[^A-Za-z0-9._]+", "-", name)[:LONGEST_NAME].strip("-._")
    return f"{readable or 'row'}-{digits_of(config)}"


def digits_of(config: Any) -> str:
    """Eight digits that tell configurations apart; the seed is not part of them."""
    return config_hash(dataclasses.replace(config, seed=0))[:8]
