"""Kernels as vectorised loop nests: everything but matrix products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chainrule.backend.cpu.emit import scalars
from chainrule.backend.cpu.emit.body import PARAMETERS, Body, Vectors
from chainrule.backend.cpu.emit.microkernel import Helper
from chainrule.backend.cpu.emit.text import SCALARS, Function, constant, number, type_of
from chainrule.backend.cpu.emit.vectors import choose, free_allowed
from chainrule.backend.cpu.machine import Machine
from chainrule.ir.kernel import BYTES
from chainrule.plan.affine import Analysis
from chainrule.plan.linearize import LinearKernel, Store
from chainrule.types import FLOATS

BLOCK = 512
"""The terms of a block, added up in order in a lane; block sums are added up in order."""

GRANULE = 64
"""Threads split a vectorized loop at multiples of this."""

IDENTITY = {"sum": 0, "scan": 0, "prod": 1, "any": False}
COMBINE = {"sum": "add", "scan": "add", "prod": "mul", "any": "or", "max": "max", "min": "min"}


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
    """

    text: str
    declared: frozenset[str]
    maths: frozenset[tuple[str, str, int]]
    scratch: tuple[int, int] = (0, 0)
    granule: int = 1
    helpers: tuple[Helper, ...] = ()
    least: int = 1


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


def loops(name: str, analysis: Analysis, machine: Machine) -> Compiled:
    """A loop nest over the free axes with the reduction, if any, inside."""
    vectors = choose(analysis, machine)
    body = Body(begin(name, analysis.linear), analysis, vectors)
    Nest(body, machine).write()
    return finish(body, granule=GRANULE if vectors.axis == 0 else 1)


# ---------------------------------------------------------------- the nest


class Nest:
    """The loops of one kernel."""

    def __init__(self, body: Body, machine: Machine) -> None:
        self.body, self.f, self.linear = body, body.f, body.linear
        self.machine, self.vectors = machine, body.vectors

    def write(self) -> None:
        """Write the whole nest."""
        if self._heavy_after_reduction():
            self._in_blocks()
            return
        vector = self.vectors.axis
        free = [a for a in range(self.linear.free) if a != vector]
        if vector is not None and vector < self.linear.free:
            free.append(vector)
        values = [store.value for store in self.linear.stores]
        values += [p for store in self.linear.stores for p in store.place]
        roots = [*values, *([self.linear.value] if self.linear.combine else [])]
        self.nest(free, roots, self.linear.stores, self._element)

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
        f, body, axis, step = self.f, self.body, self.vectors.axis, self.vectors.lanes
        kind, element, size = type_of(dtype, step), SCALARS[dtype], BYTES[dtype]
        for offset in range(0, columns, step):
            used = min(columns - offset, step)
            with body.inside(axis, f.add(column, str(offset))):
                acc = f.load(kind, f.shift(element, sums, str(offset)), size)
                body.set_acc(acc, True)
                body.mask = None if used == step else self.mask(str(used))
                for store in self.linear.stores:
                    body.store(store)
                body.mask = None
                body.set_acc(None, False)

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

    def _element(self) -> None:
        if self.linear.combine is not None:
            ReductionLoops(self).write()
        if self.linear.combine != "scan":
            self.store()

    def _heavy_after_reduction(self) -> bool:
        """Whether a reduction along vectors leaves one number for functions such as log."""
        linear, after = self.linear, {i for store in self.linear.stores
                                      for i in self.body.analysis.needs(store.value)}  # fmt: skip
        return (
            linear.free == 1
            and linear.combine in ("sum", "max", "min", "prod")
            and self.vectors.axis in (None, *linear.over)
            and free_allowed(self.body.analysis, 0)
            and not linear.written() & linear.read()
            and any(linear.instrs[i].op in scalars.MATHS for i in after)
        )

    def _in_blocks(self) -> None:
        """Reduce as many rows as vectors have lanes, then compute with a lane for each."""
        f, body, dtype = self.f, self.body, self.linear.instrs[self.linear.value].dtype
        along, across = self.vectors, Vectors(0, self.machine.vector // BYTES[dtype])
        kind, element = type_of(dtype, across.lanes), SCALARS[dtype]
        sums = f.local(kind)
        f.store(kind, "zeroinitializer", sums, 64)
        low, high = self.bounds(0)
        with f.loop(low, high, across.lanes) as first, body.inside():
            end = f.least(f.add(first, str(across.lanes)), high)
            with f.loop(first, end) as row, body.inside(0, row):
                ReductionLoops(self).write()
                f.store(
                    element, body.acc or "", f.shift(element, sums, f.sub(row, first)), BYTES[dtype]
                )
                body.set_acc(None, False)
            self.vectors = body.vectors = across
            with body.inside(0, first):
                body.mask = self.mask(f.sub(end, first))
                body.set_acc(f.load(kind, sums, 64), True)
                self.store()
                body.mask = None
            self.vectors = body.vectors = along

    def store(self) -> None:
        """Write all stores."""
        for store in self.linear.stores:
            self.body.store(store)
        self.body.set_acc(None, False)


class ReductionLoops:
    """The loops of the reduction in a nest."""

    def __init__(self, nest: Nest) -> None:
        self.nest, self.body, self.f, self.linear = nest, nest.body, nest.f, nest.linear
        self.combine = str(self.linear.combine)
        self.dtype = self.linear.instrs[self.linear.value].dtype
        self.along = nest.vectors.axis in self.linear.over
        self.lanes = nest.vectors.lanes
        free = nest.vectors.axis is not None and not self.along
        self.spread = free and not self.along  # a result for each lane
        self.kind = type_of(self.dtype, self.lanes)
        self.total = self.f.local(self.kind)
        self.part = self.total

    def write(self) -> None:
        """Write the loops and leave the result as `acc`."""
        outer = self.nest.body.mask
        self._reset(self.total)
        if self.combine.startswith("arg"):
            self.index = self.f.local(type_of("int64", self.lanes))
            zero = constant("0", "int64", self.lanes)
            self.f.store(type_of("int64", self.lanes), zero, self.index, 64)
        over = list(self.linear.over)
        with self.body.inside():
            if self.combine == "scan":
                roots = [self.linear.value, *(store.value for store in self.linear.stores)]
                self.nest.nest(over, roots, self.linear.stores, self._scan_step)
                return
            if self._long(over):
                self._blocks(over)
            else:
                self.nest.nest(over, [self.linear.value], (), self._step)
        self.nest.body.mask = outer
        self._result()

    def _reset(self, place: str) -> None:
        self.f.store(self.kind, self._identity(self.lanes), place, 64)

    def _identity(self, lanes: int) -> str:
        combine, real = self.combine.removeprefix("arg"), self.dtype in FLOATS
        if combine in IDENTITY:
            return constant(number(IDENTITY[combine], self.dtype), self.dtype, lanes)
        if real:
            edge = float("-inf" if combine == "max" else "inf")
            return constant(number(edge, self.dtype), self.dtype, lanes)
        bits = 8 * BYTES[self.dtype]
        signed = self.dtype not in scalars.UNSIGNED
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        return constant(number(low if combine == "max" else high, self.dtype), self.dtype, lanes)

    def _left_out(self) -> str:
        """The value of lanes outside of the mask: in a sum -0.0, as zeros make LLVM expand vectors,
        for which Zen 4 takes 20 cycles."""
        if self.combine == "sum" and self.dtype in FLOATS:
            return constant(number(-0.0, self.dtype), self.dtype, self.lanes)
        return self._identity(self.lanes)

    # ------------------------------------------------------------ long sums

    def _long(self, over: list[int]) -> bool:
        """Whether a sum of floats is long enough to be added up in blocks."""
        if self.combine != "sum" or self.dtype not in FLOATS:
            return False
        sizes = [self.linear.sizes[a] for a in over]
        total = 1
        for size in sizes:
            total *= size if isinstance(size, int) else 2 * BLOCK * self.lanes
        return total > 2 * BLOCK * (self.lanes if self.along else 1) - 1

    def _blocks(self, over: list[int]) -> None:
        """Blocks of the outermost axis, each added up on its own."""
        first, rest = over[0], over[1:]
        within = 1
        for axis in rest:
            size = self.linear.sizes[axis]
            within *= size if isinstance(size, int) else BLOCK
        single = self.lanes if first == self.nest.vectors.axis else 1
        step = max(1, BLOCK // max(within, 1)) * single
        low, high = self.nest.bounds(first)
        self.part = self.f.local(self.kind)
        self.body.hoist([self.linear.value])
        with self.f.loop(low, high, step) as start, self.body.inside():
            end = self.f.least(self.f.add(start, str(step)), high)
            self._reset(self.part)
            if first == self.nest.vectors.axis:
                self.nest.vector_loop(start, end, self._step)
            else:
                with self.f.loop(start, end) as name, self.body.inside(first, name):
                    self.nest.nest(rest, [self.linear.value], (), self._step)
            sums = [self.f.load(self.kind, place, 64) for place in (self.total, self.part)]
            total = self.f.value(f"fadd {self.kind} {sums[0]}, {sums[1]}")
            self.f.store(self.kind, total, self.total, 64)
        self.part = self.total

    # ------------------------------------------------------------ one term

    def _scan_step(self) -> None:
        """One term of a running sum, and the writes of the result so far."""
        self._step()
        self.body.set_acc(self.f.load(self.kind, self.total, 64), self.spread)
        self.nest.store()

    def _step(self) -> None:
        old = self.f.load(self.kind, self.part, 64)
        instr = self.linear.instrs[self.linear.value]
        if self.combine.startswith("arg"):
            self._arg_step(old)
            return
        get = self.body.vector
        masked = self.along and self.body.mask is not None
        fused = instr.op == "mul" and self.dtype in FLOATS and self.nest.machine.fma
        if self.combine == "sum" and fused and not masked:
            a, b = (get(x) for x in instr.args)
            new = scalars.intrinsic(self.f, "fma", self.dtype, self.lanes, a, b, old)
        else:
            value = get(self.linear.value)
            if masked:
                value = scalars.choose(
                    self.f, self.dtype, self.lanes, str(self.body.mask), value, self._left_out()
                )
            new = self._combined(self.lanes, old, value)
        self.f.store(self.kind, new, self.part, 64)

    def _combined(self, lanes: int, a: str, b: str) -> str:
        return scalars.apply(self.f, COMBINE[self.combine], self.dtype, self.dtype, lanes, (a, b))

    def _arg_step(self, old: str) -> None:
        """argmax and argmin: ties go to the lowest index; the first NaN wins."""
        lanes, f = self.lanes, self.f
        value = self.body.vector(self.linear.value)
        name = "gt" if self.combine == "argmax" else "lt"
        better = scalars.apply(f, name, "bool", self.dtype, lanes, (value, old))
        if self.dtype in FLOATS:
            nan = f.value(f"fcmp uno {self.kind} {value}, {value}")
            fine = f.value(f"fcmp ord {self.kind} {old}, {old}")
            first = f.value(f"and {type_of('bool', lanes)} {nan}, {fine}")
            better = f.value(f"or {type_of('bool', lanes)} {better}, {first}")
        kind = type_of("int64", lanes)
        place = f.splat(self.body.at[self.linear.free], "i64", lanes)
        before = f.load(kind, self.index, 64)
        f.store(self.kind, scalars.choose(f, self.dtype, lanes, better, value, old), self.part, 64)
        f.store(kind, scalars.choose(f, "int64", lanes, better, place, before), self.index, 64)

    # ------------------------------------------------------------ the result

    def _result(self) -> None:
        if self.combine.startswith("arg"):
            kind = type_of("int64", self.lanes)
            self.body.set_acc(self.f.load(kind, self.index, 64), self.spread)
            return
        total = self.f.load(self.kind, self.total, 64)
        if self.along:
            total = self._reduce_lanes(total)
        self.body.set_acc(total, self.spread)

    def _reduce_lanes(self, vector: str) -> str:
        """All lanes combined, by halving."""
        lanes = self.lanes
        while lanes > 1:
            half, kind = lanes // 2, type_of(self.dtype, lanes)
            parts = []
            for start in (0, half):
                order = ", ".join(f"i32 {start + k}" for k in range(half))
                parts.append(
                    self.f.value(
                        f"shufflevector {kind} {vector}, {kind} poison, <{half} x i32> <{order}>"
                    )
                )
            if half == 1:
                single = f"<1 x {type_of(self.dtype)}>"
                parts = [self.f.value(f"extractelement {single} {p}, i32 0") for p in parts]
            vector, lanes = self._combined(half, parts[0], parts[1]), half
        return vector
