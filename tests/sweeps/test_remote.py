"""What a worker does with a job: in this process, with small jobs as the processes that it starts."""

import fcntl
import json
import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest

from rnn_jax.errors import UserError
from rnn_jax.sweeps import remote
from rnn_jax.sweeps.jobs import Job

SMALL_JOB = str(Path(__file__).with_name("small_job.py"))


@pytest.fixture
def attempt(tmp_path, monkeypatch):
    """A try at a small job, its run directory, and the place that says that it has started."""
    monkeypatch.chdir(tmp_path)
    directory = tmp_path / "run"
    directory.mkdir()

    def make(*arguments):
        job = Job("a job", (SMALL_JOB, "run", *map(str, arguments)), (str(directory),), str(directory / "run.log"))
        return remote.Attempt(job, place, 3, node="here")

    with remote.place_in(tmp_path, "ray") as place:
        yield make, directory, place
    assert not (tmp_path / "ray").exists()


def soon(condition, action):
    """Does it in a thread, as soon as it may be done."""

    def wait():
        while not condition():
            time.sleep(0.005)
        action()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_job_runs_where_the_caller_was(attempt, monkeypatch):
    make, directory, place = attempt
    one = make(2, 0)
    monkeypatch.chdir("/")  # where a worker may have been started
    assert place.started() == set()
    assert one.run()[0] == 0 and place.started() == {3}
    assert json.loads((directory / "result.json").read_text())["steps"] == 2
    assert re.match(r"--- [-0-9: ]+ on here\ncompiles into .*/\.compiled/\d+\n", (directory / "run.log").read_text())


def test_it_stops_before_and_after_it_starts(attempt):
    make, directory, place = attempt
    early = make(1000, 0.01)
    early.ask_to_stop()
    assert early.run()[0] == 143 and place.started() == set() and not (directory / "run.log").exists()

    late = make(1000, 0.01)
    checkpoint = directory / "checkpoint.json"

    def step():
        return json.loads(checkpoint.read_text())["step"]

    def warn_and_stop():  # SLURM's warning reaches the process too. It is not what stops it.
        before = step()
        os.kill(late._process.pid, signal.SIGUSR2)
        soon(lambda: step() >= before + 3, late.ask_to_stop).join()

    thread = soon(checkpoint.exists, warn_and_stop)
    assert late.run()[0] == 143
    thread.join()
    assert 3 < step() < 1000 and f"saved at step {step()}\n" in (directory / "run.log").read_text()
    assert json.loads((directory / ".outcome.json").read_text())["exit_code"] == 143


def test_it_waits_for_a_process_that_is_still_saving(attempt):
    make, directory, place = attempt
    (directory / "checkpoint.json").write_text('{"step": 5, "value": 1}')
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        saved = []

        def save():
            time.sleep(0.3)
            saved.append(place.started())
            (directory / "checkpoint.json").write_text('{"step": 7, "value": 1}')
            fcntl.flock(lock, fcntl.LOCK_UN)

        thread = soon(lambda: True, save)
        assert make(8, 0).run()[0] == 0
        thread.join()
    assert saved == [set()]
    assert "starts at step 7\n" in (directory / "run.log").read_text()


def test_a_workdir_that_is_not_shared(attempt):
    place = attempt[2]
    remote.check_place(place)
    for other in (place._replace(folder="/nowhere"), place._replace(token="another")):
        with pytest.raises(UserError, match="does not see .*share under the same path"):
            remote.check_place(other)


def test_cores_are_claimed_once(tmp_path, monkeypatch):
    monkeypatch.setattr(remote.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {4, 5, 9})
    with remote.claimed_cores(2) as first, remote.claimed_cores(1) as second, remote.claimed_cores(1) as third:
        assert (first, second, third) == ((4, 5), (9,), ())
    with remote.claimed_cores(2) as again, remote.claimed_cores(2) as too_many, remote.claimed_cores(0) as none:
        assert (again, too_many, none) == ((4, 5), (), ())
