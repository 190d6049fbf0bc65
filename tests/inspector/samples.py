"""Documents of pages for the tests: complete steps, with the optimizer's update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.autodiff import backward
from chainrule.explain.lecture import EXAMPLE, RATE, network
from chainrule.graph.step import RATE as RATE_INPUT
from chainrule.graph.step import STEP_INDEX
from chainrule.inspector.document import document, graph_form, row_forms

Document = dict[str, Any]


def lecture_trace(
    feeds: Mapping[str, Any] = EXAMPLE, values: Mapping[str, Any] | None = None
) -> cr.Trace:
    """The lecture's network on an example, after `backward`."""
    trace = cr.run(network()["E"], feeds, values=values)
    trace.backward("E")
    return trace


def lecture(feeds: Mapping[str, Any] = EXAMPLE) -> Document:
    """The lecture's network with its step of gradient descent."""
    return complete(lecture_trace(feeds), "E", cr.SGD(RATE), title="The lecture")


def classifier(rows: int = 4) -> Document:
    """A network with a hidden layer of 64 units, five classes, and Adam."""
    numbers = np.random.default_rng(0)
    x, t = cr.input("x", (20,)), cr.input("t", (), dtype="int32")
    h = cr.dense(x, 64, "relu").named("h")
    z = cr.dense(h, 5).named("z")
    loss = cr.cross_entropy(z, t).named("loss")
    feeds = {"x": numbers.normal(size=(rows, 20)), "t": numbers.integers(0, 5, rows)}
    return complete(cr.run([z, loss], feeds), "loss", cr.Adam(0.01), title="A classifier")


def complete(trace: cr.Trace, loss: str, optimizer: Any, *, title: str, **parts: Any) -> Document:
    """The document of a trace with the gradients of a loss, and an optimizer's update."""
    graph = trace.graph
    built = backward(graph, graph[loss])
    values: dict[cr.Node, Any] = {x: trace.value(x) for x in graph}
    values |= {RATE_INPUT: np.asarray(float(optimizer.rate)), STEP_INDEX: np.asarray(1.0)}
    updates = {}
    for x in graph.parameters:
        if x in built.gradients:
            new, slots = optimizer.update(
                x, graph.name(x), built.gradients[x], RATE_INPUT, STEP_INDEX
            )
            updates |= {x: new} | slots
            values |= {slot: np.zeros(slot.shape, slot.dtype) for slot in slots}
    text = f"{type(optimizer).__name__}(rate={optimizer.rate:g})"
    form = graph_form(
        graph, values, loss=graph[loss], backward=built, updates=updates, optimizer=text
    )
    rows = row_forms(graph, trace.inputs, trace.rows)
    return document(
        form, title=title, python="trace", rows=rows, batch=list(range(trace.rows)), **parts
    )


def named(names: Sequence[str]) -> Document:
    """A document whose input, layers, columns, classes and rows have the names given."""
    width = len(names)
    x = cr.input(names[0], (width,), dtype="float64")
    t = cr.input(names[1], (), dtype="int32")
    h = cr.sigmoid(cr.dense(x, 2, name=names[2])).named(names[3])
    z = cr.dense(h, width, name=names[4])
    y = cr.softmax(z).named("answer")
    loss = cr.cross_entropy(z, t).named("loss")
    trace = cr.run([y, loss], {names[0]: np.eye(width), names[1]: np.arange(width) % width})
    made = complete(trace, "loss", cr.SGD(0.1), title=names[0])
    node = trace.graph.nodes.index(trace.graph[names[0]])
    made["encoders"] = [
        {
            "column": name, "kind": "number", "told": name, "levels": [], "gaps": 0,
            "reading": {"kind": "number", "decimal": ".", "unit": "", "gaps": [""]},
            "parts": [{"name": name, "input": names[0], "position": k,
                       "seen": [{"node": node, "entries": [k]}]}],
        } for k, name in enumerate(names)
    ]  # fmt: skip
    made["target"] = {
        "column": names[1], "input": names[1], "task": "classification", "classes": list(names),
        "reading": None, "output": made["graph"]["outputs"][0],
    }  # fmt: skip
    for row, name in zip(made["rows"], names, strict=True):
        row |= {"label": name, "why": name}
        row["cells"] = [{"column": other, "raw": other} for other in names]
    return made
