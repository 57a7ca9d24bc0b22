"""The sweep command, from its flags to its report: what runs, what is kept, what is refused."""

import inspect
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

from experiments import sweep as script
from experiments.sweep import SweepConfig
from rnn_jax.errors import UserError
from rnn_jax.sweeps import local, on_ray, on_slurm, report, search
from rnn_jax.training.run import lock_directory
from tests.sweeps.sweep_texts import write_sweep_file

ROOT = Path(__file__).parents[2]


@pytest.fixture
def pictures():
    """Asked for by a test that wants them drawn, which takes the greater part of a report's time."""


@pytest.fixture(autouse=True)
def _environment(request, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # children find the fake experiment
    if "pictures" not in request.fixturenames:
        monkeypatch.setattr(report, "_draw", lambda *_: [])


@pytest.fixture
def workdir(tmp_path):
    return tmp_path / "work"


def run(file, workdir, **flags):
    """The command in this process: its exit code. The fake experiment has no updates that could be joined."""
    flags = {"workdir": str(workdir), "seeds_mode": "process"} | flags
    return script.main(SweepConfig(**flags), [str(file)] if file else [])


def start(file, workdir, *flags):
    """The command as users have it."""
    command = [sys.executable, "-m", "experiments.sweep", str(file), f"--workdir={workdir}", *flags]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=ROOT, text=True, start_new_session=True, **pipes)


def results(workdir):
    """name of the row's directory and seed → error."""
    found = {}
    for path in Path(workdir).glob("runs/*/seed_*/result.json"):
        found[path.parents[1].name.rpartition("-")[0], path.parent.name] = json.loads(path.read_text())["test/error"]
    return found


def num_starts(workdir):
    return sum(len(path.read_text().splitlines()) for path in Path(workdir).glob("runs/*/seed_*/starts"))


def newton(rate, seed, num_steps=10):
    """What the fake experiment computes."""
    x = 1.0 + seed
    for _ in range(num_steps):
        x += rate * (2.0 / x - x) / 2.0
    return abs(x - 2**0.5)


def test_a_sweep_runs_once_and_grows(tmp_path, workdir, capsys):
    file = write_sweep_file(tmp_path, {}, {"rate": 0.25}, MAXIMIZE=False)
    assert run(file, workdir, jobs=2, num_seeds=2) == 0
    expected = {
        (name, f"seed_{seed}"): newton(rate, seed)
        for name, rate in (("baseline", 0.5), ("rate-0.25", 0.25))
        for seed in (0, 1)
    }
    assert results(workdir) == expected
    said = capsys.readouterr().out
    assert f"/4] rate=0.25 seed 1: test/error {newton(0.25, 1):.4g} in " in said and "[4/4] " in said
    assert "4 of 4 runs finished." in said and f"Report: {workdir}/report.md" in said
    text = (workdir / "report.md").read_text()
    assert "A title." in text and "python -m experiments.sweep" in text and "--num_seeds=2" in text
    starts = [path.read_text().split("] ")[1].strip() for path in workdir.glob("runs/*/seed_*/starts")]
    assert len(starts) == 4 and len(set(starts)) == 1  # one compilation cache
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        assert starts[0].startswith(str(workdir / ".compiled"))

    assert run(file, workdir, jobs=2, num_seeds=2) == 0
    assert num_starts(workdir) == 4
    write_sweep_file(tmp_path, {}, {"rate": 0.75}, {"rate": 0.25}, MAXIMIZE=False)
    capsys.readouterr()
    assert run(file, workdir, jobs=2, num_seeds=2, rows=("0.75",)) == 0
    assert num_starts(workdir) == 6
    assert "A title: 4 runs, 2 of them ended before." in capsys.readouterr().out
    assert "rate=0.25" in (workdir / "report.md").read_text()  # --rows is about what runs
    assert run(file, workdir, jobs=2, num_seeds=3, order="metric") == 0
    assert num_starts(workdir) == 9
    expected |= {("rate-0.75", f"seed_{seed}"): newton(0.75, seed) for seed in range(3)}
    assert results(workdir) == expected | {
        ("baseline", "seed_2"): newton(0.5, 2),
        ("rate-0.25", "seed_2"): newton(0.25, 2),
    }


def test_failures_are_reported_and_tried_again_when_asked(tmp_path, workdir, capsys):
    cure = tmp_path / "cure"
    rows = [{"trouble": trouble, "cure": str(cure)} for trouble in ("diverged", "disk", "bug", "kill")]
    file = write_sweep_file(tmp_path, {}, *rows)
    assert run(file, workdir, jobs=2) == 1
    said = capsys.readouterr().out
    assert "1 of 5 runs finished; 1 diverged, 2 failed, 1 interrupted." in said
    assert "error: there is disk at step 1" in said and "--retry_failed" in said and "Some runs were killed" in said
    assert (workdir / "report.md").exists()
    assert run(file, workdir, jobs=2) == 1
    assert num_starts(workdir) == 6  # only what was killed started again
    cure.touch()
    assert run(file, workdir, jobs=2, retry_failed=True) == 0
    assert set(results(workdir).values()) == {newton(0.5, 0)}
    logs = {path.parents[1].name[:12]: path.read_text() for path in workdir.glob("runs/*/seed_0/run.log")}
    assert "Continuing at step 1" in logs["trouble-disk"] and "Continuing at step 1" in logs["trouble-bug-"]
    assert "Continuing" not in logs["trouble-dive"]  # it would only diverge again
    assert len(list(workdir.glob("runs/trouble-diverged-*/seed_0.failed-1/run.log"))) == 1


ROWS = ({"num_steps": 60}, {"num_steps": 60, "rate": 0.25}, {"num_steps": 60, "rate": 0.75})


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_stopped_in_the_middle_it_goes_on(number, tmp_path, workdir):
    """A kill of the whole process group, or Ctrl-C."""
    file = write_sweep_file(tmp_path, *ROWS)
    process = start(file, workdir, "--jobs=2", "--set=pause=0.05")
    second = "runs/rate-0.25-*/seed_0/state.json"
    while process.poll() is None and not list(workdir.glob(second)):
        time.sleep(0.02)
    time.sleep(0.2)
    os.killpg(process.pid, number)
    out, error = process.communicate(timeout=60)
    if number == signal.SIGINT:
        assert process.returncode == 130, error
        assert error.splitlines()[-1] == "stopped; run the same command again to continue"
        assert "Traceback" not in error and "baseline seed 0: interrupted after" in out
    started = {
        path.parent.parent.name[:9]: json.loads(path.read_text())["step"]
        for path in workdir.glob("runs/*/*/state.json")
    }
    assert 1 <= started["rate-0.25"] < 60 and not results(workdir)
    assert run(file, workdir, jobs=2) == 0
    assert results(workdir) == {
        ("baseline", "seed_0"): newton(0.5, 0, 60),
        ("rate-0.25", "seed_0"): newton(0.25, 0, 60),
        ("rate-0.75", "seed_0"): newton(0.75, 0, 60),
    }
    assert num_starts(workdir) == 5
    log = next(workdir.glob("runs/rate-0.25-*/seed_0/run.log")).read_text()
    assert "Continuing at step" in log


def test_two_sweeps_in_one_directory_refuse(tmp_path, workdir):
    workdir.mkdir()
    held = lock_directory(workdir, "")
    file = write_sweep_file(tmp_path, {})
    with pytest.raises(UserError, match="another sweep is running in .*work: wait for it, or use another --workdir"):
        run(file, workdir)
    assert os.listdir(workdir) == [".lock"]
    os.close(held)
    assert run(file, workdir) == 0
    held = lock_directory(workdir, "")
    assert run(None, workdir, summarise=True) == 0  # while it is running, if need be
    os.close(held)


def test_a_directory_of_something_else_is_left_alone(tmp_path, workdir):
    file = write_sweep_file(tmp_path, {})
    workdir.mkdir()
    (workdir / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"is a run directory, and no sweep's \(it holds config.json\)"):
        run(file, workdir)
    (workdir / "config.json").rename(workdir / "thesis.tex")
    with pytest.raises(UserError, match="is not empty, and no sweep's .*use another --workdir"):
        run(file, workdir)


def test_another_sweeps_directory_is_refused(tmp_path, workdir):
    file = write_sweep_file(tmp_path, {})
    assert run(file, workdir, set=("num_steps=5",)) == 0
    other = write_sweep_file(tmp_path, {}, name="other.py")
    with pytest.raises(UserError, match="holds the sweep 'rates' of tests.sweeps.fake_experiment, not 'other'"):
        run(other, workdir)
    with pytest.raises(UserError, match="begun with another --set: num_steps was 5, now 10. Give the same"):
        run(file, workdir)
    assert run(file, workdir, set=("num_steps=5", "data_dir=/elsewhere")) == 0
    assert num_starts(workdir) == 1
    text = file.read_text()
    file.write_text(text.replace("test/error", "test/mistake") + "\nMAXIMIZE = False\n")
    with pytest.raises(UserError, match="holds a sweep by test/error, and the file now says METRIC = 'test/mistake'"):
        run(file, workdir, set=("num_steps=5",))


def test_a_misspelt_metric_may_be_put_right(tmp_path, workdir, capsys):
    file = write_sweep_file(tmp_path, {})
    text = file.read_text()
    file.write_text(text.replace("test/error", "test/eror") + "\nMAXIMIZE = False\n")
    assert run(file, workdir) == 1
    assert "warning: no result has METRIC = 'test/eror', they have test/error, " in capsys.readouterr().out
    file.write_text(text)
    assert run(file, workdir) == 0
    assert num_starts(workdir) == 1


def test_dry_run_shows_commands_and_touches_nothing(tmp_path, workdir, capsys, monkeypatch):
    file = write_sweep_file(tmp_path, {}, {"rate": 0.25, "data_dir": "a b"}, {"cell": "gru"}, NUM_SEEDS=2)
    before = sorted(tmp_path.rglob("*"))
    assert run(file, workdir, dry_run=True, rows=("rate",), set=("num_steps=7",)) == 0
    assert sorted(tmp_path.rglob("*")) == before
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        "baseline",
        "rate=0.25",
        "2 rows, 4 runs of tests.sweeps.fake_experiment, compared by test/error.",
    ]
    commands = [line.strip() for line in lines if line.startswith(" ")]
    assert commands[0].startswith("python -m tests.sweeps.fake_experiment --num_steps=7 --workdir=")
    assert " --rate=0.25 --num_steps=7 --seed=1 '--data_dir=a b' --workdir=" in commands[3]
    assert run(file, workdir, set=("num_steps=7",)) == 0  # and they are the commands that run
    assert f"--workdir={next(workdir.glob('runs/rate-*/seed_1'))}" in commands[3]
    capsys.readouterr()
    run(file, workdir, set=("num_steps=7",), dry_run=True, num_seeds=3)
    assert [line.endswith("# finished") for line in capsys.readouterr().out.splitlines()[1:4]] == [True, True, False]


def test_the_report_is_made_anew_without_the_file(tmp_path, workdir, capsys, pictures):
    file = write_sweep_file(tmp_path, {}, {"rate": 0.25})
    assert run(file, workdir, num_seeds=2, set=("num_steps=5",)) == 0
    text = (workdir / "report.md").read_text()
    file.unlink()
    for name in ("report.md", "intervals.png"):
        (workdir / name).unlink()
    moved = workdir.rename(tmp_path / "moved")
    shutil.rmtree(next(moved.glob("runs/rate-*/seed_1")))
    capsys.readouterr()
    assert run(None, moved, summarise=True) == 1
    assert "3 of 4 runs finished; 1 waiting." in capsys.readouterr().out
    assert "rates.py" in text and "rates.py" in (moved / "report.md").read_text()
    assert (moved / "intervals.png").exists()
    assert num_starts(moved) == 3


def test_rows_keep_their_directories_when_the_experiment_gets_a_knob_more(tmp_path, workdir):
    """The digits of a directory's name are those of the whole configuration, which changes then."""
    file = write_sweep_file(tmp_path, {}, {"rate": 0.25})
    assert run(file, workdir) == 0
    document = json.loads((workdir / "sweep.json").read_text())
    for row in document["rows"]:
        (workdir / "runs" / row["slug"]).rename(workdir / "runs" / f"old-{row['slug']}")
        row["slug"] = f"old-{row['slug']}"
        del row["config"]["limit"]
    (workdir / "sweep.json").write_text(json.dumps(document))
    assert run(file, workdir) == 0
    assert num_starts(workdir) == 2 and len(list(workdir.glob("runs/*"))) == 2


def config_error(*arguments, **flags):
    with pytest.raises(UserError) as error:
        script.main(SweepConfig(**flags), list(arguments))
    return str(error.value)


def test_flags_that_make_no_sense_are_refused(tmp_path):
    file = str(write_sweep_file(tmp_path, {}, {"rate": 0.25}))
    work = {"workdir": str(tmp_path / "w")}
    assert "which sweep? Give its file" in config_error()
    assert "which sweep?" in config_error(summarise=True)
    assert "one sweep file at a time: a.py, b.py" in config_error("a.py", "b.py")
    assert "holds no sweep" in config_error(summarise=True, **work)
    assert "holds no sweep" in config_error(file, summarise=True, **work)
    assert "--set=a=1 needs a sweep file" in config_error(summarise=True, set=("a=1",), **work)
    assert "--slurm_partition needs --executor=slurm" in config_error(file, slurm_partition="x", **work)
    assert "needs --executor=ray or slurm" in config_error(file, gpus_per_job=1.0, **work)
    assert "SLURM gives whole GPUs" in config_error(file, executor="slurm", gpus_per_job=0.5, **work)
    assert "--num_trials needs --search=optuna" in config_error(file, num_trials=3, **work)
    assert "--rows=gru: no row of the sweep" in config_error(file, rows=("gru",), **work)
    assert not (tmp_path / "w").exists()


def test_without_a_workdir_it_is_named_like_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert script.main(SweepConfig(), [str(write_sweep_file(tmp_path, {}))]) == 0
    assert results("runs/rates") == {("baseline", "seed_0"): newton(0.5, 0)}


@pytest.mark.parametrize("executor", ["ray", "slurm"])
def test_schedulers_get_the_jobs_and_the_flags(executor, tmp_path, workdir, monkeypatch):
    module = {"ray": on_ray, "slurm": on_slurm}[executor]
    signature, given = inspect.signature(module.run_jobs), {}

    def run_jobs(*arguments, **keywords):
        given.update(signature.bind(*arguments, **keywords).arguments)
        hooks = {name: given.pop(name) for name in ("on_start", "on_end", "tick")}
        local.run_jobs(given.pop("jobs"), num_parallel=1, **hooks)

    monkeypatch.setattr(module, "run_jobs", run_jobs)
    file = write_sweep_file(tmp_path, {})
    flags = {
        "ray": {"ray_address": "head:6379", "gpus_per_job": 0.5, "jobs": 4},
        "slurm": {"slurm_partition": "short", "slurm_minutes": 7, "slurm_parameters": ("qos=low",), "jobs": 9},
    }[executor]
    assert run(file, workdir, executor=executor, cores_per_job=3, **flags) == 0
    assert (
        given
        == {"workdir": workdir, "cores_per_job": 3}
        | {
            "ray": {"address": "head:6379", "gpus_per_job": 0.5, "num_parallel": 4},
            "slurm": {
                "partition": "short",
                "minutes": 7,
                "memory_gb": 0.0,
                "parameters": ("qos=low",),
                "gpus_per_job": 0,
                "num_parallel": 9,
            },
        }[executor]
    )
    assert results(workdir) == {("baseline", "seed_0"): newton(0.5, 0)}


@pytest.mark.parametrize(
    ("flags", "sizes"),
    [
        ({}, [8]),
        ({"jobs": 2}, [4, 4]),
        ({"executor": "ray"}, [1] * 8),  # 16 cores, see below
        ({"executor": "ray", "cores_per_job": 5}, [3, 3, 2]),
        ({"executor": "ray", "cores_per_job": 32}, [8]),
        ({"executor": "ray", "jobs": 2}, [4, 4]),
        ({"executor": "slurm"}, [1] * 8),
        ({"executor": "slurm", "jobs": 3}, [3, 3, 2]),
    ],
)
def test_runs_share_processes_so_that_every_place_has_one(flags, sizes, tmp_path, workdir, monkeypatch):
    given = []
    for module in (local, on_ray, on_slurm):
        monkeypatch.setattr(module, "run_jobs", lambda jobs, **_: given.extend(len(job.directories) for job in jobs))
    monkeypatch.setattr(local, "available_cores", lambda: list(range(16)))
    file = write_sweep_file(tmp_path, {})
    assert run(file, workdir, num_seeds=8, seeds_mode="map", **flags) == 1
    assert given == sizes


def test_a_search_gets_the_space_the_baseline_and_the_flags(tmp_path, workdir, monkeypatch, capsys):
    given = {}

    def run_search(sweep, space, workdir, *, base, num_trials, num_parallel, environment):
        given.update(space=space("a trial"), num_trials=num_trials, num_parallel=num_parallel)
        given.update(workdir=workdir, rate=base.rate, num_steps=base.num_steps)
        study = optuna.create_study()
        study.add_trial(optuna.trial.create_trial(value=0.5))
        with pytest.raises(UserError, match="another sweep is running"):
            lock_directory(workdir, "another sweep is running in")
        return study

    monkeypatch.setattr(search, "run_search", run_search)
    file = write_sweep_file(tmp_path, {"rate": 0.25})
    with pytest.raises(UserError, match=r"rates.py has no function space\(trial\)"):
        run(file, workdir, search="optuna")
    file.write_text(file.read_text() + "def space(trial):\n    return {'cell': trial}\n")
    assert run(file, workdir, search="optuna", num_trials=7, jobs=2, set=("num_steps=3",)) == 0
    expected = {"space": {"cell": "a trial"}, "num_trials": 7, "num_parallel": 2}
    assert given == expected | {"workdir": workdir, "rate": 0.25, "num_steps": 3}
    assert f"Report: {workdir}/search.md" in capsys.readouterr().out
    assert "--search takes no --executor" in config_error(str(file), search="optuna", executor="ray")


@pytest.mark.parametrize(
    ("troubles", "exit_code", "states"),
    [
        (["", "diverged"], 0, "1 finished, 1 diverged"),
        (["", "bug"], 1, "1 finished, 1 failed"),
        (["diverged", "diverged"], 1, "2 diverged"),
    ],
)
def test_the_exit_code_of_a_search(troubles, exit_code, states, tmp_path, workdir, capsys):
    file = write_sweep_file(tmp_path, {})
    file.write_text(
        f"{file.read_text()}def space(trial):\n"
        "    rate = trial.suggest_float('rate', 0.1, 0.9)\n"
        f"    return {{'rate': rate, 'trouble': {troubles}[trial.number % 2]}}\n"
    )
    assert run(file, workdir, search="optuna", seeds_mode="auto", num_trials=2) == exit_code
    assert states in (workdir / "search.md").read_text()
