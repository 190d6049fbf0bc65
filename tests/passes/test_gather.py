"""Gathering: sums of parts become arrays, sums of products one product, and near misses stay."""

from collections import Counter

import numpy as np
import pytest

import chainrule as cr
from chainrule.graph import Graph
from chainrule.graph.feeds import bind
from chainrule.graph.node import apply
from chainrule.interpret import evaluate, initial_value
from chainrule.ops.slicing import PAD
from chainrule.passes.decompose import decompose
from chainrule.passes.gather import LEAST, gather

R = np.random.default_rng(2)


def gathered(y):
    """The ops of the gathered graph, checked to have the value of the original one."""
    graph = Graph(y)
    simple = Graph(decompose(graph)[y])
    made = Graph(gather(simple)[simple.outputs[0]])
    data = {graph.name(x): R.normal(size=(3, *x.shape[1:])) for x in graph.inputs}
    names = {x: graph.name(x) for x in graph.inputs}
    fed, rows = bind(names, names, data)
    fed |= {p: initial_value(p, graph.name(p)) for p in graph.parameters}
    before, after = (evaluate(g, fed, rows=rows)[g.outputs[0]] for g in (simple, made))
    np.testing.assert_allclose(after, before, rtol=1e-12, atol=1e-14)
    return Counter(x.op.name for x in made.operations)


def part(x, start, size):
    shape = (*x.shape[:1], size, *x.shape[2:])
    begin = (0, start, *[0] * (x.ndim - 2))
    return apply(PAD, x, start=begin, step=(1,) * x.ndim, shape=shape, value=0.0)


def inputs(count, *shape):
    return [cr.input(f"x{k}", shape, dtype="float64") for k in range(count)]


@pytest.mark.parametrize("starts", [(0, 2, 4), (4, 0, 2), (3, 0), (2, 6)])
def test_disjoint_parts_are_one_array(starts):
    xs = inputs(len(starts), 2)
    ops = gathered(
        sum(
            (part(x, k, 8) for x, k in zip(xs, starts, strict=True)),
            cr.sin(xs[0] @ np.ones((2, 8))),
        )
    )
    assert ops["concat"] == 1
    assert ops["pad"] == 0
    assert ops["add"] == 1


def test_a_part_of_two_arrays_is_copied_to_the_second():
    a, b, c = inputs(3, 2)
    one, two = (part(a, 0, 4) + part(x, 2, 4) for x in (b, c))
    assert gathered(cr.sin(one) + cr.cos(two))["concat"] == 3


@pytest.mark.parametrize("starts", [(0, 1), (0, 0), (3, 2)])
def test_parts_that_overlap_stay(starts):
    xs = inputs(2, 2)
    ops = gathered(
        sum(
            (part(x, k, 6) for x, k in zip(xs[1:], starts[1:], strict=True)),
            part(xs[0], starts[0], 6),
        )
    )
    assert (ops["concat"], ops["pad"]) == (0, 2)


def test_parts_along_two_axes_stay():
    (x,) = inputs(1, 2, 2)
    corner = {"step": (1, 1, 1), "shape": (cr.N, 4, 4), "value": 0.0}
    y = apply(PAD, x, start=(0, 0, 0), **corner) + apply(PAD, x, start=(0, 2, 2), **corner)
    assert gathered(y)["pad"] == 2


@pytest.mark.parametrize("count", [LEAST - 1, LEAST, LEAST + 3])
def test_products_over_the_rows_are_one(count):
    xs, ys = (
        inputs(count, 3),
        [cr.sin(cr.input(f"y{k}", (2,), dtype="float64")) for k in range(count)],
    )
    total = cr.matmul(xs[0].T, ys[0])
    for x, y in zip(xs[1:], ys[1:], strict=True):
        total = total + cr.matmul(x.T, y)
    ops = gathered(total)
    assert ops["einsum"] == (1 if count >= LEAST else count)
    assert ops["concat"] == 2 * (count >= LEAST)


def test_products_with_rows_in_the_result_stay():
    xs = inputs(LEAST, 3)
    w = [cr.parameter(f"w{k}", R.normal(size=(3, 2)), dtype="float64") for k in range(LEAST)]
    total = cr.matmul(xs[0], w[0])
    for x, v in zip(xs[1:], w[1:], strict=True):
        total = total + cr.matmul(x, v)
    assert gathered(total)["einsum"] == LEAST


def test_a_stack_that_is_there_is_used():
    """The factors in another order, and only some of them: a slice of what is stacked anyway."""
    xs = [cr.tanh(x) for x in inputs(LEAST + 1, 3)]
    whole = cr.stack(xs, 1)
    total = cr.matmul(xs[3].T, xs[2])
    for k in (1, 4, 2):
        total = total + cr.matmul(xs[k].T, xs[k - 1])
    ops = gathered(cr.sum(whole) + cr.sum(total))
    assert (ops["concat"], ops["slice"], ops["einsum"]) == (1, 2, 1)
