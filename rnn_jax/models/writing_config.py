"""The knobs of how a language model writes on from a prompt."""

import dataclasses
import re
from typing import Any

from rnn_jax.config import knob, when
from rnn_jax.errors import UserError

PREDICT = when(mode="predict")
SAMPLE, BEAM = (when(writing=writing, mode="predict") for writing in ("sample", "beam"))

_ESCAPE = re.compile(r"\\(?:(?P<letter>[nt])|x(?P<code>[0-9a-fA-F]{2}))")


@dataclasses.dataclass(frozen=True)
class WritingConfig:
    """How texts are written; may differ between training and a later predict."""

    writing: str = knob(
        "sample",
        "draw token by token, or search for the most probable text",
        choices=("sample", "beam"),
        identity=False,
        only_if=PREDICT,
    )
    num_texts: int = knob(
        1,
        "texts for each prompt; of a beam at most --beam_size",
        minimum=1,
        identity=False,
        only_if=PREDICT,
        short=True,
    )
    max_new_tokens: int = knob(
        200, "most tokens that are written", minimum=1, identity=False, only_if=PREDICT, short=True
    )
    escapes: bool = knob(
        False, r"read \n in a prompt as a line end, \t as a tab, \x20 as a space", identity=False, only_if=PREDICT
    )
    stop: tuple[str, ...] = knob(
        (),
        r"texts end before the first of these; \n is a line end, as in --stop='\n\n', \x20 a space, \x2c a comma",
        identity=False,
        only_if=PREDICT,
    )
    temperature: float = knob(
        0.8, "below 1 is safer, above 1 wilder; 0 takes the most probable token", minimum=0.0, identity=False,
        only_if=SAMPLE, short=True,
    )  # fmt: skip
    top_k: int = knob(0, "of the k most probable tokens only (0 = all)", minimum=0, identity=False, only_if=SAMPLE)
    top_p: float = knob(
        1.0, "of the fewest tokens with this probability", minimum=1e-6, maximum=1.0, identity=False, only_if=SAMPLE
    )
    typical_p: float = knob(
        1.0,
        "of the tokens whose surprise is nearest to the expected one, with this probability (Meister et al. 2023)",
        minimum=1e-6,
        maximum=1.0,
        identity=False,
        only_if=SAMPLE,
    )
    repetition_penalty: float = knob(
        1.0, "above 1, tokens that were read or written are less likely", above=0.0, identity=False, only_if=SAMPLE
    )
    sampling_seed: int = knob(0, "another seed, another text", minimum=0, identity=False, only_if=SAMPLE, short=True)
    beam_size: int = knob(5, "texts that the search follows", minimum=1, maximum=1000, identity=False, only_if=BEAM)
    length_penalty: float = knob(
        0.0, "the more, the longer: log p / ((5 + length) / 6)^this", minimum=0.0, identity=False, only_if=BEAM
    )
    output_format: str = knob(
        "auto",
        "JSON lines, or plain texts (auto: texts on a terminal, where they appear token by token)",
        choices=("auto", "json", "text"),
        identity=False,
        only_if=PREDICT,
    )

    def draws(self) -> dict[str, Any]:
        """The numbers of `decoding.write`."""
        names = ("temperature", "top_k", "top_p", "typical_p", "repetition_penalty")
        return {name: getattr(self, name) for name in names}

    def stops(self) -> tuple[str, ...]:
        """The stop strings as they are in a text.

        Raises:
          UserError: one of them is empty, and would end every text before it begins.
        """
        if "" in self.stop:
            raise UserError(f"--stop={','.join(self.stop)}: one of these is empty; give one character or more.")
        return tuple(_ESCAPE.sub(_escaped, stop) for stop in self.stop)

    def prompt(self, text: str) -> str:
        """What a line says to write on from."""
        return _ESCAPE.sub(_escaped, text) if self.escapes else text


def _escaped(found: re.Match[str]) -> str:
    return chr(int(found["code"], 16)) if found["code"] else {"n": "\n", "t": "\t"}[found["letter"]]
