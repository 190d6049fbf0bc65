"""The floors of the package: which part may import which. A new module gets its place here."""

from __future__ import annotations

LAYERS: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("errors", "types", "files", "version", "cachefolder", "interrupt", "forklock", "workers"),
        "exceptions; shapes and dtypes; what is asked of the operating system",
    ),
    (("graph",), "ops, nodes and graphs: what a network is"),
    (("ops", "interpret", "explain"), "what nodes compute, and the interpreter"),
    (("autodiff", "passes"), "graph to graph"),
    (
        (
            "program",
            "trace",
            "plan",
            "backend",
            "codegen",
            "machinecode",
            "native",
            "nativeforward",
        ),
        "graph to plan, plan to machine code",
    ),
    (("forward", "compile", "gradcheck"), "forward passes; the order of the stages"),
    (("nn", "train", "data"), "layers and losses; the training loop; tables"),
    (
        (
            "fitting",
            "planning",
            "profiling",
            "model",
            "many",
            "crossvalidation",
            "modelfile",
            "recipe",
            "search",
            "safetensor",
            "estimators",
        ),
        "the Model, and what trains one",
    ),
    (("cli", "__init__", "__main__"), "the command line; nothing imports it"),
)
"""Floors from the ground up, each with its parts and what they are.

A part imports from lower floors, and from its own without a cycle.
"""

WALLS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("backend", ("graph", "ops", "passes", "autodiff", "interpret"), "a backend sees plans alone"),
    ("plan", ("backend",), "a plan is the same for all machines"),
)
"""(part, what it never imports, why), beside the floors."""

INSIDES: tuple[tuple[str, tuple[str, ...]], ...] = ()
"""(part, who alone may import it from outside)."""

CYCLES: tuple[tuple[str, ...], ...] = (
    ("graph.node", "graph.op"),
    ("fitting", "model", "modelfile", "planning", "profiling"),
)
"""Modules that import each other still; imports for types and late ones count."""


def part_of(module: str, known: frozenset[str]) -> str | None:
    """The longest name of the table that a module (without `chainrule.`) stands under."""
    names = module.split(".")
    prefixes = (".".join(names[:n]) for n in range(len(names), 0, -1))
    return next((x for x in prefixes if x in known), None)
