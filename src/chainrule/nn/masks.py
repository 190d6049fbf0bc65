"""Masks: of attention, brought to the shape of its scores; of sequences; pooling under one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from chainrule.errors import DTypeError, SettingError, ShapeError, did_you_mean
from chainrule.graph.node import Node, NodeLike, Scope
from chainrule.graph.source import user_line
from chainrule.nn.arguments import features, operand_at, static
from chainrule.nn.combine import COMBINE
from chainrule.nn.naming import as_layer, layer_scope
from chainrule.ops import reduce
from chainrule.ops.build import as_node, broadcast_to, constant
from chainrule.ops.compare import equal, greater_equal, less, logical_and, where
from chainrule.ops.shape import expand_dims, reshape
from chainrule.types import INTEGERS, Dim, N, Shape, broadcast_shapes, show


def allowed(where_: str, mask: NodeLike | None, scores: Node, causal: bool) -> Node | None:
    """The pairs of query and key that a mask lets take part, broadcasting to `scores`; or None.

    Raises:
        DTypeError: the mask is neither boolean nor integer.
        ShapeError: it does not fit, or causal attention has not as many queries as keys.
    """
    queries, keys = static(where_, scores, -2), static(where_, scores, -1)
    if causal and queries != keys:
        raise ShapeError(
            where_,
            "causal attention has as many queries as keys",
            expected=f"{queries} keys",
            got=f"{queries} queries and {keys} keys",
            at="line " + user_line(),
            fix="say which keys a query may attend to: mask=, (queries, keys)",
        )
    return None if mask is None else _mask(where_, mask, scores)


def past(queries: npt.NDArray[np.int32], keys: int) -> Node:
    """Whether a key is not after a query, by the places of the queries: (queries, keys)."""
    return greater_equal(expand_dims(constant(queries), 1), places(keys))


def of_keys(mask: Node | None, x: Node, axis: int) -> Node:
    """`x` with zeros where a mask lets no query see a key, so that nothing there counts, NaN too.

    Args:
        mask: as `allowed` returns it. One that differs from query to query changes nothing.
        x: keys or values.
        axis: that of the keys.
    """
    if mask is None or mask.shape[:1] != (N,) or set(mask.shape[1:-1]) - {1}:
        return x
    shape: list[Dim] = [1] * x.ndim
    shape[0], shape[axis] = N, mask.shape[-1]
    return where(reshape(mask, tuple(shape)), x, 0)


def _mask(where_: str, mask: NodeLike, scores: Node) -> Node:
    x = _booleans(where_, mask, static(where_, scores, -1), fix="; numbers to add are bias=")
    pairs = f"(N, keys), (N, queries, keys), or what broadcasts to {show(scores.shape)}"
    return _fitted(where_, "the mask", x, scores.shape, pairs)


def of_sequences(where_: str, mask: NodeLike, x: Node) -> Node:
    """The positions of the sequences `x` that take part, (N, length), of a mask or of lengths.

    Raises:
        DTypeError: the mask is neither boolean nor integer. ShapeError: it does not fit.
    """
    shape = x.shape[:2]
    part = _booleans(where_, mask, static(where_, x, 1 - x.ndim), shape[:1])
    expected = f"{show(shape)} booleans, or {show(shape[:1])} lengths"
    return broadcast_to(_fitted(where_, "the mask", part, shape, expected), shape)


def before(lengths: Node, size: int) -> Node:
    """Whether each of `size` places is before the end: (...) lengths -> (..., size) booleans."""
    return less(constant(np.arange(size), lengths.dtype), expand_dims(lengths, -1))


def _booleans(where_: str, mask: NodeLike, size: int, batch: Shape = (N,), fix: str = "") -> Node:
    """A mask as booleans, made of the lengths of sequences if it has those."""
    x = as_node(mask)
    if x.dtype in INTEGERS and x.shape == batch:
        return before(x, size)
    if x.dtype != "bool":
        raise DTypeError(
            where_,
            f"a mask is boolean, True for what takes part; or integer lengths, {show(batch)}",
            expected="bool, or int32 or int64",
            got=str(x.type),
            at=operand_at(x),
            fix="compare: mask=cr.not_equal(tokens, 0)" + fix,
        )
    return x


def biased(where_: str, bias: NodeLike, scores: Node) -> Node:
    """A bias that broadcasts to the scores. Raises ShapeError, DTypeError."""
    numbers = isinstance(bias, Node) or np.asarray(bias).dtype != bool
    x = as_node(bias, scores.dtype if numbers else None)
    if x.dtype != scores.dtype:
        raise DTypeError(
            where_,
            "the bias differs in dtype from queries and keys",
            expected=scores.dtype,
            got=str(x.type),
            at=operand_at(x),
            fix="a boolean bias is a mask: mask="
            if x.dtype == "bool"
            else f'cast(bias, "{scores.dtype}")',
        )
    pairs = f"(queries, keys), or what broadcasts to {show(scores.shape)}"
    return _fitted(where_, "the bias", x, scores.shape, pairs)


def _fitted(where_: str, what: str, x: Node, want: Shape, expected: str) -> Node:
    """`x` with axes of size 1 after N, so that it broadcasts to a shape. Raises ShapeError."""
    shape = x.shape
    if want[:1] == (N,) and shape[:1] == (N,) and x.ndim < len(want):
        shape = (N, *(1,) * (len(want) - x.ndim), *shape[1:])
    if _broadcasts(where_, shape, want):
        return reshape(x, shape)
    raise ShapeError(
        where_,
        f"{what} does not fit",
        expected=expected,
        got=show(x.shape),
        at=operand_at(x),
    )


def _broadcasts(where_: str, shape: Shape, want: Shape) -> bool:
    try:
        return broadcast_shapes(where_, shape, want) == want
    except ShapeError:
        return False


def places(size: int) -> Node:
    """0, 1, ... up to before `size`, as int32."""
    return constant(np.arange(size, dtype=np.int32))


# ---------------------------------------------------------------- pooling

POOLS = ("mean", "max", "sum", "first", "last")


def sequence_pool(
    x: Node, kind: str = "mean", *, mask: NodeLike | None = None, name: str | None = None
) -> Node:
    """One vector for each sequence: (N, length, width) becomes (N, width).

    Args:
        x: (N, length, width).
        kind: "mean", "max" or "sum" over the positions that take part, or the "first" or "last" of
            them. Where none does, the result is 0.
        mask: the positions that take part: booleans (N, length), or lengths (N,) as integers;
            None: all.
        name: of the layer.

    Raises:
        SettingError: `kind` is not known. ShapeError: `x` is not (N, length, width), or the mask
            does not fit. DTypeError: the mask is neither boolean nor integer.
    """
    x, _ = features("sequence_pool", x)
    if kind not in POOLS:
        raise SettingError(
            "sequence_pool", f"no pooling is named {kind!r}", at="line " + user_line(),
            fix=did_you_mean(kind, POOLS),
        )  # fmt: skip
    if x.ndim != 3 or x.shape[0] is not N:
        raise ShapeError(
            "sequence_pool", "the operand is not a sequence", expected="(N, length, width)",
            got=show(x.shape), at=operand_at(x),
        )  # fmt: skip
    scope, operands = layer_scope(name, "sequence_pool"), [x]
    if mask is None:
        return as_layer(scope, _pooled(scope, x, kind, None), operands)
    operands += [mask] if isinstance(mask, Node) else []
    part = of_sequences("sequence_pool", mask, x)
    return as_layer(scope, _pooled(scope, x, kind, part), operands)


def _pooled(scope: Scope, x: Node, kind: str, part: Node | None) -> Node:
    """The pooling of the positions for which `part`, (N, length), holds; None: of all."""
    if kind in COMBINE:
        return COMBINE[kind](x, part, None, scope)
    if part is None:
        return x[:, 0 if kind == "first" else -1]
    order = reduce.cumsum(part, 1, reverse=kind == "last")
    return COMBINE["sum"](x, logical_and(part, equal(order, 1)), None, scope)
