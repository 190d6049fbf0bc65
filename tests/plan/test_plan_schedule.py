"""One schedule: what a plan shows and prices, phase by phase and task by task, is what runs."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache, partial

import pytest

from chainrule.backend.cpu.emit.module import build
from chainrule.backend.cpu.emit.tiling import tiling
from chainrule.backend.cpu.layout import argument
from chainrule.backend.cpu.machine import host
from chainrule.backend.cpu.run.jit import compiled
from chainrule.backend.cpu.run.serialize import pack, unpack
from chainrule.costs.cost import PlanCosts, share
from chainrule.costs.speeds import default_speeds
from chainrule.costs.work import work
from chainrule.engine.compile import plan_forward, plan_step
from chainrule.graph import Graph
from chainrule.passes.specialise import specialise
from chainrule.plan.affine import Analysis
from chainrule.plan.linearize import laid_out
from chainrule.plan.plan import Plan
from chainrule.plan.show import SPLITS, show
from networks import MOST_ROWS, network

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
    code = unpack(pack(plan, program, compiled(program.text, host()), 1), host(), MOST_ROWS)
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
