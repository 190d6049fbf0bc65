"""What a plan costs: operations and bytes counted by hand, and threads that help or do not."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

import chainrule as cr
from chainrule.costs.cost import (
    PlanCosts,
    best_threads,
    exchanged,
    plan_cost,
    product_seconds,
    share,
)
from chainrule.costs.speeds import default_speeds
from chainrule.costs.work import work
from chainrule.engine.compile import build_step, plan_forward, plan_step
from chainrule.graph import Graph
from chainrule.ir.kernel import BYTES, At, Axis, Buffer, Call, Const, Kernel, Read, Write
from chainrule.plan.plan import Plan, Task
from chainrule.plan.schedule import schedule
from chainrule.types import N

SPEEDS = default_speeds(32, ((6, 2), (4, 3), (12, 1)))


def trained(widths: tuple[int, ...], rule: cr.Optimizer | None = None) -> Plan:
    x, t = cr.input("x", (widths[0],)), cr.input("t", (), dtype="int32")
    h = cr.mlp(x, widths[1:-1], "relu") if len(widths) > 2 else x
    loss = cr.cross_entropy(cr.dense(h, widths[-1]), t)
    return plan_step(build_step(Graph(loss), loss, rule or cr.SGD(0.1)))


def task(kernel: Kernel) -> Task:
    (phase,) = schedule([kernel])
    return phase.tasks[0]


def elementwise(width: int, *, function: str = "exp") -> Task:
    n, i = Axis("n", N), Axis("i", width)
    x, y = Buffer("x", (N, width), "float32"), Buffer("y", (N, width), "float32")
    value = Call("add", (Call(function, (Read(x, (At(n), At(i))),), "float32"), _two()), "float32")
    return task(Kernel("y", (n, i), (Write(y, (At(n), At(i)), value),)))


def _two() -> Const:
    return Const(2.0, "float32")


def test_an_elementwise_kernel_is_counted_element_by_element() -> None:
    found = work(elementwise(40), rows=10)
    assert found.flops == 2 * 10 * 40
    assert found.bytes == 2 * 10 * 40 * 4
    assert found.product is None
    assert found.split == "rows"


def test_functions_of_the_maths_library_take_their_time() -> None:
    cheap, dear = (work(elementwise(40, function=f), 10).instructions for f in ("neg", "pow"))
    assert dear > 5 * cheap


def test_what_depends_on_no_inner_loop_is_counted_once() -> None:
    n, i = Axis("n", N), Axis("i", 100)
    s, y = Buffer("s", (N,), "float32"), Buffer("y", (N, 100), "float32")
    value = Call("exp", (Read(s, (At(n),)),), "float32")
    found = work(task(Kernel("y", (n, i), (Write(y, (At(n), At(i)), value),))), rows=7)
    assert found.flops == 7


def test_a_tail_costs_a_whole_vector() -> None:
    whole, more = (work(elementwise(width), 10, lanes=8).instructions for width in (32, 33))
    assert more == pytest.approx(whole * 5 / 4)


def test_products_are_seen_and_counted() -> None:
    plan = trained((30, 20, 7))
    works = [work(task, 50) for task in plan.tasks]
    found = sorted(x.product for x in works if x.product is not None)
    forward = [(50, 20, 30, 1), (50, 7, 20, 1)]
    backward = [(50, 20, 7, 1), (30, 20, 50, 1), (20, 7, 50, 1)]
    assert found == sorted(forward + backward)


def test_the_operations_of_a_step_are_those_of_its_products() -> None:
    """Three products a layer, the first has no gradient of its data."""
    plan, rows = trained((500, 400, 300, 10)), 128
    pairs = [(500, 400), (400, 300), (300, 10)]
    expected = sum(6 * rows * i * o for i, o in pairs) - 2 * rows * 500 * 400
    assert plan_cost(plan, rows, SPEEDS).flops == pytest.approx(expected, rel=0.02)


def test_bytes_of_a_step_hold_the_states_twice() -> None:
    plan = trained((500, 400, 10), cr.Adam(1e-3))
    states = sum(BYTES[b.dtype] * math.prod(map(int, b.shape)) for b in plan.updates)
    assert plan_cost(plan, 1, SPEEDS).bytes >= 2 * states


def test_scattered_rows_are_not_the_whole_table() -> None:
    words, t = cr.input("words", (3,), dtype="int32"), cr.input("t", (1,))
    h = cr.flatten(cr.embedding(words, 50_000, 4))
    loss = cr.squared_error(cr.dense(h, 1), t)
    graph = Graph(loss)
    forward = plan_forward(graph, [loss])
    assert plan_cost(forward, 8, SPEEDS).bytes < 100_000


# ---------------------------------------------------------------- seconds and threads


def test_more_work_takes_longer() -> None:
    seconds = [plan_cost(trained((64, w, 10)), 64, SPEEDS).seconds for w in (32, 128, 512)]
    assert seconds == sorted(seconds)
    rows = [plan_cost(trained((64, 64, 10)), n, SPEEDS).seconds for n in (8, 80, 800)]
    assert rows == sorted(rows)


def test_a_product_is_never_quicker_than_the_peak() -> None:
    plan = trained((333, 222, 111))
    for task in plan.tasks:
        each = work(task, 77)
        if each.product is not None:
            assert product_seconds(each, SPEEDS, 1.0) >= each.flops / SPEEDS.peak


def test_a_tiny_network_uses_one_thread_and_a_large_one_all() -> None:
    assert best_threads(trained((4, 16, 3)), 16, 8, SPEEDS) == 1
    assert best_threads(trained((64, 10)), 1, 8, SPEEDS) == 1
    assert best_threads(trained((64, 64, 10)), 32, 2, SPEEDS) == 1
    assert best_threads(trained((784, 512, 512, 10)), 128, 8, SPEEDS) == 8
    assert best_threads(trained((784, 512, 512, 10)), 128, 1, SPEEDS) == 1


def test_slow_barriers_ask_for_fewer_threads() -> None:
    plan = trained((64, 64, 10))
    slow = replace(SPEEDS, barrier=1.0)
    assert best_threads(plan, 256, 4, slow) == 1
    assert best_threads(plan, 256, 4, replace(SPEEDS, barrier=0.0)) == 4


def test_threads_take_from_each_other_what_others_wrote() -> None:
    plan = trained((30, 20, 7))
    works = [work(task, 64) for task in plan.tasks]
    assert all(exchanged(each, 1) == 0 for each in works)
    found = {each.product[:3]: exchanged(each, 2) for each in works if each.product is not None}
    assert found[64, 20, 30] == 30 * 20 * 4 / 2  # weights, half of them of the other thread
    assert found[30, 20, 64] == 64 * 20 * 4 / 2  # gradients; the left factor is data
    assert found[20, 7, 64] == (64 * 7 + 20 * 64 / 2) * 4 / 2
    assert all(exchanged(each, 4) >= exchanged(each, 2) for each in works)


def test_parts_of_a_kernel_make_the_whole() -> None:
    each = work(elementwise(40), 64)
    assert share(each, 64, 1) == 1
    assert share(each, 64, 2) == 0.5
    assert share(each, 64, 3) == pytest.approx(24 / 64)  # granules of four rows: 6 of 16
    assert share(each, 1, 8) == 1


def test_what_was_just_written_is_near_and_data_is_far() -> None:
    costs = PlanCosts(trained((1000, 50, 10)), 64, SPEEDS)
    by_name: dict[str, list[float]] = {}
    for (_, each), away in zip(costs.works, costs.distances, strict=True):
        for traffic, distance in zip(each.touched, away, strict=True):
            by_name.setdefault(traffic.buffer.name, []).append(distance)
    assert all(math.isinf(x) for x in by_name["x"])
    states = [b.name for b in costs.plan.updates]
    assert all(math.isfinite(x) for name in states for x in by_name[name])


def test_a_prediction_has_costs_too() -> None:
    x = cr.input("x", (64,))
    y = cr.softmax(cr.dense(x, 10))
    graph = Graph(y)
    found = plan_cost(plan_forward(graph, [y]), 100, SPEEDS)
    assert found.flops > 2 * 100 * 64 * 10
    assert found.seconds > 0
