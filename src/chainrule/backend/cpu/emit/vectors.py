"""Which axis of a kernel takes the vectors, and how many lanes they have."""

from __future__ import annotations

from chainrule.backend.cpu.emit import scalars
from chainrule.backend.cpu.emit.affine import Analysis
from chainrule.backend.cpu.emit.body import Vectors
from chainrule.backend.cpu.emit.flat import Flat, Store
from chainrule.backend.cpu.machine import Machine

ORDERED = ("argmax", "argmin", "scan")
"""What is combined one term after another."""

LIKELY_ROWS = 64
"""The size that N is taken for where code is chosen by size."""

LIKELY_LENGTH = 1024
"""The same for a length that is told when the kernel runs."""


def choose(flat: Flat, analysis: Analysis, machine: Machine) -> Vectors:
    """The axis along which vectors cost the least, or none."""
    best, least = Vectors(), float(_work(flat))
    for axis in range(len(flat.sizes)):
        allowed = _over_allowed(flat, axis) if axis in flat.over else free_allowed(analysis, axis)
        if not allowed:
            continue
        lanes = _lanes(flat, axis, machine)
        size = _size(flat, axis)
        turns = -(-size // lanes)
        vector = (_work(flat) + 3 * lanes * _gathers(analysis, axis)) / _base(flat, machine)
        cost = vector * turns * lanes + 16 * (axis in flat.over)
        if cost / max(size, 1) < least:
            best, least = Vectors(axis, lanes), cost / max(size, 1)
    return best


def _size(flat: Flat, axis: int) -> int:
    size = flat.sizes[axis]
    if size is None:
        return LIKELY_LENGTH
    return size if isinstance(size, int) else LIKELY_ROWS


def _work(flat: Flat) -> int:
    """About how many instructions one element takes."""
    heavy = sum(item.op in (*scalars.MATHS, "philox") for item in flat.items)
    return len(flat.items) + 20 * heavy


def _base(flat: Flat, machine: Machine) -> int:
    """The lanes of one register."""
    double = any(x.dtype == "float64" for x in flat.items)
    return machine.vector // (8 if double else 4)


def _lanes(flat: Flat, axis: int, machine: Machine) -> int:
    """As many registers at once as hide latency and do not leave many lanes idle."""
    lanes, size = _base(flat, machine), _size(flat, axis)
    most = 1 if _work(flat) > 60 else 2 if _work(flat) > 20 else 4
    for times in (4, 2):
        wide = lanes * times
        if times <= most and -(-size // wide) * wide <= 1.15 * size:
            return wide
    return lanes


def _over_allowed(flat: Flat, axis: int) -> bool:
    return axis == len(flat.sizes) - 1 and flat.combine not in ORDERED


def free_allowed(analysis: Analysis, axis: int) -> bool:
    """Whether all stores go to neighbours along the axis."""
    flat = analysis.flat
    return all(
        analysis.stride(analysis.access(s.argument, s.place), axis) == 1
        and (not s.add or separate(analysis, s, axis))
        for s in flat.stores
    )


def separate(analysis: Analysis, store: Store, axis: int) -> bool:
    """Whether different values of the axis go to different elements."""
    forms = (analysis.forms[p] for p in store.place)
    return any(set(form.axes) == {axis} and not form.rest for form in forms)


def _gathers(analysis: Analysis, axis: int) -> int:
    """How many reads are scattered along the axis."""
    reads = (i for i, x in enumerate(analysis.flat.items) if x.op == "read")
    strides = (analysis.stride(analysis.reads(i), axis) for i in reads)
    return sum(stride not in (0, 1) for stride in strides)
