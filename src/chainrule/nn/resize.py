"""Larger images of smaller ones: up-sampling, and channels that become pixels."""

from __future__ import annotations

import math

import numpy as np

from chainrule.graph.node import Array, Node
from chainrule.nn.naming import layer_scope
from chainrule.nn.spatial import Size, choice, layout, per_axis, static
from chainrule.ops.build import constant
from chainrule.ops.index import take
from chainrule.ops.join import concat, stack
from chainrule.ops.shape import repeat, reshape, transpose
from chainrule.system.checks import flag
from chainrule.types import show

METHODS = ("nearest", "linear")


def upsample(
    x: Node,
    factor: Size | None = None,
    *,
    size: Size | None = None,
    method: str = "nearest",
    align_corners: bool = False,
    channels: str = "last",
    name: str | None = None,
) -> Node:
    """`x` with more positions on every spatial axis, from the nearest one or by interpolation.

    Position k of m, of n, is read at `(k + 1/2) n / m - 1/2` where `align_corners` is False: then
    the outer edges of the first and the last pixel keep their places, and what is before the
    first pixel or behind the last is that pixel. With `align_corners` it is `k (n - 1) / (m - 1)`:
    their centres keep their places. "nearest" takes pixel `floor(k n / m)`, as PyTorch's does.

    Args:
        x: as in `conv`.
        factor: how many times larger: an integer, or one for each spatial axis.
        size: of the result, in place of `factor`; it may also be smaller.
        method: "nearest", or "linear": linear along each axis, so bilinear for images.
        align_corners: see above; only for "linear".
        channels: "last" or "first".
        name: of the layer.

    Raises:
        SettingError: an argument is not valid, or not one of `factor` and `size` is given.
        ShapeError: `x` has other axes. DTypeError: it is not floating point.
    """
    scope = layer_scope(name, "upsample")
    given = layout("upsample", scope, x, channels)
    place, axes = given.place, len(given.spatial)
    linear = choice(place, "method", method, METHODS) == "linear"
    align = flag("upsample", "align_corners", align_corners)
    if align and not linear:
        raise place.wrong("align_corners is for linear", got=repr(method), fix='method="linear"')
    if (factor is None) == (size is None):
        raise place.wrong(
            "either factor or size", got=f"factor={factor!r}, size={size!r}", fix="factor=2"
        )
    if size is None:
        factors = per_axis(place, "factor", factor, axes, 1)
        sizes = tuple(n * f for n, f in zip(given.spatial, factors, strict=True))
    else:
        sizes = per_axis(place, "size", size, axes, 1)
    y = given.x
    for axis, m in enumerate(sizes, start=1):
        y = _stretched(y, axis, m, linear, align)
    return given.layer(y)


def pixel_shuffle(
    x: Node, factor: Size, *, channels: str = "last", name: str | None = None
) -> Node:
    """Channels as pixels: (N, h, w, c * r * r) becomes (N, h * r, w * r, c).

    Channel `(k * r + i) * r + j` of a pixel becomes channel k of row i and column j of the block
    of r x r pixels in its place: PyTorch's order.

    Args:
        x: as in `conv`, also with one or three spatial axes.
        factor: r: an integer, or one for each spatial axis.
        channels: "last" or "first".
        name: of the layer.

    Raises:
        ShapeError: the number of channels is not a multiple of the size of a block, or `x` has
            other axes. SettingError: `factor` is not valid. DTypeError: not floating point.
    """
    scope = layer_scope(name, "pixel_shuffle")
    given = layout("pixel_shuffle", scope, x, channels)
    blocks = per_axis(given.place, "factor", factor, len(given.spatial), 1)
    block, d = math.prod(blocks), len(blocks)
    if given.channels % block:
        raise given.place.misfit(
            "the channels do not make blocks of pixels",
            expected=f"a multiple of {block} channels, for factor {factor}",
            got=f"{given.channels} of {given.place.x.type.sizes}",
            fix=f"a convolution before it with {-(-given.channels // block) * block} filters",
        )
    k = given.channels // block
    apart = reshape(given.x, (*given.x.shape[:-1], k, *blocks))  # (N, h, w, k, r, r)
    order = [0, *(a for s in range(d) for a in (1 + s, 2 + d + s)), 1 + d]
    sizes = (n * r for n, r in zip(given.spatial, blocks, strict=True))
    y = reshape(transpose(apart, order), (given.x.shape[0], *sizes, k))
    return given.layer(y)


def pixel_unshuffle(
    x: Node, factor: Size, *, channels: str = "last", name: str | None = None
) -> Node:
    """Pixels as channels, the inverse of `pixel_shuffle`: (N, h * r, w * r, c) to
    (N, h, w, c * r * r).

    Args:
        x, factor, channels, name: as in `pixel_shuffle`.

    Raises:
        ShapeError: `factor` does not divide the size of a spatial axis; else as `pixel_shuffle`.
    """
    scope = layer_scope(name, "pixel_unshuffle")
    given = layout("pixel_unshuffle", scope, x, channels)
    blocks = per_axis(given.place, "factor", factor, len(given.spatial), 1)
    d = len(blocks)
    if any(n % r for n, r in zip(given.spatial, blocks, strict=True)):
        raise given.place.misfit(
            "the pixels do not make blocks",
            expected=f"multiples of {show(blocks)} pixels",
            got=f"{show(given.spatial)} of {given.place.x.type.sizes}",
        )
    small = tuple(n // r for n, r in zip(given.spatial, blocks, strict=True))
    between = [size for pair in zip(small, blocks, strict=True) for size in pair]
    apart = reshape(given.x, (given.x.shape[0], *between, given.channels))
    order = [0, *range(1, 2 * d, 2), 2 * d + 1, *range(2, 2 * d + 1, 2)]
    y = reshape(
        transpose(apart, order), (given.x.shape[0], *small, given.channels * math.prod(blocks))
    )
    return given.layer(y)


# ---------------------------------------------------------------- along one axis


def _stretched(x: Node, axis: int, m: int, linear: bool, align: bool) -> Node:
    """`x` with `m` positions along an axis."""
    n = static(x)[axis - 1]
    if n == m:
        return x
    whole = m % n == 0
    if not linear:
        if whole:
            return repeat(x, m // n, axis)
        return take(x, constant(np.arange(m, dtype=np.int32) * n // m), axis)
    if whole and not align:
        return _interpolated(x, axis, m // n)
    first, second, share = _between(n, m, align)
    weights = constant(share.astype(x.dtype).reshape(-1, *(1,) * (x.ndim - axis - 1)))
    left, right = (take(x, constant(k), axis) for k in (first, second))
    return left * (1 - weights) + right * weights


def _interpolated(x: Node, axis: int, times: int) -> Node:
    """Linear interpolation at `times` places in each pixel, of the pixel and its neighbours."""
    n, lead = static(x)[axis - 1], (slice(None),) * axis
    before = concat([x[(*lead, slice(0, 1))], x[(*lead, slice(0, n - 1))]], axis)
    after = concat([x[(*lead, slice(1, n))], x[(*lead, slice(n - 1, n))]], axis)
    places = []
    for k in range(times):
        away = (k + 0.5) / times - 0.5  # from the centre of the pixel
        near = before if away < 0 else after
        places.append(x if away == 0 else x * (1 - abs(away)) + near * abs(away))
    y = stack(places, axis + 1)  # (..., n, times, ...)
    return reshape(y, (*x.shape[:axis], n * times, *x.shape[axis + 1 :]))


def _between(n: int, m: int, align: bool) -> tuple[Array, Array, Array]:
    """For each of `m` positions the two pixels of `n` around it, and the second one's share."""
    k = np.arange(m)
    at = k * (n - 1) / max(m - 1, 1) if align else np.clip((k + 0.5) * n / m - 0.5, 0, n - 1)
    first = np.minimum(np.floor(at).astype(np.int32), n - 1)
    return first, np.minimum(first + 1, n - 1), at - first
