"""Nodes that a model predicts: the forward pass that computes them, and the inputs it takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from chainrule.engine.forward import Forward
from chainrule.errors import GraphError, SettingError, nearest
from chainrule.graph.graph import Graph
from chainrule.graph.node import Node
from chainrule.graph.step import STEP_INPUTS
from chainrule.model.quick import Quick
from chainrule.nn.summary import summary

KEPT = 16
"""Forward passes to other nodes than the outputs that a model keeps."""


class Predicted:
    """The computation of some nodes of a model.

    Args:
        graph: of the model.
        nodes: of it.
        single: whether they were given as one node, not as a list.
        device: that computes them.

    Attributes:
        forward: the compiled forward pass.
        inputs: those that it takes, with their names.
        quick: the quick way to its results.
        single: as given.
    """

    def __init__(
        self, graph: Graph, nodes: Sequence[Node], *, single: bool, device: str = "cpu"
    ) -> None:
        self.forward, self.single = Forward(graph, nodes, device=device), single
        inner = self.forward.graph
        self.inputs = {x: inner.name(x) for x in inner.inputs if x not in STEP_INPUTS}
        self.quick = Quick(self.forward, self.inputs, len(nodes), single=single)


class PredictedNodes:
    """The computations of nodes of a graph, by their names; the latest are kept compiled."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._made: dict[tuple[tuple[Node, ...], bool, str], Predicted] = {}

    def of(self, outputs: str | Node | Sequence[str | Node], device: str = "cpu") -> Predicted:
        """The computation of a node, or of several, on a device.

        Raises:
            GraphError: the graph has no node of a name. SettingError: there is no name.
        """
        single = isinstance(outputs, (str, Node))
        wanted: list[object] = [outputs]
        if isinstance(outputs, Iterable) and not isinstance(outputs, str):
            wanted = list(outputs)
        nodes = tuple(self._found(x) for x in wanted if isinstance(x, (str, Node)))
        if not wanted or len(nodes) < len(wanted):
            raise SettingError(
                "predict", "`outputs` is the name of a node, or a list of names",
                got=repr(outputs)[:60], fix=f'outputs="{self._graph.name(self._graph.outputs[0])}"',
            )  # fmt: skip
        return self.made(nodes, single=single, device=device)

    def made(self, nodes: tuple[Node, ...], *, single: bool, device: str = "cpu") -> Predicted:
        """The computation of nodes of the graph, on a device."""
        key = nodes, single, device
        made = self._made.get(key)
        if made is None:
            if len(self._made) >= KEPT:
                self._made.clear()
            made = self._made[key] = Predicted(self._graph, nodes, single=single, device=device)
        return made

    def _found(self, wanted: str | Node) -> Node:
        if not isinstance(wanted, str):
            return self._graph.find(wanted)
        found = named(self._graph, wanted)
        if isinstance(found, Unknown):
            lists = "print(model.summary(full=True)) names the layers, "
            lists += "print(cr.listing(model.graph)) all nodes"
            raise GraphError(
                "predict", found.what,
                fix=lists if found.guess is None else f"did you mean {found.guess!r}?",
            )  # fmt: skip
        return found


class Unknown(NamedTuple):
    """A name that no node has: the sentence that tells it, and the name that is meant, if any."""

    what: str
    guess: str | None


def named(graph: Graph, name: str) -> Node | Unknown:
    """The node of a name, as the listing or the summary of a graph shows it."""
    known = {graph.name(x): x for x in graph}
    if name in known:
        return known[name]
    rows = {row.name: row.result for row in summary(graph).shown}
    if rows.get(name):
        return known[rows[name]]
    if name in rows:
        return Unknown(f"{name!r} stands for several nodes side by side", None)
    return Unknown(
        f"no node is named {name!r}", nearest(name, [*known, *(x for x in rows if rows[x])])
    )
