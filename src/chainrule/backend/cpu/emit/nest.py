"""The function of a kernel, and the loops around what it computes and writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from chainrule.backend.cpu.emit.body import PARAMETERS, Body
from chainrule.backend.cpu.emit.microkernel import Helper
from chainrule.backend.cpu.emit.text import SCALARS, Function, type_of
from chainrule.backend.cpu.machine import Machine
from chainrule.ir.kernel import BYTES
from chainrule.plan.linearize import LinearKernel, Store

GRANULE = 64
"""Threads split a vectorized loop at multiples of this."""


@dataclass(frozen=True)
class Compiled:
    """The code of a kernel.

    Attributes:
        text: its function.
        declared: the declarations that it needs in the module.
        maths: the functions of the maths library that it calls: (name, dtype, lanes).
        scratch: bytes of memory for each thread, as (fixed, for each row).
        granule: threads split its first axis at multiples of this.
        helpers: functions that it calls and that kernels may share.
        least: a shorter range of its first axis is not worth a call.
        by_blocks: whether it adds up blocks of rows in their tree.
    """

    text: str
    declared: frozenset[str]
    maths: frozenset[tuple[str, str, int]]
    scratch: tuple[int, int] = (0, 0)
    granule: int = 1
    helpers: tuple[Helper, ...] = ()
    least: int = 1
    by_blocks: bool = False


def begin(name: str, linear: LinearKernel) -> Function:
    """The function of a kernel, still empty; new values may lie where old ones do."""
    pointers = "".join(
        f", ptr {'' if argument.space == 'state' else 'noalias '}%b{k}"
        for k, argument in enumerate(linear.arguments)
    )
    return Function(name, PARAMETERS + pointers)


def finish(
    body: Body,
    scratch: tuple[int, int] = (0, 0),
    granule: int = 1,
    helpers: tuple[Helper, ...] = (),
    least: int = 1,
) -> Compiled:
    """The function, with the check of the new state at its end."""
    f, start = body.f, body.finite.end()
    maths = frozenset(f.maths)
    return Compiled(f.end(start), frozenset(f.declared), maths, scratch, granule, helpers, least)


class Nest:
    """Loops over axes of a kernel, in vectors along one of them."""

    def __init__(self, body: Body, machine: Machine) -> None:
        self.body, self.f, self.linear = body, body.f, body.linear
        self.machine, self.vectors = machine, body.vectors

    def bounds(self, axis: int) -> tuple[str, str]:
        """The bounds of an axis; the first axis covers this thread's part."""
        size = self.linear.sizes[axis]
        if size is None or (axis == 0 and self.linear.free):
            return "%low", "%high"
        return "0", str(size) if isinstance(size, int) else "%n"

    def nest(
        self,
        axes: Sequence[int],
        roots: Sequence[int],
        stores: Sequence[Store],
        inner: Callable[[], None],
    ) -> None:
        """Loops over the axes, outermost first, with `inner` in the innermost."""
        if not axes:
            inner()
            return
        self.body.hoist(roots, stores)
        axis, rest = axes[0], axes[1:]
        low, high = self.bounds(axis)
        if axis == self.vectors.axis and self.vectors.lanes > 1:
            self.vector_loop(low, high, inner)
        else:
            with self.f.loop(low, high) as name, self.body.inside(axis, name):
                self.nest(rest, roots, stores, inner)

    def write_sums(self, dtype: str, column: str, columns: int, sums: str) -> None:
        """The kernel's writes for a row of columns, in vectors, with the sums at an address."""
        kind, element = type_of(dtype, self.vectors.lanes), SCALARS[dtype]
        for offset in self.vectors_of(column, columns):
            here = self.f.shift(element, sums, str(offset))
            self.body.set_acc(self.f.load(kind, here, BYTES[dtype]), True)
            self.store()

    def vectors_of(self, column: str, columns: int) -> Iterator[int]:
        """The vectors of some columns: gives how far each is from the first, inside of it."""
        step = self.vectors.lanes
        for offset in range(0, columns, step):
            used = min(columns - offset, step)
            with self.body.inside(self.vectors.axis, self.f.add(column, str(offset))):
                self.body.mask = None if used == step else self.mask(str(used))
                yield offset
                self.body.mask = None

    def vector_loop(self, low: str, high: str, inner: Callable[[], None]) -> None:
        """A loop over full vectors, then the remainder under a mask."""
        axis, lanes, f = int(self.vectors.axis or 0), self.vectors.lanes, self.f
        middle = high
        if not self._only_full_vectors(low):
            middle = f.add(low, f.mul(f.div(f.sub(high, low), lanes), str(lanes)))
        if low != middle:
            with f.loop(low, middle, lanes) as name, self.body.inside(axis, name):
                inner()
        if middle == high:
            return
        with f.when(f.less(middle, high)), self.body.inside(axis, middle):
            self.body.mask = self.mask(f.sub(high, middle))
            inner()
            self.body.mask = None

    def _only_full_vectors(self, low: str) -> bool:
        """Whether a thread's part of the first axis consists of full vectors."""
        size, lanes = self.linear.sizes[0], self.vectors.lanes
        if low != "%low" or not isinstance(size, int):
            return False
        return size % lanes == 0 and GRANULE % lanes == 0

    def mask(self, left: str, lanes: int = 0) -> str:
        """The first `left` lanes, of as many as the kernel's vectors have if not said."""
        lanes = lanes or self.vectors.lanes
        if left.isdigit():
            bits = ", ".join(f"i1 {'true' if k < int(left) else 'false'}" for k in range(lanes))
            return f"<{bits}>"
        steps = ", ".join(f"i32 {lane}" for lane in range(lanes))
        short = self.f.value(f"trunc i64 {left} to i32")
        spread = self.f.splat(short, "i32", lanes)
        return self.f.value(f"icmp sgt <{lanes} x i32> {spread}, <{steps}>")

    def store(self) -> None:
        """Write all stores."""
        for store in self.linear.stores:
            self.body.store(store)
        self.body.set_acc(None, False)
