"""Texts as lanes and parts to score: what is counted, which tokens are read, and what is said of the data."""

import dataclasses
import math

import numpy as np
import pytest

from rnn_jax.data.language_config import LanguageConfig
from rnn_jax.errors import UserError
from rnn_jax.text.language_codec import END_ID
from rnn_jax.text.language_config import UnitsConfig
from rnn_jax.text.streams import read_language, read_language_part

# As published: a line is a sentence with a space on either side; Wikipedia's has titles and empty lines as well.
PTB = (
    " aer banknote berlitz calloway \n pierre <unk> N years old will join the board \n"
    " mr. <unk> is chairman of <unk> n.v. the dutch group \n no it was n't black monday \n"
)
WIKITEXT = (
    " \n = Robert <unk> = \n \n Robert <unk> is an English film , television and theatre actor . \n"
    " He had a guest @-@ starring role in 2000 . \n \n = = Career = = \n \n <unk> <unk> 's \n"
)


@pytest.fixture
def files(tmp_path):
    def write(**texts):
        for name, text in texts.items():
            (tmp_path / f"{name}.txt").write_bytes(text.encode())
        return {f"{name}_file": str(tmp_path / f"{name}.txt") for name in texts}

    return write


def units(**knobs):
    return UnitsConfig(**{"min_count": 1, "batch_size": 2, "bptt": 3} | knobs)


def read(paths, *, known=None, seed=0, documents="texts", **knobs):
    return read_language(LanguageConfig(**paths, documents=documents), units(**knobs), seed, known)


def labels_of(lanes):
    batches = [lanes.batch(step) for step in range(lanes.steps_per_epoch)]
    return [
        token
        for lane in range(len(batches[0]["labels"]))
        for batch in batches
        for token in batch["labels"][lane][batch["weights"][lane] > 0].tolist()
    ]


@pytest.mark.parametrize("text", [PTB, WIKITEXT])
def test_words_are_counted_as_published(files, text):
    data = read(files(train=text, validation=text, test=text), tokenizer="word")
    lines = [line.split() for line in text.split("\n")[:-1]]
    tokens = [token for line in lines for token in [*line, "\n"]]
    assert data.codec.pretokenized and data.codec.vocabulary_size == 2 + len(set(tokens))  # "<unk>" is one of them
    for part in (*data.parts.values(), data.train_part()):
        assert data.codec.names(part.documents.values) == tokens
        assert (part.num_tokens, part.num_unknown) == (len(tokens), tokens.count("<unk>"))
        assert part.num_characters == len(text)
    assert labels_of(data.train()) == data.train_part().documents.values.tolist()


def test_characters_of_the_penn_treebank_are_counted_as_published(files):
    data = read(files(train=PTB, validation=PTB[:33]), space_mark="_")
    expected = "".join("_".join(line.split()) + "\n" for line in PTB.split("\n")[:-1])
    part = data.train_part()
    assert data.codec.text(part.documents.values) == expected
    assert part.num_tokens == part.num_characters == len(expected) and part.num_unknown == 0
    assert data.codec.vocabulary_size == 3 + len(set(expected))


@pytest.mark.parametrize(("kind", "num_tokens"), [("char", 12), ("byte", 15), ("word", 5)])
def test_what_bits_are_divided_by(files, kind, num_tokens):
    # "cafe´" is composed, and line ends count: 12 characters, three of them of two bytes.
    data = read(files(train="ab\ncafé été", validation="cafe\u0301 été x\n\n"), tokenizer=kind, bptt=1)
    part = data.parts["validation"]
    assert (part.num_tokens, part.num_characters) == (num_tokens, 12)
    assert part.num_unknown == {"char": 1, "byte": 0, "word": 1}[kind]
    assert part.sizes == {
        "num_tokens": num_tokens, "num_characters": 12, "num_unknown": part.num_unknown, "source_nats": None
    }  # fmt: skip


def test_ends_of_several_texts_are_said_and_counted(files):
    paths = files(train="ab\nba\naab\n", validation="b\nab\n", test="a")
    data = read(paths, documents="lines")
    assert data.codec.has_ends
    a, b = (data.codec.encode([letter]).values[0] for letter in "ab")
    validation, test = data.parts["validation"], data.parts["test"]
    assert validation.documents.values.tolist() == [b, END_ID, a, b, END_ID]
    assert validation.documents.lengths.tolist() == [2, 3]
    assert (validation.num_tokens, validation.num_characters, validation.num_unknown) == (5, 5, 0)
    assert test.documents.values.tolist() == [a, END_ID] and test.num_characters == 2
    lanes = data.train()
    labels = labels_of(lanes)
    assert len(labels) == 10 and labels.count(END_ID) == 3 and labels.count(a) == 4
    for batch in map(lanes.batch, range(lanes.steps_per_epoch)):
        real = batch["weights"] > 0
        np.testing.assert_array_equal(batch["resets"][:, 1:], (batch["tokens"] == END_ID)[:, 1:] & real[:, 1:])
    assert lanes.batch(0)["tokens"][0, 0] == END_ID
    whole = read(paths)
    assert not whole.codec.has_ends and END_ID not in whole.parts["validation"].documents.values
    assert whole.parts["validation"].num_characters == 5


def test_a_typed_end_is_no_end(files):
    text = " a b [END] c [PAD] \n" * 4
    for kind in ("char", "word", "bpe", "byte"):
        data = read(files(train=text, validation=text), tokenizer=kind)
        assert data.train_part().documents.values.min() > END_ID
        assert data.train().batch(0)["resets"].sum() == 2  # the first steps of two lanes


def test_the_vocabulary_is_of_the_training_text(files):
    data = read(files(train="ab" * 9, validation="abc", test="xyz"))
    assert data.codec.vocabulary_size == 5
    assert [part.num_unknown for part in data.parts.values()] == [1, 3]


def test_a_known_codec_stays(files):
    known = read(files(train="abc" * 9, validation="a")).codec
    data = read(files(train="xyz" * 9, validation="abx"), known=known)
    assert data.codec == known and data.parts["validation"].num_unknown == 1
    assert data.train_part().num_unknown == 27
    lines = read(files(train="a\nb\nc\n", validation="abx"), known=known, documents="lines")
    assert lines.codec.has_ends and lines.codec == dataclasses.replace(known, has_ends=True)
    assert lines.parts["validation"].num_tokens == 4


def test_one_part_alone(files, tmp_path):
    paths = files(train="ab\n" * 20, validation="ab\n", other="bax\n")
    config = LanguageConfig(train_file=paths["train_file"], validation_file=paths["validation_file"])
    data = read_language(config, units(), 0, None)
    part = read_language_part(config, units(), data.codec, paths["other_file"], 0)
    assert data.codec.text(part.documents.values) == "ba<unk>\n" and part.num_unknown == 1 and part.num_characters == 4
    assert part.name == paths["other_file"] and part.train().digest() == data.train().digest()
    assert data.parts["validation"].train() is data.train() is data.train_part().train()
    ended = dataclasses.replace(data.codec, has_ends=True)
    assert read_language_part(config, units(), ended, paths["other_file"], 0).num_tokens == 5
    with pytest.raises(UserError, match="^Cannot read"):
        read_language_part(config, units(), data.codec, f"{tmp_path}/missing.txt", 0)


def notes_of(data):
    return [note.replace(data.codec.digest[:8], "DIGEST") for note in data.notes]


def test_notes_of_one_text(files):
    paths = files(train="abab", validation="abcd")
    assert notes_of(read(paths, bptt=2)) == [
        f"{paths['train_file']} comes without a test part: no test/… is reported.",
        f"{paths['train_file']}: one text of 4 characters to train on; vocabulary: 5 characters, DIGEST.",
        "validation: 4 characters, 50.00% of them unknown; their spelling costs nothing, so bits_per_character looks"
        " too good.",
        "Evaluations during training read it as 2 lanes at once; the final score reads a text from its first token to"
        " its last.",
    ]


def test_notes_of_several_texts(files):
    paths = files(train=" a b \n a \n c . \n" * 500, validation=" a \n b \n", test=" x \n")
    found = notes_of(read(paths, documents="lines", tokenizer="word", vocabulary_size=5000))
    assert found == [
        f"{paths['train_file']}: 1,500 texts of 6,500 characters to train on; vocabulary: 7 tokenised words, DIGEST.",
        "The training text has no more than 7 words to keep, fewer than --vocabulary_size=5,000.",
        "validation: 4 words, 0.00% of them unknown.",
        "test: 2 words, 50.00% of them unknown; their spelling costs nothing, so bits_per_character looks too good.",
    ]


def test_lanes_of_lengths_that_vary(files):
    paths = files(train="ab" * 500, validation="ab")
    assert "mask" in read(paths, bptt=20, random_bptt=True).train().batch(0)
    assert "mask" not in read(paths, bptt=20).train().batch(0)


def test_orders_of_other_seeds(files):
    paths = files(train="a\nb\nc\nd\ne\nf\n", validation="a\n")
    orders = [labels_of(read(paths, seed=seed, documents="lines").train()) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2] and sorted(orders[0]) == sorted(orders[2])


def test_training_texts_that_are_too_short(files):
    with pytest.raises(UserError, match="--bptt=3 is longer than a lane"):
        read(files(train="abab", validation="a")).train()
    with pytest.raises(UserError, match="--batch_size=9 is more lanes"):
        read(files(train="abab", validation="a"), batch_size=9).train()


@pytest.mark.parametrize(
    ("knobs", "is_known"),
    [
        ({}, True),
        ({"tokenizer": "word"}, True),
        ({"tokenizer": "bpe", "vocabulary_size": 400}, True),
        ({"tokenizer": "byte"}, True),
        ({"lowercase": True}, False),
        ({"space_mark": "_"}, False),
        ({"tokenizer": "word", "vocabulary_size": 100}, False),
    ],
)
def test_the_floor_is_of_tokens_that_keep_the_text(knobs, is_known):
    data = read({}, **knobs)
    test = data.parts["test"]
    assert (test.nats is not None) == is_known
    if is_known:
        assert test.nats / math.log(2) / test.num_characters == pytest.approx(0.493, abs=0.02)  # bits a character
        assert test.sizes["source_nats"] == test.nats
        assert data.train_part().nats > 8 * test.nats
        assert read_language_part(LanguageConfig(), units(), data.codec, "test[:100%]", 0).nats is None
