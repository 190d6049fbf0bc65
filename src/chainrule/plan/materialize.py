"""The choice of the nodes to materialize; all others are recomputed in each of their readers."""

from __future__ import annotations

from dataclasses import dataclass, field

from chainrule.graph.graph import Graph
from chainrule.graph.node import Node, Operation
from chainrule.graph.op import Element, Exchange, Reduce, Scan, ScatterAdd, View
from chainrule.plan.joined import Joined, joined_of
from chainrule.plan.lower import has_loop, seen_through, use_count

MAX_EXPR_PRICE = 120
"""The price of an expression beyond which it is materialized."""

MAX_EXPR_DEPTH = 48
"""The greatest depth of an expression."""

MAX_FUSED_DEPTH = 96
"""The greatest depth of the expressions that share a kernel, added up along a chain of reads."""

DEEP_INDEX = MAX_EXPR_DEPTH // 4
"""The depth of a node whose index in the operand repeats the index of its own element."""

MANY_READERS = 8
"""The number of readers of parts, such as steps of a sequence, for which a node is materialized."""

RECOMPUTE_PRICE = 2
"""The price up to which an expression is recomputed rather than materialized."""

SCATTERED_PRICE = 8
"""The price up to which an element is computed where a scatter-add takes it, once."""

CONSTANT_PRICE = 24
"""The price up to which scalars computed from constants are recomputed in their readers."""


@dataclass
class Roots:
    """The roots of a graph.

    Attributes:
        roots: the operations that are materialized: reductions; outputs; those that are not cheap
            and read more than once, or read by a contraction; those whose expressions would
            otherwise become too long.
        scalar_constants: scalars computed from constants alone; never materialized.
        loops: the nodes with a reduction, each of which begins a nest.
        depth: the depth of the expression of each node.
        joined: the arrays whose parts are materialized in their place; not materialized again.
    """

    roots: set[Node] = field(default_factory=set)
    scalar_constants: set[Node] = field(default_factory=set)
    loops: set[Node] = field(default_factory=set)
    depth: dict[Node, int] = field(default_factory=dict)
    joined: Joined = field(default_factory=Joined)


def roots_of(graph: Graph) -> Roots:
    """The roots of a graph, in one pass from the leaves."""
    found = Roots()
    found.loops.update(x for x in graph.operations if has_loop(x))
    found.joined = joined_of(graph, found.loops)
    price: dict[Node, int] = {}
    depth = found.depth
    after: dict[Node, _Epilogue] = {}
    outputs = set(graph.outputs)
    for node in graph.operations:
        if node in found.joined.parts or node.op.lower is None:
            continue  # it is written into another, or called between kernels
        inlined = [x for x in node.operands if x not in found.roots]
        below = sum(price.get(x, 0) for x in inlined) * use_count(node)
        price[node] = node.op.price + below
        depth[node] = _depth(node) + max((depth.get(x, 0) for x in inlined), default=0)
        short = price[node] <= CONSTANT_PRICE and depth[node] <= MAX_EXPR_DEPTH
        own = _is_stored(node) or node in found.joined.homes
        if short and _from_constants(node, found) and not own:
            found.scalar_constants.add(node)
            continue
        after[node] = _epilogue(graph, node, found, after)
        large = price[node] > MAX_EXPR_PRICE or depth[node] > MAX_EXPR_DEPTH
        stored = large or node in found.loops or node in outputs
        stored |= own or _in_steps(graph, node)
        if stored or _worth_storing(graph, node, found, price[node], after[node]):
            found.roots.add(node)
    return found


@dataclass(frozen=True)
class _Epilogue:
    """The position of a node in the elementwise epilogue of a reduction.

    Attributes:
        in_place: whether it reads the result of the reduction at its own index.
        sole: whether nothing else reads that, so that the kernel can store this node instead.
    """

    in_place: bool = False
    sole: bool = False


def _epilogue(
    graph: Graph, node: Operation, found: Roots, known: dict[Node, _Epilogue]
) -> _Epilogue:
    if node in found.loops:
        return _Epilogue(True, True)
    lower = node.op.lower
    aligned = isinstance(lower, View) and lower.aligned and not _resized(node, node.operands[0])
    pointwise = node.op.kind == "map" or aligned
    before = [x for x in node.operands if pointwise and known.get(x, _Epilogue()).in_place]
    sole = any(known[x].sole and graph.consumers(x) == (node,) for x in before)
    return _Epilogue(bool(before), sole)


def _from_constants(node: Operation, found: Roots) -> bool:
    return node not in found.loops and all(x in found.scalar_constants for x in node.operands)


def _depth(node: Operation) -> int:
    lower = node.op.lower
    if isinstance(lower, Element):
        return DEEP_INDEX if lower.deep else 1
    deep = isinstance(lower, View) and lower.deep and _resized(node, node.operands[0])
    return DEEP_INDEX if deep else 1


@dataclass
class _Uses:
    """The reads of a node, views seen through.

    Attributes:
        reads: the number of reads of one element, as far as that is known.
        spread: whether one element is read for several of a reader.
        needs_memory: whether a reader needs it in memory.
        scattered: whether a scatter-add takes it, perhaps on one thread.
    """

    reads: int = 0
    spread: bool = False
    needs_memory: bool = False
    scattered: bool = False


def _uses(graph: Graph, node: Operation, found: Roots) -> _Uses:
    uses = _Uses()
    stack: list[Node] = [node]
    while stack and not uses.needs_memory:
        x = stack.pop()
        for consumer in graph.consumers(x):
            uses.needs_memory |= consumer in found.loops and _rereads(consumer)
            uses.spread |= _spreads(consumer, x)
            uses.scattered |= (
                isinstance(consumer.op.lower, ScatterAdd) and x is consumer.operands[0]
            )
            if seen_through(consumer):
                stack.append(consumer)
            else:
                uses.reads += consumer.operands.count(x)
    return uses


def _rereads(node: Operation) -> bool:
    lower = node.op.lower
    return lower.rereads if isinstance(lower, Reduce) else isinstance(lower, Scan)


def _spreads(consumer: Operation, x: Node) -> bool:
    """Whether an element of `x` is computed for several of a consumer, or for none."""
    lower = consumer.op.lower
    if isinstance(lower, Element):
        return lower.spreads
    return isinstance(lower, View | Reduce) and lower.spreads and _resized(consumer, x)


def _worth_storing(
    graph: Graph, node: Operation, found: Roots, price: int, after: _Epilogue
) -> bool:
    """Whether a node is better materialized than recomputed.

    An epilogue costs no memory if it is stored instead of the result of the reduction.
    """
    if price == 0 or isinstance(node.op.lower, View):
        return False
    uses = _uses(graph, node, found)
    if uses.needs_memory or (uses.spread and after.in_place):
        return True
    if uses.scattered and (price > SCATTERED_PRICE or after.in_place):
        return True
    return (uses.spread or uses.reads > 1) and (price > RECOMPUTE_PRICE or after.sole)


def _is_stored(node: Operation) -> bool:
    lower = node.op.lower
    return isinstance(lower, Exchange) or (isinstance(lower, Element) and lower.stored)


def _in_steps(graph: Graph, node: Operation) -> bool:
    """Whether many readers take a part each: read from memory, they share their code."""
    if not node.shape:
        return False
    readers = graph.consumers(node)
    parts = (x for x in readers if isinstance(x.op.lower, View) and _resized(x, node))
    return len(readers) >= MANY_READERS and sum(1 for _ in parts) >= MANY_READERS


def _resized(node: Node, x: Node) -> bool:
    """Whether two nodes differ in the sizes of their axes, those of size 1 aside."""
    return [d for d in node.shape if d != 1] != [d for d in x.shape if d != 1]
