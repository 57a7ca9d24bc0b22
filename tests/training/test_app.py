"""Command lines, exit codes and signals, with tests/training/toy_experiment.py as users' processes."""

import errno
import io
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from absl import flags

from rnn_jax.config import define_flags
from rnn_jax.errors import TrainingDiverged, TrainingInterrupted, UserError
from rnn_jax.files import read_metrics
from rnn_jax.training.app import exit_code, resolve
from rnn_jax.training.run import open_run
from rnn_jax.training.run_config import Invocation
from tests.training import toy_experiment
from tests.training.toy_experiment import Config
from tests.training.toy_loop import train

ENVIRONMENT = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(Path(__file__).parents[2])}


def command(*arguments: str) -> list[str]:
    return [sys.executable, toy_experiment.__file__, *arguments]


def call(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess:
    return subprocess.run(
        command(*arguments), input=stdin, capture_output=True, text=True, env=ENVIRONMENT, check=False
    )


def parsed(*arguments: str) -> flags.FlagValues:
    values = flags.FlagValues()
    define_flags(Invocation, values)
    define_flags(Config, values)
    values(["program", *arguments])
    return values


def test_training_takes_its_configuration_from_the_flags(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config, invocation = resolve(Config, "toy", parsed("--width=3", "--dry_run"))
    assert config == Config(width=3)
    assert invocation == Invocation(workdir=str(tmp_path / "runs" / "toy"), dry_run=True)
    assert resolve(Config, "toy", parsed("--workdir=a"))[1].workdir == str(tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_evaluation_takes_its_configuration_from_the_run(tmp_path):
    open_run(tmp_path, "toy", Config(width=3, data_dir="/old")).close()
    workdir = f"--workdir={tmp_path}"
    assert resolve(Config, "toy", parsed(workdir, "--mode=eval"))[0] == Config(width=3, data_dir="/old")
    given = parsed(workdir, "--mode=predict", "--data_dir=/new", "--width=3", "--input=x.txt")
    config, invocation = resolve(Config, "toy", given)
    assert config == Config(width=3, data_dir="/new") and invocation.input == "x.txt"
    with pytest.raises(UserError) as caught:
        resolve(Config, "toy", parsed(workdir, "--mode=predict", "--width=16", "--optimizer=sgd"))
    assert "--optimizer=sgd, the run has adam; --width=16, the run has 3" in str(caught.value)
    with pytest.raises(UserError, match=r"does not exist: give the --workdir of an earlier training run of 'toy'"):
        resolve(Config, "toy", parsed("--mode=eval", f"--workdir={tmp_path}/absent"))


def test_what_is_typed_empty_is_refused(tmp_path):
    arguments = ["--mode=train", "--data_dir="]
    for argv in (None, ["toy", *arguments]):
        with pytest.raises(UserError, match="--data_dir= is empty"):
            resolve(Config, "toy", parsed(*arguments), argv=argv)
    with pytest.raises(UserError, match="--workdir= is empty"):
        resolve(Config, "toy", parsed("--workdir="))
    (tmp_path / "all.flags").write_text("--data_dir=\n")  # as absl writes them
    resolve(Config, "toy", parsed(f"--flagfile={tmp_path}/all.flags"), argv=["toy", f"--flagfile={tmp_path}/all.flags"])


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (None, 0, ""),
        (UserError("no such split"), 2, "error: no such split\n"),
        (TrainingDiverged("loss nan"), 3, "error: loss nan\n"),
        (TrainingInterrupted("stopped", signal.SIGTERM), 143, "stopped\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_exceptions_become_messages_and_codes(error, code, message, capsys):
    def body():
        if error is not None:
            raise error

    assert exit_code(body) == code
    assert capsys.readouterr().err == message


def test_a_full_disk_is_one_message(capsys):
    def body():
        raise OSError(errno.ENOSPC, "No space left on device", "/runs/a/labels.json")

    assert exit_code(body) == 2
    error = capsys.readouterr().err
    assert "disk is full at /runs/a/labels.json" in error and "run the same command again" in error
    with pytest.raises(OSError, match="nothing to do with it"):
        exit_code(lambda: (_ for _ in ()).throw(OSError(errno.EIO, "nothing to do with it")))


def test_flag_errors_of_absl_are_kept():
    with pytest.raises(flags.Error, match=r"Unknown command line flag 'learning_rat'. Did you mean: learning_rate ?"):
        parsed("--learning_rat=1")
    with pytest.raises(flags.Error, match=r"flag --mode=serve: allowed: train, eval, predict, export\."):
        parsed("--mode=serve")


def test_other_exceptions_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        exit_code(lambda: print(1 / 0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--optimizer=adm",), "flag --optimizer=adm: allowed: sgd, momentum, adagrad, rmsprop, adam, adamw. Did you"),
        (("--dry_run", "sentences.txt"), "unexpected argument 'sentences.txt': flags are given as --name=value"),
    ],
)
def test_wrong_command_lines_are_one_line_and_code_2(arguments, message):
    done = call(*arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith(f"error: {message}") and done.stderr.count("\n") == 1


def test_from_training_to_prediction(tmp_path):
    workdir = f"--workdir={tmp_path / 'run'}"
    first = call(workdir, "--num_steps=6", "--width=2e0")
    assert first.returncode == 0 and first.stderr == ""
    result = json.loads(first.stdout.splitlines()[-1])
    assert first.stdout.splitlines()[:-1] == [f"step {step}" for step in range(1, 7)]
    assert result["num_parameters"] == 3 and result["command"].endswith(f"{workdir} --num_steps=6 --width=2e0")
    predicted = call(workdir, "--mode=predict", stdin="a\nb\n")
    assert [json.loads(line) for line in predicted.stdout.splitlines()] == [
        {"text": "a", "width": 2, "data_dir": ""},
        {"text": "b", "width": 2, "data_dir": ""},
    ]


def test_help_lists_the_flags_of_the_experiment():
    done = call("--helpshort")
    assert "A small experiment on the whole training stack" in done.stdout
    for part in (
        "--workdir=TEXT\n      run directory",
        "--width=16\n      inputs of the linear model",
        "one of: constant, cosine",
    ):
        assert part in done.stdout
    assert "--[no]dry_run\n" in done.stdout and done.returncode == 0
    assert "--beta1" not in done.stdout and "--beta1=0.9" in call("--help").stdout


def test_a_closed_pipe_ends_quietly(tmp_path):
    open_run(tmp_path, "toy", Config()).close()
    process = subprocess.Popen(
        command("--mode=predict", f"--workdir={tmp_path}"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    process.stdout.close()
    process.stdin.write(b"text\n" * 100)
    process.stdin.close()
    with process.stderr as errors:
        assert errors.read() == b""
    assert process.wait(60) == 141


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_exits(tmp_path, number, code):
    process = subprocess.Popen(
        command(f"--workdir={tmp_path}", "--pause=0.02", "--num_steps=1000000"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    for line in process.stdout:
        if line == "step 3\n":
            process.send_signal(number)
            break
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    last = err.splitlines()[-1]
    step = int(last.split()[5].rstrip(","))
    assert last == (
        f"stopped by {number.name} at step {step}, checkpoint saved. Run the same command again to continue."
    )
    assert f"latest_{step:09d}" in os.listdir(tmp_path / "checkpoints")
    assert step >= 3 and (not out or out.splitlines()[-1] == f"step {step}")


def test_divergence_is_code_3_and_keeps_the_checkpoint(tmp_path):
    done = call(f"--workdir={tmp_path}", "--poison_step=8", "--checkpoint_every_steps=2")
    assert done.returncode == 3
    assert done.stderr.startswith("error: training diverged at step 8: loss nan, gradient norm nan.")
    assert f"The last good checkpoint, of step 6, is kept in {tmp_path / 'checkpoints'}." in done.stderr
    assert {"latest_000000006", "best_000000005"} <= set(os.listdir(tmp_path / "checkpoints"))
    assert not (tmp_path / "result.json").exists()


def train_quietly(config: Config, workdir: str) -> None:
    sys.stdout = io.StringIO()
    train(config, workdir)


def outcome(workdir: Path) -> tuple:
    result = json.loads((workdir / "result.json").read_text())
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        del line["seconds"]
    return result["weights"], result["best"], result["best_step"], lines


@pytest.mark.slow
def test_killed_at_any_moment_ends_as_an_uninterrupted_run(tmp_path):
    """`kill -9` at random moments and while a checkpoint is written, then once more to the end: equal bit for bit."""
    # Children are forked from a process that has imported everything and started nothing: each costs milliseconds.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    config = Config(num_steps=120, checkpoint_every_steps=4, pause=0.005)

    def start(workdir: Path) -> multiprocessing.process.BaseProcess:
        process = context.Process(target=train_quietly, args=(config, str(workdir)))
        process.start()
        return process

    whole = start(tmp_path / "whole")
    whole.join(120)
    assert whole.exitcode == 0
    broken, chance = tmp_path / "broken", random.Random(0)
    during_a_save = 0
    for kill in range(10):
        stale = set(broken.glob("checkpoints/.tmp_*"))
        saved = max([int(path.name[7:16]) for path in broken.glob("checkpoints/latest_*")], default=0)
        last_step = saved + chance.randint(1, 8)
        process = start(broken)
        while process.is_alive():
            if kill % 2:
                moment = bool(set(broken.glob("checkpoints/.tmp_*")) - stale)
            else:
                moment = any(line["step"] >= last_step for line in read_metrics(broken / "metrics.jsonl"))
            if moment:
                time.sleep(chance.uniform(0.0, 0.03))
                process.kill()
            time.sleep(0.001)
        assert process.exitcode == -signal.SIGKILL
        during_a_save += bool(set(broken.glob("checkpoints/.tmp_*")) - stale)
    assert during_a_save >= 2
    last = start(broken)
    last.join(120)
    assert last.exitcode == 0
    assert outcome(broken) == outcome(tmp_path / "whole")
    assert not list((broken / "checkpoints").glob(".tmp_*"))
