"""Which nodes are computed once and kept; the rest is computed again wherever it is read."""

from __future__ import annotations

from dataclasses import dataclass, field

from chainrule.graph.graph import Graph
from chainrule.graph.node import Node, Operation
from chainrule.graph.op import Element, Reduce, Scan, ScatterAdd, View
from chainrule.plan.lower import copies, has_loop

MAX_EXPR_PRICE = 120
"""The price of an expression beyond which it is computed once and kept."""

MAX_EXPR_DEPTH = 48
"""How deep an expression may be nested."""

MAX_FUSED_DEPTH = 96
"""How deep the expressions that share a kernel may be nested altogether."""

DEEP_INDEX = MAX_EXPR_DEPTH // 4
"""What a node counts for in that, where its index in the operand has copies of our own."""

RECOMPUTE_PRICE = 2
"""The price up to which an expression is rather computed again than kept."""

CONSTANT_PRICE = 24
"""The price up to which numbers made of constants are computed where they are used."""


@dataclass
class Roots:
    """The roots of a graph.

    Attributes:
        roots: the operations that get a loop nest, or a part in one: loops; outputs; what is
            read more than once and not cheap, or read by a contraction; what would make an
            expression too long.
        scalar_constants: numbers made of constants alone; they are never kept, outputs or not.
        loops: the nodes that need a nest of their own to begin with.
        depth: of each node, how deep its expression is nested.
    """

    roots: set[Node] = field(default_factory=set)
    scalar_constants: set[Node] = field(default_factory=set)
    loops: set[Node] = field(default_factory=set)
    depth: dict[Node, int] = field(default_factory=dict)


def roots_of(graph: Graph) -> Roots:
    """The roots of a graph, in one pass from the leaves."""
    found = Roots()
    found.loops.update(x for x in graph.operations if has_loop(x))
    price: dict[Node, int] = {}
    depth = found.depth
    after: dict[Node, _After] = {}
    outputs = set(graph.outputs)
    for node in graph.operations:
        inlined = [x for x in node.operands if x not in found.roots]
        below = sum(price.get(x, 0) for x in inlined) * copies(node)
        price[node] = node.op.price + below
        depth[node] = _depth(node) + max((depth.get(x, 0) for x in inlined), default=0)
        short = price[node] <= CONSTANT_PRICE and depth[node] <= MAX_EXPR_DEPTH
        if short and _of_constants(node, found):
            found.scalar_constants.add(node)
            continue
        after[node] = _after(graph, node, found, after)
        large = price[node] > MAX_EXPR_PRICE or depth[node] > MAX_EXPR_DEPTH
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
    lower = node.op.lower
    aligned = isinstance(lower, View) and lower.aligned and not _resized(node, node.operands[0])
    in_place = node.op.kind == "map" or aligned
    before = [x for x in node.operands if in_place and known.get(x, _After()).near]
    alone = any(known[x].alone and graph.consumers(x) == (node,) for x in before)
    return _After(bool(before), alone)


def _of_constants(node: Operation, found: Roots) -> bool:
    return node not in found.loops and all(x in found.scalar_constants for x in node.operands)


def _depth(node: Operation) -> int:
    lower = node.op.lower
    if isinstance(lower, Element):
        return DEEP_INDEX if lower.deep else 1
    deep = isinstance(lower, View) and lower.deep and _resized(node, node.operands[0])
    return DEEP_INDEX if deep else 1


@dataclass
class _Uses:
    """Who reads a node, looking through views.

    Attributes:
        reads: how often one element is read, as far as that is known.
        spread: whether one element is read for several.
        needs_memory: whether a reader needs it in memory.
    """

    reads: int = 0
    spread: bool = False
    needs_memory: bool = False


def _uses(graph: Graph, node: Operation, found: Roots) -> _Uses:
    uses = _Uses()
    stack: list[Node] = [node]
    while stack and not uses.needs_memory:
        x = stack.pop()
        for consumer in graph.consumers(x):
            uses.needs_memory |= consumer in found.loops and _rereads(consumer)
            uses.spread |= _spreads(consumer, x)
            if isinstance(consumer.op.lower, View):
                stack.append(consumer)
            else:
                uses.reads += consumer.operands.count(x)
    return uses


def _rereads(node: Operation) -> bool:
    lower = node.op.lower
    return lower.rereads if isinstance(lower, Reduce) else isinstance(lower, Scan | ScatterAdd)


def _spreads(consumer: Operation, x: Node) -> bool:
    """Whether an element of `x` is computed for several of a consumer, or for none."""
    lower = consumer.op.lower
    if isinstance(lower, Element):
        return lower.spreads
    return isinstance(lower, View | Reduce) and lower.spreads and _resized(consumer, x)


def _kept(graph: Graph, node: Operation, found: Roots, price: int, after: _After) -> bool:
    """Whether a node is rather kept than computed again.

    What follows on a loop costs no memory if it is kept in place of the loop's result.
    """
    if price == 0 or isinstance(node.op.lower, View):
        return False
    uses = _uses(graph, node, found)
    if uses.needs_memory or (uses.spread and after.near):
        return True
    return (uses.spread or uses.reads > 1) and (price > RECOMPUTE_PRICE or after.alone)


def _resized(node: Node, x: Node) -> bool:
    """Whether two nodes differ in the sizes of their axes, those of size 1 aside."""
    return [d for d in node.shape if d != 1] != [d for d in x.shape if d != 1]
