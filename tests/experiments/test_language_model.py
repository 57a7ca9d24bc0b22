"""The language model experiment: what a run leaves behind, its modes, and that its numbers are right."""

import io
import json
import math
import os
import pty
import select
import sys

import jax
import jax.numpy as jnp
import language_model_runs as runs
import pytest
from oracles.jitting import environment_of_devices

from rnn_jax.files import read_metrics
from rnn_jax.training.plots import collect_curves
from rnn_jax.training.trained import load

END = 2


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Flags of small files."""
    return runs.files(tmp_path_factory.mktemp("texts"))


# Much of what AWD-LSTMs have; three lanes.
AWD = ("--output_dropout=0.2", "--recurrent_dropout=0.2", "--embedding_dropout=0.1", "--random_bptt")
AWD += ("--activation_penalty=2", "--temporal_penalty=1", "--batch_size=3", "--learning_rate=0.03")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, texts):
    """One long text, by characters."""
    workdir = tmp_path_factory.mktemp("run") / "tiny"
    runs.run_here(*runs.SMALL, *texts, *AWD, f"--workdir={workdir}")
    return workdir


@pytest.fixture(scope="module")
def of_lines(tmp_path_factory, texts):
    """Lines that begin and end by themselves, by words."""
    workdir = tmp_path_factory.mktemp("run") / "lines"
    runs.run_here(
        *runs.SMALL,
        *texts,
        "--documents=lines",
        "--tokenizer=word",
        "--num_sampled=5",
        "--bptt=8",
        f"--workdir={workdir}",
    )
    return workdir


def text_of(workdir, name="test"):
    config = json.loads((workdir / "config.json").read_text())["config"]
    with open(config[f"{name}_file"]) as file:
        return file.read()


def nats_of(trained, documents):
    """Σ −log p in a plain loop: token by token, each document from the end token on."""
    model, total = runs.model_of(trained), 0.0
    step = runs.stepper(trained)
    for document in documents:
        carry, last = model.initial_carry(1), END
        for token in document:
            carry, logits = step(carry, jnp.array([last], jnp.int32))
            total -= float(jax.nn.log_softmax(logits[0].astype(jnp.float32))[token])
            last = int(token)
    return total


def said(monkeypatch, capsys, workdir, text, *flags):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8"))
    capsys.readouterr()
    runs.run_here("--mode=predict", f"--workdir={workdir}", *flags)
    return capsys.readouterr().out


def answers(*arguments):
    return list(map(json.loads, said(*arguments).splitlines()))


def test_the_run_directory(trained):
    names = {path.name for path in trained.iterdir()}
    assert names >= {"config.json", "metrics.jsonl", "result.json", "checkpoints", "codec.json", "curves.png"}
    assert names >= {"passage_test.html", "passage_validation.html"}
    evaluated = {line["step"]: line["validation/loss"] for line in runs.lines_of(trained) if "validation/loss" in line}
    first, last = evaluated.values()
    assert last < first
    samples = sorted((trained / "samples").iterdir())
    assert [path.name for path in samples] == [f"step_{step:08d}.txt" for step in evaluated]
    assert samples[-1].read_text().count("▸") == 3
    result = json.loads((trained / "result.json").read_text())
    assert result["test/perplexity"] == pytest.approx(math.exp(result["test/loss"]))
    assert result["test/unknown"] == 0 and "test/perplexity_floor" not in result


def test_the_score_is_that_of_a_plain_loop_over_the_file(trained):
    """All of its tokens, the first and the last included; bits are of characters."""
    model, text, result = load(runs.RUNS.task, trained), text_of(trained), runs.metrics_of(trained)
    (tokens,) = (model.codec.encode([text]).row(0),)
    assert len(tokens) == len(text)
    nats = nats_of(model, [tokens])
    assert result["test/loss"] == pytest.approx(nats / len(text), rel=1e-5)
    assert result["test/bits_per_character"] == pytest.approx(nats / math.log(2) / len(text), rel=1e-5)


def test_lines_are_scored_each_by_itself_with_their_ends(of_lines):
    model, lines = load(runs.RUNS.task, of_lines), text_of(of_lines).splitlines()
    encoded = model.codec.encode(lines)
    documents = [encoded.row(i) for i in range(len(lines))]
    assert all(document[-1] == END and END not in document[:-1] for document in documents)
    nats, tokens = nats_of(model, documents), sum(map(len, documents))
    result = runs.metrics_of(of_lines)
    assert result["test/loss"] == pytest.approx(nats / tokens, rel=1e-5)
    characters = sum(len(line) + 1 for line in lines)
    assert result["test/bits_per_character"] == pytest.approx(nats / math.log(2) / characters, rel=1e-5)


def test_eval_gives_the_numbers_of_training_whatever_is_scored_side_by_side(trained, of_lines, capsys):
    for workdir, sizes in ((trained, (32,)), (of_lines, (1, 3, 8))):
        result = runs.metrics_of(workdir)
        for size in sizes:
            capsys.readouterr()
            runs.run_here("--mode=eval", f"--workdir={workdir}", f"--score_batch_size={size}")
            scores = json.loads(capsys.readouterr().out.splitlines()[-1])
            numbers = {name: value for name, value in scores.items() if isinstance(value, float)}
            assert numbers == {name: pytest.approx(result[name], rel=1e-5) for name in numbers}
            assert "test/perplexity" in numbers


def test_eval_of_another_file(trained, tmp_path, capsys):
    other = runs.write(tmp_path / "other.txt", "a dog.")
    runs.run_here("--mode=eval", f"--workdir={trained}", f"--part={other}")
    scores = json.loads(capsys.readouterr().out.splitlines()[-1])
    model = load(runs.RUNS.task, trained)
    nats = nats_of(model, [model.codec.encode(["a dog."]).row(0)])
    assert scores[f"{other}/loss"] == pytest.approx(nats / 6, rel=1e-5)


def test_evaluations_in_training_come_near_the_final_score(trained):
    last = [line for line in runs.lines_of(trained) if "validation/loss" in line][-1]
    assert last["validation/loss"] == pytest.approx(runs.metrics_of(trained)["validation/loss"], rel=0.1)


def test_learning_curves_show_perplexity_and_bits_and_all_losses_together(trained):
    """The loss that is minimised has penalties; nats of training compare with those of validation."""
    curves = collect_curves(read_metrics(trained / "metrics.jsonl"))
    assert set(curves["loss"]) == {"train", "train nats", "validation"}
    for name in ("perplexity", "bits_per_character"):
        steps, values = curves[name]["validation"]
        assert len(steps) == len(values) == 2
    assert "nats" not in curves


def test_predict_answers_every_line(trained, monkeypatch, capsys):
    lines = ["the cat", "", "🎬 unknown", "a dog ate it. " * 40]
    found = answers(monkeypatch, capsys, trained, "\n".join(lines), "--max_new_tokens=9")
    assert [answer["prompt"] for answer in found] == lines
    assert all(len(answer["texts"][0]) == 9 and answer["num_tokens"] == [9] for answer in found)
    again = answers(monkeypatch, capsys, trained, "\n".join(lines), "--max_new_tokens=9")
    assert again == found
    (several,) = answers(monkeypatch, capsys, trained, "the", "--max_new_tokens=9", "--num_texts=3")
    assert len(set(several["texts"])) == len(several["log_prob"]) == 3
    text = said(monkeypatch, capsys, trained, "the", "--max_new_tokens=9", "--num_texts=3", "--output_format=text")
    assert text == "".join(f"the{one}\n\n" for one in several["texts"])


def test_predict_searches_and_stops(of_lines, tmp_path, monkeypatch, capsys):
    flags = ("--writing=beam", "--beam_size=4", "--num_texts=2", "--max_new_tokens=6")
    (found,) = answers(monkeypatch, capsys, of_lines, "the cat", *flags)
    assert len(found["texts"]) == 2 and found["log_prob"] == sorted(found["log_prob"], reverse=True)
    (found,) = answers(monkeypatch, capsys, of_lines, "the cat", "--temperature=0", "--stop=\\x20on,mat")
    assert not any(stop in found["texts"][0] for stop in (" on", "mat"))
    predict = ("--mode=predict", f"--workdir={of_lines}", f"--input={runs.write(tmp_path / 'a.txt', 'the')}")
    runs.is_refused(["--num_texts=5", "--beam_size=4"], *predict, *flags[:2], "--num_texts=5")


def test_a_terminal_shows_the_text_of_the_json_line(trained, monkeypatch, capsys):
    flags = ("--max_new_tokens=40", "--stop=zz")
    (answer,) = answers(monkeypatch, capsys, trained, "a dog", *flags)
    ours, theirs = pty.openpty()
    with open(theirs, "w", encoding="ascii") as terminal, monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a dog"), encoding="utf-8"))
        patch.setattr(sys, "stdout", terminal)
        runs.run_here("--mode=predict", f"--workdir={trained}", *flags)
        shown, expected = b"", f"a dog{answer['texts'][0]}\n\n"
        # What was written arrives a piece at a time, some of it later.
        while len(shown) < len(expected.replace("\n", "\r\n")) and select.select([ours], [], [], 10)[0]:
            shown += os.read(ours, 4096)
    os.close(ours)
    assert shown.decode().replace("\r\n", "\n") == expected


def test_two_devices_give_the_numbers_of_one(trained, texts, tmp_path, capsys):
    """Of three lanes, so that one device has a row to fill; the carry is split with them."""
    workdir = tmp_path / "two"
    code, _, error = runs.run(*runs.SMALL, *texts, *AWD, f"--workdir={workdir}", **environment_of_devices(2))
    assert code == 0, error
    assert json.loads((workdir / "result.json").read_text())["device_count"] == 2
    for line, other in zip(runs.lines_of(trained), runs.lines_of(workdir), strict=True):
        assert other == pytest.approx(line, rel=2e-4, abs=1e-6)
    one, two = runs.metrics_of(trained), runs.metrics_of(workdir)
    assert two == pytest.approx(one, rel=2e-4)
    capsys.readouterr()
    runs.run_here("--mode=eval", f"--workdir={workdir}")  # on one device
    assert json.loads(capsys.readouterr().out)["test/loss"] == pytest.approx(one["test/loss"], rel=2e-4)


def test_seeds_in_one_process_are_the_runs_of_each(trained, texts, tmp_path):
    flags = (*runs.SMALL, *texts, *AWD, "--num_seeds=2", "--seeds_mode=map")
    runs.run_here(*flags, f"--workdir={tmp_path / 'both'}")
    first, second = (runs.metrics_of(tmp_path / "both" / f"seed_{seed}") for seed in (0, 1))
    assert first == pytest.approx(runs.metrics_of(trained), rel=2e-4)
    assert first["test/loss"] != second["test/loss"]


def test_the_carry_tells_what_windows_are_too_short_for(tmp_path):
    """Letters that come in pairs, a window of one step: without the carry, each next one could be either."""
    text = runs.write(tmp_path / "a.txt", "aabbaabb" * 60 + "aabb")
    flags = (f"--train_file={text}", f"--validation_file={text}", f"--test_file={text}", "--num_steps=240")
    more = ("--bptt=1", "--learning_rate=0.005", "--cell=elman", "--hidden_size=16", "--eval_every_steps=240")
    runs.run_here(*runs.SMALL, *flags, *more, f"--workdir={tmp_path / 'run'}")
    assert runs.metrics_of(tmp_path / "run")["test/perplexity"] < 1.5  # 2 for who knows the last letter alone


def test_own_cell_by_flag(texts, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_memory.py").write_text(
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
    flags = (*texts, "--cell=my_memory:Leaky", "--num_steps=40", "--learning_rate=0.05")
    runs.run_here(*runs.SMALL, *flags, f"--workdir={tmp_path / 'run'}")
    text = text_of(tmp_path / "run")
    shares = [text.count(character) / len(text) for character in set(text)]
    without_memory = math.exp(-sum(share * math.log(share) for share in shares))  # 11.5
    assert runs.metrics_of(tmp_path / "run")["test/perplexity"] < 0.8 * without_memory


def test_fine_tuning_starts_where_the_other_run_ended(of_lines, texts, tmp_path):
    same = (*runs.SMALL, *texts, "--documents=lines", "--tokenizer=word", "--num_sampled=5", "--bptt=8")
    workdir = tmp_path / "tuned"
    runs.run_here(*same, f"--workdir={workdir}", f"--init_from={of_lines}", "--learning_rate=0", "--num_steps=1")
    assert runs.metrics_of(workdir)["test/loss"] == pytest.approx(runs.metrics_of(of_lines)["test/loss"])


def test_the_default_dataset_has_a_floor(tmp_path, capsys):
    """README's first command, on less of a model, for three updates."""
    small = ("--embedding_size=8", "--hidden_size=8", "--batch_size=256", "--num_steps=3", "--log_every_steps=1")
    runs.run_here(*small, "--learning_rate=0.05", f"--workdir={tmp_path / 'run'}")
    result = runs.metrics_of(tmp_path / "run")
    assert 1.3 < result["test/perplexity_floor"] < 1.5 < result["test/perplexity"] < 45  # 50: of who knows nothing
    assert {f"{part}/{name}" for part in ("validation", "test") for name in ("bits_per_character", "unknown")} < set(
        result
    )
    out = capsys.readouterr().out
    assert "A perplexity is one of its vocabulary, here 50 characters" in out and "train/loss" in out
