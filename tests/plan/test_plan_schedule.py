"""One schedule: what a plan shows and prices, phase by phase and task by task, is what runs."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest

import chainrule as cr
from chainrule.backend.cpu.emit.module import build
from chainrule.backend.cpu.emit.tiling import tiling
from chainrule.backend.cpu.layout import argument
from chainrule.backend.cpu.machine import host
from chainrule.backend.cpu.run.objects import object_files
from chainrule.backend.cpu.run.serialize import pack, unpack
from chainrule.costs.cost import PlanCosts, share
from chainrule.costs.speeds import default_speeds
from chainrule.costs.work import work
from chainrule.engine.compile import build_step, plan_forward, plan_step
from chainrule.graph import Graph, Node
from chainrule.passes.specialise import specialise
from chainrule.plan.affine import Analysis
from chainrule.plan.linearize import laid_out
from chainrule.plan.plan import Plan
from chainrule.plan.show import SPLITS, show
from chainrule.train.optim import SGD, Optimizer, optimizer
from networks import FIRST_ORDER, MOST_ROWS, network

SEEDS = range(60)


@cache
def plans(seed: int) -> tuple[Plan, Plan]:
    """Of a random network, training and prediction."""
    case = network(random.Random(seed))
    graph = Graph(case.outputs)
    place = specialise(graph, training=False)
    outputs = [place[x] for x in case.outputs]
    return plan_step(case.step()), plan_forward(Graph(outputs, like=graph), outputs)


def scheduled(plan: Plan) -> list[list[tuple[str, str, int]]]:
    """The name, the split and the owner of each task, by phase."""
    return [[(x.kernel.name, x.split, x.owner) for x in phase.tasks] for phase in plan.phases]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_phases_of_a_plan_are_those_of_its_module(seed: int) -> None:
    for plan in plans(seed):
        program = build(plan, host(), MOST_ROWS)
        launched = [[(x.name, x.split, x.owner) for x in phase] for phase in program.phases]
        assert launched == scheduled(plan)


@pytest.mark.parametrize("seed", SEEDS[:4])
def test_machine_code_comes_with_the_phases_of_its_module(seed: int) -> None:
    plan, _ = plans(seed)
    program = build(plan, host(), MOST_ROWS)
    code = unpack(pack(plan, program, object_files(program, host()), (1, 1)), host(), MOST_ROWS)
    run, made = (
        [[replace(x, operands=()) for x in phase] for phase in phases]
        for phases in (code.program.phases, program.phases)
    )
    assert run == made


@pytest.mark.parametrize("seed", SEEDS)
def test_the_phases_of_a_plan_are_those_that_it_shows(seed: int) -> None:
    for plan in plans(seed):
        shown: list[list[str]] = []
        for line in show(plan).splitlines():
            if line.startswith("phase"):
                shown.append([])
            elif not line.startswith("    "):
                shown[-1].append(line.partition("  # ")[0].strip())
        for phase, lines in zip(plan.phases, shown, strict=True):
            for task, line in zip(phase.tasks, lines, strict=True):
                assert line.startswith(f"{task.kernel.name}: ")
                commits = ", commits" if task.kernel.commit else ""
                assert line.endswith(f" {SPLITS[task.split]}{commits}")


@pytest.mark.parametrize("seed", SEEDS)
def test_costs_are_shared_as_the_schedule_says(seed: int) -> None:
    for plan in plans(seed):
        costs = PlanCosts(plan, 1000, default_speeds(32))
        found: list[list[tuple[str, str, int]]] = [[] for _ in plan.phases]
        for phase, each in costs.works:
            found[phase].append((each.kernel.name, each.split, each.task.owner))
            alone = each.split in ("none", "every")
            assert alone or each.split == "first" or share(each, 1000, 2) == 0.5
            assert not alone or share(each, 1000, 2) == 1.0
        assert found == scheduled(plan)
        assert [x.phase for x in costs.at(2).kernels] == [phase for phase, _ in costs.works]


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_priced_as_a_product_runs_as_one(seed: int) -> None:
    for task in (task for plan in plans(seed) for task in plan.tasks):
        known = task.contraction
        assert (work(task, 9).product is None) == (known is None)
        if known is not None:
            layout = partial(argument, rows=MOST_ROWS)
            analysis = Analysis(laid_out(task.linear, task.operands, layout))
            assert tiling(analysis, known, host(), MOST_ROWS) is not None


def two_sided(loss: Node, rule: Optimizer) -> set[str]:
    return {x.name for x in plan_step(build_step(Graph(loss), loss, rule)).twice}


@pytest.mark.parametrize("name", FIRST_ORDER)
def test_new_values_are_written_over_old_ones_that_nothing_reads_any_more(name: str) -> None:
    x = cr.input("x", (5,))
    loss = cr.mean(cr.square(cr.dense(cr.dense(x, 40, "tanh"), 33)))
    scalars = {"nadam": ("dense.w", "dense.b", "dense_2.w", "dense_2.b")}  # each thread's own
    assert two_sided(loss, optimizer(name)) == {f"{x}.product" for x in scalars.get(name, ())}


def test_values_that_are_read_elsewhere_while_they_are_written_have_two_sides() -> None:
    w = cr.parameter("w", np.ones((6, 6)))
    loss = cr.mean(cr.square(cr.input("x", (6,)) * w[0]) * 0) + cr.sum(w * cr.transpose(w))
    assert two_sided(loss, SGD(0.1)) == {"w"}


def test_states_have_two_sides_where_rows_of_another_are_written_in_place() -> None:
    code = cr.input("code", (), dtype="int32")
    loss = cr.mean(cr.square(cr.dense(cr.embedding(code, 5_000, 4, sparse=True), 3)))
    assert {"dense.w", "dense.b"} <= two_sided(loss, SGD(0.1))
