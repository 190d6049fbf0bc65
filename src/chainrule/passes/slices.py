"""Slices of arrays that were just put together: of a pad or a concat, they are slices of a part."""

from __future__ import annotations

from chainrule.graph.node import Node, Operation, apply
from chainrule.ops.build import BROADCAST_TO, broadcast_to, constant
from chainrule.ops.join import CONCAT
from chainrule.ops.shape import RESHAPE
from chainrule.ops.slicing import PAD, SLICE

Starts = tuple[int, ...]


def sliced(x: Operation) -> Node:
    """An equal node that reads less; `x` itself where there is none."""
    y = x.operands[0] if x.op is SLICE else None
    if not isinstance(y, Operation) or set(x.attributes["step"]) - {1}:
        return x
    if y.op is PAD and set(y.attributes["step"]) <= {1}:
        return _of_pad(x, y)
    return _of_concat(x, y) if y.op is CONCAT and len(y.operands) > 1 else x  # one: a copy


def is_zero(x: Node) -> bool:
    """Whether all elements are the constant 0, repeated."""
    while isinstance(x, Operation) and x.op in (RESHAPE, BROADCAST_TO):
        x = x.operands[0]
    value = x.attributes.get("value") if isinstance(x, Operation) and not x.operands else None
    return value is not None and value.size == 1 and not value.any()


def _of_pad(x: Operation, y: Operation) -> Node:
    """The slice of the padded array, of its margin, or of both."""
    (part,), away = y.operands, []
    inside = True
    rows = zip(x.attributes["start"], x.shape, y.attributes["start"], part.shape, strict=True)
    for first, size, begin, length in rows:
        away.append(first - begin)
        if not isinstance(size, int) or not isinstance(length, int):
            continue
        if first >= begin + length or first + size <= begin:
            return broadcast_to(constant(y.attributes["value"], x.dtype), x.shape)
        inside &= begin <= first and first + size <= begin + length
    return _part(x, part, tuple(away)) if inside else x


def _of_concat(x: Operation, y: Operation) -> Node:
    """The slice of the operand in which it lies, if it is one."""
    axis, start = y.attributes["axis"], x.attributes["start"]
    size, end = x.shape[axis], 0
    for part in y.operands:
        begin, length = end, part.shape[axis]
        if not isinstance(length, int) or not isinstance(size, int):
            return x
        end += length
        if begin <= start[axis] and start[axis] + size <= end:
            return _part(x, part, (*start[:axis], start[axis] - begin, *start[axis + 1 :]))
    return x


def _part(x: Operation, part: Node, start: Starts) -> Node:
    if part.shape == x.shape:
        return part
    return apply(SLICE, part, start=start, step=(1,) * part.ndim, shape=x.shape)
