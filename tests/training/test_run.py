"""The run directory: what it accepts, what it refuses, what it writes."""

import dataclasses
import json
import multiprocessing
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import rnn_jax
from experiments import load
from rnn_jax.config import knob
from rnn_jax.errors import UserError
from rnn_jax.training import provenance, run, tensorboard
from rnn_jax.training.run import open_run, read_run
from rnn_jax.training.run_config import RunConfig
from rnn_jax.training.run_files import show_finished


@dataclasses.dataclass(frozen=True)
class Config(RunConfig):
    width: int = knob(8, "width", minimum=1)
    cell: str = knob("lstm", "cell", choices=("lstm", "gru"))
    data_dir: str = knob("", "place", identity=False)


def names(path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def lines(path) -> list[dict]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def test_a_new_run_has_its_configuration_at_once(tmp_path):
    with open_run(tmp_path / "deep" / "run", "toy", Config(width=3)) as opened:
        document = json.loads((opened.path / "config.json").read_text())
        assert document["experiment"] == "toy" and document["config"]["width"] == 3
        assert document["config_hash"] == opened.config_hash
        assert opened.result is None and opened.read_metrics() == []
    config, reading = read_run(tmp_path / "deep" / "run", "toy", Config)
    assert config == Config(width=3) and reading.config_hash == opened.config_hash


def test_home_is_expanded_and_relative_paths_become_absolute(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for given, place in (("~/a", tmp_path / "a"), ("b", tmp_path / "b")):
        with open_run(given, "toy", Config()) as opened:
            assert opened.path == place and (place / "config.json").exists()


def test_differing_flags_are_all_named(tmp_path):
    with open_run(tmp_path, "toy", Config(width=8, init_from="")) as run:
        run.log(1, 0.1, {"train/loss": 1.0})
    with pytest.raises(UserError) as caught:
        open_run(tmp_path, "toy", Config(width=9, cell="gru", init_from="x", data_dir="/new"))
    message = str(caught.value)
    assert "--width was 8, now 9; --cell was lstm, now gru" in message and "--init_from was '', now x" in message
    assert "data_dir" not in message and "another --workdir" in message and "delete the directory" in message
    open_run(tmp_path, "toy", Config()).close()  # a refused attempt leaves no lock


def test_a_start_that_failed_before_training_binds_nobody(tmp_path):
    open_run(tmp_path, "toy", Config(width=8)).close()
    open_run(tmp_path, "toy", Config(width=9)).close()
    config, run = read_run(tmp_path, "toy", Config)
    assert config.width == 9
    with open_run(tmp_path, "toy", Config(width=9)) as again:
        assert again.config_hash == run.config_hash


def test_what_may_differ_is_updated(tmp_path):
    open_run(tmp_path, "toy", Config(data_dir="/old")).close()
    open_run(tmp_path, "toy", Config(data_dir="/new", log_every_steps=7)).close()
    config, _ = read_run(tmp_path, "toy", Config)
    assert (config.data_dir, config.log_every_steps) == ("/new", 7)


def test_a_later_release_with_more_fields_opens_old_runs(tmp_path):
    with open_run(tmp_path, "toy", RunConfig()) as old:
        pass
    config, reading = read_run(tmp_path, "toy", Config)
    assert config == Config() and reading.config_hash == old.config_hash
    with open_run(tmp_path, "toy", Config()) as again:  # and continues them: the checkpoints carry the old hash
        assert again.config_hash == old.config_hash


def test_refusals(tmp_path):
    open_run(tmp_path / "a", "toy", Config()).close()
    with pytest.raises(UserError, match=r"is a run of experiment 'toy', not 'tagging': use another --workdir"):
        open_run(tmp_path / "a", "tagging", Config())
    with pytest.raises(UserError, match=r"is a run of experiment 'toy', not 'tagging'"):
        read_run(tmp_path / "a", "tagging", Config)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.tex").touch()
    with pytest.raises(UserError, match=r"is not empty and not a run directory \(it holds thesis.tex\)"):
        open_run(tmp_path / "foreign", "toy", Config())
    assert names(tmp_path / "foreign") == ["thesis.tex"]
    with pytest.raises(UserError, match=r"foreign is not a run directory"):
        read_run(tmp_path / "foreign", "toy", Config)
    with pytest.raises(
        UserError, match=r"absent does not exist: give the --workdir of an earlier training run of 'toy'"
    ):
        read_run(tmp_path / "absent", "toy", Config)
    assert not (tmp_path / "absent").exists()
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below", "/proc/nowhere"):
        with pytest.raises(UserError, match=r"cannot write to .*: use another --workdir"):
            open_run(place, "toy", Config())
    with pytest.raises(UserError, match=r"width=0: must be at least 1"):
        open_run(tmp_path / "wrong", "toy", Config(width=0))


DAMAGED = [json.dumps({"experiment": "toy", "config_hash": "x", "config": part}) for part in ([], None, "text")]


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"experiment": "toy"}', *DAMAGED])
def test_a_damaged_config_is_a_user_error(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    for open_ in (lambda: open_run(tmp_path, "toy", Config()), lambda: read_run(tmp_path, "toy", Config)):
        with pytest.raises(
            UserError, match=r"config.json is damaged .*restore it" if content in DAMAGED else "config.json"
        ):
            open_()


def test_a_config_of_another_version_names_the_field(tmp_path):
    document = {"experiment": "toy", "config_hash": "x", "config": {"widht": 3}}
    (tmp_path / "config.json").write_text(json.dumps(document))
    with pytest.raises(
        UserError,
        match=r"damaged, edited, or of another version .*unknown configuration field 'widht'. Did you mean width?",
    ):
        read_run(tmp_path, "toy", Config)


def test_a_scheduler_log_and_a_kill_before_the_config_do_not_count_as_foreign(tmp_path):
    for name in ("slurm-12.out", ".lock", ".config.json.tmp"):
        (tmp_path / name).write_text("half")
    open_run(tmp_path, "toy", Config()).close()
    assert read_run(tmp_path, "toy", Config)[0] == Config()


def test_metrics_are_one_json_line_each(tmp_path):
    with open_run(tmp_path, "toy", Config()) as opened:
        opened.log(10, 0.5, {"train/loss": jnp.float32(0.25), "lr": np.float64(0.1), "bad": float("nan"), "n": 3})
        opened.log(20, 1, {"validation/accuracy": 0.75})
    first, second = lines(tmp_path)
    seconds = first.pop("seconds")
    assert first == {"step": 10, "epoch": 0.5, "train/loss": 0.25, "lr": 0.1, "bad": None, "n": 3} and seconds >= 0
    assert second["validation/accuracy"] == 0.75 and second["seconds"] >= seconds


def test_resuming_removes_later_and_half_written_lines_and_adds_up_seconds(tmp_path):
    with open_run(tmp_path, "toy", Config()) as opened:
        for step in (10, 20, 30):
            opened.log(step, 1, {"loss": step / 7})
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text().replace('"seconds": 0', '"seconds": 500') + '{"step": 40, "ep')
    with open_run(tmp_path, "toy", Config()) as opened:
        assert opened.seconds > 500
        opened.truncate_metrics(20)
        assert [line["step"] for line in lines(tmp_path)] == [10, 20]
        assert lines(tmp_path)[1]["loss"] == 20 / 7
        opened.log(25, 1, {"loss": 1.0})
        assert lines(tmp_path)[-1]["seconds"] > 500
        opened.truncate_metrics(-1)
        assert lines(tmp_path) == []


def test_a_line_after_a_half_written_one_is_not_lost(tmp_path):
    with open_run(tmp_path, "toy", Config()):
        (tmp_path / "metrics.jsonl").write_text('{"step": 1, "epoch"')
    with open_run(tmp_path, "toy", Config()) as opened:
        opened.log(2, 1, {"loss": 1.0})
        assert [line["step"] for line in opened.read_metrics()] == [2]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("garbage\n", "1"),
        ('x\n[1]\n{"step": "1"}\n{"step": 1, "seconds": "y"}\n\0\0', "5"),
        ('{"step": 1, "ep', ""),  # what a kill leaves
    ],
)
def test_damaged_lines_are_dropped_with_one_warning(tmp_path, capsys, damage, said):
    whole = '{"step": 10, "epoch": 1}\n'
    for _ in range(2):
        open_run(tmp_path, "toy", Config()).close()
        (tmp_path / "metrics.jsonl").write_text(whole + damage)
        with open_run(tmp_path, "toy", Config()) as opened:
            opened.truncate_metrics(10)
            error = capsys.readouterr().err
            assert error == (
                f"warning: {tmp_path}/metrics.jsonl: {said} damaged line(s) were dropped\n" if said else ""
            )
            opened.truncate_metrics(10)
        assert capsys.readouterr().err == "" and [line["step"] for line in lines(tmp_path)] == [10]


def test_a_damaged_result_costs_no_more_than_itself(tmp_path):
    open_run(tmp_path, "toy", Config()).close()
    (tmp_path / "result.json").write_text("{")
    for read in (lambda: open_run(tmp_path, "toy", Config()).result, lambda: show_finished(tmp_path, "toy", Config())):
        with pytest.raises(UserError, match=r"result.json is damaged .*: delete this file and give the same command"):
            read()


@pytest.mark.parametrize("below", ["seed_0", "runs/gru_1/seed_3", "runs/trial_0002"])
def test_runs_that_lie_below_a_directory_are_named(tmp_path, below):
    open_run(tmp_path / below, "toy", Config()).close()
    with pytest.raises(UserError, match=f"is not a run directory .*; there is one in {tmp_path / below}$"):
        read_run(tmp_path, "toy", Config)
    with pytest.raises(UserError, match=f"is not a run directory .*; there is one in {tmp_path / below}$"):
        load(tmp_path)


def test_result_has_numbers_and_provenance(tmp_path):
    with open_run(tmp_path, "toy", Config()) as opened:
        returned = opened.finish({"test/accuracy": jnp.float32(0.5), "num_parameters": np.int64(7), "note": "x"})
        assert opened.result == returned
    written = json.loads((tmp_path / "result.json").read_text())
    assert written == returned
    assert (written["test/accuracy"], written["num_parameters"], written["note"]) == (0.5, 7, "x")
    assert written["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert written["versions"]["orbax-checkpoint"].startswith("0.")
    assert written["platform"] == "cpu" and written["device_count"] >= 1 and written["command"].startswith("python")
    assert open_run(tmp_path, "toy", Config()).result == written


def test_read_only_runs_write_nothing(tmp_path):
    open_run(tmp_path, "toy", Config()).close()
    before = names(tmp_path)
    _, reading = read_run(tmp_path, "toy", Config)
    reading.log(1, 1, {"x": 1.0})
    reading.finish({})
    assert names(tmp_path) == before


def hold(path, ready, release):
    with open_run(path, "toy", Config()):
        ready.set()
        release.wait(60)


def test_two_processes_cannot_train_in_one_directory(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path, ready, release))
    other.start()
    assert ready.wait(60)
    with pytest.raises(UserError, match=r"another process is training in .*: wait for it"):
        open_run(tmp_path, "toy", Config())
    read_run(tmp_path, "toy", Config)  # reading is allowed meanwhile
    other.kill()  # death releases the lock
    other.join()
    open_run(tmp_path, "toy", Config()).close()


def test_the_lock_ends_with_the_run(tmp_path):
    opened = open_run(tmp_path, "toy", Config())
    with pytest.raises(UserError, match=r"another process"):
        open_run(tmp_path, "toy", Config())
    opened.close()
    opened.close()
    opened = open_run(tmp_path, "toy", Config())
    del opened  # forgotten instead of closed
    open_run(tmp_path, "toy", Config()).close()


def test_a_full_disk_is_a_user_error(tmp_path):
    with open_run(tmp_path, "toy", Config()) as opened:
        (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
        with pytest.raises(UserError, match=r"No space left on device.*free some space and run the same command again"):
            opened.log(1, 1, {"loss": 1.0})


def test_tensorboard_events(tmp_path, monkeypatch):
    pytest.importorskip("tensorboardX")
    with open_run(tmp_path / "a", "toy", Config(tensorboard=True)) as opened:
        opened.log(3, 1, {"train/loss": 0.5, "bad": float("nan"), "text": "x"})
    (events,) = (tmp_path / "a" / "tensorboard").iterdir()
    assert b"train/loss" in events.read_bytes() and b"bad" not in events.read_bytes()
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(UserError, match=r"pip install 'rnn-jax-research\[tensorboard\]'"):
        tensorboard.TensorBoard(tmp_path)
    with pytest.raises(UserError, match=r"tensorboardX"):
        open_run(tmp_path / "b", "toy", Config(tensorboard=True))
    open_run(tmp_path / "b", "toy", Config()).close()  # no lock was left behind


def git(folder, *arguments):
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_commit_of_a_checkout(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    assert provenance.source_commit(source) is None
    git(source, "init")
    (source / "a.py").write_text("1")
    git(source, "add", "a.py")
    git(source, "commit", "-m", "first")
    head = git(source, "rev-parse", "HEAD")
    (source / "untracked.txt").touch()
    assert provenance.source_commit(source) == head
    (source / "a.py").write_text("2")
    assert provenance.source_commit(source) == f"{head}-dirty"
    (source / "environment").mkdir()  # an installed copy inside somebody's checkout is not that checkout
    assert provenance.source_commit(source / "environment") is None


def test_writing_is_atomic(tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    run.write_atomically(path, "old")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.write_atomically(path, "new")
    assert path.read_text() == "old"


def test_library_version_is_known(monkeypatch):
    monkeypatch.setattr(rnn_jax, "__version__", "9.9", raising=False)
    assert provenance.package_versions()["rnn_jax"]
