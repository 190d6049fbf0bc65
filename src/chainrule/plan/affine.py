"""Affine analysis of index expressions: their coefficient for each axis, and their bounds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from chainrule.plan.linearize import Instr, LinearKernel, Store, constant_value
from chainrule.types import INTEGERS

ACC = -1
"""The pseudo-axis that stands for the result of the reduction in dependences."""


@dataclass(frozen=True)
class AffineExpr:
    """constant + sum of coefficient * axis + sum of coefficient * instruction."""

    constant: int = 0
    axes: dict[int, int] = field(default_factory=dict)
    symbols: dict[int, int] = field(default_factory=dict)

    def plus(self, other: AffineExpr, times: int = 1) -> AffineExpr:
        """self + times * other."""
        return AffineExpr(
            self.constant + times * other.constant,
            _merge(self.axes, other.axes, times),
            _merge(self.symbols, other.symbols, times),
        )


_ROW = AffineExpr(axes={0: 1})
"""The index of the first axis."""


def _merge(a: dict[int, int], b: dict[int, int], times: int) -> dict[int, int]:
    out = dict(a)
    for key, factor in b.items():
        out[key] = out.get(key, 0) + times * factor
    return {key: factor for key, factor in out.items() if factor}


@dataclass(frozen=True)
class Access:
    """The address of a read or store.

    Attributes:
        offset: from the buffer's start, in elements, but for the `unproven` axes.
        unproven: (index, stride, size) of axes whose index is not proven to lie in the buffer.
    """

    offset: AffineExpr
    unproven: tuple[tuple[AffineExpr, int, int], ...]

    def exprs(self) -> tuple[AffineExpr, ...]:
        """The offset, and the indices of the `unproven` axes."""
        return (self.offset, *(place for place, _, _ in self.unproven))


class Analysis:
    """Affine expressions of a kernel's integer instructions, and dependences of all on axes."""

    def __init__(self, linear: LinearKernel) -> None:
        self.linear = linear
        self.depends: list[frozenset[int]] = []
        self.exprs: list[AffineExpr] = []
        self._accesses: dict[tuple[int, tuple[int, ...]], Access] = {}
        self._needs: dict[int, tuple[int, ...]] = {}
        for place, instr in enumerate(linear.instrs):
            direct = self._direct(instr)
            self.depends.append(direct.union(*(self.depends[a] for a in instr.args)))
            integer = instr.dtype in INTEGERS
            self.exprs.append(self._expr(place) if integer else AffineExpr(symbols={place: 1}))

    def _direct(self, instr: Instr) -> frozenset[int]:
        """The axes that an instruction depends on by itself, apart from its operands."""
        if instr.op == "at":
            return frozenset({int(instr.data or 0)})
        # the result of a reduction differs in each iteration of the loops around it
        return frozenset({ACC, *range(self.linear.free)} if instr.op == "acc" else ())

    @cached_property
    def by_row(self) -> tuple[bool, ...]:
        """For each argument, whether each access is to the row that the first axis is at."""
        linear, found = self.linear, [True] * len(self.linear.arguments)
        reads = ((int(x.data or 0), x.args) for x in linear.instrs if x.op == "read")
        for argument, place in (*reads, *((x.argument, x.place) for x in linear.stores)):
            found[argument] &= bool(place) and self.exprs[place[0]] == _ROW
        return tuple(found)

    def reads(self, instr: int) -> Access:
        """The address of a `read` instruction."""
        return self.access(int(self.linear.instrs[instr].data or 0), self.linear.instrs[instr].args)

    def access(self, argument: int, place: tuple[int, ...]) -> Access:
        """The address of the element of an argument at an index."""
        key = argument, place
        if key not in self._accesses:
            self._accesses[key] = self._access(argument, place)
        return self._accesses[key]

    def _access(self, argument: int, place: tuple[int, ...]) -> Access:
        layout = self.linear.arguments[argument]
        expr, unproven = AffineExpr(), []
        for instr, stride, size in zip(place, layout.strides, layout.shape, strict=True):
            here = self.exprs[instr]
            if isinstance(size, int) and layout.space != "rows" and not self._inside(here, size):
                unproven.append((here, stride, size))
            else:
                expr = expr.plus(here, stride)
        return Access(_rejoined(self.linear, expr, self.exprs), tuple(unproven))

    def needs(self, root: int) -> tuple[int, ...]:
        """The instructions that must be computed for one, in order, itself the last."""
        if root not in self._needs:
            found, stack = set[int](), [root]
            while stack:
                instr = stack.pop()
                if instr not in found:
                    found.add(instr)
                    stack.extend(self._operands(instr))
            self._needs[root] = tuple(sorted(found))
        return self._needs[root]

    def _operands(self, instr: int) -> Iterable[int]:
        if self.linear.instrs[instr].op != "read":
            return self.linear.instrs[instr].args
        return {x for expr in self.reads(instr).exprs() for x in expr.symbols}

    @cached_property
    def _written(self) -> set[int]:
        return self.linear.written()

    def reads_own_writes(self, instr: int) -> bool:
        """Whether an instruction depends on a buffer that this kernel writes."""
        needed = (self.linear.instrs[x] for x in self.needs(instr))
        return any(x.op == "read" and x.data in self._written for x in needed)

    def stride(self, access: Access, axis: int) -> int | None:
        """The stride of the access along the axis; None if it is not constant."""
        if any(axis in self.depends[i] for expr in access.exprs() for i in expr.symbols):
            return None
        along = access.offset.axes.get(axis, 0)
        return along + sum(stride * place.axes.get(axis, 0) for place, stride, _ in access.unproven)

    def separates(self, store: Store, axis: int) -> bool:
        """Whether a store writes a different element for each value of an axis."""
        exprs = (self.exprs[p] for p in store.place)
        return any(set(expr.axes) == {axis} and not expr.symbols for expr in exprs)

    def _inside(self, expr: AffineExpr, size: int) -> bool:
        low, high = self.bounds(expr)
        return low >= 0 and high < size

    def bounds(self, expr: AffineExpr) -> tuple[float, float]:
        """The least and the greatest value of an expression."""
        low = high = float(expr.constant)
        for axis, factor in expr.axes.items():
            size = self.linear.sizes[axis]
            last = max(size - 1, 0) if isinstance(size, int) else math.inf
            low, high = low + min(0, factor * last), high + max(0, factor * last)
        for instr, factor in expr.symbols.items():
            least, most = self._span(instr)
            ends = (factor * least, factor * most)
            low, high = low + min(ends), high + max(ends)
        return low, high

    def _span(self, instr: int) -> tuple[float, float]:
        op, args = self.linear.instrs[instr].op, self.linear.instrs[instr].args
        if op in ("mod", "floordiv"):
            divisor = self.exprs[args[1]]
            if not divisor.axes and not divisor.symbols and divisor.constant > 0:
                low, high = self.bounds(self.exprs[args[0]])
                by = divisor.constant
                if op == "mod":
                    return 0, min(by - 1, high) if low >= 0 else by - 1
                return _floor(low, by), _floor(high, by)
        if op in ("min", "max"):
            lows, highs = zip(*(self.bounds(self.exprs[a]) for a in args), strict=True)
            choose = min if op == "min" else max
            return choose(lows), choose(highs)
        if op == "select":
            lows, highs = zip(*(self.bounds(self.exprs[a]) for a in args[1:]), strict=True)
            return min(lows), max(highs)
        return -math.inf, math.inf

    def _expr(self, place: int) -> AffineExpr:
        instr = self.linear.instrs[place]
        parts = [self.exprs[a] for a in instr.args]
        match instr.op:
            case "const":
                return AffineExpr(int(constant_value(instr)))
            case "at":
                return AffineExpr(axes={int(instr.data or 0): 1})
            case "add":
                return parts[0].plus(parts[1])
            case "sub":
                return parts[0].plus(parts[1], -1)
            case "neg":
                return AffineExpr().plus(parts[0], -1)
            case "mul" if _fixed(parts[0]):
                return AffineExpr().plus(parts[1], parts[0].constant)
            case "mul" if _fixed(parts[1]):
                return AffineExpr().plus(parts[0], parts[1].constant)
            case "mod" | "floordiv" if _fixed(parts[1]) and parts[1].constant > 0:
                return self._divided(place, parts[0], parts[1].constant)
            case "cast" if self._plain(instr.args[0]):
                return parts[0]
        return AffineExpr(symbols={place: 1})

    def _plain(self, operand: int) -> bool:
        """Whether a cast of this integer keeps it as an int64: indices are small."""
        return self.linear.instrs[operand].dtype in ("int64", "int32")

    def _divided(self, place: int, expr: AffineExpr, by: int) -> AffineExpr:
        """expr // by or expr % by, if the terms that `by` divides can be split off."""
        axes = {k: f for k, f in expr.axes.items() if f % by == 0}
        symbols = {k: f for k, f in expr.symbols.items() if f % by == 0}
        whole = AffineExpr(expr.constant // by * by, axes, symbols)
        left = expr.plus(whole, -1)
        low, high = self.bounds(left)
        if not (low >= 0 and high < by):
            return AffineExpr(symbols={place: 1})
        if self.linear.instrs[place].op == "mod":
            return left
        return AffineExpr(
            whole.constant // by,
            {k: f // by for k, f in axes.items()},
            {k: f // by for k, f in symbols.items()},
        )


def _floor(value: float, by: int) -> float:
    return value if math.isinf(value) else value // by


def _fixed(expr: AffineExpr) -> bool:
    return not expr.axes and not expr.symbols


def _rejoined(linear: LinearKernel, expr: AffineExpr, exprs: list[AffineExpr]) -> AffineExpr:
    """c * (x // c) + x % c is x: a view that was split and joined again."""
    for instr, factor in list(expr.symbols.items()):
        if linear.instrs[instr].op != "mod" or instr not in expr.symbols:
            continue
        x, by = linear.instrs[instr].args
        for other, times in list(expr.symbols.items()):
            same = linear.instrs[other].op == "floordiv" and linear.instrs[other].args == (x, by)
            if same and times == factor * exprs[by].constant:
                expr = expr.plus(AffineExpr(symbols={instr: factor, other: times}), -1)
                expr = expr.plus(exprs[x], factor)
                break
    return expr
