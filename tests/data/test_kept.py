"""What is kept of large data: made once, whatever happens to the folder."""

import numpy as np
import pytest

from rnn_jax.data import kept as keeping
from rnn_jax.data.kept import fingerprint, kept
from rnn_jax.data.tagging_config import WordsConfig
from rnn_jax.text.subwords import END_ID, fit_subwords
from rnn_jax.text.tagging_codec import TaggingCodec, fit_tagging_codec
from rnn_jax.text.text_codec import fit_text_codec
from rnn_jax.text.text_config import TokenConfig
from rnn_jax.text.translation_codec import TranslationCodec
from rnn_jax.text.vocabulary import encode, fit_tokenizer, keep_tokenizer


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch, tmp_path):
    monkeypatch.setattr(keeping, "LARGE", 0)
    monkeypatch.setenv("RNN_JAX_CACHE", str(tmp_path))
    return tmp_path / "encoded"


class Made:
    def __init__(self, value=1):
        self.times, self.value = 0, value

    def __call__(self):
        self.times += 1
        return {"ids": np.full(3, self.value, np.int32), "offsets": np.arange(2)}


def test_made_once_and_read_as_memory_maps():
    make = Made()
    first, second = (kept(["a", "b"], ["how"], make) for _ in range(2))
    assert make.times == 1 and isinstance(second["ids"], np.memmap) and not second["ids"].flags.writeable
    for name, array in first.items():
        np.testing.assert_array_equal(second[name], array)
        assert second[name].dtype == array.dtype


@pytest.mark.parametrize(("texts", "how"), [(["b", "a"], ["how"]), (["a", "b"], ["else"]), (["ab", ""], ["how"])])
def test_other_texts_or_another_way_are_made_anew(texts, how):
    kept(["a", "b"], ["how"], Made())
    other = Made(2)
    assert kept(texts, how, other)["ids"].tolist() == [2, 2, 2] and other.times == 1


def test_fingerprints_know_where_a_text_ends():
    assert len({fingerprint(texts) for texts in (["ab"], ["a", "b"], ["b", "a"], ["ab", ""], [])}) == 5


def test_damage_is_mended(everything_is_large):
    kept(["a"], ["how"], Made())
    (entry,) = everything_is_large.iterdir()
    (entry / "ids.npy").write_bytes(b"no array")
    make = Made(3)
    assert kept(["a"], ["how"], make)["ids"].tolist() == [3, 3, 3] and make.times == 1
    assert kept(["a"], ["how"], make)["ids"].tolist() == [3, 3, 3] and make.times == 1


def test_a_folder_that_cannot_be_written_is_only_slower(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RNN_JAX_CACHE", str(tmp_path / "file"))
    make = Made()
    for _ in range(2):
        assert kept(["a"], ["how"], make)["ids"].tolist() == [1, 1, 1]
    assert make.times == 2


def test_the_least_recently_used_go(everything_is_large, monkeypatch):
    monkeypatch.setattr(keeping, "MOST_BYTES", 580)  # two entries
    makes = {text: Made() for text in "abc"}
    for text in "abac":
        kept([text], ["how"], makes[text])
    assert len(list(everything_is_large.iterdir())) == 2
    kept(["a"], ["how"], makes["a"])
    kept(["b"], ["how"], makes["b"])
    assert (makes["a"].times, makes["b"].times) == (1, 2)


def test_small_data_leaves_nothing_behind(everything_is_large, monkeypatch):
    monkeypatch.setattr(keeping, "LARGE", 10)
    kept(["a"], ["how"], Made())
    assert not everything_is_large.exists()


def test_tokenizers_and_token_ids_come_back_as_they_were():
    texts = ["it was good", "it was not bad", "so-so"]
    fit = lambda: fit_tokenizer(texts, vocabulary_size=20)  # noqa: E731

    def never():
        raise AssertionError("fitted again")

    tokenizers = [keep_tokenizer(texts, ["words"], make) for make in (fit, never)]
    assert tokenizers[0].to_str() == tokenizers[1].to_str() == fit().to_str()
    rows = [encode(tokenizer, texts) for tokenizer in tokenizers]
    np.testing.assert_array_equal(rows[0].values, rows[1].values)
    assert isinstance(rows[1].values, np.memmap) and rows[1].lengths.tolist() == [3, 4, 3]


def never(*args, **kwargs):
    raise AssertionError("made again")


def test_tagged_sentences_come_back_as_they_were(monkeypatch):
    tokens, labels = [["Ann", "Bo", "ran"], [], ["Peru"]], [["B-PER", "I-PER", "O"], [], [""]]
    config = WordsConfig(label_scheme="bioes", max_characters=3)
    codec = fit_tagging_codec(config, tokens, ("O", "B-PER", "I-PER"), scheme="bio")
    made, unlabelled = codec.encode(tokens, labels), codec.encode(tokens)
    others = [codec.encode([["Ann"], ["Bo", "ran"], ["Peru"]]), codec.encode(tokens, [["O"] * 3, [], ["O"]])]
    assert others[0].forms.lengths.tolist() == [1, 2, 1] and others[1].labels.values.tolist() == [0] * 4
    monkeypatch.setattr(TaggingCodec, "_encode", never)
    for before, again in ((made, codec.encode(tokens, labels)), (unlabelled, codec.encode(tokens))):
        assert isinstance(again.forms.values, np.memmap) and isinstance(again.characters, np.memmap)
        for (name, array), other in zip(before.arrays().items(), again.arrays().values(), strict=True):
            np.testing.assert_array_equal(array, other, err_msg=name)
        assert again.forms.lengths.tolist() == [3, 0, 1]
    labels_of = [codec.model_labels[i] if i >= 0 else "" for i in codec.encode(tokens, labels).labels.values]
    assert labels_of == ["B-PER", "E-PER", "O", ""] and codec.encode(tokens).labels is None
    with pytest.raises(AssertionError, match="made again"):
        fit_tagging_codec(config, [*tokens, ["new"]], ("O", "B-PER", "I-PER"), scheme="bio").encode(tokens)


def test_pairs_come_back_as_they_were(monkeypatch):
    tokenizer = fit_subwords(["ab ba", "abc"], kind="char", vocabulary_size=20)
    codec = TranslationCodec(tokenizer, tokenizer)
    made = codec.encode(["ab", "", "abc"], ["b", "ca", ""])
    monkeypatch.setattr(keeping, "_write", never)
    again = codec.encode(["ab", "", "abc"], ["b", "ca", ""])
    for before, after in ((made.sources, again.sources), (made.targets, again.targets)):
        assert isinstance(after.values, np.memmap) and before.offsets.tolist() == after.offsets.tolist()
        np.testing.assert_array_equal(before.values, after.values)
    assert again.targets.lengths.tolist() == [2, 3, 1]
    assert (again.targets.values[again.targets.offsets[1:] - 1] == END_ID).all()


def test_ngrams_are_fitted_once(monkeypatch):
    config, texts = TokenConfig(ngram_vocabulary_size=5), ["a b a b c", "b c b c"]
    first = fit_text_codec(config, texts, ("x", "y"))
    monkeypatch.setattr("rnn_jax.text.text_codec.fit_ngrams", never)
    again = fit_text_codec(config, texts, ("x", "y"))
    assert first == again and again.ngrams.size == 5 and isinstance(again.ngrams.codes[0], np.memmap)
    np.testing.assert_array_equal(first.ngrams.lookup(np.arange(2, 5)), again.ngrams.lookup(np.arange(2, 5)))
