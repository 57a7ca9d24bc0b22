"""ray_drill.py DIRECTORY JOBS STEPS: small jobs on a Ray cluster of two machines, one of which is lost.

Beside them is a head without cores. On the machine that is left, two endless jobs are then interrupted. Prints what
happened as one line of JSON. A process of its own: Ray warns, leaves threads, and takes over the signals of the process
that connects to it.
"""

import json
import os
import signal
import sys
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


def make_jobs(workdir, names, *arguments):
    directories = {name: workdir / name for name in names}
    for directory in directories.values():
        directory.mkdir(parents=True)
    return [
        Job(name, (str(SMALL_JOB), str(directory), *map(str, arguments)), (str(directory),), str(directory / "run.log"))
        for name, directory in directories.items()
    ]


def under_way(jobs):
    directories = [Path(job.directories[0]) for job in jobs]
    return [d for d in directories if (d / "checkpoint.json").exists() and not (d / "result.json").exists()]


def run(jobs, workdir, address, tick):
    """What was told of the jobs, in order; in the end the exit code, had this been the sweep's process."""
    events = []
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
    workdir, num_jobs, num_steps = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    jobs = make_jobs(workdir, [f"run_{number}" for number in range(num_jobs - 1)], num_steps, 0.1)
    jobs += make_jobs(workdir, [f"run_{num_jobs - 1}"], num_steps, 0.1, 7)
    endless = make_jobs(workdir, ["endless_0", "endless_1"], 10_000, 0.05)

    on_ray.import_ray()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "_system_config": NOTICE, **SETTINGS})
    try:
        nodes = [cluster.add_node(num_cpus=1, wait=False, **SETTINGS) for _ in range(2)]
        cluster.wait_for_nodes()
        lost, sent = [], []

        def lose_one():
            if len(under_way(jobs)) == 2 and not lost:
                lost.append(lose(nodes[1]))

        def interrupt():
            if under_way(endless) and not sent:
                sent.append(True)
                os.kill(os.getpid(), signal.SIGINT)

        told = {"one lost": run(jobs, workdir, cluster.address, lose_one), "lost": lost}
        told["stopped"] = run(endless, workdir, cluster.address, interrupt)
    finally:
        cluster.shutdown()
    print(json.dumps(told | {"left": sorted(os.listdir(workdir))}))
