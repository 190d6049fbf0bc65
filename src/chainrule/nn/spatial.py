"""Windows over the spatial axes of signals, images and volumes: their arguments and sizes."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from chainrule.errors import SettingError, ShapeError, nearest
from chainrule.graph.node import Array, Node, Scope
from chainrule.nn.arguments import floats, operand_at
from chainrule.nn.naming import as_layer
from chainrule.ops.shape import transpose
from chainrule.system.checks import as_integer
from chainrule.types import N, show

Size: TypeAlias = int | Sequence[int]
"""A number for each spatial axis, or one for all of them."""

Padding: TypeAlias = str | int | Sequence[int | tuple[int, int]]
"""`"same"`, `"valid"`, or rows of padding: a number for each spatial axis or for all, or pairs."""

CHANNELS = ("last", "first")
SPATIAL = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
"""The names of the spatial axes, by their number."""

MOST = 2**31
"""Sizes, strides and widths are below this."""


@dataclass(frozen=True)
class Place:
    """A layer and its operand, for messages; `first` says that it has its channels first."""

    layer: str
    scope: Scope
    x: Node
    first: bool

    @property
    def at(self) -> str:
        """The place to look at: the layer, its operand and the line."""
        named = f"layer {self.scope.base!r}, " if self.scope.given else ""
        return named + operand_at(self.x)

    def misfit(
        self, what: str, *, expected: object = None, got: object = None, fix: str | None = None
    ) -> ShapeError:
        """An error about shapes."""
        return ShapeError(self.layer, what, expected=expected, got=got, at=self.at, fix=fix)

    def wrong(
        self, what: str, *, expected: object = None, got: object = None, fix: str | None = None
    ) -> SettingError:
        """An error about an argument."""
        return SettingError(self.layer, what, expected=expected, got=got, at=self.at, fix=fix)


@dataclass(frozen=True)
class Layout:
    """An operand with its channels last, and how its result gets them where they were.

    Attributes:
        place: for messages; its `x` is the operand as it was given.
        x: (N, *spatial, channels).
    """

    place: Place
    x: Node

    @property
    def first(self) -> bool:
        """Whether the operand has its channels first."""
        return self.place.first

    @property
    def spatial(self) -> tuple[int, ...]:
        """The sizes of the spatial axes."""
        return static(self.x)[:-1]

    @property
    def channels(self) -> int:
        """The number of channels."""
        return static(self.x)[-1]

    @property
    def axis(self) -> int:
        """The axis of channels in the operand and in the result."""
        return 1 if self.first else self.x.ndim - 1

    def restored(self, y: Node) -> Node:
        """`y`, which has its channels last, with its axes in the order of the operand's."""
        names = self.x.type.axes
        if names and names != y.type.axes:
            y = replace(y, type=replace(y.type, axes=names), source=y.source)
        return transpose(y, (0, y.ndim - 1, *range(1, y.ndim - 1))) if self.first else y

    def layer(self, y: Node) -> Node:
        """`y`, which has its channels last, as the result of the layer."""
        return as_layer(self.place.scope, self.restored(y), (self.place.x,))


def static(x: Node) -> tuple[int, ...]:
    """The sizes of all axes but N."""
    return tuple(dim for dim in x.shape if isinstance(dim, int))


def layout(layer: str, scope: Scope, x: object, channels: str, *, least: int = 1) -> Layout:
    """The operand of a layer with its channels last.

    Args:
        layer, scope: for messages.
        x: (N, *spatial, channels), or (N, channels, *spatial) where `channels` is "first".
        channels: "last" or "first".
        least: the number of spatial axes.

    Raises:
        GraphError, DTypeError: `x` is not a floating-point node.
        ShapeError: it has other axes, or no elements. SettingError: `channels` is something else.
    """
    node = floats(layer, x)
    place = Place(layer, scope, node, channels == "first")
    if channels not in CHANNELS:
        raise place.wrong(
            "channels are last or first", expected='"last" or "first"', got=repr(channels),
            fix=f'channels="{nearest(str(channels), CHANNELS) or "last"}"',
        )  # fmt: skip
    first, axes = place.first, node.ndim - 2
    if not least <= axes <= 3 or node.shape[:1] != (N,) or N in node.shape[1:]:
        form = "(N, channels, {})" if first else "(N, {}, channels)"
        named = [form.format(", ".join(names)) for names in SPATIAL.values()]
        one = node.shape[:1] == (N,) and axes == 0
        raise place.misfit(
            "needs examples with spatial axes and an axis of channels",
            expected=" or ".join(named) + (", or (N, channels)" if least == 0 else ""),
            got=node.type.sizes,
            fix=f"signals of one channel: expand_dims(x, {1 if first else -1})" if one else None,
        )
    if 0 in node.shape:
        raise place.misfit("the operand has no elements", got=node.type.sizes)
    moved = transpose(node, (0, *range(2, node.ndim), 1)) if first else node
    return Layout(place, moved)


# ---------------------------------------------------------------- arguments


def per_axis(place: Place, name: str, value: object, axes: int, least: int) -> tuple[int, ...]:
    """A number for each spatial axis, of at least `least`. Raises SettingError, ShapeError."""
    single = as_integer(value)
    many = list(value) if isinstance(value, Sequence | np.ndarray) else [None]
    numbers = [as_integer(v) for v in ([single] * axes if single is not None else many)]
    if not numbers or any(v is None or not least <= v < MOST for v in numbers):
        words = f"an integer of at least {least}" + f", or {axes} of them" * (axes > 1)
        raise place.wrong(f"{name} is not {words}", got=repr(value))
    if len(numbers) != axes:
        raise place.misfit(
            f"{name} does not have one entry for each spatial axis",
            expected=f"{axes}, for {' and '.join(SPATIAL[axes])} of {place.x.type.sizes}",
            got=repr(value),
            fix=f"an image of one channel: expand_dims(x, {1 if place.first else -1})"
            if len(numbers) == axes + 1
            else f"{name}={numbers[0]} for all axes",
        )
    return tuple(v for v in numbers if v is not None)


def choice(place: Place, name: str, value: object, allowed: Sequence[str]) -> str:
    """`value`, if it is one of the words. Raises SettingError."""
    if isinstance(value, str) and value in allowed:
        return value
    raise place.wrong(
        f"{name} is not one of its words",
        expected=" or ".join(f'"{word}"' for word in allowed),
        got=repr(value),
        fix=f'{name}="{nearest(str(value), allowed) or allowed[0]}"',
    )


def _sides(place: Place, padding: object, axes: int) -> tuple[tuple[int, int], ...]:
    """Padding that is given by numbers, as a pair (before, after) for each axis."""
    given = padding.tolist() if isinstance(padding, np.ndarray) else padding
    one = as_integer(given)
    entries: list[Any] = (
        [one] * axes
        if one is not None
        else list(given)
        if isinstance(given, Sequence) and not isinstance(given, str)
        else []
    )
    if axes == 1 and len(entries) == 2 and all(as_integer(e) is not None for e in entries):
        entries = [tuple(entries)]
    pairs = [e if isinstance(e, Sequence) and len(e) == 2 else (e, e) for e in entries]
    whole = [(as_integer(a), as_integer(b)) for a, b in pairs]
    right = all(a is not None and b is not None and min(a, b) >= 0 and max(a, b) < MOST
                for a, b in whole)  # fmt: skip
    if len(whole) != axes or not right:
        raise place.wrong(
            "padding does not fit",
            expected='"same", "valid", a number of at least 0, or for each of '
            f"{axes} spatial axes a number or a pair (before, after)",
            got=repr(padding),
            fix='padding="same"',
        )
    return tuple((operator.index(a), operator.index(b)) for a, b in pairs)


# ---------------------------------------------------------------- geometry


@dataclass(frozen=True)
class Geometry:
    """Windows over spatial axes; every field has an entry for each of them.

    Attributes:
        image: the sizes of what the windows are taken of.
        size, stride, dilation: of the windows.
        padding: rows before and after the image.
        beyond: rows behind the padding, which the last windows of the ceil mode reach.
    """

    image: tuple[int, ...]
    size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    beyond: tuple[int, ...]

    @property
    def sides(self) -> tuple[tuple[int, int], ...]:
        """All rows before and after the image."""
        return tuple((a, b + c) for (a, b), c in zip(self.padding, self.beyond, strict=True))

    @property
    def out(self) -> tuple[int, ...]:
        """The number of windows."""
        spans = (span(k, d) for k, d in zip(self.size, self.dilation, strict=True))
        parts = zip(self.image, self.sides, spans, self.stride, strict=True)
        return tuple((n + a + b - k) // s + 1 for n, (a, b), k, s in parts)

    @property
    def pointwise(self) -> bool:
        """Whether each window is one element and each element a window."""
        ones = (1,) * len(self.size)
        return self.size == self.stride == ones and not any(map(any, self.sides))

    def steps(self) -> dict[str, Any]:
        """The settings of `windows` and of `overlap_add`."""
        return {"stride": self.stride, "dilation": self.dilation, "padding": self.sides}

    def covered(self, *, padding: bool) -> Array:
        """The number of elements of each window that are in the image, or in its padding too."""
        counts = np.ones((), int)
        for axis, number in enumerate(self.out):
            before, after = self.padding[axis] if padding else (0, 0)
            first = np.arange(number) * self.stride[axis] - self.padding[axis][0]
            places = first[:, None] + np.arange(self.size[axis]) * self.dilation[axis]
            inside = (places >= -before) & (places < self.image[axis] + after)
            counts = np.multiply.outer(counts, inside.sum(1))
        return counts


def span(size: int, dilation: int) -> int:
    """The rows from the first element of a window to its last."""
    return (size - 1) * dilation + 1


def geometry(
    at: Layout, size: object, stride: object, dilation: object, padding: object, ceil: bool = False
) -> Geometry:
    """The windows of a layer over its operand.

    Raises:
        SettingError: an argument is not valid. ShapeError: a window is larger than the image, or
            there is another number of spatial axes.
    """
    place, axes, image = at.place, len(at.spatial), at.spatial
    sizes = per_axis(place, "size", size, axes, 1)
    strides = per_axis(place, "stride", stride, axes, 1)
    dilations = per_axis(place, "dilation", dilation, axes, 1)
    spans = [span(k, d) for k, d in zip(sizes, dilations, strict=True)]
    word = padding if isinstance(padding, str) else None
    if word == "valid":
        sides = ((0, 0),) * axes
    elif word == "same":
        sides = tuple(map(same, image, spans, strides))
    else:
        sides = _sides(place, padding, axes)
    for axis, (n, (before, after), k) in enumerate(zip(image, sides, spans, strict=True)):
        reach = strides[axis] - 1 if ceil else 0  # rows behind the padding
        if n + before + after + reach < k:
            room = f"{n} of {place.x.type.sizes}"
            raise place.misfit(
                f"a window is longer than the {SPATIAL[axes][axis]}",
                expected=f"at most {n + before + after}: {room}, padding {before} + {after}",
                got=f"{k}: size {sizes[axis]}, dilation {dilations[axis]}",
                fix='padding="same", or a smaller size',
            )
    beyond = (0,) * axes
    if ceil:
        beyond = tuple(map(_beyond, image, sides, spans, strides))
    return Geometry(image, sizes, strides, dilations, sides, beyond)


def same(n: int, span: int, stride: int) -> tuple[int, int]:
    """Padding for `ceil(n / stride)` windows: equal on both sides, an odd row at the end."""
    total = max((math.ceil(n / stride) - 1) * stride + span - n, 0)
    return total // 2, total - total // 2


def _beyond(n: int, sides: tuple[int, int], span: int, stride: int) -> int:
    """Rows for one more window that begins inside of image or padding before it, if it does."""
    before, after = sides
    windows = math.ceil((n + before + after - span) / stride)  # beside the first
    windows -= windows * stride >= n + before
    return max(windows * stride + span - (n + before + after), 0)


def transposed(
    at: Layout, size: object, stride: object, dilation: object, padding: object, more: object
) -> Geometry:
    """The windows over the result of a transposed convolution: one for each of its operand.

    Raises:
        SettingError: an argument is not valid. ShapeError: nothing is left of the result.
    """
    place, axes, counts = at.place, len(at.spatial), at.spatial
    sizes = per_axis(place, "size", size, axes, 1)
    strides = per_axis(place, "stride", stride, axes, 1)
    dilations = per_axis(place, "dilation", dilation, axes, 1)
    extra = per_axis(place, "output_padding", more, axes, 0)
    word = padding if isinstance(padding, str) else None
    rooms = tuple(0 if word == "same" else s - 1 for s in strides)
    if any(e > room for e, room in zip(extra, rooms, strict=True)):
        most = rooms[0] if len({*rooms}) == 1 else rooms
        raise place.wrong(
            "output_padding is below stride, and 0 where padding is same",
            expected=f"0 to {most}" if any(rooms) else "0",
            got=f"output_padding={more!r}, stride={stride!r}, padding={padding!r}",
            fix=f"output_padding={most}",
        )
    spans = [span(k, d) for k, d in zip(sizes, dilations, strict=True)]
    if word == "same":
        image = tuple(n * s for n, s in zip(counts, strides, strict=True))
        sides = tuple(map(same, image, spans, strides))
    else:
        sides = ((0, 0),) * axes if word == "valid" else _sides(place, padding, axes)
        whole = zip(counts, strides, spans, extra, sides, strict=True)
        image = tuple((n - 1) * s + k + e - sum(ends) for n, s, k, e, ends in whole)
    if min(image) < 1:
        raise place.misfit(
            "padding takes away all of the result",
            expected="at least one position on each axis", got=f"{show(image)}, padding {sides}",
            fix="padding=0",
        )  # fmt: skip
    return Geometry(image, sizes, strides, dilations, sides, (0,) * axes)
