"""The sequence-to-sequence experiment: what a run leaves behind, its modes, and that its numbers are right."""

import io
import json
import math
import sys

import pytest
import sacrebleu
import seq2seq_runs as runs
import tensorflow_datasets as tfds
from data.builders import prepare

from experiments import seq2seq
from rnn_jax.attention import ATTENTIONS
from rnn_jax.config import with_overrides
from rnn_jax.errors import UserError
from rnn_jax.models.sizes import num_parameters
from rnn_jax.text.translation_codec import fit_translation_codec
from rnn_jax.training import prepare as preparing
from rnn_jax.training.build import build

WORDS = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "red": "rot", "cat": "Katze", "dog": "Hund"}


def write_pairs(folder, name, count, start=0):
    """`count` sentences of a toy language that is translated word by word, backwards."""
    known, sources, targets = list(WORDS), [], []
    for i in range(start, start + count):
        chosen = [known[(i * step + step) % len(known)] for step in range(1, 2 + i % 4)]
        sources.append(" ".join(chosen))
        targets.append(" ".join(WORDS[word] for word in reversed(chosen)))
    for side, lines in (("en", sources), ("de", targets)):
        (folder / f"{name}.{side}").write_text("".join(f"{line}\n" for line in lines))
    return f"{folder / name}.en,{folder / name}.de"


LEARN = (
    "--cell=lstm",
    "--attention=general",
    "--embedding_size=24",
    "--hidden_size=24",
    "--tokenizer=char",
    "--tokens_per_batch=800",
    "--num_buckets=1",
    "--num_steps=240",
    "--eval_every_steps=120",
    "--learning_rate=0.02",
    "--ema_decay=0.9",
    "--beam_size=3",
)


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A run that knows the toy language: its test sentences are among those it was trained on."""
    folder = tmp_path_factory.mktemp("toy")
    train, test = write_pairs(folder, "train", 80), write_pairs(folder, "test", 20)
    flags = (*LEARN, f"--train_file={train}", f"--validation_file={test}", f"--test_file={test}")
    runs.run_here(*flags, "--average_checkpoints=2", "--average=last", f"--workdir={folder / 'run'}")
    return folder / "run"


def output(monkeypatch, capsys, workdir, text: str, *flags):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8"))
    capsys.readouterr()
    runs.run_here("--mode=predict", f"--workdir={workdir}", *flags)
    return capsys.readouterr()


def answers(*arguments):
    return list(map(json.loads, output(*arguments).out.splitlines()))


def test_the_run_directory(learned):
    names = {path.name for path in learned.iterdir()}
    assert names >= {"config.json", "metrics.jsonl", "result.json", "checkpoints", "averaged", "curves.png"}
    assert names >= {"attention_test.png", "codec.json", "samples", "report_test.txt"}
    assert [path.name for path in sorted((learned / "samples").iterdir())] == [
        "step_00000120.txt",
        "step_00000240.txt",
    ]
    assert (learned / "samples" / "step_00000240.txt").read_text().count("reference  ") == 10
    result = json.loads((learned / "result.json").read_text())
    for part in ("validation", "test"):
        assert result[f"{part}/perplexity"] == pytest.approx(math.exp(result[f"{part}/loss"]))
        assert result[f"{part}/exact_match"] > 0.9 and result[f"{part}/bleu"] > 80 and result[f"{part}/chrf"] > 90
        assert "tok:13a" in result[f"{part}/bleu_signature"] and "nc:6" in result[f"{part}/chrf_signature"]
    assert "1–5" in (learned / "report_test.txt").read_text()


def test_the_scores_are_those_of_the_texts(learned, monkeypatch, capsys):
    """Scored here with sacreBLEU, from what predict says; and by eval."""
    folder = learned.parent
    said = answers(monkeypatch, capsys, learned, (folder / "test.en").read_text())
    references = (folder / "test.de").read_text().splitlines()
    texts = [answer["translation"] for answer in said]
    result = runs.metrics_of(learned)
    assert result["test/bleu"] == pytest.approx(sacrebleu.corpus_bleu(texts, [references]).score)
    assert result["test/exact_match"] == pytest.approx(sum(a == b for a, b in zip(texts, references, strict=True)) / 20)
    runs.run_here("--mode=eval", f"--workdir={learned}")
    scores = json.loads(capsys.readouterr().out)
    settings = {name: scores.pop(f"test/{name}") for name in ("decoding", "beam_size", "length_penalty")}
    assert settings == {"decoding": "beam", "beam_size": 3, "length_penalty": 1.0}
    assert scores == {name: pytest.approx(result[name]) for name in scores} and len(scores) == 7
    name = f"{folder / 'test.en'},{folder / 'test.de'}"
    runs.run_here("--mode=eval", f"--workdir={learned}", f"--part={name}")
    assert json.loads(capsys.readouterr().out)[f"{name}/bleu"] == pytest.approx(result["test/bleu"])


def test_hypotheses_attention_and_empty_lines(learned, monkeypatch, capsys):
    text = "three red\n\n  \nthree\n"
    two, empty, blank, three = answers(monkeypatch, capsys, learned, text, "--n_best=3", "--show_attention")
    assert two["source"] == "three red" and two["translation"] == "rot drei"
    assert empty == {"source": "", "translation": "", "hypotheses": []} == blank | {"source": ""}
    scores = [hypothesis["score"] for hypothesis in two["hypotheses"]]
    assert len(scores) == 3 and scores == sorted(scores, reverse=True)
    assert two["hypotheses"][0]["text"] == two["translation"]
    one = two["hypotheses"][0]
    length = len("rot drei") + 1
    assert one["score"] == pytest.approx(one["log_probability"] / ((5 + length) / 6), rel=1e-3)
    attention = two["attention"]
    assert len(attention["source"]) == len("three red") and attention["target"][-1] == "⏎"
    assert len(attention["weights"]) == len("rot drei") + 1
    assert all(sum(row) == pytest.approx(1, abs=1e-2) for row in attention["weights"])
    assert three["translation"] == "drei"


def test_every_way_of_decoding_knows_a_learned_sentence(learned, monkeypatch, capsys):
    for flags in (["--beam_size=1"], ["--beam_size=8", "--length_penalty=0"], ["--decoding=sample", "--top_k=1"]):
        (answer,) = answers(monkeypatch, capsys, learned, "three red\n", *flags)
        assert answer["translation"] == "rot drei", flags


def test_samples_depend_on_the_line_only(learned, monkeypatch, capsys):
    flags = ("--decoding=sample", "--temperature=3", "--n_best=2")
    lines = [*["dog"] * 5, "three red dog cat", *["dog"] * 100]
    together = answers(monkeypatch, capsys, learned, "\n".join(lines), *flags)
    assert len({answer["translation"] for answer in together}) > 10
    first = answers(monkeypatch, capsys, learned, "\n".join(lines[:6]), *flags)
    assert [answer["translation"] for answer in first] == [answer["translation"] for answer in together[:6]]


def test_the_answer_does_not_depend_on_the_neighbours(learned, monkeypatch, capsys):
    """Of sentences that the model knows: where it has to guess, hypotheses can be so near that rounding decides."""
    known = (learned.parent / "test.en").read_text().splitlines()
    lines = [*(known[n % len(known)] for n in range(70)), "one two " * 4 + "cat"]  # the last one is longer, and a guess
    assert {len(line.split()) for line in lines[:4]} == {1, 2, 3, 4}
    together = answers(monkeypatch, capsys, learned, "\n".join(lines))
    for index in (0, 3, 69):
        (alone,) = answers(monkeypatch, capsys, learned, lines[index])
        assert alone["translation"] == together[index]["translation"]
        score = together[index]["hypotheses"][0]["score"]
        assert alone["hypotheses"][0]["score"] == pytest.approx(score, rel=1e-3)


def test_long_lines_are_cut_with_one_warning(learned, monkeypatch, capsys):
    said = output(monkeypatch, capsys, learned, "one " * 200 + "\ncat\n" + "two " * 300 + "\n")
    assert (
        said.err.strip().splitlines()[-1] == "warning: 2 sources of more than 100 tokens were cut (--max_source_tokens)"
    )
    assert len(said.out.splitlines()) == 3


def test_a_finished_run_is_not_trained_again(learned, capsys):
    names = ("metrics.jsonl", "config.json", "result.json")
    before = [(learned / name).read_bytes() for name in names]
    folder = learned.parent
    pairs = (f"{folder / part}.en,{folder / part}.de" for part in ("train", "test", "test"))
    files = [f"--{flag}={name}" for flag, name in zip(("train_file", "validation_file", "test_file"), pairs)]
    runs.run_here(*LEARN, *files, "--average_checkpoints=2", "--average=last", f"--workdir={learned}")
    assert "test/bleu" in capsys.readouterr().out
    others = (*files, "--average_checkpoints=2", "--average=last", "--beam_size=7", f"--workdir={learned}")
    runs.run_here(*LEARN[:-1], *others)
    assert "It was scored with --beam_size=3; --mode=eval" in capsys.readouterr().out
    assert [(learned / name).read_bytes() for name in names] == before
    result = json.loads((learned / "result.json").read_text())
    assert (result["decoding"], result["beam_size"], result["length_penalty"]) == ("beam", 3, 1.0)
    assert "temperature" not in result  # as nothing was drawn


def test_how_to_decode_does_not_choose_the_checkpoint(learned, tmp_path):
    """A run that draws its translations still validates by greedy ones."""
    pairs = [
        f"--{flag}={learned.parent / 'test'}.en,{learned.parent / 'test'}.de"
        for flag in ("train_file", "validation_file")
    ]
    flags = ("--num_steps=1", "--eval_every_steps=1", "--decoding=sample", "--temperature=5", "--learning_rate=0")
    learn = [flag for flag in LEARN if not flag.startswith("--beam_size")]
    runs.run_here(*learn, *pairs, *flags, f"--init_from={learned}", f"--workdir={tmp_path / 'run'}")
    (line,) = runs.lines_of(tmp_path / "run")
    assert line["validation/chrf"] > 90 > 50 > runs.metrics_of(tmp_path / "run")["validation/chrf"]


def test_targets_that_may_not_be_written_are_counted(tmp_path):
    pairs = tmp_path / "a.tsv"
    pairs.write_text("".join(f"{n % 10}\t{'x' * (n % 20)}y\n" for n in range(40)))
    knobs = {"train_file": str(pairs), "tokenizer": "char", "max_length_ratio": 2.0, "validation_file": str(pairs)}
    source = preparing.prepare(runs.RUNS.task, with_overrides(seq2seq.Config(), knobs)).source
    # Of one source token 2 · 1 + 10 may be written; targets have 1 … 20 characters, twice each.
    assert any(note.startswith("40.0% of the training targets are longer") for note in source.notes)


def test_longer_sources_are_read_where_asked(learned, monkeypatch, capsys):
    flags = ("--max_source_tokens=800", "--show_attention")
    said = output(monkeypatch, capsys, learned, "one " * 150 + "\n", *flags)
    assert "were cut" not in said.err and len(json.loads(said.out)["attention"]["source"]) == 150 * 4 - 1


HEADS = ("--attention=multi_head", "--attention_heads=2", "--nojoint_vocabulary", "--label_smoothing=0.1")
SAMPLING = ("--attention=additive", "--teacher_forcing=linear", "--teacher_forcing_floor=0.5", "--decoder_num_layers=2")


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param(
            ("--attention=none", "--input_feeding", "--cell=gru", "--bridge=copy", "--nobidirectional"), id="feeding"
        ),
        pytest.param(HEADS, id="heads", marks=pytest.mark.exhaustive),
        pytest.param(SAMPLING, id="sampling", marks=pytest.mark.exhaustive),
    ],
)
def test_one_batch_can_be_learned_by_heart(flags, tmp_path):
    pairs = write_pairs(tmp_path, "a", 12)
    learn = ("--num_steps=200", "--eval_every_steps=200", "--tokens_per_batch=1000", "--ema_decay=0", "--beam_size=1")
    files = (f"--train_file={pairs}", f"--validation_file={pairs}")
    runs.run_here(*LEARN, *learn, *flags, *files, f"--workdir={tmp_path / 'run'}", "--select_by=exact_match")
    assert runs.metrics_of(tmp_path / "run")["validation/exact_match"] == 1.0


def test_dry_run_trains_nothing(tmp_path, capsys):
    runs.run_here(*runs.TINY, f"--workdir={tmp_path / 'run'}", "--dry_run")
    out = capsys.readouterr().out
    assert not (tmp_path / "run").exists()
    assert "attention_params.w" in out and "MB" not in out and "Padding is" in out


@pytest.mark.parametrize("attention", ["none", *ATTENTIONS])
def test_num_params_solves_the_width(attention):
    knobs = {"attention": attention, "bidirectional": attention != "dot"}
    config = with_overrides(seq2seq.Config(), knobs | {"tokenizer": "char", "embedding_size": 8, "num_params": 20_000})
    codec = fit_translation_codec(config.text, list(WORDS), list(WORDS.values()))
    assert num_parameters(build(runs.RUNS.task, config, codec).shapes) == pytest.approx(20_000, rel=0.03)


def test_fine_tuning_starts_where_the_other_run_ended(learned, tmp_path):
    folder = learned.parent
    files = [f"--{flag}={folder / 'test'}.en,{folder / 'test'}.de" for flag in ("train_file", "validation_file")]
    flags = (*LEARN, *files, f"--init_from={learned}", "--learning_rate=0", "--num_steps=1")
    runs.run_here(*flags, f"--workdir={tmp_path / 'same'}")
    loss = runs.metrics_of(learned)["test/loss"]
    assert runs.metrics_of(tmp_path / "same")["validation/loss"] == pytest.approx(loss, rel=1e-4)
    with pytest.raises(UserError, match="do not fit this model"):
        runs.run_here(*flags, "--hidden_size=4", f"--workdir={tmp_path / 'x'}")
    with pytest.raises(UserError, match="keeps the vocabulary.*--tokenizer=char"):
        runs.run_here(*flags, "--tokenizer=bpe", f"--workdir={tmp_path / 'x'}")


def test_a_dataset_with_further_tests(tmp_path, capsys):
    """Each is scored with keys and a report of its own; a source that is too long is cut, and said to be."""
    pairs = [{"en": f"{n} cats", "de": f"{n} Katzen"} for n in range(8)]
    long = [{"en": "cats " * 40, "de": "Katzen"}]
    prepare(
        str(tmp_path),
        "animals",
        {"en": tfds.features.Text(), "de": tfds.features.Text()},
        {"train": pairs, "validation": pairs, "test": pairs[:3], "test_2017_x": pairs[:2] + long},
    )
    flags = (f"--data_dir={tmp_path}", "--dataset=animals", "--source_field=en", "--num_steps=1", "--num_buckets=1")
    runs.run_here(*runs.SMALL, *flags, f"--workdir={tmp_path / 'run'}")
    assert capsys.readouterr().err.count("animals test_2017_x: 1 sources of more than 16 tokens were cut") == 1
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    for name in ("test", "test_2017_x"):
        assert 0 <= result[f"{name}/bleu"] <= 100 and "version:" in result[f"{name}/bleu_signature"]
        assert result[f"{name}/loss"] > 0 and (tmp_path / "run" / f"report_{name}.txt").exists()
    assert result["test_2017_x/loss"] != result["test/loss"]
    runs.run_here("--mode=eval", f"--workdir={tmp_path / 'run'}", "--part=test_2017_x")
    said = capsys.readouterr()
    assert json.loads(said.out)["test_2017_x/loss"] == pytest.approx(result["test_2017_x/loss"])
    assert said.err.count("1 sources of more than 16 tokens were cut") == 1
