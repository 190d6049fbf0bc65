"""Which axis of a kernel takes the vectors, and how many lanes they have."""

from __future__ import annotations

from chainrule.backend.cpu.emit import scalars
from chainrule.backend.cpu.emit.body import Vectors
from chainrule.backend.cpu.machine import Machine
from chainrule.plan.affine import Analysis
from chainrule.plan.linearize import LinearKernel
from chainrule.plan.schedule import ASSUMED_ROWS

ORDERED = ("argmax", "argmin", "scan")
"""What is combined one term after another."""

LIKELY_LENGTH = 1024
"""The same for a length that is told when the kernel runs."""


def choose(analysis: Analysis, machine: Machine) -> Vectors:
    """The axis along which vectors cost the least, or none."""
    linear = analysis.linear
    best, least = Vectors(), float(_work(linear))
    for axis in range(len(linear.sizes)):
        over = axis in linear.over
        if not (_over_allowed(linear, axis) if over else free_allowed(analysis, axis)):
            continue
        lanes = _lanes(linear, axis, machine)
        size = _size(linear, axis)
        turns = -(-size // lanes)
        vector = (_work(linear) + 3 * lanes * _gathers(analysis, axis)) / _base(linear, machine)
        cost = vector * turns * lanes + 16 * over
        if cost / max(size, 1) < least:
            best, least = Vectors(axis, lanes), cost / max(size, 1)
    return best


def _size(linear: LinearKernel, axis: int) -> int:
    size = linear.sizes[axis]
    if size is None:
        return LIKELY_LENGTH
    return size if isinstance(size, int) else ASSUMED_ROWS


def _work(linear: LinearKernel) -> int:
    """About how many instructions one element takes."""
    heavy = sum(instr.op in (*scalars.MATHS, "philox") for instr in linear.instrs)
    return len(linear.instrs) + 20 * heavy


def _base(linear: LinearKernel, machine: Machine) -> int:
    """The lanes of one register."""
    double = any(x.dtype == "float64" for x in linear.instrs)
    return machine.vector // (8 if double else 4)


def _lanes(linear: LinearKernel, axis: int, machine: Machine) -> int:
    """As many registers at once as hide latency and do not leave many lanes idle."""
    lanes, size = _base(linear, machine), _size(linear, axis)
    most = 1 if _work(linear) > 60 else 2 if _work(linear) > 20 else 4
    for times in (4, 2):
        wide = lanes * times
        if times <= most and -(-size // wide) * wide <= 1.15 * size:
            return wide
    return lanes


def _over_allowed(linear: LinearKernel, axis: int) -> bool:
    return axis == len(linear.sizes) - 1 and linear.combine not in ORDERED


def free_allowed(analysis: Analysis, axis: int) -> bool:
    """Whether all stores go to neighbours along the axis."""
    linear = analysis.linear
    return all(
        analysis.stride(analysis.access(s.argument, s.place), axis) == 1
        and (not s.add or analysis.separates(s, axis))
        for s in linear.stores
    )


def _gathers(analysis: Analysis, axis: int) -> int:
    """How many reads are scattered along the axis."""
    reads = (i for i, x in enumerate(analysis.linear.instrs) if x.op == "read")
    strides = (analysis.stride(analysis.reads(i), axis) for i in reads)
    return sum(stride not in (0, 1) for stride in strides)
