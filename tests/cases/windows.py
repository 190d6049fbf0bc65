"""Rows of the op cases: windows along axes, and their sums at their places."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from cases.case import Bad, Case
from chainrule.errors import DTypeError, SettingError, ShapeError
from chainrule.graph.leaves import input
from chainrule.ops.build import constant
from chainrule.ops.einsum import einsum
from chainrule.ops.windows import overlap_add, windows

LINE = constant(np.arange(5, dtype="float32"))
TABLE = constant(np.zeros((2, 3), "float32"))
BATCH = input("x", (4,))


def _places(
    shape: tuple[int, ...], axis: int, size: Any, stride: Any, dilation: Any, padding: Any
) -> tuple[list[int], Any]:
    """The numbers of windows, and for each (window, offset) the place, or None in the margin."""
    counts = []
    for a, k in enumerate(size):
        whole = shape[axis + a] + sum(padding[a])
        counts.append((whole - dilation[a] * (k - 1) - 1) // stride[a] + 1)

    def at(window: Any, offset: Any) -> tuple[int, ...] | None:
        found = tuple(
            p * s + i * d - b[0]
            for p, i, s, d, b in zip(window, offset, stride, dilation, padding, strict=True)
        )
        inside = (0 <= p < shape[axis + a] for a, p in enumerate(found))
        return found if all(inside) else None

    return counts, at


def slow_windows(
    x: np.ndarray, *, size: Any, stride: Any, dilation: Any, padding: Any, fill: float, axis: int
) -> np.ndarray:
    """Windows, element by element."""
    counts, at = _places(x.shape, axis, size, stride, dilation, padding)
    rest = x.shape[axis + len(size) :]
    y = np.full((*x.shape[:axis], *counts, *size, *rest), fill, x.dtype)
    lead = (slice(None),) * axis
    for window in product(*map(range, counts)):
        for offset in product(*map(range, size)):
            place = at(window, offset)
            if place is not None:
                y[(*lead, *window, *offset)] = x[(*lead, *place)]
    return y


def slow_overlap_add(
    y: np.ndarray, *, lengths: Any, stride: Any, dilation: Any, padding: Any, axis: int
) -> np.ndarray:
    """Sums of windows, element by element."""
    d = len(lengths)
    counts, size = y.shape[axis : axis + d], y.shape[axis + d : axis + 2 * d]
    x = np.zeros((*y.shape[:axis], *lengths, *y.shape[axis + 2 * d :]), y.dtype)
    _, at = _places(x.shape, axis, size, stride, dilation, padding)
    lead = (slice(None),) * axis
    for window in product(*map(range, counts)):
        for offset in product(*map(range, size)):
            place = at(window, offset)
            if place is not None:
                x[(*lead, *place)] += y[(*lead, *window, *offset)]
    return x


def slid(name: str, *shapes: tuple[int, ...], **given: Any) -> Case:
    """A row of windows with all settings."""
    d = len(given["size"])
    known = {"stride": (1,) * d, "dilation": (1,) * d, "padding": ((0, 0),) * d, "fill": 0.0}
    return Case(
        f"windows, {name}", windows, slow_windows, tuple((s,) for s in shapes),
        {**known, "axis": 1, **given}, ops=("windows", "overlap_add"), batch=(0,),
    )  # fmt: skip


def added(name: str, *shapes: tuple[int, ...], **given: Any) -> Case:
    """A row of sums of windows with all settings."""
    d = len(given["lengths"])
    known = {"stride": (1,) * d, "dilation": (1,) * d, "padding": ((0, 0),) * d}
    return Case(
        f"overlap_add, {name}", overlap_add, slow_overlap_add, tuple((s,) for s in shapes),
        {**known, "axis": 1, **given}, ops=("windows", "overlap_add"), batch=(0,),
    )  # fmt: skip


def convolved(
    name: str, equation: str, *shapes: tuple[tuple[int, ...], tuple[int, ...]], **given: Any
) -> Case:
    """A row of a convolution, whose machine code makes no windows."""
    d = len(given["size"])
    known = {"stride": (1,) * d, "dilation": (1,) * d, "padding": ((0, 0),) * d}
    return Case(
        f"convolution, {name}",
        lambda x, w, **settings: einsum(equation, windows(x, axis=1, **settings), w),
        lambda x, w, **settings: np.einsum(
            equation, slow_windows(x, axis=1, fill=0.0, **settings), w
        ),
        shapes, {**known, **given}, ops=("windows", "overlap_add", "einsum"), batch=(0,),
        tolerance={"float32": 1e-4, "float64": 1e-11},
    )  # fmt: skip


def transposed(name: str, *shapes: tuple[tuple[int, ...], tuple[int, ...]], **given: Any) -> Case:
    """A row of a transposed convolution."""
    known = {"stride": (1, 1), "dilation": (1, 1), "padding": ((0, 0), (0, 0))}
    equation = "nyxc,ijoc->nyxijo"
    return Case(
        f"transposed convolution, {name}",
        lambda x, w, **settings: overlap_add(einsum(equation, x, w), axis=1, **settings),
        lambda x, w, **settings: slow_overlap_add(
            np.einsum(equation, x, w), axis=1, **settings
        ),
        shapes, {**known, **given}, ops=("windows", "overlap_add", "einsum"), batch=(0,),
        tolerance={"float32": 1e-4, "float64": 1e-11},
    )  # fmt: skip


PLAIN = "nyxijc,ijco->nyxo"
SAME = ((1, 1), (1, 1))

CONVOLUTIONS = (
    convolved("one channel", PLAIN, ((3, 6, 5, 1), (3, 3, 1, 6)), size=(3, 3), padding=SAME),
    convolved("many", PLAIN, ((2, 9, 8, 7), (3, 2, 7, 17)), size=(3, 2), padding=((1, 1), (0, 1))),
    convolved("stride", PLAIN, ((2, 8, 7, 3), (3, 3, 3, 4)),
              size=(3, 3), stride=(2, 3), padding=SAME),
    convolved("1 x 1", PLAIN, ((2, 4, 5, 3), (1, 1, 3, 4)), size=(1, 1)),
    convolved("1 x 1, stride", PLAIN, ((2, 5, 4, 3), (1, 1, 3, 4)), size=(1, 1), stride=(2, 2)),
    convolved("stride over size", PLAIN, ((2, 9, 8, 2), (2, 2, 2, 3)), size=(2, 2), stride=(3, 4)),
    convolved("dilation", PLAIN, ((2, 8, 7, 2), (3, 2, 2, 3)),
              size=(3, 2), dilation=(2, 3), padding=SAME),
    convolved("stride, dilation", PLAIN, ((2, 9, 9, 2), (3, 3, 2, 3)), size=(3, 3), dilation=(2, 2),
              stride=(2, 2), padding=SAME),
    convolved("much padding", PLAIN, ((2, 3, 3, 2), (2, 2, 2, 3)),
              size=(2, 2), padding=((4, 3), (3, 5))),
    convolved("one filter", PLAIN, ((2, 5, 5, 3), (3, 3, 3, 1)), size=(3, 3)),
    convolved("groups", "nyxijgc,ijcgo->nyxgo", ((2, 6, 5, 2, 3), (3, 3, 3, 2, 4)), size=(3, 3)),
    convolved("depthwise", "nyxijc,ijc->nyxc", ((2, 6, 7, 5), (3, 3, 5)),
              size=(3, 3), padding=SAME),
    convolved("depthwise, stride", "nyxijc,ijc->nyxc", ((2, 6, 7, 18), (3, 3, 18)),
              size=(3, 3), stride=(2, 2)),
    convolved("depthwise, two each", "nyxijc,ijcm->nyxcm", ((2, 5, 5, 3), (3, 3, 3, 2)),
              size=(3, 3)),
    convolved("signals", "npic,ico->npo", ((3, 20, 4), (5, 4, 6)),
              size=(5,), stride=(2,), padding=((2, 2),)),
    convolved("volumes", "nzyxhijc,hijco->nzyxo", ((2, 4, 3, 5, 2), (2, 3, 3, 2, 3)),
              size=(2, 3, 3), padding=((1, 0), *SAME)),
    transposed("stride", ((2, 4, 3, 3), (3, 3, 2, 3)), lengths=(8, 7), stride=(2, 2), padding=SAME),
    transposed("plain", ((2, 4, 3, 3), (2, 3, 5, 3)), lengths=(5, 5)),
    transposed("dilation", ((2, 4, 3, 3), (2, 3, 2, 3)),
               lengths=(8, 12), stride=(2, 3), dilation=(1, 2)),
)  # fmt: skip

CASES = (
    *CONVOLUTIONS,
    Case(
        "windows", windows, lambda x, size: np.stack([x[:, p : p + 3] for p in range(5)], 1),
        (((2, 7),), ((1, 7, 3),)), {"size": 3}, ops=("windows", "overlap_add"),
        bad=(
            Bad(lambda: windows(TABLE, 4), ShapeError, "longer than axis 1"),
            Bad(lambda: windows(TABLE, 2, dilation=3), ShapeError, "at most 3 places"),
            Bad(lambda: windows(BATCH, 2, axis=0), ShapeError, "along the batch axis"),
            Bad(lambda: windows(TABLE, (2, 2)), ShapeError, "2 axes from axis 1"),
            Bad(lambda: windows(TABLE, ()), ShapeError, "0 axes from axis 1"),
            Bad(lambda: windows(TABLE, 2, axis=-1), ShapeError, "axis from 0 to 1"),
            Bad(lambda: windows(TABLE, 0), SettingError, "at least 1"),
            Bad(lambda: windows(TABLE, 2, stride=0), SettingError, "stride does not fit"),
            Bad(lambda: windows(TABLE, 2, stride=(1, 1)), SettingError, "at least 1"),
            Bad(lambda: windows(TABLE, 2, dilation=1.5), SettingError, "dilation does not fit"),
            Bad(lambda: windows(TABLE, 2, padding=-1), SettingError, "padding does not fit"),
            Bad(lambda: windows(TABLE, 2, padding=[(1, 2, 3)]), SettingError, "a pair"),
            Bad(lambda: windows([[1, 2, 3]], 2, padding=1, fill=0.5), DTypeError, "does not fit"),
        ),
    ),
    slid("stride, padding", (3, 5, 2), (1, 1, 1), size=(3,), stride=(2,), padding=((2, 1),)),
    slid("dilation", (2, 7), size=(3,), dilation=(3,), stride=(2,), padding=((0, 1),)),
    slid("stride over size", (2, 9), size=(2,), stride=(4,), fill=-1.5, padding=((1, 1),)),
    slid("pictures", (2, 4, 5, 3), (1, 3, 3, 1), size=(3, 2), padding=((1, 1), (0, 1))),
    slid("pictures apart", (2, 5, 6, 2), size=(2, 3), stride=(2, 3), fill=2.0),
    slid("channels first", (2, 3, 4, 4), size=(3, 3), stride=(2, 1), padding=((1, 1),) * 2, axis=2),
    slid("volumes", (2, 3, 4, 3, 2), size=(2, 1, 3), dilation=(1, 2, 1), stride=(1, 2, 1)),
    slid("all in the margin", (2, 1, 2), size=(2,), padding=((3, 3),), fill=0.5),
    Case(
        "overlap_add", overlap_add,
        lambda y, lengths: y[:, :, 0] + np.pad(y[:, :-1, 1], ((0, 0), (1, 0))),
        (((3, 4, 2),),), {"lengths": 4}, ops=("windows", "overlap_add"),
        bad=(
            Bad(lambda: overlap_add(TABLE, 3), ShapeError, "1 axes from axis 1"),
            Bad(lambda: overlap_add(TABLE, -1, axis=0), SettingError, "lengths does not fit"),
            Bad(lambda: overlap_add(TABLE, 3, axis=0, stride=0), SettingError, "stride"),
            Bad(lambda: overlap_add(BATCH, 3, axis=0), ShapeError, "along the batch axis"),
            Bad(lambda: overlap_add(TABLE > 0, 3, axis=0), DTypeError, "bool"),
        ),
    ),
    added("strides", (2, 4, 3, 2), (1, 1, 3), lengths=(8,), stride=(2,), padding=((1, 0),)),
    added("gaps", (2, 3, 2), lengths=(12,), stride=(4,)),
    added("dilation", (2, 4, 3), lengths=(9,), dilation=(2,), padding=((2, 2),)),
    added("too short", (2, 4, 3, 2), lengths=(2,), padding=((1, 0),)),
    added("pictures", (2, 3, 2, 3, 3, 2), lengths=(6, 4), stride=(2, 1), padding=((1, 1), (0, 0))),
    added("channels first", (2, 2, 3, 4, 2, 2), lengths=(6, 7), stride=(2, 2), axis=2),
    added("no windows", (2, 0, 3), lengths=(4,)),
)  # fmt: skip
