"""Gathering: a sum of many parts becomes one array, or one product over all of them.

Layers that share weights over the steps of a sequence give gradients that are sums of many terms:

    pad(a) + pad(b) + ...            disjoint parts of an array: concat(a, b, ...)
    x1.T @ y1 + x2.T @ y2 + ...      products over the rows: one over the stacked factors
    x + 0, slice(pad(x))             parts of what was put together: see slices.py
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from chainrule.graph.node import Input, Node, Operation, Scope, apply, rebuilt
from chainrule.graph.op import Op
from chainrule.ops.bfloat16 import TO_BFLOAT16, is_rounded, to_bfloat16
from chainrule.ops.build import broadcast_to, constant
from chainrule.ops.einsum import EINSUM
from chainrule.ops.elementwise import ADD
from chainrule.ops.join import CONCAT, stack
from chainrule.ops.shape import RESHAPE, TRANSPOSE
from chainrule.ops.slicing import PAD, SLICE
from chainrule.passes.slices import is_zero, sliced
from chainrule.types import Dim, N, Shape

LEAST = 4
"""Products are stacked from this many on."""

MANY_SLICES = 8
"""An input of which so many parts are read is copied, so that the readers share their code."""


def gather(graph: Iterable[Node]) -> dict[Node, Node]:
    """Maps every node of a graph to its replacement."""
    nodes = list(graph)
    uses: dict[Node, int] = {}
    for node in nodes:
        for x in node.inputs:
            uses[x] = uses.get(x, 0) + 1
    inside = {
        x for node in nodes if _is(node, ADD) for x in node.inputs if _is(x, ADD) and uses[x] == 1
    }
    found = _Gathered()
    steps = _in_steps(nodes)
    for node in nodes:
        new = node
        if isinstance(node, Operation):
            operands = tuple(found.place[x] for x in node.operands)
            if node.op is SLICE:
                operands = tuple(steps.get(x, x) for x in operands)
            new = node if operands == node.operands else rebuilt(node, operands)
            if node.op is SLICE:
                new = sliced(new)
            if node.op is ADD and node not in inside:
                new = found.total([found.place[x] for x in _terms(node, inside)], new)
        found.place[node] = new
        found.enter(new)
    return found.place


def _in_steps(nodes: Iterable[Node]) -> dict[Node, Node]:
    """Inputs of which many parts are read, each with a copy of it between kernels."""
    sliced = Counter(x.inputs[0] for x in nodes if _is(x, SLICE))
    found = (x for x, n in sliced.items() if n >= MANY_SLICES and isinstance(x, Input))
    return {
        x: apply(CONCAT, x, axis=x.ndim - 1).within(Scope(f"{x.label}.steps"))
        for x in found if x.ndim > 1 and x.shape[-1] is not N
    }  # fmt: skip


def _is(node: Node, op: Op) -> bool:
    return isinstance(node, Operation) and node.op is op


def _terms(top: Operation, inside: set[Node]) -> list[Node]:
    """The terms of a sum of sums, in order."""
    found: list[Node] = []
    stacked: list[Node] = [top]
    while stacked:
        x = stacked.pop()
        if x is top or x in inside:
            stacked.extend(reversed(x.inputs))
        else:
            found.append(x)
    return found


# ---------------------------------------------------------------- terms of one form


@dataclass(frozen=True)
class _Part:
    """The form of `pad(x)`: zeros around x in an array of that shape."""

    shape: Shape
    dtype: str


@dataclass(frozen=True)
class _Product:
    """The form of a sum of products over the rows: the equation, and the factors.

    Attributes:
        left, right, out: the labels of the factors and of the result.
        shapes: of the factors.
        dtype: of the result.
        rounded: the factors that are rounded to bfloat16.
    """

    left: str
    right: str
    out: str
    shapes: tuple[Shape, Shape]
    dtype: str
    rounded: tuple[bool, bool]


def _form(x: Node) -> _Part | _Product | None:
    if not isinstance(x, Operation):
        return None
    if x.op is PAD and x.attributes["value"] == 0 and set(x.attributes["step"]) == {1}:
        return _Part(x.shape, x.dtype)
    if x.op is EINSUM and N not in x.shape:
        (left, a), (right, b) = _factors(x)
        rounded = is_rounded(x.operands[0]), is_rounded(x.operands[1])
        if a.shape[:1] == b.shape[:1] == (N,) and left[0] == right[0]:
            out = x.attributes["equation"].partition("->")[2]
            return _Product(left, right, out, (a.shape, b.shape), x.dtype, rounded)
    return None


def _factors(x: Node) -> list[tuple[str, Node]]:
    """The labels and the factors of a product, transposes and rounding seen through."""
    assert isinstance(x, Operation)
    terms = x.attributes["equation"].partition("->")[0].split(",")
    found = []
    for term, y in zip(terms, x.operands, strict=True):
        while isinstance(y, Operation) and y.op in (TRANSPOSE, TO_BFLOAT16):
            if y.op is TRANSPOSE:
                axes = y.attributes["axes"]
                term = "".join(term[axes.index(a)] for a in range(y.ndim))
            y = y.operands[0]
        found.append((term, y))
    return found


@dataclass
class _Gathered:
    """The graph as far as it is rewritten.

    Attributes:
        place: the replacement of each node.
        homes: for an element of a stack along the second axis, the stack, and its number in it.
        parts: the nodes that were put together to an array.
    """

    place: dict[Node, Node] = field(default_factory=dict)
    homes: dict[Node, tuple[Operation, int]] = field(default_factory=dict)
    parts: set[Node] = field(default_factory=set)

    def enter(self, x: Node) -> None:
        """Note the elements of a stack."""
        if not (isinstance(x, Operation) and x.op is CONCAT and x.attributes["axis"] == 1):
            return
        if x.shape[0] is N and all(_is(y, RESHAPE) and y.shape[1] == 1 for y in x.operands):
            for number, y in enumerate(x.operands):
                self.homes.setdefault(y.inputs[0], (x, number))

    def total(self, terms: Sequence[Node], total: Node) -> Node:
        """The sum of terms, gathered; `total` where nothing is."""
        some = [x for x in terms if not is_zero(x)] or terms[:1]
        groups: dict[_Part | _Product | Node, list[Node]] = {}
        for x in some:
            form = _form(x)
            groups.setdefault(x if form is None else form, []).append(x)
        sums, changed = list[Node](), len(some) < len(terms)
        for key, group in groups.items():
            whole = None
            if isinstance(key, _Product) and len(group) >= LEAST:
                whole = self._product(key, [[y for _, y in _factors(x)] for x in group])
            elif isinstance(key, _Part) and len(group) > 1:
                whole = self._joined(group)
            changed |= whole is not None
            sums += group if whole is None else [whole]
        if not changed:
            return total
        first, *rest = sums
        for x in rest:
            first = first + x
        return first.within(total.scope, total.suffix) if first not in terms else first

    def _product(self, form: _Product, pairs: list[list[Node]]) -> Node:
        """One product over stacks of the factors, in an order that one of the stacks has."""
        for side in (0, 1):
            homes = [self.homes[x[side]] for x in pairs if x[side] in self.homes]
            if len(homes) == len(pairs) and all(x is homes[0][0] for x, _ in homes):
                pairs = sorted(pairs, key=lambda x, side=side: self.homes[x[side]][1])  # type: ignore[misc]
                break
        left, right = (self._stack([x[side] for x in pairs]) for side in (0, 1))
        left, right = (
            to_bfloat16(x) if round_it else x
            for x, round_it in zip((left, right), form.rounded, strict=True)
        )
        a, b = form.left, form.right
        step = next(s for s in string.ascii_letters if s not in a + b + form.out)
        equation = f"{a[0]}{step}{a[1:]},{b[0]}{step}{b[1:]}->{form.out}"
        return apply(EINSUM, left, right, equation=equation)

    def _stack(self, parts: list[Node]) -> Node:
        """The parts along a new second axis: a part of a stack that there is, or a new one."""
        whole, first = self.homes.get(parts[0], (None, 0))
        if whole is not None and all(
            self.homes.get(x) == (whole, first + k) for k, x in enumerate(parts)
        ):
            if len(parts) == whole.shape[1]:
                return whole
            shape: tuple[Dim, ...] = (N, len(parts), *whole.shape[2:])
            start = (0, first, *[0] * (whole.ndim - 2))
            return apply(SLICE, whole, start=start, step=(1,) * whole.ndim, shape=shape)
        return stack(parts, 1)

    def _joined(self, parts: list[Node]) -> Node | None:
        """The sum of disjoint parts as one array; None where they overlap or lie otherwise.

        What is a part of several arrays along their last axis, as a gradient of a gate is, is
        written where it lies in one, and copied to the others.
        """
        whole, given = parts[0], [x for x in parts if isinstance(x, Operation)]
        starts = [x.attributes["start"] for x in given]
        along = {a for x in given for a in range(x.ndim) if x.operands[0].shape[a] != x.shape[a]}
        if len(along) != 1:
            return None
        (axis,) = along
        dtype, end = whole.dtype, 0
        found: list[Node] = []

        def zeros(count: int) -> None:
            shape = (*whole.shape[:axis], count, *whole.shape[axis + 1 :])
            found.append(broadcast_to(constant(0.0, dtype), shape))

        for start, x in sorted(zip(starts, given, strict=True), key=lambda pair: pair[0]):
            part, first = x.operands[0], start[axis]
            size = part.shape[axis]
            if first < end or not isinstance(size, int):
                return None
            if first > end:
                zeros(first - end)
            same = _is(part, CONCAT) and part.attributes["axis"] == axis  # type: ignore[attr-defined]
            found += part.inputs if same else [part]
            end = first + size
        last = whole.shape[axis]
        assert isinstance(last, int)
        if end < last:
            zeros(last - end)
        if axis == whole.ndim - 1:
            again = self.parts & set(found)
            self.parts.update(found)
            found = [
                apply(CONCAT, x, axis=axis).within(Scope(f"{x.label}.copy")) if x in again else x
                for x in found
            ]
        return apply(CONCAT, *found, axis=axis)
