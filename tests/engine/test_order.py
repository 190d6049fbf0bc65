"""The one order of stages: their names, the text of each result, and the check at each end."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import chainrule as cr
from chainrule.backend.base import Job
from chainrule.backend.registry import find_backend
from chainrule.engine.compile import KERNELS, MACHINE, ORDER, SPLIT, STEP, Stage, run, staged
from chainrule.engine.step import Objective
from chainrule.errors import GraphError
from chainrule.graph import Graph
from chainrule.graph.node import Operation
from chainrule.plan.unit import unit_of_step
from chainrule.types import TensorType

NAMES = (
    *("specialise", "precision", "differentiate", "update", "rows", "exchange", "merge", "hoist"),
    *("streams", "decompose", "fold", "merge", "gather", "fuse", "schedule", "emit", "object"),
)


def objective() -> Objective:
    x, t = cr.input("x", (4,)), cr.input("t", (), dtype="int32")
    h = cr.dropout(cr.dense((x - 0.5) / 2.0, 5, "tanh", name="h"), 0.2)
    loss = cr.cross_entropy(cr.dense(h, 3, name="y"), t)
    return Objective(Graph(loss), loss, cr.Adam(0.01), exchange=True)


def results() -> list[tuple[Stage, Any]]:
    """Every stage of the order with its result, from a loss to machine code."""
    made = [*staged(objective(), STEP)]
    made += staged(made[-1][1], SPLIT)
    made += staged(unit_of_step(made[-1][1].body), KERNELS)
    made += staged(Job(made[-1][1], find_backend("native"), 8), MACHINE)
    return made


def test_the_order_has_every_stage_by_name() -> None:
    assert tuple(stage.name for stage in ORDER) == NAMES
    assert [stage for stage, _ in results()] == list(ORDER)
    assert all(stage.what for stage in ORDER)


def test_no_other_module_takes_a_stage() -> None:
    """So that none chains stages: the order stands in one place."""
    stages = {x.run.__name__: x.run.__module__ for x in ORDER if x.run.__name__ != "<lambda>"}
    package, compiler = Path(cr.__file__).parent, run.__module__
    takers = {
        (path.relative_to(package.parent).with_suffix("").as_posix().replace("/", "."), name.name)
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        for name in node.names
        if stages.get(name.name) == node.module
    }
    assert takers == {(compiler, name) for name in stages}


def test_every_result_has_a_text_that_tells_it_from_the_one_before() -> None:
    texts = {
        name: stage.form.text(made) for name, (stage, made) in zip(NAMES, results(), strict=True)
    }
    assert "h.w.gradient" in texts["differentiate"]
    assert "h.w.new" in texts["update"]
    assert "step.rows" in texts["exchange"]
    assert "exchange(" in texts["exchange"]
    assert "encoded." in texts["hoist"]
    assert "matmul(" in texts["streams"]
    assert "einsum(" in texts["decompose"]
    assert "phase" not in texts["fuse"]
    assert texts["schedule"].startswith("phase 0")
    assert "define " in texts["emit"]
    assert "bytes" in texts["object"]


@pytest.mark.parametrize("name", ["specialise", "differentiate", "update", "hoist", "fold"])
def test_a_graph_that_a_stage_spoils_is_refused_at_its_end(name: str) -> None:
    found = results()
    (stage, made) = next((s, m) for s, m in found if s.name == name)
    node = next(x for x in made.graph if isinstance(x, Operation) and x.dtype == "float32")
    wrong = replace(node, type=TensorType((7, 7), "float32"), source=node.source)

    class Spoilt:
        nodes = Graph([wrong]).nodes

    with pytest.raises(GraphError, match=r"differs from what"):
        run(None, [replace(stage, run=lambda _: Spoilt())])


def test_kernels_and_plans_that_are_spoilt_are_refused_too() -> None:
    found = {stage.name: (stage, made) for stage, made in results()}
    stage, unit = found["fuse"]
    empty = replace(unit.kernels[0], writes=())
    with pytest.raises(GraphError, match="writes nothing"):
        run(None, [replace(stage, run=lambda _: replace(unit, kernels=(empty,)))])
    stage, plan = found["schedule"]
    with pytest.raises(GraphError, match=r"kernel|buffer"):
        run(None, [replace(stage, run=lambda _: replace(plan, phases=plan.phases[::-1]))])
