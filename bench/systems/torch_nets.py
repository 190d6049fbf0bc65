"""The networks of `bench/designs.py` in PyTorch: functions of parameters by name and examples.

Images keep the memory layout of the data, channels last, which is PyTorch's quickest on processors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
from torch.nn import functional

from bench.designs import HEADS, SEPARABLE, SIGNALS, STAGES, WIDTH, Array

Tensor: TypeAlias = torch.Tensor
Parameters: TypeAlias = Mapping[str, Tensor]


def converted(name: str, array: Array) -> Tensor:
    """A parameter in PyTorch's layout: outputs first."""
    made = torch.from_numpy(np.array(array))
    if name.endswith(".table") or made.ndim == 1:
        return made
    made = made.permute(-1, -2, *range(made.ndim - 2))
    if made.ndim == 4:
        return made.contiguous(memory_format=torch.channels_last)
    return made.contiguous()


def images(x: Tensor) -> Tensor:
    """Examples (N, ..., channels) as PyTorch takes them, channels second; a view."""
    return x.permute(0, -1, *range(1, x.ndim - 1))


def _linear(p: Parameters, name: str, x: Tensor) -> Tensor:
    return functional.linear(x, p[f"{name}.w"], p[f"{name}.b"])


def _lenet(p: Parameters, x: Tensor, training: bool) -> Tensor:
    h = functional.conv2d(images(x), p["conv1.w"], p["conv1.b"], padding=2)
    h = functional.max_pool2d(functional.relu(h), 2)
    h = functional.max_pool2d(functional.relu(functional.conv2d(h, p["conv2.w"], p["conv2.b"])), 2)
    h = h.permute(0, 2, 3, 1).reshape(len(x), 400)
    h = functional.relu(_linear(p, "dense1", h))
    return _linear(p, "y", functional.relu(_linear(p, "dense2", h)))


def _resnet(p: Parameters, x: Tensor, training: bool) -> Tensor:
    def conv(x: Tensor, stride: int, name: str) -> Tensor:
        h = functional.conv2d(x, p[f"{name}.w"], stride=stride, padding=1)
        scale, shift = p[f"{name}.norm.scale"], p[f"{name}.norm.shift"]
        zero, one = (None, None) if training else (torch.zeros_like(shift), torch.ones_like(shift))
        return functional.batch_norm(h, zero, one, scale, shift, training=training)

    h = functional.relu(conv(images(x), 1, "stem"))
    for k in range(len(STAGES)):
        stride = 1 if k == 0 else 2
        inner = conv(functional.relu(conv(h, stride, f"block{k}a")), 1, f"block{k}b")
        if stride > 1:
            h = functional.conv2d(h, p[f"skip{k}.w"], stride=2)
        h = functional.relu(inner + h)
    return _linear(p, "y", h.mean((2, 3)))


def _separable(p: Parameters, x: Tensor, training: bool) -> Tensor:
    h = functional.relu(functional.conv2d(images(x), p["stem.w"], p["stem.b"], padding=1))
    for k, (_, stride) in enumerate(SEPARABLE):
        w = p[f"depth{k}.w"]
        h = functional.conv2d(h, w, p[f"depth{k}.b"], stride=stride, padding=1, groups=len(w))
        h = functional.conv2d(functional.relu(h), p[f"point{k}.w"], p[f"point{k}.b"])
        h = functional.relu(h)
    return _linear(p, "y", h.mean((2, 3)))


def _signals(p: Parameters, x: Tensor, training: bool) -> Tensor:
    x = images(x)
    for k, (_, size) in enumerate(SIGNALS):
        x = functional.conv1d(x, p[f"conv{k}.w"], p[f"conv{k}.b"], stride=2, padding=size // 2)
        x = functional.relu(x)
    return _linear(p, "y", x.mean(2))


def _bag(p: Parameters, x: Tensor, training: bool) -> Tensor:
    table = p["bag.table"]
    rows = bool(getattr(table, "rows_alone", False))
    return _linear(p, "y", functional.embedding_bag(x, table, mode="mean", sparse=rows))


def _encoder(p: Parameters, x: Tensor, training: bool) -> Tensor:
    n, length, width = x.shape

    def norm(name: str, x: Tensor) -> Tensor:
        return functional.layer_norm(x, (width,), p[f"{name}.scale"], p[f"{name}.shift"])

    def heads(name: str, x: Tensor) -> Tensor:
        return _linear(p, name, x).view(n, length, HEADS, width // HEADS).transpose(1, 2)

    for k in range(2):
        h = norm(f"block{k}.norm1", x)
        q, key, v = (heads(f"block{k}.attention.{part}", h) for part in ("query", "key", "value"))
        h = functional.scaled_dot_product_attention(q, key, v)
        x = x + _linear(p, f"block{k}.attention.out", h.transpose(1, 2).reshape(n, length, width))
        h = functional.gelu(_linear(p, f"block{k}.hidden", norm(f"block{k}.norm2", x)))
        x = x + _linear(p, f"block{k}.out", h)
    return _linear(p, "y", x.mean(1))


def _recurrent(kind: str) -> Callable[[Parameters, Tensor, bool], Tensor]:
    layer: Any = getattr(torch, kind)

    def forward(p: Parameters, x: Tensor, training: bool) -> Tensor:
        zero = x.new_zeros(1, len(x), WIDTH)
        inner = torch.zeros_like(p[f"{kind}.b"])
        if kind == "gru":
            inner = torch.cat([inner[: 2 * WIDTH], p["gru.b_inner"]])
        flat = [p[f"{kind}.w"], p[f"{kind}.u"], p[f"{kind}.b"], inner]
        state: Any = zero if kind == "gru" else (zero, zero)
        found = layer(x, state, flat, True, 1, 0.0, training, False, True)
        return _linear(p, "y", found[0][:, -1])

    return forward


KINDS: dict[str, Callable[[Parameters, Tensor, bool], Tensor]] = {
    "lenet": _lenet, "resnet": _resnet, "separable": _separable, "signals": _signals, "bag": _bag,
    "encoder": _encoder, "lstm": _recurrent("lstm"), "gru": _recurrent("gru"),
}  # fmt: skip
"""By kind, the logits of parameters, examples, and whether it trains."""
