"""Timing by interleaved blocks: what disturbs the machine for a while disturbs every implementation alike."""

import gc
import math
import random
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

# One for the whole process: every problem has other orders.
_ORDER = random.Random(0)


class Timing(NamedTuple):
    """Seconds a call, one number a block, and how many calls a block had."""

    seconds: list[float]
    calls_per_block: int

    def quartiles(self) -> dict[str, float]:
        """q1, median and q3 over the blocks, in seconds."""
        if len(self.seconds) < 2:
            return dict.fromkeys(("q1", "median", "q3"), self.seconds[0])
        return dict(zip(("q1", "median", "q3"), statistics.quantiles(self.seconds, n=4, method="inclusive")))

    def ratio_to(self, base: "Timing") -> float:
        """The median over blocks of this one's time by the base's time in the same block."""
        return statistics.median(mine / theirs for mine, theirs in zip(self.seconds, base.seconds, strict=True))


def interleave(
    calls: Mapping[str, Callable[[], Any]],
    *,
    blocks: int,
    min_block_seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Times the calls: each block times every one of them once, in an order drawn anew for each block.

    A block of one implementation is as many calls as fill `min_block_seconds`. Where that is several, one more call
    goes before, untimed. Both because of neighbours: torch's OpenMP threads spin for some milliseconds after its call,
    which took half of the machine from whatever came next (here up to 1.8 times its time); so none may always do.
    """
    counts = {name: _calls_per_block(call, min_block_seconds, clock) for name, call in calls.items()}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    gc.collect()
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(blocks):
            for name in _ORDER.sample(list(calls), len(calls)):
                seconds[name].append(_time_block(calls[name], counts[name], clock))
    finally:
        if collecting:
            gc.enable()
    return {name: Timing(seconds[name], counts[name]) for name in calls}


def _calls_per_block(call: Callable[[], Any], min_block_seconds: float, clock: Callable[[], float]) -> int:
    for _ in range(2):  # warm-up
        call()
    start = clock()
    call()
    return max(1, math.ceil(min_block_seconds / max(clock() - start, 1e-9)))


def _time_block(call: Callable[[], Any], count: int, clock: Callable[[], float]) -> float:
    if count > 1:
        call()
    start = clock()
    for _ in range(count):
        call()
    return (clock() - start) / count
