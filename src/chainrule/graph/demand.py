"""The memory and work that one example asks for, from the shapes of a graph alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from chainrule.errors import GraphError
from chainrule.graph.graph import Graph
from chainrule.graph.node import Operation
from chainrule.graph.op import Element, Reduce, View
from chainrule.types import Dim, Shape

MEMORY = 2**26
"""Bytes that the values of one example may have; a file may ask for more if it is large."""

WORK = 2**30
"""Elements that may be computed for one example; a file may ask for more if it is large."""

BYTES_PER_BYTE = 16
"""Bytes of memory that each byte of a file adds to what it may ask for."""

WORK_PER_BYTE = 2**10
"""Elements that each byte of a file adds to what it may ask for."""


@dataclass(frozen=True, slots=True)
class Demand:
    """An amount that the nodes of a graph need together, and the node that needs most of it."""

    amount: int
    node: Operation | None


def check_demand(graph: Graph, size: int) -> None:
    """Raises GraphError if one example asks for more than a file of `size` bytes may."""
    for unit, found, most in (
        ("bytes for its values", memory(graph), MEMORY + BYTES_PER_BYTE * size),
        ("elements to be computed", work(graph), WORK + WORK_PER_BYTE * size),
    ):
        if found.amount > most:
            assert found.node is not None
            raise GraphError(
                "demand",
                f"one example needs more {unit} than a file of {size:,} bytes may ask for",
                expected=f"at most {most:,}",
                got=f"{found.amount:,}",
                at=f"node {graph.name(found.node)!r}, {found.node.type}, {found.node.source}",
                fix="if you know where the file is from: chainrule.load(path, large=True)",
            )


def memory(graph: Graph) -> Demand:
    """The bytes of all values of one example."""
    return _total(
        {x: _volume(x.shape) * np.dtype(x.dtype).itemsize for x in graph.operations if x.operands}
    )


def work(graph: Graph) -> Demand:
    """The elements that are computed for one example, those of sums and products among them."""
    return _total({x: turns(x) for x in graph.operations})


def _total(amounts: dict[Operation, int]) -> Demand:
    most = max(amounts, key=amounts.__getitem__, default=None)
    return Demand(sum(amounts.values()), most)


def turns(node: Operation, rows: int = 1) -> int:
    """The elements of a node that are computed for some rows, or the terms of its sums."""
    sizes = [_volume(x.shape, rows) for x in (node, *node.operands)]
    if node.op.kind == "contract":
        return _volume(tuple(_labels(node).values()), rows)
    if isinstance(node.op.lower, Reduce) and "axis" in node.attributes:
        axis, shape = node.attributes["axis"], node.operands[0].shape
        axes = (axis,) if isinstance(axis, int) else axis
        return sizes[0] * _volume(tuple(shape[a] for a in axes), rows)
    return sizes[0] if isinstance(node.op.lower, Element | View) else max(sizes)


def _labels(node: Operation) -> dict[str, Dim]:
    """The sizes of the axes of a product, by their labels."""
    equation = node.attributes.get("equation", "ik,kj->ij")
    terms = equation.split("->")[0].split(",")
    pairs = zip(terms, node.operands, strict=True)
    return {s: d for term, x in pairs for s, d in zip(term, x.shape, strict=True)}


def _volume(shape: Shape, rows: int = 1) -> int:
    """The turns of loops over the elements for some rows; an axis of size 0 counts as 1."""
    return math.prod(max(d, 1) if isinstance(d, int) else rows for d in shape)
