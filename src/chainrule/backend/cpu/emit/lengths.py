"""The length of the first loop as a run-time argument, so that kernels share code.

If a kernel traverses all of its buffers in memory order, its loops are collapsed into one first.
So all updates of an optimizer share code, and so do all sums of squares.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from chainrule.backend.cpu.emit.vectors import ORDERED
from chainrule.plan.linearize import Instr, LinearKernel, Store
from chainrule.types import Dim


def first_size(linear: LinearKernel) -> Dim:
    """The length of the kernel's first loop; 1 without free loops."""
    size = linear.sizes[0] if linear.free else 1
    assert size is not None
    return size


def with_runtime_length(linear: LinearKernel) -> tuple[LinearKernel, Dim]:
    """The kernel with the length of its first loop as an argument, if it can be; and that length.

    The code of a contraction depends on the sizes of its loops, so it is not changed.
    """
    if not linear.sizes:
        return linear, 1
    linear = _collapsed(linear)
    size = linear.sizes[0]
    if not isinstance(size, int) or size == 0 or not _length_is_runtime(linear):
        return linear, first_size(linear)
    led = _led_by_first(linear)
    arguments = tuple(
        known._replace(shape=(None, *known.shape[1:])) if number in led else known
        for number, known in enumerate(linear.arguments)
    )
    return linear._replace(sizes=(None, *linear.sizes[1:]), arguments=arguments), size


def accesses(linear: LinearKernel) -> Iterator[tuple[int, tuple[int, ...]]]:
    """(argument, index) of every read and write."""
    for instr in linear.instrs:
        if instr.op == "read":
            yield int(instr.data or 0), instr.args
    for store in linear.stores:
        yield store.argument, store.place


def lone_axes(linear: LinearKernel, place: tuple[int, ...]) -> list[int | None]:
    """The axes that are components of an index by themselves; None for other components."""
    instrs = (linear.instrs[i] for i in place)
    return [int(x.data or 0) if x.op == "at" else None for x in instrs]


def only_in_indices(linear: LinearKernel, axes: set[int]) -> bool:
    """Whether axes are used only as components of indices by themselves."""
    at = {i for i, x in enumerate(linear.instrs) if x.op == "at" and int(x.data or 0) in axes}
    inside = (a for x in linear.instrs if x.op != "read" for a in x.args)
    ends = (linear.value, *(store.value for store in linear.stores))
    return at.isdisjoint(inside) and at.isdisjoint(ends)


def _length_is_runtime(linear: LinearKernel) -> bool:
    """Whether the length of the first loop can be a run-time argument.

    It must be the loop that threads share, or the only one of a reduction to a scalar. It must
    occur only as the first component of indices, and cover the whole axis there.
    """
    single = linear.free == 0 and len(linear.sizes) == 1 and linear.combine not in ORDERED
    if not (linear.free or single) or not only_in_indices(linear, {0}):
        return False
    first = _led_by_first(linear)
    for argument, place in accesses(linear):
        axes = lone_axes(linear, place)
        if 0 in axes[1:] or (argument in first) != (axes[:1] == [0]):
            return False
    return all(linear.arguments[k].shape[0] == linear.sizes[0] for k in first)


def _led_by_first(linear: LinearKernel) -> set[int]:
    """The arguments whose first index is the first axis."""
    return {argument for argument, place in accesses(linear) if lone_axes(linear, place[:1]) == [0]}


# ---------------------------------------------------------------- collapsed loops


def _collapsed(linear: LinearKernel) -> LinearKernel:
    """All loops collapsed into one, if every buffer is traversed from end to end."""
    sizes = linear.sizes
    if linear.free not in (0, len(sizes)):
        return linear
    if linear.combine in ORDERED or not only_in_indices(linear, set(range(len(sizes)))):
        return linear
    if not all(isinstance(size, int) for size in sizes):
        return linear
    traversed, fixed = set[int](), set[int]()
    for argument, place in accesses(linear):
        axes = [a for a in lone_axes(linear, place) if a is not None]
        if axes and not _end_to_end(linear, argument, place):
            return linear
        (traversed if axes else fixed).add(argument)
    return linear if traversed & fixed else _with_one_loop(linear, traversed)


def _end_to_end(linear: LinearKernel, argument: int, place: tuple[int, ...]) -> bool:
    """Whether an index traverses the whole buffer in the order of the loops, without gaps."""
    known, axes = linear.arguments[argument], lone_axes(linear, place)
    loops = [(a, d, s) for a, d, s in zip(axes, known.shape, known.strides, strict=True) if d != 1]
    if [a for a, _, _ in loops] != list(range(len(linear.sizes))):
        return False
    inner = 1
    for axis, dim, stride in reversed(loops):
        if dim != linear.sizes[axis or 0] or stride != inner or not isinstance(dim, int):
            return False
        inner *= dim
    return True


def _with_one_loop(linear: LinearKernel, traversed: set[int]) -> LinearKernel:
    """The kernel with a single loop."""
    total = math.prod(size for size in linear.sizes if isinstance(size, int))
    at = Instr("at", (), "int64", 0)
    numbers, new = {at: 0}, dict[int, int]()
    for old in _needed(linear, traversed):
        instr = linear.instrs[old]
        inside = instr.op == "read" and instr.data in traversed
        made = instr._replace(args=(0,) if inside else tuple(new[a] for a in instr.args))
        new[old] = numbers.setdefault(made, len(numbers))
    stores = tuple(
        Store(
            s.argument,
            (0,) if s.argument in traversed else tuple(new[p] for p in s.place),
            new[s.value],
            s.add,
        )
        for s in linear.stores
    )
    arguments = tuple(
        x._replace(shape=(total,), strides=(1,)) if k in traversed else x
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


def _needed(linear: LinearKernel, traversed: set[int]) -> list[int]:
    """The instructions that are still needed when some arguments are indexed by the single loop."""
    needed = {store.value for store in linear.stores}
    needed |= {linear.value} if linear.combine else set()
    needed |= {p for store in linear.stores if store.argument not in traversed for p in store.place}
    for number in reversed(range(len(linear.instrs))):
        instr = linear.instrs[number]
        if number in needed and not (instr.op == "read" and instr.data in traversed):
            needed.update(instr.args)
    return sorted(needed)
