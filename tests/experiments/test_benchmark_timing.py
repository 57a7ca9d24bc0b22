"""Interleaved timing, on a clock that only the timed calls move."""

import pytest

from experiments.benchmarking.timing import Timing, interleave


class Clock:
    """Seconds, and what was called."""

    def __init__(self):
        self.now = 0.0
        self.called = []

    def __call__(self):
        return self.now

    def call(self, name, seconds):
        def run():
            self.called.append(name)
            self.now += seconds(self.called.count(name)) if callable(seconds) else seconds

        return run


def test_seconds_are_a_calls_and_blocks_take_as_long_as_asked():
    clock = Clock()
    calls = {"quick": clock.call("quick", 0.25), "slow": clock.call("slow", 3.0)}
    timings = interleave(calls, blocks=4, min_block_seconds=1.0, clock=clock)
    assert timings["quick"] == Timing([0.25] * 4, 4)
    assert timings["slow"] == Timing([3.0] * 4, 1)
    # Three calls to warm up and to count; a block of several calls has one before it that is not timed.
    assert clock.called.count("quick") == 3 + 4 * (4 + 1)
    assert clock.called.count("slow") == 3 + 4 * 1


def test_everything_comes_after_everything():
    """So that none has the same neighbour in every block; and every block has each once."""
    clock = Clock()
    calls = {name: clock.call(name, 1.0) for name in "abc"}
    interleave(calls, blocks=30, min_block_seconds=1.0, clock=clock)
    blocks = ["".join(clock.called[first : first + 3]) for first in range(9, 9 + 90, 3)]
    assert all(sorted(block) == ["a", "b", "c"] for block in blocks)
    pairs = [block[place : place + 2] for block in blocks for place in (0, 1)]
    assert all(pairs.count(pair) >= 5 for pair in ("ab", "ba", "ac", "ca", "bc", "cb"))


def test_a_disturbance_of_one_block_does_not_move_the_median():
    clock = Clock()
    calls = {
        "ours": clock.call("ours", lambda count: 50.0 if count == 6 else 1.0),
        "peer": clock.call("peer", lambda count: 100.0 if count == 6 else 2.0),
    }
    timings = interleave(calls, blocks=5, min_block_seconds=0.0, clock=clock)
    assert timings["ours"].seconds == [1, 1, 50, 1, 1]
    assert timings["ours"].quartiles() == {"q1": 1, "median": 1, "q3": 1}
    assert timings["peer"].ratio_to(timings["ours"]) == 2


def test_quartiles_and_ratio_of_known_numbers():
    timing, base = Timing([4.0, 1.0, 3.0, 2.0, 5.0], 1), Timing([1.0, 1.0, 2.0, 2.0, 1.0], 1)
    assert timing.quartiles() == {"q1": 2, "median": 3, "q3": 4}
    assert timing.ratio_to(base) == 1.5  # of 4, 1, 1.5, 1, 5
    assert Timing([7.0], 1).quartiles() == {"q1": 7, "median": 7, "q3": 7}


@pytest.mark.parametrize("collecting", [True, False])
def test_garbage_collection_is_as_it_was(collecting):
    import gc

    before = gc.isenabled()
    try:
        (gc.enable if collecting else gc.disable)()
        interleave({"a": lambda: None}, blocks=1, min_block_seconds=0.0)
        assert gc.isenabled() == collecting
        with pytest.raises(ZeroDivisionError):
            interleave({"a": fail_from_the_fourth_call()}, blocks=1, min_block_seconds=0.0)
        assert gc.isenabled() == collecting
    finally:
        (gc.enable if before else gc.disable)()


def fail_from_the_fourth_call():
    calls = iter([None] * 3)

    def call():
        if next(calls, "over") == "over":
            raise ZeroDivisionError

    return call
