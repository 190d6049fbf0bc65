"""The sum of windows that are products, as one product over windows: no window is made.

    overlap_add(einsum("nyxo,ijco->nyxijc", g, w)) = einsum("nyxijo,ijoc->nyxc", windows(g'), w')

g' is g, padded; w' has the positions in a window backwards. With a stride of s, the places of the
result that leave the same rest by s meet the same positions: they are columns of their own.
"""

from __future__ import annotations

import string
from dataclasses import dataclass

from chainrule.graph.node import Node, Operation, apply
from chainrule.graph.op import lookup
from chainrule.ops.build import CAST
from chainrule.ops.einsum import EINSUM, labels_of
from chainrule.ops.shape import reshape, transpose
from chainrule.ops.slicing import PAD
from chainrule.types import Dim, N

Ints = tuple[int, ...]


@dataclass(frozen=True)
class _Axis:
    """One axis along which windows slide.

    Attributes:
        turns: the windows that a place of the result is in, with the same rest.
        rests: the rests by the stride that occur in a window.
        each: the rests.
        first, step: the place of the first element of g in g', and of the others after it.
        places: those of the result, counted for each rest.
        reach: the length of g'.
        dilation: between the windows of g'.
        cut: the first place of the result, rests and places counted together.
        shift: zeros before a window that let the first place of the result have rest 0.
    """

    turns: int
    rests: int
    each: int
    first: int
    step: int
    places: int
    reach: int
    dilation: int
    cut: int
    shift: int = 0


def _axis(size: int, length: int, stride: int, dilation: int, before: int) -> _Axis:
    if stride == 1 or dilation > 1:
        reach = (size - 1) * dilation
        first = reach - before
        return _Axis(size, 1, 1, first, stride, length, length + reach, dilation, 0)
    turns, shift = -(-size // stride), -before % stride
    if size < stride or size + shift > turns * stride:
        shift = 0
    size, before = size + shift, before + shift
    low = before // stride
    places = (before + length - 1) // stride - low + 1
    first = turns - 1 - low
    rests = min(size, stride)
    cut = before - stride * low
    return _Axis(turns, rests, stride, first, 1, places, places + turns - 1, 1, cut, shift)


def product_of_windows(
    y: Node, axis: int, lengths: Ints, stride: Ints, dilation: Ints, before: Ints
) -> Node | None:
    """The node of the sum of windows `y`; None where they are not a product of such a form."""
    if not isinstance(y, Operation) or y.op is not EINSUM:
        return None
    a, b, out = labels_of(y.attributes["equation"])
    g, w = y.operands
    d = len(lengths)
    windows, within = out[axis : axis + d], out[axis + d : axis + 2 * d]
    if set(within) <= set(a):
        a, b, g, w = b, a, w, g
    at = a.find(windows)
    if at < 0 or not set(within) <= set(b) or set(windows) & set(b) or set(within) & set(a):
        return None
    if 0 in y.shape or 0 in lengths or N in w.shape:
        return None
    sizes = y.shape[axis + d : axis + 2 * d]
    along = [
        _axis(int(size), *given)  # type: ignore[arg-type]
        for size, *given in zip(sizes, lengths, stride, dilation, before, strict=True)
    ]
    moved = _moved(g, at, along)
    if moved is None:
        return None
    free = [s for s in string.ascii_letters if s not in a + b + out]
    turns, rests = free[:d], free[d : 2 * d]
    label, weights = _backwards(w, b, within, out, along, turns, rests)
    slid = apply(
        lookup("windows"), moved, axis=at, size=tuple(x.turns for x in along), stride=(1,) * d,
        dilation=tuple(x.dilation for x in along), before=(0,) * d, after=(0,) * d, fill=0.0,
    )  # fmt: skip
    left = a[: at + d] + "".join(turns) + a[at + d :]
    pairs = "".join(p + r for p, r in zip(windows, rests, strict=True))
    result = out[:axis] + pairs + out[axis + 2 * d :]
    made = apply(EINSUM, slid, weights, equation=f"{left},{label}->{result}")
    return _joined(made, axis, along, lengths)


def _moved(g: Node, at: int, along: list[_Axis]) -> Node | None:
    """g', with zeros around and between; None if nothing of g is in it."""
    start, step, parts, shape = [0] * g.ndim, [1] * g.ndim, [slice(None)] * g.ndim, list(g.shape)
    for k, x in enumerate(along, start=at):
        count = int(g.shape[k])  # type: ignore[arg-type]
        low = max(0, -(x.first // x.step))
        high = min(count, (x.reach - 1 - x.first) // x.step + 1)
        if high <= low:
            return None
        parts[k], start[k], step[k] = slice(low, high), x.first + low * x.step, x.step
        shape[k] = x.reach
    part: Node = g[(*parts,)]
    if part.shape == tuple(shape):
        return part
    return apply(PAD, part, start=tuple(start), step=tuple(step), shape=tuple(shape), value=0.0)


def _backwards(
    w: Node, label: str, within: str, out: str, along: list[_Axis], turns: list[str],
    rests: list[str],
) -> tuple[str, Node]:  # fmt: skip
    """w', in memory as it is read: turns, what is summed over, shared axes, rests, columns."""
    widths = [(0, 0)] * len(label)
    shape, names = list[Dim](), ""
    keys = [slice(None)] * (len(label) + len(along))
    for k, s in enumerate(label):
        if s not in within:
            shape.append(w.shape[k])
            names += s
            continue
        x, turn = along[within.index(s)], within.index(s)
        widths[k] = (x.shift, x.turns * x.rests - int(w.shape[k]))  # type: ignore[arg-type]
        keys[len(shape)] = slice(None, None, -1)
        shape += [x.turns, x.rests]
        names += turns[turn] + rests[turn]
    if any(more for _, more in widths):
        start = tuple(first for first, _ in widths)
        whole = tuple(int(n) + more for n, (_, more) in zip(w.shape, widths, strict=True))  # type: ignore[arg-type]
        w = apply(PAD, w, start=start, step=(1,) * w.ndim, shape=whole, value=0.0)
    w = reshape(w, shape)[(*keys,)]
    rest = [s for s in names if s not in (*turns, *rests)]
    order = [
        *turns,
        *(s for s in rest if s not in out),
        *(s for s in out if s in rest and s not in out[-1:]),
        *rests,
        *(s for s in out[-1:] if s in rest),
    ]
    w = transpose(w, [names.index(s) for s in order])
    return "".join(order), apply(CAST, w, dtype=w.dtype)


def _joined(y: Node, axis: int, along: list[_Axis], lengths: Ints) -> Node:
    """The result, whose places and rests are axes, in places."""
    shape, start, joined = list(y.shape), [0] * y.ndim, list(y.shape[:axis])
    for k, x in enumerate(along):
        shape[axis + 2 * k + 1] = x.each
        joined.append(x.places * x.each)
    joined += y.shape[axis + 2 * len(along) :]
    if tuple(shape) != y.shape:
        y = apply(PAD, y, start=tuple(start), step=(1,) * y.ndim, shape=tuple(shape), value=0.0)
    parts = [slice(None)] * axis
    parts += [slice(x.cut, x.cut + n) for x, n in zip(along, lengths, strict=True)]
    found: Node = reshape(y, joined)[(*parts,)]
    return found
