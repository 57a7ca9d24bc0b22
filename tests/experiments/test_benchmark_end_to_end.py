"""The end-to-end suite: three frameworks train one model, and the loop's time is split rightly."""

import dataclasses
import time

import pytest

from experiments import sentiment
from experiments.benchmarking import end_to_end, twins
from experiments.benchmarking.equivalence import NotEquivalent
from experiments.benchmarking.training_loop import time_in_program
from rnn_jax.data.text_inputs import TextInputs
from rnn_jax.errors import UserError

pytestmark = pytest.mark.lenient_promotion  # of Flax and of Optax

RECIPE = dataclasses.replace(
    end_to_end.recipe("synthetic_reviews", ""),
    hidden_size=(6,),
    embedding_size=5,
    batch_size=16,
    num_buckets=2,
    train_split="train[:320]",
    validation_split="validation[:32]",
    test_split="test[:32]",
    ngram_vocabulary_size=50,
    warmup_steps=2,
)
CONFIG = end_to_end.comparable(RECIPE)


@pytest.fixture(scope="module")
def batches():
    return end_to_end.full_batches(CONFIG, 3)


def test_what_is_compared():
    recipe = end_to_end.recipe("imdb_reviews", "somewhere")
    assert (recipe.dataset, recipe.data_dir, recipe.hidden_size, recipe.max_tokens) == (
        "imdb_reviews",
        "somewhere",
        (64,),
        400,
    )
    assert recipe.ngram_vocabulary_size and recipe.word_dropout and recipe.clip_global_norm
    same = end_to_end.comparable(recipe)
    assert not (same.ngram_vocabulary_size or same.clip_global_norm or same.word_dropout or same.output_dropout)
    assert (same.bidirectional, same.hidden_size, same.max_tokens, same.pooling) == (True, (64,), 400, "mean_max")


def test_rows():
    pytest.importorskip("torch")
    rows = list(end_to_end.compare(CONFIG, blocks=2, batches=3))
    assert [row["peer"] for row in rows] == ["ours", "flax_nnx", "flax_nnx_optimized", "torch"]
    _, arrays = end_to_end.full_batches(CONFIG, 3)
    tokens = sum(batch["lengths"].sum() for batch in arrays)
    for row in rows:
        assert row["tokens_per_second"] * row["seconds"]["median"] == pytest.approx(tokens)
        assert row["max_relative_error"] < 1e-5
    assert rows[0]["ratio_to_ours"] == 1.0


@pytest.mark.parametrize("name", ["flax_nnx", "torch"])
def test_another_model_is_noticed(name, batches):
    """Directions exchanged: a mistake that shapes do not show."""
    inputs, arrays = batches
    params, ours = twins.ours(CONFIG, inputs)
    weights = twins.weights_of(params)
    weights["lstm"] = weights["lstm"][::-1]
    if name == "torch":
        pytest.importorskip("torch")
        twin = twins.torch_twin(CONFIG, weights)
    else:
        twin = twins.flax_twin(CONFIG, weights, cell="lstm")
    with pytest.raises(NotEquivalent, match=name):
        end_to_end.check({"ours": ours, name: twin}, arrays)


def test_batches_are_full(batches):
    for batch in batches[1]:
        assert batch["tokens"].shape[0] == 16 and batch["weights"].all() and batch["lengths"].all()
    with pytest.raises(UserError, match="no full batch of 400"):
        end_to_end.full_batches(dataclasses.replace(CONFIG, batch_size=400), 3)


def test_time_beside_the_program_is_not_in_its_share(monkeypatch):
    original = TextInputs.batch_arrays

    def slow(*arguments):
        time.sleep(0.2)
        return original(*arguments)

    steps_of = sentiment.steps_of
    monkeypatch.setattr(TextInputs, "batch_arrays", slow)
    (measured,) = time_in_program(RECIPE, num_steps=4, repeats=1)
    assert measured.loop >= 0.2 > 2 * measured.program > 0
    assert measured.share == pytest.approx(measured.program / measured.loop) and measured.share < 0.5
    assert sentiment.steps_of is steps_of  # the loop is left as it was


def test_the_loop_row():
    row = end_to_end.loop_row(RECIPE, num_steps=6, repeats=1)
    assert (row["peer"], row["calls_per_block"], row["blocks"]) == ("loop/program", 5, 1)
    assert (
        row["share"] == pytest.approx(row["program_seconds"]["median"] / row["seconds"]["median"]) and row["share"] > 0
    )


def test_a_training_that_is_too_short():
    with pytest.raises(ValueError, match="fewer than num_steps=30"):
        time_in_program(dataclasses.replace(RECIPE, num_steps=5), num_steps=30, repeats=1)
    with pytest.raises(ValueError, match="first step is not counted"):
        time_in_program(RECIPE, num_steps=1, repeats=1)
