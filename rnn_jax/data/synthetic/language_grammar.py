"""A small language whose entropy is known: lines from a probabilistic grammar in which no text has two derivations.

`language_choices.py` says what a symbol can become. As there is one derivation of a text, its probability is the
product of the choices in it; as a choice depends on its symbol alone, entropy and mean length are sums over the
grammar.
"""

import math
import re
from random import Random
from typing import NamedTuple

from rnn_jax.data.synthetic.language_choices import CHOICES, Choices


class Slot(NamedTuple):
    """A symbol to be replaced; or, without one, the text kept under `variable`."""

    variable: str
    symbol: str


class Rule(NamedTuple):
    """A way to replace a symbol."""

    probability: float
    parts: tuple[str | Slot, ...]


def _rules(choices: Choices) -> tuple[Rule, ...]:
    total = math.fsum(choices.values())
    return tuple(Rule(weight / total, _parts(template)) for template, weight in choices.items())


def _parts(template: str) -> tuple[str | Slot, ...]:
    parts: list[str | Slot] = []
    for literal, slot in re.findall(r"([^{}]+)|\{([^}]+)\}", template):
        variable, _, symbol = slot.rpartition(":")
        if literal:
            parts.append(literal)
        elif slot.isupper():  # a name for a text
            parts.append(Slot(slot, ""))
        else:
            parts.append(Slot(variable, symbol))
    return tuple(parts)


RULES: dict[str, tuple[Rule, ...]] = {symbol: _rules(choices) for symbol, choices in CHOICES.items()}


def write_line(rng: Random) -> tuple[str, float]:
    """A line with its end, and the nats that it takes: −log of its probability."""
    return _write("line", rng)


def _write(symbol: str, rng: Random) -> tuple[str, float]:
    rule = _draw(RULES[symbol], rng)
    nats, text = -math.log(rule.probability), ""
    kept: dict[str, str] = {}
    for part in rule.parts:
        if isinstance(part, str):
            text += part
        elif part.symbol:
            words, more = _write(part.symbol, rng)
            nats, text, kept[part.variable] = nats + more, text + words, words
        else:
            text += kept[part.variable]
    return text, nats


def _draw(rules: tuple[Rule, ...], rng: Random) -> Rule:
    # random() is the one method whose values Python promises to keep, so the lines are the same everywhere.
    place = rng.random()
    for rule in rules:
        place -= rule.probability
        if place < 0:
            return rule
    return rules[-1]  # the probabilities may round to a sum below 1


def line_entropy() -> float:
    """H(line) in nats, exactly."""
    return entropy_of("line")


def entropy_of(symbol: str) -> float:
    """H(text of the symbol) = Σ p · (−log p + Σ H(slot)) over its rules, in nats; what is repeated adds nothing."""
    return math.fsum(
        rule.probability * (-math.log(rule.probability) + math.fsum(entropy_of(slot.symbol) for slot in _drawn(rule)))
        for rule in RULES[symbol]
    )


def mean_characters() -> float:
    """E[characters of a line] with its end, exactly: what `line_entropy` is divided by for nats a character."""
    return mean_characters_of("line")


def mean_characters_of(symbol: str) -> float:
    """E[characters of the text of the symbol], exactly; what is repeated counts again."""
    return math.fsum(rule.probability * _mean_characters_by(rule) for rule in RULES[symbol])


def _mean_characters_by(rule: Rule) -> float:
    symbols = {slot.variable: slot.symbol for slot in _drawn(rule)}
    return math.fsum(
        len(part) if isinstance(part, str) else mean_characters_of(part.symbol or symbols[part.variable])
        for part in rule.parts
    )


def _drawn(rule: Rule) -> list[Slot]:
    return [part for part in rule.parts if isinstance(part, Slot) and part.symbol]
