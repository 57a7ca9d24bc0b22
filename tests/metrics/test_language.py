"""What a language model needs to say a text, by hand."""

import math

import pytest

from rnn_jax.metrics.language import language_metrics


def test_by_hand():
    # Four tokens of probabilities 1/2, 1/4, 1/8, 1/2, which are seven bits, in a text of 14 characters.
    nats = -sum(map(math.log, (1 / 2, 1 / 4, 1 / 8, 1 / 2)))
    found = language_metrics(nats, num_tokens=4, num_characters=14, num_unknown=1)
    assert found == {
        "loss": pytest.approx(7 * 0.6931471805599453 / 4),
        "perplexity": pytest.approx(2**1.75),
        "bits_per_character": pytest.approx(0.5),
        "unknown": 0.25,
    }


def test_uniform_characters():
    nats = 100 * math.log(27)
    found = language_metrics(nats, num_tokens=100, num_characters=100, num_unknown=0, source_nats=nats)
    assert found["perplexity"] == pytest.approx(27) == found["perplexity_floor"]
    assert found["bits_per_character"] == pytest.approx(4.754887502163469)


def test_units_compare_by_bits_and_not_by_perplexity():
    words, characters = (language_metrics(70.0, num_tokens=n, num_characters=50, num_unknown=0) for n in (10, 50))
    assert words["bits_per_character"] == characters["bits_per_character"]
    assert words["perplexity"] == pytest.approx(math.exp(7.0)) and characters["perplexity"] == pytest.approx(
        math.exp(1.4)
    )


def test_the_floor_of_a_source():
    found = language_metrics(30.0, num_tokens=10, num_characters=10, num_unknown=0, source_nats=20.0)
    assert found["perplexity_floor"] == pytest.approx(math.exp(2.0)) and found["perplexity"] > found["perplexity_floor"]
    assert "perplexity_floor" not in language_metrics(30.0, num_tokens=10, num_characters=10, num_unknown=0)
    certain = language_metrics(0.0, num_tokens=10, num_characters=10, num_unknown=0, source_nats=0.0)
    assert certain["perplexity"] == certain["perplexity_floor"] == 1.0 and certain["bits_per_character"] == 0.0


@pytest.mark.parametrize("nats", [1e4, math.inf])
def test_a_model_that_diverged_has_finite_perplexity(nats):
    found = language_metrics(nats, num_tokens=1, num_characters=1, num_unknown=0, source_nats=nats)
    assert found["loss"] == nats
    assert found["perplexity"] == found["perplexity_floor"] == math.exp(700)


def test_what_is_no_number_stays_none():
    found = language_metrics(math.nan, num_tokens=1, num_characters=1, num_unknown=0)
    assert all(math.isnan(found[name]) for name in ("loss", "perplexity", "bits_per_character"))


def test_nothing_to_say():
    found = language_metrics(0.0, num_tokens=0, num_characters=0, num_unknown=0)
    assert found == {"loss": 0.0, "perplexity": 1.0, "bits_per_character": 0.0, "unknown": 0.0}
