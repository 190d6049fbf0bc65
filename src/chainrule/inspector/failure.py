"""The graph as far as it was built before an error, with the call that failed."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from typing import Any

from chainrule.errors import ChainruleError
from chainrule.graph.graph import Graph, topological
from chainrule.graph.node import Node, Scope
from chainrule.graph.op import REGISTRY
from chainrule.inspector.document import graph_form
from chainrule.operands import Failed


def failed_form(error: ChainruleError) -> dict[str, Any]:
    """Returns the graph that an error stopped as `GraphForm`; its `failure` names the culprit.

    The nodes are those that the failing calls were given, and all that these depend on. A call
    that made no node stands as one more, without a type, which reads its operands.

    Args:
        error: with `calls`.
    """
    outer_first = [x for call in reversed(error.calls) for x in call.operands]
    given = dict.fromkeys(x for x in outer_first if isinstance(x, Node))
    graph = Graph(given, like=_apart(topological(given)))
    form = graph_form(graph, {})
    form["outputs"] = []
    call = error.calls[0]
    place = {x: k for k, x in enumerate(graph)}
    operands = [place[x] for x in call.operands if isinstance(x, Node)]
    culprit = _unbuilt(form, call, operands, str(error.at)) if call.function else operands[0]
    form["failure"] = {"node": culprit, "message": str(error)}
    return form


def _apart(nodes: tuple[Node, ...]) -> dict[Scope, str]:
    """A name for each scope, also where the user gave one name twice."""
    scopes = dict.fromkeys(x.scope for x in nodes)
    bases, names = {x.base for x in scopes}, dict[Scope, str]()
    taken, numbers = set[str](), defaultdict[str, Iterator[int]](partial(itertools.count, 2))
    for scope in scopes:
        name = base = scope.base
        while name in taken or (name != base and name in bases):
            name = f"{base}_{next(numbers[base])}"
        names[scope] = name
        taken.add(name)
    return names


def _unbuilt(form: dict[str, Any], call: Failed, operands: list[int], at: str) -> int:
    """Append a node for a call that failed. Returns its index."""
    taken = {x["name"] for x in form["nodes"]}
    name = call.function
    while name in taken:
        name += "'"
    line = re.search(r"\bline (.+:\d+)", at)
    op = REGISTRY.get(call.function)
    form["ops"].setdefault(call.function, {
        "kind": "map" if op is None else op.kind,
        "formula": f"{call.function}({', '.join(f'{{{k}}}' for k in range(len(operands)))})",
        "convention": "",
    })  # fmt: skip
    form["nodes"].append({
        "name": name, "kind": "operation", "part": "forward", "shape": [], "dtype": "float32",
        "source": line[1] if line else "", "op": call.function, "operands": operands,
        "attributes": {}, "unbuilt": True,
    })  # fmt: skip
    node, layer = len(form["nodes"]) - 1, len(form["layers"])
    what = "not built"
    form["layers"].append({"name": name, "what": what, "nodes": [node], "parameters": 0})
    form["blocks"].append({"name": name, "what": what, "layers": [layer]})
    return node
