"""The convolutional part of a recipe's network: a picture or signal as some hundred features."""

from __future__ import annotations

from chainrule.graph.node import Node
from chainrule.nn.arguments import activate
from chainrule.nn.augmentation import augment
from chainrule.nn.convolution import conv
from chainrule.nn.layers import flatten
from chainrule.nn.normalise import batch_norm
from chainrule.nn.pooling import global_pool, max_pool
from chainrule.ops.join import concat
from chainrule.recipe.config import Config

WINDOW = {4: 3, 3: 5}
"""The size of a convolution by the axes of its operand: of pictures, of signals."""


def body(x: Node, resolved: Config) -> Node:
    """The features (N, width) of pictures or signals: augmented in training, then convolved.

    Each stage has twice the field of view of the one before: convolution, normalisation and
    activation, twice but in the first. A stage ends with a pooling that halves the sides, before
    the normalisation, which then has a quarter of the work; the last one ends in the mean and the
    maximum of each channel: how much there is of something, and whether it is there.
    """
    x = augment(
        x, flip=resolved.flip == "yes" and x.ndim == 4, shift=resolved.shift or 0.0,
        zoom=(resolved.zoom or 0.0) if x.ndim == 4 else 0.0,
    )  # fmt: skip
    widths = resolved.convolutions
    if not widths:
        return flatten(x)
    for stage, width in enumerate(widths):
        last = 0 if stage == 0 else 1
        for k in range(last + 1):
            x = conv(x, width, WINDOW[x.ndim], bias=False)
            if k == last and stage < len(widths) - 1 and _shortest(x) > 1:
                x = max_pool(x, 2)
            x = activate("body", batch_norm(x), resolved.activation, None)
    return concat([global_pool(x), global_pool(x, "max")], axis=1)


def _shortest(x: Node) -> int:
    """The shortest side of pictures or signals."""
    return min(d for d in x.shape[1:-1] if isinstance(d, int))
