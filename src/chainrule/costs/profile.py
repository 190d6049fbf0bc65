"""The profile of a step: measured beside predicted times, by kernel and by node."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chainrule.costs.forecast import Forecast, loops_text
from chainrule.costs.measured import MeasuredKernel
from chainrule.costs.traceevents import events_text, trace_events
from chainrule.display.tables import Section, as_html, as_text, digits, seconds_text
from chainrule.plan.show import task_blocks
from chainrule.system.atomicfile import write_whole

MAX_NAME = 24
"""Characters of a kernel's name in the table."""

NODES = 15
"""Nodes that are listed: those that take most."""


@dataclass(frozen=True)
class Profile:
    """A step after it ran. `str(profile)` is its text; a notebook shows tables.

    Attributes:
        forecast: the prediction.
        kernels: in order.
        nodes: seconds of a step by the name of the node; a kernel's are divided among its
            nodes in proportion to their costs.
        waits: by phase, the seconds that each thread waited for the others at its end.
        seconds: the seconds of a step.
        steps: the number that ran.
    """

    forecast: Forecast
    kernels: tuple[MeasuredKernel, ...]
    nodes: dict[str, float]
    waits: tuple[tuple[float, ...], ...]
    seconds: float
    steps: int

    @property
    def waiting(self) -> float:
        """Seconds of a step in which threads waited for each other, the mean of the threads."""
        return sum(sum(phase) / len(phase) for phase in self.waits)

    def to_dict(self) -> dict[str, Any]:
        """The profile as plain values: `Forecast.to_dict`, and what was measured.

        `measured` is the seconds of a step, of each kernel (the mean over the threads, and by
        thread) and of each node, that of a kernel divided among its nodes by their costs; and
        `waiting` the seconds of a step in which threads waited for each other.
        """
        content = self.forecast.to_dict()
        for kernel, x in zip(content["kernels"], self.kernels, strict=True):
            kernel |= {"measured": x.seconds, "measured_by_thread": list(x.threads)}
        for name, node in content["nodes"].items():
            node["measured"] = self.nodes.get(name, 0.0)
        return content | {"measured": self.seconds, "waiting": self.waiting, "steps": self.steps}

    def trace_events(self) -> dict[str, Any]:
        """The step as Chrome trace events, plain JSON values.

        A slice for each kernel on each thread has its nodes, its phase, its bytes and operations,
        and its predicted and measured time. Of a very long step the shortest slices are left out;
        `["otherData"]["left_out_slices"]` is their number.
        """
        return trace_events(self.forecast, self.kernels, self.waits, self.steps)

    def to_trace(self, path: str | os.PathLike[str]) -> Path:
        """Write the step as Chrome trace events, for ui.perfetto.dev or chrome://tracing.

        The file is strict JSON of less than 5 MB; it is written as a whole or not at all.

        Raises:
            OSError: the folder does not exist or cannot be written.
        """
        return write_whole(path, events_text(self.trace_events()))

    def __str__(self) -> str:
        return as_text(self.sections())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return as_html(self.sections())

    def sections(self, *, full: bool = False) -> tuple[Section, ...]:
        """The profile in parts; `full` shows also the kernels that come again and again."""
        return self._facts(), self._kernels(full), self._nodes()

    def _facts(self) -> Section:
        forecast, speeds = self.forecast, self.forecast.speeds
        threads = f"{forecast.threads} thread{'s' * (forecast.threads > 1)}"
        rate = forecast.flops / self.seconds
        peak = speeds.peak * forecast.threads
        off = 100 * (forecast.seconds / self.seconds - 1)
        said = "as predicted" if abs(off) < 0.5 else (
            f"{seconds_text(forecast.seconds)} predicted, {abs(off):.0f} % "
            f"{'more' if off > 0 else 'less'}"
        )  # fmt: skip
        rows = [
            ("measured", f"{seconds_text(self.seconds)} a step with {threads} ({said}), "
                         f"{digits(forecast.cost.rows / self.seconds)} rows a second"),
            ("speed", f"{digits(rate / 1e9)} GF/s, {100 * rate / peak:.0f} % of the "
                      f"{digits(peak / 1e9)} GF/s that {threads} can do"
                      f"{' in float32' * forecast.rounded}"),
            ("memory", f"{digits(forecast.bytes / self.seconds / 1e9)} GB/s; from memory "
                       f"{digits(self._memory() / 1e9)} GB/s can come, from the caches more"),
            ("called", f"{self.steps:,} times each kernel; the time is that of the quicker parts"),
        ]  # fmt: skip
        title = forecast.what.replace("A training step", "Profile of a training step", 1)
        return Section(title, tuple(rows))

    def _memory(self) -> float:
        """Bytes a second from memory, with the number of threads of the run."""
        speeds = self.forecast.speeds
        return min(speeds.levels[-1][1] * self.forecast.threads, speeds.shared)

    def _kernels(self, full: bool) -> Section:
        rows: list[tuple[str, ...]] = []
        for block in task_blocks([x.cost.work.task for x in self.kernels], full=full):
            if block.times > 1:
                alike = self.kernels[block.start : block.last + 1]
                name = _shortened(alike[-1].cost.work.kernel.name)
                seconds, predicted = (
                    sum(x) for x in zip(*((y.seconds, y.cost.seconds) for y in alike), strict=True)
                )
                rows.append(self._line(f"{block.times} times, to {name}", "", seconds, predicted))
            rows += [self._row(self.kernels[k], block.times > 1) for k in block.shown]
        if self.forecast.threads > 1:
            rows.append(self._line("waiting", "", self.waiting, self.forecast.cost.barriers))
        rows.append(self._line("a step", "", self.seconds, self.forecast.seconds))
        head = ("kernel", "loops", "us", "%", "predicted", "GF/s", "% peak", "GB/s", "% memory")
        return Section("Kernels", tuple(rows), head, (2, 3, 4, 5, 6, 7, 8))

    def _row(self, x: MeasuredKernel, repeated: bool = False) -> tuple[str, ...]:
        forecast = self.forecast
        peak = forecast.speeds.peak * forecast.threads
        name = "  " * repeated + _shortened(x.cost.work.kernel.name)
        loops = loops_text(x.cost.work, forecast.cost.rows)
        line = self._line(name, loops, x.seconds, x.cost.seconds)
        return (
            *line[:5],
            digits(x.flops_rate / 1e9),
            f"{100 * x.flops_rate / peak:.0f}",
            digits(x.bytes_rate / 1e9),
            f"{100 * x.bytes_rate / self._memory():.0f}",
        )

    def _line(self, name: str, what: str, seconds: float, predicted: float) -> tuple[str, ...]:
        share = 100 * seconds / self.seconds
        times = _microseconds(seconds), f"{share:.0f}", _microseconds(predicted)
        return (name, what, *times, "", "", "", "")

    def _nodes(self) -> Section:
        order = sorted(self.nodes, key=lambda name: -self.nodes[name])
        rows = [_node_row(name, self.nodes[name], self.seconds) for name in order[:NODES]]
        left = order[NODES:]
        if left:
            rest = sum(self.nodes[name] for name in left)
            rows.append(_node_row(f"{len(left)} more", rest, self.seconds))
        return Section("Nodes", tuple(rows), ("node", "us", "%"), (1, 2))


def _node_row(name: str, seconds: float, total: float) -> tuple[str, ...]:
    return name, _microseconds(seconds), f"{100 * seconds / total:.1f}"


def _microseconds(seconds: float) -> str:
    """Two decimals below a millisecond, so that a slow step is no wider than a fast one."""
    return f"{seconds * 1e6:,.{0 if seconds >= 1e-3 else 2}f}"


def _shortened(name: str) -> str:
    """The end of a long name, so that tables stay within a line."""
    return name if len(name) <= MAX_NAME else f"..{name[2 - MAX_NAME :]}"
