"""--mode=export: the folder answers as the run does, with jax, numpy and tokenizers alone; and `load` in Python."""

import ast
import importlib
import itertools
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import sentiment_runs
import seq2seq_runs
import tagging_runs
from experiment_runs import metrics_of

from experiments import load
from experiments.exported import forms
from rnn_jax.errors import UserError
from rnn_jax.tagging.spans import SCHEMES, scheme_labels, to_scheme

LINES = {
    sentiment_runs.RUNS: ["not bad at all", "", "word " * 500, "ÄÖ 🙂 so dull"],
    tagging_runs.RUNS: ["Jordan signed the treaty.", "unseen wo\u0308rds, don't (here)", "a" * 40, "", "a\r b\u00a0c"],
}
PREDICTED = {  # names in an answer of the script
    sentiment_runs.RUNS: ("text", "label"),
    tagging_runs.RUNS: ("tokens", "tags"),
    seq2seq_runs.RUNS: ("source", "translation"),
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


def said_by(folder, text, *arguments):
    """What the exported script answers to each line, and its warnings."""
    done = subprocess.run(
        [sys.executable, "-c", ONLY, str(folder / "export" / "answer.py"), *arguments],
        input=text.encode(),
        capture_output=True,
        check=False,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0"},  # UTF-8 whatever the locale
    )
    assert done.returncode == 0, done.stderr.decode()
    warnings = [line for line in done.stderr.decode().splitlines() if line.startswith("warning")]
    return [json.loads(line) for line in done.stdout.decode().splitlines()], warnings


def same_as_the_run(runs, folder, lines, *arguments):
    """The script's answers are the run's; returns them."""
    said, warnings = said_by(folder, "".join(f"{line}\n" for line in lines), *arguments)
    assert not warnings
    for ours, theirs in zip(said, load(folder).answer(lines), strict=True):
        assert {name: ours[name] for name in PREDICTED[runs]} == {name: theirs[name] for name in PREDICTED[runs]}
        assert ours.get("probabilities") is None or ours["probabilities"] == pytest.approx(
            theirs["probabilities"], rel=1e-4
        )
    return said


@pytest.mark.parametrize("runs", [sentiment_runs.RUNS, tagging_runs.RUNS], ids=lambda runs: runs.script.EXPERIMENT)
def test_the_folder_answers_as_the_run_does(runs, tmp_path, capsys):
    runs.run_here(*runs.tiny, f"--workdir={tmp_path}", "--num_steps=2", "--num_buckets=1")
    runs.run_here("--mode=export", f"--workdir={tmp_path}")
    assert str(tmp_path / "export") in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "export").iterdir()}
    assert names == {"model.stablehlo", "codec.json", "settings.json", "answer.py"}
    same_as_the_run(runs, tmp_path, LINES[runs])


def test_exported_translations_are_those_of_the_run(tmp_path):
    """Of pairs learned by heart: the two have other padding, so that what is close would differ."""
    pairs = {"the first note": "one, and more of it", "a second text": "zwei", "room 12 is free": "12 ist frei"}
    (tmp_path / "pairs.tsv").write_text("".join(f"{source}\t{target}\n" for source, target in pairs.items()))
    runs, files = seq2seq_runs.RUNS, [f"--{part}_file={tmp_path / 'pairs.tsv'}" for part in ("train", "validation")]
    size = (
        "--hidden_size=32",
        "--embedding_size=32",
        "--vocabulary_size=300",
        "--max_tokens=32",
        "--beam_size=1",
        "--num_buckets=1",
    )
    learning = ("--num_steps=150", "--learning_rate=0.01", "--schedule=constant", "--eval_every_steps=150")
    runs.run_here(*files, *size, *learning, f"--workdir={tmp_path / 'run'}")
    runs.run_here("--mode=export", f"--workdir={tmp_path / 'run'}")
    said = same_as_the_run(runs, tmp_path / "run", [*pairs, ""])
    assert [one["translation"] for one in said] == [*pairs.values(), ""]
    _, warnings = said_by(tmp_path / "run", "short\n" + "long " * 40)
    assert len(warnings) == 1 and "line 2: of " in warnings[0] and "the first 32 are read" in warnings[0]


SENTENCES = """Jordan B-PER
Smith I-PER
flew O
to O
Peru B-LOC

Ann B-PER
Bo B-PER
left O
New B-LOC
York I-LOC
City I-LOC
"""


def test_exported_taggers_spell_spans_as_the_data_does(tmp_path):
    """Of a model that has learned little, so that it spells some in no scheme; and only long lines are cut, aloud."""
    (tmp_path / "a.conll").write_text(SENTENCES * 3)
    runs = tagging_runs.RUNS
    files = [f"--{part}_file={tmp_path / 'a.conll'}" for part in ("train", "validation")]
    run = tmp_path / "run"
    runs.run_here(
        *files,
        *runs.small,
        "--label_scheme=bioes",
        "--num_buckets=1",
        "--num_steps=60",
        f"--workdir={run}",
        "--learning_rate=0.02",
    )
    runs.run_here("--mode=export", f"--workdir={run}")
    words = ["Jordan", "Smith", "flew", "to", "Peru", "Ann", "Bo", "left", "New", "York", "City", "unknown"]
    lines = [" ".join(words[i : i + 3] + words[: i % 5]) + "." for i in range(len(words))]
    said = same_as_the_run(runs, run, [*lines, " ".join(words * 10)])
    letters = {tag[0] for one in said for tag in one["tags"]}
    assert letters == set("BIO")
    (one, cut), warnings = said_by(run, "Ann's treaty.\n" + " ".join(words * 11), "--pretokenized")
    assert one["tokens"] == ["Ann's", "treaty."] and cut["tokens"] == (words * 11)[:128] and len(cut["tags"]) == 128
    assert warnings == ["warning: line 2: of 132 words the first 128 are read"]


@pytest.mark.parametrize("types", [["A", "C-D"], ["_"]])  # the latter: tags without types
@pytest.mark.parametrize(("given", "wanted"), [*itertools.permutations(SCHEMES, 2)])
def test_the_script_respells_any_labels(given, wanted, types):
    """Against `to_scheme`, for sequences that spell spans and for those that do not."""
    script = ast.parse((Path(forms.__file__).parent / "tagging.py").read_text())
    (function,) = (node for node in script.body if isinstance(node, ast.FunctionDef) and node.name == "as_in_data")
    codec = SimpleNamespace(model_scheme=given, scheme=wanted)
    names = {"re": re, "itertools": itertools, "CODEC": {"scheme": wanted}, "SETTINGS": forms._spelling(codec)}
    exec(compile(ast.Module([function], []), "answer.py", "exec"), names)
    labels, draw = scheme_labels(types, given), random.Random(0)
    for _ in range(300):
        sequence = draw.choices(labels, k=draw.randrange(12))
        assert names["as_in_data"](sequence) == to_scheme(sequence, given, wanted)


def test_models_with_ngrams_are_refused(tmp_path):
    runs = sentiment_runs.RUNS
    few = ("--num_steps=1", "--num_buckets=1", "--ngram_vocabulary_size=20")
    runs.run_here(*runs.tiny, f"--workdir={tmp_path}", *few)
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
    few = (*runs.tiny, "--num_steps=1", "--num_buckets=1")
    runs.run_here(*few, f"--workdir={tmp_path / 'run'}")
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
    runs.run_here(*few, f"--workdir={tmp_path / 'own'}", f"--cell={name}:Leaky")
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
    with pytest.raises(
        UserError, match="is a run of 'os.system'; models are loaded of: anomaly, forecasting, language_model,"
    ):
        load(tmp_path)
