"""Windows of series: which there are in each part, as the source of training, and in order for scoring."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from rnn_jax.data.digest import digest_of
from rnn_jax.data.series.parts import PARTS, SeriesParts
from rnn_jax.data.series.spacing import counted
from rnn_jax.data.series.timeline import Timeline
from rnn_jax.data.sources import Batch, Dealt
from rnn_jax.errors import UserError


@dataclasses.dataclass(frozen=True, eq=False)
class Windows:
    """W windows: the series (W,) and the row (W,) of the first step to forecast; and what was left out, in words."""

    series: np.ndarray
    at: np.ndarray
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.at)


def windows_of(
    parts: SeriesParts, part: str, context_length: int, horizon: int, *, stride: int = 1, pad_context: bool = False
) -> Windows:
    """All windows whose targets lie within a part; each looks back `context_length` rows, into earlier parts as well.

    stride: rows from one to the next. pad_context: they may begin before the series does, as soon as one row is there.
    """
    p = PARTS.index(part)
    begin, end = parts.bounds[:, p], parts.bounds[:, p + 1]
    first = np.maximum(begin, 1 if pad_context else context_length)
    counts = np.maximum((end - horizon - first) // stride + 1, 0)
    series = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(series)) - np.repeat(np.cumsum(counts) - counts, counts)
    notes = []
    if few := int(((counts == 0) & (end > begin)).sum()):
        short = int(((end - begin < horizon) & (end > begin)).sum())
        why = f"{short} have fewer than --horizon={horizon} rows there" if short else ""
        if few > short:
            lack = f"{few - short} fewer than --context_length={context_length} before a forecast (see --pad_context)"
            why = f"{why}, {lack}" if why else lack
        notes.append(f"{part}: {few:,} of {counted(len(counts), 'series').removesuffix('s')} give no window: {why}.")
    return Windows(series, first[series] + number * stride, tuple(notes))


def windows_after(timeline: Timeline, names: Sequence[str], *, pad_context: bool = False) -> Windows:
    """The one window of each series that forecasts what comes after its last row.

    names: of the series, for messages.

    Raises:
      UserError: a series has fewer rows than are looked back, and pad_context is false.
    """
    short = np.flatnonzero(timeline.lengths < timeline.context_length)
    if len(short) and not pad_context:
        name = f"The series {names[short[0]]!r}" if names[short[0]] else "The series"
        raise UserError(
            f"{name} has {counted(int(timeline.lengths[short[0]]), 'row')}, and a forecast looks back"
            f" {timeline.context_length}: give more of its past, or --pad_context, which takes what lacks as missing."
        )
    return Windows(np.arange(len(timeline.lengths)), timeline.lengths.copy())


class SeriesWindows:
    """Training's source: windows in random order, the last batch of an epoch filled with windows of weight 0.

    Raises:
      UserError: no windows.
    """

    def __init__(self, timeline: Timeline, windows: Windows, batch_size: int, *, seed: int):
        if not len(windows):
            raise UserError(
                "There is nothing to train on: no series has a window of"
                f" --context_length={timeline.context_length} and --horizon={timeline.horizon} rows in its training"
                f" part (the longest series has {timeline.lengths.max():,} rows in all). Lower them."
            )
        self.notes = windows.notes
        self._timeline, self._windows = timeline, windows
        self._dealt = Dealt(len(windows), batch_size, seed=seed)

    @property
    def steps_per_epoch(self) -> int:
        """How many batches hold every window once."""
        return self._dealt.steps_per_epoch

    def batch(self, step: int) -> Batch:
        """The batch of update `step`: the arrays of `Timeline.gather`."""
        return _gather(self._timeline, self._windows, self._dealt.rows(step))

    def digest(self) -> str:
        """Of all that windows are made of, and of which there are."""
        line = self._timeline
        arrays = (line.values, line.mask, line.features, line.static, line.location, line.scale, line.starts)
        return digest_of(*arrays, self._windows.series, self._windows.at)


def in_order(timeline: Timeline, windows: Windows, batch_size: int) -> Iterator[tuple[np.ndarray, Batch]]:
    """Every window exactly once: (numbers of windows, −1 for one that only fills the batch; the batch)."""
    for start in range(0, len(windows), batch_size):
        rows = np.arange(start, start + batch_size)
        rows[rows >= len(windows)] = -1
        yield rows, _gather(timeline, windows, rows)


def _gather(timeline: Timeline, windows: Windows, rows: np.ndarray) -> Batch:
    series = np.where(rows >= 0, windows.series[rows], -1)
    return timeline.gather(series, windows.at[rows])
