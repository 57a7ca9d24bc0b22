"""What may adapt while it is scored: both ways together, when they are on, and what is noted of them."""

import numpy as np
import pytest
from absl import flags
from language_model_runs import trained_of

from experiments.language_model import Config
from rnn_jax.config import define_flags, given_flags, refuse_idle
from rnn_jax.config.flags import config_from_flags
from rnn_jax.data.batching import Ragged
from rnn_jax.data.lanes import Lanes
from rnn_jax.errors import UserError
from rnn_jax.models.adaptation import adaptive_nats, score_part
from rnn_jax.models.adaptation_config import AdaptationConfig
from rnn_jax.models.language_score import document_nats, lane_nats
from rnn_jax.text.language_codec import END_ID as END
from rnn_jax.text.language_config import UnitsConfig
from rnn_jax.text.streams import LanguagePart
from rnn_jax.training.run_config import Invocation

ALPHABET = "abcdefgh"
V = 3 + len(ALPHABET)
BOTH = {"dynamic_evaluation": True, "cache_size": 20}
REPEATED = Ragged.from_rows([np.tile([3, 5, 4, 9, 6, 5, 10, 3, 7, 8], 30)])


def texts(seed, *lengths):
    """Documents of random tokens."""
    rng = np.random.default_rng(seed)
    return Ragged.from_rows([rng.integers(3, V, length) for length in lengths])


def part_of(documents):
    return LanguagePart("test", documents, 0, None, lambda: Lanes(texts(0, 90), 3, 6, boundary=END, seed=0))


def total(model, part, is_final=True, **knobs):
    return score_part(model, part, UnitsConfig(batch_size=4), AdaptationConfig(**knobs), is_final=is_final)


@pytest.mark.parametrize("knobs", [{"dynamic_evaluation": True}, {"cache_size": 20}, BOTH])
def test_what_learns_and_recalls_nothing_is_the_model_itself(knobs):
    """Every token counts once, the first of a document and a remainder included: 7 is no divisor of 1,200."""
    model, part = trained_of([ALPHABET], scale=3.0), part_of(texts(1, 1100, 1, 0, 99))
    off = {"dynamic_rate": 0.0, "cache_weight": 0.0, "dynamic_segment": 7}
    nats = adaptive_nats(model, part, AdaptationConfig(**knobs, **off))
    np.testing.assert_allclose(nats, document_nats(model, part.documents, 2, END), rtol=1e-3, atol=1e-4)


def test_both_together_are_better_than_either():
    model, part = trained_of([ALPHABET]), part_of(REPEATED)
    knobs = {"dynamic_rate": 0.02, "dynamic_segment": 4, "cache_flatness": 3.0, "cache_weight": 0.3}
    neither = total(model, part)
    dynamic, cache, both = (
        total(model, part, **on, **knobs) for on in ({"dynamic_evaluation": True}, {"cache_size": 20}, BOTH)
    )
    assert both < min(dynamic, cache) and max(dynamic, cache) < neither


def test_an_empty_part_needs_nothing():
    assert total(trained_of([ALPHABET]), part_of(Ragged.from_rows([])), **BOTH) == 0


def test_one_text_is_read_as_lanes_before_the_final_score():
    model, part = trained_of([ALPHABET]), part_of(texts(1, 101))
    assert total(model, part, is_final=False) == lane_nats(model, part.documents, 4, END)
    assert total(model, part) == pytest.approx(document_nats(model, part.documents, 1, END).sum(), rel=1e-6)


def test_settings_are_noted_where_they_count():
    assert AdaptationConfig().settings() == {}
    assert AdaptationConfig(dynamic_rate=3.0, cache_weight=0.5).settings() == {}
    rms = AdaptationConfig(dynamic_evaluation=True).settings()
    sgd = AdaptationConfig(dynamic_evaluation=True, dynamic_rule="sgd").settings()
    assert rms["dynamic_rate"] != sgd["dynamic_rate"] and set(rms) - set(sgd) == {"dynamic_windows"}
    cache = {"cache_size": 7, "cache_weight": 0.5, "cache_flatness": 0.3}
    assert AdaptationConfig(cache_size=7, cache_weight=0.5, cache_flatness=0.3).settings() == cache


def check(*arguments):
    values = flags.FlagValues()
    for defined in (Config, Invocation):
        define_flags(defined, values)
    values(["program", *arguments])
    names = [name for defined in (Config, Invocation) for name in given_flags(defined, values)]
    refuse_idle(names, *(config_from_flags(defined, values) for defined in (Config, Invocation)))


@pytest.mark.parametrize(
    ("flag", "counts", "idle"),
    [
        ("--dynamic_evaluation", (), ("--mode=train",)),
        ("--dynamic_rate=1", ("--dynamic_evaluation",), ()),
        ("--dynamic_segment=1", ("--dynamic_evaluation",), ("--cache_size=5",)),
        ("--dynamic_windows=1", ("--dynamic_evaluation",), ("--dynamic_evaluation", "--dynamic_rule=sgd")),
        ("--cache_size=3", (), ("--mode=predict",)),
        ("--cache_weight=0.2", ("--cache_size=3",), ("--dynamic_evaluation",)),
        ("--cache_flatness=0.2", ("--cache_size=3",), ()),
    ],
)
def test_a_flag_counts_or_is_refused(flag, counts, idle):
    check("--mode=eval", flag, *counts)
    with pytest.raises(UserError, match=rf"do nothing: {flag.partition('=')[0]} needs"):
        check("--mode=eval", flag, *idle)
