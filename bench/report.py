"""The results as Markdown: a table for each group, and their section of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.measure import EPOCHS
from bench.records import Record, Row, disagreement, geometric_mean, rows
from bench.systems import OURS, OWN, SYSTEMS

TITLES = {
    "training": "Training: time of a step",
    "prediction": "Prediction: time of a call",
    "two models": "Two models trained at once, in two Python threads",
    "busy machine": "Training with two threads while another process takes one of the two cores",
    "memory": "Peak memory of the training process, one thread",
    "first step": "Time from the definition of a model to the end of its first step",
    "import": "Import, and size on the disk with all dependencies",
}
MERGED = {"installed size": "import"}
"""Groups of one row that are shown in another's table."""
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


ORDER = [OURS, *OWN, *(x for x in SYSTEMS if x != OURS), "JAX"]


def markdown(machine: Mapping[str, Any], records: Sequence[Record], settings: str) -> str:
    """All results, as shown on the page."""
    parts = [_machine(machine), settings]
    for group, title in TITLES.items():
        found = rows(records, group)
        for other, place in MERGED.items():
            found += rows(records, other) if place == group else []
        if found:
            parts += [f"### {title}", table(found, machine.get("flops", {})), *_summary(found)]
    return "\n\n".join(parts) + "\n"


def table(found: Sequence[Row], peaks: Mapping[str, float]) -> str:
    """A Markdown table: a row per cell, a column per system, and the ratio to the best peer.

    Args:
        found: the cells.
        peaks: the measured operations a second by number of threads, for the share of them.
    """
    names = [x for x in ORDER if any(x in row.values for row in found)]
    shares = any(share(row, peaks) for row in found)
    apart = any(row.handover for row in found)
    head = ["", *names, "best peer", "ratio", *["of peak"] * shares, *["cores"] * apart]
    lines = [head, [":--", *["--:"] * len(names), ":--", *["--:"] * (1 + shares + apart)]]
    for row in found:
        values = [quantity(row.values[x], row.unit) if x in row.values else "" for x in names]
        ratio = "" if row.ratio is None else f"**{row.ratio:.2f}**"
        of = share(row, peaks)
        lines.append(
            [row.cell, *values, row.best[0] if row.best else "", ratio]
            + [f"{of:.0%}" if of else ""] * shares
            + [quantity(row.handover, "s") if row.handover else ""] * apart
        )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def share(row: Row, peaks: Mapping[str, float]) -> float | None:
    """The fraction of the machine's measured peak that Chainrule's matrix products reach."""
    peak = peaks.get(str(row.threads))
    if not row.flops or not peak or row.ours is None:
        return None
    return row.flops / row.ours / peak


def quantity(value: float, unit: str) -> str:
    """A number with a unit, in three digits."""
    steps = [("B", 1.0), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9)]
    if unit == "s":
        steps = [("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0)]
    name, size = steps[0]
    for larger, bound in steps[1:]:
        if value >= 0.9995 * bound:
            name, size = larger, bound
    number = value / size
    digits = 0 if number >= 99.95 else 1 if number >= 9.995 else 2
    return f"{number:.{digits}f} {name}"


def _machine(machine: Mapping[str, Any]) -> str:
    """A paragraph on the machine."""
    own, peers = (
        ", ".join(f"{name} {version}" for name, version in machine["versions"][x].items())
        for x in ("own", "peers")
    )
    flops = " and ".join(f"{x / 1e9:.0f}" for x in machine["flops"].values())
    memory = " and ".join(f"{x / 1e9:.1f}" for x in machine["bandwidth"].values())
    cores = " and ".join(machine["flops"])
    features = machine.get("features", "")
    held = f"all systems held to {features.upper()}, " if features else ""
    return (
        f"Measured on {machine['date']} on {machine['processor']}, {machine['cores']} cores, "
        f"{held}"
        f"{quantity(machine['memory'], 'B')} of memory, {machine['system']}. On {cores} cores it "
        f"reaches {flops} GFLOP/s in float32 multiply-adds and copies {memory} GB/s (read and "
        f"written). Load when it began: {machine['load']:.1f}. Chainrule's environment: {own}. "
        f"The peers': {peers}. Compiler: {machine['compiler'] or 'none'}."
    )


def _summary(found: Sequence[Row]) -> list[str]:
    """A sentence on the ratios of a table of several rows."""
    ratios = {row.cell: row.ratio for row in found if row.ratio is not None}
    if len(ratios) < 2:
        return []
    least = min(ratios, key=lambda cell: ratios[cell])
    mean = geometric_mean(list(ratios.values()))
    text = f"Geometric mean of the ratios {mean:.2f}; the least {ratios[least]:.2f}, in {least}."
    if apart := disagreement(found):
        text += f" After {EPOCHS} epochs the losses of a cell lie within {apart:.1%}."
    return [text]


def rewrite(page: str, text: str) -> str:
    """The page with new text between its markers.

    Raises:
        ValueError: it has no marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"
