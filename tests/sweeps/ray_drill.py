"""ray_drill.py DIRECTORY JOBS STEPS: small jobs on a Ray cluster of two machines, one of which is lost on the way.

Beside them is a head without cores. Prints what happened as one line of JSON. A process of its own: Ray warns, leaves
threads, and takes over the signals of the process that connects to it.
"""

import itertools
import json
import os
import signal
import sys
import time
from pathlib import Path

import psutil
from ray.cluster_utils import Cluster

from rnn_jax.sweeps import on_ray
from rnn_jax.sweeps.jobs import Job

SMALL_JOB = Path(__file__).with_name("small_job.py")

SETTINGS = {"object_store_memory": 80 * 2**20, "include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
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


if __name__ == "__main__":
    workdir, num_jobs, num_steps = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    jobs = []
    for number in range(num_jobs):
        directory = workdir / f"run_{number}"
        directory.mkdir(parents=True)
        command = (str(SMALL_JOB), str(directory), str(num_steps), "0.1", *(["7"] if number == num_jobs - 1 else []))
        jobs.append(Job(f"job {number}", command, (str(directory),), str(directory / "run.log")))

    on_ray.import_ray()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "_system_config": NOTICE, **SETTINGS})
    nodes = [cluster.add_node(num_cpus=1, wait=False, **SETTINGS) for _ in range(2)]
    cluster.wait_for_nodes()
    events, ticks, lost = [], [time.monotonic()], []

    def tick():
        ticks.append(time.monotonic())
        under_way = [
            job
            for job in jobs
            if (Path(job.directories[0]) / "checkpoint.json").exists()
            and not (Path(job.directories[0]) / "result.json").exists()
        ]
        if len(under_way) == 2 and not lost:
            lost.append(lose(nodes[1]))
            ticks.append(time.monotonic())

    try:
        on_ray.run_jobs(
            jobs,
            workdir=workdir,
            address=cluster.address,
            on_start=lambda job: events.append(["start", job.name]),
            on_end=lambda job, exit_code, seconds: events.append(["end", job.name, exit_code]),
            tick=tick,
        )
    finally:
        cluster.shutdown()
    longest = max(after - before for before, after in itertools.pairwise(ticks))
    print(json.dumps({"events": events, "lost": lost, "longest_wait": longest, "left": sorted(os.listdir(workdir))}))
