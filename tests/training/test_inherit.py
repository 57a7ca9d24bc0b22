"""What a configuration takes over from the run that --init_from names, before anything is imported."""

import json

import pytest

from experiments import language_model, sentiment, tagging
from rnn_jax.config import VOCABULARY, fields_of, flat_values, with_overrides
from rnn_jax.training.inherit import with_inherited
from rnn_jax.training.run import open_run

DONOR = {
    "cell": ("gru", "lstm"),
    "cell_options": ("b_init=(0.0,1.0)",),
    "hidden_size": (7, 9),
    "num_layers": 2,
    "residual": True,
    "embedding_size": 5,
    "vocabulary_size": 77,
    "lowercase": False,
    "learning_rate": 0.5,
    "output_dropout": 0.5,
}
NETWORK = {name: DONOR[name] for name in ("cell", "cell_options", "hidden_size", "num_layers", "residual")}
NETWORK["embedding_size"] = 5


def make_run(directory, experiment=sentiment, **knobs):
    open_run(directory, experiment.EXPERIMENT, with_overrides(experiment.Config(), knobs)).close()
    return directory


def inherited(place, given=(), workdir=None, experiment=sentiment):
    """The knobs that differ from the defaults."""
    config = with_overrides(experiment.Config(), {"init_from": str(place), **dict(given)})
    found = flat_values(with_inherited(config, experiment.EXPERIMENT, dict(given), workdir or place / "none"))
    found.pop("init_from")
    return {name: value for name, value in found.items() if value != fields_of(experiment.Config)[name].default}


def test_a_run_of_the_same_experiment_gives_network_and_vocabulary(tmp_path):
    donor = make_run(tmp_path / "a", **DONOR, pooling="max", ngram_vocabulary_size=9)
    along = NETWORK | {"vocabulary_size": 77, "lowercase": False, "pooling": "max", "ngram_vocabulary_size": 9}
    assert inherited(donor) == along
    assert inherited(donor, {"hidden_size": (3,), "pooling": "mean"}) == along | {
        "hidden_size": (3,),
        "pooling": "mean",
    }


def test_a_given_default_is_given(tmp_path):
    donor = make_run(tmp_path / "a", **DONOR)
    assert "hidden_size" not in inherited(donor, {"hidden_size": (128,)})


def test_a_run_of_another_experiment_gives_its_network_alone(tmp_path):
    donor = make_run(tmp_path / "lm", language_model, **DONOR, tokenizer="byte", head="mixture")
    assert inherited(donor) == NETWORK
    assert inherited(donor, {"bidirectional": True}) == NETWORK | {"bidirectional": True}
    assert inherited(donor, {"vocabulary_size": 50}) == NETWORK | {"vocabulary_size": 50}  # training refuses it


def test_the_default_of_another_experiment_counts_as_well(tmp_path):
    """Tagging reads in both directions unless told otherwise."""
    donor = make_run(tmp_path / "lm", language_model)
    config = with_overrides(tagging.Config(), {"init_from": str(donor)})
    assert config.encoder.bidirectional
    assert not with_inherited(config, "tagging", {}, tmp_path / "none").encoder.bidirectional


def test_the_width_that_num_params_came_to(tmp_path):
    donor = make_run(tmp_path / "a", num_params=20_000)
    assert inherited(donor) == {}
    (donor / "result.json").write_text(json.dumps({"hidden_size": "37"}))
    assert inherited(donor) == {"hidden_size": (37,)}


def test_no_such_run_changes_nothing(tmp_path):
    assert inherited(tmp_path / "nowhere") == {}
    config = sentiment.Config()
    assert with_inherited(config, "sentiment", {}, tmp_path) is config


@pytest.mark.parametrize("below", [".", "seed_3"])
def test_a_run_that_has_begun_has_them_itself(below, tmp_path):
    make_run(tmp_path / "run" / below, **NETWORK, init_from=str(tmp_path / "gone"))
    assert inherited(tmp_path / "gone", workdir=tmp_path / "run") == {}  # it failed before it trained
    (tmp_path / "run" / below / "metrics.jsonl").write_text("")
    assert inherited(tmp_path / "gone", workdir=tmp_path / "run") == NETWORK
    changed = inherited(tmp_path / "gone", {"num_layers": 3}, workdir=tmp_path / "run")
    assert changed == NETWORK | {"num_layers": 3}
    other = make_run(tmp_path / "other", embedding_size=6)
    assert inherited(other, workdir=tmp_path / "run") == {"embedding_size": 6}


def test_vocabulary_knobs_are_those_that_fitting_reads():
    """They were a list in each task before they were marked."""
    marked = {
        module.EXPERIMENT: {name for name, field in fields_of(module.Config).items() if field.inherited == VOCABULARY}
        for module in (sentiment, tagging, language_model)
    }
    assert marked == {
        "sentiment": {"tokenizer", "vocabulary_size", "lowercase", "ngram_vocabulary_size", "ngram_orders"},
        "tagging": {"lowercase", "max_characters"},
        "language_model": {"tokenizer", "vocabulary_size", "min_count", "lowercase", "pretokenized", "space_mark"},
    }
