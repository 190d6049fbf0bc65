"""Neighbouring loops that every buffer is traversed by as if they were one, as one loop.

So the pixels of a picture are the rows of one matrix, not of many small ones.
"""

from __future__ import annotations

import math

from chainrule.backend.cpu.emit.lengths import accesses, lone_axes, only_in_indices
from chainrule.plan.linearize import Instr, LinearKernel

ZERO = Instr("const", (), "int64", "0")


def merged(linear: LinearKernel) -> LinearKernel:
    """The kernel with as few free loops as possible; the first one, which threads share, remains.

    Sums over pixels keep theirs: see `blocks.py`.
    """
    axis = 1
    while axis + 1 < linear.free:
        places = _places(linear, axis)
        if places is None:
            axis += 1
        else:
            linear = _with_merged(linear, axis, places)
    return linear


def _places(linear: LinearKernel, axis: int) -> dict[int, int] | None:
    """The component of the indices of arguments that is an axis, where the next one follows it.

    None if they cannot be one loop: it must be the same component in all indices of an argument,
    and both must traverse it without gaps.
    """
    pair = axis, axis + 1
    first, second = sizes = linear.sizes[axis : axis + 2]
    if not isinstance(first, int) or not isinstance(second, int):
        return None
    if not only_in_indices(linear, set(pair)):
        return None
    found: dict[int, set[int | None]] = {}
    for argument, place in accesses(linear):
        axes = lone_axes(linear, place)
        known, at = linear.arguments[argument], None
        if any(x in axes for x in pair):
            at = axes.index(axis) if axis in axes else len(axes)
            strides = known.strides[at : at + 2]
            if axes[at : at + 2] != [*pair] or sum(x in pair for x in axes) > 2:
                return None
            if known.shape[at : at + 2] != sizes or strides[0] != strides[1] * second:
                return None
        found.setdefault(argument, set()).add(at)
    if any(len(x) > 1 for x in found.values()):
        return None
    return {k: at for k, (at,) in found.items() if at is not None}


def _with_merged(linear: LinearKernel, axis: int, places: dict[int, int]) -> LinearKernel:
    """The kernel with an axis and the next one as one."""
    size = math.prod(x for x in linear.sizes[axis : axis + 2] if isinstance(x, int))
    numbers, new = dict[Instr, int](), list[int]()
    for instr in linear.instrs:
        made = instr._replace(args=tuple(new[x] for x in instr.args))
        if instr.op == "at" and int(instr.data or 0) >= axis:
            made = ZERO if instr.data == axis else made._replace(data=int(instr.data or 0) - 1)
        new.append(numbers.setdefault(made, len(numbers)))
    arguments = list(linear.arguments)
    for number, at in places.items():
        shape = arguments[number].shape
        shape = (*shape[:at], 1, size, *shape[at + 2 :])
        arguments[number] = arguments[number]._replace(shape=shape)
    return linear._replace(
        sizes=(*linear.sizes[:axis], size, *linear.sizes[axis + 2 :]),
        free=linear.free - 1,
        value=new[linear.value] if linear.combine else -1,
        instrs=tuple(numbers),
        stores=tuple(
            x._replace(place=tuple(new[p] for p in x.place), value=new[x.value])
            for x in linear.stores
        ),
        arguments=tuple(arguments),
    )
