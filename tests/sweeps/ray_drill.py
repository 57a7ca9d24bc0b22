"""ray_drill.py SWEEP_FILE WORKDIR: the sweep command on a Ray cluster of two machines, one of which is lost.

Beside them is a head without cores. On the machine that is left, small jobs are then interrupted. Prints what happened
as one line of JSON. A process of its own: Ray warns, leaves threads, and takes over the signals of the process that
connects to it.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
from ray.cluster_utils import Cluster

from rnn_jax.errors import TrainingInterrupted
from rnn_jax.sweeps import on_ray
from rnn_jax.sweeps.jobs import Job

SMALL_JOB = Path(__file__).with_name("small_job.py")

SETTINGS = {"object_store_memory": 80 * 2**20, "include_dashboard": False}
SETTINGS |= {"include_log_monitor": False, "no_monitor": True}
# A lost machine is to be noticed within a second or two; ten times that is Ray's own choice.
NOTICE = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 300, "health_check_failure_threshold": 4}


def lose(node):
    """The machine is gone: nothing on it is told, and what its workers have started is alone."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    workers = raylet.children()
    children = [child for worker in workers for child in worker.children()]
    for process in [raylet, *workers]:
        process.send_signal(signal.SIGKILL)
    return len(children), len(psutil.wait_procs(children, timeout=10)[0])


def is_in_the_middle(directory):
    if (directory / "result.json").exists() or not (file := directory / "state.json").exists():
        return False
    return json.loads(file.read_text())["step"] >= 3


def groups_in_the_middle(workdir):
    """(name, the node it is on) of each group of which a run has made some steps, and not all."""
    found = []
    for log in workdir.glob("groups/*.log"):
        spec = json.loads(log.with_suffix(".json").read_text())
        directories = [Path(run["directory"]) for run in spec["runs"]]
        if any(is_in_the_middle(directory) for directory in directories):
            found.append((log.stem, re.findall(r"Ray node (\w+)", log.read_text())[-1]))
    return found


def sweep_with_a_loss(file, workdir, address, nodes):
    """What users type; gives its exit code, what it printed, and what was lost."""
    flags = [
        "--executor=ray",
        f"--ray_address={address}",
        "--seeds_mode=map",
        "--set=pause=0.03",
        f"--workdir={workdir}",
    ]
    command = [sys.executable, "-m", "experiments.sweep", str(file), *flags]
    lost = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as sweep:
        while sweep.poll() is None and not lost:
            time.sleep(0.02)
            for group, node_id in groups_in_the_middle(workdir)[:1]:
                (node,) = [node for node in nodes if node.node_id.startswith(node_id)]
                lost.append([group, *lose(node)])
        return {"exit_code": sweep.wait(timeout=120), "said": sweep.stdout.read(), "lost": lost}


def make_job(workdir, name, *arguments):
    directory = workdir / name
    directory.mkdir(parents=True)
    command = (str(SMALL_JOB), str(directory), *map(str, arguments))
    return Job(name, command, (str(directory),), str(directory / "run.log"))


def run_until_interrupted(jobs, workdir, address):
    """What was told of the jobs, in order; in the end the exit code, had this been the sweep's process."""
    events, sent = [], []

    def tick():
        if (workdir / "endless_0" / "checkpoint.json").exists() and not sent:
            sent.append(True)
            os.kill(os.getpid(), signal.SIGINT)

    try:
        on_ray.run_jobs(
            jobs,
            workdir=workdir,
            address=address,
            on_start=lambda job: events.append(["start", job.name]),
            on_end=lambda job, exit_code, seconds: events.append(["end", job.name, exit_code]),
            tick=tick,
        )
    except TrainingInterrupted as error:
        return [*events, error.exit_code]
    return [*events, 0]


if __name__ == "__main__":
    file, workdir = map(Path, sys.argv[1:])
    small = workdir.with_name("small")
    jobs = [make_job(small, "broken", 2, 0.01, 7)]
    jobs += [make_job(small, f"endless_{number}", 10_000, 0.05) for number in (0, 1)]

    on_ray.import_ray()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "_system_config": NOTICE, **SETTINGS})
    try:
        nodes = [cluster.add_node(num_cpus=1, wait=False, **SETTINGS) for _ in range(2)]
        cluster.wait_for_nodes()
        told = sweep_with_a_loss(file, workdir, cluster.address, nodes)
        told["stopped"] = run_until_interrupted(jobs, small, cluster.address)
    finally:
        cluster.shutdown()
    print(json.dumps(told | {"left": sorted(os.listdir(small))}))
