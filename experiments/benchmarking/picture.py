"""One panel a pass: the time of every implementation by ours, one line a problem, on a logarithmic axis."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.benchmarking.comparison import Case

_MARKERS = "osD^v<>PX*"


def draw_ratios(cases: Sequence[Case], path: Path) -> None:
    """Saves the picture of one suite's cases as PNG. Right of the line at 1: slower than ours."""
    passes = list(dict.fromkeys(case.pass_ for case in cases))
    names = dict.fromkeys(f"{case.shape} {case.cell}" for case in cases)
    lines = {name: index for index, name in enumerate(names)}
    peers = list(dict.fromkeys(peer for case in cases for peer in case.peers))
    figure = Figure(figsize=(3 + 3.5 * len(passes), 2 + 0.2 * len(lines)), layout="constrained")
    FigureCanvasAgg(figure)  # no global pyplot state, and no display
    panels = figure.subplots(1, len(passes), sharey=True, squeeze=False)[0]
    for panel, pass_ in zip(panels, passes, strict=True):
        for index, peer in enumerate(peers):
            own = [case for case in cases if case.pass_ == pass_ and peer in case.rows]
            ratios, heights = [case.ratio(peer) for case in own], [lines[f"{case.shape} {case.cell}"] for case in own]
            style = {"marker": _MARKERS[index % len(_MARKERS)], "color": f"C{index % 10}", "markersize": 4}
            panel.plot(ratios, heights, linestyle="", label=peer, **style)
        panel.axvline(1, color="black", linewidth=0.8)
        panel.set(title=pass_, xlabel="time by ours", ylim=(len(lines) - 0.5, -0.5))
        panel.set_xscale("log", base=2)
        panel.xaxis.set_major_formatter("{x:g}")
        panel.grid(alpha=0.3)
    panels[0].set_yticks(range(len(lines)), list(lines), fontsize=7)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(peers), 5), fontsize=7)
    figure.savefig(path, format="png", dpi=120)
