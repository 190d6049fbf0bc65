"""What depends on the data alone is computed once for the whole data set, not in each step."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from chainrule.graph.graph import Graph
from chainrule.graph.node import Input, Node, Operation, Scope
from chainrule.passes.rewrite import rewrite
from chainrule.passes.rows import mixes_rows
from chainrule.types import N


@dataclass(frozen=True)
class Hoisted:
    """A graph without its encoders.

    Attributes:
        place: for every node of the graph, what stands for it.
        encoded: for each new input, the node of the old graph whose values it takes.
    """

    place: dict[Node, Node]
    encoded: dict[Input, Node]


def hoist(graph: Graph, step_inputs: Collection[Node], most: float) -> Hoisted:
    """Put inputs in the place of nodes that are computed from examples alone.

    Only nodes whose rows are each computed by itself can be taken out, and nothing that is
    random.

    Args:
        graph: of a training step, specialised.
        step_inputs: inputs that each step brings anew.
        most: bytes an example that the new inputs may take; with more, nothing is hoisted.
    """
    taken = _taken(graph, by_examples(graph, step_inputs))
    if not taken or sum(map(row_bytes, taken)) > most:
        return Hoisted({x: x for x in graph}, {})
    names = {x: graph.name(x) for x in taken}
    inputs = {x: Input(Scope(f"encoded.{names[x]}"), x.type, source=x.source) for x in taken}

    def rule(node: Operation, operands: tuple[Node, ...]) -> Node | None:
        return inputs.get(node)

    return Hoisted(rewrite(graph, rule), {new: old for old, new in inputs.items()})


def by_examples(graph: Graph, step_inputs: Collection[Node]) -> set[Node]:
    """The nodes that are computed from examples alone, each row by itself; `hoist` has more."""
    fixed: set[Node] = set()  # computed from constants alone
    found: set[Node] = {x for x in graph.inputs if x.batch and x not in step_inputs}
    for node in graph.operations:
        if not all(x in fixed or x in found for x in node.operands):
            continue
        if node.op.kind == "random" or mixes_rows(node):
            continue
        if all(x in fixed for x in node.operands):
            fixed.add(node)
        elif node.shape[:1] == (N,):
            found.add(node)
    return found


def _taken(graph: Graph, encoders: Collection[Node]) -> list[Operation]:
    """The encoders whose values the rest of the step reads; what is free stays in the step."""
    left, outputs = set[Node](), set(graph.outputs)
    taken: list[Operation] = []
    for node in reversed(graph.operations):
        after = graph.consumers(node)
        read = node in outputs or any(y not in encoders or y in left for y in after)
        if node in encoders and read:
            if _free(node):
                left.add(node)
            else:
                taken.append(node)
    return taken[::-1]


def _free(node: Operation) -> bool:
    """Whether a node only reads its operand at other places, which costs nothing in a step."""
    if node.op.name != "reshape":
        return node.op.name == "slice"
    have, want = ([d for d in x.shape if d != 1] for x in (node.operands[0], node))
    return have == want


def row_bytes(node: Node) -> int:
    """What one example takes of a node's value."""
    return math.prod(d for d in node.shape if isinstance(d, int)) * np.dtype(node.dtype).itemsize
