"""Convolutions of signals, images and volumes: products of windows and weights."""

from __future__ import annotations

import math
from collections.abc import Callable

from chainrule.graph.node import Node
from chainrule.nn.arguments import (
    Activation,
    activated,
    activation_name,
    add_bias,
    new_parameter,
    positive,
)
from chainrule.nn.init import InitSpec, grouped
from chainrule.nn.naming import layer_scope
from chainrule.nn.spatial import (
    Geometry,
    Layout,
    Padding,
    Size,
    geometry,
    layout,
    static,
    transposed,
)
from chainrule.ops.contract import matmul
from chainrule.ops.einsum import einsum
from chainrule.ops.shape import reshape
from chainrule.ops.softmax import log_softmax, softmax
from chainrule.ops.windows import overlap_add, windows
from chainrule.types import TensorType

SPACE, WINDOW = "xyz", "uvw"
"""The labels of the spatial axes of images and of windows in equations."""


def conv(
    x: Node,
    filters: int,
    size: Size,
    activation: Activation = None,
    *,
    stride: Size = 1,
    padding: Padding = "same",
    dilation: Size = 1,
    groups: int = 1,
    bias: bool | InitSpec = True,
    init: InitSpec = None,
    channels: str = "last",
    trainable: bool = True,
    name: str | None = None,
) -> Node:
    """A convolution: at each position, the products of a window of `x` with each filter, summed.

    The number of spatial axes of `x`, 1 to 3, says which kind it is: of signals, images or
    volumes. As in all frameworks the filter is not mirrored (it is a cross-correlation). The
    weights are `name.w`, (*size, channels / groups, filters), the bias is `name.b`, (filters,),
    and `name.z` goes into the activation. The random initial weights are right for the number of
    elements in a window.

    Args:
        x: (N, length, channels), (N, height, width, channels) or (N, depth, height, width,
            channels); with `channels="first"` the channels stand after N.
        filters: the number of channels of the result.
        size: of the windows: an integer, or one for each spatial axis.
        activation: as in `dense`; softmax is taken over the channels.
        stride: the distance between windows: an integer, or one for each spatial axis.
        padding: zeros around `x`. "same": so many that n positions give `ceil(n / stride)`,
            equal on both sides, an odd one at the end. "valid": none. A number for all sides, or
            for each spatial axis a number or a pair (before, after).
        dilation: the distance between the elements of a window.
        groups: channels and filters are cut into so many groups, and each group of filters sees
            one group of channels.
        bias, init, trainable, name: as in `dense`.
        channels: "last" or "first": the axis of channels in `x` and in the result.

    Raises:
        SettingError: an argument is not valid, or `groups` does not divide channels and filters.
        ShapeError: `x` has other axes, or a window is longer than `x` and its padding.
        DTypeError: `x` is not floating point.
    """
    scope = layer_scope(name, "conv")
    given = layout("conv", scope, x, channels)
    o = positive("conv", "filters", filters)
    g = _groups(given, groups, o)
    shape = geometry(given, size, stride, dilation, padding)
    w = new_parameter(
        scope, ".w", TensorType((*shape.size, given.channels // g, o), x.dtype),
        grouped(init, activation_name(activation), g), trainable=trainable,
    )  # fmt: skip
    return _finish(given, _convolved(given.x, w, shape, g), activation, bias, trainable)


def depthwise_conv(
    x: Node,
    size: Size,
    activation: Activation = None,
    *,
    multiplier: int = 1,
    stride: Size = 1,
    padding: Padding = "same",
    dilation: Size = 1,
    bias: bool | InitSpec = True,
    init: InitSpec = None,
    channels: str = "last",
    trainable: bool = True,
    name: str | None = None,
) -> Node:
    """A convolution of each channel by itself, with `multiplier` filters of its own.

    The result has `channels * multiplier` channels, those of the first channel first. It is
    `conv` with as many groups as channels; its weights are (*size, 1, channels * multiplier).

    Args:
        x, size, activation, stride, padding, dilation, bias, init, channels, trainable, name: as
            in `conv`.
        multiplier: the number of filters of each channel.

    Raises:
        SettingError, ShapeError, DTypeError: as `conv`.
    """
    scope = layer_scope(name, "depthwise_conv")
    given = layout("depthwise_conv", scope, x, channels)
    o = given.channels * positive("depthwise_conv", "multiplier", multiplier)
    shape = geometry(given, size, stride, dilation, padding)
    w = new_parameter(
        scope, ".w", TensorType((*shape.size, 1, o), x.dtype),
        grouped(init, activation_name(activation), given.channels), trainable=trainable,
    )  # fmt: skip
    y = _convolved(given.x, w, shape, given.channels)
    return _finish(given, y, activation, bias, trainable)


def separable_conv(
    x: Node,
    filters: int,
    size: Size,
    activation: Activation = None,
    *,
    multiplier: int = 1,
    stride: Size = 1,
    padding: Padding = "same",
    dilation: Size = 1,
    bias: bool | InitSpec = True,
    init: InitSpec = None,
    channels: str = "last",
    trainable: bool = True,
    name: str | None = None,
) -> Node:
    """A depthwise convolution without bias, then one of size 1 that mixes the channels.

    It has far fewer weights and products than `conv` of that size. The first layer is named
    `name.depthwise`; the second has the name, the bias and the activation.

    Args:
        x, filters, size, activation, stride, padding, dilation, bias, init, channels, trainable,
            name: as in `conv`; `init` is that of both.
        multiplier: as in `depthwise_conv`.

    Raises:
        SettingError, ShapeError, DTypeError: as `conv`.
    """
    apart = depthwise_conv(
        x, size, multiplier=multiplier, stride=stride, padding=padding, dilation=dilation,
        bias=False, init=init, channels=channels, trainable=trainable,
        name=None if name is None else f"{name}.depthwise",
    )  # fmt: skip
    return conv(
        apart, filters, 1, activation, bias=bias, init=init, channels=channels,
        trainable=trainable, name=name,
    )  # fmt: skip


def conv_transpose(
    x: Node,
    filters: int,
    size: Size,
    activation: Activation = None,
    *,
    stride: Size = 1,
    padding: Padding = "same",
    output_padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
    bias: bool | InitSpec = True,
    init: InitSpec = None,
    channels: str = "last",
    trainable: bool = True,
    name: str | None = None,
) -> Node:
    """The transposed convolution: each element of `x` adds a filter, times itself, to a window.

    It is the gradient of a convolution with that stride, padding and dilation with respect to
    its operand, and makes images larger. The weights are `name.w`, (*size, channels / groups,
    filters); their random initial values take into account that only about `size / stride`
    elements reach a position.

    Args:
        x: as in `conv`.
        filters: the number of channels of the result.
        size, stride, dilation: of the windows in the result.
        padding: what the convolution would have. "same": the result has `size * stride`
            positions. "valid" or 0: all positions that are reached, `(size of x - 1) * stride +
            dilation * (size - 1) + 1`. Numbers as in `conv` take as many positions away.
        output_padding: positions to add at the end, below `stride`: several sizes of a result
            have the same size under a convolution with a stride. Not with "same".
        activation, groups, bias, init, channels, trainable, name: as in `conv`.

    Raises:
        SettingError: as `conv`, or `output_padding` is not below `stride`.
        ShapeError: as `conv`, or nothing is left of the result.
    """
    scope = layer_scope(name, "conv_transpose")
    given = layout("conv_transpose", scope, x, channels)
    o = positive("conv_transpose", "filters", filters)
    g = _groups(given, groups, o)
    shape = transposed(given, size, stride, dilation, padding, output_padding)
    rare = math.prod(min(k, s) for k, s in zip(shape.size, shape.stride, strict=True))
    w = new_parameter(
        scope, ".w", TensorType((*shape.size, given.channels // g, o), x.dtype),
        grouped(init, activation_name(activation), g, gain=rare**0.5), trainable=trainable,
    )  # fmt: skip
    y = _spread(given.x, w, shape, g)
    return _finish(given, y, activation, bias, trainable)


# ---------------------------------------------------------------- what they share


def _convolved(x: Node, w: Node, shape: Geometry, groups: int) -> Node:
    """The products of windows and weights, summed: (N, *out, filters)."""
    i, o = static(w)[-2:]
    if groups == 1 and shape.pointwise:
        return matmul(x, reshape(w, (i, o)))  # each position by itself
    axes, size = len(shape.size), shape.size
    seen = windows(x, size, **shape.steps())  # (N, *out, *size, channels)
    n, k = "n" + SPACE[:axes], WINDOW[:axes]
    if groups == 1:
        return einsum(f"{n}{k}i,{k}io->{n}o", seen, w)
    if i == 1 and groups == o:
        return einsum(f"{n}{k}o,{k}o->{n}o", seen, reshape(w, (*size, o)))
    if i == 1:
        y = einsum(f"{n}{k}g,{k}go->{n}go", seen, reshape(w, (*size, groups, o // groups)))
    else:
        parts = windows(reshape(x, (*x.shape[:-1], groups, i)), size, **shape.steps())
        y = einsum(f"{n}{k}gi,{k}igo->{n}go", parts, reshape(w, (*size, i, groups, o // groups)))
    return reshape(y, (*y.shape[:-2], o))


def _spread(x: Node, w: Node, shape: Geometry, groups: int) -> Node:
    """The adjoint of `_convolved`: products of elements and filters, added where they overlap."""
    i, o = static(w)[-2:]
    axes = len(shape.size)
    n, k = "n" + SPACE[:axes], WINDOW[:axes]
    if groups == 1:
        products = einsum(f"{n}i,{k}io->{n}{k}o", x, w)  # (N, *in, *size, filters)
    else:
        parts = reshape(x, (*x.shape[:-1], groups, i))
        filters = reshape(w, (*shape.size, i, groups, o // groups))
        products = einsum(f"{n}gi,{k}igo->{n}{k}go", parts, filters)
    y = overlap_add(products, shape.image, **shape.steps())
    return y if groups == 1 else reshape(y, (*y.shape[:-2], o))


def _finish(
    given: Layout, z: Node, activation: Activation, bias: bool | InitSpec, trainable: bool
) -> Node:
    """The layer: the result of its products, with bias, axes restored, and activation."""
    place = given.place
    z = given.restored(add_bias(place.layer, place.scope, z, bias, trainable))
    over: dict[str, Callable[[Node], Node]] = {
        "softmax": lambda y: softmax(y, 1), "log_softmax": lambda y: log_softmax(y, 1)
    }  # fmt: skip
    if given.first and isinstance(activation, str):
        activation = over.get(activation, activation)
    return activated(place.layer, place.scope, z, activation, (place.x,))


def _groups(given: Layout, groups: object, filters: int) -> int:
    """The number of groups. Raises SettingError where it does not divide both sides."""
    place = given.place
    count = positive(place.layer, "groups", groups)
    if given.channels % count or filters % count:
        common = [
            k
            for k in range(1, min(count, given.channels) + 1)
            if given.channels % k == filters % k == 0
        ]
        raise place.wrong(
            "groups do not divide channels and filters",
            expected=f"a divisor of {given.channels} channels of {place.x.type.sizes} "
            f"and of {filters} filters",
            got=count,
            fix=f"groups={max(common)}",
        )
    return count
