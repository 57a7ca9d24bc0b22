"""Signals with their labels, groups and static features, whatever they were read from."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rnn_jax.data.holding import held
from rnn_jax.data.signals.sequences import Sequences
from rnn_jax.errors import UserError

UNLABELLED = ""


class Form(NamedTuple):
    """What all sequences of a source have in common.

    channels: names of the last axis of a frame. sample_rate: in hertz, 0 where it is not known. class_names: where the
    source knows its classes by itself.
    """

    channels: tuple[str, ...]
    sample_rate: float = 0.0
    static_names: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()


class Signals(NamedTuple):
    """n sequences and what is known of each.

    labels: names, `UNLABELLED` where there is none. places: for messages. groups: "" where none were asked for.
    statics: (n, S) float64. step_labels: (N,) names, where every step of `sequences.values` has its own.
    others: further fields that might name groups: name → values. notes: worth telling the user.
    """

    name: str
    form: Form
    sequences: Sequences
    labels: list[str]
    places: list[str]
    groups: list[str]
    statics: np.ndarray
    step_labels: np.ndarray | None = None
    others: dict[str, list[str]] = {}  # noqa: RUF012 (never changed)
    notes: tuple[str, ...] = ()

    @property
    def num_examples(self) -> int:
        """How many have labels."""
        if self.step_labels is not None:
            return len(self.labels)
        return sum(label != UNLABELLED for label in self.labels)

    def take(self, rows: Sequence[int] | np.ndarray) -> "Signals":
        """Those of these rows."""
        rows = np.asarray(rows, np.int64)
        return self._replace(
            sequences=self.sequences.take(rows),
            labels=[self.labels[i] for i in rows],
            places=[self.places[i] for i in rows],
            groups=[self.groups[i] for i in rows],
            statics=self.statics[rows],
            others={name: [values[i] for i in rows] for name, values in self.others.items()},
        )

    def labelled(self) -> "Signals":
        """Those that have a label."""
        if self.num_examples == len(self.labels):
            return self
        return self.take([i for i, label in enumerate(self.labels) if label != UNLABELLED])

    def in_windows(self, length: int, step: int) -> tuple["Signals", np.ndarray]:
        """Windows of the sequences, and which sequence each is of; of steps with labels, most decide.

        Raises:
          UserError: every step has a label, and no window is given.
        """
        if not length:
            if self.step_labels is not None:
                raise UserError(
                    f"{self.places[0]}: the label changes within a sequence. Cut it with --window=STEPS: a window has"
                    " the label of most of its steps."
                )
            return self, np.arange(len(self.labels))
        cut, owners = self.sequences.windows(length, step or max(length // 2, 1))
        windows = self.take(owners)._replace(sequences=cut)
        if self.step_labels is None:
            return windows, owners
        labels = []
        for start, total in zip(cut.starts, cut.lengths, strict=True):
            names, counts = np.unique(self.step_labels[start : start + total], return_counts=True)
            labels.append(str(names[np.argmax(counts)]))
        return windows._replace(labels=labels, step_labels=None), owners


def without_missing(places: Sequence[str], rows: list[np.ndarray], missing: str) -> list[np.ndarray]:
    """Sequences of numbers that are all finite; steps of missing values at the end of one are no part of it.

    missing: "hold": elsewhere, the last known value of the channel, at its start the first one.

    Raises:
      UserError: a value is missing, or infinite; a sequence has no steps (names each).
    """
    found = []
    for place, row in zip(places, rows, strict=True):
        values = np.asarray(row)
        if np.issubdtype(values.dtype, np.floating):
            values = _known(place, values, missing)
        if not len(values):
            raise UserError(f"{place}: a sequence without steps. Leave it out.")
        found.append(values)
    return found


def _known(place: str, values: np.ndarray, missing: str) -> np.ndarray:
    flat = values.reshape(len(values), -1)
    if np.isinf(flat).any():
        raise UserError(f"{place}: a value is infinite, at step {int(np.argmax(np.isinf(flat).any(axis=1)))}.")
    unknown = np.isnan(flat)
    if not unknown.any():
        return values
    steps = np.flatnonzero(~unknown.all(axis=1))
    flat, unknown = (part[: steps[-1] + 1 if len(steps) else 0] for part in (flat, unknown))
    if unknown.any():
        if missing == "refuse":
            step = int(np.argmax(unknown.any(axis=1)))
            raise UserError(
                f"{place}: a value is missing at step {step}. --missing=hold puts the last known value in its place."
            )
        if unknown.all(axis=0).any():
            raise UserError(f"{place}: a channel has no value at all. Leave the sequence out, or the channel.")
        flat = held(flat, ~unknown, axis=0)
    return flat.reshape(len(flat), *values.shape[1:])
