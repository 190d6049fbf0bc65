"""Positional encodings: what tells an attention the places of a sequence."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from chainrule.errors import SettingError, ShapeError, did_you_mean
from chainrule.graph.node import Node, Scope
from chainrule.graph.source import user_line
from chainrule.nn.arguments import between, features, new_parameter, operand_at, static
from chainrule.nn.init import InitSpec, Normal
from chainrule.nn.masks import places
from chainrule.nn.naming import as_layer, layer_scope
from chainrule.ops.bounds import abs
from chainrule.ops.build import cast, constant
from chainrule.ops.index import take
from chainrule.ops.shape import expand_dims, reshape
from chainrule.ops.slicing import flip
from chainrule.types import TensorType, show

Places: TypeAlias = npt.NDArray[np.int32]
"""The places of some queries."""

Encoding: TypeAlias = Callable[[Places, int], Node]
"""Takes places of queries, and how many keys; gives numbers for scores: (heads, queries, keys)."""

KINDS = ("sinusoidal", "learned")
RELATIVE = ("rotary", "relative", "alibi")


def positions(
    x: Node,
    kind: str = "sinusoidal",
    *,
    base: float = 10000.0,
    init: InitSpec = None,
    trainable: bool = True,
    name: str | None = None,
) -> Node:
    """`x` plus a vector for each position, so that layers after it can tell positions apart.

    Args:
        x: (N, length, width), such as the result of `embedding`.
        kind: "sinusoidal": sines (even features) and cosines (odd ones) of the position, with
            wavelengths from 2 pi to 2 pi `base`; "learned": `name.places`, (length, width).
        base: of the wavelengths.
        init: the initial learned vectors; None: normal numbers of size 0.02.
        trainable: whether learned vectors are trained.
        name: of the layer.

    Source: A. Vaswani et al., Attention is all you need, 2017.

    Raises:
        SettingError: `kind` is not known. ShapeError: `x` has no axis of positions.
        DTypeError: it is not floating point.
    """
    x, width = features("positions", x)
    base = between("positions", "base", base, 0, np.inf)
    length = static("positions", x, -2)
    scope = layer_scope(name, "positions")
    if kind == "sinusoidal":
        table = constant(_waves(length, width, base), x.dtype).within(scope, ".places")
        return as_layer(scope, x + table, (x,))
    if kind != "learned":
        raise SettingError(
            "positions", f"no encoding is named {kind!r}", at="line " + user_line(),
            fix="it is a setting of the attention: multi_head_attention(x, heads, "
            f"positions={kind!r})" if kind in RELATIVE else did_you_mean(kind, KINDS),
        )  # fmt: skip
    start = Normal(0.02) if init is None else init
    learned = TensorType((length, width), x.dtype)
    table = new_parameter(scope, ".places", learned, start, trainable=trainable)
    return as_layer(scope, x + table, (x,))


def rotary(x: Node, *, base: float = 10000.0, name: str | None = None) -> Node:
    """Queries or keys, each rotated by angles that grow with its position.

    The first half of the features are one coordinate each, the second half the other: the pair j
    of position p is rotated by p / base**(2 j / width). So the product of a query and a key
    depends on their distance alone.

    Args:
        x: (..., length, width) with an even width: queries or keys, before `attention`.
        base: of the angles.
        name: of the layer.

    Source: J. Su et al., RoFormer, 2021, with the halves of GPT-NeoX and Llama.

    Raises:
        ShapeError: the width is odd, or `x` has no axis of positions.
        DTypeError: it is not floating point.
    """
    x, _ = features("rotary", x)
    base = between("rotary", "base", base, 0, np.inf)
    return as_layer(layer_scope(name, "rotary"), rotated(x, -2, base), (x,))


def rotated(x: Node, axis: int, base: float = 10000.0) -> Node:
    """`x` with its features rotated by the position along an axis, -2 or -3."""
    width, length = x.shape[-1], static("rotary", x, axis)
    if not isinstance(width, int) or width % 2:
        raise ShapeError(
            "rotary",
            "the width is odd: features are rotated in pairs",
            expected="(..., length, an even width)",
            got=show(x.shape),
            at=operand_at(x),
        )
    half = width // 2
    angles = np.arange(length)[:, None] * base ** (-np.arange(half) / half)  # (l, d / 2)
    shape = (length, *(1,) * (-2 - axis), 1, half)
    cosine = constant(np.cos(angles).reshape(shape), x.dtype)
    sine = np.sin(angles).reshape(shape) * np.array([-1.0, 1.0])[:, None]  # minus for the first
    halves = reshape(x, (*x.shape[:-1], 2, half))
    turned = halves * cosine + flip(halves, -2) * constant(sine, x.dtype)
    return reshape(turned, x.shape)


def relative(
    scope: Scope, heads: int, lengths: tuple[int, int], dtype: str, trainable: bool
) -> Encoding:
    """A trained number for each head and distance."""
    queries, keys = lengths
    kind = TensorType((heads, queries + keys - 1), dtype)
    table = new_parameter(scope, ".distances", kind, "zeros", trainable=trainable)
    return lambda at, count: take(table, _distance(at, count) + (queries - 1), axis=1)


def alibi(heads: int, dtype: str) -> Encoding:
    """The distance times a slope for each head, below 0."""
    whole = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * (h + 1) / whole) for h in range(whole)]
    slopes += [2 ** (-4 * (2 * h + 1) / whole) for h in range(heads - whole)]
    slope = constant(-np.array(slopes).reshape(heads, 1, 1), dtype)
    return lambda at, keys: slope * cast(abs(_distance(at, keys)), dtype)


def _distance(at: Places, keys: int) -> Node:
    """The place of a key minus that of a query: (queries, keys)."""
    return places(keys) - expand_dims(constant(at), 1)


def _waves(length: int, width: int, base: float) -> np.ndarray:
    """Sines in even columns, cosines in odd ones: (length, width)."""
    columns = np.arange(width)
    angles = np.arange(length)[:, None] / base ** (columns // 2 * 2 / width)
    return np.where(columns % 2, np.cos(angles), np.sin(angles))
