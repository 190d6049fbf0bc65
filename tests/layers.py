"""The floors of the package: which part may import which. A new module gets its place here."""

from __future__ import annotations

LAYERS: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("errors", "operands", "types", "version"),
        "exceptions with messages in four parts; shapes and dtypes",
    ),
    (("system",), "services of the operating system: atomic files, caches, signals, forks"),
    (("display",), "numbers, tables and charts as text and SVG"),
    (("ir",), "loop nests over buffers: what ops lower to, and backends compile"),
    (("graph",), "ops, nodes, graphs, the training step: the representation of networks"),
    (("ops", "interpret"), "the definitions of ops, and the interpreter"),
    (("autodiff", "passes", "nn"), "graph to graph; layers and losses"),
    (("plan",), "graph to plan; knows no machine"),
    (("costs",), "the cost of a plan: work, time, memory"),
    (("backend",), "plan to machine code; knows no graph"),
    (("engine",), "from a graph to a running program"),
    (("explain", "inspector"), "traces, formulas, checked gradients; pages to look inside"),
    (("data",), "tables to arrays; encoders fitted to their columns"),
    (("train",), "optimizers, metrics, the training loop, progress and history"),
    (("report",), "what a run found: scores, charts, text and the page"),
    (("model",), "the Model and its methods"),
    (("recipe", "estimators"), "from a table to a model; scikit-learn's estimators"),
    (("live",), "a run on a page while it goes on: the playground, and its server"),
    (("cli", "__init__", "__main__"), "the command line; nothing imports it"),
)
"""Floors from the ground up, each with its parts and what they are.

A part imports from lower floors, and from its own without a cycle.
"""

WALLS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        "backend",
        ("graph", "ops", "passes", "autodiff", "interpret", "nn"),
        "a backend sees plans alone",
    ),
    ("plan", ("backend", "costs", "engine"), "a plan is the same for all machines"),
    ("data.readers", ("graph", "ops", "nn"), "reading a table needs no network"),
    ("display", ("graph", "train", "model"), "numbers and charts know no network"),
    ("report", ("graph", "engine"), "a report is plain data"),
    ("backend.cpu.emit", ("backend.cpu.run",), "emitters write text, and load nothing"),
    ("backend.gpu.emit", ("backend.gpu.run",), "emitters write text, and load nothing"),
    ("backend.cpu.maths", ("backend.cpu.run", "plan"), "the maths library stands alone"),
)
"""(part, what it never imports, why), beside the floors."""

INSIDES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("backend.cpu", ("backend", "engine")),
    ("backend.gpu", ("backend", "engine")),
)
"""(part, who alone may import it from outside)."""

CYCLES: tuple[tuple[str, ...], ...] = (("graph.node", "graph.op"),)
"""Modules that import each other still; imports for types and late ones count."""


def part_of(module: str, known: frozenset[str]) -> str | None:
    """The longest name of the table that a module (without `chainrule.`) stands under."""
    names = module.split(".")
    prefixes = (".".join(names[:n]) for n in range(len(names), 0, -1))
    return next((x for x in prefixes if x in known), None)
