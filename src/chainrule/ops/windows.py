"""Windows that slide along axes, and their sum at their places: the parts of convolutions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from chainrule.errors import SettingError, ShapeError
from chainrule.graph.attributes import AXIS, FILL, NATURALS
from chainrule.graph.node import Array, Node, NodeLike, Operation, apply
from chainrule.graph.op import Op, Reduce, Values, View, function, op
from chainrule.ir.index import Place, add, call, clamp, const, div_mod, in_bounds, mul
from chainrule.ir.kernel import Const, Expr
from chainrule.ops.adjoint import product_of_windows
from chainrule.ops.build import accumulator, as_node, constant, numeric
from chainrule.ops.slicing import PAD
from chainrule.types import Dim, Shape, TensorType, show

Ints = tuple[int, ...]

# ---------------------------------------------------------------- the two ops: each other's adjoint
# Along each axis, window `p` has the padded places p * stride + i * dilation for i below its size.


def static(dim: Dim) -> int:
    """A size that is not N."""
    assert isinstance(dim, int)
    return dim


def span(size: int, dilation: int) -> int:
    """The places from the first of a window to its last."""
    return dilation * (size - 1) + 1


def _check(where: str, ndim: int, axis: int, *settings: Ints) -> int:
    """The number of axes along which windows slide."""
    count = len(settings[0])
    if not count or {len(x) for x in settings} != {count} or axis + count > ndim:
        raise ShapeError(
            where,
            "the settings do not fit the axes",
            expected=f"an integer for each of the axes from {axis} on, of {ndim} axes",
            got=", ".join(map(str, settings)),
        )
    return count


def _at_least_one(where: str, **settings: Ints) -> None:
    for name, values in settings.items():
        if min(values) < 1:
            raise SettingError(where, f"{name} is at least 1", got=f"{name}={show(values)}")


def _infer_windows(
    x: TensorType, axis: int, size: Ints, stride: Ints, dilation: Ints, before: Ints, after: Ints,
    fill: float,
) -> TensorType:  # fmt: skip
    d = _check("windows", x.ndim, axis, size, stride, dilation, before, after)
    _at_least_one("windows", size=size, stride=stride, dilation=dilation)
    places = []
    for a in range(d):
        dim, wide = x.shape[axis + a], span(size[a], dilation[a])
        if not isinstance(dim, int):
            raise ShapeError(
                "windows", "windows do not slide along the batch axis", got=f"axis {axis + a}"
            )
        if dim + before[a] + after[a] < wide:
            raise ShapeError(
                "windows",
                f"the window is longer than axis {axis + a}",
                expected=f"at most {dim + before[a] + after[a]} places: {dim}, "
                f"padded by {before[a]} and {after[a]}",
                got=f"size {size[a]}" + (f" with dilation {dilation[a]}" * (dilation[a] > 1)),
                fix="choose a smaller size, or more padding",
            )
        places.append((dim + before[a] + after[a] - wide) // stride[a] + 1)
    shape = (*x.shape[:axis], *places, *size, *x.shape[axis + d :])
    names = (*x.names[: axis + d], *(None,) * d, *x.names[axis + d :]) if x.axes else ()
    return TensorType(shape, x.dtype, names)


def _forward_windows(
    x: Array, axis: int, size: Ints, stride: Ints, dilation: Ints, before: Ints, after: Ints,
    fill: float,
) -> Array:  # fmt: skip
    d = len(size)
    if any(before) or any(after):
        widths = [(0, 0)] * x.ndim
        widths[axis : axis + d] = zip(before, after, strict=True)
        x = np.pad(x, widths, constant_values=fill)
    axes = tuple(range(axis, axis + d))
    wide = tuple(map(span, size, dilation))
    y = np.lib.stride_tricks.sliding_window_view(x, wide, axes)
    y = np.moveaxis(y, range(x.ndim, x.ndim + d), range(axis + d, axis + 2 * d))
    steps = [slice(None, None, step) for step in (*stride, *dilation)]
    found: Array = y[(*[slice(None)] * axis, *steps)]
    return found


def _padded(
    x: Node, axis: int, size: Ints, stride: Ints, dilation: Ints, before: Ints, after: Ints,
    fill: float,
) -> Node | None:  # fmt: skip
    """Windows of a padded copy, of which each is a view."""
    if not any(before) and not any(after):
        return None
    d = len(size)
    start = [0] * x.ndim
    start[axis : axis + d] = before
    sizes = list[Dim](x.shape)
    for a in range(d):
        sizes[axis + a] = static(x.shape[axis + a]) + before[a] + after[a]
    whole = apply(PAD, x, start=tuple(start), step=(1,) * x.ndim, shape=tuple(sizes), value=fill)
    none = (0,) * d
    return apply(
        WINDOWS, whole, axis=axis, size=size, stride=stride, dilation=dilation, before=none,
        after=none, fill=fill,
    )  # fmt: skip


def _lower_windows(node: Operation, place: Place) -> Place:
    axis, size = node.attributes["axis"], node.attributes["size"]
    stride, dilation, d = node.attributes["stride"], node.attributes["dilation"], len(size)
    at = [
        add(mul(place[axis + a], stride[a]), mul(place[axis + d + a], dilation[a]))
        for a in range(d)
    ]
    return (*place[:axis], *at, *place[axis + 2 * d :])


WINDOWS = op(
    "windows",
    "view",
    infer=_infer_windows,
    attributes={
        "axis": AXIS, "size": NATURALS, "stride": NATURALS, "dilation": NATURALS,
        "before": NATURALS, "after": NATURALS, "fill": FILL,
    },
    forward=_forward_windows,
    gradient=lambda gy, y, x, axis, size, stride, dilation, before, after, fill: (
        apply(
            OVERLAP_ADD, gy, axis=axis, lengths=x.shape[axis : axis + len(size)], stride=stride,
            dilation=dilation, before=before,
        ),
    ),
    decompose=_padded,
    lower=View(_lower_windows, spreads=True),
    formula="windows({0}, size {size}, stride {stride}, dilation {dilation}, "
    "padded by {before} and {after} with {fill})",
)  # fmt: skip


def _infer_overlap_add(
    y: TensorType, axis: int, lengths: Ints, stride: Ints, dilation: Ints, before: Ints
) -> TensorType:
    d = _check("overlap_add", y.ndim - len(lengths), axis, lengths, stride, dilation, before)
    _at_least_one("overlap_add", stride=stride, dilation=dilation)
    if any(not isinstance(dim, int) for dim in y.shape[axis : axis + 2 * d]):
        raise ShapeError("overlap_add", "windows do not slide along the batch axis", got=str(y))
    kept = (*y.shape[:axis], *lengths, *y.shape[axis + 2 * d :])
    names = (*y.names[: axis + d], *y.names[axis + 2 * d :]) if y.axes else ()
    return TensorType(kept, numeric("overlap_add")(y).dtype, names)


def _forward_overlap_add(
    y: Array, axis: int, lengths: Ints, stride: Ints, dilation: Ints, before: Ints
) -> Array:
    d = len(lengths)
    places, size = y.shape[axis : axis + d], y.shape[axis + d : axis + 2 * d]
    reach = [
        max((p - 1) * s + span(k, by), b + length) if p and k else b + length
        for p, s, k, by, b, length in zip(
            places, stride, size, dilation, before, lengths, strict=True
        )
    ]
    total = np.zeros((*y.shape[:axis], *reach, *y.shape[axis + 2 * d :]), accumulator(y))
    lead = (slice(None),) * axis
    for offset in reversed([*product(*map(range, size))]):
        at = [
            slice(i * by, i * by + s * (p - 1) + 1 if p else i * by, s)
            for i, by, s, p in zip(offset, dilation, stride, places, strict=True)
        ]
        terms: tuple[Any, ...] = (*lead, *[slice(None)] * d, *offset)
        total[(*lead, *at)] += y[terms]
    part = [slice(b, b + length) for b, length in zip(before, lengths, strict=True)]
    found: Array = total[(*lead, *part)]
    return found.astype(y.dtype, copy=False)


def _lower_overlap_add(
    node: Operation, place: Place, value: Values, loop: Callable[[Dim], Expr]
) -> Expr:
    """The elements of the windows that cover a place."""
    y, axis = node.operands[0], node.attributes["axis"]
    d = len(node.attributes["lengths"])
    if 0 in y.shape[axis : axis + 2 * d]:
        return Const(0, node.dtype)
    windows, within = list[Expr](), list[Expr]()
    inside: Expr | None = None
    for a in range(d):
        count, size = y.shape[axis + a], y.shape[axis + d + a]
        stride, by = node.attributes["stride"][a], node.attributes["dilation"][a]
        at = add(place[axis + a], const(node.attributes["before"][a]))
        for condition in _covering(at, count, size, stride, by, loop, windows, within):
            inside = condition if inside is None else call("and", "bool", inside, condition)
    term = value(y, (*place[:axis], *windows, *within, *place[axis + d :]))
    if inside is None:
        return term
    return call("select", node.dtype, inside, term, Const(0, node.dtype))


def _covering(
    at: Expr, count: Dim, size: Dim, stride: int, dilation: int, loop: Callable[[Dim], Expr],
    windows: list[Expr], within: list[Expr],
) -> Iterator[Expr]:  # fmt: skip
    """Append a window and the position in it that is the place `at`; gives the conditions."""
    size = static(size)
    if dilation == 1:  # as many windows as cover a place, the last one first
        turn = loop(math.ceil(size / stride))
        last, rest = div_mod(at, stride)
        window = add(last, mul(turn, -1))
        position = add(rest, mul(turn, stride))
        if size % stride:
            yield call("lt", "bool", position, const(size))
            position = clamp(position, size)
    else:
        position = loop(size)
        window, rest = div_mod(add(at, mul(position, -dilation)), stride)
        if stride > 1:
            yield call("eq", "bool", rest, const(0))
    yield in_bounds(window, count)
    windows.append(clamp(window, count))
    within.append(position)


OVERLAP_ADD: Op = op(
    "overlap_add",
    "reduce",
    infer=_infer_overlap_add,
    attributes={
        "axis": AXIS, "lengths": NATURALS, "stride": NATURALS, "dilation": NATURALS,
        "before": NATURALS,
    },
    forward=_forward_overlap_add,
    gradient=lambda gy, y, x, axis, lengths, stride, dilation, before: (
        _windows_of(gy, x.shape, axis, stride, dilation, before),
    ),
    decompose=lambda y, **settings: product_of_windows(y, **settings),
    lower=Reduce("sum", _lower_overlap_add, rereads=False),
    formula="overlap_add({0}, to {lengths}, stride {stride}, dilation {dilation}, from {before})",
    convention="The adjoint of windows: each element is added to its place; those in the margin "
    "are dropped. float32 is accumulated in float64.",
)  # fmt: skip


def _windows_of(
    gy: Node, shape: Shape, axis: int, stride: Ints, dilation: Ints, before: Ints
) -> Node:
    """The windows of which `shape` has one element each; what lies beyond `gy` is 0."""
    d = len(stride)
    places, size = shape[axis : axis + d], shape[axis + d : axis + 2 * d]
    after, cut = list[int](), [slice(None)] * axis
    for a in range(d):
        p, k, dim = map(static, (places[a], size[a], gy.shape[axis + a]))
        reach = (p - 1) * stride[a] + span(k, dilation[a])
        after.append(max(0, reach - before[a] - dim))
        cut.append(slice(p))
    windows = apply(
        WINDOWS, gy, axis=axis, size=size, stride=stride, dilation=dilation, before=before,
        after=tuple(after), fill=0.0,
    )  # fmt: skip
    return windows if windows.shape == shape else windows[(*cut,)]


# ---------------------------------------------------------------- the functions


def _each(where: str, name: str, value: Any, count: int, least: int) -> Ints:
    """A setting as an integer for each axis."""
    values = (value,) * count if not isinstance(value, Sequence) else tuple(value)
    if len(values) != count or any(type(v) is not int or v < least for v in values):
        raise SettingError(
            where,
            f"{name} does not fit",
            expected=f"an integer of at least {least}, or {count} of them, one for each axis",
            got=f"{name}={value!r}",
        )
    return values


def _margins(where: str, padding: Any, count: int) -> tuple[Ints, Ints]:
    """The padding before and after, for each axis."""
    given = (padding,) * count if not isinstance(padding, Sequence) else tuple(padding)
    pairs = [tuple(p) if isinstance(p, Sequence) else (p, p) for p in given]
    fits = all(len(p) == 2 and all(type(v) is int and v >= 0 for v in p) for p in pairs)
    if len(pairs) != count or not fits:
        raise SettingError(
            where,
            "padding does not fit",
            expected="an integer of at least 0, or for each axis one or a pair (before, after)",
            got=f"padding={padding!r}",
        )
    return tuple(b for b, _ in pairs), tuple(a for _, a in pairs)


@function
def windows(
    x: NodeLike,
    size: int | Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
    padding: int | Sequence[int | tuple[int, int]] = 0,
    fill: float = 0.0,
    axis: int = 1,
) -> Node:
    """The windows of `x` along some axes: (N, h, w, c) -> (N, places, places, kh, kw, c).

    Window `p` has the elements `p * stride + i * dilation` of the padded axis, for each `i` below
    its size. A convolution is an einsum of it: "nyxijc,ijco->nyxo".

    Args:
        x: any node.
        size: of a window along each axis; an integer for a single axis.
        stride: the distance between windows, for all axes or for each.
        dilation: the distance between the elements of a window.
        padding: the elements that are added before and after each axis.
        fill: what they are, such as -inf where a maximum is taken.
        axis: the first of the axes; the others follow it. The places stand where these axes
            were, and the axes of the window after them.

    Raises:
        ShapeError: a window is longer than the padded axis, or an axis is the batch axis.
        SettingError: a setting is not such a number. DTypeError: `fill` does not fit in the dtype.
    """
    x = as_node(x)
    sizes = (size,) if not isinstance(size, Sequence) else tuple(size)
    d = len(sizes)
    before, after = _margins("windows", padding, d)
    value = constant(fill, x.dtype).attributes["value"].item()  # type: ignore[attr-defined]
    return apply(
        WINDOWS,
        x,
        axis=_first_axis("windows", axis, x.ndim, d),
        size=_each("windows", "size", sizes, d, 1),
        stride=_each("windows", "stride", stride, d, 1),
        dilation=_each("windows", "dilation", dilation, d, 1),
        before=before,
        after=after,
        fill=value,
    )


@function
def overlap_add(
    y: NodeLike,
    lengths: int | Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
    padding: int | Sequence[int | tuple[int, int]] = 0,
    axis: int = 1,
) -> Node:
    """The sum of windows at their places, the adjoint of `windows`: (N, p, q, kh, kw, c) to images.

    A transposed convolution is one of an einsum: "nyxc,ijoc->nyxijo".

    Args:
        y: windows, with the axes that `windows` gives.
        lengths: the sizes of the axes of the result, without padding.
        stride, dilation, axis: as of `windows`.
        padding: as of `windows`; what is added in the margin is dropped.

    Raises:
        ShapeError: the axes do not fit. SettingError: a setting is not such a number. DTypeError:
            `y` is not of numbers.
    """
    y = as_node(y)
    to = (lengths,) if not isinstance(lengths, Sequence) else tuple(lengths)
    d = len(to)
    before, _ = _margins("overlap_add", padding, d)
    return apply(
        OVERLAP_ADD,
        y,
        axis=_first_axis("overlap_add", axis, y.ndim - d, d),
        lengths=_each("overlap_add", "lengths", to, d, 0),
        stride=_each("overlap_add", "stride", stride, d, 1),
        dilation=_each("overlap_add", "dilation", dilation, d, 1),
        before=before,
    )


def _first_axis(where: str, axis: int, ndim: int, count: int) -> int:
    if type(axis) is not int or not 0 <= axis <= ndim - count or not count:
        raise ShapeError(
            where,
            f"{count} axes from axis {axis} on do not fit",
            expected=f"an axis from 0 to {ndim - count}" if ndim >= count > 0 else "more axes",
            got=f"axis={axis!r} of {ndim} axes",
        )
    return axis
