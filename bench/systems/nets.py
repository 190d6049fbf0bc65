"""The networks of `bench/designs.py` in Chainrule: an example's node to the logits' node."""

from __future__ import annotations

from collections.abc import Callable

import chainrule as cr
from bench.designs import HEADS, HIDDEN, SEPARABLE, SIGNALS, STAGES, WIDTH, Design


def _lenet(x: cr.Node, design: Design) -> cr.Node:
    h = cr.max_pool(cr.conv(x, 6, 5, "relu", name="conv1"), 2)
    h = cr.max_pool(cr.conv(h, 16, 5, "relu", padding="valid", name="conv2"), 2)
    h = cr.dense(cr.reshape(h, (h.shape[0], 400)), 120, "relu", name="dense1")
    return cr.dense(cr.dense(h, 84, "relu", name="dense2"), 10, name="y")


def _resnet(x: cr.Node, design: Design) -> cr.Node:
    def conv(x: cr.Node, width: int, stride: int, name: str) -> cr.Node:
        h = cr.conv(x, width, 3, stride=stride, padding=1, bias=False, name=name)
        return cr.batch_norm(h, name=f"{name}.norm")

    h = cr.relu(conv(x, STAGES[0], 1, "stem"))
    for k, width in enumerate(STAGES):
        stride = 1 if k == 0 else 2
        inner = conv(cr.relu(conv(h, width, stride, f"block{k}a")), width, 1, f"block{k}b")
        if stride > 1:
            h = cr.conv(h, width, 1, stride=2, padding=0, bias=False, name=f"skip{k}")
        h = cr.relu(inner + h)
    return cr.dense(cr.global_pool(h), 10, name="y")


def _separable(x: cr.Node, design: Design) -> cr.Node:
    h = cr.conv(x, 32, 3, "relu", padding=1, name="stem")
    for k, (width, stride) in enumerate(SEPARABLE):
        h = cr.depthwise_conv(h, 3, activation="relu", stride=stride, padding=1, name=f"depth{k}")
        h = cr.conv(h, width, 1, "relu", name=f"point{k}")
    return cr.dense(cr.global_pool(h), 10, name="y")


def _signals(x: cr.Node, design: Design) -> cr.Node:
    for k, (width, size) in enumerate(SIGNALS):
        x = cr.conv(x, width, size, "relu", stride=2, padding=size // 2, name=f"conv{k}")
    return cr.dense(cr.global_pool(x), 10, name="y")


def _bag(x: cr.Node, design: Design) -> cr.Node:
    return cr.dense(cr.embedding_bag(x, design.words, 64, name="bag"), 10, name="y")


def _encoder(x: cr.Node, design: Design) -> cr.Node:
    for k in range(2):
        x = cr.transformer_encoder(x, HEADS, hidden=HIDDEN, name=f"block{k}")
    return cr.dense(cr.mean(x, 1), 10, name="y")


def _lstm(x: cr.Node, design: Design) -> cr.Node:
    return cr.dense(cr.lstm(x, WIDTH, outputs="last", name="lstm"), 10, name="y")


def _gru(x: cr.Node, design: Design) -> cr.Node:
    return cr.dense(cr.gru(x, WIDTH, outputs="last", name="gru"), 10, name="y")


KINDS: dict[str, Callable[[cr.Node, Design], cr.Node]] = {
    "lenet": _lenet, "resnet": _resnet, "separable": _separable, "signals": _signals, "bag": _bag,
    "encoder": _encoder, "lstm": _lstm, "gru": _gru,
}  # fmt: skip
"""By kind, the builder."""
