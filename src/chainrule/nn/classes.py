"""Losses of logits against one of several classes; see `losses.py` for weights and shapes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from chainrule.errors import DTypeError, SettingError, ShapeError
from chainrule.graph.node import Node, NodeLike
from chainrule.graph.source import user_line
from chainrule.nn.arguments import between, class_array, features
from chainrule.nn.loss import ARGMAX_SCORES, SIGN, SOFTMAX, Loss, register
from chainrule.nn.targets import Case, case, check_weights, differ, same_shape, share, spread
from chainrule.ops import compare, reduce
from chainrule.ops.activations import relu
from chainrule.ops.build import cast, constant
from chainrule.ops.index import gather, one_hot, take
from chainrule.ops.shape import expand_dims, squeeze
from chainrule.ops.softmax import log_softmax
from chainrule.ops.transcendental import log
from chainrule.types import is_number, show


def cross_entropy(
    logits: Node,
    target: NodeLike,
    *,
    weights: NodeLike | None = None,
    class_weights: npt.ArrayLike | None = None,
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
    name: str | None = None,
) -> Node:
    """The mean negative log-likelihood of the target's class under `softmax(logits)`.

    Args:
        logits: (N, k), or (N, t, k) for sequences; without a softmax: the loss contains it,
            and is exact for any magnitude.
        target: class indices, (N,) or (N, t), from 0; or the probability of each class, of the
            same shape as the logits.
        weights, name: see the head of `losses.py`.
        class_weights: (k,): multiplies the weight of an example by that of its class. With
            probabilities, by their mean weight. It weights the example, in the sum and in the
            divisor; PyTorch weights each class's term where targets are probabilities or
            smoothed, and divides probabilities by the number of examples.
        label_smoothing: the share of the target that is spread evenly over all classes.
        ignore_index: a class index whose examples have the weight 0, such as -1 for padding.

    Raises:
        ShapeError: logits and target do not fit. DTypeError: class indices are not integers.
        SettingError: smoothing is not from 0 to below 1, or a class weight is negative.
    """
    given = case("cross_entropy", logits, target, weights)
    smoothing = label_smoothing
    chances, k = _checked(given, ignore_index, smoothing)
    if chances:
        chance, mask = same_shape(given)[1], given.weights
        check_weights(given, chance.shape[:-1])
    else:
        label, mask = _labels(given, ignore_index)
    used = mask
    if class_weights is not None:
        numbers = class_array("cross_entropy", "class_weights", class_weights, (k,))
        by_class = constant(numbers, given.prediction.dtype)
        used = reduce.sum(chance * by_class, -1) if chances else take(by_class, label)
        used = used if mask is None else used * spread(mask, used.shape)
    logp = log_softmax(given.counted(given.prediction, used))
    if chances:
        nll = reduce.sum(share(chance, -logp), -1)
    else:
        nll = -squeeze(gather(logp, expand_dims(label, -1)), -1)
    if smoothing:
        nll = (1 - smoothing) * nll - smoothing * reduce.mean(logp, -1)
    return given.finish(nll, name, weights=used, noted=mask)


register(
    Loss(
        "cross_entropy", cross_entropy, {"classes": SOFTMAX},
        recipe="classification", estimator="log_loss",
    )
)  # fmt: skip


def _checked(given: Case, ignore_index: int | None, smoothing: float) -> tuple[bool, int]:
    """Whether the target holds probabilities, and the number of classes."""
    loss = "cross_entropy"
    k = given.prediction.shape[-1] if given.prediction.ndim else None
    if not isinstance(k, int) or k < 2:
        raise ShapeError(
            loss,
            "logits need one number a class, for two classes or more",
            expected="(N, k) or (N, ..., k)",
            got=f"{given.prediction.label!r} {given.prediction.type.sizes}",
            at="line " + user_line(),
            fix="for yes or no, one logit an example: binary_cross_entropy(logits, target)",
        )
    chances = given.target.shape == given.prediction.shape
    if not is_number(smoothing) or not 0 <= smoothing < 1:
        raise SettingError(loss, "label_smoothing is a share, 0 <= s < 1", got=repr(smoothing))
    if chances and ignore_index is not None:
        raise SettingError(
            loss,
            "ignore_index is for targets that are class indices",
            got=f"probabilities {given.target.type.sizes}",
            fix="give such examples the weight 0",
        )
    return chances, k


def _labels(given: Case, ignore_index: int | None = None) -> tuple[Node, Node | None]:
    """The class indices, 0 where they are ignored, and the weights, 0 there."""
    target, expected = given.target, given.prediction.shape[:-1]
    if target.shape != expected:
        trailing = target.shape == (*expected, 1)
        fix = "squeeze(target, -1), or declare it without that axis" if trailing else None
        raise differ(given, f"{show(expected)} class indices", fix)
    if target.type.floating:
        raise DTypeError(
            given.loss,
            "class indices are integers",
            expected="int32 or int64",
            got=f"{target.dtype} {target.label!r}",
            at="line " + user_line(),
            fix=f'declare it so: input({target.label!r}, {show(expected[1:])}, dtype="int32")',
        )
    check_weights(given, expected)
    label, mask = cast(target, "int32") if target.dtype == "bool" else target, given.weights
    if ignore_index is not None:
        counts = cast(compare.not_equal(label, ignore_index), given.prediction.dtype)
        mask = counts if mask is None else counts * spread(mask, expected)
    if mask is not None:
        counted = spread(compare.not_equal(mask, 0), expected)
        label = compare.where(counted, label, 0)
    return label, mask


def hinge(
    scores: Node,
    target: NodeLike,
    *,
    margin: float = 1.0,
    weights: NodeLike | None = None,
    name: str | None = None,
) -> Node:
    """The mean hinge loss of scores, as in support vector machines.

    For yes or no, the mean of `max(0, margin - sign * score)`; for classes, of the highest of
    `score[j] + margin - score[target]` over the other classes j, or 0. Source of the latter:
    K. Crammer and Y. Singer, 2001. Its gradient is shared by equal scores.

    Args:
        scores: of the target's shape for yes or no; for classes with one more axis, (N, k).
        target: yes is above 0 (1 or True), no is 0, False or -1; or class indices from 0.
        margin: above 0.
        weights, name: see the head of `losses.py`.

    Raises:
        ShapeError: scores and target do not fit. DTypeError: class indices are not integers.
    """
    margin = between("hinge", "margin", margin, 0, np.inf)
    given = case("hinge", scores, target, weights)
    if given.target.ndim >= given.prediction.ndim:
        s, t = same_shape(given)
        sign = compare.where(compare.greater(t, 0), constant(1.0, s.dtype), -1.0)
        return given.finish(relu(margin - sign * s), name)
    _, k = features("hinge", given.prediction)
    label, _ = _labels(given)
    s = given.counted(given.prediction)
    target_score = squeeze(gather(s, expand_dims(label, -1)), -1)
    return given.finish(
        reduce.max(s + margin * (1 - one_hot(label, k, s.dtype)), -1) - target_score, name
    )


register(
    Loss(
        "hinge", hinge, {"labels": SIGN, "classes": ARGMAX_SCORES}, yes_above=0.0,
        estimator="hinge",
        metrics={
            "classification": ("accuracy", "balanced_accuracy", "f1", "precision", "recall"),
            "multilabel": ("accuracy", "label_accuracy", "f1", "precision", "recall"),
        },
    )
)  # fmt: skip


def kl_divergence(
    logits: Node, target: NodeLike, *, weights: NodeLike | None = None, name: str | None = None
) -> Node:
    """The mean over examples of `sum(target * log(target / softmax(logits)))`.

    It differs from the cross-entropy by the entropy of the target, so it is 0 where both agree.

    Args:
        logits: (N, ..., k), without a softmax: the loss contains it.
        target: probabilities of the same shape, which add up to 1 along the last axis.
        weights, name: see the head of `losses.py`.

    Raises:
        ShapeError: the shapes differ.
    """
    given = case("kl_divergence", logits, target, weights)
    z, t = same_shape(given)
    check_weights(given, t.shape[:-1])
    positive = log(compare.where(compare.greater(t, 0), t, 1))  # 0 log 0 = 0
    return given.finish(reduce.sum(share(t, positive - log_softmax(z)), -1), name)


register(Loss("kl_divergence", kl_divergence))
