"""Jobs through submitit: as processes of this machine, and with commands that stand for SLURM's."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from rnn_jax.errors import TrainingInterrupted, UserError
from rnn_jax.sweeps import on_slurm, slurm_queue, slurm_watch
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


@pytest.mark.slow
def test_jobs_end_fail_and_are_stopped(tmp_path):
    jobs = [small_job(tmp_path, 0, 4, 0.05), small_job(tmp_path, 1, 4, 0.05, 7), small_job(tmp_path, 2, 1000, 0.05)]
    checkpoint = tmp_path / "run_2" / "checkpoint.json"
    events, sent = Events(), []

    def tick():
        if checkpoint.exists() and len(events) == 5 and not sent:
            sent.append(True)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(TrainingInterrupted) as error:
        events.run(jobs, tmp_path, tick=tick)
    assert error.value.exit_code == 128 + signal.SIGINT
    assert sorted(events[:5]) == [("end", "job 0", 0), ("end", "job 1", 7), *(("start", job.name) for job in jobs)]
    assert events[5:] == [("end", "job 2", 143)]
    # Four steps of value ← (48271 value + 5) mod (2³¹ − 1) from 1 on: "run_0" has 5 letters.
    value = 1
    for _ in range(4):
        value = (48271 * value + 5) % (2**31 - 1)
    assert json.loads((tmp_path / "run_0" / "result.json").read_text()) == {"steps": 4, "value": value}
    assert json.loads((tmp_path / "run_1" / ".outcome.json").read_text())["exit_code"] == 7
    assert not (tmp_path / "run_1" / "result.json").exists()
    log = (tmp_path / "run_1" / "run.log").read_text()
    assert "something is wrong" in log and f"compiles into {tmp_path}/.compiled/" in log
    step = json.loads(checkpoint.read_text())["step"]
    assert f"saved at step {step}\n" in (tmp_path / "run_2" / "run.log").read_text()
    assert len(list((tmp_path / "slurm").glob("*_0_log.out"))) == 3
    assert not any(path.is_dir() for path in (tmp_path / "slurm").iterdir())


class ScriptedQueue(slurm_queue.Queue):
    """Says of each submission what the test wants: (state, result) at each look, the last one for ever.

    One that is running at the first look has started.
    """

    def __init__(self, *submissions):
        self.submissions, self.looks, self.stopped, self.cancelled = list(submissions), {}, [], []

    def submit(self, tasks):
        (task,) = tasks
        self.numbers = [*getattr(self, "numbers", []), task._what[2]]
        looks = self.submissions.pop(0)
        if looks[0][0] == "RUNNING":
            _, place, number = task._what
            place.start_file(number).touch()
        ids = [f"{len(self.looks)}"]
        self.looks |= {ids[0]: iter(looks)}
        self.now = dict.fromkeys(self.looks, ("PENDING", None))
        return ids

    def states(self, ids):
        self.now |= {job_id: next(self.looks[job_id], self.now[job_id]) for job_id in ids}
        return {job_id: state for job_id, (state, _) in self.now.items() if state}

    def result(self, job_id):
        value = self.now[job_id][1]
        return slurm_queue.Ended(None, value) if isinstance(value, str) else value and slurm_queue.Ended(value, "")

    def output(self, job_id):
        return "slurmstepd: error: Detected 1 oom_kill event"

    def stop(self, ids):
        self.stopped.append(list(ids))

    def cancel(self, ids):
        self.cancelled.append(list(ids))


@pytest.fixture
def scripted(tmp_path, monkeypatch):
    """What is told of one job whose submissions go as scripted, and its log."""

    def run(*submissions, **options):
        queue = ScriptedQueue(*submissions)
        monkeypatch.setattr(on_slurm, "SlurmQueue", lambda *args, **kwargs: queue)
        monkeypatch.setattr(slurm_watch, "_SECONDS_FOR_A_FILE", 0.0)
        monkeypatch.setattr(on_slurm, "SECONDS_BETWEEN_LOOKS", 0.0)
        (tmp_path / "slurm").mkdir(exist_ok=True)
        job, events = small_job(tmp_path, 0), Events()
        events.run([job], tmp_path, cluster="slurm", **options)
        log = Path(job.log).read_text() if Path(job.log).exists() else ""
        return events, log, len(queue.looks)

    return run


DONE = (0, 1.0, "")


@pytest.mark.parametrize(
    ("submissions", "exit_code", "num_submissions"),
    [
        ([[("RUNNING", None), ("COMPLETING", DONE)]], 0, 1),
        ([[("RUNNING", None), ("COMPLETED", (7, 1.0, ""))]], 7, 1),
        # Preempted: put back by SLURM itself, or only stopped; the result of a first try is replaced.
        (
            [[("COMPLETING", (143, 1.0, "")), ("PENDING", (143, 1.0, "")), ("RUNNING", (143, 1.0, "")), ("", DONE)]],
            0,
            1,
        ),
        ([[("RUNNING", None), ("PREEMPTED", (143, 1.0, ""))], [("RUNNING", DONE)]], 0, 2),
        ([[("RUNNING", None), ("NODE_FAIL", None)], [("", None)], [("COMPLETED", DONE)]], 0, 3),
        ([[("NODE_FAIL", None)]] * 3, 137, 3),
        ([[("TIMEOUT", "submitit.core.utils.UncompletedJobError: Job not requeued")], [("", DONE)]], 0, 2),
        ([[("OUT_OF_MEMORY", None)]], 1, 1),
        ([[("FAILED", "Traceback …\nModuleNotFoundError: No module named 'jax'")]], 1, 1),
    ],
)
def test_what_becomes_of_a_job(submissions, exit_code, num_submissions, scripted):
    events, log, submitted = scripted(*submissions, max_retries=2)
    started = any(looks[0][0] == "RUNNING" for looks in submissions)
    assert events == [("start", "job 0")] * started + [("end", "job 0", exit_code)]
    assert submitted == num_submissions
    assert ("oom_kill" in log) == (submissions[0][0][0] == "OUT_OF_MEMORY")
    assert ("No module named 'jax'" in log) == (submissions[0][0][0] == "FAILED")
    assert ("was NODE_FAIL" in log) == (exit_code == 137)


def test_a_cancelled_job_is_left_alone(scripted):
    assert scripted([("RUNNING", None), ("CANCELLED", (143, 1.0, ""))])[0] == [
        ("start", "job 0"),
        ("end", "job 0", 143),
    ]
    assert scripted([("PENDING", None), ("CANCELLED", None)])[0] == []  # it had not begun


def test_a_machine_without_the_workdir(scripted):
    with pytest.raises(UserError, match="does not see"):
        scripted([("RUNNING", (2, 0.0, "the worker n7 does not see …"))])


@pytest.fixture
def left(tmp_path, monkeypatch):
    """Runs jobs where an earlier start of the sweep, which is lost, has left others in the queue."""
    monkeypatch.setattr(slurm_watch, "_SECONDS_FOR_A_FILE", 0.0)
    monkeypatch.setattr(on_slurm, "SECONDS_BETWEEN_LOOKS", 0.0)
    watched = tmp_path / "slurm" / "queued.json"

    def run(jobs, before, *submissions):
        """before: job that was submitted, its looks. Gives what is told, the numbers that are submitted, the file."""
        queue, documents = ScriptedQueue(*submissions), {}
        for number, (job, looks) in enumerate(before):
            place = tmp_path / "slurm" / f"012{number}"
            place.mkdir(parents=True, exist_ok=True)
            (place / "0.started").touch()
            entry = slurm_watch.Entry(job.log, job.directories, f"77_{number}", str(place / "0.started"))
            documents[entry.job_id] = entry._asdict()
            queue.looks[entry.job_id] = iter(looks)
        queue.now = dict.fromkeys(queue.looks, ("PENDING", None))
        watched.write_text(json.dumps(documents))
        monkeypatch.setattr(on_slurm, "SlurmQueue", lambda *args, **kwargs: queue)
        events = Events()
        events.run(jobs, tmp_path, cluster="slurm")
        kept = list(json.loads(watched.read_text())) if watched.exists() else []
        places = sorted(path.name for path in (tmp_path / "slurm").glob("*") if path.is_dir())
        return events, getattr(queue, "numbers", []), kept, places

    return run


def group_of(workdir, *numbers, log="a.log"):
    jobs = [small_job(workdir, number) for number in numbers]
    return jobs[0]._replace(
        name=f"runs {numbers}", directories=tuple(job.directories[0] for job in jobs), log=str(workdir / log)
    )


RUNNING = ("RUNNING", None)


@pytest.mark.parametrize(("earlier", "today"), [((0,), (0,)), ((0, 1), (1,)), ((0, 1), (0,))])
def test_jobs_of_a_lost_sweep_are_found_again(earlier, today, tmp_path, left):
    """Also when some of the runs have ended since."""
    now = group_of(tmp_path, *today)
    looks = [RUNNING, RUNNING, ("COMPLETED", DONE)]
    told, submitted, kept, places = left([now], [(group_of(tmp_path, *earlier), looks)])
    assert told == [("start", now.name), ("end", now.name, 0)]
    assert submitted == [] and kept == [] and places == []


def test_what_is_in_the_queue_is_never_submitted_twice(tmp_path, left):
    """A sweep that groups its runs in another way, or has more of them, now than it had when it was killed."""
    looks = [RUNNING, RUNNING, ("COMPLETED", DONE)]
    together = group_of(tmp_path, 0, 1, log="together.log")
    apart = [group_of(tmp_path, 0), group_of(tmp_path, 1, log="b.log")]
    told, submitted, kept, places = left(apart, [(together, looks)])
    assert sorted(told) == sorted((*what,) for job in apart for what in (("start", job.name), ("end", job.name, 0)))
    assert submitted == kept == places == []

    # Runs 0 and 1 are at work in jobs of their own; run 2 waits for the end of both, for its job has them as well.
    all_three = group_of(tmp_path, 0, 1, 2, log="all.log")
    before = [(job, list(looks)) for job in apart]
    told, submitted, kept, places = left([all_three], before, [("PENDING", None), RUNNING, ("COMPLETED", DONE)])
    assert told == [("start", all_three.name), ("end", all_three.name, 0)]
    assert submitted == [0] and kept == places == []

    # What the sweep is not about today (--rows) stays as it is, for another day.
    other = group_of(tmp_path, 3, log="other.log")
    told, submitted, kept, places = left([apart[0]], [(apart[0], looks), (other, [RUNNING] * 9)])
    assert [what for what, *_ in told] == ["start", "end"] and submitted == []
    assert kept == ["77_1"] and places == ["0121"]


def commands(folder, monkeypatch, **scripts):
    """Programs of these names before all others, each with the body of a shell script."""
    folder.mkdir(exist_ok=True)
    for name, body in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_slurm_commands(tmp_path, monkeypatch):
    if shutil.which("sbatch"):
        pytest.skip("there is a SLURM here")
    events = Events()
    with pytest.raises(UserError, match="no sbatch, srun, squeue, scancel.*--executor=ray"):
        events.run([small_job(tmp_path, 0)], tmp_path, cluster="slurm")
    said = tmp_path / "said"
    commands(
        tmp_path / "bin",
        monkeypatch,
        sbatch='cp "$1" "$0.txt"; echo "sbatch: error: invalid partition specified: moon" >&2; exit 1',
        srun="",
        squeue=f'echo "$@" >> {said}; echo "12_0|RUNNING"; echo "12_1|PENDING"; echo "13|NODE_FAIL"',
        scancel=f'echo "$@" >> {said}',
    )
    options = {"partition": "moon", "minutes": 90, "cores_per_job": 3, "gpus_per_job": 1, "memory_gb": 1.5}
    with pytest.raises(UserError, match="SLURM refuses the jobs: sbatch: error: invalid partition specified: moon"):
        events.run(
            [small_job(tmp_path, number) for number in range(5)],
            tmp_path,
            cluster="slurm",
            num_parallel=2,
            parameters=["account=vision", "--no-requeue"],
            **options,
        )
    lines = set((tmp_path / "bin" / "sbatch.txt").read_text().splitlines())
    asked = ["array=0-4%2", "partition=moon", "time=90", "cpus-per-task=3", "gpus-per-node=1", "mem=1536MB"]
    assert lines >= {f"#SBATCH --{flag}" for flag in [*asked, "account=vision", "no-requeue", "signal=USR2@120"]}
    assert events == []
    with pytest.raises(UserError, match="--slurm_parameters"):
        events.run([small_job(tmp_path, 0)], tmp_path, cluster="slurm", parameters=["=7"])

    queue = slurm_queue.SlurmQueue(on_slurm.import_submitit(), tmp_path / "slurm", {}, max_requeues=1)
    assert queue.states(["12_0", "12_1", "13"]) == {"12_0": "RUNNING", "12_1": "PENDING", "13": "NODE_FAIL"}
    assert said.read_text().split()[-1] == "--jobs=12,13"
    said.unlink()
    queue.stop(["12_0", "12_1"])
    assert said.read_text() == "--state=PENDING 12_0 12_1\n--signal=TERM --state=RUNNING 12_0 12_1\n"
    commands(tmp_path / "bin", monkeypatch, squeue='echo "slurm_load_jobs error: Unable to contact" >&2; exit 1')
    assert queue.states(["12_0"]) is None
    commands(tmp_path / "bin", monkeypatch, squeue='echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1')
    assert queue.states(["12_0"]) == {}
