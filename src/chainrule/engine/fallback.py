"""The backend that can run a step: the interpreter, where an op has no lowering."""

from __future__ import annotations

from chainrule.errors import ChainruleWarning, GraphError
from chainrule.graph.graph import Graph
from chainrule.graph.source import warn_user
from chainrule.passes.decompose import lowers


def backend_for(graph: Graph, requested: str) -> str:
    """The requested backend, or the interpreter with a warning.

    Args:
        graph: of a training step.
        requested: "native" or "interpreter".
    """
    missing = next((x for x in graph.operations if not lowers(x)), None)
    if missing is None or requested == "interpreter":
        return requested
    message = GraphError(
        "fit",
        f"the op {missing.op.name!r} has no lowering: each step is interpreted, which is slower",
        at=f"node {graph.name(missing)!r}, line {missing.source}",
        fix='give the op decompose=... or lower=...; fit(backend="interpreter") is silent',
    )
    warn_user(str(message), ChainruleWarning)
    return "interpreter"
