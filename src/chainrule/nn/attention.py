"""Attention: weighted means of values, where the weights come from queries and keys."""

from __future__ import annotations

import math

from chainrule.errors import DTypeError, SettingError, ShapeError
from chainrule.graph.node import Node, NodeLike, Scope
from chainrule.graph.source import user_line
from chainrule.nn.arguments import features, new_parameter, operand_at, positive, static
from chainrule.nn.encodings import RELATIVE, alibi, relative, rotated
from chainrule.nn.init import InitSpec
from chainrule.nn.masks import of_sequences
from chainrule.nn.naming import as_layer, layer_scope
from chainrule.nn.pairs import GROUPED, HEADS, PLAIN, Pairs, split
from chainrule.ops.build import as_node
from chainrule.ops.compare import where
from chainrule.ops.contract import matmul
from chainrule.ops.random import check_rate
from chainrule.ops.shape import expand_dims, reshape
from chainrule.system.checks import flag
from chainrule.types import Dim, Shape, TensorType, broadcast_shapes, is_number, show


def attention(
    q: Node,
    k: Node,
    v: Node,
    *,
    mask: NodeLike | None = None,
    bias: NodeLike | None = None,
    causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
    block: int | None = None,
    name: str | None = None,
) -> Node:
    """`softmax(scale * q @ k.T + bias) @ v`: for each query a weighted mean of the values.

    A query that may attend to no key gets zeros, and no gradient. The weights are `name.weights`,
    (..., queries, keys), and add up to 1 over the keys.

    Args:
        q: queries, (..., heads, queries, width); without heads, (..., queries, width).
        k: keys, (..., heads, keys, width). Where `q` has a multiple of their heads, each head
            of keys and values serves several heads of queries, which stand beside each other.
        v: values, (..., heads, keys, values); the result is (..., heads, queries, values).
        mask: the keys that a query may attend to. Booleans, True for a key that takes part:
            (N, keys) or (N, queries, keys), or what broadcasts to (..., heads, queries, keys). Or
            integers (N,): the lengths of sequences that are padded at their end.
        bias: numbers that are added to the scores before the softmax; shapes as of `mask`.
        causal: a query attends to the keys up to its own place.
        scale: of the scores; None: 1 / sqrt(width).
        dropout: the rate at which weights are set to 0 in training.
        block: the number of queries whose scores are in memory at a time. The scores of fewer than
            all are computed again in the backward pass, and the weights of the second block
            are `name.block1.weights`. None: all, or a part of 512 and more.
        name: of the layer.

    Source: A. Vaswani et al., Attention is all you need, 2017.

    Raises:
        ShapeError: queries, keys, values, mask or bias do not fit each other.
        DTypeError: they are not floating point, or a mask is neither boolean nor integer.
        SettingError: the scale is not a number above 0, or the rate is not in [0, 1).
    """
    scope = layer_scope(name, "attention")
    q, k, v = (_sequence("attention", what, x) for what, x in (("q", q), ("k", k), ("v", v)))
    group = _check(q, k, v)
    operands = [x for x in (q, k, v, mask, bias) if isinstance(x, Node)]
    pairs = Pairs(
        "attention", scope, PLAIN if group == 1 else GROUPED, None if group == 1 else group,
        _scaled(scale, q.shape[-1]), mask, bias, flag("attention", "causal", causal),
        check_rate("attention", dropout), block,
    )  # fmt: skip
    if group == 1:
        y = pairs.attend(q, k, v)
    else:
        y = pairs.attend(reshape(q, split(q.shape, -3, group)), k, v)
        y = reshape(y, (*y.shape[:-4], -1, *y.shape[-2:]))
    return as_layer(scope, y, operands)


def multi_head_attention(
    x: Node,
    heads: int,
    *,
    memory: Node | None = None,
    key_value_heads: int | None = None,
    head_width: int | None = None,
    width: int | None = None,
    mask: NodeLike | None = None,
    bias: NodeLike | None = None,
    causal: bool = False,
    positions: str | None = None,
    dropout: float = 0.0,
    block: int | None = None,
    projection_bias: bool = True,
    init: InitSpec = None,
    trainable: bool = True,
    name: str | None = None,
) -> Node:
    """Attention of the positions of `x` to each other, or to those of `memory`, in several heads.

    Each head has its own queries, keys and values: dense layers, `name.query`, `name.key` and
    `name.value`. The heads' results stand beside each other and go through a last one, with the
    parameters `name.out.w` and `name.out.b`. The weights are `name.weights`, (N, heads, queries,
    keys).

    Args:
        x: (N, queries, i): where the queries come from.
        heads: their number.
        memory: (N, keys, j): where keys and values come from; None: `x`, which is self-attention.
        key_value_heads: the number of heads of keys and values, which divides `heads`; each serves
            `heads / key_value_heads` heads of queries. 1 is multi-query attention; None: `heads`.
        head_width: of queries, keys and values in a head; None: i / heads.
        width: of the result, (N, queries, width); None: i.
        mask, bias, causal, dropout, block: as in `attention`; padding: (N, keys), or lengths (N,).
        positions: what queries and keys know of their places. "rotary": they are rotated by
            angles that grow with it; see `rotary`. "relative": each head has a trained number
            for each distance, `name.distances`, which is added to the scores. "alibi": the scores
            decrease with the distance, in each head at another rate. None: nothing.
        projection_bias: whether the dense layers have a bias.
        init: the initial weights; None: Glorot.
        trainable: False excludes the parameters from training.
        name: of the layer.

    Source: A. Vaswani et al., 2017; groups: J. Ainslie et al., GQA, 2023; alibi: O. Press et
    al., Train short, test long, 2022.

    Raises:
        ShapeError: `x` or `memory` has no axis of positions, or mask or bias does not fit.
        SettingError: the heads do not divide the width, or a setting is not known.
    """
    where_ = "multi_head_attention"
    scope = layer_scope(name, where_)
    x = _sequence(where_, "x", x)
    source = x if memory is None else _sequence(where_, "memory", memory)
    _one_dtype(where_, x, source)
    source = source if memory is None else _without_padding(where_, source, mask)
    heads, shared, each = _heads(x, heads, key_value_heads, head_width)
    out = static(where_, x, -1) if width is None else positive(where_, "width", width)
    rule = _Dense(scope, init, flag(where_, "projection_bias", projection_bias), trainable)
    q = _in_heads(rule(x, ".query", heads * each), heads, each)  # (N, l, h, d)
    k = _in_heads(rule(source, ".key", shared * each), shared, each)
    v = _in_heads(rule(source, ".value", shared * each), shared, each)
    if _known(positions) == "rotary":
        q, k = rotated(q, -3), rotated(k, -3)
    lengths = static(where_, x, -2), static(where_, source, -2)
    encoding = None
    if positions == "alibi":
        encoding = alibi(heads, x.dtype)
    elif positions == "relative":
        encoding = relative(scope, heads, lengths, x.dtype, trainable)
    pairs = Pairs(
        where_, scope, HEADS, heads // shared, _scaled(None, each), mask, bias,
        flag(where_, "causal", causal), check_rate(where_, dropout), block, encoding,
    )  # fmt: skip
    y = pairs.attend(reshape(q, split(q.shape, -2, heads // shared)), k, v)
    y = reshape(y, (*x.shape[:-1], heads * each)).within(scope, ".heads")
    operands = [n for n in (x, source, mask, bias) if isinstance(n, Node)]
    return as_layer(scope, rule.plain(y, ".out", out), operands)


# ---------------------------------------------------------------- parts


class _Dense:
    """The dense layers of one layer."""

    def __init__(self, scope: Scope, init: InitSpec, bias: bool, trainable: bool) -> None:
        self._scope, self._init, self._bias, self._trainable = scope, init, bias, trainable

    def plain(self, x: Node, suffix: str, width: int) -> Node:
        """`x @ w + b`, without a name."""
        w = self._new(f"{suffix}.w", (x.shape[-1], width), x.dtype, self._init)
        y = matmul(x, w)
        return y + self._new(f"{suffix}.b", (width,), x.dtype, "zeros") if self._bias else y

    def __call__(self, x: Node, suffix: str, width: int) -> Node:
        """`x @ w + b`, with the name `suffix`."""
        return self.plain(x, suffix, width).within(self._scope, suffix)

    def _new(self, suffix: str, shape: Shape, dtype: str, init: InitSpec) -> Node:
        kind = TensorType(shape, dtype)
        return new_parameter(self._scope, suffix, kind, init, trainable=self._trainable)


def _without_padding(where_: str, x: Node, mask: NodeLike | None) -> Node:
    """`x` with zeros where a mask of lengths or of keys leaves out a position: it may hold NaN."""
    if mask is None or x.ndim != 3 or as_node(mask).shape not in (x.shape[:1], x.shape[:2]):
        return x
    return where(expand_dims(of_sequences(where_, mask, x), -1), x, 0)


def _in_heads(x: Node, heads: int, width: int) -> Node:
    """(..., l, heads * width) as (..., l, heads, width)."""
    return reshape(x, (*x.shape[:-1], heads, width))


def _scaled(scale: float | None, width: Dim) -> float:
    if scale is None:
        assert isinstance(width, int)
        return 1 / math.sqrt(width)
    if is_number(scale) and scale > 0:
        return float(scale)
    raise SettingError(
        "attention", "scale is a number above 0", got=repr(scale), at="line " + user_line(),
        fix="leave it out: it is 1 / sqrt(width) of the keys",
    )  # fmt: skip


def _known(positions: str | None) -> str | None:
    if positions is None or positions in RELATIVE:
        return positions
    raise SettingError(
        "multi_head_attention",
        f"positions={positions!r} is not known",
        expected=", ".join(map(repr, RELATIVE)) + " or None",
        at="line " + user_line(),
        fix="sinusoidal and learned ones are added to x before: x = cr.positions(x)",
    )


def _sequence(where_: str, what: str, x: object) -> Node:
    """`x`, if it has axes of positions and features. Raises ShapeError."""
    found, _ = features(where_, x)
    if found.ndim >= 2 and isinstance(found.shape[-2], int):
        return found
    raise ShapeError(
        where_,
        f"{what} has no axis of positions",
        expected="(N, length, width), or more axes between N and the length",
        got=show(found.shape),
        at=operand_at(found),
        fix="a sequence of one position is (N, 1, width): expand_dims(x, 1)",
    )


def _heads(x: Node, heads: int, shared: int | None, width: int | None) -> tuple[int, int, int]:
    """The heads, those of keys and values, and their width."""
    where_, i = "multi_head_attention", static("multi_head_attention", x, -1)
    heads = positive(where_, "heads", heads)
    kv = heads if shared is None else positive(where_, "key_value_heads", shared)
    if heads % kv:
        raise SettingError(
            where_, "key_value_heads does not divide heads",
            expected=f"a divisor of {heads}", got=kv, at="line " + user_line(),
        )  # fmt: skip
    if width is not None:
        return heads, kv, positive(where_, "head_width", width)
    if i % heads:
        raise SettingError(
            where_, "the heads do not divide the width of x",
            expected=f"a divisor of {i}", got=f"heads={heads}",
            at=f"operand {x.label!r} {show(x.shape)}, line {user_line()}",
            fix=f"say the width of a head: head_width={max(1, i // heads)}",
        )  # fmt: skip
    return heads, kv, i // heads


def _one_dtype(where_: str, *nodes: Node) -> None:
    if len({x.dtype for x in nodes}) > 1:
        raise DTypeError(
            where_, "queries, keys and values differ in dtype",
            got=" and ".join(f"{x.dtype} {x.label!r}" for x in nodes), at="line " + user_line(),
            fix=f'say which you mean: cast(x, "{nodes[0].dtype}")',
        )  # fmt: skip


def _check(q: Node, k: Node, v: Node) -> int:
    """The heads of queries for each head of keys. Raises ShapeError where the three do not fit."""

    def wrong(what: str, expected: str, a: Node, b: Node) -> ShapeError:
        return ShapeError(
            "attention", what, expected=expected,
            got=f"{a.label!r} {show(a.shape)} and {b.label!r} {show(b.shape)}",
            at="line " + user_line(),
        )  # fmt: skip

    _one_dtype("attention", q, k, v)
    if q.shape[-1] != k.shape[-1]:
        raise wrong("queries and keys differ in width", "q.shape[-1] == k.shape[-1]", q, k)
    if k.shape[:-1] != v.shape[:-1]:
        raise wrong("keys and values differ", "k.shape[:-1] == v.shape[:-1]", k, v)
    group, lead = 1, q.shape[:-2]
    if min(q.ndim, k.ndim) > 2:
        mine, theirs = q.shape[-3], k.shape[-3]
        if isinstance(mine, int) and isinstance(theirs, int) and 1 < theirs < mine:
            if mine % theirs:
                raise wrong("the heads of keys do not divide those of queries",
                            f"a multiple of {theirs}", q, k)  # fmt: skip
            group, lead = mine // theirs, (*lead[:-1], theirs)
    try:
        broadcast_shapes("attention", lead, k.shape[:-2])
    except ShapeError:
        raise wrong("queries and keys differ in their leading axes",
                    "equal sizes, or 1, before the last two axes", q, k) from None  # fmt: skip
    return group
