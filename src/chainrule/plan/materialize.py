"""Which nodes are computed once and kept; the rest is computed again wherever it is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeGuard

from chainrule.graph.graph import Graph
from chainrule.graph.node import Node, Operation
from chainrule.ir.index import regroups
from chainrule.plan.lower import VIEWS
from chainrule.plan.reduce import reduces

HEAVY = 120
"""The price of an expression beyond which it is computed once and kept."""

CHEAP = 2
"""The price up to which an expression is rather computed again than kept."""

LIGHT = 24
"""The price up to which numbers made of constants are computed where they are used."""

DEEP = 48
"""How deep an expression may be nested."""

TOGETHER = 96
"""How deep the expressions that share a kernel may be nested altogether."""

PRICES = dict.fromkeys(("divide", "sqrt", "reciprocal", "rsqrt", "softsign"), 3) | dict.fromkeys(
    ("exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "sigmoid", "softplus", "erf", "power",
     "power_scalar", "uniform"),
    8,
)  # fmt: skip
"""Of one element, in additions; other ops cost 1, and views nothing."""

_TIMES = {"square": 2, "isnan": 2, "softsign": 2, "sign": 3}
"""How often the expression of an op has that of its operand."""

_SPREADS = ("take", "concat", "pad", "one_hot")
"""Ops that compute an element of an operand for several of their own, or for none."""

_KEEPERS = ("einsum", "cumsum", "scatter_add_along", "prod_others", "scatter_add")
"""Ops that read each element of an operand again and again, from memory."""


@dataclass
class Roots:
    """The roots of a graph.

    Attributes:
        roots: the operations that get a loop nest, or a part in one: loops; outputs; what is
            read more than once and not cheap, or read by a contraction; what would make an
            expression too long.
        light: numbers made of constants alone; they are never kept, outputs or not.
        loops: the nodes that need a nest of their own to begin with.
        depth: of each node, how deep its expression is nested.
    """

    roots: set[Node] = field(default_factory=set)
    light: set[Node] = field(default_factory=set)
    loops: set[Node] = field(default_factory=set)
    depth: dict[Node, int] = field(default_factory=dict)


def roots_of(graph: Graph) -> Roots:
    """The roots of a graph, in one pass from the leaves."""
    found = Roots()
    found.loops.update(x for x in graph.operations if x.op.name == "scatter_add" or reduces(x))
    price: dict[Node, int] = {}
    depth = found.depth
    after: dict[Node, _After] = {}
    outputs = set(graph.outputs)
    for node in graph.operations:
        inlined = [x for x in node.operands if x not in found.roots]
        own = 0 if node.op.name in VIEWS or is_constant(node) else PRICES.get(node.op.name, 1)
        below = sum(price.get(x, 0) for x in inlined) * _TIMES.get(node.op.name, 1)
        price[node] = own + below
        depth[node] = _depth(node) + max((depth.get(x, 0) for x in inlined), default=0)
        if _is_light(node, found) and price[node] <= LIGHT and depth[node] <= DEEP:
            found.light.add(node)
            continue
        after[node] = _after(graph, node, found, after)
        large = price[node] > HEAVY or depth[node] > DEEP
        kept = large or node in found.loops or node in outputs
        if kept or _kept(graph, node, found, price[node], after[node]):
            found.roots.add(node)
    return found


@dataclass(frozen=True)
class _After:
    """How a node follows on a loop, element by element.

    Attributes:
        near: it reads the result of a loop at its own place.
        alone: and nothing else reads that, so that the loop can store this node instead.
    """

    near: bool = False
    alone: bool = False


def _after(graph: Graph, node: Operation, found: Roots, known: dict[Node, _After]) -> _After:
    if node in found.loops:
        return _After(True, True)
    still = node.op.kind == "map" or (
        node.op.name in ("reshape", "broadcast_to") and _dims(node) == _dims(node.operands[0])
    )
    before = [x for x in node.operands if still and known.get(x, _After()).near]
    alone = any(known[x].alone and graph.consumers(x) == (node,) for x in before)
    return _After(bool(before), alone)


def is_constant(node: Node) -> TypeGuard[Operation]:
    """Whether a node is a fixed array."""
    return isinstance(node, Operation) and node.op.name == "constant"


def _is_light(node: Operation, found: Roots) -> bool:
    return node not in found.loops and all(x in found.light for x in node.operands)


def _depth(node: Operation) -> int:
    """1, but more where the place in the operand is an expression with several copies of ours."""
    if node.op.name in ("pad", "concat"):
        return DEEP // 4
    bends = node.op.name == "reshape" and regroups(node.operands[0].shape, node.shape)
    return DEEP // 4 if bends else 1


@dataclass
class _Uses:
    """Who reads a node, looking through views.

    Attributes:
        reads: how often one element is read, as far as that is known.
        spread: whether one element is read for several.
        keeper: whether somebody needs it in memory.
    """

    reads: int = 0
    spread: bool = False
    keeper: bool = False


def _uses(graph: Graph, node: Operation, found: Roots) -> _Uses:
    uses = _Uses()
    stack: list[Node] = [node]
    while stack and not uses.keeper:
        x = stack.pop()
        for consumer in graph.consumers(x):
            name = consumer.op.name
            uses.keeper |= name in _KEEPERS and consumer in found.loops
            uses.spread |= name in _SPREADS or (
                name in ("broadcast_to", "einsum") and _dims(consumer) != _dims(x)
            )
            if name in VIEWS:
                stack.append(consumer)
            else:
                uses.reads += consumer.operands.count(x)
    return uses


def _kept(graph: Graph, node: Operation, found: Roots, price: int, after: _After) -> bool:
    """Whether a node is rather kept than computed again.

    What follows on a loop costs no memory if it is kept in place of the loop's result.
    """
    if price == 0 or node.op.name in VIEWS:
        return False
    uses = _uses(graph, node, found)
    if uses.keeper or (uses.spread and after.near):
        return True
    return (uses.spread or uses.reads > 1) and (price > CHEAP or after.alone)


def _dims(node: Node) -> list[object]:
    """The sizes of a shape that has loops."""
    return [d for d in node.shape if d != 1]
