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
from chainrule.graph.node import Operation
from chainrule.inspector.arrays import array_form
from chainrule.inspector.document import _whole, graph_form
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
    """

    graph: Mapping[str, Any]
    given: Mapping[int, Array]
    rows: int = 0
    wanted: list[int] | None = None
    entries: int | None = None

    def line(self) -> str:
        given = {k: array_form(x) for k, x in self.given.items()}
        steps = None if self.entries is None else {"entries": self.entries}
        return json.dumps(
            {"graph": self.graph, "given": given, "rows": self.rows, "wanted": self.wanted,
             "steps": steps}, allow_nan=False,
        )  # fmt: skip


def task_of(trace: Trace, *, entries: int | None = None) -> tuple[Task, list[Array]]:
    """The graph of a trace, and the value of each of its nodes by the interpreter.

    Args:
        trace: after `backward`, or before.
        entries: with steps: the evaluator then gets all values, since it is not them that it is
            asked for.
    """
    graph, built, rows = trace.graph, trace.built, trace.rows
    form = graph_form(
        graph, {x: trace.value(x) for x in graph}, backward=built, loss=built and built.loss,
        training=trace._training,
    )  # fmt: skip
    whole = _whole(graph, built, {})
    leaves = {x: v for x, v in trace._values.items() if not isinstance(x, Operation)}
    env = evaluate(whole, leaves, rows=rows, training=trace._training)
    known = whole if entries is not None else leaves
    given = {k: env[x] for k, x in enumerate(whole) if x in known}
    return Task(form, given, rows, entries=entries), [env[x] for x in whole]


@dataclass(frozen=True)
class Answer:
    """What the page computes: for each node an array or the sentence that says why not."""

    values: list[Array | str]
    steps: list[dict[str, Any]] = field(default_factory=list)


def answers(tasks: list[Task], folder: Path) -> list[Answer]:
    """What the page's evaluator makes of all tasks, in one process."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node.js: install version 20 or newer to test the page's evaluator")
    if not (WEB / "node_modules" / "vite").is_dir():
        pytest.skip("web/node_modules is missing: make web-check installs it")
    source, out = folder / "tasks.jsonl", folder / "answers.jsonl"
    source.write_text("\n".join(task.line() for task in tasks), "utf-8")
    run = subprocess.run(
        [node, WEB / "tests" / "evaluate.mjs", source, out], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    return [Answer([_read(x) for x in line["values"]], line["steps"] or []) for line in lines]


def _read(form: Any) -> Array | str:
    if isinstance(form, str):
        return form
    data = np.frombuffer(base64.b64decode(form["data"]), form["dtype"])
    return data.reshape(form["shape"])
