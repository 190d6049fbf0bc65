"""Index expressions: sums, products and reshapes of loop indices, with constants folded."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from chainrule.ir.kernel import Call, Const, Expr
from chainrule.types import Dim, Shape

Place = tuple[Expr, ...]


def call(function: str, dtype: str, *operands: Expr) -> Call:
    """A scalar function of expressions."""
    return Call(function, operands, dtype)


def scalar(function: str, *operands: Expr) -> Call:
    """A scalar function whose result has the dtype of its last operand: `scalar("mul", x, x)`."""
    return Call(function, operands, operands[-1].dtype)


def one(like: Expr) -> Const:
    """The number 1 in the dtype of an expression."""
    return Const(1.0, like.dtype)


def const(value: int) -> Const:
    """An integer in an index."""
    return Const(int(value), "int64")


def add(a: Expr, b: Expr) -> Expr:
    """`a + b`."""
    if isinstance(a, Const) and isinstance(b, Const):
        return const(int(a.value) + int(b.value))
    if isinstance(a, Const) and a.value == 0:
        return b
    return a if isinstance(b, Const) and b.value == 0 else call("add", "int64", a, b)


def mul(a: Expr, factor: int) -> Expr:
    """`a * factor`."""
    if isinstance(a, Const):
        return const(int(a.value) * factor)
    if factor in (0, 1):
        return a if factor else const(0)
    return call("mul", "int64", a, const(factor))


def div_mod(a: Expr, by: int) -> tuple[Expr, Expr]:
    """`a // by` and `a % by`."""
    if isinstance(a, Const):
        return const(int(a.value) // by), const(int(a.value) % by)
    if by == 1:
        return a, const(0)
    return call("floordiv", "int64", a, const(by)), call("mod", "int64", a, const(by))


def in_bounds(p: Expr, size: Dim) -> Expr:
    """Whether 0 <= p < size, as a bool."""
    above = call("ge", "bool", p, const(0))
    end = const(size) if isinstance(size, int) else call("count", "int64")
    return call("and", "bool", above, call("lt", "bool", p, end))


def clamp(p: Expr, size: Dim) -> Expr:
    """`p` clamped to 0 .. size - 1: an element that is not chosen is still safe to read."""
    top: Expr
    if isinstance(size, int):
        top = const(max(size - 1, 0))
        if isinstance(p, Const):
            return const(min(max(int(p.value), 0), max(size - 1, 0)))
    else:
        top = call("sub", "int64", call("count", "int64"), const(1))
    return call("min", "int64", call("max", "int64", p, const(0)), top)


def size(dims: Iterable[Any]) -> int:
    """The number of elements of static dimensions."""
    return math.prod(int(d) for d in dims)


def flatten_index(place: Place, shape: Shape) -> Expr:
    """The index in one axis of the element at `place` in `shape`, row-major; N may be in front."""
    flat: Expr = const(0)
    for position, dim in zip(place, shape, strict=True):
        flat = add(mul(flat, size((dim,))), position) if flat != const(0) else position
    return flat


def reshape_index(place: Place, have: Shape, want: Shape) -> Place:
    """The index in shape `want` of the element at `place` in shape `have`, both row-major.

    Axes of size 1 are matched first, then groups of axes with equal products, so that an index
    that only gains or loses axes of size 1 stays simple.
    """
    if 0 in have or 0 in want:  # there are no elements
        return (const(0),) * len(want)
    out: list[Expr] = []
    i = j = 0
    while i < len(have) or j < len(want):
        if i < len(have) and have[i] == 1 and not (j < len(want) and want[j] == 1):
            i += 1
        elif j < len(want) and want[j] == 1 and not (i < len(have) and have[i] == 1):
            out.append(const(0))
            j += 1
        elif have[i] == want[j]:
            out.append(place[i])
            i, j = i + 1, j + 1
        else:
            i, j = _regroup(place, have, want, i, j, out)
    return tuple(out)


def _regroup(
    place: Place, have: Shape, want: Shape, i: int, j: int, out: list[Expr]
) -> tuple[int, int]:
    """Append the axes of the shortest group with equal products that begins at i and j."""
    a, b = i + 1, j + 1
    left, right = size(have[i:a]), size(want[j:b])
    while left != right:
        if left < right:
            left, a = left * size(have[a : a + 1]), a + 1
        else:
            right, b = right * size(want[b : b + 1]), b + 1
    flat: Expr = const(0)
    for position, dim in zip(place[i:a], have[i:a], strict=True):
        flat = add(mul(flat, size((dim,))), position)
    group: list[Expr] = []
    for dim in reversed(want[j + 1 : b]):
        flat, rest = div_mod(flat, size((dim,)))
        group.append(rest)
    out.extend([flat, *reversed(group)])
    return a, b
