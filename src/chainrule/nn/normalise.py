"""Normalisation layers: batch, layer, root mean square, instance, group, and over neighbours."""

from __future__ import annotations

import numpy as np

from chainrule.errors import ShapeError
from chainrule.graph.node import Node, Scope
from chainrule.nn.arguments import between, features, new_parameter, operand_at, positive
from chainrule.nn.naming import as_layer, layer_scope
from chainrule.nn.spatial import Layout, layout
from chainrule.ops import bounds, reduce
from chainrule.ops.build import cast
from chainrule.ops.compare import greater
from chainrule.ops.elementwise import rsqrt, square
from chainrule.ops.mode import count, tracked, when_training
from chainrule.ops.moments import var
from chainrule.ops.shape import reshape
from chainrule.ops.windows import windows
from chainrule.types import N, TensorType, static_size


def batch_norm(
    x: Node,
    *,
    momentum: float = 0.9,
    epsilon: float = 1e-5,
    channels: str = "last",
    trainable: bool = True,
    name: str | None = None,
) -> Node:
    """Each feature with mean 0 and variance 1 over the minibatch, times a scale, plus a shift.

    In training, mean and variance are those of the minibatch, over all axes but the last; in
    prediction, running ones, `name.running_mean` and `name.running_var`, which each training
    step updates. They are plain averages of the first steps, then exponential ones: the old
    value's share is `momentum`, but at most `(steps - 1) / steps`, counted by `name.steps`; so
    they are usable from the first step on. The running variance is the unbiased one,
    with n - 1. A minibatch of one row has none and leaves it as it is; its own result is `shift`.

    Args:
        x: (N, i) or (N, ..., i).
        momentum: of the running statistics, between 0 and 1.
        epsilon: added to the variance.
        channels: "last", or "first" for (N, i, ...), such as (N, channels, height, width).
        trainable: whether `name.scale` and `name.shift`, (i,), are trained.
        name: of the layer.

    Source: S. Ioffe and C. Szegedy, Batch normalization, ICML 2015.

    Raises:
        ShapeError: `x` has no batch axis or no axis of features. DTypeError: it is not floating.
        SettingError: momentum, epsilon or `channels` is not valid.
    """
    scope = layer_scope(name, "batch_norm")
    given = None if channels == "last" else layout("batch_norm", scope, x, channels, least=0)
    x, _ = features("batch_norm", x if given is None else given.x)
    if x.ndim < 2 or x.shape[0] is not N:
        raise ShapeError(
            "batch_norm",
            "there is no batch axis to take statistics over",
            expected="(N, features) or (N, ..., features)",
            got=x.type.sizes,
            at=operand_at(x),
        )
    keep = between("batch_norm", "momentum", momentum, 0, 1)
    epsilon = between("batch_norm", "epsilon", epsilon, 0, np.inf)
    axes = tuple(range(x.ndim - 1))
    mean, variance = reduce.mean(x, axes), var(x, axes)  # (N, i) -> (i,)
    running = _running(scope, mean, variance, count(tuple(x.shape[a] for a in axes), x.dtype), keep)
    centre = when_training(mean, running[0])
    spread = when_training(variance, running[1])
    y = (x - centre) * rsqrt(spread + epsilon)
    return _finish(scope, y, x, trainable, shift=True, given=given)


def _running(scope: Scope, mean: Node, variance: Node, n: Node, keep: float) -> tuple[Node, Node]:
    """The running mean and variance before this step, which updates them."""
    per_feature, number = mean.type, TensorType((), mean.dtype)
    m = new_parameter(scope, ".running_mean", per_feature, "zeros", trainable=False)
    v = new_parameter(scope, ".running_var", per_feature, "ones", trainable=False)
    steps = new_parameter(scope, ".steps", number, "zeros", trainable=False)
    before = tracked(steps, steps + 1)
    share = bounds.maximum(1 - keep, 1 / (before + 1))
    several = cast(greater(n, 1), n.dtype)
    unbiased = variance * (n / bounds.maximum(n - 1, 1))
    return (
        tracked(m, m + share * (mean - m)),
        tracked(v, v + share * several * (unbiased - v)),
    )


def layer_norm(
    x: Node,
    *,
    epsilon: float = 1e-5,
    trainable: bool = True,
    name: str | None = None,
) -> Node:
    """Each example with mean 0 and variance 1 over its features, times a scale, plus a shift.

    It is the same in training and prediction. `name.scale` and `name.shift` are (i,).

    Args:
        x: (N, i) or (N, ..., i), with i of at least 2.
        epsilon: added to the variance.
        trainable: whether scale and shift are trained.
        name: of the layer.

    Source: J. L. Ba, J. R. Kiros and G. E. Hinton, Layer normalization, arXiv:1607.06450.

    Raises:
        ShapeError: `x` has no axis of features, or one feature. DTypeError: it is not floating.
    """
    x, width = features("layer_norm", x)
    if width == 1:
        raise ShapeError(
            "layer_norm",
            "over one feature every value becomes 0",
            expected="(N, ..., 2 features or more)",
            got=x.type.sizes,
            at=operand_at(x),
        )
    epsilon = between("layer_norm", "epsilon", epsilon, 0, np.inf)
    centred = x - reduce.mean(x, -1, keepdims=True)
    size = rsqrt(var(x, -1, keepdims=True) + epsilon)
    return _finish(layer_scope(name, "layer_norm"), centred * size, x, trainable, shift=True)


def rms_norm(
    x: Node,
    *,
    epsilon: float = 1e-6,
    trainable: bool = True,
    name: str | None = None,
) -> Node:
    """Each example divided by the root mean square of its features, times a scale.

    It is the same in training and prediction. `name.scale` is (i,). Arguments as in `layer_norm`.

    Source: B. Zhang and R. Sennrich, Root mean square layer normalization, NeurIPS 2019.
    """
    x, _ = features("rms_norm", x)
    epsilon = between("rms_norm", "epsilon", epsilon, 0, np.inf)
    size = rsqrt(reduce.mean(square(x), -1, keepdims=True) + epsilon)
    return _finish(layer_scope(name, "rms_norm"), x * size, x, trainable, shift=False)


# ---------------------------------------------------------------- of images


def instance_norm(
    x: Node,
    *,
    epsilon: float = 1e-5,
    channels: str = "last",
    trainable: bool = True,
    name: str | None = None,
) -> Node:
    """Each channel of each example with mean 0 and variance 1, times a scale, plus a shift.

    Mean and variance are over the spatial axes. It is the same in training and prediction.
    `name.scale` and `name.shift` are (channels,).

    Args:
        x: (N, length, channels), (N, height, width, channels), or with one axis more.
        epsilon: added to the variance.
        channels: "last", or "first" for (N, channels, height, width).
        trainable: whether scale and shift are trained.
        name: of the layer.

    Source: D. Ulyanov, A. Vedaldi and V. Lempitsky, Instance normalization, arXiv:1607.08022.

    Raises:
        ShapeError: `x` has other axes, or one position. DTypeError: it is not floating.
        SettingError: an argument is not valid.
    """
    scope = layer_scope(name, "instance_norm")
    given = layout("instance_norm", scope, x, channels)
    return _grouped(given, given.channels, epsilon, trainable)


def group_norm(
    x: Node,
    groups: int,
    *,
    epsilon: float = 1e-5,
    channels: str = "last",
    trainable: bool = True,
    name: str | None = None,
) -> Node:
    """Each group of channels of each example with mean 0 and variance 1, scaled and shifted.

    Mean and variance are over the spatial axes and the channels of a group, which follow each
    other. It is the same in training and prediction. `name.scale` and `name.shift` are
    (channels,).

    Args:
        x: (N, channels), or as in `instance_norm`.
        groups: the number of groups.
        epsilon, channels, trainable, name: as in `instance_norm`.

    Source: Y. Wu and K. He, Group normalization, ECCV 2018.

    Raises:
        SettingError: `groups` does not divide the channels, or an argument is not valid.
        ShapeError: `x` has other axes, or a group has one element. DTypeError: not floating.
    """
    scope = layer_scope(name, "group_norm")
    given = layout("group_norm", scope, x, channels, least=0)
    count = positive("group_norm", "groups", groups)
    if given.channels % count:
        most = max(k for k in range(1, count) if given.channels % k == 0)
        raise given.place.wrong(
            "groups do not divide the channels",
            expected=f"a divisor of {given.channels} channels of {given.place.x.type.sizes}",
            got=count,
            fix=f"groups={most}",
        )
    return _grouped(given, count, epsilon, trainable)


def _grouped(given: Layout, groups: int, epsilon: float, trainable: bool) -> Node:
    """Normalised over the positions and the channels of each group."""
    place, x = given.place, given.x
    epsilon = between(place.layer, "epsilon", epsilon, 0, np.inf)
    members = given.channels // groups
    if static_size(given.spatial) * members == 1:
        raise place.misfit(
            "over one element every value becomes 0",
            expected="two positions or channels of a group, or more",
            got=f"{place.x.type.sizes} in {groups} groups",
        )
    apart = reshape(x, (*x.shape[:-1], groups, members))
    axes = (*range(1, x.ndim - 1), x.ndim)
    centred = apart - reduce.mean(apart, axes, keepdims=True)
    y = centred * rsqrt(var(apart, axes, keepdims=True) + epsilon)
    return _finish(place.scope, reshape(y, x.shape), x, trainable, shift=True, given=given)


def local_response_norm(
    x: Node,
    size: int = 5,
    *,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    channels: str = "last",
    name: str | None = None,
) -> Node:
    """`x / (k + alpha * m) ** beta`, where m is the mean square of the neighbouring channels.

    The neighbours of a channel are `size` channels around it, itself included: `size // 2`
    before it, those beyond the first and the last counting as 0. As in PyTorch, alpha is divided
    by `size`; the original and TensorFlow take the sum of squares, with `alpha / size` here.

    Args:
        x: (N, channels), or as in `instance_norm`.
        size: the number of neighbouring channels.
        alpha, beta, k: see above.
        channels, name: as in `instance_norm`.

    Source: A. Krizhevsky, I. Sutskever and G. Hinton, ImageNet classification, NeurIPS 2012.

    Raises:
        SettingError: an argument is not valid. ShapeError: `x` has other axes.
        DTypeError: it is not floating.
    """
    where, scope = "local_response_norm", layer_scope(name, "local_response_norm")
    given = layout(where, scope, x, channels, least=0)
    around = positive(where, "size", size)
    share = between(where, "alpha", alpha, 0, np.inf) / around
    beta, k = between(where, "beta", beta, 0, np.inf), between(where, "k", k, 0, np.inf)
    sides = (around // 2, (around - 1) // 2)
    near = windows(square(given.x), around, padding=[sides], axis=given.x.ndim - 1)
    y = given.x / (k + share * reduce.sum(near, -1)) ** beta
    return given.layer(y)


def _finish(
    scope: Scope, y: Node, x: Node, trainable: bool, *, shift: bool, given: Layout | None = None
) -> Node:
    """The layer on `x`: `y` times a scale, plus a shift where requested, its axes restored."""
    per_feature = TensorType(x.shape[-1:], x.dtype)
    y = y * new_parameter(scope, ".scale", per_feature, "ones", trainable=trainable)
    if shift:
        y = y + new_parameter(scope, ".shift", per_feature, "zeros", trainable=trainable)
    return as_layer(scope, y, (x,)) if given is None else given.layer(y)
