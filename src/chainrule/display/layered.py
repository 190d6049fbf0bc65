"""Places boxes in layers, each below what it reads, with few crossings and short lines."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

SWEEPS = 8
"""Times that the order, and then the places, of all layers are improved."""

BEND = 12.0
"""The width that a line takes where it passes a layer."""


@dataclass(eq=False)
class Item:
    """A box, or the bend of a line that passes a layer, in its layer.

    Attributes:
        width, height: of the box; a bend has no box.
        box: its number; None for a bend.
        x, y: its centre from the left, and its upper end.
        above, below: the items that it is linked to in the neighbouring layers.
    """

    width: float
    height: float = 0.0
    box: int | None = None
    x: float = 0.0
    y: float = 0.0
    above: list[Item] = field(default_factory=list)
    below: list[Item] = field(default_factory=list)


Layers = list[list[Item]]


def layered(
    sizes: Sequence[tuple[float, float]], reads: Sequence[Sequence[int]], gap: tuple[float, float]
) -> Layers:
    """Boxes and bends with their places, layer by layer from the top.

    Args:
        sizes: the width and height of each box, in pixels.
        reads: the boxes that each one reads, which come before it.
        gap: pixels between neighbours, and between layers.
    """
    layers = _linked(sizes, reads)
    _order(layers)
    _spread(layers, gap[0])
    y = 0.0
    for layer in layers:
        height = max((item.height for item in layer), default=0.0)
        for item in layer:
            item.height = item.height if item.box is not None else height
            item.y = y + height - item.height
        y += height + gap[1]
    left = min((x.x - x.width / 2 for layer in layers for x in layer), default=0.0)
    for layer in layers:
        for item in layer:
            item.x -= left
    return layers


def _depths(reads: Sequence[Sequence[int]]) -> list[int]:
    """The layer of each box; one that reads nothing stands right above its first reader."""
    depth = [0] * len(reads)
    first: dict[int, int] = {}
    for k, before in enumerate(reads):
        depth[k] = 1 + max((depth[x] for x in before), default=-1)
        for x in before:
            first[x] = min(first.get(x, depth[k]), depth[k])
    return [depth[k] if before else max(first.get(k, 1) - 1, 0) for k, before in enumerate(reads)]


def _linked(sizes: Sequence[tuple[float, float]], reads: Sequence[Sequence[int]]) -> Layers:
    """The items of each layer; all lines from one box share the bends on their way."""
    depth = _depths(reads)
    layers: Layers = [[] for _ in range(max(depth, default=-1) + 1)]
    boxes = [Item(width, height, k) for k, (width, height) in enumerate(sizes)]
    for item, at in zip(boxes, depth, strict=True):
        layers[at].append(item)
    ways = [[item] for item in boxes]
    for k, before in enumerate(reads):
        for x in dict.fromkeys(before):
            way = ways[x]
            while depth[x] + len(way) < depth[k]:
                bend = Item(BEND)
                layers[depth[x] + len(way)].append(bend)
                _link(way[-1], bend)
                way.append(bend)
            _link(way[depth[k] - depth[x] - 1], boxes[k])
    return layers


def _link(upper: Item, lower: Item) -> None:
    upper.below.append(lower)
    lower.above.append(upper)


def _order(layers: Layers) -> None:
    """Orders each layer by the places of its neighbours; the order with fewest crossings stays."""
    best, fewest = [list(layer) for layer in layers], _crossings(layers)
    for sweep in range(SWEEPS):
        if fewest == 0:
            break
        down = sweep % 2 == 0
        for upper, lower in _pairs(layers) if down else reversed(list(_pairs(layers))):
            fixed, moved = (upper, lower) if down else (lower, upper)
            at = {item: float(k) for k, item in enumerate(fixed)}
            own = {item: float(k) for k, item in enumerate(moved)}
            linked = _above if down else _below
            moved.sort(key=lambda x: _mean([at[y] for y in linked(x)], own[x]))
        found = _crossings(layers)
        if found < fewest:
            best, fewest = [list(layer) for layer in layers], found
    layers[:] = best


def _above(item: Item) -> list[Item]:
    return item.above


def _below(item: Item) -> list[Item]:
    return item.below


def _pairs(layers: Layers) -> Iterable[tuple[list[Item], list[Item]]]:
    return itertools.pairwise(layers)


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default


def _crossings(layers: Layers) -> int:
    total = 0
    for upper, lower in _pairs(layers):
        at = {item: k for k, item in enumerate(lower)}
        ends = [at[y] for x in upper for y in sorted(x.below, key=lambda y: at[y])]
        owner = [k for k, x in enumerate(upper) for _ in x.below]
        total += sum(
            ends[i] > ends[j] and owner[i] != owner[j] for j in range(len(ends)) for i in range(j)
        )
    return total


def _spread(layers: Layers, gap: float) -> None:
    """Places each layer as near to its neighbours as its order and widths allow."""
    for layer in layers:
        x = 0.0
        for item in layer:
            item.x = x + item.width / 2
            x += item.width + gap
    for sweep in range(SWEEPS):
        linked: Callable[[Item], list[Item]] = _above if sweep % 2 == 0 else _below
        for layer in layers if sweep % 2 == 0 else layers[::-1]:
            _fit(layer, [_middle(linked(x), x.x) for x in layer], gap)


def _middle(linked: Sequence[Item], default: float) -> float:
    """The mean place of items; those that read others count more, so that chains are straight."""
    weights = [4.0 if x.above else 1.0 for x in linked]
    total = sum(w * x.x for w, x in zip(weights, linked, strict=True))
    return total / sum(weights) if linked else default


def _fit(layer: Sequence[Item], wanted: Sequence[float], gap: float) -> None:
    """The places nearest to those wanted, in squares, that do not overlap.

    Less the room that those before them take, they must not decrease: neighbours that would are
    pooled at their mean. Lines that pass count more, so that they are straight.
    """
    room = 0.0
    pools: list[tuple[float, float, int]] = []  # mean, weight, items
    rooms = []
    for k, item in enumerate(layer):
        room += 0.0 if k == 0 else (layer[k - 1].width + item.width) / 2 + gap
        rooms.append(room)
        pool = wanted[k] - room, 1.0 if item.box is not None else 4.0, 1
        while pools and pools[-1][0] > pool[0]:
            mean, weight, count = pools.pop()
            both = weight + pool[1]
            pool = (mean * weight + pool[0] * pool[1]) / both, both, count + pool[2]
        pools.append(pool)
    places = [mean for mean, _, count in pools for _ in range(count)]
    for item, place, before in zip(layer, places, rooms, strict=True):
        item.x = place + before
