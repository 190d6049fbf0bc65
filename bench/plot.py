"""The picture of the training table: `python -m bench.plot results.json picture.svg`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "bench", "font.size": 9}

from matplotlib import pyplot  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402

from bench.records import Record, Row, rows  # noqa: E402
from bench.systems import OURS, SYSTEMS  # noqa: E402

MARKS = dict(zip(SYSTEMS, "DosoX^", strict=True))
COLOURS = dict(
    zip(
        SYSTEMS,
        ("#d9480f", "#1971c2", "#4dabf7", "#69db7c", "#2b8a3e", "#868e96"),
        strict=True,
    )
)


def draw(found: Sequence[Row], path: Path) -> None:
    """A panel for each optimizer and number of threads, a line for each network."""
    panels: dict[str, list[tuple[str, Row]]] = {}
    for row in found:
        network, variant = row.cell.split(", ", 1)
        panels.setdefault(variant, []).append((network, row))
    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    figure, grid = pyplot.subplots(
        lines, columns, figsize=(5 * columns, 0.8 + 3 * lines), sharex=True, sharey=True,
        squeeze=False, layout="constrained",
    )  # fmt: skip
    for axes, (variant, cells) in zip(grid.flat, panels.items(), strict=False):
        panel(axes, variant, cells)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    figure.supxlabel("time of a training step, in times of Chainrule's")
    figure.savefig(path, metadata={"Date": None})


def panel(axes: Axes, title: str, cells: Sequence[tuple[str, Row]]) -> None:
    """One optimizer with one number of threads: the time of every system relative to ours."""
    axes.set_title(title, fontsize=10)
    names = [name for name, _ in cells]
    for system in SYSTEMS:
        points = [
            (row.values[system] / row.ours, k)
            for k, (_, row) in enumerate(cells)
            if system in row.values and row.ours
        ]
        if points:
            axes.plot(
                *zip(*points, strict=True), MARKS[system], color=COLOURS[system], label=system,
                linestyle="none", markersize=6 if system == OURS else 5,
            )  # fmt: skip
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.axvline(1, color=COLOURS[OURS], linewidth=0.8)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x", color="#dee2e6", which="both", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    saved = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    draw(rows([Record(**x) for x in saved["records"]], "training"), Path(sys.argv[2]))
