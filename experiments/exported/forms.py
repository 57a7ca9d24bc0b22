"""What --mode=export makes of each task: one input at a time, at the length that the model was trained for."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from rnn_jax.data.signals.codec import SignalCodec
from rnn_jax.errors import UserError
from rnn_jax.masking import lengths_to_mask
from rnn_jax.models.sentiment import SentimentClassifier
from rnn_jax.models.seq2seq import Seq2Seq
from rnn_jax.models.signals import SignalClassifier
from rnn_jax.models.tagger import Tagger
from rnn_jax.models.translator import Settings, decode
from rnn_jax.tagging.spans import STRICT, to_scheme
from rnn_jax.text.tagging_codec import TaggingCodec
from rnn_jax.text.words import BETWEEN_SPACES, WORD
from rnn_jax.training.task import Exported, Trained

_SCRIPTS = Path(__file__).parent
_MAX_WORDS = 128  # of a sentence; the script cuts longer ones


def _ints(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.int32)


def sentiment(trained: Trained) -> Exported:
    """Tokens → probabilities; UserError with n-grams, whose codes are 64-bit numbers."""
    if trained.codec.ngrams is not None:
        raise UserError("--mode=export: models with --ngram_vocabulary_size cannot be exported.")
    text = trained.config.text
    settings = {"max_tokens": text.max_tokens, "truncation": text.truncation}
    shapes = {"tokens": _ints(1, text.max_tokens), "lengths": _ints(1)}
    return Exported(_probabilities, shapes, _SCRIPTS / "sentiment.py", settings)


def _probabilities(model: SentimentClassifier, batch: dict[str, jax.Array]) -> jax.Array:
    return jax.nn.softmax(model(batch["tokens"], batch["lengths"]))


def tagging(trained: Trained) -> Exported:
    """Words and characters → the number of each word's most probable label of the model's."""
    shapes = {"words": _ints(1, _MAX_WORDS), "lengths": _ints(1)}
    shapes["characters"] = _ints(1, _MAX_WORDS, trained.codec.max_characters)
    settings = {"max_words": _MAX_WORDS, "word": WORD.pattern, "word_between_spaces": BETWEEN_SPACES.pattern}
    settings |= {"labels": trained.codec.model_labels} | _spelling(trained.codec)
    return Exported(_labels, shapes, _SCRIPTS / "tagging.py", settings)


def _spelling(codec: TaggingCodec) -> dict[str, str]:
    """What the model's spans look like, where it spells them in its own way, and the letters that the data has."""
    if codec.model_scheme == codec.scheme:
        return {"span": "", "letters": ""}
    # Of a span of one word; of the first, the inner and the last of several.
    single, _, *several = to_scheme(["S-X", "O", "B-X", "I-X", "E-X"], "bioes", codec.scheme)
    return {"span": STRICT[codec.model_scheme].pattern, "letters": "".join(tag[0] for tag in (single, *several))}


def _labels(model: Tagger, batch: dict[str, jax.Array]) -> jax.Array:
    emissions = model(batch["words"], batch["lengths"], characters=batch["characters"])
    return model.tags(emissions, batch["lengths"]).labels


def signals(trained: Trained) -> Exported:
    """A signal in the data's units → probabilities; UserError with static features, which no file of a signal has."""
    codec: SignalCodec = trained.codec
    if codec.static_names:
        raise UserError("--mode=export: models with --static_fields cannot be exported.")

    def probabilities(model: SignalClassifier, batch: dict[str, jax.Array]) -> jax.Array:
        signal, lengths = batch["signal"], batch["lengths"]
        mask = lengths_to_mask(lengths, codec.longest).reshape(1, codec.longest, *(1 for _ in codec.frame))
        scaled = codec.scaled(signal, mask, jnp)
        return model.probabilities({"signal": jnp.where(mask, scaled, 0.0), "lengths": lengths})

    signal = jax.ShapeDtypeStruct((1, codec.longest, *codec.frame), jnp.float32)
    shapes = {"signal": signal, "lengths": _ints(1)}
    return Exported(probabilities, shapes, _SCRIPTS / "signals.py", {"steps": codec.longest})


def seq2seq(trained: Trained) -> Exported:
    """Source tokens → target tokens and their number, by greedy decoding."""
    config = trained.config
    limit = config.decoding.limit(config.text)
    settings = Settings.of(config.decoding.greedy(), 1)

    def translate(model: Seq2Seq, batch: dict[str, Any]) -> tuple[jax.Array, jax.Array]:
        numbers = {"length_penalty": jnp.float32(config.decoding.length_penalty)}
        found = decode(model, batch | {"rows": jnp.zeros(1, jnp.int32)}, numbers, settings=settings)
        return found.tokens[:, 0], found.lengths[:, 0]

    shapes = {"source": _ints(1, limit), "lengths": _ints(1)}
    return Exported(translate, shapes, _SCRIPTS / "seq2seq.py", {"max_tokens": limit})
