"""Losses: one number that measures the error of predictions against their targets.

Every loss is a mean over the examples, and over the values of an example where it has several.
With weights it is `sum(weights * loss) / sum(weights)`, and 0 where all weights are 0. Weights
are (N,), or extend along the axes of the target: (N, t) weights every step of a sequence.
A mask is weights of 0 and 1; the value of a target of weight 0 is ignored, even NaN.

The sums are those over the data set. In training a minibatch is not divided by the sum of its
own weights, but by its number of rows times the mean weight of a training row. So an example
counts the same in every minibatch: the objective depends neither on the batch size nor on the
order of the rows, and an epoch's mean loss is the weighted mean over its rows. This holds for
weights that the data decide: sample weights, class weights, masks and `ignore_index`. Weights
that parameters or random numbers decide are divided by their sum over the minibatch.

Prediction and target have the same shape: nothing is broadcast. Targets that are integers
or booleans are converted to the prediction's type. Losses of logits contain their softmax or
sigmoid: pass them the output of the last layer, without an activation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from chainrule.errors import SettingError
from chainrule.graph.node import Node, NodeLike
from chainrule.nn.arguments import between, class_array
from chainrule.nn.loss import EXP, IDENTITY, LOGISTIC, Bounds, Loss, register
from chainrule.nn.targets import case, check_weights, differ, same_shape, share
from chainrule.ops import bounds, reduce
from chainrule.ops.activations import softplus
from chainrule.ops.build import constant
from chainrule.ops.elementwise import rsqrt, square
from chainrule.ops.shape import expand_dims
from chainrule.ops.transcendental import exp
from chainrule.types import show


def squared_error(
    prediction: Node,
    target: NodeLike,
    *,
    weights: NodeLike | None = None,
    name: str | None = None,
) -> Node:
    """The mean of `(prediction - target) ** 2`.

    Args:
        prediction, target: of one shape.
        weights, name: see the head of this file.

    Raises:
        ShapeError: the shapes differ. DTypeError: one is float32, the other float64.
    """
    given = case("squared_error", prediction, target, weights)
    y, t = same_shape(given)
    return given.finish(square(y - t), name)


register(
    Loss(
        "squared_error", squared_error, {"numbers": IDENTITY},
        recipe="regression", estimator="squared_error", factor=0.5,
    )
)  # fmt: skip


def absolute_error(
    prediction: Node,
    target: NodeLike,
    *,
    weights: NodeLike | None = None,
    name: str | None = None,
) -> Node:
    """The mean of `|prediction - target|`, whose best constant is the median.

    Its gradient is 0 where both are equal. Arguments and errors as in `squared_error`.
    """
    given = case("absolute_error", prediction, target, weights)
    y, t = same_shape(given)
    return given.finish(bounds.abs(y - t), name)


register(
    Loss(
        "absolute_error", absolute_error, {"numbers": IDENTITY},
        recipe="regression", estimator="absolute_error",
    )
)  # fmt: skip


def huber(
    prediction: Node,
    target: NodeLike,
    *,
    delta: float = 1.0,
    weights: NodeLike | None = None,
    name: str | None = None,
) -> Node:
    """The mean of `d ** 2 / 2` where |d| <= delta, and of `delta * (|d| - delta / 2)` beyond.

    Here d is `prediction - target`. Source: P. J. Huber, Robust estimation of a location
    parameter, 1964. Other arguments and errors as in `squared_error`.

    Raises:
        SettingError: `delta` is not positive.
    """
    delta = between("huber", "delta", delta, 0.0, np.inf)
    given = case("huber", prediction, target, weights)
    y, t = same_shape(given)
    d = y - t
    near = bounds.clip(d, -delta, delta)
    return given.finish(near * (d - near / 2), name)


register(Loss("huber", huber, {"numbers": IDENTITY}, recipe="regression", estimator="huber"))


def poisson(
    log_rate: Node,
    target: NodeLike,
    *,
    weights: NodeLike | None = None,
    name: str | None = None,
) -> Node:
    """The mean negative log-likelihood of counts: `exp(log_rate) - target * log_rate`.

    The term `log(target!)`, which no parameter changes, is left out. The prediction is
    `exp(log_rate)`. Arguments and errors as in `squared_error`.
    """
    given = case("poisson", log_rate, target, weights)
    z, counts = same_shape(given)
    return given.finish(exp(z) - counts * z, name)


register(
    Loss(
        "poisson", poisson, {"numbers": EXP}, estimator="poisson",
        bounds=Bounds(
            0, np.inf, "a count is negative", "for numbers of any sign: cr.squared_error"
        ),
    )
)  # fmt: skip


def quantile(
    prediction: Node,
    target: NodeLike,
    *,
    quantiles: float | Sequence[float],
    weights: NodeLike | None = None,
    name: str | None = None,
) -> Node:
    """The pinball loss: `max(q * d, (q - 1) * d)` with `d = target - prediction`.

    Its minimiser is the q-quantile of the target. Where d is 0 the gradient is midway between
    both slopes.

    Args:
        prediction: for one quantile of the target's shape; for several, with one more axis:
            (N, q) against a target (N,).
        target: (N,) or (N, k).
        quantiles: one number between 0 and 1, or several.
        weights, name: see the head of this file.

    Raises:
        SettingError: a quantile is not between 0 and 1, or is named twice.
        ShapeError: the shapes do not fit.
    """
    given = case("quantile", prediction, target, weights)
    if isinstance(quantiles, (int, float, np.number)):
        levels: tuple[float, ...] = (between("quantile", "quantile", quantiles, 0, 1),)
        q = constant(levels[0], given.prediction.dtype)
        y, wanted = same_shape(given)
    else:
        if not isinstance(quantiles, Iterable):
            raise SettingError("quantile", "quantiles are numbers from 0 to 1", got=repr(quantiles))
        levels = tuple(between("quantile", "quantile", q, 0, 1) for q in quantiles)
        if not levels or len(set(levels)) < len(levels):
            raise SettingError("quantile", "name each quantile once", got=str(levels))
        q = constant(np.array(levels), given.prediction.dtype)
        shape = (*given.target.shape, len(levels))
        if given.prediction.shape != shape:
            raise differ(
                given,
                f"{show(given.prediction.shape[:-1])}, as the prediction has one axis more",
                f"make the prediction {show(shape)}: dense(h, {len(levels)})",
            )
        check_weights(given, given.target.shape)
        wanted = expand_dims(given.counted(given.target.astype(given.prediction.dtype)), -1)
        y = given.counted(given.prediction)
    d = wanted - y
    return given.finish(bounds.maximum(q * d, (q - 1) * d), name, levels=levels)


register(Loss("quantile", quantile, {"quantiles": IDENTITY}, estimator="quantile"))


def binary_cross_entropy(
    logits: Node,
    target: NodeLike,
    *,
    weights: NodeLike | None = None,
    pos_weight: float | npt.ArrayLike | None = None,
    name: str | None = None,
) -> Node:
    """The mean negative log-likelihood of yes or no, with `sigmoid(logits)` the chance of yes.

    Several labels an example are independent, and their losses are averaged.

    Args:
        logits: of any shape, without a sigmoid: the loss contains it, and is exact for any
            magnitude.
        target: of the same shape: booleans, 0 and 1, or probabilities between them.
        weights, name: see the head of this file.
        pos_weight: the weight of a yes, against 1 for a no: a number, or one for each label.

    Raises:
        ShapeError: the shapes differ. SettingError: a weight is negative or not finite.
    """
    loss = "binary_cross_entropy"
    given = case(loss, logits, target, weights)
    z, t = same_shape(given)
    yes = t
    if pos_weight is not None:
        labels = z.shape[-1:] if np.ndim(pos_weight) else ()
        yes = t * constant(class_array(loss, "pos_weight", pos_weight, labels), z.dtype)
    each = share(yes, softplus(-z)) + share(1 - t, softplus(z))
    return given.finish(each, name)


register(
    Loss(
        "binary_cross_entropy", binary_cross_entropy, {"labels": LOGISTIC}, estimator="log_loss",
        bounds=Bounds(
            0, 1, "a label is not between 0 and 1", "write the two classes as 0 and 1"
        ),
    )
)  # fmt: skip


def cosine(
    prediction: Node,
    target: NodeLike,
    *,
    epsilon: float = 1e-8,
    weights: NodeLike | None = None,
    name: str | None = None,
) -> Node:
    """The mean of 1 minus the cosine of the angle between prediction and target vectors.

    Args:
        prediction, target: (N, ..., k); the last axis is the vector.
        epsilon: the lower bound of lengths, so that a zero vector has the cosine 0.
        weights, name: see the head of this file; (N,), or for each vector.
    """
    epsilon = between("cosine", "epsilon", epsilon, 0, 1)
    given = case("cosine", prediction, target, weights)
    p, t = same_shape(given)
    check_weights(given, p.shape[:-1])
    least = epsilon**2
    lengths = rsqrt(bounds.maximum(reduce.sum(square(p), -1), least)) * rsqrt(
        bounds.maximum(reduce.sum(square(t), -1), least)
    )
    return given.finish(1 - reduce.sum(p * t, -1) * lengths, name)


register(Loss("cosine", cosine))
