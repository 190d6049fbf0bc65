"""The picture of the errors: `python -m bench.quality.plot results.json picture.svg`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "bench", "font.size": 9}

from matplotlib import pyplot  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402

from bench.quality.learners import LEARNERS  # noqa: E402
from bench.quality.records import Cell, Run, cells  # noqa: E402
from bench.quality.sets import SETS  # noqa: E402

OURS, OTHERS = "#d9480f", "#495057"
FAR = 2.0
"""Errors beyond this multiple of the least of their set are drawn at the edge, as a number."""


def draw(found: Mapping[str, Mapping[str, Cell]], path: Path) -> None:
    """A panel for each set."""
    sets = [x for x in SETS if x in found]
    columns = min(5, len(sets))
    lines = -(-len(sets) // columns)
    names = [x for x in LEARNERS if any(x in row for row in found.values())]
    figure, grid = pyplot.subplots(
        lines, columns, figsize=(2.4 * columns + 1, 0.6 + 2.2 * lines), sharey=True,
        squeeze=False, layout="constrained",
    )  # fmt: skip
    for axes, name in zip(grid.flat, sets, strict=False):
        panel(axes, name, found[name], names)
    for axes in grid.flat[len(sets) :]:
        axes.axis("off")
    grid[0, 0].set_yticks(range(len(names)), names)
    grid[0, 0].set_ylim(len(names) - 0.5, -0.5)
    figure.supxlabel("test error: mean and standard error", fontsize=9)
    figure.savefig(path, metadata={"Date": None})


def panel(axes: Axes, name: str, row: Mapping[str, Cell], names: list[str]) -> None:
    """One set: a line for each learner."""
    classes = SETS[name].task == "classification"
    scale = 100 if classes else 1
    least = min(x.error for x in row.values()) * scale
    edge = max(FAR * least, 4.0 if classes else 0.0)
    axes.set_title(f"{name} ({'% wrong' if classes else 'RMSE'})", fontsize=9)
    for k, learner in enumerate(names):
        if learner not in row:
            continue
        cell, colour = row[learner], OURS if LEARNERS[learner].ours else OTHERS
        error = cell.error * scale
        if error > edge:
            number = f"{error:.3g}" if error < 1000 else f"{error:,.0f}"
            axes.text(0.99, k, number + " →", transform=axes.get_yaxis_transform(),
                      ha="right", va="center", color=colour, fontsize=8)  # fmt: skip
            continue
        axes.errorbar(error, k, xerr=(cell.spread or 0) * scale, fmt="o", color=colour,
                      markersize=4, capsize=2, linewidth=1)  # fmt: skip
    axes.grid(axis="x", color="#dee2e6", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12)


if __name__ == "__main__":
    saved = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    runs = [Run(**x) for x in saved["runs"]]
    draw(cells([x for x in runs if x.learner in LEARNERS]), Path(sys.argv[2]))
