"""What users of language models give wrong: one message that says what was given, what is allowed, and what to do."""

import gzip
import io
import sys

import language_model_runs as runs
import pytest

from rnn_jax.errors import UserError

LONG = runs.lines(40)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--cell=lsmt"], ["lsmt", "lstm", "gru"]),
        (["--bidirectional"], ["--bidirectional", "forwards only"]),
        (["--bptt=500"], ["--bptt=500", "--batch_size=4", "lanes of"]),
        (["--batch_size=100"], ["--bptt=16 is longer than a lane", "--batch_size=100"]),
        (["--head=adaptive", "--cutoffs=4,3"], ["--cutoffs=4,3", "rise"]),
        (["--head=adaptive", "--cutoffs=4,400"], ["--cutoffs=4,400", "below the size of the vocabulary"]),
        (["--cutoffs=4"], ["--cutoffs needs --head=adaptive"]),
        (["--num_mixtures=4"], ["--num_mixtures needs --head=mixture"]),
        (["--head=adaptive", "--tie_output"], ["--tie_output needs"]),
        (["--head=mixture", "--num_sampled=4"], ["--num_sampled needs --head=softmax"]),
        (["--variational_output"], ["--variational_output needs --output_dropout"]),
        (["--tokenizer=word", "--space_mark=_"], ["--space_mark needs --tokenizer=char"]),
        (["--tokenizer=byte", "--vocabulary_size=100"], ["--vocabulary_size needs --tokenizer="]),
        (["--tokenizer=bpe", "--vocabulary_size=100"], ["--vocabulary_size=100", "259"]),
        (["--tokenizer=bpe", "--min_count=3"], ["--min_count needs"]),
        (["--pretokenized=yes"], ["--pretokenized needs --tokenizer=word"]),
        (["--temperature=0.5"], ["--temperature needs --mode=predict. Leave it out"]),
        (["--dataset=synthetic_language"], ["--dataset needs no --train_file"]),
        (["--text_field=words"], ["--text_field=words", "has no fields"]),
        (["--train_file=missing.txt"], ["missing.txt"]),
        (["--init_from=nowhere"], ["nowhere"]),
        (["--mode=predict", "--workdir=nowhere"], ["nowhere", "does not exist"]),
        (["--num_params=10"], ["--hidden_size needs --num_params=0"]),
        (["--recurrent_dropout=0.5", "--cell=memoryless"], ["recurrent_weights"]),
    ],
)
def test_messages(flags, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (
        ()
        if any(flag.startswith("--mode") for flag in flags)
        else (f"--train_file={runs.write(tmp_path / 'a.txt', LONG)}",)
    )
    runs.is_refused(words, *(() if not text else runs.SMALL), *text, f"--workdir={tmp_path / 'run'}", *flags)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.mark.parametrize(
    ("name", "content", "flags", "words"),
    [
        ("a.txt", "", [], ["a.txt", "no text"]),
        ("a.txt", "\n \n", ["--documents=lines"], ["a.txt", "no text"]),
        ("a.txt", "a", [], ["a.txt", "--validation_file"]),
        ("a.txt", "one line, no more\n", [], ["--bptt=16", "Lower either"]),
        ("a.txt", b"good\nb\xff d\n", [], ["a.txt:2", "UTF-8"]),
        ("a.txt.gz", gzip.compress(LONG.encode(), mtime=0)[:50], [], ["a.txt.gz", "damaged"]),
        ("a.jsonl", '{"text": "good"}\n{"text": \n', [], ["a.jsonl:2", "JSON"]),
        ("a.jsonl", '{"text": "good"}\n{"words": "bad"}\n', [], ["a.jsonl:2", "'text'", "'words'", "--text_field"]),
    ],
)
def test_files(name, content, flags, words, tmp_path):
    path = runs.write(tmp_path / name, content)
    runs.is_refused(words, *runs.SMALL, f"--workdir={tmp_path / 'run'}", f"--train_file={path}", *flags)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Lines of a file without test data, of fewer words than are asked for."""
    folder = tmp_path_factory.mktemp("files")
    train = runs.write(folder / "a.jsonl", "".join(f'{{"text": "{line}"}}\n' for line in LONG.splitlines()))
    flags = ("--tokenizer=word", "--vocabulary_size=500", "--bptt=8", "--num_steps=2", f"--train_file={train}")
    runs.run_here(*runs.SMALL, *flags, f"--workdir={folder / 'run'}")
    return folder / "run"


def test_notes(trained, tmp_path, capsys):
    """Fewer units than asked for; no test data; unknown ones in a part."""
    train = runs.write(tmp_path / "a.txt", LONG)
    part = runs.write(tmp_path / "b.txt", "the cat sat. XYZ")
    flags = (f"--train_file={train}", f"--validation_file={part}", "--vocabulary_size=99", "--dry_run")
    runs.run_here(*runs.SMALL, *flags, f"--workdir={tmp_path / 'run'}")
    capsys.readouterr()
    runs.run_here(*runs.SMALL, *flags[:-1], "--num_steps=1", f"--workdir={tmp_path / 'run'}")
    out = capsys.readouterr().out
    assert "no more than 19 characters to keep, fewer than --vocabulary_size=99" in out
    assert "validation: 16 characters, 18.75% of them unknown" in out
    assert "no test/… is reported" in out
    assert runs.metrics_of(tmp_path / "run")["validation/unknown"] == pytest.approx(3 / 16)


def test_a_text_of_unknown_characters_alone(tmp_path):
    """Each occurs once: with --min_count=2 nothing is left to be said or written."""
    text = runs.write(tmp_path / "a.txt", "".join(map(chr, range(0x4E00, 0x4E00 + 300))))
    flags = (f"--train_file={text}", "--min_count=2", f"--workdir={tmp_path / 'run'}")
    runs.is_refused(["--min_count"], *runs.SMALL, *flags)


@pytest.mark.parametrize(
    ("content", "words"),
    [("", ["b.txt", "no text"]), (b"\xff", ["b.txt:1", "UTF-8"]), (None, ["b.txt"])],
)
def test_files_to_score(content, words, trained, tmp_path):
    path = tmp_path / "b.txt"
    if content is not None:
        runs.write(path, content)
    runs.is_refused(words, "--mode=eval", f"--workdir={trained}", f"--part={path}")


def test_parts_of_a_run_on_files(trained, capsys):
    with pytest.raises(UserError, match="--part=test: the run has train, validation"):
        runs.run_here("--mode=eval", f"--workdir={trained}", "--part=test")
    runs.run_here("--mode=eval", f"--workdir={trained}", "--part=train")
    assert '"train/perplexity"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "flags", "words"),
    [
        (b"", [], ["Nothing on standard input"]),
        (b"good\n\xff\xfe bad\n", [], ["standard input:2", "UTF-8"]),
        (b"good\n", ["--beam_size=3"], ["--beam_size needs --writing=beam"]),
        (b"good\n", ["--writing=beam", "--temperature=1"], ["--temperature needs --writing=sample"]),
        (b"good\n", ["--writing=beam", "--num_texts=9"], ["--num_texts=9 is more than --beam_size=5"]),
        (b"good\n", ["--input=no-such-file"], ["no-such-file"]),
        (b"good\n", ["--cell=gru"], ["--cell"]),
        (b"good\n", ["--tokenizer=char"], ["--tokenizer"]),
    ],
)
def test_input_of_predict(text, flags, words, trained, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    runs.is_refused(words, "--mode=predict", f"--workdir={trained}", *flags)


def test_a_language_model_cannot_be_exported(trained):
    runs.is_refused(["export"], "--mode=export", f"--workdir={trained}")


@pytest.mark.parametrize(
    "flag", ["--top_p=0", "--top_p=1.5", "--temperature=-1", "--max_new_tokens=0", "--num_texts=0"]
)
def test_numbers_out_of_range_as_a_flag(flag, trained):
    name = flag[2:].partition("=")[0]
    with pytest.raises(Exception, match=name):
        runs.run_here("--mode=predict", f"--workdir={trained}", flag)
