"""Neighbouring loops become one where every buffer is traversed so: which, and their values."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.backend.cpu.emit.merge import merged
from chainrule.backend.cpu.layout import argument
from chainrule.engine.compile import plan_forward
from chainrule.graph import Graph
from chainrule.plan.linearize import LinearKernel, laid_out
from chainrule.types import N


def last_kernel(y: cr.Node) -> LinearKernel:
    """The kernel of a node, with the layout of its buffers."""
    task = plan_forward(Graph(y), [y]).tasks[-1]
    return laid_out(task.linear, task.operands, lambda buffer: argument(buffer, 32))


def sizes(y: cr.Node) -> tuple[object, ...]:
    return merged(last_kernel(y)).sizes


def images(*shape: int) -> cr.Node:
    return cr.input("x", shape)


def test_pixels_are_the_rows_of_one_product() -> None:
    w = cr.parameter("w", np.ones((3, 6), np.float32))
    b = cr.parameter("b", np.ones(6, np.float32))
    y = cr.relu(cr.einsum("nyxc,co->nyxo", images(4, 5, 3), w) + b)
    assert sizes(y) == (N, 20, 6, 3)


def test_all_loops_over_elements_are_one_but_the_first() -> None:
    assert sizes(cr.tanh(images(4, 5, 3))) == (N, 60)


def test_a_bias_keeps_the_loop_over_channels() -> None:
    b = cr.parameter("b", np.ones(3, np.float32))
    assert sizes(cr.tanh(images(4, 5, 3) + b)) == (N, 20, 3)


@pytest.mark.parametrize(
    "y",
    [
        cr.tanh(cr.transpose(images(4, 5), (0, 2, 1))),
        cr.tanh(cr.pad(images(4, 5), ((0, 0), (1, 1), (0, 0)))),
        cr.tanh(images(4, 6)[:, :, :5]),
        cr.tanh(images(4, 5) + cr.parameter("b", np.ones((4, 1), np.float32))),
    ],
    ids=["transposed", "padded", "cut", "broadcast"],
)
def test_other_loops_remain(y: cr.Node) -> None:
    kernel = last_kernel(y)
    assert len(kernel.sizes) == 3
    assert merged(kernel) == kernel


def test_sums_keep_their_loops() -> None:
    assert sizes(cr.sum(images(4, 5, 3), (1, 2))) == (N, 3, 4, 5)


def test_values() -> None:
    """Those of kernels with merged loops, and with some that remain between them."""
    rng = np.random.default_rng(0)
    x, w, s = (rng.normal(size=n).astype("float32") for n in ((9, 4, 5, 3), (3, 17), (17, 1, 5)))
    h = cr.relu(cr.einsum("nyxc,co->nyxo", images(4, 5, 3), cr.parameter("w", w)))
    y = cr.transpose(h, (0, 3, 1, 2)) * cr.parameter("s", s)
    got = cr.Model([h, y, cr.sum(y, 3), cr.max(h, (1, 2))]).predict({"x": x})
    inner = np.maximum(x.astype("float64") @ w, 0)
    scaled = inner.transpose(0, 3, 1, 2) * s
    for value, wanted in zip(got, (inner, scaled, scaled.sum(3), inner.max((1, 2))), strict=True):
        np.testing.assert_allclose(value, wanted, rtol=2e-6, atol=2e-6)
