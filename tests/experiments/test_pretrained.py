"""From a language model to a classifier by --init_from: what comes along, what is refused, and what freezing does."""

import io
import json
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
import sentiment_runs as runs
import tagging_runs
from experiment_runs import ExperimentRuns, lines_of
from training.toy_runs import killed_at

from experiments import language_model, load
from rnn_jax.training.layer_rates import names_of

LANGUAGE_MODEL = ExperimentRuns(language_model, (), ())
SMALL = ("--tokenizer=char", "--embedding_size=6", "--cell=gru,lstm", "--hidden_size=7,9", "--num_layers=2")
DATA = ("--train_split=train[:64]", "--validation_split=validation[:32]", "--test_split=test[:32]")
CLASSIFIER = (
    *DATA,
    "--batch_size=16",
    "--num_buckets=1",
    "--max_tokens=24",
    "--schedule=constant",
    "--log_every_steps=2",
)


@pytest.fixture(scope="module")
def donor(tmp_path_factory):
    """A language model of a few updates, from which tests start; deleted by none."""
    place = tmp_path_factory.mktemp("donor")
    text = place / "text.txt"
    text.write_text("".join(f"the film was {word}, and I liked it.\n" for word in ("good", "bad", "dull", "fun") * 20))
    flags = (
        f"--train_file={text}",
        "--documents=lines",
        "--num_steps=3",
        "--batch_size=4",
        "--bptt=8",
    )
    LANGUAGE_MODEL.run_here(*SMALL, *flags, "--min_count=1", f"--workdir={place / 'lm'}")
    return place / "lm"


def params_of(workdir):
    trained = load(workdir)
    return dict(zip(names_of(trained.params), map(np.asarray, jax.tree.leaves(trained.params)), strict=True))


def predicted(monkeypatch, capsys, workdir, lines):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    capsys.readouterr()
    runs.run_here("--mode=predict", f"--workdir={workdir}")
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_everything_below_the_head_comes_along(donor, tmp_path, monkeypatch, capsys):
    """And nothing more is asked of the donor, once the run has begun."""
    place = shutil.copytree(donor, tmp_path / "lm")
    command = (*CLASSIFIER, f"--init_from={place}", f"--workdir={tmp_path / 'run'}", "--num_steps=2")
    command += ("--learning_rate=0", "--pooling=attention")
    runs.run_here(*command)
    said = capsys.readouterr().out
    anew = "initialised anew: output.b, output.w, pooling.hidden.b, pooling.hidden.w, pooling.query.b, pooling.query.w."
    assert f"Starting from {place}: vocabulary, embedding, encoder; {anew}" in said
    theirs, ours = params_of(place), params_of(tmp_path / "run")
    same = [name for name in ours if name.split(".")[0] in ("embedding", "encoder")]
    assert len(same) == 8 and set(ours) - set(same) == {
        "output.b", "output.w", *(f"pooling.{layer}.{array}" for layer in ("hidden", "query") for array in "bw")
    }  # fmt: skip
    for name in same:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    assert load(tmp_path / "run").codec.tokenizer.get_vocab() == load(place).codec.tokenizer.get_vocab()
    stored = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert (stored["cell"], stored["hidden_size"], stored["embedding_size"]) == (["gru", "lstm"], [7, 9], 6)

    shutil.rmtree(place)
    texts = "good\n\nthe film was fun\n"
    assert [found["text"] for found in predicted(monkeypatch, capsys, tmp_path / "run", texts)] == texts.splitlines()
    runs.run_here(*command)
    assert "Finished before" in capsys.readouterr().out
    runs.is_refused(["--num_layers was 2, now 1"], *command, "--num_layers=1")


def test_the_encoder_reads_a_text_as_the_language_model_did(donor, tmp_path):
    """Its outputs over the units of a prompt are those that the language model predicts from."""
    flags = (*CLASSIFIER, f"--init_from={donor}", f"--workdir={tmp_path / 'run'}", "--num_steps=1")
    runs.run_here(*flags, "--learning_rate=0", "--pooling=last_mean_max")
    ours, theirs = load(tmp_path / "run"), load(donor)
    tokens = theirs.codec.prompt("the film was dull")[None, :]
    read = theirs(lambda model, tokens: model.read(tokens).ys, tokens)[0]
    features = np.concatenate([read[-1], read.mean(axis=0), read.max(axis=0)])
    output = params_of(tmp_path / "run")
    logits = features @ output["output.w"] + output["output.b"]
    (found,) = ours.answer(["the film was dull"])
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(list(found["probabilities"].values()), expected, rtol=1e-4)


def test_the_exported_folder_begins_texts_alike(donor, tmp_path):
    flags = (*CLASSIFIER, f"--init_from={donor}", f"--workdir={tmp_path / 'run'}", "--num_steps=1")
    runs.run_here(*flags, "--learning_rate=0.1", "--truncation=both")
    runs.run_here("--mode=export", f"--workdir={tmp_path / 'run'}")
    lines = ["good", "", "the film was dull, and I liked it, or not", "Ünseen"]
    script = [sys.executable, str(tmp_path / "run" / "export" / "answer.py")]
    done = subprocess.run(script, input="\n".join(lines) + "\n", capture_output=True, text=True, check=True)
    for said, found in zip(
        map(json.loads, done.stdout.splitlines()), load(tmp_path / "run").answer(lines), strict=True
    ):
        assert said["probabilities"] == pytest.approx(found["probabilities"], rel=1e-4)


def test_frozen_layers_stay_and_learn_in_turn_whatever_interrupts(donor, tmp_path, monkeypatch, capsys):
    """An epoch has 4 updates; the head, two recurrent layers and the embedding begin one after another.

    A run that is killed and goes on without the donor ends bit for bit as the one that nobody disturbed.
    """
    place = shutil.copytree(donor, tmp_path / "lm")
    command = (*CLASSIFIER, f"--init_from={place}", "--num_epochs=3", "--unfreeze_every=0.75", "--layer_rate_decay=0.5")
    command += ("--eval_every_steps=1", "--checkpoint_every_steps=1", "--average_checkpoints=12")
    command += ("--optimizer=adamw", "--weight_decay=0.1", "--clip_global_norm=1", "--output_dropout=0.1")
    runs.run_here(*command, f"--workdir={tmp_path / 'whole'}")
    said = capsys.readouterr().out
    assert "output × 1; encoder layer 2 × 0.5 from step 3 on; encoder layer 1 × 0.25 from step 6 on; emb" in said
    with monkeypatch.context() as patch, killed_at(5, patch):
        runs.run_here(*command, f"--workdir={tmp_path / 'killed'}")
    shutil.rmtree(place)
    runs.run_here(*command, f"--workdir={tmp_path / 'killed'}")
    assert "Continuing at step" in capsys.readouterr().out
    assert lines_of(tmp_path / "killed") == lines_of(tmp_path / "whole")
    for kind in ("latest", "best"):
        assert runs.saved_state(tmp_path / "killed", kind) == runs.saved_state(tmp_path / "whole", kind)


@pytest.mark.parametrize(
    ("steps", "learning"),
    [
        (4, {"output", "encoder.weights.1"}),
        (10, {"output", "encoder.weights.1", "encoder.weights.0", "embedding"}),
    ],
)
def test_which_layers_have_moved_after_so_many_updates(steps, learning, donor, tmp_path):
    flags = (*CLASSIFIER, f"--init_from={donor}", f"--num_steps={steps}", "--unfreeze_every=0.75")
    flags += ("--optimizer=adamw", "--weight_decay=0.1", f"--eval_every_steps={steps}")
    runs.run_here(*flags, f"--workdir={tmp_path / 'run'}")
    theirs = params_of(donor)
    for name, value in params_of(tmp_path / "run").items():
        if not name.startswith("output"):
            has_moved = not np.array_equal(value, theirs[name])
            assert has_moved == any(name.startswith(layer) for layer in learning), name


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--bidirectional",), ["--bidirectional", "reads forwards only"]),
        (("--hidden_size=4",), ["do not fit this model", "encoder.weights.0"]),
        (("--tokenizer=bpe", "--vocabulary_size=500"), ["leave out --tokenizer, --vocabulary_size"]),
        (("--ngram_vocabulary_size=50",), ["leave out --ngram_vocabulary_size"]),
        (("--convolution_width=3",), ["--convolution_width=3", "Leave it out"]),
        (("--max_tokens=1",), ["--max_tokens=1 leaves no room"]),
    ],
)
def test_what_contradicts_the_language_model(flags, words, donor, tmp_path):
    flags = (*DATA, "--num_steps=1", f"--init_from={donor}", f"--workdir={tmp_path / 'run'}", *flags)
    runs.is_refused(words, *flags)


def test_what_is_no_language_model(donor, tmp_path):
    flags = (*CLASSIFIER, "--num_steps=1", f"--workdir={tmp_path / 'run'}")
    tagger = tmp_path / "tagger"
    tagging_runs.run_here(*tagging_runs.TINY, "--num_steps=1", f"--workdir={tagger}")
    runs.is_refused([f"{tagger} is a run of tagging", "sentiment or language_model"], *flags, f"--init_from={tagger}")
    tagging_flags = (*tagging_runs.TINY, "--num_steps=1", f"--workdir={tmp_path / 'b'}", f"--init_from={donor}")
    tagging_runs.is_refused(["is a run of language_model: tagging starts from runs of tagging."], *tagging_flags)
    runs.is_refused([str(tmp_path), "not a run directory"], *flags, f"--init_from={tmp_path}")
    runs.is_refused(["--layer_rate_decay needs --init_from"], *flags, "--layer_rate_decay=0.5")
    runs.is_refused(["--unfreeze_every needs --init_from"], *flags, "--unfreeze_every=1")


def test_a_classifier_that_began_as_a_language_model_is_a_donor_too(donor, tmp_path):
    flags = (*CLASSIFIER, "--num_steps=1", "--learning_rate=0")
    runs.run_here(*flags, f"--init_from={donor}", "--pooling=mean_max", f"--workdir={tmp_path / 'a'}")
    runs.run_here(*flags, f"--init_from={tmp_path / 'a'}", f"--workdir={tmp_path / 'b'}")
    assert runs.metrics_of(tmp_path / "a") == runs.metrics_of(tmp_path / "b")
