"""Static features: one number a sequence, and its ratio to the mean over the group."""

from collections.abc import Iterator, Mapping

import numpy as np

from rnn_jax.data.signals.signals import Signals
from rnn_jax.data.signals_config import SignalConfig
from rnn_jax.metrics.forecasts import mean_where


def statics_of(config: SignalConfig, signals: Signals) -> np.ndarray:
    """Static features (n, S), and with --static_by_group their ratios to the means over their groups (n, 2 S).

    NaN where a feature is missing; the mean is over those of the group that are there.
    """
    if not config.static_by_group or not signals.statics.size:
        return signals.statics
    _, group = np.unique(np.asarray(signals.groups), return_inverse=True)
    known = ~np.isnan(signals.statics)
    means = np.stack(
        [mean_where(signals.statics[group == one], known[group == one], axis=0) for one in range(group.max() + 1)]
    )[group]
    return np.concatenate([signals.statics, signals.statics / np.where(means == 0, 1, means)], axis=1)


def missing_statics(parts: Mapping[str, Signals]) -> Iterator[str]:
    """What the user should know of features that are missing."""
    for i, field in enumerate(next(iter(parts.values())).form.static_names):
        missing = {name: int(np.isnan(part.statics[:, i]).sum()) for name, part in parts.items()}
        if any(missing.values()):
            listed = ", ".join(f"{count:,} of {len(parts[name].labels):,} in {name}" for name, count in missing.items())
            yield (
                f"The static feature {field!r} is missing in some examples ({listed}): the mean of the training part"
                " takes its place."
            )
