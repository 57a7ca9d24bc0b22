"""Signals, patience, save times."""

import json
import math
import os
import signal
import threading
import time

import pytest

from rnn_jax.training.stopping import Patience, SaveTimer, StopSignal


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_is_a_flag_to_poll(number, code, capsys):
    before = signal.getsignal(number)
    with StopSignal() as stop:
        assert not stop.requested
        os.kill(os.getpid(), number)
        assert stop.requested
        interruption = stop.interruption(12)
    assert interruption.exit_code == code
    assert str(interruption) == (
        f"stopped by {number.name} at step 12, checkpoint saved. Run the same command again to continue."
    )
    assert ("Ctrl-C again" in capsys.readouterr().err) == (number == signal.SIGINT)
    assert signal.getsignal(number) is before


def test_a_second_interrupt_is_immediate():
    with StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)  # while a SIGTERM never interrupts a save
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signal_number == signal.SIGTERM


def test_outside_the_main_thread_signals_are_left_alone():
    seen = []

    def body():
        with StopSignal() as stop:
            seen.append(stop.requested)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [False]


def test_patience():
    patience = Patience(2)
    assert [patience.update(value) for value in (0.5, 0.4, 0.6, 0.6)] == [True, False, True, False]
    assert not patience.exhausted
    assert not patience.update(0.5) and patience.exhausted
    resumed = Patience(2, patience.best, 1)
    assert not resumed.exhausted and not resumed.update(0.1) and resumed.exhausted
    never = Patience(0)
    for _ in range(100):
        never.update(0.0)
    assert not never.exhausted


def test_save_timer(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    timer = SaveTimer(seconds=10)
    due = []
    for now[0] in [105.0, 110.0, 111.0]:
        due.append(timer.due_by_time())
    timer.saved()
    for now[0] in [119.0, 121.0]:
        due.append(timer.due_by_time())
    assert due == [False, True, True, False, True]
    assert [step for step in range(1, 10) if SaveTimer(steps=4).due_by_step(step)] == [4, 8]
    assert not any(SaveTimer().due_by_step(step) or SaveTimer().due_by_time() for step in range(10))
    assert not SaveTimer(steps=4).due_by_time() and not timer.due_by_step(8)


def test_later_entries_break_ties_and_survive_json():
    patience = Patience(2, best=(-math.inf,))
    assert patience.update((0.9, -0.5)) and patience.update((0.9, -0.4))
    again = Patience(2, json.loads(json.dumps(patience.best)), patience.waited)
    assert not again.update((0.9, -0.4)) and not again.update((0.8, -0.1))
    assert again.exhausted and again.best == (0.9, -0.4)
