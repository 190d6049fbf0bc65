"""The page's evaluator, run by Node.js on graphs that Python writes."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.explain.trace import Trace
from chainrule.graph import Graph, Node
from chainrule.graph.node import Operation
from chainrule.inspector.arrays import array_form
from chainrule.inspector.document import _node_form, _whole
from chainrule.interpret import evaluate

Array = np.ndarray[Any, Any]
WEB = Path(__file__).parents[2] / "web"


@dataclass(frozen=True)
class Task:
    """A graph to evaluate.

    Attributes:
        graph: as `GraphForm` of web/src/document.ts.
        given: values of inputs and parameters, by the index of the node.
        rows: the length of the batch axis.
        wanted: the nodes whose values are returned; None: all.
        entries: of arrays in the texts of the steps; None: no steps are asked for.
        chained: whether what consumers send to entries of gradients is asked for.
    """

    graph: Mapping[str, Any]
    given: Mapping[int, Array]
    rows: int = 0
    wanted: list[int] | None = None
    entries: int | None = None
    chained: bool = False

    def line(self) -> str:
        given = {k: array_form(x) for k, x in self.given.items()}
        steps = None if self.entries is None else {"entries": self.entries}
        return json.dumps(
            {"graph": self.graph, "given": given, "rows": self.rows, "wanted": self.wanted,
             "steps": steps, "chained": self.chained}, allow_nan=False,
        )  # fmt: skip


@dataclass(frozen=True)
class Example:
    """A graph with the interpreter's value of every node, by index as in the page's document."""

    form: Mapping[str, Any]
    nodes: list[Node]
    values: list[Array]
    rows: int

    def task(self) -> Task:
        """All values, from those of inputs and parameters."""
        given = {
            k: v
            for k, (x, v) in enumerate(zip(self.nodes, self.values, strict=True))
            if not isinstance(x, Operation)
        }
        return Task(self.form, given, self.rows)

    def steps(self, entries: int) -> Task:
        """The texts of the steps. All values are given: their digits are those of Python."""
        return Task(self.form, dict(enumerate(self.values)), self.rows, [], entries)

    def apart(self) -> Task:
        """Each operation by itself, on the interpreter's values: the operations come last."""
        leaves = [
            {k: v for k, v in node.items() if k not in ("op", "operands", "attributes")}
            | {"kind": "input"}
            for node in self.form["nodes"]
        ]
        operations = [x for x in self.form["nodes"] if x["kind"] == "operation"]
        form = {**self.form, "nodes": [*leaves, *operations]}
        count = len(leaves)
        wanted = list(range(count, count + len(operations)))
        return Task(form, dict(enumerate(self.values)), self.rows, wanted)


def example(
    graph: Graph, given: Mapping[Node, Array], *, rows: int = 0, training: bool = False
) -> Example:
    """A graph, and its values by the interpreter from those of inputs and parameters."""
    env = evaluate(graph, given, rows=rows, training=training)
    index = {x: k for k, x in enumerate(graph)}
    nodes = [_node_form(graph, x, "forward", index) for x in graph]
    return Example(
        {"nodes": nodes, "training": training}, list(graph), [env[x] for x in graph], rows
    )


def example_of(trace: Trace) -> Example:
    """A trace with its backward pass and its update, if there are any."""
    leaves = {x: trace.value(x) for x in trace.extended if not isinstance(x, Operation)}
    whole = _whole(trace.graph, trace.built, trace.updates)
    env = evaluate(whole, leaves, rows=trace.rows, training=trace._training)
    return Example(trace.form(), list(whole), [env[x] for x in whole], trace.rows)


@dataclass(frozen=True)
class Answer:
    """What the page computes: for each node an array or the sentence that says why not."""

    values: list[Array | str]
    steps: list[dict[str, Any]] = field(default_factory=list)
    sent: list[dict[str, Any]] = field(default_factory=list)


def run_node(script: str, *arguments: Path) -> None:
    """Runs a script of web/tests; skips the test where Node.js or its packages are missing."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node.js: install version 20 or newer to test the page's evaluator")
    if not (WEB / "node_modules" / "vite").is_dir():
        pytest.skip("web/node_modules is missing: make web-check installs it")
    command = [node, WEB / "tests" / script, *arguments]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def answers(tasks: list[Task], folder: Path) -> list[Answer]:
    """What the page's evaluator makes of all tasks, in one process."""
    source, out = folder / "tasks.jsonl", folder / "answers.jsonl"
    source.write_text("\n".join(task.line() for task in tasks), "utf-8")
    run_node("evaluate.mjs", source, out)
    lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    return [
        Answer([_read(x) for x in line["values"]], line["steps"] or [], line["sent"] or [])
        for line in lines
    ]


def _read(form: Any) -> Array | str:
    if isinstance(form, str):
        return form
    data = np.frombuffer(base64.b64decode(form["data"]), form["dtype"])
    return data.reshape(form["shape"])
