"""The choice of the axis of a kernel to vectorize, and of the number of lanes."""

from __future__ import annotations

from chainrule.backend.cpu.emit import scalars
from chainrule.backend.cpu.emit.body import Vectors
from chainrule.backend.cpu.machine import Machine
from chainrule.plan.affine import Analysis
from chainrule.plan.linearize import LinearKernel
from chainrule.plan.schedule import ASSUMED_ROWS
from chainrule.types import Dim

ORDERED = ("argmax", "argmin", "scan")
"""Reductions that combine one term after another."""

MIN_LANES = 4
"""The fewest lanes of a vector, if a register has as many."""

ASSUMED_LENGTH = 1024
"""The size assumed for a length that is a run-time argument."""


def choose(analysis: Analysis, machine: Machine) -> Vectors:
    """The vectorization that costs least, or none."""
    linear = analysis.linear
    best, least = Vectors(), float(_work(linear))
    for axis in range(len(linear.sizes)):
        over = axis in linear.over
        if not (_reduction_allowed(linear, axis) if over else free_allowed(analysis, axis)):
            continue
        gathers = _gather_count(analysis, axis)
        lanes = _lanes(linear, axis, machine, gathers)
        size = _size(linear, axis)
        turns = -(-size // lanes)
        work = _work(linear) + 3 * lanes * gathers
        vector = work / _register_lanes(linear, machine)
        cost = vector * turns * lanes + 16 * over
        if cost / max(size, 1) < least:
            best, least = Vectors(axis, narrowed(lanes, linear.sizes[axis])), cost / max(size, 1)
    return best


def narrowed(lanes: int, size: Dim | None) -> int:
    """The lanes for an axis, of at most so many: a short one takes a part of a register.

    Zen 4 does half a register of 64 bytes in half of the time.
    """
    if not isinstance(size, int):
        return lanes
    return min(lanes, max(MIN_LANES, 1 << (size - 1).bit_length()))


def _size(linear: LinearKernel, axis: int) -> int:
    size = linear.sizes[axis]
    if size is None:
        return ASSUMED_LENGTH
    return size if isinstance(size, int) else ASSUMED_ROWS


def _work(linear: LinearKernel) -> int:
    """The approximate number of instructions of one element."""
    heavy = sum(instr.op in (*scalars.MATHS, "philox") for instr in linear.instrs)
    return len(linear.instrs) + 20 * heavy


def _register_lanes(linear: LinearKernel, machine: Machine) -> int:
    """The lanes of one register."""
    double = any(x.dtype == "float64" for x in linear.instrs)
    return machine.vector // (8 if double else 4)


def _lanes(linear: LinearKernel, axis: int, machine: Machine, gathers: int) -> int:
    """The lanes of so many registers as hide latency without leaving many lanes idle.

    Indices of gathers take two registers for one of values.
    """
    lanes, size = _register_lanes(linear, machine), _size(linear, axis)
    limit = 1 if _work(linear) > 60 or gathers else 2 if _work(linear) > 20 else 4
    for times in (4, 2):
        wide = lanes * times
        if times <= limit and -(-size // wide) * wide <= 1.15 * size:
            return wide
    return lanes


def _reduction_allowed(linear: LinearKernel, axis: int) -> bool:
    return axis == len(linear.sizes) - 1 and linear.combine not in ORDERED


def free_allowed(analysis: Analysis, axis: int) -> bool:
    """Whether all stores are contiguous along the axis."""
    linear = analysis.linear
    return all(
        analysis.stride(analysis.access(s.argument, s.place), axis) == 1
        and (not s.add or analysis.separates(s, axis))
        for s in linear.stores
    )


def _gather_count(analysis: Analysis, axis: int) -> int:
    """The number of reads that are gathers along the axis."""
    reads = (i for i, x in enumerate(analysis.linear.instrs) if x.op == "read")
    strides = (analysis.stride(analysis.reads(i), axis) for i in reads)
    return sum(stride not in (0, 1) for stride in strides)
