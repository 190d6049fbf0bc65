"""Every row of the table of op cases as a device computes what the interpreter does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.testing as npt
import pytest
from opencl import device, runners

import chainrule as cr
from backend.test_cpu_ops import KEY_VALUE, outputs_of
from cases.case import Case
from chainrule.backend.gpu.run.runner import Runner
from chainrule.engine.compile import plan_forward
from chainrule.graph import Graph, Node
from chainrule.graph.step import KEY
from chainrule.interpret import evaluate
from chainrule.passes.specialise import specialise
from chainrule.plan.plan import Plan
from chainrule.types import rows_first
from opcases import CASES
from ops.test_ops_cases import as_inputs, draw, rows_of, variants

Array = np.ndarray[Any, Any]
GROUP = 24
"""Cases whose code is built at once."""

EACH = 4
"""One of so many cases is tried each time, as drivers of processors compile slowly."""


class Part(NamedTuple):
    """A variant of a case in one precision."""

    case: Case
    said: str
    tolerance: float
    values: dict[Node, Array]
    outputs: list[Node]
    rows: int
    plan: Plan


def part(case: Case, dtype: str, variant: Any) -> Part:
    shapes, batched = variant
    values = as_inputs(draw(case, shapes, dtype), batched)
    outputs, rows = outputs_of(case, values), rows_of(values)
    place = specialise(Graph(outputs), training=True)
    outputs = [place[x] for x in outputs]
    said = f"{case.name} {dtype} {shapes}, batched {batched}"
    plan = plan_forward(Graph(outputs), outputs)
    return Part(case, said, 10 * case.tolerance[dtype], values, outputs, rows, plan)


def check(parts: Sequence[Part]) -> None:
    made = runners([x.plan for x in parts], [x.rows for x in parts])
    for one, runner in zip(parts, made, strict=True):
        agree(one, runner)


def agree(one: Part, runner: Runner) -> None:
    """The runner's outputs are what the interpreter computes, for rows in another order too."""
    graph, rows = Graph(one.outputs), one.rows
    names = {graph.name(x): v for x, v in one.values.items() if x in graph}
    names.setdefault(KEY.label, KEY_VALUE)
    back = np.random.default_rng(rows).permutation(rows)
    for buffer in one.plan.buffers:
        if buffer.space == "data":
            runner.bind(buffer.name, names[buffer.name][np.argsort(back)])
    given = {b.name: names[b.name] for b in one.plan.buffers if b.space == "step"}
    runner.run(back, [0, rows], given)
    known = {KEY: KEY_VALUE, **one.values}
    env = evaluate(Graph([*one.outputs, *one.values]), known, rows=rows)
    for node, buffer in zip(one.outputs, one.plan.outputs, strict=True):
        wanted = env[node]
        found = runner.output(buffer, rows).transpose(np.argsort(rows_first(node.shape)))
        assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype), one.said
        if found.dtype.kind != "f":
            npt.assert_array_equal(found, wanted, err_msg=one.said)
            continue
        scale = np.abs(wanted[np.isfinite(wanted)]).max(initial=1.0)
        npt.assert_allclose(found, wanted, one.tolerance, one.tolerance * scale, err_msg=one.said)


def precisions() -> tuple[str, ...]:
    return ("float32", "float64") if device().traits.float64 else ("float32",)


def some(numbers: Sequence[int]) -> Iterator[Part]:
    """One variant of each case, in one precision and then in the other."""
    known = precisions()
    for number in numbers:
        every, turn = list(variants(CASES[number])), number // EACH
        yield part(CASES[number], known[turn % len(known)], every[number % len(every)])


@pytest.mark.parametrize("first", range(0, len(CASES), EACH * GROUP))
def test_value_and_gradient(first: int) -> None:
    last = min(first + EACH * GROUP, len(CASES))
    check(list(some(range(first, last, EACH))))


def test_dropout_leaves_out_what_the_interpreter_does() -> None:
    x, rows = cr.input("x", (33,)), 700
    y = cr.dropout(x, 0.3)
    y = specialise(Graph([y]), training=True)[y]
    plan, data = plan_forward(Graph([y]), [y]), np.ones((rows, 33), "float32")
    (runner,) = runners([plan], [rows])
    runner.bind("x", data)
    given = {b.name: KEY_VALUE for b in plan.buffers if b.space == "step"}
    runner.run(np.arange(rows), [0, rows], given)
    wanted = evaluate(Graph([y]), {x: data, KEY: KEY_VALUE}, rows=rows)[y]
    npt.assert_array_equal(runner.output(plan.outputs[0], rows), wanted)
    assert 0.25 < np.mean(wanted == 0) < 0.35


@pytest.mark.soak
@pytest.mark.parametrize("first", range(0, len(CASES), GROUP))
def test_value_and_gradient_of_every_case(first: int) -> None:
    check(list(some(range(first, min(first + GROUP, len(CASES))))))


@pytest.mark.soak
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_all_variants_in_both_precisions(case: Case) -> None:
    every = [part(case, dtype, x) for dtype in precisions() for x in variants(case)]
    for k in range(0, len(every), GROUP):
        check(every[k : k + GROUP])
