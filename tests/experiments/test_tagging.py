"""The tagging experiment: what a run leaves behind, its modes, and that its numbers are right."""

import io
import json
import sys

import numpy as np
import pytest
import tagging_runs as runs
from data.builders import prepare_conll2003
from experiment_runs import ROOT
from oracles.jitting import counted_programs

from experiments import load
from rnn_jax.data.tagging import TaggedTextConfig, load_tagging
from rnn_jax.errors import UserError
from rnn_jax.tagging.spans import spans_of

CRF = ("--decoder=crf", "--label_scheme=bioes")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run") / "tiny"
    runs.run_here(*runs.TINY, *CRF, f"--workdir={workdir}", "--ema_decay=0.9", "--learning_rate=0.02", "--num_epochs=8")
    return workdir


def output(monkeypatch, capsys, workdir, text: str, *flags):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8"))
    capsys.readouterr()
    runs.run_here("--mode=predict", f"--workdir={workdir}", *flags)
    return capsys.readouterr().out


def answers(*arguments):
    return list(map(json.loads, output(*arguments).splitlines()))


def test_the_run_directory(trained):
    names = {path.name for path in trained.iterdir()}
    assert names >= {"config.json", "metrics.jsonl", "result.json", "checkpoints", "codec.json", "curves.png"}
    assert names >= {"confusion_test.png", "confusion_validation.png", "report_test.txt", "report_validation.txt"}
    report = (trained / "report_test.txt").read_text()
    assert "words in 48 sentences" in report and "FB1" in report and "→" in report
    result = json.loads((trained / "result.json").read_text())
    for part in ("validation", "test"):
        for name in ("accuracy", "unseen_accuracy", "sentence_accuracy", "f1", "precision", "recall", "f1_PER"):
            assert 0 <= result[f"{part}/{name}"] <= 1, name
    best = max(line.get("validation/f1", 0) for line in runs.lines_of(trained))
    assert result["validation/f1"] == pytest.approx(best) and best > 0


def test_a_finished_run_is_not_trained_again(trained, capsys):
    before = (trained / "metrics.jsonl").read_bytes()
    flags = (*runs.TINY, *CRF, f"--workdir={trained}", "--ema_decay=0.9", "--learning_rate=0.02", "--num_epochs=8")
    runs.run_here(*flags)
    assert (trained / "metrics.jsonl").read_bytes() == before
    assert f"test/f1 {runs.metrics_of(trained)['test/f1']:.4g}" in capsys.readouterr().out


def test_eval_gives_the_numbers_of_training(trained, capsys):
    runs.run_here("--mode=eval", f"--workdir={trained}")
    scores = json.loads(capsys.readouterr().out.splitlines()[-1])
    result = runs.metrics_of(trained)
    assert scores == {name: pytest.approx(result[name], rel=1e-6) for name in scores} and "test/f1" in scores


def write_file(path, sentences):
    path.write_text("\n".join("".join(f"{w}\t{t}\n" for w, t in zip(*pair, strict=True)) for pair in sentences))
    return path


def test_eval_of_a_file_agrees_with_predict(trained, tmp_path, capsys, monkeypatch):
    data = load_tagging(TaggedTextConfig()).test
    sentences = list(zip(data.tokens[100:130], data.labels[100:130], strict=True))
    path = write_file(tmp_path / "mine.conll", sentences)
    runs.run_here("--mode=eval", f"--workdir={trained}", f"--part={path}")
    scores = json.loads(capsys.readouterr().out)
    text = "\n".join(" ".join(tokens) for tokens, _ in sentences)
    said = answers(monkeypatch, capsys, trained, text, "--pretokenized")
    assert [answer["tokens"] for answer in said] == [tokens for tokens, _ in sentences]
    pairs = [(a, b) for answer, (_, tags) in zip(said, sentences, strict=True) for a, b in zip(answer["tags"], tags)]
    assert scores[f"{path}/accuracy"] == pytest.approx(np.mean([a == b for a, b in pairs]))
    # Spans counted here, from the answers alone.
    gold = {(i, *span) for i, (_, tags) in enumerate(sentences) for span in spans_of(tags, "bio")}
    found = {(i, s["type"], s["start"], s["end"]) for i, answer in enumerate(said) for s in answer["spans"]}
    assert scores[f"{path}/f1"] == pytest.approx(2 * len(gold & found) / (len(gold) + len(found)))
    for answer in said:
        assert all(0 < p <= 1 + 1e-6 for p in answer["probabilities"])
        for span in answer["spans"]:
            assert span["text"] == " ".join(answer["tokens"][span["start"] : span["end"]])


def test_raw_text_columns_and_the_best_sequences(trained, monkeypatch, capsys):
    text = "Don't go to Paris, Ada!\n\nhello\n"
    raw, empty, hello = answers(monkeypatch, capsys, trained, text)
    assert raw["tokens"] == ["Do", "n't", "go", "to", "Paris", ",", "Ada", "!"]
    assert empty == {"tokens": [], "tags": [], "probabilities": [], "spans": []}
    columns = output(monkeypatch, capsys, trained, text, "--output_format=conll")
    lines = [f"{word}\t{tag}" for word, tag in zip(raw["tokens"], raw["tags"], strict=True)]
    assert columns == "\n".join([*lines, "", f"hello\t{hello['tags'][0]}", "", ""])
    best, _, one = answers(monkeypatch, capsys, trained, text, "--num_best=3")
    assert best["best"][0]["tags"] == best["tags"] == raw["tags"]
    probabilities = [entry["probability"] for entry in best["best"]]
    assert (
        len(probabilities) == 3 and probabilities == sorted(probabilities, reverse=True) and sum(probabilities) <= 1.001
    )
    assert one["best"][0]["probability"] == pytest.approx(hello["probabilities"][0], rel=1e-4)


def test_a_long_line_and_strange_characters(trained, monkeypatch, capsys):
    words = ["word"] * 3000
    said = answers(monkeypatch, capsys, trained, " ".join(words) + "\n🙂 ÄÖ\t漢字\n", "--pretokenized")
    assert len(said[0]["tags"]) == 3000 and said[1]["tokens"] == ["🙂", "ÄÖ", "漢字"]


def test_sentences_of_new_lengths_compile_nothing_new(trained):
    tagger = load(trained)
    with counted_programs() as programs:
        tagger.answer([" ".join(["a"] * 50)])
    assert programs
    with counted_programs() as programs:
        tagger.answer([" ".join(["a"] * 60), "b"])
        tagger.answer([" ".join(["a"] * 33)] * 2)
    assert programs.total() <= 2, programs  # two sentences: a batch of two, of 8 or 64 words


def test_columns_have_room_for_one_sequence(trained):
    with pytest.raises(UserError, match="--output_format needs --num_best=1, or --output_format=json"):
        runs.run_here("--mode=predict", f"--workdir={trained}", "--num_best=2", "--output_format=conll")


def test_a_file_with_more_columns_than_the_runs_data(trained, tmp_path, capsys):
    path = tmp_path / "more.conllu"
    path.write_text("1\tAda\tx\tB-PER\t_\n2\tleft\ty\tO\t_\n")
    runs.run_here("--mode=eval", f"--workdir={trained}", f"--part={path}", "--eval_columns=1,3")
    assert f"{path}/f1" in json.loads(capsys.readouterr().out)


def test_the_answer_to_a_sentence_does_not_depend_on_its_neighbours(trained, monkeypatch, capsys):
    lines = ["the committee met " + "again " * (n % 9) for n in range(100)]
    together = answers(monkeypatch, capsys, trained, "\n".join(lines), "--pretokenized")
    for index in (0, 8, 99):
        (alone,) = answers(monkeypatch, capsys, trained, lines[index], "--pretokenized")
        assert alone["tags"] == together[index]["tags"]
        assert alone["probabilities"] == pytest.approx(together[index]["probabilities"], rel=1e-4)


@pytest.mark.parametrize("characters", ["none", "bilstm"])
def test_one_batch_can_be_learned_by_heart(characters, tmp_path):
    tiny = [flag for flag in runs.TINY if characters != "none" or "character" not in flag]
    runs.run_here(
        *tiny,
        f"--workdir={tmp_path / 'run'}",
        "--train_split=train[:16]",
        "--validation_split=train[:16]",
        f"--character_encoder={characters}",
        f"--decoder={'softmax' if characters == 'none' else 'crf'}",
        "--hidden_size=16",
        "--word_dropout=0",
        "--num_buckets=1",
        "--num_steps=200",
        "--eval_every_steps=200",
        "--learning_rate=0.03",
    )
    assert runs.metrics_of(tmp_path / "run")["validation/accuracy"] == 1.0


def test_dry_run_trains_nothing(tmp_path, capsys):
    runs.run_here(*runs.TINY, f"--workdir={tmp_path / 'run'}", "--dry_run")
    out = capsys.readouterr().out
    assert not (tmp_path / "run").exists()
    assert "characters.convolution.w" in out and "MB" not in out and "Padding is" in out


def test_num_params_solves_the_width(tmp_path):
    tiny = [flag for flag in runs.TINY if not flag.startswith("--hidden_size")]
    runs.run_here(*tiny, f"--workdir={tmp_path / 'run'}", "--num_params=2e4", "--num_steps=1", "--num_buckets=1")
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["num_parameters"] == pytest.approx(20_000, rel=0.02)


def test_fine_tuning_starts_where_the_other_run_ended(trained, tmp_path, capsys):
    flags = (*runs.TINY, *CRF, f"--init_from={trained}", "--learning_rate=0", "--num_steps=1")
    runs.run_here(*flags, f"--workdir={tmp_path / 'same'}")
    loss = runs.metrics_of(trained)["validation/loss"]
    assert runs.metrics_of(tmp_path / "same")["validation/loss"] == pytest.approx(loss, rel=1e-5)
    # As many labels, in another order and meaning: the CRF and the output layer begin anew.
    names = [f"{letter}-{kind}" for kind in ("LOC", "ORG", "PER") for letter in "BI"]
    path = write_file(tmp_path / "other.conll", [(["a"] * 7, ["O", *names])] * 8)
    capsys.readouterr()
    other = (*runs.SMALL, *CRF, f"--init_from={trained}", f"--train_file={path}", "--num_steps=1")
    runs.run_here(*other, f"--workdir={tmp_path / 'other'}")
    anew = capsys.readouterr().out.partition("initialised anew: ")[2].splitlines()[0]
    assert "output.w" in anew and "crf" in anew and "encoder" not in anew and "embedding" not in anew
    with pytest.raises(UserError, match="do not fit this model"):
        runs.run_here(*flags, "--hidden_size=4", f"--workdir={tmp_path / 'x'}")
    with pytest.raises(UserError, match="keeps the vocabulary.*--max_characters=8"):
        runs.run_here(*flags, "--max_characters=9", f"--workdir={tmp_path / 'x'}")


def test_word_vectors_of_a_file(tmp_path, capsys):
    path = write_file(tmp_path / "a.conll", [(["Ada", "Paris", "xyzzy"], ["A", "B", "A"])] * 8)
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("ada 1 1 1 1\nParis 2 2 2 2\nnewword 3 3 3 3\n")
    flags = (*runs.SMALL, f"--train_file={path}", f"--embeddings_file={vectors}", "--learning_rate=0", "--num_steps=1")
    runs.run_here(*flags, "--embedding_size=4", f"--workdir={tmp_path / 'run'}")
    out = capsys.readouterr().out
    assert "Of 3 words 33.3 % are found as written, 33.3 % lower-cased, 33.3 % missing" in out
    _, arrays, _ = runs.saved_state(tmp_path / "run", "best")
    (table,) = (
        value
        for name, value in arrays.items()
        if "embedding" in name and "table" in name and "param" in name and "char" not in name and "opt" not in name
    )
    rows = np.frombuffer(table, np.float32).reshape(-1, 4)
    inputs = json.loads((tmp_path / "run" / "codec.json").read_text())
    of = {word: rows[i + 2].tolist() for i, word in enumerate(inputs["words"])}
    assert of["Ada"] == [1, 1, 1, 1] and of["Paris"] == [2, 2, 2, 2] and of["newword"] == [3, 3, 3, 3]
    assert 0 < max(map(abs, of["xyzzy"])) < 1
    with pytest.raises(UserError, match="--embedding_size=4"):
        runs.run_here(*flags, "--embedding_size=5", f"--workdir={tmp_path / 'y'}")


def test_the_recipe_of_conll2003(tmp_path):
    """On a small dataset with the official features: the flags fit, and a few steps learn the names by heart."""
    data = load_tagging(TaggedTextConfig()).train
    rows = list(zip(data.tokens[:60], data.labels[:60], strict=True))
    data_dir = prepare_conll2003(tmp_path, {"train": rows, "dev": rows[:20], "test": rows[20:40]})
    recipe = f"--flagfile={ROOT}/experiments/recipes/conll2003_ner.flags"
    few = (
        "--num_steps=60",
        "--warmup_steps=5",
        "--hidden_size=40",
        "--character_size=20",
        "--num_buckets=1",
        "--ema_decay=0.9",
    )
    few += ("--learning_rate=0.02", "--input_dropout=0", "--output_dropout=0", "--word_dropout=0")
    runs.run_here(recipe, f"--data_dir={data_dir}", f"--workdir={tmp_path / 'run'}", *few)
    config = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert (config["decoder"], config["label_scheme"], config["label_field"]) == ("crf", "bioes", "ner")
    assert runs.metrics_of(tmp_path / "run")["test/f1"] > 0.5
    inputs = json.loads((tmp_path / "run" / "codec.json").read_text())
    assert inputs["scheme"] == "bio" and inputs["model_scheme"] == "bioes" and len(inputs["label_names"]) == 9


@pytest.mark.slow
def test_the_default_run_reads_both_sides(tmp_path):
    """README's command on a smaller model, much shorter: above 93 %, where reading forward only has 91 (of a larger
    one, results/tagging_direction)."""
    flags = ("--num_epochs=1", "--num_buckets=1", "--learning_rate=2e-2", "--tokens_per_batch=500")
    flags += ("--hidden_size=40", "--embedding_size=40", "--character_size=20", "--character_embedding_size=10")
    code, out, error = runs.run(f"--workdir={tmp_path / 'both'}", *flags, XLA_FLAGS="")
    assert code == 0, error
    assert "B-" in out
    assert runs.metrics_of(tmp_path / "both")["test/accuracy"] > 0.93
