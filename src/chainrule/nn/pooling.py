"""Pooling: maxima and means of windows, of a whole image, and of a given number of parts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from chainrule.graph.node import Array, Node
from chainrule.nn.naming import as_layer, layer_scope
from chainrule.nn.spatial import Geometry, Layout, Padding, Size, choice, geometry, layout, per_axis
from chainrule.ops import reduce
from chainrule.ops.build import constant
from chainrule.ops.einsum import einsum
from chainrule.ops.index import take
from chainrule.ops.shape import reshape
from chainrule.ops.windows import windows
from chainrule.system.checks import flag
from chainrule.types import show

KINDS = ("mean", "max")


def max_pool(
    x: Node,
    size: Size,
    *,
    stride: Size | None = None,
    padding: Padding = "valid",
    dilation: Size = 1,
    ceil: bool = False,
    channels: str = "last",
    name: str | None = None,
) -> Node:
    """The largest element of each window of each channel.

    Padding never wins: it counts as -infinity. Equal largest elements of a window share its
    gradient equally (PyTorch gives it to the first of them). NaN where an element is NaN.

    Args:
        x: as in `conv`.
        size: of the windows: an integer, or one for each spatial axis.
        stride: the distance between windows; None: `size`, so that they do not overlap.
        padding: as in `conv`: "valid", "same" or numbers.
        dilation: the distance between the elements of a window.
        ceil: whether a last window that reaches beyond `x` and its padding counts; the number of
            windows is then rounded up. As in PyTorch it has to begin inside of `x` or of the
            padding before it.
        channels: "last" or "first".
        name: of the layer.

    Raises:
        SettingError: an argument is not valid. DTypeError: `x` is not floating point.
        ShapeError: `x` has other axes, a window is longer than `x` and its padding, or one has
            nothing but padding.
    """
    scope = layer_scope(name, "max_pool")
    given = layout("max_pool", scope, x, channels)
    shape = _windows(given, size, stride, dilation, padding, ceil)
    seen = windows(given.x, shape.size, **shape.steps(), fill=-np.inf)
    y = reduce.max(seen, _inside(given))
    return given.layer(y)


def average_pool(
    x: Node,
    size: Size,
    *,
    stride: Size | None = None,
    padding: Padding = "valid",
    ceil: bool = False,
    count_padding: bool = False,
    channels: str = "last",
    name: str | None = None,
) -> Node:
    """The mean of each window of each channel.

    Args:
        x, size, stride, padding, ceil, channels, name: as in `max_pool`.
        count_padding: whether zeros of the padding count as elements of a window (PyTorch's
            default), or the mean is of those of `x` alone (TensorFlow's convention). What a last
            window of the ceil mode has beyond the padding never counts.

    Raises:
        SettingError, DTypeError: as `max_pool`.
        ShapeError: as `max_pool`.
    """
    scope = layer_scope(name, "average_pool")
    given = layout("average_pool", scope, x, channels)
    counting = flag("average_pool", "count_padding", count_padding)
    shape = _windows(given, size, stride, 1, padding, ceil)
    total = reduce.sum(windows(given.x, shape.size, **shape.steps()), _inside(given))
    counts = shape.covered(padding=counting)
    alike = counts.min() == counts.max()
    divisor = counts.flat[0] if alike else counts[..., None]
    y = total / constant(np.asarray(divisor, x.dtype))
    return given.layer(y)


def global_pool(
    x: Node, kind: str = "mean", *, channels: str = "last", name: str | None = None
) -> Node:
    """The mean or the maximum of each channel over the whole image: (N, channels).

    Args:
        x: as in `conv`.
        kind: "mean" or "max".
        channels: "last" or "first".
        name: of the layer.

    Raises:
        SettingError, DTypeError, ShapeError: as `max_pool`.
    """
    scope = layer_scope(name, "global_pool")
    given = layout("global_pool", scope, x, channels)
    combine = _combine(given, kind)
    y = combine(given.x, tuple(range(1, given.x.ndim - 1)))
    return as_layer(scope, y, (given.place.x,))  # the channels are the only axis left


def adaptive_pool(
    x: Node, size: Size, kind: str = "mean", *, channels: str = "last", name: str | None = None
) -> Node:
    """The mean or the maximum of each of `size` parts along every spatial axis.

    Part k of m along n elements goes from `floor(k n / m)` to `ceil((k + 1) n / m)`, the latter
    left out: parts overlap by one element where m does not divide n, as in PyTorch.

    Args:
        x: as in `conv`.
        size: of the result: an integer, or one for each spatial axis.
        kind: "mean" or "max".
        channels: "last" or "first".
        name: of the layer.

    Raises:
        SettingError, DTypeError, ShapeError: as `max_pool`.
    """
    scope = layer_scope(name, "adaptive_pool")
    given = layout("adaptive_pool", scope, x, channels)
    sizes = per_axis(given.place, "size", size, len(given.spatial), 1)
    combine, y = _combine(given, kind), given.x
    for axis, (n, m) in enumerate(zip(given.spatial, sizes, strict=True), start=1):
        if n % m == 0:  # equal parts: (N, ..., m, n / m, ...)
            y = combine(reshape(y, (*y.shape[:axis], m, n // m, *y.shape[axis + 1 :])), (axis + 1,))
        elif kind == "max":
            y = combine(take(y, constant(_members(n, m)), axis), (axis + 1,))
        else:
            y = _averaged(y, axis, _shares(n, m))
    return given.layer(y)


# ---------------------------------------------------------------- what they share


def _windows(
    given: Layout, size: object, stride: object, dilation: object, padding: object, ceil: object
) -> Geometry:
    """The windows of a pooling layer. Raises ShapeError where one has nothing but padding."""
    place = given.place
    up = flag(place.layer, "ceil", ceil)
    shape = geometry(given, size, size if stride is None else stride, dilation, padding, up)
    if not shape.covered(padding=False).all():
        raise place.misfit(
            "a window has nothing but padding",
            expected="an element of the operand in each window",
            got=f"size {show(shape.size)}, padding {shape.padding} of {place.x.type.sizes}",
            fix='padding="same"',
        )
    return shape


def _inside(given: Layout) -> tuple[int, ...]:
    """The axes of a window: (N, *out, *size, channels)."""
    d = len(given.spatial)
    return tuple(range(1 + d, 1 + 2 * d))


def _combine(given: Layout, kind: object) -> Callable[[Node, tuple[int, ...]], Node]:
    word = choice(given.place, "kind", kind, KINDS)
    return reduce.mean if word == "mean" else reduce.max


def _parts(n: int, m: int) -> list[tuple[int, int]]:
    """The first element and the end of each of `m` parts of `n` elements."""
    return [(k * n // m, -(-(k + 1) * n // m)) for k in range(m)]


def _members(n: int, m: int) -> Array:
    """The elements of each part, (m, longest); those of shorter parts have the last one again."""
    parts = _parts(n, m)
    longest = max(end - first for first, end in parts)
    rows = [[min(first + j, end - 1) for j in range(longest)] for first, end in parts]
    return np.array(rows, np.int32)


def _shares(n: int, m: int) -> Array:
    """The share of each element in the mean of each part, (n, m)."""
    shares = np.zeros((n, m))
    for k, (first, end) in enumerate(_parts(n, m)):
        shares[first:end, k] = 1 / (end - first)
    return shares


def _averaged(y: Node, axis: int, shares: Array) -> Node:
    labels = "nxyzc"[: y.ndim]
    out = labels[:axis] + "m" + labels[axis + 1 :]
    return einsum(f"{labels},{labels[axis]}m->{out}", y, constant(shares.astype(y.dtype)))
