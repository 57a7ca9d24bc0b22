"""launch.sh with stand-ins for Python, uv, nvidia-smi and srun: what would run, where and with which variables."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LAUNCH = Path(__file__).parents[1] / "launch.sh"
PYTHON = '#!/bin/sh\nprintf "%s|" python "$@"; echo\npwd\nenv\n'
# Makes an environment as uv does: `uv venv … DIR`, then `uv pip sync … --python DIR/bin/python LOCK…`.
UV = """#!/bin/sh
case "$1 $2" in
  "--version ") echo uv ;;
  venv*) for last; do :; done; mkdir -p "$last/bin"; cp "$FAKES/new-python" "$last/bin/python" ;;
  "pip sync") echo sync >>"$FAKES/syncs"; eval "$DURING_SYNC" ;;
esac
"""


class Checkout:
    """A copy of launch.sh, in a path with spaces, whose environments and outside programs are stand-ins."""

    def __init__(self, folder: Path):
        self.root, self.fakes, self.caller = folder / "a check out", folder / "fakes", folder / "called from here"
        for path in (self.root / "experiments", self.root / "requirements", self.fakes, self.caller):
            path.mkdir(parents=True)
        shutil.copy(LAUNCH, self.root)
        (self.root / "experiments" / "toy.py").write_text('"""Count to three, slowly.\n\nMore words.\n"""\n')
        (self.root / "experiments" / "sweep.py").write_text('"""Sweep."""\n')
        for lock in ("run", "dev", "lowest", "sweep", "cuda", "tpu"):
            (self.root / "requirements" / f"{lock}.txt").write_text(f"{lock}==1\n")
        self.environment("run", "run")
        self.program("nvidia-smi", "exit 9")
        self.program("uv", UV)
        self.program("new-python", PYTHON)

    def program(self, name: str, script: str) -> None:
        path = self.fakes / name
        path.write_text(script if script.startswith("#!") else f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def environment(self, name: str, *locks: str, python: str = PYTHON) -> None:
        path = self.root / ".venvs" / name
        (path / "bin").mkdir(parents=True)
        (path / "bin" / "python").write_text(python)
        (path / "bin" / "python").chmod(0o755)
        (path / "lock.txt").write_text("".join(f"{lock}==1\n" for lock in locks))

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen:
        path = f"{self.fakes}{os.pathsep}{os.environ['PATH']}"
        return subprocess.Popen(
            [str(self.root / "launch.sh"), *arguments],
            cwd=self.caller,
            env={"PATH": path, "HOME": str(self.caller), "FAKES": str(self.fakes), "DURING_SYNC": "", **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job would ignore it
        )

    def __call__(self, *arguments: str, **variables: str) -> "Outcome":
        process = self.start(*arguments, **variables)
        stdout, stderr = process.communicate(timeout=60)
        return Outcome(process.returncode, stdout, stderr)


class Outcome:
    def __init__(self, code: int, stdout: str, stderr: str):
        self.code, self.stdout, self.stderr = code, stdout, stderr
        self.lines = stdout.splitlines()
        self.variables = dict(line.split("=", 1) for line in self.lines if "=" in line and "|" not in line)

    @property
    def command(self) -> list[str]:
        return self.lines[0].split("|")[:-1]


@pytest.fixture
def launch(tmp_path):
    return Checkout(tmp_path)


@pytest.mark.parametrize("arguments", [(), ("--help",), ("help",)])
def test_usage_lists_the_experiments_with_their_first_docstring_line(launch, arguments):
    outcome = launch(*arguments)
    assert outcome.code == 0
    assert any(line.split() == ["toy", "Count", "to", "three,", "slowly."] for line in outcome.lines)
    assert "More words" not in outcome.stdout


@pytest.mark.parametrize("name", ["sentimental", "../toy", "toy.py", "__init__"])
def test_an_unknown_command_exits_with_2_and_shows_what_there_is(launch, name):
    outcome = launch(name, "--steps=3")
    assert outcome.code == 2
    assert outcome.stdout == ""
    assert f"'{name}' is no experiment and no command" in outcome.stderr
    assert "Count to three, slowly." in outcome.stderr


def test_flags_are_passed_on_as_they_are_and_paths_stay_relative_to_the_caller(launch):
    outcome = launch("toy", "--text=a  'b'", "", "*", "--", "--platform=x")
    assert outcome.command == ["python", "-m", "experiments.toy", "--text=a  'b'", "", "*", "--", "--platform=x"]
    assert outcome.lines[1] == str(launch.caller)
    assert outcome.variables["PYTHONPATH"].split(":") == [str(launch.root), str(launch.caller)]


def test_the_callers_folder_comes_after_ours(launch):
    (launch.root / ".venvs" / "run" / "bin" / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (launch.root / "experiments" / "toy.py").write_text("import my_cell; print('ours', my_cell.__name__)")
    (launch.caller / "experiments").mkdir()
    (launch.caller / "experiments" / "toy.py").write_text("print('theirs')")
    (launch.caller / "my_cell.py").touch()
    assert launch("toy").lines == ["ours my_cell"]


@pytest.mark.parametrize("arguments", [("toy", "--platform=tpu"), ("--platform", "tpu", "toy")])
def test_the_platform_flag_is_taken_out_in_both_spellings(launch, arguments):
    launch.environment("run-tpu", "run", "tpu")
    outcome = launch(*arguments)
    assert outcome.command == ["python", "-m", "experiments.toy"]
    assert outcome.variables["JAX_PLATFORMS"] == "tpu,cpu"


@pytest.mark.parametrize("arguments", [("toy", "--platform=npu"), ("toy", "--platform", "npu"), ("toy", "--platform")])
def test_a_bad_platform_is_refused(launch, arguments):
    outcome = launch(*arguments)
    assert outcome.code == 2
    assert "cpu, gpu or tpu" in outcome.stderr


def test_a_gpu_is_found_only_if_the_driver_answers(launch):
    launch.environment("run-cuda", "run", "cuda")
    assert launch("toy").variables["JAX_PLATFORMS"] == "cpu"
    launch.program("nvidia-smi", 'test "$1" = -L && echo "GPU 0: a card"')
    found = launch("toy").variables
    assert found["JAX_PLATFORMS"] == "cuda,cpu"
    assert found["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
    assert launch("toy", "--platform=cpu").variables["JAX_PLATFORMS"] == "cpu"
    assert launch("toy", JAX_PLATFORMS="cpu").variables["JAX_PLATFORMS"] == "cpu"


def test_variables_set_by_the_user_win(launch):
    ours = launch("toy").variables
    theirs = {
        "GLIBC_TUNABLES": "glibc.malloc.check=1",
        "MALLOC_TRIM_THRESHOLD_": "5",
        "JAX_COMPILATION_CACHE_DIR": "/elsewhere",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
    }
    outcome = launch("toy", PYTHONPATH="/theirs", **theirs)
    assert {name: outcome.variables[name] for name in theirs} == theirs
    assert all(ours.get(name) != value for name, value in theirs.items())
    assert outcome.variables["PYTHONPATH"].split(":") == [str(launch.root), "/theirs", str(launch.caller)]


def test_compiled_programs_lie_in_the_cache_folder(launch):
    default = Path(launch("toy").variables["JAX_COMPILATION_CACHE_DIR"])
    assert default.parent == launch.caller / ".cache" / "rnn_jax" / "xla"
    given = Path(launch("toy", RNN_JAX_CACHE="/c").variables["JAX_COMPILATION_CACHE_DIR"])
    assert given == Path("/c/xla") / default.name  # the kind of processor


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"SLURM_NTASKS": "4"}, True),
        ({"SLURM_NTASKS": "4", "SLURM_STEP_ID": "4294967291", "SLURM_PROCID": "0"}, True),  # the batch script
        ({"SLURM_NTASKS": "4", "SLURM_STEP_ID": "4294967290"}, True),  # an interactive shell
        ({"SLURM_JOB_NUM_NODES": "2"}, True),
        ({"SLURM_NTASKS": "4", "SLURM_STEP_ID": "0"}, False),  # already inside srun
        ({"SLURM_NTASKS": "1"}, False),
        ({"SLURM_NTASKS": "4", "RNN_JAX_IN_SRUN": "1"}, False),
    ],
)
def test_an_allocation_of_several_tasks_starts_them_with_srun(launch, variables, expected):
    launch.program("srun", 'echo srun "$1"; shift; exec "$@"')
    outcome = launch("toy", "--text=a b", SLURM_JOB_ID="7", **variables)
    assert (outcome.lines[0] == "srun --") is expected
    assert "python|-m|experiments.toy|--text=a b|" in outcome.lines


def test_no_srun_outside_an_allocation(launch):
    launch.program("srun", "echo srun")
    assert launch("toy", SLURM_NTASKS="4").command == ["python", "-m", "experiments.toy"]


def test_an_environment_is_made_once_and_again_when_its_lock_changes(launch):
    syncs = launch.fakes / "syncs"
    assert launch("toy").stderr == ""
    assert not syncs.exists()
    (launch.root / "requirements" / "run.txt").write_text("run==2\n")
    outcome = launch("toy")
    assert "Setting up the environment 'run'" in outcome.stderr
    assert "ready after" in outcome.stderr
    assert outcome.command == ["python", "-m", "experiments.toy"]
    assert launch("toy").stderr == ""
    assert syncs.read_text() == "sync\n"


def test_a_failed_set_up_leaves_nothing_that_looks_ready(launch):
    assert launch("sweep", DURING_SYNC="echo no network >&2; exit 1").code == 1
    assert not list(launch.root.glob(".venvs/sweep*/"))
    assert launch("sweep").command == ["python", "-m", "experiments.sweep"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_set_up_leaves_nothing_that_looks_ready(launch, number):
    process = launch.start("sweep", DURING_SYNC="sleep 50")
    wait_until((launch.fakes / "syncs").exists)
    os.killpg(process.pid, number)
    process.communicate(timeout=60)
    assert process.returncode != 0
    outcome = launch("sweep")
    assert "ready after" in outcome.stderr
    assert outcome.command == ["python", "-m", "experiments.sweep"]
    assert [path.name for path in launch.root.glob(".venvs/sweep*/")] == ["sweep"]


@pytest.mark.skipif(shutil.which("flock") is None, reason="without flock both set up and one is kept")
def test_two_launches_at_once_set_up_once(launch):
    first = launch.start("sweep", DURING_SYNC="sleep 1")
    wait_until((launch.fakes / "syncs").exists)
    second = launch("sweep")
    stdout, _ = first.communicate(timeout=20)
    assert "waiting for it" in second.stderr
    assert second.command == ["python", "-m", "experiments.sweep"]
    assert stdout.startswith("python|-m|experiments.sweep|")
    assert (launch.fakes / "syncs").read_text() == "sync\n"


def test_an_old_python_is_named(launch):
    for name in ("python3", "python3.13", "python3.12", "python3.11", "python"):
        launch.program(name, 'test "$1" = --version && echo Python 3.9.1; exit 1')
    outcome = launch("sweep")
    assert outcome.code == 2
    assert "No Python 3.11 or newer found (python3 here: Python 3.9.1)" in outcome.stderr


DEV = """#!/bin/sh
case "$*" in *as_users*) echo "4 as users, $RNN_JAX_TESTS_AS_USERS"; exit $USERS ;; esac
echo "$2"; case "$2" in pytest) echo "3 passed"; exit $PYTEST ;; mypy) exit $MYPY ;; esac
"""
LOWEST = '#!/bin/sh\necho "$@" >"$FAKES/lowest"; echo "2 of the lowest"; exit $LOWEST\n'


@pytest.mark.parametrize(
    ("mypy", "pytest_", "users", "lowest", "code"),
    [
        (0, 0, 0, 0, 0),
        (1, 0, 0, 0, 1),
        (0, 5, 0, 0, 5),
        (1, 5, 0, 0, 5),
        (0, 0, 0, 4, 1),
        (0, 0, 3, 0, 1),
        (0, 5, 3, 4, 5),
    ],
)
def test_test_runs_everything_and_fails_if_anything_does(launch, mypy, pytest_, users, lowest, code):
    """Whatever comes of the other parts, pytest's closing line is that of the whole suite."""
    launch.environment("dev", "dev", python=DEV)
    launch.environment("lowest", "lowest", python=LOWEST)
    codes = {"MYPY": mypy, "PYTEST": pytest_, "USERS": users, "LOWEST": lowest}
    outcome = launch("test", **{name: str(code) for name, code in codes.items()})
    assert outcome.code == code
    assert outcome.lines == ["ruff", "ruff", "mypy", "pytest", "3 passed"]
    assert (launch.fakes / "lowest").read_text().startswith("-m pytest ")
    assert ("2 of the lowest" in outcome.stderr) is ("failed on the lowest versions" in outcome.stderr) is bool(lowest)
    assert ("4 as users, 1" in outcome.stderr) is ("failed on what users run" in outcome.stderr) is bool(users)


@pytest.mark.parametrize("arguments", [("-k", "scan"), ("--platform=gpu",)])
def test_flags_and_accelerators_go_without_the_other_parts(launch, arguments):
    launch.environment("dev", "dev", python=DEV)
    launch.environment("dev-cuda", "dev", "cuda", python=DEV)
    outcome = launch("test", *arguments, MYPY="0", PYTEST="0", USERS="3")
    assert outcome.code == 0 and "as users" not in outcome.stderr
    assert not (launch.root / ".venvs" / "lowest").exists()


def test_the_part_on_the_lowest_versions_is_there():
    paths = re.search(r"^lowest_tests=\(\n(.*?)^\)", LAUNCH.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)[1]
    named = re.sub(r"#.*", "", paths).split()
    assert named and all((LAUNCH.parent / path.partition("::")[0]).exists() for path in named)


def test_lint_leaves_out_the_tests_and_test_passes_flags_on(launch):
    launch.environment("dev", "dev", python='#!/bin/sh\nprintf "%s|" "$@"; echo\n')
    assert launch("lint").lines == ["-m|ruff|check|--quiet|.|", "-m|ruff|format|--check|--quiet|.|", "-m|mypy|"]
    last = launch("test", "-k", "scan or gru").lines[-1]
    assert last.startswith("-m|pytest|")
    assert last.endswith("|-k|scan or gru|")


def wait_until(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
