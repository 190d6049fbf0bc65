"""The forecast of a step before it runs: passes, phases, kernels, layout, memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chainrule.costs.cost import KernelCost, PlanCost
from chainrule.costs.shared import SharedCost
from chainrule.costs.speeds import Speeds
from chainrule.costs.work import Work
from chainrule.display.repeats import Block
from chainrule.display.tables import (
    Section,
    as_html,
    as_text,
    bytes_text,
    digits,
    flops_text,
    seconds_text,
)
from chainrule.ir.kernel import Axis
from chainrule.plan.plan import Plan
from chainrule.plan.show import SPLITS, show, task_blocks

LISTED = 12
"""Buffers that are listed by name."""


@dataclass(frozen=True)
class Pass:
    """A rewriting of the graph: its name, what it does, and the nodes that it left."""

    name: str
    what: str
    nodes: int


@dataclass(frozen=True)
class Placed:
    """The layout of a buffer: `step` elements from row to row, of which `width` are the row."""

    name: str
    shape: str
    space: str
    bytes: int
    width: int
    step: int


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes that a run needs besides the process itself.

    Attributes:
        state: parameters and optimizer slots, an old and a new side of each.
        copies: copies of the state in the model: parameters before and after an epoch.
        work: values between kernels, and constants.
        scratch: panels and sums of all threads.
        row: a row of the data set.
        rows: the number of rows of the data set; None if unknown.
    """

    state: int
    copies: int
    work: int
    scratch: int
    row: int
    rows: int | None

    @property
    def data(self) -> int:
        """The data set, as far as it is known."""
        return self.row * (self.rows or 0)

    @property
    def total(self) -> int:
        """The sum of all parts."""
        return self.state + self.copies + self.work + self.scratch + self.data


@dataclass(frozen=True)
class Forecast:
    """A step before it runs. `str(forecast)` is its text; a notebook shows tables.

    Attributes:
        what: the step in a few words.
        passes: the rewritings of the graph, in order.
        plan: the kernels in their phases; `listing` writes them out.
        cost: the predicted time of each kernel.
        memory: the bytes that the run needs.
        placed: the layout of the larger buffers.
        speeds: the speeds of the processor, on which the prediction rests.
        own: nodes that the user named; the others are only counted.
        once: nodes of the graph that are computed once, before the run, as they depend on the
            data alone.
        tables: the way each table that examples look up is updated, by its name.
        shared: the cost on several processes, where it was asked for.
    """

    what: str
    passes: tuple[Pass, ...]
    plan: Plan
    cost: PlanCost
    memory: MemoryNeed
    placed: tuple[Placed, ...]
    speeds: Speeds
    own: frozenset[str] = frozenset()
    once: tuple[str, ...] = ()
    tables: Mapping[str, str] = field(default_factory=dict)
    shared: SharedCost | None = None

    @property
    def kernels(self) -> tuple[KernelCost, ...]:
        """The kernels in order, each with its cost."""
        return self.cost.kernels

    @property
    def phases(self) -> int:
        """The number of phases; a barrier of all threads ends each."""
        return len(self.plan.phases)

    @property
    def flops(self) -> int:
        """Floating-point operations of a step."""
        return self.cost.flops

    @property
    def bytes(self) -> int:
        """Bytes that the kernels of a step read and write."""
        return self.cost.bytes

    @property
    def seconds(self) -> float:
        """The predicted time of a step."""
        return self.cost.seconds

    @property
    def rounded(self) -> bool:
        """Whether some kernels multiply bfloat16, which may be quicker than the peak of float32."""
        return any(x.work.rounded for x in self.kernels)

    @property
    def threads(self) -> int:
        """The number of threads that share a step."""
        return self.cost.threads

    @property
    def listing(self) -> str:
        """Every kernel with its loops and expressions."""
        return show(self.plan)

    def to_dict(self) -> dict[str, Any]:
        """The forecast as plain values, for JSON; times are seconds, sizes bytes.

        `kernels` are in order: name, phase (from 1), nodes, loops, split among threads, the
        number of threads that share it, flops, bytes, predicted time. `nodes` has, for each node
        that a kernel computes, the places of its kernels in that list; the names are those of the
        graph, and those that the gradient, the update and the passes add. A node of the graph
        that is missing is computed `once` before the run, or is a constant, a view, or merged
        into or made of others. `tables` has the way that each table is updated, in words, `calls`
        the calls of a user's ops without a lowering, each after a phase.
        """
        kernels = [self._plain(x) for x in self.kernels]
        nodes: dict[str, dict[str, Any]] = {}
        for k, kernel in enumerate(kernels):
            for name in kernel["nodes"]:
                nodes.setdefault(name, {"kernels": []})["kernels"].append(k)
        return {
            "what": self.what, "rows": self.cost.rows, "threads": self.threads,
            "phases": self.phases, "predicted": self.seconds, "barriers": self.cost.barriers,
            "flops": int(self.flops), "bytes": int(self.bytes),
            "memory": int(self.memory.total), "processor": self.speeds.processor,
            "passes": [{"name": x.name, "what": x.what, "nodes": x.nodes} for x in self.passes],
            "kernels": kernels, "nodes": nodes, "once": list(self.once),
            "tables": dict(self.tables),
            "calls": [{"name": x.name, "after_phase": x.phase} for x in self.plan.calls],
            **({} if self.shared is None else {"shared": {
                "ranks": self.shared.ranks, "blocks": self.shared.blocks,
                "predicted": self.shared.seconds, "computing": self.shared.computing,
                "exchanging": self.shared.exchanging, "bytes": self.shared.sums,
                "speedup": self.shared.speedup,
            }}),
        }  # fmt: skip

    def _plain(self, x: KernelCost) -> dict[str, Any]:
        work = x.work
        return {
            "name": work.kernel.name, "phase": x.phase + 1, "nodes": list(work.kernel.nodes),
            "loops": loops_text(work, self.cost.rows), "split": SPLITS[work.split],
            "threads": 1 if work.split == "none" else self.threads, "flops": int(work.flops),
            "bytes": int(work.bytes), "predicted": x.seconds,
        }  # fmt: skip

    def __str__(self) -> str:
        return as_text(self.sections())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return as_html(self.sections())

    def sections(self, *, full: bool = False) -> tuple[Section, ...]:
        """The forecast in parts; `full` shows also the kernels that come again and again."""
        tables = (self._tables(),) if self.tables else ()
        shared = () if self.shared is None else (self.shared.section(),)
        parts = self._facts(), *shared, self._passes(), self._kernels(full), *tables
        return (*parts, self._layout(), self._memory())

    def _facts(self) -> Section:
        peak = self.speeds.peak * self.threads
        rate = self.flops / self.seconds
        source = "measured" if self.speeds.measured else "usual values: nothing is measured yet"
        levels = ", ".join(digits(x / 1e9) for _, x in self.speeds.levels)
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return Section(self.what, (
            ("predicted", f"{seconds_text(self.seconds)} a step with {threads}, "
                          f"{digits(self.cost.rows / self.seconds)} rows a second"),
            ("work", f"{flops_text(self.flops)} floating-point operations, "
                     f"{bytes_text(self.bytes)} read and written"),
            ("speed", f"{digits(rate / 1e9)} GF/s, {100 * rate / peak:.0f} % of the peak of "
                      f"{threads}{' in float32' * self.rounded}"),
            *self._calls(),
            ("memory", f"{bytes_text(self.memory.total)} at most, besides the process itself"),
            ("processor", f"{self.speeds.processor}: {digits(self.speeds.peak / 1e9)} GF/s a core; "
                          f"{levels} GB/s from the caches and memory ({source})"),
        ))  # fmt: skip

    def _calls(self) -> tuple[tuple[str, str], ...]:
        """A row on the ops of a user's own that machine code calls, where there are some."""
        names = [x.name for x in self.plan.calls]
        if not names:
            return ()
        count = f"{len(names)} call{'s' * (len(names) > 1)}"
        return (
            (
                "own ops",
                f"{count} of NumPy between machine code, whose time is not predicted: "
                f"{', '.join(names)}; decompose= or lower= in cr.op makes machine code of them",
            ),
        )

    def _passes(self) -> Section:
        rows, before = list[tuple[str, ...]](), 0
        for x in self.passes:
            change = f"{x.nodes - before:+,}" if rows and x.nodes != before else ""
            rows.append((f"{x.nodes:,}", change, x.name, x.what))
            before = x.nodes
        return Section("Passes", tuple(rows), ("nodes", "", "pass", "what it does"), (0, 1))

    def _kernels(self, full: bool) -> Section:
        rows: list[tuple[str, ...]] = []
        total = self.seconds
        for number in range(self.phases):
            costs = [x for x in self.kernels if x.phase == number]
            time = sum(x.seconds for x in costs)
            most = max(costs, key=lambda x: x.seconds)
            rows.append((f"phase {number + 1}", SPLITS[most.work.split], "", "",
                         f"{time * 1e6:,.2f}", f"{100 * time / total:.0f}", ""))  # fmt: skip
            for block in task_blocks([x.work.task for x in costs], full=full):
                if block.times > 1:
                    rows.append(self._times(costs[block.start : block.last + 1], block, total))
                rows += [self._kernel(costs[k], total, block.times > 1) for k in block.shown]
            rows += [
                (f"call of {x.name}", "by NumPy", "", "", "", "", x.name)
                for x in self.plan.calls if x.phase == number + 1
            ]  # fmt: skip
        if self.cost.barriers:
            rows.append((f"{self.phases} barriers", "", "", "", f"{self.cost.barriers * 1e6:,.2f}",
                         f"{100 * self.cost.barriers / total:.0f}", ""))  # fmt: skip
        rows.append(("a step", "", f"{self.flops / 1e6:,.2f}", f"{self.bytes / 1e3:,.1f}",
                     f"{total * 1e6:,.2f}", "100", ""))  # fmt: skip
        head = ("kernel", "loops", "MFLOP", "kB", "us", "%", "nodes")
        return Section("Kernels, and the nodes that each computes", tuple(rows), head, (2, 3, 4, 5))

    def _times(self, costs: Sequence[KernelCost], block: Block, total: float) -> tuple[str, ...]:
        """The row of kernels that come again and again, with their sums."""
        flops, size = (sum(getattr(x.work, name) for x in costs) for name in ("flops", "bytes"))
        seconds = sum(x.seconds for x in costs)
        return (f"  {block.times} times, to {costs[-1].work.kernel.name}", "",
                f"{flops / 1e6:,.2f}", f"{size / 1e3:,.1f}", f"{seconds * 1e6:,.2f}",
                f"{100 * seconds / total:.0f}", "each:")  # fmt: skip

    def _kernel(self, x: KernelCost, total: float, repeated: bool = False) -> tuple[str, ...]:
        return (
            "  " + "  " * repeated + x.work.kernel.name,
            loops_text(x.work, self.cost.rows),
            f"{x.work.flops / 1e6:,.2f}",
            f"{x.work.bytes / 1e3:,.1f}",
            f"{x.seconds * 1e6:,.2f}",
            f"{100 * x.seconds / total:.0f}",
            nodes_text(x.work.kernel.nodes, self.own),
        )

    def _tables(self) -> Section:
        return Section("Tables, and what of them a step updates", tuple(self.tables.items()))

    def _layout(self) -> Section:
        rows = [
            (x.name, x.shape, x.space, bytes_text(x.bytes),
             f"rows of {x.width:,} numbers begin every {x.step:,}" if x.step > x.width
             else "no gaps")
            for x in self.placed[:LISTED]
        ]  # fmt: skip
        left = len(self.placed) - LISTED
        if left > 0:
            rest = sum(x.bytes for x in self.placed[LISTED:])
            rows.append((f"{left} more", "", "", bytes_text(rest), ""))
        rows.append(("panels", "", "of the threads", bytes_text(self.memory.scratch),
                     "copies of factors, in strips as tiles read them"))  # fmt: skip
        head = ("buffer", "shape", "kind", "size", "how it lies")
        return Section("Layout", tuple(rows), head, (3,))

    def _memory(self) -> Section:
        need = self.memory
        rows = [
            ("parameters and optimizer, old and new", bytes_text(need.state)),
            ("copies of them for the model", bytes_text(need.copies)),
            ("values between kernels, constants", bytes_text(need.work)),
            (f"panels and sums of {self.threads} thread{'s' * (self.threads > 1)}",
             bytes_text(need.scratch)),
        ]  # fmt: skip
        if need.rows is None:
            rows.append(("the data set, for each row", bytes_text(need.row)))
        else:
            rows.append((f"the data set, {need.rows:,} rows", bytes_text(need.data)))
        rows.append(("in all", bytes_text(need.total)))
        return Section("Memory", tuple(rows), (), (1,))


def nodes_text(nodes: Sequence[str], own: Collection[str]) -> str:
    """The nodes that the user named, and the number of others."""
    named = [name for name in nodes if name in own]
    others = len(nodes) - len(named)
    rest = f"{others} other{'s' * (others > 1)}" if named else f"{others} node{'s' * (others > 1)}"
    return ", ".join(named) + (" and " * bool(named) + rest) * bool(others)


def loops_text(work: Work, rows: int) -> str:
    """The iteration space of a kernel: the three sizes of a product, or its loops and sums."""
    if work.product is not None:
        m, v, k, repeats = work.product
        times = f", {repeats} times" if repeats > 1 else ""
        return f"{m} x {k} @ {k} x {v}" + times + ", bfloat16" * work.rounded

    def format_axes(axes: Sequence[Axis]) -> str:
        return " x ".join(str(x.size if isinstance(x.size, int) else rows) for x in axes)

    kernel = work.kernel
    sizes = format_axes(kernel.axes) or "once"
    if kernel.reduction is None:
        return sizes
    return f"{sizes}, {kernel.reduction.combine} of {format_axes(kernel.reduction.over)}"
