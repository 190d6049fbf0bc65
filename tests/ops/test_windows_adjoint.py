"""Sums of windows that are products, as one product over windows: values, and how many."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
import pytest

import chainrule as cr
from chainrule.graph import Graph
from chainrule.interpret import evaluate
from chainrule.ops.adjoint import product_of_windows


def gradient_of_input(
    length: int, size: int, stride: int, before: int, after: int
) -> tuple[cr.Node, cr.Node]:
    """The gradient of a convolution by its input, and the node that takes its place."""
    rng = np.random.default_rng(0)
    places = (length + before + after - size) // stride + 1
    g = cr.constant(rng.normal(size=(2, places, 3)))
    w = cr.constant(rng.normal(size=(size, 4, 3)))
    y = cr.einsum("nxo,ico->nxic", g, w)
    sums = cr.overlap_add(y, length, stride=stride, padding=[(before, after)])
    made = product_of_windows(y, 1, (length,), (stride,), (1,), (before,))
    assert made is not None
    return sums, made


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_the_product_over_windows_is_the_sum_of_windows(size: int) -> None:
    for length, stride, before in product((5, 8), (1, 2, 3), range(size)):
        sums, made = gradient_of_input(length, size, stride, before, size - 1)
        found = evaluate(Graph([sums, made]), {})
        np.testing.assert_allclose(found[made], found[sums], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("before", [0, 1])
def test_no_place_is_computed_that_the_result_lacks(before: int) -> None:
    """A window of 3 and stride 2 over 16 places: 8 with each rest, whatever the padding."""
    _, made = gradient_of_input(16, 3, 2, before, 1 - before)
    (computed,) = (x for x in Graph(made).operations if x.op.name == "einsum")
    assert prod(int(n) for n in computed.shape if isinstance(n, int)) == 2 * 16 * 4
