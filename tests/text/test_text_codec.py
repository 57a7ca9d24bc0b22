"""Texts as a language model reads them, for a classifier that starts from it."""

import json

import numpy as np
import pytest
from tokenizers import Tokenizer

from rnn_jax.config import with_overrides
from rnn_jax.errors import UserError
from rnn_jax.text.language_codec import END_ID, fit_language_codec
from rnn_jax.text.language_config import UnitsConfig
from rnn_jax.text.text_codec import TextCodec, codec_of_language_model
from rnn_jax.text.vocabulary import encode, fit_tokenizer, start_ids

TEXTS = ["The cat sat on the mat.", "The dog, too; it's a dog<br />Cafe\u0301 x", "a  b\n  c \n"] * 3
NEW = ["the mat sat", " Unseen, words: é e\u0301 \n the  END [end of text] 🙂", "", "\n x \n\n y "]
KINDS = [
    {"tokenizer": "char"},
    {"tokenizer": "char", "space_mark": "_", "lowercase": True},
    {"tokenizer": "byte", "space_mark": "X"},
    {"tokenizer": "word", "pretokenized": "no", "lowercase": True},
    {"tokenizer": "word", "pretokenized": "yes"},
    {"tokenizer": "bpe", "vocabulary_size": 280},
]


@pytest.fixture(params=KINDS, ids=str)
def language(request):
    return fit_language_codec(with_overrides(UnitsConfig(), {"min_count": 1, **request.param}), TEXTS)


def test_tokens_are_what_the_language_model_reads_of_a_prompt(language):
    """The end, which stands before each text of its training, and the units."""
    codec = codec_of_language_model(language)
    found = encode(codec.tokenizer, NEW)
    for row, text in enumerate(NEW):
        assert found.row(row).tolist() == language.prompt(text).tolist()
    assert start_ids(codec.tokenizer) == [END_ID] and codec.tokenizer.get_vocab_size() == language.vocabulary_size


@pytest.mark.parametrize("truncation", ["head", "tail", "both"])
def test_what_is_cut_still_begins_with_the_end(language, truncation):
    tokenizer = codec_of_language_model(language).tokenizer
    (_, *whole), (first, *cut) = (
        encode(tokenizer, [NEW[1]], max_tokens=most, truncation=truncation).values.tolist() for most in (None, 6)
    )
    assert first == END_ID
    assert cut == {"head": whole[:5], "tail": whole[-5:], "both": whole[:3] + whole[-2:]}[truncation]
    with pytest.raises(UserError, match="--max_tokens=1 leaves no room"):
        encode(tokenizer, NEW, max_tokens=1)


def test_the_tokenizer_is_all_there_is_to_keep(language, tmp_path):
    codec = codec_of_language_model(language)
    codec.save(tmp_path)
    assert TextCodec.load(tmp_path) == codec and codec.label_names == () and codec.ngrams is None
    document = json.loads((tmp_path / "codec.json").read_text(encoding="utf-8"))["tokenizer"]["tokenizer"]
    tokenizer = Tokenizer.from_str(json.dumps(document))  # as the exported script reads it
    assert [tokenizer.encode(text).ids for text in NEW] == [language.prompt(text).tolist() for text in NEW]


def test_other_tokenizers_have_nothing_before_a_text():
    tokenizer = fit_tokenizer(TEXTS, kind="bpe", vocabulary_size=270)
    assert start_ids(tokenizer) == [] and encode(tokenizer, [""]).lengths.tolist() == [0]
    np.testing.assert_array_equal(encode(tokenizer, ["cat"], max_tokens=1).lengths, [1])
