"""Pictures of predicted frames."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnn_jax.models.video_answers import DrawnClip
from rnn_jax.training.plots import never_fails


@never_fails
def plot_clips(figure: Any, drawn: Sequence[DrawnClip], png_path: str | Path) -> None:
    """For each clip two rows of frames: as they were, and below those that were to be predicted what was predicted."""
    figure.set_size_inches(12, 1.35 * len(drawn) + 0.3)
    for axes, clip in zip(figure.subplots(len(drawn), squeeze=False)[:, 0], drawn, strict=True):
        truth = np.concatenate([clip.context, clip.truth])
        below = np.concatenate([np.ones_like(clip.context), clip.predicted])
        height, width = truth.shape[1:3]
        axes.imshow(_colours(np.concatenate([_strip(truth), _strip(below)])), vmin=0, vmax=1, cmap="gray")
        for place in range(len(truth) + 1):
            axes.axvline(place * width - 0.5, color="tab:orange" if place == len(clip.context) else "0.5", linewidth=1)
        axes.set_yticks([height / 2, 3 * height / 2], ["truth", "predicted"], fontsize=7)
        axes.set_xticks([])
    figure.axes[0].set_title(f"{len(drawn[0].context)} frames are read, {len(drawn[0].truth)} predicted", fontsize=9)


def _strip(frames: np.ndarray) -> np.ndarray:
    """Frames (T, H, W, C) side by side (H, T · W, C)."""
    return np.concatenate(list(frames), axis=1)


def _colours(image: np.ndarray) -> np.ndarray:
    """As matplotlib draws it: grey without a last axis, and of what has two or more than four channels the first."""
    return image if image.shape[-1] in (3, 4) else image[..., 0]
