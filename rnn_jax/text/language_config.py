"""The knobs of how the texts of a language model become tokens, and tokens batches."""

import dataclasses

from rnn_jax.config import VOCABULARY, knob, when

COUNTED = when(tokenizer=("char", "word"))
PRETOKENIZED = ("auto", "yes", "no")


@dataclasses.dataclass(frozen=True)
class UnitsConfig:
    """How texts become tokens, and tokens batches."""

    tokenizer: str = knob(
        "char", "unit of the language model", choices=("char", "word", "bpe", "byte"), short=True, inherited=VOCABULARY
    )  # `units.UNITS`; a test compares
    vocabulary_size: int = knob(
        0,
        "most frequent units of the training text that are kept, 3 special ones included (0 = all; of bpe 8000)",
        minimum=0,
        only_if=when(tokenizer=("char", "word", "bpe")),
        short=True,
        inherited=VOCABULARY,
    )
    min_count: int = knob(
        0,
        "units that occur less often in the training text are unknown (0 = words 2 times, unless they are tokenised "
        "already, everything else once)",
        minimum=0,
        only_if=COUNTED,
        inherited=VOCABULARY,
    )
    lowercase: bool = knob(False, "fold the case of all texts", inherited=VOCABULARY)
    pretokenized: str = knob(
        "auto",
        "words are what stands between spaces, as in ptb (auto: where punctuation marks stand alone); else punctuation "
        "is split off",
        choices=PRETOKENIZED,
        only_if=when(tokenizer="word"),
        inherited=VOCABULARY,
    )
    space_mark: str = knob(
        "",
        "written for each space, and lines lose the spaces around them: the characters of ptb are published with _",
        only_if=when(tokenizer=("char", "byte")),
        inherited=VOCABULARY,
    )
    batch_size: int = knob(64, "lanes that are read side by side in training", minimum=1, short=True)
    bptt: int = knob(64, "steps that gradients go back in time: those of a window", minimum=1, short=True)
    random_bptt: bool = knob(False, "the length of the windows varies around --bptt")
    score_batch_size: int = knob(
        32,
        "documents that are scored side by side; changes speed only. One long text is one row",
        minimum=1,
        identity=False,
        only_if=when(mode=("train", "eval"), dynamic_evaluation=False, cache_size=0),
    )
