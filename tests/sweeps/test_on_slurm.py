"""Jobs through submitit: as processes of this machine, and with commands that stand for SLURM's."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from rnn_jax.errors import TrainingInterrupted
from rnn_jax.sweeps import on_slurm
from rnn_jax.sweeps.jobs import Job

SMALL_JOB = str(Path(__file__).with_name("small_job.py"))


def small_job(workdir, number, *arguments):
    directory = workdir / f"run_{number}"
    directory.mkdir(parents=True, exist_ok=True)
    command = (SMALL_JOB, str(directory), *map(str, arguments))
    return Job(f"job {number}", command, (str(directory),), str(directory / "run.log"))


class Events(list):
    """What run_jobs tells, in order."""

    def run(self, jobs, workdir, **options):
        on_slurm.run_jobs(
            jobs,
            workdir=workdir,
            on_start=lambda job: self.append(("start", job.name)),
            on_end=lambda job, exit_code, seconds: self.append(("end", job.name, exit_code)),
            **{"cluster": "local", "tick": lambda: None, **options},
        )


def test_exit_codes_and_logs(tmp_path):
    jobs = [small_job(tmp_path, 0, 4, 0.05), small_job(tmp_path, 1, 4, 0.05, 7)]
    events = Events()
    events.run(jobs, tmp_path)
    assert sorted(events) == [("end", "job 0", 0), ("end", "job 1", 7), ("start", "job 0"), ("start", "job 1")]
    # 1 → … → 4 steps of value ← (48271 value + 5) mod (2³¹ − 1), by hand: "run_0" has 5 letters.
    value = 1
    for _ in range(4):
        value = (48271 * value + 5) % (2**31 - 1)
    assert json.loads((tmp_path / "run_0" / "result.json").read_text()) == {"steps": 4, "value": value}
    assert json.loads((tmp_path / "run_1" / ".outcome.json").read_text())["exit_code"] == 7
    assert not (tmp_path / "run_1" / "result.json").exists()
    assert "something is wrong" in (tmp_path / "run_1" / "run.log").read_text()
    assert len(list((tmp_path / "slurm").glob("*_0_log.out"))) == 2
    assert not any(path.is_dir() for path in (tmp_path / "slurm").iterdir())


def test_a_stop_lets_jobs_save(tmp_path):
    job = small_job(tmp_path, 0, 1000, 0.05)
    checkpoint = tmp_path / "run_0" / "checkpoint.json"
    sent = []

    def tick():
        if checkpoint.exists() and not sent:
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

    events = Events()
    with pytest.raises(TrainingInterrupted) as error:
        events.run([job], tmp_path, tick=tick)
    assert error.value.exit_code == 128 + signal.SIGINT
    assert events == [("start", "job 0"), ("end", "job 0", 143)]
    step = json.loads(checkpoint.read_text())["step"]
    assert f"saved at step {step}\n" in (tmp_path / "run_0" / "run.log").read_text()
