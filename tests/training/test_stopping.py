"""Signals, divergence, patience, save times."""

import json
import math
import os
import signal
import threading
import time

import jax.numpy as jnp
import numpy as np
import pytest

from rnn_jax.errors import TrainingDiverged
from rnn_jax.training.stopping import Patience, SaveTimer, StopSignal, check_finite


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


def test_finite_numbers_pass():
    check_finite(jnp.float32(3.0), jnp.float32(1e30), 7)
    check_finite(0.5, 0.0, 7)
    check_finite(jnp.array([1.0, 2.0]), np.array([1.0, 2.0], np.float32), 7)


def test_divergence_names_step_loss_norm_and_checkpoint(tmp_path):
    with pytest.raises(TrainingDiverged) as caught:
        check_finite(jnp.float32(jnp.nan), jnp.float32(2.5), 7, checkpoint=str(tmp_path))
    assert str(caught.value).startswith(
        "training diverged at step 7: loss nan, gradient norm 2.5. "
        f"The last good checkpoint is kept: {tmp_path}. Try a lower --learning_rate"
    )
    assert caught.value.exit_code == 3
    with pytest.raises(TrainingDiverged, match=r"loss 1, gradient norm inf. No checkpoint had been saved"):
        check_finite([1.0], [float("inf")], 7, checkpoint=tmp_path / "absent")


def test_of_several_steps_the_first_bad_one_is_named():
    losses = np.float32([1, 2, np.inf, np.nan])
    with pytest.raises(TrainingDiverged, match=r"at step 9: loss inf, gradient norm 30\."):
        check_finite(losses, jnp.array([10.0, 20.0, 30.0, jnp.nan]), 10)  # steps 7, 8, 9, 10


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
    for step, now[0] in enumerate([105.0, 110.0, 111.0, 119.0, 120.5]):
        due.append(timer.due(step))
    assert due == [False, True, False, False, True]
    assert [step for step in range(1, 10) if SaveTimer(steps=4).due(step)] == [4, 8]
    assert not any(SaveTimer().due(step) for step in range(10))


def test_later_entries_break_ties_and_survive_json():
    patience = Patience(2, best=(-math.inf,))
    assert patience.update((0.9, -0.5)) and patience.update((0.9, -0.4))
    again = Patience(2, json.loads(json.dumps(patience.best)), patience.waited)
    assert not again.update((0.9, -0.4)) and not again.update((0.8, -0.1))
    assert again.exhausted and again.best == (0.9, -0.4)
