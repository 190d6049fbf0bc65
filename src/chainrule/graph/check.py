"""The graph checker: called after every stage that makes or changes a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from chainrule.errors import ChainruleError, GraphError
from chainrule.graph.graph import Graph
from chainrule.graph.node import Input, Node, Operation, Parameter
from chainrule.types import N, TensorType

Name: TypeAlias = Callable[[Node], str]


@dataclass
class Checked:
    """The nodes and types that were checked: they never change, so they need not be again.

    Attributes:
        nodes: those that were checked.
        inferred: types of results, by the identities of op, attributes and types of operands: a
            node that is rebuilt on other operands keeps them.
    """

    nodes: set[Node] = field(default_factory=set)
    inferred: dict[tuple[int, ...], TensorType] = field(default_factory=dict)


def check(graph: Graph) -> Graph:
    """Returns `graph` if it is well formed; see `check_nodes`."""
    check_nodes(graph, Checked(), graph.name)
    return graph


def check_nodes(
    nodes: Iterable[Node], known: Checked, name: Name = lambda node: node.label
) -> None:
    """Checks the nodes of a graph, operands before their consumers.

    Args:
        nodes: the nodes to check.
        known: those that were checked before; these are added.
        name: gives the name of a node in errors.

    Raises:
        GraphError: a node precedes its operands, a type differs from what its op infers, a
            parameter has a batch axis, or an input has one that is not its first axis.
    """
    seen: set[Node] = set()
    for node in nodes:
        if not seen.issuperset(node.inputs):
            raise _wrong(name(node), node, "an operand does not precede its consumer")
        seen.add(node)
        if node in known.nodes:
            continue
        known.nodes.add(node)
        if isinstance(node, Operation):
            key = (id(node.op), id(node.attributes), *[id(x.type) for x in node.operands])
            if known.inferred.get(key) is not node.type:
                _check_type(node, name)
                known.inferred[key] = node.type
        elif isinstance(node, Parameter) and N in node.shape:
            raise _wrong(name(node), node, "a parameter has no batch axis")
        elif isinstance(node, Input) and (
            N in node.shape[1:] or (node.shape[:1] == (N,)) != node.batch
        ):
            raise _wrong(
                name(node), node, "the batch axis of an input is its first axis, if it has one"
            )


def _check_type(node: Operation, name: Name) -> None:
    try:
        inferred = node.op.type([x.type for x in node.operands], node.attributes)
    except ChainruleError as error:
        raise _wrong(name(node), node, f"its operands do not fit: {error.what}") from error
    if inferred != node.type:
        raise GraphError(
            "check",
            f"the type of {name(node)!r} differs from what {node.op.name} infers",
            expected=inferred,
            got=node.type,
            at=node.source or None,
        ).about(node)


def _wrong(name: str, node: Node, what: str) -> GraphError:
    return GraphError("check", what, at=f"{name!r}, {node.source}".removesuffix(", ")).about(node)
