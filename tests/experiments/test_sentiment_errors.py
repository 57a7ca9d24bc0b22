"""What users give wrong: one message that says what was given, what is allowed, and what to do; exit code 2."""

import io
import sys

import pytest
import sentiment_runs as runs

from rnn_jax.errors import UserError
from rnn_jax.training import complete


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--cell=lsmt"], ["lsmt", "lstm", "gru"]),
        (["--cell=nowhere:Cell"], ["nowhere"]),
        (["--hidden_size=8,8", "--num_layers=3"], ["--num_layers=3"]),
        (["--dataset=imdb_reviews", "--data_dir=/no/such/folder"], ["/no/such/folder"]),
        (["--dataset=imdb_reviews"], ["--data_dir", "TFDS_DATA_DIR"]),
        (["--test_split=tset"], ["tset", "train", "test"]),
        (["--text_field=sentence"], ["sentence", "text"]),
        (["--label_field=text"], ["text", "label"]),
        (["--train_split=train[5:5]"], ["empty"]),
        (["--train_file=missing.csv"], ["missing.csv"]),
        (["--train_file=data.parquet"], [".csv", ".jsonl"]),
        (["--init_from=nowhere"], ["nowhere"]),
        (["--mode=predict", "--workdir=nowhere"], ["nowhere", "does not exist"]),
        (["--weight_decay=0.1"], ["--optimizer=adamw"]),
        (["--num_params=10"], ["--hidden_size needs --num_params=0"]),
    ],
)
def test_messages(flags, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    runs.is_refused(words, *runs.SMALL, f"--workdir={tmp_path / 'run'}", *flags)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "txt,label\ngood,pos\n", ["txt", "text"]),
        ("a.csv", "text,label\ngood,pos\nbad\n", ["a.csv:3"]),
        ("a.csv", "", ["a.csv"]),
        ("a.csv", b"text,label\ngood,pos\nb\xff d,neg\n", ["a.csv:3", "UTF-8"]),
        ("a.jsonl", '{"text": "good", "label": "pos"}\n{"text": \n', ["a.jsonl:2"]),
        ("a.jsonl", '{"text": "good", "label": "pos"}\n{"text": "bad"}\n', ["a.jsonl:2", "label"]),
    ],
)
def test_files(name, content, words, tmp_path):
    path = write(tmp_path / name, content)
    runs.is_refused(words, *runs.SMALL, f"--workdir={tmp_path / 'run'}", f"--train_file={path}")


def test_a_label_that_training_does_not_have(tmp_path):
    train = write(tmp_path / "a.csv", "text,label\n" + "good,pos\nbad,neg\n" * 10)
    test = write(tmp_path / "b.jsonl", '{"text": "so", "label": "pos"}\n{"text": "so-so", "label": "neutral"}\n')
    with pytest.raises(UserError, match=r"b\.jsonl:2.*neutral"):
        runs.run_here(*runs.SMALL, f"--workdir={tmp_path / 'run'}", f"--train_file={train}", f"--test_file={test}")


def test_training_on_files_and_without_test_data(tmp_path, capsys):
    train = write(tmp_path / "a.csv", "text,label\n" + '"good, very good",pos\nbad,neg\n' * 40)
    runs.run_here(*runs.SMALL, f"--workdir={tmp_path / 'run'}", f"--train_file={train}")
    metrics = runs.metrics_of(tmp_path / "run")
    assert "validation/accuracy" in metrics and not any(name.startswith("test/") for name in metrics)
    assert "no test/… is reported" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "text", "words"),
    [
        (["--cel=gru"], b"", ["'cel'", "Did you mean: cell"]),
        (["--optimizer=adamm"], b"", ["adamm", "adamw"]),
        (["--learning_rate=fast"], b"", ["learning_rate", "fast"]),
        (["stray"], b"", ["stray"]),
    ],
)
def test_flags_as_a_process(flags, text, words, tmp_path):
    code, out, error = runs.run(*flags, f"--workdir={tmp_path / 'run'}", text=text)
    assert code == 2 and not out
    assert all(word in error for word in words), error
    assert "Traceback" not in error and len(error.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "words"), [(b"", ["Nothing on standard input"]), (b"good\n\xff\xfe bad\n", ["standard input:2", "UTF-8"])]
)
def test_input_of_predict(text, words, tmp_path, monkeypatch):
    runs.run_here(*runs.TINY, f"--workdir={tmp_path / 'run'}", "--num_steps=1")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    runs.is_refused(words, "--mode=predict", f"--workdir={tmp_path / 'run'}")
    with pytest.raises(UserError, match="no-such-file"):
        runs.run_here("--mode=predict", f"--workdir={tmp_path / 'run'}", "--input=no-such-file")
    with pytest.raises(UserError, match="--cell"):
        runs.run_here("--mode=predict", f"--workdir={tmp_path / 'run'}", "--cell=gru")


def test_a_foreign_directory_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=r"thesis\.tex"):
        runs.run_here(*runs.TINY, f"--workdir={tmp_path}")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_parts_of_a_run_on_files(tmp_path, capsys):
    train = write(tmp_path / "a.csv", "text,label\n" + "good,pos\nbad,neg\n" * 40)
    other = write(tmp_path / "B.CSV", "text,label\ngood,pos\n")
    runs.run_here(*runs.SMALL, f"--workdir={tmp_path / 'run'}", f"--train_file={train}", "--num_steps=1")
    with pytest.raises(UserError, match="--part=test: the run has train, validation"):
        runs.run_here("--mode=eval", f"--workdir={tmp_path / 'run'}", "--part=test")
    for split in ("train", "validation", str(other)):
        capsys.readouterr()
        runs.run_here("--mode=eval", f"--workdir={tmp_path / 'run'}", f"--part={split}")
        assert f'"{split}/accuracy"' in capsys.readouterr().out


def test_data_that_changes_between_two_starts(tmp_path, monkeypatch):
    train = write(tmp_path / "a.csv", "text,label\n" + "good,pos\nbad,neg\n" * 40)
    flags = (*runs.SMALL, f"--workdir={tmp_path / 'run'}", f"--train_file={train}")

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(complete, "report", interrupted)
        runs.run_here(*flags)
    write(train, "text,label\n" + "great,pos\nawful,neg\n" * 40)
    with pytest.raises(UserError, match="training data is not what it was"):
        runs.run_here(*flags)


def test_fine_tuning_keeps_the_vocabulary(tmp_path):
    runs.run_here(*runs.TINY, f"--workdir={tmp_path / 'a'}", "--num_steps=1")
    with pytest.raises(UserError, match="keeps the vocabulary.*--vocabulary_size=30000"):
        runs.run_here(
            *runs.TINY, f"--workdir={tmp_path / 'b'}", f"--init_from={tmp_path / 'a'}", "--vocabulary_size=50"
        )
    with pytest.raises(UserError, match="do not fit this model"):  # a second layer would be left out
        runs.run_here(
            *runs.TINY, f"--workdir={tmp_path / 'b'}", f"--init_from={tmp_path / 'a'}", "--convolution_width=3"
        )
