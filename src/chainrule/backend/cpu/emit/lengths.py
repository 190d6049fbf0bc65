"""The length of the first loop as a run-time argument, so that kernels share code.

Where a kernel goes through all of its buffers as they lie in memory, its loops are one first. So
all updates of an optimizer share code, and so do all sums of squares.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from chainrule.backend.cpu.emit.vectors import ORDERED
from chainrule.plan.linearize import Argument, Instr, LinearKernel, Store
from chainrule.types import Dim


def first_size(linear: LinearKernel) -> Dim:
    """The length of the kernel's first loop; 1 where threads cannot share one."""
    size = linear.sizes[0] if linear.free else 1
    assert size is not None
    return size


def with_runtime_length(linear: LinearKernel) -> tuple[LinearKernel, Dim]:
    """The kernel with the length of its first loop as an argument, if it can be; and that length.

    Code of a contraction depends on the sizes of its loops: it stays as it is.
    """
    if not linear.sizes:
        return linear, 1
    linear = _joined(linear)
    size = linear.sizes[0]
    if not isinstance(size, int) or size == 0 or not _length_is_runtime(linear):
        return linear, first_size(linear)
    whole = _first(linear)
    arguments = tuple(
        replace(known, shape=(None, *known.shape[1:])) if number in whole else known
        for number, known in enumerate(linear.arguments)
    )
    return replace(linear, sizes=(None, *linear.sizes[1:]), arguments=arguments), size


def _places(linear: LinearKernel) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Every place that is read or written, with its argument."""
    for instr in linear.instrs:
        if instr.op == "read":
            yield int(instr.data or 0), instr.args
    for store in linear.stores:
        yield store.argument, store.place


def _axis(linear: LinearKernel, place: tuple[int, ...]) -> list[int | None]:
    """The axes that stand alone in a place; None for anything else."""
    instrs = (linear.instrs[i] for i in place)
    return [int(x.data or 0) if x.op == "at" else None for x in instrs]


def _only_places(linear: LinearKernel, axes: set[int]) -> bool:
    """Whether axes stand in places, alone, and nowhere else."""
    at = {i for i, x in enumerate(linear.instrs) if x.op == "at" and int(x.data or 0) in axes}
    inside = (a for x in linear.instrs if x.op != "read" for a in x.args)
    ends = (linear.value, *(store.value for store in linear.stores))
    return at.isdisjoint(inside) and at.isdisjoint(ends)


def _length_is_runtime(linear: LinearKernel) -> bool:
    """Whether the code need not know how long the first loop is.

    It is the loop that threads share, or the only one of a reduction to one number. It stands
    first in places alone, and goes through the whole axis there.
    """
    single = linear.free == 0 and len(linear.sizes) == 1 and linear.combine not in ORDERED
    if not (linear.free or single) or not _only_places(linear, {0}):
        return False
    first = _first(linear)
    for argument, place in _places(linear):
        axes = _axis(linear, place)
        if 0 in axes[1:] or (argument in first) != (axes[:1] == [0]):
            return False
    return all(linear.arguments[k].shape[0] == linear.sizes[0] for k in first)


def _first(linear: LinearKernel) -> set[int]:
    """The arguments that are gone through along the first axis."""
    return {argument for argument, place in _places(linear) if _axis(linear, place[:1]) == [0]}


# ---------------------------------------------------------------- several loops as one


def _joined(linear: LinearKernel) -> LinearKernel:
    """All loops as one, where every buffer is gone through from end to end."""
    sizes = linear.sizes
    if linear.free not in (0, len(sizes)):
        return linear
    if linear.combine in ORDERED or not _only_places(linear, set(range(len(sizes)))):
        return linear
    if not all(isinstance(size, int) for size in sizes):
        return linear
    through, still = set[int](), set[int]()
    for argument, place in _places(linear):
        axes = [a for a in _axis(linear, place) if a is not None]
        if axes and not _end_to_end(linear, argument, place):
            return linear
        (through if axes else still).add(argument)
    return linear if through & still else _rewritten(linear, through)


def _end_to_end(linear: LinearKernel, argument: int, place: tuple[int, ...]) -> bool:
    """Whether a place goes through the whole buffer, without a gap, as the loops go."""
    known, axes = linear.arguments[argument], _axis(linear, place)
    turns = [(a, d, s) for a, d, s in zip(axes, known.shape, known.strides, strict=True) if d != 1]
    if [a for a, _, _ in turns] != list(range(len(linear.sizes))):
        return False
    inner = 1
    for axis, dim, stride in reversed(turns):
        if dim != linear.sizes[axis or 0] or stride != inner or not isinstance(dim, int):
            return False
        inner *= dim
    return True


def _rewritten(linear: LinearKernel, through: set[int]) -> LinearKernel:
    """The kernel with one loop."""
    total = math.prod(size for size in linear.sizes if isinstance(size, int))
    at = Instr("at", (), "int64", 0)
    numbers, new = {at: 0}, dict[int, int]()
    for old in _needed(linear, through):
        instr = linear.instrs[old]
        inside = instr.op == "read" and instr.data in through
        made = replace(instr, args=(0,) if inside else tuple(new[a] for a in instr.args))
        new[old] = numbers.setdefault(made, len(numbers))
    stores = tuple(
        Store(
            s.argument,
            (0,) if s.argument in through else tuple(new[p] for p in s.place),
            new[s.value],
            s.add,
        )
        for s in linear.stores
    )
    arguments = tuple(
        Argument(x.dtype, (total,), x.space, (1,), x.slack) if k in through else x
        for k, x in enumerate(linear.arguments)
    )
    return LinearKernel(
        (total,),
        min(linear.free, 1),
        linear.combine,
        new.get(linear.value, -1),
        tuple(numbers),
        stores,
        arguments,
    )


def _needed(linear: LinearKernel, through: set[int]) -> list[int]:
    """The instructions that are left when the places in some arguments are others."""
    needed = {store.value for store in linear.stores}
    needed |= {linear.value} if linear.combine else set()
    needed |= {p for store in linear.stores if store.argument not in through for p in store.place}
    for number in reversed(range(len(linear.instrs))):
        instr = linear.instrs[number]
        if number in needed and not (instr.op == "read" and instr.data in through):
            needed.update(instr.args)
    return sorted(needed)
