"""Pictures of a run. Nothing here may end a training run: what fails is logged, and False is returned."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import numpy as np
from absl import logging
from jaxtyping import Float, Int

from rnn_jax.files import read_metrics

P = ParamSpec("P")

_FIRST_PANELS = ("loss", "accuracy", "gradient_norm", "learning_rate")
_NOT_PLOTTED = ("step", "epoch", "seconds")
_BESIDE = {"nats": "loss", "perplexity_floor": "perplexity"}  # metrics that are lines of another one's panel
_MAX_PANELS = 12
_PANELS_A_ROW = 2
_MAX_ANNOTATED_CLASSES = 20


def never_fails(draw: Callable[Concatenate[Any, P], None]) -> Callable[P, bool]:
    """Gives the function a figure (Agg, no global pyplot state), saves it atomically as its last argument says."""

    @functools.wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> bool:
        path = Path(str(kwargs["png_path"] if "png_path" in kwargs else args[-1]))
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            # Imported here: matplotlib takes half a second, which a run that plots nothing should not pay.
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure

            figure = Figure(layout="constrained")
            FigureCanvasAgg(figure)
            draw(figure, *args, **kwargs)
            figure.savefig(temporary, format="png", dpi=120)
            temporary.replace(path)
            return True
        except Exception as error:  # a picture is never worth a run
            temporary.unlink(missing_ok=True)
            logging.warning("could not draw %s: %s: %s", path, type(error).__name__, error)
            return False

    return wrapper


def panels(figure: Any, count: int, width: float, height: float) -> list[Any]:
    """So many axes, of which two lie side by side, each of a width and a height in inches, margins included."""
    columns = min(_PANELS_A_ROW, count)
    rows = -(-count // columns)
    figure.set_size_inches(width * columns, height * rows)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for left_over in grid[count:]:
        left_over.remove()
    return grid[:count]


@never_fails
def plot_curves(figure: Any, metrics_path: str | Path, png_path: str | Path) -> None:
    """One panel per metric of a metrics.jsonl over steps, with a line each for train, validation, …"""
    curves = collect_curves(read_metrics(Path(metrics_path)))
    names = sorted(curves, key=lambda name: (_FIRST_PANELS.index(name) if name in _FIRST_PANELS else 99, name))
    names = names[:_MAX_PANELS]
    if not names:
        raise ValueError("there are no metrics yet")
    for axes, panel in zip(panels(figure, len(names), 5.0, 3.2), names, strict=True):
        for name, (steps, values) in curves[panel].items():
            axes.plot(steps, values, marker="o" if len(steps) < 40 else None, markersize=3, label=name)
        axes.set_title(panel.replace("_", " "))
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        positive = all(value > 0 for _, values in curves[panel].values() for value in values)
        if panel == "gradient_norm" and positive:
            axes.set_yscale("log")
        if set(curves[panel]) != {""}:
            axes.legend()
    # Margins by hand, in inches: to compute them would draw everything three times: a second at the end of every run.
    width, height = figure.get_size_inches()
    figure.set_layout_engine(None)
    figure.subplots_adjust(0.8 / width, 0.5 / height, 1 - 0.15 / width, 1 - 0.35 / height, wspace=0.22, hspace=0.42)


def collect_curves(lines: Sequence[dict[str, Any]]) -> dict[str, dict[str, tuple[list[int], list[float]]]]:
    """(steps, values) by panel and line, from the lines of a metrics.jsonl; null values are left out.

    "validation/loss" is the line "validation" of the panel "loss", "train/nats" the line "train nats" of the same.
    """
    curves: dict[str, dict[str, tuple[list[int], list[float]]]] = {}
    for line in lines:
        for name, value in line.items():
            if name in _NOT_PLOTTED or isinstance(value, bool) or not isinstance(value, int | float):
                continue
            prefix, _, panel = name.rpartition("/")
            if panel in _BESIDE:
                panel, prefix = _BESIDE[panel], f"{prefix} {panel.replace('_', ' ')}"
            steps, values = curves.setdefault(panel, {}).setdefault(prefix, ([], []))
            steps.append(line["step"])
            values.append(value)
    return curves


@never_fails
def plot_confusion(
    figure: Any,
    matrix: Int[np.ndarray, "classes classes"] | Float[np.ndarray, "classes classes"],
    names: Sequence[str],
    png_path: str | Path,
) -> None:
    """Confusion matrix, rows true and columns predicted; colours are shares of the row, numbers are counts."""
    counts = np.asarray(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = min(2.5 + 0.6 * len(names), 20.0)
    figure.set_size_inches(size + 1.0, size)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    figure.colorbar(image, ax=axes, label="share of the true class")
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if len(names) <= _MAX_ANNOTATED_CLASSES:
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count:g}", ha="center", va="center", color=colour)


@never_fails
def plot_attention(
    figure: Any,
    maps: Sequence[tuple[Float[np.ndarray, "_ _"], Sequence[str], Sequence[str]]],
    png_path: str | Path,
) -> None:
    """One panel for each (weights, source tokens, target tokens): a row a target token, dark where it looks."""
    longest = max(len(tokens) for _, *sides in maps for tokens in sides)
    size = min(2.0 + 0.25 * longest, 14.0)
    for axes, (weights, source, target) in zip(panels(figure, len(maps), size, size), maps, strict=True):
        axes.imshow(weights, cmap="Greys", vmin=0.0, vmax=1.0, aspect="auto")
        axes.set_xticks(range(len(source)), source, rotation=90, fontsize=8)
        axes.set_yticks(range(len(target)), target, fontsize=8)
        axes.xaxis.tick_top()
        axes.set_xlabel("source")
        axes.set_ylabel("written")
