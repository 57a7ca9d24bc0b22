"""The end-to-end suite: three frameworks train one model, and the loop's time is split rightly."""

import time

import pytest

from experiments.benchmarking import end_to_end, twins
from experiments.benchmarking.equivalence import NotEquivalent
from experiments.benchmarking.training_loop import time_in_program
from experiments.tasks.sentiment import TASK
from rnn_jax.config import flat_values, with_overrides
from rnn_jax.errors import UserError
from rnn_jax.text.text_codec import TextCodec
from rnn_jax.training import fit
from rnn_jax.training.prepare import prepare

pytestmark = pytest.mark.lenient_promotion  # of Flax and of Optax

SMALL = {"hidden_size": (6,), "embedding_size": 5, "batch_size": 16, "num_buckets": 2, "ngram_vocabulary_size": 50}
SPLITS = {"train_split": "train[:320]", "validation_split": "validation[:32]", "test_split": "test[:32]"}
RECIPE = with_overrides(end_to_end.recipe("synthetic_reviews", ""), SMALL | SPLITS | {"warmup_steps": 2})
CONFIG = end_to_end.comparable(RECIPE)


@pytest.fixture(scope="module")
def batches():
    return end_to_end.full_batches(prepare(TASK, CONFIG), 3)


def test_what_is_compared():
    recipe = flat_values(end_to_end.recipe("imdb_reviews", "somewhere"))
    expected = {"dataset": "imdb_reviews", "data_dir": "somewhere", "hidden_size": (64,), "max_tokens": 400}
    assert expected.items() <= recipe.items()
    assert recipe["ngram_vocabulary_size"] and recipe["word_dropout"] and recipe["clip_global_norm"]
    same = flat_values(end_to_end.comparable(end_to_end.recipe("imdb_reviews", "somewhere")))
    zero = ("ngram_vocabulary_size", "clip_global_norm", "word_dropout", "output_dropout")
    assert not any(same[name] for name in zero)
    assert {**expected, "bidirectional": True, "pooling": "mean_max"}.items() <= same.items()


@pytest.mark.exhaustive
def test_rows():
    pytest.importorskip("torch")
    rows = list(end_to_end.compare(CONFIG, blocks=2, batches=3))
    assert [row["peer"] for row in rows] == ["ours", "flax_nnx", "flax_nnx_optimized", "torch"]
    arrays = end_to_end.full_batches(prepare(TASK, CONFIG), 3)
    tokens = sum(batch["lengths"].sum() for batch in arrays)
    for row in rows:
        assert row["tokens_per_second"] * row["seconds"]["median"] == pytest.approx(tokens)
        assert row["max_relative_error"] < 1e-5
    assert rows[0]["ratio_to_ours"] == 1.0


@pytest.mark.parametrize("name", ["flax_nnx", "torch"])
def test_another_model_is_noticed(name, batches):
    """Directions exchanged: a mistake that shapes do not show."""
    params, ours = twins.ours(prepare(TASK, CONFIG))
    weights = twins.weights_of(params)
    weights["lstm"] = weights["lstm"][::-1]
    if name == "torch":
        pytest.importorskip("torch")
        twin = twins.torch_twin(CONFIG, weights)
    else:
        twin = twins.flax_twin(CONFIG, weights, cell="lstm")
    with pytest.raises(NotEquivalent, match=name):
        end_to_end.check({"ours": ours, name: twin}, batches)


def test_batches_are_full(batches):
    for batch in batches:
        assert batch["tokens"].shape[0] == 16 and batch["weights"].all() and batch["lengths"].all()
    with pytest.raises(UserError, match="no full batch of 400"):
        end_to_end.full_batches(prepare(TASK, with_overrides(CONFIG, {"batch_size": 400})), 3)


def test_time_beside_the_program_is_not_in_its_share(monkeypatch):
    original, train_step = TextCodec.batch, fit.train_step

    def slow(*arguments):
        time.sleep(0.2)
        return original(*arguments)

    monkeypatch.setattr(TextCodec, "batch", slow)
    (measured,) = time_in_program(RECIPE, num_steps=4, repeats=1)
    # A thread prepares batches ahead, so that part of the first one's 0.2 s lies before the measured steps.
    assert measured.loop > 0.1 > 2 * measured.program > 0
    assert measured.share == pytest.approx(measured.program / measured.loop) and measured.share < 0.5
    assert fit.train_step is train_step  # the loop is left as it was


def test_the_loop_row():
    row = end_to_end.loop_row(RECIPE, num_steps=6, repeats=1)
    assert (row["peer"], row["calls_per_block"], row["blocks"]) == ("loop/program", 5, 1)
    assert (
        row["share"] == pytest.approx(row["program_seconds"]["median"] / row["seconds"]["median"]) and row["share"] > 0
    )


def test_a_training_that_is_too_short():
    with pytest.raises(ValueError, match="fewer than num_steps=30"):
        time_in_program(with_overrides(RECIPE, {"num_steps": 5}), num_steps=30, repeats=1)
    with pytest.raises(ValueError, match="first step is not counted"):
        time_in_program(RECIPE, num_steps=1, repeats=1)
