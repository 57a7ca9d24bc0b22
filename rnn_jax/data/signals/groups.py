"""Who or what was recorded: validation parts of whole groups, and groups that leak from one part into another."""

from collections.abc import Iterator, Mapping

import numpy as np

from rnn_jax.data.batching import permutation
from rnn_jax.data.parts import Parts
from rnn_jax.data.signals.signals import Signals
from rnn_jax.errors import UserError

_SHOWN = 5
_STREAM = 3  # of a seed: 0 and 1 order the batches, 2 cuts by example


def train_and_validation(parts: Parts[Signals], fraction: float, seed: int) -> tuple[Signals, Signals]:
    """Both parts; what the data lacks to validate with is cut from the training part, by groups where these are known.

    Raises:
      UserError: nothing can be cut off; there is one group only.
    """
    if parts.validation is not None or not any(parts.train.groups):
        return parts.train_and_validation(fraction, seed)
    names = sorted(set(parts.train.groups))
    if len(names) < 2:
        raise UserError(
            f"{parts.train.name}: all examples are of the group {names[0]!r}, so that none can be left for validation."
        )
    if not 0 < fraction < 1:
        raise UserError(f"--validation_fraction={fraction} leaves no groups for validation; give a share above 0.")
    order = [names[i] for i in permutation(len(names), seed, 0, _STREAM)]
    sizes = {name: parts.train.groups.count(name) for name in names}
    chosen: set[str] = set()
    wanted, size = fraction * len(parts.train.groups), 0
    for name in order[:-1]:
        if size + sizes[name] / 2 > wanted and chosen:
            break
        chosen.add(name)
        size += sizes[name]
    in_validation = np.array([group in chosen for group in parts.train.groups])
    return parts.train.take(np.flatnonzero(~in_validation)), parts.train.take(np.flatnonzero(in_validation))


def group_notes(parts: Mapping[str, Signals], *, was_cut: bool) -> Iterator[str]:
    """What the user should know of groups that are in several parts.

    was_cut: validation is a random share of training.
    """
    names = [name for name, part in parts.items() if part.groups and any(part.groups)]
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            if both := sorted(set(parts[one].groups) & set(parts[other].groups)):
                listed = ", ".join(both[:_SHOWN]) + (" …" if len(both) > _SHOWN else "")
                yield (
                    f"WARNING: {one} and {other} share {len(both)} of their groups ({listed}): the scores of {other}"
                    " are of the ones known from training, and too good for new ones."
                )
    if names or not was_cut:
        return
    train, validation = parts["train"], parts["validation"]
    if shared := [field for field, values in train.others.items() if set(values) & set(validation.others[field])]:
        yield (
            f"WARNING: validation was cut from training at random: values of {', '.join(shared)} are in both. If one of"
            f" these says who was recorded, keep them apart, as by --group_field={shared[0]}."
        )
