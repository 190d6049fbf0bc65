"""Kernels as vectorised loop nests: everything but matrix products."""

from __future__ import annotations

from chainrule.backend.cpu.emit import scalars
from chainrule.backend.cpu.emit.body import Body, Vectors
from chainrule.backend.cpu.emit.nest import GRANULE, Compiled, Nest, begin, finish
from chainrule.backend.cpu.emit.reductions import ReductionLoops
from chainrule.backend.cpu.emit.text import SCALARS, type_of
from chainrule.backend.cpu.emit.vectors import choose, free_allowed
from chainrule.backend.cpu.machine import Machine
from chainrule.ir.kernel import BYTES
from chainrule.plan.affine import Analysis


def loops(name: str, analysis: Analysis, machine: Machine) -> Compiled:
    """A loop nest over the free axes with the reduction, if any, inside."""
    vectors = choose(analysis, machine)
    body = Body(begin(name, analysis.linear), analysis, vectors)
    Loops(body, machine).write()
    return finish(body, granule=GRANULE if vectors.axis == 0 else 1)


class Loops(Nest):
    """The loops of one kernel."""

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
