"""What is said of predicted frames: who wins, by how much, and at which steps ahead."""

import numpy as np

from rnn_jax.data.video.parts import VideoPart
from rnn_jax.models.report_text import named, number, table
from rnn_jax.models.video_score import MODEL, VideoScores


def verdict(name: str, scores: VideoScores) -> str:
    """One line: whether the model has the lowest squared error, and if not, who has."""
    means = {predictor: float(values.mean()) for predictor, values in scores.errors.items()}
    model = means.pop(MODEL)
    best = min(means, key=means.__getitem__)
    said = f"Its squared error is {number(model)} a frame, that of {named(best)} {number(means[best])}."
    return f"{name}: {'the model wins' if model < means[best] else 'A BASELINE WINS OVER THE MODEL'}. {said}"


def report(part: VideoPart, scores: VideoScores) -> str:
    """Markdown: the verdict, and every predictor's errors, over all steps and at each."""
    codec, steps = part.codec, range(1, part.codec.num_future + 1)
    rows = [(named(name), float(np.mean(values)), *values) for name, values in scores.errors.items()]
    lines = [verdict(part.name, scores), ""]
    lines += [f"{len(part.clips.frames):,} clips: {codec.num_context} frames are read, {codec.num_future} predicted."]
    lines += ["Errors are squared, of pixels in 0 … 1, summed over a frame; means over clips, by steps ahead:", ""]
    lines += table(("prediction", "all", *map(str, steps)), rows)
    return "\n".join(lines) + "\n"
