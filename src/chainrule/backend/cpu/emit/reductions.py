"""The reduction in a loop nest: along the vectors or across them, long sums in blocks."""

from __future__ import annotations

from chainrule.backend.cpu.emit import scalars
from chainrule.backend.cpu.emit.nest import Nest
from chainrule.backend.cpu.emit.text import constant, number, type_of
from chainrule.ir.kernel import BYTES
from chainrule.types import FLOATS

BLOCK = 512
"""The terms of a block, added up in order in a lane; block sums are added up in order."""

IDENTITY = {"sum": 0, "scan": 0, "prod": 1, "any": False}
COMBINE = {"sum": "add", "scan": "add", "prod": "mul", "any": "or", "max": "max", "min": "min"}


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
