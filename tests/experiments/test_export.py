"""--mode=export: the folder answers as the run does, with jax, numpy and tokenizers alone; and `load` in Python."""

import importlib
import json
import subprocess
import sys

import pytest
import sentiment_runs
import seq2seq_runs
import tagging_runs
from experiment_runs import metrics_of

from experiments import load
from rnn_jax.errors import UserError

LINES = {
    sentiment_runs.RUNS: ["not bad at all", "", "word " * 500, "ÄÖ 🙂 so dull"],
    tagging_runs.RUNS: ["Jordan signed the treaty", "unseen wörds , here", "a" * 40],
    seq2seq_runs.RUNS: ["on 6.6.1985", "", "room 12 is free"],
}
ONLY = """
import sys, importlib.abc
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("flax", "optax", "orbax", "tensorflow_datasets", "rnn_jax", "experiments", "absl"):
            raise ImportError(f"{name} is not there")
sys.meta_path.insert(0, Refuse())
import runpy
runpy.run_path(sys.argv[1], run_name="__main__")
"""


@pytest.mark.parametrize("runs", LINES, ids=lambda runs: runs.script.EXPERIMENT)
def test_the_folder_answers_as_the_run_does(runs, tmp_path, capsys):
    greedy = ["--beam_size=1"] if runs is seq2seq_runs.RUNS else []
    tiny = [flag for flag in runs.tiny if not flag.startswith("--beam_size")]
    runs.run_here(*tiny, f"--workdir={tmp_path}", "--num_steps=2", "--num_buckets=1", *greedy)
    runs.run_here("--mode=export", f"--workdir={tmp_path}", *greedy)
    assert str(tmp_path / "export") in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "export").iterdir()}
    assert names == {"model.stablehlo", "codec.json", "settings.json", "answer.py"}
    done = subprocess.run(
        [sys.executable, "-c", ONLY, str(tmp_path / "export" / "answer.py")],
        input="\n".join(LINES[runs]),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    expected = load(tmp_path).answer(LINES[runs])
    for ours, theirs in zip(said, expected, strict=True):
        if runs is sentiment_runs.RUNS:
            assert ours["label"] == theirs["label"] and ours["text"] == theirs["text"]
            assert ours["probabilities"] == pytest.approx(theirs["probabilities"], rel=1e-4)
        elif runs is tagging_runs.RUNS:
            assert (ours["tokens"], ours["labels"]) == (theirs["tokens"], theirs["tags"])
        else:
            assert ours["source"] == theirs["source"] and isinstance(ours["translation"], str)
            if ours["source"]:  # of random parameters: the same, for both are greedy at another padding
                assert ours["translation"][:3] == theirs["translation"][:3]


def test_models_with_ngrams_are_refused(tmp_path):
    runs = sentiment_runs.RUNS
    runs.run_here(*runs.tiny, f"--workdir={tmp_path}", "--num_steps=1", "--ngram_vocabulary_size=20")
    runs.is_refused(["--ngram_vocabulary_size"], "--mode=export", f"--workdir={tmp_path}")


CELL = """
import dataclasses, jax, jax.numpy as jnp
open({mark!r}, "w").close()
@dataclasses.dataclass(frozen=True)
class Leaky:
    hidden_size: int
    def init(self, key, input_size):
        return {{"w": 0.1 * jax.random.normal(key, (input_size, self.hidden_size))}}
    def initial_carry(self, params):
        return jnp.zeros(self.hidden_size)
    def step(self, params, carry, x):
        carry = 0.9 * carry + jnp.tanh(x @ params["w"])
        return carry, carry
"""


def test_a_run_directory_never_imports_code(tmp_path, monkeypatch, capsys):
    """Somebody else's names a class; only who runs the command, or calls, can have it imported."""
    runs, mark, name = sentiment_runs.RUNS, tmp_path / "imported", f"leaky_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(CELL.format(mark=str(mark)))
    runs.run_here(*runs.tiny, f"--workdir={tmp_path / 'run'}", "--num_steps=1")
    document = json.loads((tmp_path / "run" / "config.json").read_text())
    document["config"]["cell"] = [f"{name}:Leaky"]
    (tmp_path / "run" / "config.json").write_text(json.dumps(document))
    monkeypatch.syspath_prepend(tmp_path)
    for mode in ("predict", "eval", "export"):
        runs.is_refused([f"--cell={name}:Leaky"], f"--mode={mode}", f"--workdir={tmp_path / 'run'}")
    with pytest.raises(UserError, match="load.directory, cell=TheClass."):
        load(tmp_path / "run")
    assert not mark.exists()
    # The same run, trained with that class, and the class named again or handed over.
    runs.run_here(*runs.tiny, f"--workdir={tmp_path / 'own'}", "--num_steps=1", f"--cell={name}:Leaky")
    assert mark.exists()
    runs.run_here("--mode=eval", f"--workdir={tmp_path / 'own'}", f"--cell={name}:Leaky")
    loss = json.loads(capsys.readouterr().out.splitlines()[-1])["test/loss"]
    assert loss == pytest.approx(metrics_of(tmp_path / "own")["test/loss"], rel=1e-5)
    trained = load(tmp_path / "own", cell=importlib.import_module(name).Leaky)
    assert trained.answer(["so good"])[0]["label"] in ("pos", "neg")


def test_loading_says_what_is_missing(tmp_path):
    with pytest.raises(UserError, match="is not a run directory"):
        load(tmp_path)
    (tmp_path / "config.json").write_text('{"experiment": "os.system"}')
    with pytest.raises(UserError, match="is a run of 'os.system'; models are loaded of: sentiment, seq2seq, tagging"):
        load(tmp_path)
