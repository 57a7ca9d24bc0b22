"""What users of the tagger give wrong: one message that says what was given, what is allowed, and what to do."""

import io
import sys

import pytest
import tagging_runs as runs
from experiment_runs import write

from rnn_jax.errors import UserError

ADA, ROME = "Ada B-PER\nLovelace I-PER\nleft O\n", "Rome B-LOC\nfell O\n"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--cell=lsmt"], ["lsmt", "lstm", "gru"]),
        (["--label_field=tgas"], ["tgas", "tags"]),
        (["--token_field=tags"], ["tags", "tokens"]),
        (["--dataset=synthetic_reviews"], ["no field can be the label", "text"]),
        (["--dataset=conll2003"], ["--data_dir", "TFDS_DATA_DIR", "synthetic_tags"]),
        (["--embeddings_file=missing.txt"], ["missing.txt"]),
        (["--character_encoder=bilstm", "--character_size=7"], ["--character_size=7", "even"]),
        (["--init_from=nowhere"], ["nowhere"]),
        (["--mode=predict", "--workdir=nowhere"], ["nowhere", "does not exist"]),
    ],
)
def test_messages(flags, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    runs.is_refused(words, *runs.TINY, f"--workdir={tmp_path / 'run'}", *flags)


def test_a_missing_file(tmp_path):
    runs.is_refused(["missing.conll"], *runs.SMALL, f"--workdir={tmp_path / 'run'}", "--train_file=missing.conll")


@pytest.mark.parametrize(
    ("content", "flags", "words"),
    [
        ("Ada B-PER\nLovelace\n", [], ["a.conll:2"]),
        ("Ada B-PER\nLove lace I-PER\n", [], ["a.conll:2", "3 columns"]),
        ("", [], ["a.conll"]),
        ("\n\n\n", [], ["no sentences"]),
        ("Ada\nLovelace\n", [], ["no labels"]),
        (b"Ada B-PER\nL\xff O\n", [], ["a.conll:2", "UTF-8"]),
        (ADA, ["--columns=0,5"], ["--columns=0,5", "2 columns"]),
        (ADA, ["--columns=form,upos,ner"], ["--columns=form,upos,ner"]),
    ],
)
def test_files(content, flags, words, tmp_path):
    path = write(tmp_path / "a.conll", content)
    runs.is_refused(words, *runs.SMALL, f"--workdir={tmp_path / 'run'}", f"--train_file={path}", *flags)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    train = write(folder / "a.conll", f"# newdoc\r\n{ADA}\n{ROME}\n".replace("\n", "\r\n") * 8)
    runs.run_here(*runs.SMALL, f"--workdir={folder / 'run'}", f"--train_file={train}", "--validation_fraction=0.5")
    return folder / "run"


def test_training_on_files_and_without_test_data(trained, capsys):
    metrics = runs.metrics_of(trained)
    assert "validation/f1_PER" in metrics and not any(name.startswith("test/") for name in metrics)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("Ada\nLovelace\n", ["b.conll", "no labels"]),
        (f"{ROME}\nAcme B-ORG\n", ["b.conll:4", "B-ORG", "does not occur"]),
        ("", ["b.conll"]),
    ],
)
def test_files_to_score(content, words, trained, tmp_path):
    path = write(tmp_path / "b.conll", content)
    runs.is_refused(words, "--mode=eval", f"--workdir={trained}", f"--part={path}")


def test_parts_of_a_run_on_files(trained, capsys):
    with pytest.raises(UserError, match="--part=test: the run has train, validation"):
        runs.run_here("--mode=eval", f"--workdir={trained}", "--part=test")
    runs.run_here("--mode=eval", f"--workdir={trained}", "--part=train")
    assert '"train/f1"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "flags", "words"),
    [
        (b"", [], ["Nothing on standard input"]),
        (b"good\n\xff\xfe bad\n", [], ["standard input:2", "UTF-8"]),
        (b"good\n", ["--num_best=3"], ["--num_best needs", "--decoder=crf"]),
        (b"good\n", ["--input=no-such-file"], ["no-such-file"]),
        (b"good\n", ["--cell=gru"], ["--cell"]),
    ],
)
def test_input_of_predict(text, flags, words, trained, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    runs.is_refused(words, "--mode=predict", f"--workdir={trained}", *flags)


def test_a_run_of_another_experiment(trained, tmp_path):
    code, out, error = runs.run(f"--workdir={trained}", "--seed=1")
    assert code == 2 and "--seed was 0, now 1" in error and "Traceback" not in error and not out
    (trained / "config.json").write_text((trained / "config.json").read_text().replace('"tagging"', '"sentiment"'))
    with pytest.raises(UserError, match="is a run of experiment 'sentiment'"):
        runs.run_here("--mode=predict", f"--workdir={trained}")
