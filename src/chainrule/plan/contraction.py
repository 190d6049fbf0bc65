"""Contractions: kernels that sum products of two buffers' elements, such as matrix products."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from chainrule.plan.affine import Analysis
from chainrule.types import FLOATS


@dataclass(frozen=True)
class Contraction:
    """acc[batch, m, n] = sum over k of a[batch, m, k] * b[batch, k, n], the kernel's writes on it.

    Attributes:
        a, b: the instructions that read the factors.
        m, n: the axes that only a, and only b, depends on; n has the innermost of them.
        k: the axes that are summed over.
        batch: the free axes that both factors depend on, or neither.
        rounded: whether both factors are rounded to bfloat16 after they are read.
    """

    a: int
    b: int
    m: tuple[int, ...]
    n: tuple[int, ...]
    k: tuple[int, ...]
    batch: tuple[int, ...]
    rounded: bool = False

    def dims(self, size: Callable[[int], int]) -> tuple[int, int, int, int]:
        """(m, n, k, batch) as numbers of rows, columns, terms and repetitions."""

        def product(axes: Iterable[int]) -> int:
            return math.prod(map(size, axes))

        return product(self.m), product(self.n), product(self.k), product(self.batch)


def contraction(analysis: Analysis) -> Contraction | None:
    """The contraction that a kernel computes; None if it computes something else, or nothing."""
    linear = analysis.linear
    if linear.combine != "sum" or linear.free < 2 or 0 in linear.sizes:
        return None
    value = linear.instrs[linear.value]
    if value.op != "mul" or value.dtype not in FLOATS:
        return None
    rounded = {linear.instrs[x].op for x in value.args} == {"bfloat16"}
    if rounded and value.dtype != "float32":
        return None
    a, b = (linear.instrs[x].args[0] if rounded else x for x in (value.args[0], value.args[-1]))
    if any(linear.instrs[x].op != "read" for x in (a, b)):
        return None
    left, right = (analysis.depends[x] for x in (a, b))
    free = range(linear.free)
    m = tuple(x for x in free if x in left and x not in right)
    n = tuple(x for x in free if x in right and x not in left)
    if not m or not n:
        return None
    batch = tuple(x for x in free if (x in left) == (x in right))
    if m[-1] > n[-1]:
        a, b, m, n = b, a, n, m
    return Contraction(a, b, m, n, tuple(linear.over), batch, rounded)
