"""The expressions of a kernel as statements in C: each value once in its scope."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from chainrule.backend.gpu.emit import scalars
from chainrule.backend.gpu.emit.scalars import STORED, TYPES
from chainrule.backend.gpu.emit.text import Code
from chainrule.plan.affine import ACC, Access, AffineExpr, Analysis
from chainrule.plan.linearize import Argument, Store, constant_value
from chainrule.types import FLOATS, Dim

LIKELY_ROWS = 1024
"""The rows that choices assume on which the order of sums depends."""

MOST = 2**31 - 1
"""The most elements that are counted in int32, which is quicker than int64."""


class Body:
    """Writes the statements of one kernel.

    Args:
        analysis: of the kernel.
        rows: the most of a minibatch.
        items: the work-items of a group.

    Attributes:
        code: what is written.
        at: by axis, the name of its present value.
        acc: the result of the reduction.
    """

    def __init__(self, analysis: Analysis, rows: int, items: int) -> None:
        self.code, self.analysis, self.linear = Code(), analysis, analysis.linear
        self.at: dict[int, str] = {}
        self.acc = ""
        self._rows, self.items = rows, items
        self._scopes: list[dict[int, str]] = [{}]

    # ------------------------------------------------------------ scopes

    @contextmanager
    def inside(self, head: str | None = None, at: dict[int, str] | None = None) -> Iterator[None]:
        """A scope: values computed there are forgotten after it.

        Args:
            head: of the block in C that it is, if it is one.
            at: the names of axes that have a value there.
        """
        outer = self.at
        self.at = outer | (at or {})
        self._scopes.append({})
        if head is None:
            yield
        else:
            with self.code.block(head):
                yield
        self._scopes.pop()
        self.at = outer

    def length(self, size: Dim | None) -> str:
        """The length of an axis."""
        return str(size) if isinstance(size, int) else "n"

    def most(self, axes: Iterable[int]) -> int:
        """The product of the lengths of axes, at most."""
        total = 1
        for axis in axes:
            size = self.linear.sizes[axis]
            total *= size if isinstance(size, int) else self._rows
        return total

    def likely(self, axes: Iterable[int]) -> int:
        """The same for LIKELY_ROWS: the order of sums is the same for any number of rows."""
        sizes = (self.linear.sizes[axis] for axis in axes)
        return math.prod(size if isinstance(size, int) else LIKELY_ROWS for size in sizes)

    def total(self, axes: Iterable[int]) -> str:
        """The product of the lengths of axes, as an expression."""
        sizes = [self.linear.sizes[axis] for axis in axes]
        fixed = 1
        for size in sizes:
            fixed *= size if isinstance(size, int) else 1
        by_rows = [x for x in sizes if not isinstance(x, int)]
        return " * ".join([str(fixed), *("n" for _ in by_rows)])

    def decode(self, axes: Iterable[int], flat: str, kind: str = "int") -> dict[int, str]:
        """Write the value of each axis at a place of their product; the last axis goes fastest.

        kind: the type of the place.
        """
        names, order = {}, list(axes)
        for axis in reversed(order[1:]):
            size = self.length(self.linear.sizes[axis])
            names[axis] = self.code.value("int", f"(int)({flat} % {size})")
            flat = self.code.value(kind, f"{flat} / {size}")
        if order:
            names[order[0]] = self.code.value("int", f"(int){flat}")
        return names

    # ------------------------------------------------------------ values

    def value(self, instr: int) -> str:
        """The value of an instruction; what it needs is computed here if it is not known."""
        for place in self.analysis.needs(instr):
            if self._known(place) is None:
                self._scopes[-1][place] = self._computed(place)
        return self._known(instr) or ""

    def hoist(self, roots: Iterable[int]) -> None:
        """Compute now what the roots need and the axes known so far decide."""
        known = frozenset(self.at)
        for instr in sorted({x for root in roots for x in self.analysis.needs(root)}):
            if self.analysis.depends[instr] <= known and not self.analysis.reads_own_writes(instr):
                self.value(instr)

    def _known(self, instr: int) -> str | None:
        return next((scope[instr] for scope in reversed(self._scopes) if instr in scope), None)

    def _computed(self, instr: int) -> str:
        entry = self.linear.instrs[instr]
        match entry.op:
            case "const":
                return scalars.number(constant_value(entry), entry.dtype)
            case "acc":
                return self.acc
            case "at":
                made = f"(i64){self.at[_int(entry.data)]}"
            case "read":
                made = self._element(_int(entry.data), self.analysis.reads(instr))
                made = f"({made} != 0)" if entry.dtype == "bool" else made
            case "count":
                made = scalars.cast(entry.dtype, "int32", "n")
            case "philox":
                listed = ", ".join(self.value(x) for x in entry.args)
                made = f"({TYPES[entry.dtype]})philox({listed}) * "
                made += scalars.number(2.0**-24, entry.dtype)
            case _:
                operands = tuple(self.value(x) for x in entry.args)
                source = self.linear.instrs[entry.args[-1]].dtype
                made = scalars.apply(entry.op, entry.dtype, source, operands)
        return self.code.value(TYPES[entry.dtype], made)

    # ------------------------------------------------------------ memory

    def _element(self, argument: int, access: Access) -> str:
        """The element of an argument at an address."""
        wide = self._wide(self.linear.arguments[argument])
        terms = [self._affine(access.offset, wide=wide)]
        for place, stride, size in access.unproven:
            here = f"inside({self._affine(place, wide=True)}, {max(size - 1, 0)})"
            terms.append(f"{stride} * {here}")
        terms = [x for x in terms if x != "0"] or ["0"]
        return f"b{argument}[{' + '.join(terms)}]"

    def _wide(self, argument: Argument) -> bool:
        """Whether int32 may not count its elements."""
        if not argument.shape:
            return False
        first = argument.shape[0]
        rows = first if isinstance(first, int) else self._rows
        return argument.space == "data" or rows * argument.strides[0] > MOST

    def _affine(self, expr: AffineExpr, *, wide: bool) -> str:
        terms = [str(expr.constant)] if expr.constant else []
        for axis, factor in expr.axes.items():
            terms.append(_times(f"(i64){self.at[axis]}" if wide else self.at[axis], factor))
        for instr, factor in expr.symbols.items():
            dtype = self.linear.instrs[instr].dtype
            terms.append(_times(scalars.cast("int64", dtype, self.value(instr)), factor))
        return " + ".join(terms) or "0"

    def store(self, store: Store) -> None:
        """Write a store of the kernel."""
        argument = self.linear.arguments[store.argument]
        value = self.value(store.value)
        access = self.analysis.access(store.argument, store.place)
        for expr in access.exprs():
            for instr in expr.symbols:
                self.value(instr)
        place = self._element(store.argument, access)
        if store.add:
            both = (place, value)
            value = scalars.apply("add", argument.dtype, argument.dtype, both)
            value = self.code.value(TYPES[argument.dtype], value)
        checked = argument.space in ("state", "staged", "loss") and not self.linear.commit
        if checked and argument.dtype in FLOATS:
            self.code.do(f"if (!isfinite({value})) MARK(frame + FAILED);")
        self.code.do(f"{place} = ({STORED[argument.dtype]}){value};")

    def depends_on_acc(self, instr: int) -> bool:
        """Whether an instruction depends on the result of the reduction."""
        return ACC in self.analysis.depends[instr]


def _times(value: str, factor: int) -> str:
    return value if factor == 1 else f"{factor} * {value}"


def _int(data: Any) -> int:
    return int(data or 0)
