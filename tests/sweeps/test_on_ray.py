"""Sweeps and jobs on a real Ray cluster of two machines, one of which is lost; how many tasks there are at a time."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import sweep
from experiments.sweep import SweepConfig
from rnn_jax.sweeps import on_ray, report
from rnn_jax.sweeps.jobs import Job
from tests.sweeps.sweep_texts import write_sweep_file

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OF_TIME = ("steps_per_second", "minutes")
STEPS = 25


def table_of(workdir):
    """report.csv without what depends on the clock."""
    rows = csv.DictReader((workdir / "report.csv").read_text().splitlines())
    return [{name: text for name, text in row.items() if name not in OF_TIME} for row in rows]


@pytest.mark.slow
def test_a_lost_machine_costs_nothing_but_time(tmp_path, monkeypatch):
    """The whole command, with jobs of two runs each; the table is that of single processes on this machine."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(report, "_draw", lambda *_: [])
    file = write_sweep_file(tmp_path, {"num_steps": STEPS}, {"num_steps": STEPS, "rate": 0.25}, NUM_SEEDS=2)
    workdir, small, local = tmp_path / "work", tmp_path / "small", tmp_path / "local"
    drill = subprocess.run(
        [sys.executable, HERE / "ray_drill.py", file, workdir],
        env={**os.environ, "TMPDIR": "/tmp"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert drill.returncode == 0, drill.stderr
    told = json.loads(drill.stdout.splitlines()[-1])
    assert told["exit_code"] == 0 and "4 of 4 runs finished." in told["said"], told["said"]
    ((lost, *processes),) = told["lost"]
    assert processes == [1, 1]  # the process that the lost worker had started, and that it ended with it

    places = {}
    for log in workdir.glob("groups/*.log"):
        text = log.read_text()
        places[log.stem] = re.findall(r"^--- .* on .*, Ray node (\w+)$", text, re.MULTILINE)
    assert len(places) == 2 and {name: len(nodes) for name, nodes in places.items()}[lost] == 2
    assert len(set(places[lost])) == 2 and sum(map(len, places.values())) == 3
    members = {run["directory"] for run in json.loads((workdir / "groups" / f"{lost}.json").read_text())["runs"]}
    twice = []  # the run that was in the middle when its machine was lost, of those that take turns
    for directory in workdir.glob("runs/*/seed_*"):
        said = (directory / "run.log").read_text()
        starts = [int(step) for step in re.findall(r"^starts at step (\d+)$", said, re.M)]
        assert starts[0] == 0 and len(starts) <= 2 and all(0 < step < STEPS for step in starts[1:])
        twice += [str(directory)] if len(starts) == 2 else []
    assert len(twice) == 1 and set(twice) <= members

    assert sweep.main(SweepConfig(seeds_mode="process", jobs=2, workdir=str(local)), [str(file)]) == 0
    table = table_of(workdir)
    assert [row["n"] for row in table] == ["2", "2"] and table == table_of(local)

    # On the machine that is left: of two more jobs for one machine the second one had not begun.
    broken, stopped = [["start", "broken"], ["end", "broken", 7]], [["start", "endless_0"], ["end", "endless_0", 143]]
    *events, exit_code = told["stopped"]
    assert [event for event in events if event[1] == "broken"] == broken
    assert [event for event in events if event[1] != "broken"] == stopped and exit_code == 130
    assert json.loads((small / "broken" / ".outcome.json").read_text())["exit_code"] == 7
    step = json.loads((small / "endless_0" / "checkpoint.json").read_text())["step"]
    assert f"saved at step {step}\n" in (small / "endless_0" / "run.log").read_text()
    assert told["left"] == ["broken", "endless_0", "endless_1"]


class FakeRay:
    """A cluster whose tasks take two looks each."""

    class exceptions:
        TaskCancelledError = RayTaskError = RayError = RuntimeError

    def __init__(self, *machines):
        self.machines, self.at_work, self.most, self.order = machines, {}, 0, []

    def is_initialized(self):
        return True

    def nodes(self):
        return [{"Alive": alive, "Resources": resources} for alive, resources in self.machines]

    def remote(self, function):
        ray = self

        class Task:
            def options(self, **_):
                return self

            def remote(self, job, place, number, cores):
                ray.order.append(job[0])
                ray.at_work[number] = 2
                ray.most = max(ray.most, len(ray.at_work))
                return number

        return Task()

    def wait(self, references, *, num_returns, timeout):
        assert sorted(references) == sorted(self.at_work)
        self.at_work = {number: looks - 1 for number, looks in self.at_work.items()}
        done = [number for number, looks in self.at_work.items() if not looks]
        for number in done:
            del self.at_work[number]
        return done, list(self.at_work)

    def get(self, reference):
        return 0, 1.0

    def cancel(self, reference):
        pass


@pytest.mark.parametrize(("num_parallel", "most"), [(0, 5), (1, 1), (2, 2), (9, 5)])
def test_no_more_tasks_than_asked_for(num_parallel, most, tmp_path, monkeypatch):
    ray, ended = FakeRay((True, {"CPU": 64.0})), []
    monkeypatch.setattr(on_ray, "import_ray", lambda: ray)
    jobs = [Job(f"job {number}", ("-c", ""), (str(tmp_path / str(number)),), "log") for number in range(5)]
    on_ray.run_jobs(
        jobs,
        workdir=tmp_path,
        num_parallel=num_parallel,
        on_start=lambda job: None,
        on_end=lambda job, exit_code, seconds: ended.append(job.name),
        tick=lambda: None,
    )
    names = [f"job {number}" for number in range(5)]
    assert ray.most == most and ray.order == names and sorted(ended) == names


@pytest.mark.parametrize(
    ("resources", "places"),
    [
        ({}, 10),
        ({"cores_per_job": 2}, 4),  # 2 + 1 + 1: no job lies on two machines
        ({"cores_per_job": 8}, 1),
        ({"gpus_per_job": 1.0}, 2),
        ({"gpus_per_job": 0.25}, 4),  # one for each core there
    ],
)
def test_the_places_of_a_cluster(resources, places, monkeypatch):
    machines = [(True, {"CPU": 4.0, "GPU": 2.0}), (True, {"CPU": 3.0}), (True, {"CPU": 3.0}), (False, {"CPU": 99.0})]
    monkeypatch.setattr(on_ray, "import_ray", lambda: FakeRay(*machines, (True, {"node": 1.0})))
    assert on_ray.num_places(address="head:6379", **resources) == places
