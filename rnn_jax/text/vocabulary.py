"""Text to integers: Hugging Face tokenizers fitted on the training texts, and token sequences of different lengths."""

import functools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from rnn_jax.data.batching import Ragged
from rnn_jax.data.kept import kept
from rnn_jax.errors import UserError

PAD, UNKNOWN = "[PAD]", "[UNK]"
PAD_ID, UNKNOWN_ID = 0, 1
MANY_UNKNOWN = 0.01  # of the tokens: said, for the vocabulary may not fit
TOKENIZER_KINDS = ("word", "bpe", "char")
TRUNCATIONS = ("head", "tail", "both")

# "don't" is one word, since the negation belongs to it; "it's" is two, so that "movie's" shares the row of "movie".
WORD_PATTERN = r"(?i)['](?:s|re|ve|d|ll|m)\b|\w+n[']t\b|\w+|[^\w\s]"
_BYTE_ALPHABET = 256
_CHUNK_CHARACTERS = 1_000_000


def fit_tokenizer(
    texts: Iterable[str], *, kind: str = "word", vocabulary_size: int = 25_000, lowercase: bool = True
) -> Tokenizer:
    """Fits a tokenizer; its vocabulary is a pure function of the multiset of texts.

    Kinds: `word` splits at white space and punctuation and keeps the most frequent words (ties in alphabetic order);
    `bpe` merges bytes into subwords and has no unknown words; `char` keeps the most frequent characters. All bring the
    text to NFC and read the HTML break "<br />" as a space. Id 0 is "[PAD]", id 1 "[UNK]"; neither can be typed.

    Args:
      vocabulary_size: upper limit on the number of ids, the two above included.

    Raises:
      UserError: an unknown kind, or a vocabulary too small for it.
    """
    smallest = _BYTE_ALPHABET + 2 if kind == "bpe" else 3
    if kind not in TOKENIZER_KINDS:
        raise UserError(f"Unknown tokenizer {kind!r}; it can be {', '.join(TOKENIZER_KINDS)}.")
    if vocabulary_size < smallest:
        raise UserError(
            f"--vocabulary_size={vocabulary_size} is too small: the {kind} tokenizer needs {smallest} or more."
        )
    _be_silent_after_fork()
    special_tokens = [PAD, UNKNOWN]
    trainer: trainers.Trainer
    if kind == "bpe":
        tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary_size,
            special_tokens=special_tokens,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
    else:
        tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
        pattern = Regex(WORD_PATTERN if kind == "word" else r"(?m).")
        tokenizer.pre_tokenizer = pre_tokenizers.Split(pattern, behavior="removed", invert=True)
        trainer = trainers.WordLevelTrainer(
            vocab_size=vocabulary_size, special_tokens=special_tokens, show_progress=False
        )
    steps = [normalizers.NFC(), normalizers.Replace(Regex(r"(?i)<br\s*/?>"), " "), normalizers.Replace("’", "'")]
    tokenizer.normalizer = normalizers.Sequence([*steps, *([normalizers.Lowercase()] if lowercase else [])])
    tokenizer.train_from_iterator(texts, trainer)
    # As added tokens, the special ones would be found in the users' texts: a typed "[PAD]" would become padding.
    return Tokenizer.from_str(json.dumps(json.loads(tokenizer.to_str()) | {"added_tokens": []}))


def encode(
    tokenizer: Tokenizer,
    texts: Sequence[str],
    *,
    max_tokens: int | None = None,
    truncation: str = "head",
    end: int | None = None,
) -> Ragged:
    """Token ids of every text; texts of more than max_tokens keep their head, tail, or first and last halves.

    Those that the tokenizer has before every text, see `start_ids`, stay, and count among max_tokens.

    end: a token behind those of each text. Without it, an empty text has length 0. Memory beyond the result is bounded
    by the longest text.

    Raises:
      UserError: max_tokens or truncation is out of range, or max_tokens leaves no room for a text.
    """
    if max_tokens is not None and max_tokens < 1:
        raise UserError(f"--max_tokens={max_tokens} must be at least 1.")
    if truncation not in TRUNCATIONS:
        raise UserError(f"Unknown truncation {truncation!r}; it can be {', '.join(TRUNCATIONS)}.")
    start = start_ids(tokenizer)
    room = None if max_tokens is None else max_tokens - len(start)
    if room is not None and room < 1:
        raise UserError(
            f"--max_tokens={max_tokens} leaves no room: a text begins with {len(start)} token(s) of its own."
        )
    _be_silent_after_fork()

    def make() -> dict[str, np.ndarray]:
        rows = []
        for chunk in _chunks(texts):
            for encoding in tokenizer.encode_batch_fast(chunk, add_special_tokens=False):
                ids = [*start, *_truncate(encoding.ids, room, truncation)]
                rows.append(np.asarray(ids if end is None else [*ids, end], np.int32))
        ragged = Ragged.from_rows(rows)
        return {"values": ragged.values, "offsets": ragged.offsets}

    how = ("encoded", tokenizer.to_str(), str(max_tokens), truncation, *([] if end is None else [str(end)]))
    return Ragged(**kept(texts, how, make))


def share_unknown(ids: np.ndarray) -> float:
    """Of token ids those that the vocabulary lacks; 0 of none."""
    return float((ids == UNKNOWN_ID).mean()) if len(ids) else 0.0


def start_ids(tokenizer: Tokenizer) -> list[int]:
    """Ids that stand before every text: what the tokenizer makes of an empty one, special tokens included."""
    return [] if tokenizer.post_processor is None else tokenizer.encode("").ids


def keep_tokenizer(texts: Sequence[str], how: Sequence[str], fit: Callable[[], Tokenizer]) -> Tokenizer:
    """fit(), or the tokenizer that was fitted before on these texts in this way."""
    make = lambda: {"json": np.frombuffer(fit().to_str().encode(), np.uint8)}  # noqa: E731
    return Tokenizer.from_str(bytes(kept(texts, ("tokenizer", *how), make)["json"]).decode())


def _truncate(ids: list[int], max_tokens: int | None, truncation: str) -> list[int]:
    if max_tokens is None or len(ids) <= max_tokens:
        return ids
    first = {"head": max_tokens, "tail": 0, "both": (max_tokens + 1) // 2}[truncation]
    return ids[:first] + ids[len(ids) - (max_tokens - first) :]


def _chunks(texts: Sequence[str]) -> Iterator[list[str]]:
    """Consecutive texts of about a million characters together: the encodings of a chunk are all in memory at once."""
    chunk: list[str] = []
    characters = 0
    for text in texts:
        if chunk and characters + len(text) > _CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
        chunk.append(text)
        characters += len(text) + 16  # even an empty text has an encoding
    if chunk:
        yield chunk


def load_tokenizer(path: str | os.PathLike[str]) -> Tokenizer:
    """Reads the tokenizer.json that earlier releases wrote.

    Raises:
      UserError: the file is missing or damaged.
    """
    try:
        tokenizer = Tokenizer.from_str(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"Cannot read the tokenizer {path}: {error.strerror or error}.") from error
    except Exception as error:  # tokenizers raises bare Exception for whatever is wrong with a file
        raise UserError(f"The tokenizer file {path} is damaged: {error}.") from error
    if tokenizer.token_to_id(PAD) != PAD_ID or tokenizer.token_to_id(UNKNOWN) != UNKNOWN_ID:
        raise UserError(
            f"The tokenizer file {path} is not ours: {PAD} must have id {PAD_ID} and {UNKNOWN} id {UNKNOWN_ID}."
        )
    return tokenizer


@functools.cache
def _be_silent_after_fork() -> None:
    """Makes a forked child use no threads of the tokenizer, and the tokenizer print no warning about it."""
    # The tokenizer's threads don't survive a fork. With the variable unset it says so on stderr in every child; set
    # to false, it is quiet. So it is false while forking and in the child, and what it was in the parent.
    name, before = "TOKENIZERS_PARALLELISM", []

    def prepare() -> None:
        before.append(os.environ.get(name))
        os.environ[name] = "false"

    def restore() -> None:
        value = before.pop()
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value

    os.register_at_fork(before=prepare, after_in_parent=restore)
