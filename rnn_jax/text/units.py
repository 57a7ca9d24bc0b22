"""The units of a language model: characters, bytes, words or subwords, fitted on the training texts.

decode(encode(text)) is the text in NFC, but for units that the vocabulary lacks and, of words, the spaces between them
(of words in raw text also HTML breaks and curly apostrophes). Ids 0 to 2 are padding, the unknown unit, and the end,
which also stands before each document; padding and end cannot be typed. The others are sorted by frequency, ties by
spelling; of bytes there are all 256, always the same.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from rnn_jax.data.batching import Ragged
from rnn_jax.data.normal_form import nfc
from rnn_jax.errors import UserError
from rnn_jax.text.vocabulary import PAD_ID, UNKNOWN_ID, WORD_PATTERN, encode

END_ID = 2
UNITS = ("char", "word", "bpe", "byte")
UNIT_NAMES = {"char": "character", "word": "word", "bpe": "subword", "byte": "byte"}
UNKNOWN = "<unk>"
_SPECIAL = ("[no text]", UNKNOWN, "[end of text]")  # no unit has a space among other characters
_BPE_SIZE = 8_000  # where --vocabulary_size does not say
_BYTE_ALPHABET = 256
_ANY_CHARACTER = r"(?m)."
_BETWEEN_SPACES = r"\n|[^\s]+"
_BREAK = r"(?i)<br\s*/?>"
_PIECE = 50_000  # characters that are encoded at once
# Where a text can be cut: no unit goes on behind it, nor does a break.
_GAP = re.compile(r"(?<=\S)(?<!<br)[ \n]", re.IGNORECASE)
# In raw text these hang on words; where a text is tokenised already, they stand alone. A full stop may belong to its
# word, but hardly to a long one. (Marks are looked for first, and then what is around them: that is much faster.)
_HANGING = re.compile(
    r"""[,;!?"().，。；：！？、،؛؟।](?:
    (?<=\w[,;!?"()])[,;!?"()]*(?=\s) | (?<=\s["(])(?=\w) | (?<=\w{5}\.)(?=\s) | (?<=\w[，。；：！？、،؛؟।])
    )""",
    re.VERBOSE,
)
_MOST_HANGING = 0.002  # a word


def looks_tokenized(texts: Iterable[str]) -> bool:
    """Whether spaces stand between words and punctuation marks, as in the Penn Treebank: hardly any mark hangs on."""
    words = marks = characters = 0
    for text in texts:
        part = text[:_PIECE]
        words += len(part.split())
        marks += sum(1 for _ in _HANGING.finditer(part))
        characters += len(part)
        if characters >= _PIECE:  # enough to tell by
            break
    return marks < _MOST_HANGING * words


def fit_units(
    texts: Sequence[str],
    *,
    kind: str = "char",
    vocabulary_size: int = 0,
    min_count: int = 1,
    lowercase: bool = False,
    pretokenized: bool = False,
) -> Tokenizer:
    """Fits a tokenizer; its vocabulary is a pure function of the multiset of texts.

    Kinds: `char` and `word` keep what occurs `min_count` times, at most `vocabulary_size` ids in all (0 = no limit),
    the most frequent first; a line end is a word. `byte` has the 256 bytes of UTF-8; `bpe` merges them into subwords.
    pretokenized: words are what stands between white space, and "<unk>" is the unknown word.

    Raises:
      UserError: a vocabulary too small for its kind, or nothing that occurs often enough.
    """
    smallest = len(_SPECIAL) + (_BYTE_ALPHABET if kind == "bpe" else 1)
    if vocabulary_size and vocabulary_size < smallest:
        raise UserError(f"--vocabulary_size={vocabulary_size} is too small: {kind} needs {smallest} or more.")
    tokenizer = _unfitted(kind, lowercase, pretokenized)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if kind == "byte":
        return _with_vocabulary(tokenizer, [*_SPECIAL, *sorted(alphabet)])
    found = (piece for text in texts for piece in _pieces(text, anywhere=kind == "char"))
    if kind == "bpe":
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary_size or _BPE_SIZE,
            special_tokens=list(_SPECIAL),
            initial_alphabet=alphabet,
            show_progress=False,
        )
        tokenizer.train_from_iterator(found, trainer)
        tokenizer = _with_vocabulary(tokenizer, _vocabulary(tokenizer))
        return _with_vocabulary(tokenizer, _by_frequency(tokenizer, texts))
    # The trainer takes "<unk>", where it is a word of the text as well, for one more.
    most = vocabulary_size + 1 if vocabulary_size else 2**31
    tokenizer.train_from_iterator(
        found,
        trainers.WordLevelTrainer(
            vocab_size=most, min_frequency=min_count, special_tokens=list(_SPECIAL), show_progress=False
        ),
    )
    units = [unit for unit in _vocabulary(tokenizer) if unit not in _SPECIAL]
    if not units:
        raise UserError(
            f"The training text has no {UNIT_NAMES[kind]} that occurs {min_count} times: lower --min_count, or give"
            " more text."
        )
    return _with_vocabulary(tokenizer, [*_SPECIAL, *units][: vocabulary_size or None])


def _unfitted(kind: str, lowercase: bool, pretokenized: bool) -> Tokenizer:
    """How texts of a kind are normalised, cut into units and joined again."""
    steps: list[normalizers.Normalizer] = [normalizers.NFC()]
    if kind == "word" and not pretokenized:
        steps += [normalizers.Replace(Regex(_BREAK), " "), normalizers.Replace("’", "'")]
    if lowercase:
        steps.append(normalizers.Lowercase())
    model = models.BPE if kind == "bpe" else models.WordLevel
    tokenizer = Tokenizer(model(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence(steps)
    single = pre_tokenizers.Split(Regex(_ANY_CHARACTER), behavior="isolated")
    if kind == "word":
        pattern = Regex(_BETWEEN_SPACES if pretokenized else rf"\n|{WORD_PATTERN}")
        tokenizer.pre_tokenizer = pre_tokenizers.Split(pattern, behavior="removed", invert=True)
    elif kind == "char":
        tokenizer.pre_tokenizer, tokenizer.decoder = single, decoders.Fuse()
    else:
        as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=kind == "bpe")
        tokenizer.pre_tokenizer = as_bytes if kind == "bpe" else pre_tokenizers.Sequence([as_bytes, single])
        tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _vocabulary(tokenizer: Tokenizer) -> list[str]:
    """The units in the order of their ids."""
    vocabulary = json.loads(tokenizer.to_str())["model"]["vocab"]
    return sorted(vocabulary, key=vocabulary.__getitem__)


def _with_vocabulary(tokenizer: Tokenizer, units: Sequence[str]) -> Tokenizer:
    """The tokenizer with these ids, and no unit that is looked for in texts before they are cut."""
    document = json.loads(tokenizer.to_str())
    # As an added token, "<unk>" would be found within words, and in every kind.
    document["added_tokens"] = []
    document["model"]["vocab"] = {unit: i for i, unit in enumerate(units)}
    return Tokenizer.from_str(json.dumps(document))


def _by_frequency(tokenizer: Tokenizer, texts: Sequence[str]) -> list[str]:
    counts: Counter[int] = Counter()
    for text in texts:
        for piece in _pieces(text):
            counts.update(tokenizer.encode(piece, add_special_tokens=False).ids)
    units = list(enumerate(_vocabulary(tokenizer)))[len(_SPECIAL) :]
    return [*_SPECIAL, *(unit for i, unit in sorted(units, key=lambda each: (-counts[each[0]], each[1])))]


def encode_units(tokenizer: Tokenizer, texts: Sequence[str]) -> Ragged:
    """The ids of each text; memory beyond the result is bounded, however long a text is, if it has spaces."""
    anywhere = tokenizer.decoder is not None and isinstance(tokenizer.model, models.WordLevel)
    pieces = [list(_pieces(text, anywhere=anywhere)) for text in texts]
    found = encode(tokenizer, [piece for of_text in pieces for piece in of_text])
    return Ragged(found.values, found.offsets[np.cumsum([0, *map(len, pieces)])])


def decode_units(tokenizer: Tokenizer, ids: Sequence[int] | np.ndarray) -> str:
    """The text of ids; padding and ends are left out. Words are joined as they are written."""
    known = [int(i) for i in ids if i not in (PAD_ID, END_ID)]
    if tokenizer.decoder is not None:
        return tokenizer.decode(known, skip_special_tokens=False)
    return re.sub(r" ?\n ?", "\n", " ".join(unit_names(tokenizer, known)))


def unit_names(tokenizer: Tokenizer, ids: Sequence[int] | np.ndarray) -> list[str]:
    """How each id is spelt by itself."""
    if tokenizer.decoder is None or isinstance(tokenizer.decoder, decoders.Fuse):
        return [tokenizer.id_to_token(int(i)) or UNKNOWN for i in ids]
    return [tokenizer.decode([int(i)], skip_special_tokens=False) for i in ids]


def _pieces(text: str, *, anywhere: bool = False) -> Iterator[str]:
    """The text in NFC as pieces that are encoded as the whole would be: cut before white space, or anywhere."""
    text = nfc(text)
    start = 0
    while start < len(text):
        end = start + _PIECE
        if not anywhere:
            gap = _GAP.search(text, end)
            end = gap.start() if gap else len(text)
        yield text[start:end]
        start = end


__all__ = [
    "END_ID",
    "PAD_ID",
    "UNITS",
    "UNIT_NAMES",
    "UNKNOWN_ID",
    "decode_units",
    "encode_units",
    "fit_units",
    "looks_tokenized",
    "unit_names",
]
