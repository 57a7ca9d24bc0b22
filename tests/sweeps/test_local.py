"""Jobs as processes of this machine, and the table that shows how far they are."""

import dataclasses
import fcntl
import io
import json
import os
import signal
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from rnn_jax.config import knob
from rnn_jax.errors import TrainingInterrupted
from rnn_jax.sweeps import local
from rnn_jax.sweeps.jobs import Job
from rnn_jax.sweeps.live_table import LiveTable, fraction_done, last_line
from rnn_jax.sweeps.local import available_cores, is_held, run_jobs, share_cores, shared_cache
from rnn_jax.sweeps.plan_jobs import choose_rows, make_jobs, runs_to_do, set_aside
from rnn_jax.sweeps.records import read_record, write_outcome
from rnn_jax.sweeps.rows import expand
from rnn_jax.sweeps.sweep_file import load_sweep
from tests.sweeps.fake_experiment import Config
from tests.sweeps.sweep_texts import write_sweep_file


class Log:
    """The calls of run_jobs, in order."""

    def __init__(self):
        self.events, self.codes, self.most, self._running, self.ticks = [], {}, 0, 0, 0

    def hooks(self):
        return {"on_start": self.start, "on_end": self.end, "tick": self.tick}

    def start(self, job):
        self.events.append(f"start {job.name}")
        self._running += 1
        self.most = max(self.most, self._running)

    def end(self, job, exit_code, seconds):
        self.events.append(f"end {job.name}")
        self._running -= 1
        self.codes[job.name] = exit_code
        assert seconds > 0

    def tick(self):
        self.ticks += 1


def script(tmp_path, name, code):
    """A job that runs this Python code in its run directory."""
    directory = tmp_path / name
    directory.mkdir(exist_ok=True)
    start = f"import os, signal, sys, time; os.chdir({str(directory)!r})\n"
    return Job(name, ("-c", start + textwrap.dedent(code)), (str(directory),), str(directory / "run.log"))


def wait_for(path, seconds=20):
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.01)


def test_every_job_runs_and_failures_stop_nobody(tmp_path):
    cores = "open('cores', 'w').write(repr(sorted(os.sched_getaffinity(0))))"
    jobs = [
        script(tmp_path, "a", f"{cores}; time.sleep(0.3); print('done'); open('result.json', 'w').write('{{}}')"),
        script(tmp_path, "b", "sys.exit('a message')"),
        script(tmp_path, "c", "os.kill(os.getpid(), 9)"),
        script(tmp_path, "d", "sys.exit(3)")._replace(environment=(("A", "1"),)),
        script(tmp_path, "e", cores),
    ]
    log = Log()
    run_jobs(jobs, num_parallel=2, **log.hooks())
    assert log.codes == {"a": 0, "b": 1, "c": -9, "d": 3, "e": 0}
    assert sorted(log.events) == sorted(f"{what} {name}" for what in ("start", "end") for name in "abcde")
    assert log.events[:2] == ["start a", "start b"] and log.most == 2 and log.ticks > 0
    assert (tmp_path / "a" / "run.log").read_text() == "done\n"
    assert (tmp_path / "b" / "run.log").read_text() == "a message\n"
    codes = {name: json.loads((tmp_path / name / ".outcome.json").read_text())["exit_code"] for name in "bcde"}
    assert codes == {"b": 1, "c": -9, "d": 3, "e": 0}
    assert not (tmp_path / "a" / ".outcome.json").exists()
    mine = set(os.sched_getaffinity(0))
    parts = [set(json.loads((tmp_path / name / "cores").read_text())) for name in "ae"]
    assert all(part <= mine for part in parts)
    if len(mine) >= 2:
        assert not parts[0] & parts[1] or parts[0] == parts[1]
        assert len(parts[0]) in (len(mine) // 2, len(mine) - len(mine) // 2)


def test_a_process_of_several_runs_that_fails_leaves_word_in_each(sweep, tmp_path):
    """But for those that noted their own end, or have a result."""
    runs = expand(sweep, tmp_path, 4)[:4]
    put(runs[0], **{"test/error": 0.5})
    job = script(tmp_path, "group", "print('error: no data there'); sys.exit(2)")
    directories = tuple(str(run.directory) for run in runs)
    console = Console(file=io.StringIO(), width=40)
    table = LiveTable(sweep, [read_record(run) for run in runs], console=console)

    def start(job):
        table.job_started(job)
        write_outcome(runs[1].directory, 3, 1.0)

    job = job._replace(directories=directories)
    run_jobs([job], num_parallel=1, on_start=start, on_end=table.job_ended, tick=table.tick)
    records = [read_record(run) for run in runs]
    assert [record.status for record in records] == ["finished", "diverged", "failed", "failed"]
    word = f"--- {job.log} ended with exit code 2:\nerror: no data there"
    assert [record.message for record in records] == ["", "", word, word]
    said = console.file.getvalue().splitlines()
    assert [line.partition(":")[0] for line in said] == [f"[{n}/4] baseline seed {n - 1}" for n in (1, 2, 3, 4)]


def test_no_jobs_are_no_work():
    run_jobs([], num_parallel=3, **Log().hooks())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_running_jobs_save_and_starts_no_more(number, tmp_path):
    code = """
        def save(*_):
            open("saved", "w").close()
            sys.exit(143)
        signal.signal(signal.SIGTERM, save)
        signal.signal(signal.SIGINT, lambda *_: open("interrupted", "w").close())
        open("ready", "w").close()
        time.sleep(30)
    """
    jobs = [script(tmp_path, name, code) for name in "abc"]

    def send():
        for name in "ab":
            wait_for(tmp_path / name / "ready")
        os.kill(os.getpid(), number)

    thread, log = threading.Thread(target=send), Log()
    thread.start()
    with pytest.raises(TrainingInterrupted, match="run the same command again to continue") as error:
        run_jobs(jobs, num_parallel=2, **log.hooks())
    thread.join()
    assert error.value.exit_code == 128 + number
    assert log.codes == {"a": 143, "b": 143}
    assert all((tmp_path / name / "saved").exists() for name in "ab") and not (tmp_path / "c" / "ready").exists()
    assert not list(tmp_path.glob("*/interrupted"))  # Ctrl-C is not theirs


def test_what_does_not_stop_is_killed(tmp_path, monkeypatch):
    code = """
        signal.signal(signal.SIGTERM, lambda *_: open("asked", "w").close())
        open("ready", "w").close()
        while True: time.sleep(1)
    """
    for second_ctrl_c in (False, True):
        monkeypatch.setattr(local, "SECONDS_TO_SAVE", 60 if second_ctrl_c else 0.3)
        name = f"deaf_{second_ctrl_c}"
        job, log = script(tmp_path, name, code), Log()

        def send(name=name, again=second_ctrl_c):
            wait_for(tmp_path / name / "ready")
            os.kill(os.getpid(), signal.SIGINT)
            wait_for(tmp_path / name / "asked")
            if again:
                os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=send)
        thread.start()
        with pytest.raises(KeyboardInterrupt if second_ctrl_c else TrainingInterrupted):
            run_jobs([job], num_parallel=1, **log.hooks())
        thread.join()
        assert log.codes == {name: -signal.SIGKILL}


def test_a_directory_that_is_held_is_waited_for(tmp_path, capsys):
    jobs = [script(tmp_path, name, "open('ran', 'w').close()") for name in "ab"]
    lock = os.open(tmp_path / "a" / ".lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert is_held(tmp_path / "a") and not is_held(tmp_path / "b") and not is_held(tmp_path / "absent")
    log, said = Log(), []

    def tick():
        if "end b" in log.events and not said and (error := capsys.readouterr().err):
            said.append(error)
            os.close(lock)

    run_jobs(jobs, num_parallel=2, **log.hooks() | {"tick": tick})
    assert log.events == ["start b", "end b", "start a", "end a"]
    assert said == [f"waiting for a process that trains in {tmp_path}/a\n"]


def test_cores_are_shared_out_evenly():
    assert share_cores(3, [0, 4, 1, 5, 2, 6, 3, 7]) == [(0, 4), (1, 5, 2), (6, 3, 7)]
    assert share_cores(2, [3, 5]) == [(3,), (5,)]
    assert share_cores(3, [3, 5]) == [(), (), ()]
    assert share_cores(2, []) == [(), ()] and share_cores(0, [1]) == []
    assert sorted(available_cores()) == sorted(os.sched_getaffinity(0))


def test_one_compilation_cache_unless_there_is_one(tmp_path):
    names = ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS")
    found = dict(shared_cache(tmp_path, {}))
    assert tuple(found) == names and found[names[1]] == "0.3"
    assert Path(found[names[0]]).parent == tmp_path / ".compiled"
    assert shared_cache(tmp_path, {names[0]: ""}) == ((names[1], "0.3"),)
    assert shared_cache(tmp_path, dict.fromkeys(names, "mine")) == ()


@pytest.fixture
def sweep(tmp_path):
    return load_sweep(write_sweep_file(tmp_path, {}, {"rate": 0.25}, {"num_steps": 20}, {"cell": "gru", "rate": 0.25}))


def put(run, *, steps=0, **result):
    """A run directory at some point of its life."""
    run.directory.mkdir(parents=True)
    (run.directory / "config.json").write_text("{}")
    lines = [json.dumps({"step": n, "epoch": n / 5, "seconds": 2.0 * n}) for n in range(1, steps + 1)]
    (run.directory / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))
    if result:
        (run.directory / "result.json").write_text(json.dumps({"test/error": 0.0, "seconds": 1.0} | result))


def test_what_is_left_to_do(sweep, tmp_path):
    runs = expand(sweep, tmp_path, 2)
    put(runs[0], x=1)
    put(runs[1], steps=3)  # a killed sweep left it
    for run, code in zip(runs[2:6], (3, 1, -9, 143), strict=True):
        write_outcome(run.directory, code, 1.0)
    records = [read_record(run) for run in runs]
    statuses = ["finished", "running", "diverged", "failed", "interrupted", "interrupted", "waiting", "waiting"]
    assert [record.status for record in records] == statuses
    assert runs_to_do(records, retry_failed=False) == [runs[4], runs[6], runs[1], runs[5], runs[7]]
    assert runs_to_do(records, retry_failed=True) == [runs[2], runs[4], runs[6], runs[1], runs[3], runs[5], runs[7]]
    job, *_ = make_jobs(sweep, [runs[3]], environment=(("A", "1"),))
    directory = f"{tmp_path}/runs/{sweep.rows[1].slug}/seed_1"
    command = ("-m", "tests.sweeps.fake_experiment", "--rate=0.25", "--seed=1", f"--workdir={directory}")
    assert job == Job("rate=0.25 seed 1", command, (directory,), f"{directory}/run.log", (("A", "1"),))
    places = []
    for _ in range(2):
        places.append(set_aside(runs[2].directory).name)
        runs[2].directory.mkdir()
    assert places == ["seed_0.failed-1", "seed_0.failed-2"] and read_record(runs[2]).status == "waiting"


def test_rows_are_chosen_by_parts_of_their_names(sweep):
    assert choose_rows(sweep, ()) == {0, 1, 2, 3}
    assert choose_rows(sweep, ("rate=0.25",)) == {0, 1, 3}
    assert choose_rows(sweep, ("gru", "num_st")) == {0, 2, 3}
    with pytest.raises(Exception, match=r"--rows=rate=0.26: no row .* Did you mean rate=0.25\?"):
        choose_rows(sweep, ("rate=0.26",))


def terminal(height=30):
    stream = io.StringIO()
    return Console(file=stream, force_terminal=True, width=100, height=height, highlight=False, color_system=None)


def picture(table):
    console = terminal()
    console.print(table.picture())
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_the_live_table(sweep, tmp_path, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    runs = expand(sweep, tmp_path, 2)
    put(runs[0], **{"test/error": 0.25})
    put(runs[1], **{"test/error": 0.5})
    put(runs[5], steps=5)  # of 20
    console = terminal()
    table = LiveTable(sweep, [read_record(run) for run in runs], console=console)
    jobs = make_jobs(sweep, runs)
    with table:
        table.job_started(jobs[2])
        table.job_started(jobs[5])
        put(runs[2], steps=4)  # of 10, in 8 seconds
        clock[0] += 9
        table.tick()
        assert picture(table) == [
            "row                  seeds  running         test/error  failed",
            "baseline             2/2                    0.375",
            "rate=0.25            0/2    seed 0 40% 12s",
            "num_steps=20         0/2    seed 1 25% 21s",
            "cell=gru, rate=0.25  0/2",
            # 0.4 of a run in 9 s, and 0.6 + 1 + 1 + 0.75 + 2 to go
            "2 of 8 runs finished · 9s · about 2m00s left",
        ]
        write_outcome(runs[2].directory, 3, 9.0)
        (runs[2].directory / "run.log").write_text("error: nan\n")
        table.job_ended(jobs[2], 3, 9.0)
        clock[0] += 1
        (runs[5].directory / "result.json").write_text('{"test/error": 1, "seconds": 5}')
        table.job_ended(jobs[5], 0, 10.0)
        assert picture(table)[2:] == [
            "rate=0.25            0/2                         1",
            "num_steps=20         1/2             1",
            "cell=gru, rate=0.25  0/2",
            "3 of 8 runs finished, 1 failed · 10s · about 53s left",  # 0.75 of a run in 10 s, and 4 to go
        ]
    said = console.file.getvalue()
    log = runs[2].directory / "run.log"
    assert f"[3/8] rate=0.25 seed 0: diverged after 9s, see {log}" in said.replace("\n", "")
    assert "[4/8]" not in said  # good news are in the table


def test_a_table_higher_than_the_terminal_shows_what_goes_on(sweep, tmp_path):
    runs = expand(sweep, tmp_path, 1)
    console = terminal(height=7)
    table = LiveTable(sweep, [read_record(run) for run in runs], console=console)
    table.job_started(make_jobs(sweep, runs)[3])
    shown = picture(table)
    assert [line.split("  ")[0] for line in shown[1:4]] == ["baseline", "cell=gru, rate=0.25", "… and 2 more rows"]
    assert "seed 0 0%" in shown[2]


def test_in_a_pipe_a_line_for_each_end(sweep, tmp_path):
    runs = expand(sweep, tmp_path, 1)
    put(runs[0], **{"test/error": 0.5})
    stream = io.StringIO()
    table = LiveTable(sweep, [read_record(run) for run in runs], console=Console(file=stream, width=40))
    jobs = make_jobs(sweep, runs)
    with table:
        for job in jobs[1:]:
            table.job_started(job)
        table.tick()
        put(runs[1], **{"test/error": 0.123456})
        write_outcome(runs[2].directory, 143, 4.0)
        put(runs[3], **{"test/error": None, "test/mistake": 1.0})
        for job, seconds in zip(jobs[1:], (42.4, 4.0, 185), strict=True):
            table.job_ended(job, 0, seconds)
    assert stream.getvalue().splitlines() == [
        "[2/4] rate=0.25 seed 0: test/error 0.1235 in 42s",
        f"[2/4] num_steps=20 seed 0: interrupted after 4s, see {runs[2].directory}/run.log",
        "[3/4] cell=gru, rate=0.25 seed 0: test/error – in 3m05s",
        "warning: no result has METRIC = 'test/error', they have test/error, test/mistake. "
        "Put the sweep file right, at any time.",
    ]


def test_progress_is_read_from_the_end_of_the_metrics(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert last_line(path) == {}
    path.write_text('{"step": 1}\n{"step": 2, "epoch": 0.5}\n{"step": 3, "ep')  # a kill, or a reader that was too early
    assert last_line(path) == {"step": 2, "epoch": 0.5}
    path.write_text("".join(json.dumps({"step": n, "text": "x" * 1000}) + "\n" for n in range(100)))
    assert last_line(path)["step"] == 99
    assert fraction_done(Config(num_steps=8), {"step": 2}) == 0.25

    @dataclasses.dataclass
    class Epochs:
        num_steps: int = knob(0, "")
        num_epochs: int = knob(4, "")

    @dataclasses.dataclass
    class Endless:
        seed: int = knob(0, "")

    assert fraction_done(Epochs(), {"step": 100, "epoch": 3}) == 0.75
    assert fraction_done(Epochs(), {"step": 100, "epoch": 4.1}) == 1.0
    assert fraction_done(Endless(), {"step": 100}) == fraction_done(Epochs(), {}) == 0.0


def test_the_children_die_with_their_parent(tmp_path):
    """SIGTERM, so that they save."""
    code = """
        def save(*_):
            open("saved", "w").close()
            sys.exit(143)
        signal.signal(signal.SIGTERM, save)
        open("ready", "w").close()
        time.sleep(30)
    """
    job = script(tmp_path, "a", code)
    guard = [sys.executable, str(Path(local.__file__).with_name("child.py"))]
    if (parent := os.fork()) == 0:
        os.spawnv(os.P_NOWAIT, sys.executable, [*guard, str(os.getpid()), "", sys.executable, *job.command])
        time.sleep(30)
        os._exit(0)
    wait_for(tmp_path / "a" / "ready")
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    wait_for(tmp_path / "a" / "saved")
