"""The knobs of how targets are searched for."""

import dataclasses
from typing import Any

from rnn_jax.config import knob, when
from rnn_jax.data.translation_config import SubwordConfig
from rnn_jax.errors import UserError

SEARCHES = ("train", "eval", "predict")  # what is exported is greedy
BEAM, SAMPLE = (when(decoding=decoding, mode=SEARCHES) for decoding in ("beam", "sample"))
PREDICT = when(mode="predict")
_OF_SAMPLING = ("temperature", "top_k", "top_p", "sampling_seed")


@dataclasses.dataclass(frozen=True)
class DecodingConfig:
    """How targets are searched for; may differ between training and a later eval or predict."""

    decoding: str = knob(
        "beam",
        "search for the most probable, or sample",
        choices=("beam", "sample"),
        identity=False,
        only_if=when(mode=SEARCHES),
    )
    beam_size: int = knob(
        5,
        "hypotheses that the search follows (1: greedy)",
        minimum=1,
        maximum=1000,
        identity=False,
        only_if=BEAM,
        short=True,
    )
    length_penalty: float = knob(
        1.0, "the more, the longer: log p / ((5 + length) / 6)^this", minimum=0.0, identity=False, only_if=BEAM
    )
    sampling_seed: int = knob(0, "seed of the draws", minimum=0, identity=False, only_if=SAMPLE)
    temperature: float = knob(1.0, "logits are divided by this", minimum=1e-3, identity=False, only_if=SAMPLE)
    top_k: int = knob(0, "of the k most probable tokens only (0 = all)", minimum=0, identity=False, only_if=SAMPLE)
    top_p: float = knob(
        1.0,
        "of the fewest tokens with this probability",
        minimum=1e-6,
        maximum=1.0,
        identity=False,
        only_if=SAMPLE,
    )
    max_length_ratio: float = knob(
        2.0, "targets are written up to this times the source's tokens, plus 10", minimum=0.0, maximum=100.0
    )
    max_source_tokens: int = knob(
        0,
        "longer sources are cut to this (0 = to --max_tokens)",
        minimum=0,
        identity=False,
        only_if=when(mode=("eval", "predict", "export")),
    )
    n_best: int = knob(
        1, "hypotheses to list; of a beam at most --beam_size", minimum=1, identity=False, only_if=PREDICT
    )
    show_attention: bool = knob(False, "also write the attention's weights", identity=False, only_if=PREDICT)
    decoding_batch_size: int = knob(
        320,
        "hypotheses followed at once: that many texts for each of a beam",
        minimum=1,
        identity=False,
        only_if=when(mode=SEARCHES),
    )

    def limit(self, text: SubwordConfig) -> int:
        """The most tokens of a source that a trained model reads."""
        return self.max_source_tokens or text.max_tokens

    def settings(self) -> dict[str, Any]:
        """The knobs that scores depend on."""
        names = _OF_SAMPLING if self.decoding == "sample" else ("beam_size", "length_penalty")
        return {name: getattr(self, name) for name in ("decoding", *names)}

    def greedy(self) -> "DecodingConfig":
        """The most probable token at every step."""
        return dataclasses.replace(self, decoding="beam", beam_size=1)

    def check(self, attention: str) -> None:
        """UserError where more hypotheses are asked for than the search follows, or attention that there is not."""
        if self.show_attention and attention == "none":
            raise UserError("--show_attention needs attention, and this run has --attention=none: leave it out.")
        if self.decoding == "beam" and self.n_best > self.beam_size:
            raise UserError(
                f"--n_best={self.n_best} is more than --beam_size={self.beam_size}: the search follows no more."
                f" Give --beam_size={self.n_best}."
            )
