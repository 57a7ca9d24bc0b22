"""What a person sees: the bar, the plain lines, the pictures."""

import io
import json
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from rnn_jax.training import plots, progress
from rnn_jax.training.progress import Progress, Speed, format_seconds


class Later:
    """A value that the device has not computed yet; looking at it would wait."""

    def is_ready(self) -> bool:
        return False

    def __float__(self) -> float:
        raise AssertionError("waited for the device")


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=200, _environ={})


def test_a_pipe_gets_the_messages_only(capsys):
    with Progress(100) as bar:
        bar.message("start [1/2]")
        for step in range(100):
            bar.update(step + 1, 50, loss=(Later(), 1.0))
        bar.message("end")
    assert capsys.readouterr().out == "start [1/2]\nend\n"


def test_a_terminal_shows_loss_speed_and_time_left(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    console = terminal()
    with Progress(100, unit="tokens", console=console, start_step=10) as bar:
        for step in range(11, 31):
            now[0] += 0.5
            bar.update(step, 1000, loss=(jnp.float32(0.5 / step), 0.5))
        bar.message("epoch 1 [done]")
        status = bar.status(30)
    assert status == "step 30/100 · loss 0.0333 · 2.0 steps/s · 2.0k tokens/s · 35s left"
    written = console.file.getvalue()
    assert status in written and "epoch 1 [done]" in written and "compiling" in written


def test_drawing_is_rare_and_never_waits(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    console = terminal()
    draws = []
    with Progress(1000, console=console) as bar:
        monkeypatch.setattr(bar._bar, "update", lambda *args, **fields: draws.append(fields["status"]))
        bar.update(1, 1, loss=(1.0, 2.0))
        for step in range(2, 1000):
            now[0] += 0.001
            bar.update(step, 1, loss=(Later(), 1.0))
    assert 8 <= len(draws) <= 11
    assert all("loss 0.5000" in status for status in draws)  # the last known value stays


def test_updates_are_cheap():
    with Progress(10**6, console=terminal()) as bar:
        loss = jnp.float32(0.1)
        start = time.perf_counter()
        for step in range(20_000):
            bar.update(step, 100, loss=(loss, 1.0))
        assert (time.perf_counter() - start) / 20_000 < 50e-6


def test_speed_forgets_the_start():
    speed = Speed(window=10.0)
    assert speed.rates() == (0.0, 0.0)
    speed.add(0.0, 0, 0)
    speed.add(30.0, 1, 100)  # compilation
    assert speed.rates() == (1 / 30, 100 / 30)
    for second in range(1, 21):
        speed.add(30.0 + second, 1 + 5 * second, 100 + 500 * second)
    assert speed.rates() == (5.0, 500.0)


def test_formats():
    assert [format_seconds(s) for s in (0, 59.4, 60, 185, 3599, 7620)] == [
        "0s",
        "59s",
        "1m00s",
        "3m05s",
        "59m59s",
        "2h07m",
    ]
    assert [progress._short(n) for n in (7, 1500, 2.5e6, 3e9)] == ["7", "1.5k", "2.5M", "3.0G"]


def test_only_process_zero_speaks(monkeypatch, capsys):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    with Progress(10) as bar:
        bar.message("hello")
        bar.update(1, 1, loss=(1.0, 1.0))
    assert capsys.readouterr().out == ""


METRICS = [
    {"step": 10, "epoch": 0.5, "seconds": 1.0, "train/loss": 0.7, "train/gradient_norm": 1.0, "learning_rate": 0.1},
    {"step": 20, "epoch": 1.0, "seconds": 2.0, "train/loss": 0.5, "train/gradient_norm": None, "learning_rate": 0.1},
    {"step": 20, "epoch": 1.0, "seconds": 2.5, "validation/loss": 0.6, "validation/accuracy": 0.8, "note": "x"},
]


def test_curves_are_grouped_by_panel_and_split():
    assert plots.collect_curves(METRICS) == {
        "loss": {"train": ([10, 20], [0.7, 0.5]), "validation": ([20], [0.6])},
        "gradient_norm": {"train": ([10], [1.0])},
        "learning_rate": {"": ([10, 20], [0.1, 0.1])},
        "accuracy": {"validation": ([20], [0.8])},
    }


def test_what_compares_with_another_metric_is_drawn_beside_it():
    line = {"step": 5, "train/loss": 2.0, "train/nats": 1.5, "validation/loss": 1.6}
    line |= {"validation/perplexity": 5.0, "validation/perplexity_floor": 4.0}
    assert plots.collect_curves([line]) == {
        "loss": {"train": ([5], [2.0]), "train nats": ([5], [1.5]), "validation": ([5], [1.6])},
        "perplexity": {"validation": ([5], [5.0]), "validation perplexity floor": ([5], [4.0])},
    }


def pixels(path) -> np.ndarray:
    return pytest.importorskip("matplotlib.image").imread(path)


def test_pictures_are_drawn(tmp_path, rendered):
    source = tmp_path / "metrics.jsonl"
    source.write_text("".join(json.dumps(line) + "\n" for line in METRICS) + '{"step": 3')
    assert plots.plot_curves(source, tmp_path / "curves.png") is True
    assert len(np.unique(pixels(tmp_path / "curves.png").reshape(-1, 4), axis=0)) > 20  # not blank
    assert plots.plot_confusion(np.array([[5, 1], [0, 4]]), ("neg", "pos"), tmp_path / "confusion.png") is True
    diagonal = pixels(tmp_path / "confusion.png")
    assert diagonal[..., 2].min() < 0.6  # a dark blue cell
    many = np.eye(50, dtype=np.int64)
    assert plots.plot_confusion(many, [str(i) for i in range(50)], png_path=tmp_path / "many.png") is True
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "confusion.png",
        "curves.png",
        "many.png",
        "metrics.jsonl",
    ]


def test_a_failing_picture_does_not_end_the_run(tmp_path, caplog):
    assert plots.plot_curves(tmp_path / "absent.jsonl", tmp_path / "curves.png") is False
    assert plots.plot_confusion(np.zeros((2, 2)), ("a", "b"), tmp_path / "no" / "such" / "folder.png") is False
    assert plots.plot_confusion("not a matrix", ("a", "b"), tmp_path / "x.png") is False  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
    assert "there are no metrics yet" in caplog.text
