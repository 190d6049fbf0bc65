"""Slices of pads and concats: of a part, of the margin, or over the edge."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.graph import Graph
from chainrule.interpret import evaluate
from chainrule.passes.gather import gather

DATA = np.arange(2 * 4 * 3.0).reshape(2, 4, 3) + 1


def ops(build):
    """The ops after the pass, whose value is that before it."""
    x = cr.input("x", (4, 3), dtype="float64")
    y = build(x)
    place = gather(Graph(y))
    before = evaluate(Graph(y), {x: DATA}, rows=2)[y]
    after = evaluate(Graph(place[y]), {x: DATA}, rows=2)[place[y]]
    np.testing.assert_array_equal(after, before)
    return {n.op.name for n in Graph(place[y]).operations}


def padded(x):
    return cr.pad(x, [(0, 0), (2, 3), (0, 0)], 7.0)


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda x: padded(x)[:, 2:6] * 2, {"multiply", "constant", "broadcast_to"}),
        (lambda x: padded(x)[:, 3:5], {"slice"}),
        (lambda x: padded(x)[:, 6:8], {"constant", "broadcast_to"}),
        (lambda x: padded(x)[:, :2], {"constant", "broadcast_to"}),
        (lambda x: padded(x)[:, 1:4], {"pad", "slice"}),
        (lambda x: padded(x)[:, 2:6:2], {"pad", "slice"}),
        (lambda x: cr.concat([cr.sin(x), cr.cos(x)], 1)[:, 4:8], {"cos"}),
        (lambda x: cr.concat([cr.sin(x), cr.cos(x)], 1)[:, 1:3], {"sin", "slice"}),
        (lambda x: cr.concat([cr.sin(x), cr.cos(x)], 1)[:, 3:5], {"sin", "cos", "concat", "slice"}),
        (lambda x: cr.concat([cr.sin(x), cr.cos(x)], 2)[:, 1:2, 3:5], {"cos", "slice"}),
        (lambda x: cr.sin(x) + 0.0, {"sin"}),
        (lambda x: cr.sin(x) + 1.0, {"sin", "add", "constant", "broadcast_to"}),
    ],
)  # fmt: skip
def test_slices(build, expected):
    assert ops(build) == expected
