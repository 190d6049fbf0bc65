"""The document of a page: a graph of the complete step as plain values, and what is shown of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chainrule.autodiff import Backward
from chainrule.errors import short
from chainrule.explain.steps import update_of
from chainrule.graph.graph import Graph
from chainrule.graph.keys import stream_id
from chainrule.graph.node import Array, Input, Node, Operation, Parameter
from chainrule.graph.step import STEP_INPUTS
from chainrule.inspector.arrays import array_form, attribute_form
from chainrule.inspector.names import LONGEST, cut_names, shortened
from chainrule.nn.blocks import contents
from chainrule.nn.summary import layers
from chainrule.types import N
from chainrule.version import __version__

FORMAT, VERSION = "chainrule-inspector", 1


def graph_form(
    graph: Graph,
    values: Mapping[Node, Array],
    *,
    loss: Node | None = None,
    backward: Backward | None = None,
    updates: Mapping[Parameter, Node] | None = None,
    training: bool = False,
    optimizer: str | None = None,
) -> dict[str, Any]:
    """Returns a graph as `GraphForm` of web/src/document.ts.

    Args:
        graph: the forward pass; its names are kept.
        values: of the parameters, optimizer slots and inputs of every step; empty: the structure
            alone.
        loss: the scalar of the backward pass.
        backward: its gradients; None: forward only.
        updates: the new value of each parameter and slot.
        training: whether the values are those of training mode.
        optimizer: as text.
    """
    updates = updates or {}
    whole = _whole(graph, backward, updates)
    index = {x: k for k, x in enumerate(whole)}
    grouped = layers(graph)
    place = {row.name: k for k, (row, _) in enumerate(grouped)}
    return {
        "nodes": [_node_form(whole, x, part, index) for x, part in _parts(whole, graph, backward)],
        "ops": {
            x.op.name: {
                "kind": x.op.kind, "formula": x.op.formula, "convention": x.op.convention,
            } for x in whole.operations
        },
        "layers": [
            {
                "name": row.name, "what": row.what, "nodes": [index[x] for x in nodes],
                "parameters": row.parameters,
            } for row, nodes in grouped
        ],
        "blocks": [
            {"name": name, "what": what, "layers": [place[x] for x in members]}
            for name, what, members in contents([row for row, _ in grouped])
        ],
        "outputs": [index[x] for x in graph.outputs],
        "loss": None if loss is None else index[loss],
        "gradients": [] if backward is None else _gradient_forms(backward, index),
        "updates": [
            {
                "parameter": index[x], "new": index[new],
                "of": next((index[p] for p in updates if x is not p and _owns(whole, p, x)), None),
            } for x, new in updates.items()
        ],
        "updating": _updating_form(whole, graph, backward, updates, index),
        "values": {whole.name(x): array_form(values[x]) for x in whole.parameters if x in values},
        "given": {
            whole.name(x): array_form(values[x])
            for x in whole.inputs if (x in STEP_INPUTS or not x.batch) and x in values
        },
        "training": training,
        "optimizer": optimizer,
        "failure": None,
        "long": cut_names(x.scope.base for x in whole),
    }  # fmt: skip


def _whole(graph: Graph, backward: Backward | None, updates: Mapping[Parameter, Node]) -> Graph:
    """The graph of all passes, forward nodes first, then backward, then update."""
    outputs: dict[Node, None] = dict.fromkeys(graph)
    if backward is not None:
        for x, gx in backward.gradients.items():
            outputs |= dict.fromkeys(c.gradient for c in backward.contributions.get(x, []))
            outputs[gx] = None
    outputs |= dict.fromkeys([*updates, *updates.values()])
    return Graph(outputs, like=graph)


def _parts(whole: Graph, graph: Graph, backward: Backward | None) -> list[tuple[Node, str]]:
    """The nodes in order, each with the pass that computes it."""
    gradients: set[Node] = set()
    if backward is not None:
        ends = [*backward.gradients.values()]
        ends += [c.gradient for cs in backward.contributions.values() for c in cs]
        gradients = set(Graph(ends))
    return [
        (x, "forward" if x in graph else "backward" if x in gradients else "update") for x in whole
    ]


def _node_form(whole: Graph, node: Node, part: str, index: Mapping[Node, int]) -> dict[str, Any]:
    form: dict[str, Any] = {
        "name": whole.name(node),
        "kind": "operation",
        "part": part,
        "shape": ["N" if d is N else d for d in node.shape],
        "dtype": node.dtype,
        "source": node.source,
    }
    if node.type.axes:
        form["axes"] = list(node.type.axes)
    if isinstance(node, Operation):
        form |= {
            "op": node.op.name,
            "operands": [index[x] for x in node.operands],
            "attributes": _attributes(node),
        }
        if "stream" in node.attributes:
            form["stream"] = str(stream_id(form["name"]))
    elif isinstance(node, Parameter):
        form |= {"kind": "parameter", "trainable": node.trainable}
    else:
        assert isinstance(node, Input)
        form["kind"] = "input"
    return form


def _attributes(node: Operation) -> dict[str, Any]:
    """Attributes as plain values; of an op made elsewhere, texts of those that are none."""
    forms: dict[str, Any] = {}
    for name, value in node.attributes.items():
        try:
            forms[name] = attribute_form(value)
        except TypeError:
            if not node.op.serial:
                raise
            forms[name] = short(value)
    return forms


def uncomputed(graph: Graph) -> list[str]:
    """Returns a note on the ops that the page cannot compute, where there are any.

    Args:
        graph: the forward pass.
    """
    made = dict.fromkeys(repr(x.op.name) for x in graph.operations if x.op.serial)
    lost = set[Node]()
    for x in graph:
        if (isinstance(x, Operation) and x.op.serial) or any(y in lost for y in x.inputs):
            lost.add(x)
    return [
        f"the page does not compute ops made by cr.op ({', '.join(made)}), nor what depends on "
        f"them: {len(lost):,} of {len(graph):,} nodes forward; trace.value(name) gives these"
    ] if made else []  # fmt: skip


def _gradient_forms(backward: Backward, index: Mapping[Node, int]) -> list[dict[str, Any]]:
    return [
        {
            "node": index[x],
            "gradient": index[gx],
            "terms": [
                {
                    "consumer": index[c.consumer],
                    "position": c.position,
                    "gradient": index[c.gradient],
                }
                for c in backward.contributions.get(x, [])
            ],
        }
        for x, gx in backward.gradients.items()
    ]


def _updating_form(
    whole: Graph, graph: Graph, backward: Backward | None,
    updates: Mapping[Parameter, Node], index: Mapping[Node, int],
) -> dict[str, Any]:  # fmt: skip
    """The steps of the update, and the names that their formulas use."""
    if backward is None or not updates:
        return {"names": {}, "steps": []}
    update = update_of({x: graph.name(x) for x in graph}, backward, updates, whole)
    return {
        "names": {str(index[x]): name for x, name in update.names.items() if x in index},
        "steps": [
            {
                "node": index[x.node],
                "title": x.title,
                "parameter": None if x.parameter is None else index[x.parameter],
                "own": {str(index[g]): title for g, title in x.own.items()},
                "known": x.known,
            } for x in update.shown
        ],
    }  # fmt: skip


def _owns(whole: Graph, parameter: Parameter, slot: Parameter) -> bool:
    """Whether a slot of the optimizer belongs to a parameter, by its name."""
    return whole.name(slot).startswith(f"{whole.name(parameter)}.")


def row_forms(graph: Graph, values: Mapping[Node, Array], rows: int) -> list[dict[str, Any]]:
    """Returns the examples as `RowForm`, numbered from 1.

    Args:
        graph: the forward pass.
        values: of its inputs.
        rows: the number of examples.
    """
    inputs = [x for x in graph.inputs if x.batch and x not in STEP_INPUTS]
    return [
        {
            "label": f"row {k + 1}",
            "why": "",
            "feeds": {graph.name(x): array_form(values[x][k]) for x in inputs},
            "cells": [],
        }
        for k in range(rows)
    ]


def document(
    graph: Mapping[str, Any],
    *,
    title: str,
    python: str,
    rows: list[dict[str, Any]],
    batch: list[int],
    holds: str = "",
    notes: Sequence[str] = (),
    encoders: Sequence[Mapping[str, Any]] = (),
    target: Mapping[str, Any] | None = None,
    **sections: Any,
) -> dict[str, Any]:
    """Returns the parts as `InspectionDocument` of web/src/document.ts.

    Long names are cut wherever they are; in full they are once in it.
    """
    cut = graph.get("long", {})
    content = {
        "format": FORMAT,
        "version": VERSION,
        "title": title,
        "made": f"chainrule {__version__}",
        "holds": holds or f"{len(rows)} row{'s' * (len(rows) != 1)}",
        "notes": list(notes),
        "python": python,
        "graph": graph,
        "rows": rows,
        "batch": batch,
        "encoders": list(encoders),
        "target": target,
        **sections,
    }
    if not cut:
        return content
    content["notes"].append(
        f"{len(cut)} name{'s' * (len(cut) != 1)} of more than {LONGEST} characters cut in the "
        "middle; Copy as Python writes them in full"
    )
    shorter: dict[str, Any] = shortened(content, {name: short for short, name in cut.items()})
    shorter["graph"]["long"] = cut
    return shorter
