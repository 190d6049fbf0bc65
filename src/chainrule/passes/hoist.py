"""Hoisting: takes nodes that depend on the data alone out of the training step."""

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
        replaced: maps every node of the graph to its replacement.
        encoded: maps each new input to the node of the old graph whose values it holds.
    """

    replaced: dict[Node, Node]
    encoded: dict[Input, Node]


def hoist(graph: Graph, step_inputs: Collection[Node], most: float) -> Hoisted:
    """Replaces nodes that are computed from examples alone by inputs.

    Only row-wise nodes can be hoisted, and no random ones.

    Args:
        graph: a specialised training step.
        step_inputs: inputs that change in each step.
        most: the bytes per example that the new inputs may take; with more, nothing is hoisted.
    """
    hoisted = _hoisted(graph, by_examples(graph, step_inputs))
    if not hoisted or sum(map(row_bytes, hoisted)) > most:
        return Hoisted({x: x for x in graph}, {})
    names = {x: graph.name(x) for x in hoisted}
    inputs = {x: Input(Scope(f"encoded.{names[x]}"), x.type, source=x.source) for x in hoisted}

    def rule(node: Operation, operands: tuple[Node, ...]) -> Node | None:
        return inputs.get(node)

    return Hoisted(rewrite(graph, rule), {new: old for old, new in inputs.items()})


def by_examples(graph: Graph, step_inputs: Collection[Node]) -> set[Node]:
    """The nodes that are computed row by row from examples alone; see `hoist`."""
    fixed: set[Node] = set()  # computed from constants alone
    encoders: set[Node] = {x for x in graph.inputs if x.batch and x not in step_inputs}
    for node in graph.operations:
        if not all(x in fixed or x in encoders for x in node.operands):
            continue
        if node.op.kind == "random" or mixes_rows(node):
            continue
        if all(x in fixed for x in node.operands):
            fixed.add(node)
        elif node.shape[:1] == (N,):
            encoders.add(node)
    return encoders


def _hoisted(graph: Graph, encoders: Collection[Node]) -> list[Operation]:
    """The encoders whose values the rest of the step reads; free ones stay in the step."""
    kept, outputs = set[Node](), set(graph.outputs)
    hoisted: list[Operation] = []
    for node in reversed(graph.operations):
        consumers = graph.consumers(node)
        read = node in outputs or any(y not in encoders or y in kept for y in consumers)
        if node in encoders and read:
            if _free(node):
                kept.add(node)
            else:
                hoisted.append(node)
    return hoisted[::-1]


def _free(node: Operation) -> bool:
    """Whether a node only reads its operand at other indices, or rounds what a product reads.

    Either costs nothing in a step.
    """
    if node.op.name != "reshape":
        return node.op.name in ("slice", "broadcast_to", "windows", "to_bfloat16")
    have, want = ([d for d in x.shape if d != 1] for x in (node.operands[0], node))
    return have == want


def row_bytes(node: Node) -> int:
    """The size of a node's value in bytes per example."""
    return math.prod(d for d in node.shape if isinstance(d, int)) * np.dtype(node.dtype).itemsize
