"""Tokenizers: which tokens, which ids, and the same ones in every process."""

import ast
import collections
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from tokenizers import decoders

from rnn_jax.errors import UserError
from rnn_jax.text.vocabulary import encode, fit_tokenizer, load_tokenizer


def tokens(text, fitted_on=None, **options):
    return fit_tokenizer([fitted_on or text], **options).encode(text).tokens


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't go, it isn't good!", "don't go , it isn't good !"),
        ("The movie's end: I'd say 10/10...", "the movie 's end : i 'd say 10 / 10 . . ."),
        ("curly: don’t, it’s", "curly : don't , it 's"),
        ("one<br /><br/>two <BR>three", "one two three"),
        ("cafe\u0301 = café", "café = café"),
        ("'quoted' rock'n'roll snake_case", "' quoted ' rock ' n ' roll snake_case"),
        ("日本 🙂🙂 ПРИВЕТ", "日本 🙂 🙂 привет"),
        ("  tabs\tand\nlines ", "tabs and lines"),
    ],
)
def test_words(text, expected):
    assert tokens(text) == expected.split()


def test_case_can_be_kept():
    assert tokens("Don'T SHOUT", lowercase=False) == ["Don'T", "SHOUT"]


def test_the_most_frequent_words_are_kept_and_ties_are_alphabetic():
    texts = ["b b b a a d c", "a c d e"]  # a 3, b 3, c 2, d 2, e 1
    tokenizer = fit_tokenizer(texts, vocabulary_size=5)
    assert tokenizer.get_vocab() == {"[PAD]": 0, "[UNK]": 1, "a": 2, "b": 3, "c": 4}
    assert tokenizer.encode("e d c b a").ids == [1, 1, 4, 3, 2]


def test_vocabulary_against_a_count_in_python():
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{i}" for i in rng.zipf(1.3, 50) if i < 500) for _ in range(200)]
    counts = collections.Counter(word for text in texts for word in text.split())
    expected = ["[PAD]", "[UNK]", *sorted(counts, key=lambda word: (-counts[word], word))][:100]
    vocabulary = fit_tokenizer(texts, vocabulary_size=100).get_vocab()
    assert sorted(vocabulary, key=vocabulary.__getitem__) == expected


def test_special_tokens_cannot_be_typed():
    for kind in ("word", "bpe", "char"):
        tokenizer = fit_tokenizer(["pad unk [PAD] [UNK]"] * 50, kind=kind, vocabulary_size=400)
        ids = encode(tokenizer, ["[PAD] [UNK] [pad]"]).values
        assert len(ids) > 3
        assert (ids > 1).all()


def test_characters_with_spaces_and_newlines():
    assert tokens("Aé \n🙂", kind="char") == ["a", "é", " ", "\n", "🙂"]
    tokenizer = fit_tokenizer(["aab"], kind="char", vocabulary_size=3)
    assert tokenizer.encode("abz").ids == [2, 1, 1]


def test_bytes_know_every_text():
    tokenizer = fit_tokenizer(["low lower lowest low low"] * 5, kind="bpe", vocabulary_size=300)
    text = "lowest 日本 🙂 \x00 naïve"
    ids = encode(tokenizer, [text]).values
    assert (ids > 1).all()
    decoder = decoders.ByteLevel()
    assert decoder.decode([tokenizer.id_to_token(i) for i in ids]).strip() == text
    assert len(encode(tokenizer, ["low low"]).values) == 2  # merged, not 6 bytes


def test_fitting_is_the_same_in_every_process_and_order():
    program = (
        "import sys, random, hashlib\n"
        "from rnn_jax.text.vocabulary import fit_tokenizer\n"
        "words = [a + b + c for a in 'abcdefgh' for b in 'ijklm' for c in 'nopq']\n"
        "rng = random.Random(0); texts = [' '.join(rng.choices(words, k=20)) for _ in range(60)]\n"
        "random.Random(sys.argv[1]).shuffle(texts)\n"
        "fitted = [fit_tokenizer(texts, kind=kind, vocabulary_size=300).to_str() for kind in ('word', 'bpe', 'char')]\n"
        "print([hashlib.sha256(text.encode()).hexdigest() for text in fitted])\n"
    )
    digests = [
        subprocess.run(
            [sys.executable, "-c", program, seed],
            env=os.environ | {"TOKENIZERS_PARALLELISM": parallel, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, parallel in (("1", "true"), ("2", "false"))
    ]
    assert digests[0] == digests[1]
    assert len(set(ast.literal_eval(digests[0]))) == 3


@pytest.mark.parametrize(
    ("truncation", "max_tokens", "expected"),
    [
        ("head", 4, "a b c d"),
        ("tail", 4, "f g h i"),
        ("both", 4, "a b h i"),
        ("both", 5, "a b c h i"),
        ("both", 1, "a"),
        ("head", 9, "a b c d e f g h i"),
        ("tail", None, "a b c d e f g h i"),
    ],
)
def test_truncation(truncation, max_tokens, expected):
    tokenizer = fit_tokenizer(["a b c d e f g h i"])
    ragged = encode(tokenizer, ["a b c d e f g h i", "", "b"], max_tokens=max_tokens, truncation=truncation)
    assert [tokenizer.id_to_token(i) for i in ragged.row(0)] == expected.split()
    assert ragged.lengths.tolist() == [len(expected.split()), 0, 1]
    assert ragged.row(2).tolist() == [tokenizer.token_to_id("b")]


def test_encoding_in_chunks_equals_one_by_one():
    rng = np.random.default_rng(1)
    texts = ["", " ", "x " * 700_000, *(" ".join(map(str, rng.integers(0, 50, n))) for n in rng.integers(0, 99, 300))]
    tokenizer = fit_tokenizer(texts[3:])
    ragged = encode(tokenizer, texts)
    assert len(ragged) == ragged.num_rows == 303
    assert ragged.lengths[:3].tolist() == [0, 0, 700_000]
    for row in range(3, 303):
        assert ragged.row(row).tolist() == [tokenizer.token_to_id(word) for word in texts[row].split()]
    assert len(encode(tokenizer, [])) == 0


def test_loaded_tokenizers_are_as_they_were(tmp_path):
    path = tmp_path / "tokenizer.json"
    for kind in ("word", "bpe", "char"):
        tokenizer = fit_tokenizer(["Don't do it <br /> twice."] * 3, kind=kind, vocabulary_size=300)
        tokenizer.save(str(path))
        again = load_tokenizer(path)
        for text in ("don't [PAD] do<br />it 日", ""):
            assert again.encode(text).ids == tokenizer.encode(text).ids


def test_broken_tokenizer_files(tmp_path):
    path = tmp_path / "tokenizer.json"
    with pytest.raises(UserError, match=f"Cannot read the tokenizer {re.escape(str(path))}: No such file"):
        load_tokenizer(path)
    fit_tokenizer(["a b"]).save(str(path))
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="damaged"):
        load_tokenizer(path)
    path.write_text(whole.replace("[PAD]", "[PAT]"))
    with pytest.raises(UserError, match="must have id 0"):
        load_tokenizer(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="damaged"):
        load_tokenizer(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "words"}, "Unknown tokenizer 'words'; it can be word, bpe, char"),
        ({"vocabulary_size": 2}, "^--vocabulary_size=2 is too small: the word tokenizer needs 3"),
        ({"kind": "bpe", "vocabulary_size": 257}, "the bpe tokenizer needs 258"),
    ],
)
def test_fit_errors(options, message):
    with pytest.raises(UserError, match=message):
        fit_tokenizer(["a"], **options)


def test_encode_errors():
    tokenizer = fit_tokenizer(["a"])
    with pytest.raises(UserError, match="max_tokens=0 must be at least 1"):
        encode(tokenizer, ["a"], max_tokens=0)
    with pytest.raises(UserError, match="Unknown truncation 'middle'; it can be head, tail, both"):
        encode(tokenizer, ["a"], truncation="middle")


def test_no_warning_after_a_fork():
    program = (
        "import os\n"
        "from rnn_jax.text.vocabulary import encode, fit_tokenizer\n"
        "tokenizer = fit_tokenizer(['a b'] * 100); encode(tokenizer, ['a b'] * 100)\n"
        "child = os.fork()\n"
        "ids = encode(tokenizer, ['a b'] * 100).values\n"
        "assert len(ids) == 200\n"
        "if child == 0: os._exit(0)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "assert 'TOKENIZERS_PARALLELISM' not in os.environ\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "TOKENIZERS_PARALLELISM"}
    result = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
