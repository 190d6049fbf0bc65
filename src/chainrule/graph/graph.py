"""Graph: nodes in topological order, with unique names and their consumers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from chainrule.display.tables import Section, as_html
from chainrule.errors import GraphError, did_you_mean
from chainrule.graph.node import Input, Node, Operation, Parameter, Scope


class Graph:
    """All nodes that the outputs are computed from, operands before their consumers.

    Args:
        outputs: the nodes to compute.
        like: a graph whose names are kept for the nodes and layers that both share; or the names
            of scopes themselves.

    Attributes:
        outputs: as given.
        nodes: all nodes, in topological order.
        inputs, parameters, operations: those of each kind, in topological order.
        scopes: the name of each scope, including those of `like`.

    Raises:
        GraphError: two nodes were given the same name, or something is not a node.

    Without recursion: chains of many thousand nodes and graphs with many paths are fine.
    """

    scopes: Mapping[Scope, str]

    def __init__(
        self,
        outputs: Node | Iterable[Node],
        *,
        like: Graph | Mapping[Scope, str] | None = None,
    ) -> None:
        self.outputs = (outputs,) if isinstance(outputs, Node) else tuple(outputs)
        self.nodes = topological(self.outputs)
        self.inputs = tuple(x for x in self.nodes if isinstance(x, Input))
        self.parameters = tuple(x for x in self.nodes if isinstance(x, Parameter))
        self.operations = tuple(x for x in self.nodes if isinstance(x, Operation))
        known = like.scopes if isinstance(like, Graph) else like or {}
        self.scopes, self._names = _unique_names(self.nodes, known)
        self._by_name = {name: node for node, name in self._names.items()}
        self._consumers: dict[Node, list[Operation]] = {node: [] for node in self.nodes}
        for node in self.operations:
            for operand in dict.fromkeys(node.operands):
                self._consumers[operand].append(node)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def __contains__(self, node: Node) -> bool:
        return node in self._names

    def __getitem__(self, name: str) -> Node:
        if name not in self._by_name:
            raise GraphError(
                "graph", f"no node is named {name!r}", fix=did_you_mean(name, self._by_name)
            )
        return self._by_name[name]

    def __repr__(self) -> str:
        return (
            f"<Graph of {len(self)} nodes: {len(self.inputs)} inputs, "
            f"{len(self.parameters)} parameters, {len(self.operations)} operations>"
        )

    def _repr_html_(self) -> str:
        rows = tuple(
            (self._names[x], x.op.name if isinstance(x, Operation) else type(x).__name__.lower(),
             str(x.type), ", ".join(self._names[y] for y in x.inputs))
            for x in self.nodes
        )  # fmt: skip
        title = repr(self)[1:-1]
        return as_html([Section(title, rows, ("name", "what", "type", "reads"))])

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle operands before their consumers, so that chains of any length are fine."""
        return _unpickled, (self.nodes, self.outputs, dict(self.scopes))

    def __copy__(self) -> Graph:
        """The graph itself, which never changes."""
        return self

    def __deepcopy__(self, memo: object) -> Graph:
        """The graph itself."""
        return self

    def find(self, node: Node | str) -> Node:
        """The node itself, or the node of that name. Raises GraphError if it is not here."""
        if isinstance(node, str):
            return self[node]
        if node not in self._names:
            raise GraphError(
                "graph",
                f"{node!r} is not a part of this graph",
                fix="list it, or something computed from it, among the outputs",
            )
        return node

    def name(self, node: Node) -> str:
        """The node's name in this graph."""
        return self._names[self.find(node)]

    def consumers(self, node: Node) -> tuple[Operation, ...]:
        """The operations that read `node`, in topological order."""
        return tuple(self._consumers[self.find(node)])


def _unpickled(
    nodes: tuple[Node, ...], outputs: tuple[Node, ...], scopes: dict[Scope, str]
) -> Graph:
    """A graph from its pickle; the outputs depend on all of the nodes."""
    return Graph(outputs, like=scopes)


def topological(outputs: Iterable[Node], known: Iterable[Node] = ()) -> tuple[Node, ...]:
    """All nodes that the outputs depend on: depth first, operands in order, without recursion.

    Nodes that are `known`, and what only they depend on, are left out.
    """
    left_out = set(known)
    order: dict[Node, None] = dict.fromkeys(left_out)
    for output in outputs:
        if not isinstance(output, Node):
            raise GraphError("graph", "an output is not a node", got=repr(output))
        stack = [output]
        while stack:
            node = stack[-1]
            pending = [x for x in node.inputs if x not in order]
            if pending:
                stack.extend(reversed(pending))
            else:
                order[stack.pop()] = None
    return tuple(x for x in order if x not in left_out) if left_out else tuple(order)


class _Names:
    """Unique names: a name that is taken gets a number."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        self._last: dict[str, int] = {}

    def free(self, base: str) -> str:
        """`base`, or `base_2`, `base_3`, ...: the first that is not taken."""
        name, number = base, self._last.get(base, 1)
        while name in self._taken:
            number += 1
            name = f"{base}_{number}"
        self._last[base] = number
        self._taken.add(name)
        return name


def _unique_names(
    nodes: tuple[Node, ...], known: Mapping[Scope, str]
) -> tuple[dict[Scope, str], dict[Node, str]]:
    """Names of scopes and nodes: given names stay, others are numbered if they collide."""
    scopes = dict(known)
    given = {x.scope.base for x in nodes if x.scope.given}
    scope_names = _Names(given | set(scopes.values()))
    node_names = _Names(())
    names: dict[Node, str] = {}
    owner: dict[str, Node] = {}
    last = {node.scope: k for k, node in enumerate(nodes)}
    for scope in sorted(last, key=last.__getitem__):  # numbers layers in order
        if scope not in scopes:
            scopes[scope] = scope.base if scope.given else scope_names.free(scope.base)
    for node in nodes:
        scope = node.scope
        name = scopes[scope] + node.suffix
        if name in owner and scope.given and owner[name].scope.given:
            raise GraphError(
                "graph",
                f"two nodes are named {name!r}",
                got=f"{owner[name]!r} from {owner[name].source}\n{node!r} from {node.source}",
                fix="give one of them another name",
            ).about(node, owner[name])
        names[node] = node_names.free(name)
        owner.setdefault(names[node], node)
    return scopes, names
