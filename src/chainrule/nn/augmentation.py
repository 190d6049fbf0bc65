"""Pictures and signals that are moved, mirrored and enlarged at random in training."""

from __future__ import annotations

import math

from chainrule.errors import ShapeError
from chainrule.graph.node import Node
from chainrule.nn.arguments import floats, operand_at
from chainrule.nn.naming import as_layer, layer_scope
from chainrule.ops.bounds import clip, floor
from chainrule.ops.build import broadcast_to, cast, constant
from chainrule.ops.compare import less, where
from chainrule.ops.index import gather
from chainrule.ops.mode import when_training
from chainrule.ops.random import check_rate, uniform
from chainrule.ops.shape import expand_dims, reshape
from chainrule.system.checks import flag
from chainrule.types import N, show


def augment(
    x: Node,
    *,
    flip: bool = False,
    shift: float = 0.0,
    zoom: float = 0.0,
    name: str | None = None,
) -> Node:
    """Each example moved, mirrored and enlarged at random in training; elsewhere `x` itself.

    An element of the result is one of `x`: that at the nearest place, and at the border where it
    would lie beyond. What is drawn is a function of seed, step and row, so it is the same on any
    number of threads; each step draws anew.

    Args:
        x: (N, height, width, channels) or (N, length, channels).
        flip: whether half of the examples are mirrored along the last axis of space.
        shift: the largest shift, as a share of each side: 0.1 of 28 pixels is up to 3 of them.
        zoom: the largest share of each side that is cut off, the rest being enlarged.
        name: of the layer.

    Raises:
        ShapeError: `x` has other axes. SettingError: a share is not from 0 to below 1.
    """
    x, flip = floats("augment", x), flag("augment", "flip", flip)
    shift, zoom = check_rate("augment", shift), check_rate("augment", zoom)
    if x.ndim not in (3, 4) or x.shape[0] is not N:
        raise ShapeError(
            "augment", "it is for pictures and signals",
            expected="(N, height, width, channels) or (N, length, channels)", got=show(x.shape),
            at=operand_at(x),
        )  # fmt: skip
    if not flip and not shift and not zoom:
        return x
    sides = [side for side in x.shape[1:-1] if isinstance(side, int)]
    scale = 1 - zoom * uniform((N, 1)) if zoom else None
    places = [
        _place(side, scale, shift, flip and axis == len(sides) - 1)
        for axis, side in enumerate(sides)
    ]
    if len(sides) == 2:
        rows, columns = places
        width = sides[1]
        index = expand_dims(rows * width, 2) + expand_dims(columns, 1)
    else:
        (index,) = places
    index = broadcast_to(index, (N, *sides))
    flat = reshape(x, (N, math.prod(sides), x.shape[-1]))
    chosen = gather(flat, reshape(index, (N, math.prod(sides), 1)), axis=1)
    moved = when_training(reshape(chosen, x.shape), x)
    return as_layer(layer_scope(name, "augment"), moved, (x,))


def _place(side: int, scale: Node | None, shift: float, flip: bool) -> Node:
    """For each position along a side the one to read from, int32 (N, side) or (1, side)."""
    centre = (side - 1) / 2
    place: Node = constant([[k - centre for k in range(side)]], "float32")  # (1, side)
    if scale is not None:
        place = place * scale
    if flip:
        place = place * where(less(uniform((N, 1)), 0.5), -1.0, 1.0)
    if shift:
        most = round(shift * side)
        place = place + (floor(uniform((N, 1)) * (2 * most + 1)) - most)
    return cast(clip(floor(place + (centre + 0.5)), 0, side - 1), "int32")
