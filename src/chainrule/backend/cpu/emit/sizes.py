"""Kernels that differ in the length of their first loop alone become one: its length is told later.

Where a kernel goes through all of its buffers as they lie in memory, its loops are one first. So
all updates of an optimizer are one kernel, and so are all sums of squares.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from chainrule.backend.cpu.emit.flat import Argument, Flat, Item, Store
from chainrule.backend.cpu.emit.vectors import ORDERED
from chainrule.types import Dim


def general(flat: Flat) -> tuple[Flat, Dim]:
    """The kernel, without the length of its first loop where that can be; and that length."""
    if not flat.sizes:
        return flat, 1
    flat = _joined(flat)
    size = flat.sizes[0]
    assert size is not None
    if not isinstance(size, int) or size == 0 or _tiled(flat) or not _told_later(flat):
        return flat, size if flat.free else 1
    whole = _first(flat)
    arguments = tuple(
        replace(known, shape=(None, *known.shape[1:])) if number in whole else known
        for number, known in enumerate(flat.arguments)
    )
    return replace(flat, sizes=(None, *flat.sizes[1:]), arguments=arguments), size


def _tiled(flat: Flat) -> bool:
    """Whether the code may be a matrix product, whose tiles are chosen by its sizes."""
    return flat.combine == "sum" and flat.free > 1 and flat.items[flat.value].op == "mul"


def _places(flat: Flat) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Every place that is read or written, with its argument."""
    for item in flat.items:
        if item.op == "read":
            yield int(item.data or 0), item.args
    for store in flat.stores:
        yield store.argument, store.place


def _axis(flat: Flat, place: tuple[int, ...]) -> list[int | None]:
    """The axes that stand alone in a place; None for anything else."""
    items = (flat.items[i] for i in place)
    return [int(x.data or 0) if x.op == "at" else None for x in items]


def _only_places(flat: Flat, axes: set[int]) -> bool:
    """Whether axes stand in places, alone, and nowhere else."""
    at = {i for i, x in enumerate(flat.items) if x.op == "at" and int(x.data or 0) in axes}
    inside = (a for x in flat.items if x.op != "read" for a in x.args)
    ends = (flat.value, *(store.value for store in flat.stores))
    return at.isdisjoint(inside) and at.isdisjoint(ends)


def _told_later(flat: Flat) -> bool:
    """Whether the code need not know how long the first loop is.

    It is the loop that threads share, or the only one of a reduction to one number. It stands
    first in places alone, and goes through the whole axis there.
    """
    single = flat.free == 0 and len(flat.sizes) == 1 and flat.combine not in ORDERED
    if not (flat.free or single) or not _only_places(flat, {0}):
        return False
    first = _first(flat)
    for argument, place in _places(flat):
        axes = _axis(flat, place)
        if 0 in axes[1:] or (argument in first) != (axes[:1] == [0]):
            return False
    return all(flat.arguments[k].shape[0] == flat.sizes[0] for k in first)


def _first(flat: Flat) -> set[int]:
    """The arguments that are gone through along the first axis."""
    return {argument for argument, place in _places(flat) if _axis(flat, place[:1]) == [0]}


# ---------------------------------------------------------------- several loops as one


def _joined(flat: Flat) -> Flat:
    """All loops as one, where every buffer is gone through from end to end."""
    sizes = flat.sizes
    if flat.free not in (0, len(sizes)):
        return flat
    if flat.combine in ORDERED or not _only_places(flat, set(range(len(sizes)))):
        return flat
    if not all(isinstance(size, int) for size in sizes):
        return flat
    through, still = set[int](), set[int]()
    for argument, place in _places(flat):
        axes = [a for a in _axis(flat, place) if a is not None]
        if axes and not _end_to_end(flat, argument, place):
            return flat
        (through if axes else still).add(argument)
    return flat if through & still else _rewritten(flat, through)


def _end_to_end(flat: Flat, argument: int, place: tuple[int, ...]) -> bool:
    """Whether a place goes through the whole buffer, without a gap, as the loops go."""
    known, axes = flat.arguments[argument], _axis(flat, place)
    turns = [(a, d, s) for a, d, s in zip(axes, known.shape, known.strides, strict=True) if d != 1]
    if [a for a, _, _ in turns] != list(range(len(flat.sizes))):
        return False
    inner = 1
    for axis, dim, stride in reversed(turns):
        if dim != flat.sizes[axis or 0] or stride != inner or not isinstance(dim, int):
            return False
        inner *= dim
    return True


def _rewritten(flat: Flat, through: set[int]) -> Flat:
    """The kernel with one loop."""
    total = math.prod(size for size in flat.sizes if isinstance(size, int))
    at = Item("at", (), "int64", 0)
    numbers, new = {at: 0}, dict[int, int]()
    for old in _needed(flat, through):
        item = flat.items[old]
        inside = item.op == "read" and item.data in through
        made = replace(item, args=(0,) if inside else tuple(new[a] for a in item.args))
        new[old] = numbers.setdefault(made, len(numbers))
    stores = tuple(
        Store(
            s.argument,
            (0,) if s.argument in through else tuple(new[p] for p in s.place),
            new[s.value],
            s.add,
        )
        for s in flat.stores
    )
    arguments = tuple(
        Argument(x.dtype, (total,), (1,), x.slack, x.space) if k in through else x
        for k, x in enumerate(flat.arguments)
    )
    return Flat(
        (total,),
        min(flat.free, 1),
        flat.combine,
        new.get(flat.value, -1),
        tuple(numbers),
        stores,
        arguments,
    )


def _needed(flat: Flat, through: set[int]) -> list[int]:
    """The instructions that are left when the places in some arguments are others."""
    needed = {store.value for store in flat.stores} | ({flat.value} if flat.combine else set())
    needed |= {p for store in flat.stores if store.argument not in through for p in store.place}
    for number in reversed(range(len(flat.items))):
        item = flat.items[number]
        if number in needed and not (item.op == "read" and item.data in through):
            needed.update(item.args)
    return sorted(needed)
