"""The sentiment experiment: what a run leaves behind, its modes, and that its numbers are right."""

import io
import json
import re
import sys

import numpy as np
import pytest
import sentiment_runs as runs
from oracles.jitting import environment_of_devices

from experiments import sentiment
from rnn_jax.config import with_overrides
from rnn_jax.errors import TrainingDiverged, UserError
from rnn_jax.models.sizes import num_parameters
from rnn_jax.text.text_codec import TextCodec, fit_text_codec
from rnn_jax.training.build import build


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run") / "tiny"
    runs.run_here(*runs.TINY, f"--workdir={workdir}", "--ema_decay=0.9", "--ngram_vocabulary_size=50")
    return workdir


def answers(monkeypatch, capsys, workdir, text: bytes):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text), encoding="utf-8"))
    capsys.readouterr()
    runs.run_here("--mode=predict", f"--workdir={workdir}")
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_run_directory(trained):
    names = {path.name for path in trained.iterdir()}
    assert names >= {"config.json", "metrics.jsonl", "result.json", "checkpoints", "codec.json"}
    assert names >= {"curves.png", "confusion_test.png", "confusion_validation.png"}
    lines = runs.lines_of(trained)
    assert [line["step"] for line in lines] == [3, 6, 9, 10, 12, 15, 18, 20]
    assert [line["step"] for line in lines if "validation/accuracy" in line] == [10, 20]
    assert all(line["train/gradient_norm"] > 0 for line in lines)
    result = json.loads((trained / "result.json").read_text())
    assert result["validation/accuracy"] == max(line.get("validation/accuracy", 0) for line in lines)
    assert 0 <= result["test/accuracy"] <= 1
    assert result["commit"] is None or len(result["commit"]) >= 7


def test_a_finished_run_is_not_trained_again(trained, capsys):
    before = (trained / "metrics.jsonl").read_bytes()
    runs.run_here(*runs.TINY, f"--workdir={trained}", "--ema_decay=0.9", "--ngram_vocabulary_size=50")
    assert (trained / "metrics.jsonl").read_bytes() == before
    assert f"test/accuracy {runs.metrics_of(trained)['test/accuracy']:.4g}" in capsys.readouterr().out


def test_eval_gives_the_numbers_of_training(trained, capsys):
    runs.run_here("--mode=eval", f"--workdir={trained}")
    scores = json.loads(capsys.readouterr().out.splitlines()[-1])
    result = runs.metrics_of(trained)
    assert scores == {name: pytest.approx(result[name], rel=1e-6) for name in scores} and "test/accuracy" in scores


def test_eval_agrees_with_predict_on_a_file(trained, tmp_path, capsys, monkeypatch):
    texts = ["it was not bad", "the plot was dull , but the cast was superb", "I doubt that it was good"]
    labels = ["pos", "neg", "neg"]
    path = tmp_path / "mine.csv"
    path.write_text("text,label\n" + "".join(f'"{t}",{label}\n' for t, label in zip(texts, labels, strict=True)))
    runs.run_here("--mode=eval", f"--workdir={trained}", f"--part={path}")
    (accuracy,) = (v for k, v in json.loads(capsys.readouterr().out).items() if k.endswith("/accuracy"))
    said = answers(monkeypatch, capsys, trained, "\n".join(texts).encode())
    assert [answer["text"] for answer in said] == texts
    assert accuracy == pytest.approx(np.mean([a["label"] == label for a, label in zip(said, labels, strict=True)]))
    for answer in said:
        assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert answer["label"] == max(answer["probabilities"], key=answer["probabilities"].get)


def test_predict_takes_any_line(trained, monkeypatch, capsys):
    lines = ["", "🎬 wunderbar 🙂", "not bad " * 50_000, "it was good", "\t", ""]
    said = answers(monkeypatch, capsys, trained, "\n".join(lines).encode() + b"\n")
    assert [answer["text"] for answer in said] == lines
    alone = answers(monkeypatch, capsys, trained, b"it was good\n")
    assert alone[0]["probabilities"] == pytest.approx(said[3]["probabilities"], rel=1e-5)


def test_the_answer_to_a_text_does_not_depend_on_its_neighbours(trained, monkeypatch, capsys):
    texts = [f"{'really ' * (n % 7)}it was not {'bad' if n % 2 else 'good'}" for n in range(300)]
    together = answers(monkeypatch, capsys, trained, "\n".join(texts).encode())
    for index in (0, 6, 299):
        (alone,) = answers(monkeypatch, capsys, trained, texts[index].encode())
        assert alone["probabilities"] == pytest.approx(together[index]["probabilities"], rel=1e-4)


def test_one_batch_can_be_learned_by_heart(tmp_path):
    workdir = tmp_path / "run"
    runs.run_here(
        *runs.TINY,
        f"--workdir={workdir}",
        "--train_split=train[:32]",
        "--validation_split=train[:32]",
        "--num_buckets=1",
        "--num_steps=60",
        "--eval_every_steps=60",
        "--learning_rate=0.03",
    )
    assert runs.metrics_of(workdir)["validation/accuracy"] == 1.0


def test_three_devices_give_the_numbers_of_one(tmp_path, capsys):
    # A batch of 20 has filler rows on 3 devices; one bucket, because several devices take long to compile for.
    flags = (*runs.TINY, "--batch_size=20", "--num_buckets=1", "--output_dropout=0.3", "--word_dropout=0.1")
    runs.run_here(*flags, f"--workdir={tmp_path / 'one'}")
    code, _, error = runs.run(*flags, f"--workdir={tmp_path / 'three'}", **environment_of_devices(3))
    assert code == 0, error
    assert json.loads((tmp_path / "three" / "result.json").read_text())["device_count"] == 3
    one, three = runs.lines_of(tmp_path / "one"), runs.lines_of(tmp_path / "three")
    for line, other in zip(one, three, strict=True):
        assert other == pytest.approx(line, rel=2e-4, abs=1e-6)
    # A run of three devices opens on one.
    capsys.readouterr()
    runs.run_here("--mode=eval", f"--workdir={tmp_path / 'three'}")
    loss = json.loads(capsys.readouterr().out)["test/loss"]
    assert loss == pytest.approx(runs.metrics_of(tmp_path / "one")["test/loss"], rel=1e-4)


def test_dry_run_trains_nothing(tmp_path, capsys):
    runs.run_here(*runs.TINY, f"--workdir={tmp_path / 'run'}", "--dry_run")
    out = capsys.readouterr().out
    assert not (tmp_path / "run").exists()
    assert '"hidden_size": [\n    8\n  ]' in out and "embedding.table" in out and "total" in out
    assert "20 steps" in out and "MB" not in out
    runs.run_here(*runs.TINY, f"--workdir={tmp_path / 'run'}", "--dry_run", "--memory")  # which compiles
    assert "MB state and batch + " in capsys.readouterr().out


@pytest.mark.parametrize("cell", ["lstm", "elman"])
def test_num_params_solves_the_width(cell):
    config = with_overrides(sentiment.Config(), {"cell": cell, "num_params": 20_000, "embedding_size": 8})
    codec = fit_text_codec(config.text, ["good bad so"], ("neg", "pos"))
    assert num_parameters(build(runs.RUNS.task, config, codec).shapes) == pytest.approx(20_000, rel=0.02)


def test_fine_tuning_starts_where_the_other_run_ended(trained, tmp_path):
    workdir = tmp_path / "tuned"
    same = (*runs.TINY, "--ngram_vocabulary_size=50")
    runs.run_here(*same, f"--workdir={workdir}", f"--init_from={trained}", "--learning_rate=0", "--num_steps=1")
    assert runs.metrics_of(workdir)["validation/loss"] == pytest.approx(runs.metrics_of(trained)["validation/loss"])
    with pytest.raises(UserError, match="do not fit this model"):
        runs.run_here(*same, f"--workdir={tmp_path / 'x'}", f"--init_from={trained}", "--hidden_size=4")


def test_own_cell_by_flag(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_cells.py").write_text(
        "import dataclasses, jax, jax.numpy as jnp\n"
        "@dataclasses.dataclass(frozen=True)\n"
        "class Leaky:\n"
        "    hidden_size: int\n"
        "    def init(self, key, input_size):\n"
        "        return {'w': 0.1 * jax.random.normal(key, (input_size, self.hidden_size))}\n"
        "    def initial_carry(self):\n"
        "        return jnp.zeros(self.hidden_size)\n"
        "    def step(self, params, carry, x):\n"
        "        carry = 0.9 * carry + jnp.tanh(x @ params['w'])\n"
        "        return carry, carry\n"
    )
    for direction in ("--nobidirectional", "--bidirectional"):
        workdir = tmp_path / direction
        flags = (f"--workdir={workdir}", "--cell=my_cells:Leaky", direction, "--num_steps=1", "--num_buckets=1")
        runs.run_here(*runs.TINY, *flags)
        assert 0 <= runs.metrics_of(workdir)["test/accuracy"] <= 1


def test_a_diverged_run_stops_and_keeps_its_checkpoint(tmp_path, monkeypatch):
    workdir = tmp_path / "run"
    batch_of, calls = TextCodec.batch, iter(range(1000))

    def poisoned(self, texts, labels, rows, length):
        batch = batch_of(self, texts, labels, rows, length)
        if len(labels) == 320 and next(calls) == 14:  # the first call is for the shapes
            batch["weights"] = batch["weights"] * np.float32("inf")
        return batch

    monkeypatch.setattr(TextCodec, "batch", poisoned)
    with pytest.raises(TrainingDiverged, match="diverged at step 14.*gradient norm.*checkpoint"):
        runs.run_here(*runs.TINY, f"--workdir={workdir}", "--checkpoint_every_steps=5", "--num_buckets=1")
    assert max((workdir / "checkpoints").glob("latest_*")).name.startswith("latest_000000010")
    assert not (workdir / "result.json").exists()


@pytest.mark.slow
def test_the_default_run_learns_order(tmp_path):
    """README's first command, on a smaller model: above 95 %, where bags of words and of pairs stay below 80 % (that is
    said of the data in test_synthetic_reviews.py)."""
    flags = ("--hidden_size=32", "--embedding_size=32", "--learning_rate=8e-3", "--num_epochs=3")
    code, out, error = runs.run(f"--workdir={tmp_path}", *flags, XLA_FLAGS="")
    assert code == 0, error
    assert len(re.findall(r"^  (neg|pos) \(", out, re.MULTILINE)) == 3  # three sentences, so that one sees it work
    assert runs.metrics_of(tmp_path)["test/accuracy"] > 0.95
