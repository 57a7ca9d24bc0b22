"""Batches made ahead by a thread: in order, with errors where they belong, and nothing left running."""

import threading

import pytest

from rnn_jax.data.prefetch import prefetch


def running():
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_results_in_order():
    with prefetch(lambda step: step * step, range(50)) as squares:
        assert list(squares) == [step * step for step in range(50)]
    assert not running()


def test_the_thread_works_while_the_caller_does():
    made = threading.Event()

    def make(step):
        if step == 2:
            made.set()
        return step

    with prefetch(make, range(5)) as steps:
        assert next(steps) == 0
        assert made.wait(timeout=30)  # before anybody asked for it
        assert list(steps) == [1, 2, 3, 4]


def test_it_does_not_run_far_ahead():
    calls = []
    with prefetch(lambda step: calls.append(step) or step, range(1000), depth=2) as steps:
        for step in steps:
            assert len(calls) <= step + 5
            if step == 20:
                break
    assert not running() and len(calls) <= 26


def test_an_error_arrives_in_its_place():
    def make(step):
        if step == 3:
            raise KeyError("the fourth")
        return step

    with prefetch(make, range(10)) as steps:
        assert [next(steps) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(KeyError, match="the fourth"):
            next(steps)
    assert not running()


def test_an_error_of_the_caller_ends_the_thread():
    with pytest.raises(ZeroDivisionError), prefetch(lambda step: step, iter(int, 1)) as steps:
        1 / next(steps)
    assert not running()
