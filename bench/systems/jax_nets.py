"""The networks of `bench/designs.py` in JAX: functions of parameters by name and examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax, nn

from bench.designs import HEADS, SEPARABLE, SIGNALS, STAGES, WIDTH

Parameters: TypeAlias = Mapping[str, Any]


def _linear(p: Parameters, name: str, x: Any) -> Any:
    return x @ p[f"{name}.w"] + p[f"{name}.b"]


def _conv(p: Parameters, name: str, x: Any, padding: int, stride: int = 1, groups: int = 1) -> Any:
    axes = x.ndim - 2
    letters = "HW"[:axes]
    form = (f"N{letters}C", f"{letters}IO", f"N{letters}C")
    return lax.conv_general_dilated(
        x, p[f"{name}.w"], (stride,) * axes, [(padding, padding)] * axes,
        dimension_numbers=form, feature_group_count=groups,
    )  # fmt: skip


def _pool(x: Any) -> Any:
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def _lenet(p: Parameters, x: Any, training: bool) -> Any:
    h = _pool(nn.relu(_conv(p, "conv1", x, 2) + p["conv1.b"]))
    h = _pool(nn.relu(_conv(p, "conv2", h, 0) + p["conv2.b"]))
    h = nn.relu(_linear(p, "dense1", h.reshape(len(x), 400)))
    return _linear(p, "y", nn.relu(_linear(p, "dense2", h)))


def _resnet(p: Parameters, x: Any, training: bool) -> Any:
    def conv(x: Any, stride: int, name: str) -> Any:
        h = _conv(p, name, x, 1, stride)
        mean, variance = (h.mean((0, 1, 2)), h.var((0, 1, 2))) if training else (0.0, 1.0)
        h = (h - mean) * lax.rsqrt(variance + 1e-5)
        return h * p[f"{name}.norm.scale"] + p[f"{name}.norm.shift"]

    h = nn.relu(conv(x, 1, "stem"))
    for k in range(len(STAGES)):
        stride = 1 if k == 0 else 2
        inner = conv(nn.relu(conv(h, stride, f"block{k}a")), 1, f"block{k}b")
        h = nn.relu(inner + (_conv(p, f"skip{k}", h, 0, 2) if stride > 1 else h))
    return _linear(p, "y", h.mean((1, 2)))


def _separable(p: Parameters, x: Any, training: bool) -> Any:
    h = nn.relu(_conv(p, "stem", x, 1) + p["stem.b"])
    for k, (_, stride) in enumerate(SEPARABLE):
        h = nn.relu(_conv(p, f"depth{k}", h, 1, stride, h.shape[-1]) + p[f"depth{k}.b"])
        h = nn.relu(_conv(p, f"point{k}", h, 0) + p[f"point{k}.b"])
    return _linear(p, "y", h.mean((1, 2)))


def _signals(p: Parameters, x: Any, training: bool) -> Any:
    for k, (_, size) in enumerate(SIGNALS):
        x = nn.relu(_conv(p, f"conv{k}", x, size // 2, 2) + p[f"conv{k}.b"])
    return _linear(p, "y", x.mean(1))


def _bag(p: Parameters, x: Any, training: bool) -> Any:
    rows = p["bag.table"].at[x].get(mode="promise_in_bounds")
    return _linear(p, "y", rows.mean(1))


def _encoder(p: Parameters, x: Any, training: bool) -> Any:
    n, length, width = x.shape

    def norm(name: str, x: Any) -> Any:
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        h = (x - mean) * lax.rsqrt(variance + 1e-5)
        return h * p[f"{name}.scale"] + p[f"{name}.shift"]

    for k in range(2):
        h, part = norm(f"block{k}.norm1", x), f"block{k}.attention."
        shape = (n, length, HEADS, width // HEADS)
        q, key, v = (_linear(p, part + y, h).reshape(shape) for y in ("query", "key", "value"))
        h = jax.nn.dot_product_attention(q, key, v).reshape(n, length, width)
        x = x + _linear(p, part + "out", h)
        h = nn.gelu(_linear(p, f"block{k}.hidden", norm(f"block{k}.norm2", x)), approximate=False)
        x = x + _linear(p, f"block{k}.out", h)
    return _linear(p, "y", x.mean(1))


def _lstm(p: Parameters, x: Any, training: bool) -> Any:
    given = jnp.swapaxes(x @ p["lstm.w"] + p["lstm.b"], 0, 1)  # all times at once
    zero = jnp.zeros((len(x), WIDTH), x.dtype)

    def step(state: Any, z: Any) -> tuple[Any, None]:
        h, c = state
        i, f, g, o = jnp.split(z + h @ p["lstm.u"], 4, axis=1)
        c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)
        return (nn.sigmoid(o) * jnp.tanh(c), c), None

    (h, _), _ = lax.scan(step, (zero, zero), given)
    return _linear(p, "y", h)


def _gru(p: Parameters, x: Any, training: bool) -> Any:
    given = jnp.swapaxes(x @ p["gru.w"] + p["gru.b"], 0, 1)

    def step(h: Any, z: Any) -> tuple[Any, None]:
        a, b = jnp.split(z, [2 * WIDTH], axis=1), jnp.split(h @ p["gru.u"], [2 * WIDTH], axis=1)
        r, keep = jnp.split(nn.sigmoid(a[0] + b[0]), 2, axis=1)
        n = jnp.tanh(a[1] + r * (b[1] + p["gru.b_inner"]))
        return (1 - keep) * n + keep * h, None

    h, _ = lax.scan(step, jnp.zeros((len(x), WIDTH), x.dtype), given)
    return _linear(p, "y", h)


KINDS: dict[str, Callable[[Parameters, Any, bool], Any]] = {
    "lenet": _lenet, "resnet": _resnet, "separable": _separable, "signals": _signals, "bag": _bag,
    "encoder": _encoder, "lstm": _lstm, "gru": _gru,
}  # fmt: skip
"""By kind, the logits of parameters, examples, and whether it trains."""
