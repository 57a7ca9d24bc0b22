"""What users of seq2seq give wrong: one message that says what was given, what is allowed, and what to do."""

import io
import sys

import pytest
import seq2seq_runs as runs
from experiment_runs import write

from rnn_jax.errors import UserError
from rnn_jax.text.subwords import fit_subwords
from rnn_jax.text.translation_codec import TranslationCodec


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--cell=lsmt"], ["lsmt", "lstm", "gru"]),
        (["--decoder_cell=lsmt"], ["lsmt", "lstm", "gru"]),
        (["--source_field=txt"], ["txt", "text", "iso"]),
        (["--dataset=synthetic_reviews"], ["synthetic_reviews", "text"]),
        (["--dataset=multi30k/en_de"], ["--data_dir", "TFDS_DATA_DIR", "synthetic_dates"]),
        (
            ["--attention=dot", "--hidden_size=8", "--decoder_hidden_size=6"],
            ["one size; got 6 and 16", "--attention=general"],
        ),
        (["--attention=multi_head", "--attention_heads=3"], ["3 heads"]),
        (["--bridge=copy", "--hidden_size=8"], ["cannot copy", "--bridge=linear"]),
        (
            ["--hidden_size=8,4", "--num_layers=2", "--decoder_num_layers=3"],
            ["--decoder_hidden_size=8,4", "--decoder_num_layers=3"],
        ),
        (["--decoder_cell_options=x"], ["--decoder_cell_options", "field=value"]),
        (["--temperature=0.5"], ["--temperature needs --decoding=sample"]),
        (["--teacher_forcing_steps=5"], ["--teacher_forcing_steps needs --teacher_forcing=linear"]),
        (["--n_best=9"], ["--n_best needs --mode=predict"]),
        (["--attention=none", "--show_attention"], ["--show_attention needs --mode=predict"]),
        (["--vocabulary_size=100"], ["vocabulary_size=100", "260"]),
        (["--max_tokens=1"], ["--max_tokens=1", "no pair"]),
        (["--init_from=nowhere"], ["nowhere"]),
        (["--mode=predict", "--workdir=nowhere"], ["nowhere", "does not exist"]),
    ],
)
def test_messages(flags, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    runs.is_refused(words, *runs.TINY, f"--workdir={tmp_path / 'run'}", *flags)


@pytest.mark.parametrize("name", ["missing.en,missing.de", "missing.tsv"])
def test_missing_files(name, tmp_path):
    runs.is_refused([name.split(",")[0]], *runs.SMALL, f"--workdir={tmp_path / 'run'}", f"--train_file={name}")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.en": "one\ntwo\n", "a.de": "eins\n"}, ["a.en has 2 lines", "a.de 1"]),
        ({"a.en": "one\ntwo\n", "a.de": "\n\n"}, ["no example has a label or target"]),
        ({"a.en": "one\nt\xff\n".encode("latin-1"), "a.de": "eins\nzwei\n"}, ["a.en:2", "UTF-8"]),
        ({"a.en": "", "a.de": ""}, ["a.en,", "no pairs"]),
        ({"a.tsv": "one\teins\ntwo\n"}, ["a.tsv:2", "1 column"]),
        ({"a.tsv": "id\tone\teins\n"}, ["a.tsv has 3 columns", "--source_field"]),
    ],
)
def test_files(files, words, tmp_path):
    paths = [str(write(tmp_path / name, content)) for name, content in files.items()]
    runs.is_refused(words, *runs.SMALL, f"--workdir={tmp_path / 'run'}", f"--train_file={','.join(paths)}")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    table = write(folder / "a.tsv", "one cat\teine Katze\r\ntwo dogs\tzwei Hunde\r\n" * 8)
    flags = (f"--train_file={table}", "--validation_fraction=0.5", "--num_steps=2", "--num_buckets=1")
    runs.run_here(*runs.SMALL, *flags, f"--workdir={folder / 'run'}")
    return folder / "run"


def test_hidden_targets_are_not_scored(trained):
    table = write(trained.parent / "hidden.tsv", "one cat\t\ntwo dogs\t\n")
    with pytest.raises(UserError, match="hidden.tsv: the targets are hidden"):
        runs.run_here("--mode=eval", f"--workdir={trained}", f"--part={table}")


def test_training_on_a_table_without_test_data(trained):
    metrics = runs.metrics_of(trained)
    assert "validation/bleu" in metrics and not any(name.startswith("test/") for name in metrics)
    with pytest.raises(UserError, match="--part=test: the run has train, validation"):
        runs.run_here("--mode=eval", f"--workdir={trained}", "--part=test")
    alone = write(trained.parent / "alone.en", "one cat\n")
    with pytest.raises(UserError, match="alone.en: a file of pairs ends in .tsv .*two parallel files"):
        runs.run_here("--mode=eval", f"--workdir={trained}", f"--part={alone}")


@pytest.mark.parametrize(
    ("text", "flags", "words"),
    [
        (b"", [], ["Nothing on standard input"]),
        (b"good\n\xff\xfe bad\n", [], ["standard input:2", "UTF-8"]),
        (b"good\n", ["--input=no-such-file"], ["no-such-file"]),
        (b"good\n", ["--cell=gru"], ["--cell"]),
    ],
)
def test_input_of_predict(text, flags, words, trained, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    runs.is_refused(words, "--mode=predict", f"--workdir={trained}", *flags)


def test_a_vocabulary_that_the_checkpoint_does_not_know(trained, monkeypatch):
    """Files of another run: as many tokens with other meanings, and fewer."""
    size = TranslationCodec.load(trained).source.get_vocab_size()
    for vocabulary_size in (size, size - 5):
        other = fit_subwords(["quite another text than that one"], vocabulary_size=vocabulary_size)
        TranslationCodec(other, other).save(trained)
        with pytest.raises(UserError, match="does not know the vocabulary"):
            runs.run_here("--mode=predict", f"--workdir={trained}")
