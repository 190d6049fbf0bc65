"""Names for the nodes of a layer: one scope for all of them, a suffix for each."""

from __future__ import annotations

from collections.abc import Iterable

from chainrule.graph.node import Node, Operation, Scope, rebuilt


def layer_scope(name: str | None, default: str) -> Scope:
    """The scope of a new layer: the user's name, or `default`, which a Graph makes unique."""
    return Scope(default) if name is None else Scope(name, given=True)


def as_layer(
    scope: Scope,
    result: Node,
    operands: Iterable[Node],
    *,
    suffix: str = "",
    prefix: str = "",
    counts: dict[str, int] | None = None,
) -> Node:
    """Names `result` and all nodes before it as one layer; the result gets the layer's name.

    Operations between the operands and the result are named after their op, `hidden.matmul`;
    those that have a suffix in this scope keep it, and those of another layer or of a user's
    scope keep their names.

    Args:
        scope: of the layer.
        result: a new node, computed from the operands and from leaves alone.
        operands: of the layer; they and all nodes before them are left unchanged.
        suffix: of the result.
        prefix: of the suffixes of the other nodes.
        counts: how many have each suffix already, where a layer is named in several calls.
    """
    place = {x: x for x in operands}
    if result in place or not isinstance(result, Operation):
        return result
    counts = {} if counts is None else counts
    stack: list[Node] = [result]
    while stack:
        node = stack[-1]
        pending = [x for x in node.inputs if x not in place] if node not in place else []
        if pending:
            stack.extend(reversed(pending))
            continue
        stack.pop()
        if node in place:
            continue
        place[node] = node
        if isinstance(node, Operation):
            inner = rebuilt(node, tuple(place[x] for x in node.operands))
            if node is result:
                place[node] = inner.within(scope, suffix)
            elif _unnamed(node):
                place[node] = inner.within(scope, _numbered(f"{prefix}.{node.op.name}", counts))
            else:
                place[node] = inner
    return place[result]


def _unnamed(node: Operation) -> bool:
    return not node.scope.given and node.scope.base == node.op.name and not node.suffix


def _numbered(suffix: str, counts: dict[str, int]) -> str:
    counts[suffix] = counts.get(suffix, 0) + 1
    return suffix if counts[suffix] == 1 else f"{suffix}_{counts[suffix]}"
