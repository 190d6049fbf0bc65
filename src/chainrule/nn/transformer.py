"""Gated feed-forward layers, and the encoder block of a transformer."""

from __future__ import annotations

from chainrule.errors import SettingError, did_you_mean
from chainrule.graph.node import Node, NodeLike
from chainrule.graph.source import user_line
from chainrule.nn import layers
from chainrule.nn.arguments import Activation, features, new_parameter, positive
from chainrule.nn.attention import multi_head_attention
from chainrule.nn.compose import NORMS
from chainrule.nn.init import InitSpec
from chainrule.nn.naming import as_layer, layer_scope
from chainrule.ops.activations import gelu, silu
from chainrule.ops.contract import matmul
from chainrule.ops.random import check_rate
from chainrule.system.checks import flag
from chainrule.types import TensorType

GATES = {"geglu": gelu, "swiglu": silu}
"""The activations of the gates of feed-forward layers."""


def geglu(
    x: Node, width: int, *, bias: bool = True, init: InitSpec = None, trainable: bool = True,
    name: str | None = None,
) -> Node:  # fmt: skip
    """`gelu(x @ w + b) * (x @ v + c)`: a dense layer whose outputs a second one opens and closes.

    Its parameters are `name.gate.w`, `name.gate.b`, `name.value.w` and `name.value.b`.

    Args:
        x: (N, i) or (N, ..., i).
        width: the number of outputs.
        bias: whether both have a bias.
        init, trainable, name: as in `dense`.

    Source: N. Shazeer, GLU variants improve Transformer, 2020.

    Raises:
        SettingError: the width is not an integer above 0. ShapeError, DTypeError: as `dense`.
    """
    return _gated("geglu", x, width, bias, init, trainable, name)


def swiglu(
    x: Node, width: int, *, bias: bool = True, init: InitSpec = None, trainable: bool = True,
    name: str | None = None,
) -> Node:  # fmt: skip
    """`silu(x @ w + b) * (x @ v + c)`; all else as in `geglu`."""
    return _gated("swiglu", x, width, bias, init, trainable, name)


def _gated(
    kind: str, x: Node, width: int, bias: bool, init: InitSpec, trainable: bool, name: str | None
) -> Node:
    x, i = features(kind, x)
    o, bias, scope = (
        positive(kind, "width", width),
        flag(kind, "bias", bias),
        layer_scope(name, kind),
    )
    sides = []
    for side in (".gate", ".value"):
        weights = TensorType((i, o), x.dtype)
        z = matmul(x, new_parameter(scope, f"{side}.w", weights, init, trainable=trainable))
        if bias:
            start = TensorType((o,), x.dtype)
            z = z + new_parameter(scope, f"{side}.b", start, "zeros", trainable=trainable)
        sides.append(z.within(scope, side))
    return as_layer(scope, GATES[kind](sides[0]) * sides[1], (x,))


def transformer_encoder(
    x: Node,
    heads: int,
    *,
    hidden: int | None = None,
    activation: Activation = "gelu",
    norm: str = "layer",
    norm_first: bool = True,
    dropout: float = 0.0,
    mask: NodeLike | None = None,
    bias: NodeLike | None = None,
    causal: bool = False,
    positions: str | None = None,
    key_value_heads: int | None = None,
    block: int | None = None,
    init: InitSpec = None,
    name: str | None = None,
) -> Node:
    """A block of a transformer: attention, then two dense layers, each around a shortcut.

    With `norm_first`, `x = x + attention(norm(x))`, then `x = x + feed_forward(norm(x))`; else
    `x = norm(x + attention(x))`, then `x = norm(x + feed_forward(x))`. A stack of blocks with
    `norm_first` usually ends in one more normalisation: `cr.layer_norm`.

    Args:
        x: (N, length, width); the result has the same shape.
        heads: of the attention.
        hidden: the width between the two dense layers; None: 4 times that of `x`.
        activation: between them, as in `dense`; or "geglu" or "swiglu", for a gated layer.
        norm: "layer" or "rms".
        norm_first: whether the normalisations come before the layers, or after the sums.
        dropout: the rate for attention weights, hidden units, and what is added to the shortcuts.
        mask, bias, causal, positions, key_value_heads, block: as in `multi_head_attention`.
        init: the initial weights.
        name: its layers are `name.attention`, `name.norm1`, `name.hidden`, ...; the result is
            `name`.

    Source: A. Vaswani et al., 2017; norm_first: R. Xiong et al., 2020.

    Raises:
        ShapeError: `x` is not (N, length, width), or a mask does not fit it.
        SettingError: a setting is not valid.
    """
    where_ = "transformer_encoder"
    x, width = features(where_, x)
    rate, first = check_rate(where_, dropout), flag(where_, "norm_first", norm_first)
    inner = 4 * width if hidden is None else positive(where_, "hidden", hidden)
    if norm not in ("layer", "rms"):
        raise SettingError(
            where_, f"no normalisation is named {norm!r}", at="line " + user_line(),
            fix=did_you_mean(str(norm), ("layer", "rms")),
        )  # fmt: skip

    def called(part: str) -> str | None:
        return None if name is None else f"{name}.{part}"

    def dropped(h: Node, part: str) -> Node:
        return layers.dropout(h, rate, name=called(part)) if rate else h

    def attend(h: Node) -> Node:
        return multi_head_attention(
            h, heads, key_value_heads=key_value_heads, mask=mask, bias=bias, causal=causal,
            positions=positions, dropout=rate, block=block, init=init, name=called("attention"),
        )  # fmt: skip

    def feed_forward(h: Node) -> Node:
        if isinstance(activation, str) and activation in GATES:
            h = _gated(activation, h, inner, True, init, True, called("hidden"))
        else:
            h = layers.dense(h, inner, activation, init=init, name=called("hidden"))
        return layers.dense(dropped(h, "dropout2"), width, init=init, name=called("out"))

    steps = (("dropout1", attend, called("sum1")), ("dropout3", feed_forward, name))
    for number, (part, function, end) in enumerate(steps, start=1):
        norm_name = called(f"norm{number}")
        inside = NORMS[norm](x, name=norm_name) if first else x
        y = dropped(function(inside), part)
        total = end if first else called(f"sum{number}")
        x = as_layer(layer_scope(total, "residual"), x + y, (x, y))
        if not first:
            x = NORMS[norm](x, name=norm_name if number == 1 else name)
    return x
