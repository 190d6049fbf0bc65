"""The convolutional part of a recipe's network: a picture or signal as a few hundred features."""

from __future__ import annotations

from chainrule.graph.node import Node
from chainrule.nn.augmentation import augment
from chainrule.nn.layers import flatten
from chainrule.recipe.config import Config


def body(x: Node, resolved: Config) -> Node:
    """The features (N, width) of pictures or signals: augmented in training, then convolved."""
    x = augment(
        x, flip=resolved.flip == "yes" and x.ndim == 4, shift=resolved.shift or 0.0,
        zoom=resolved.zoom or 0.0,
    )  # fmt: skip
    return flatten(x)
