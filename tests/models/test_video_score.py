"""Errors of predicted frames, against a loop over clips, frames and pixels; what the report says first."""

import numpy as np
import pytest

from rnn_jax.data.video.clips import Clips
from rnn_jax.data.video.codec import fit_video_codec
from rnn_jax.data.video.parts import VideoPart
from rnn_jax.models.video_report import report, verdict
from rnn_jax.models.video_score import VideoScores, score_part

S, T = 3, 2
CLIPS = Clips("some", np.random.default_rng(0).integers(0, 255, (5, S + T, 4, 4, 1)).astype(np.uint8))
PART = VideoPart(CLIPS, fit_video_codec(CLIPS, S, T, 0.0))


def predicts(value):
    """In place of a network: a grey that depends on the clip, or a number everywhere."""

    def apply(function, batch, *, num_future):
        del function
        frames = batch["frames"].astype(np.float32) / 255
        grey = frames[:, :1].mean(axis=(2, 3), keepdims=True) * np.ones((1, num_future, 4, 4, 1))
        weight = batch["weights"].sum()
        return (grey if value is None else np.full_like(grey, value)), weight * 3, weight

    return apply


def expected_errors():
    """By predictor: the mean over clips of each step's error, one number after the other."""
    values = CLIPS.frames[..., 0].astype(np.float64) / 255
    mean_frame = values.mean(axis=(0, 1))
    found = {name: np.zeros(T) for name in ("model", "zeros", "mean_frame", "mean_context", "copy_last")}
    for clip in values:
        for step in range(T):
            for y in range(4):
                for x in range(4):
                    guesses = {
                        "model": clip[0].mean(), "zeros": 0, "mean_frame": mean_frame[y, x],
                        "mean_context": clip[:S, y, x].sum() / S, "copy_last": clip[S - 1, y, x],
                    }  # fmt: skip
                    for name, guess in guesses.items():
                        found[name][step] += (clip[S + step, y, x] - guess) ** 2 / len(values)
    return found


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_errors_equal_a_loop(batch_size):
    scores = score_part(predicts(None), PART, batch_size, with_baselines=True)
    expected = expected_errors()
    assert list(scores.errors) == list(expected) and scores.loss == 3
    for name, errors in expected.items():
        np.testing.assert_allclose(scores.errors[name], errors, rtol=1e-6, err_msg=name)
    summary = scores.summary()
    assert summary["squared_error"] == pytest.approx(expected["model"].mean())
    assert summary["squared_error_copy_last"] == pytest.approx(expected["copy_last"].mean())


def test_a_prediction_that_is_no_number_counts():
    scores = score_part(predicts(np.nan), PART, 2, with_baselines=True)
    assert np.isnan(scores.summary()["squared_error"])
    assert "A BASELINE WINS" in verdict("some", scores)


def test_the_first_line_says_who_wins():
    wins, loses = (
        VideoScores({"model": np.full(2, value), "copy_last": np.array([2.0, 4.0]), "zeros": np.full(2, 9.0)}, 0.1)
        for value in (2.5, 3.5)
    )
    assert report(PART, wins).splitlines()[0] == (
        "some: the model wins. Its squared error is 2.5 a frame, that of copy last 3."
    )
    assert report(PART, loses).startswith("some: A BASELINE WINS OVER THE MODEL. Its squared error is 3.5 a frame")
    assert "| copy last | 3 | 2 | 4 |" in report(PART, wins)
