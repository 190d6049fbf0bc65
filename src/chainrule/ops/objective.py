"""The record of a loss in the graph: its prediction, target and weights."""

from __future__ import annotations

from chainrule.errors import ShapeError
from chainrule.graph.attributes import FRACTIONS, TEXT
from chainrule.graph.node import Node, apply
from chainrule.graph.op import op
from chainrule.types import TensorType


def _infer(
    loss: TensorType, *others: TensorType, kind: str, levels: tuple[float, ...] | None
) -> TensorType:
    if loss.shape != () or len(others) not in (2, 3):
        raise ShapeError(
            "objective",
            "a loss is a scalar with a prediction, a target and perhaps weights",
            got=", ".join(map(str, (loss, *others))),
        )
    return loss


OBJECTIVE = op(
    "objective",
    "view",
    infer=_infer,
    attributes={"kind": TEXT, "levels": FRACTIONS.or_none()},
    forward=lambda loss, *others, **_: loss,
    gradient=lambda gy, y, loss, *others, **_: (gy, *(None for _ in others)),
    decompose=lambda loss, *others, **_: loss,
    price=0,
    formula="{0}",
    convention="Its value is the first operand; the others determine the metrics.",
)


def objective(
    loss: Node,
    prediction: Node,
    target: Node,
    weights: Node | None = None,
    *,
    kind: str,
    levels: tuple[float, ...] | None = None,
) -> Node:
    """`loss` itself, with a record of what it compares, from which metrics are computed.

    Args:
        loss: a scalar.
        prediction, target: the compared nodes; logits for losses that contain their softmax.
        weights: of the examples, (N,).
        kind: the name of the loss function.
        levels: the predicted quantiles, if any.
    """
    others = (prediction, target) if weights is None else (prediction, target, weights)
    return apply(OBJECTIVE, loss, *others, kind=kind, levels=levels)
