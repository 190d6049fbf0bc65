"""Rows of the op cases: shapes, slices, joins."""

from __future__ import annotations

from typing import Any

import numpy as np

from cases.case import UNARY, Bad, Case
from chainrule.errors import DTypeError, ShapeError
from chainrule.graph import Input, Node, Scope
from chainrule.ops.build import broadcast_to, constant, sum_to
from chainrule.ops.join import concat, split, stack
from chainrule.ops.shape import expand_dims, repeat, reshape, squeeze, swapaxes, transpose
from chainrule.ops.slicing import flip, pad, slice
from chainrule.types import N, TensorType

LINE = constant(np.zeros(6, "float32"))
TABLE = constant(np.zeros((2, 3), "float32"))
BATCH = Input(Scope("rows"), TensorType((N, 6)))
PAIRS = Input(Scope("pairs"), TensorType((N, N)))


def taken(text: str, *shapes: tuple[int, ...], batch: tuple[int, ...] = ()) -> Case:
    """A row for `x[text]`."""

    def part(x: Any) -> Any:
        return eval(f"x[{text}]", {"x": x, "np": np})

    return Case(f"x[{text}]", part, part, tuple((s,) for s in shapes), batch=batch)


def refused(text: str, x: Node, error: type[Exception], match: str) -> Bad:
    return Bad(lambda: eval(f"x[{text}]", {"x": x, "np": np, "node": LINE}), error, match)


def reshaped(x: Any, shape: tuple[int, ...]) -> Any:
    """NumPy names the shape differently from version to version."""
    return np.reshape(x, shape)


RESHAPES = (
    Case(
        "reshape", reshape, reshaped, (((6,),), ((2, 3),), ((3, 1, 2),)), {"shape": (-1, 3)},
        ops=("reshape",), batch=(),
        bad=(
            Bad(lambda: reshape(LINE, (4, 2)), ShapeError, "number of elements"),
            Bad(lambda: reshape(LINE, (4, -1)), ShapeError, "no size in place of -1"),
            Bad(lambda: reshape(constant([]), (0, -1)), ShapeError, "no size in place of -1"),
            Bad(lambda: reshape(LINE, (-1, -1)), ShapeError, "one size may be -1"),
            Bad(lambda: reshape(LINE, (-2, -3)), ShapeError, "non-negative"),
            Bad(lambda: reshape(LINE, (N, 6)), ShapeError, "batch axis"),
            Bad(lambda: reshape(BATCH, (-1,)), ShapeError, "batch axis"),
            Bad(lambda: reshape(BATCH, (-1, 3)), ShapeError, "batch axis"),
            Bad(lambda: reshape(BATCH, (6, N)), ShapeError, "batch axis"),
            Bad(lambda: reshape(BATCH, (N, N, 6)), ShapeError, "batch axis"),
            Bad(lambda: reshape(PAIRS, (N,)), ShapeError, "batch axis"),
        ),
    ),
    Case(
        "reshape, rows kept", reshape, reshaped, (((5, 2, 3),), ((1, 6),), ((0, 6, 1),)),
        {"shape": (-1, 6)}, ops=("reshape",),
    ),
    Case("reshape, to a scalar", reshape, reshaped, (((1, 1),), ((),)), {"shape": ()}, batch=()),
    Case("reshape, of nothing", reshape, reshaped, (((0, 3),),), {"shape": (3, 0)}, batch=()),
    Case(
        "expand_dims", expand_dims, np.expand_dims, (((7,),), ((2, 3),)), {"axis": 1},
        bad=(Bad(lambda: expand_dims(LINE, 3), ShapeError, "from -2 to 1"),),
    ),
    Case("expand_dims, two", expand_dims, np.expand_dims, (((),), ((0, 3),)), {"axis": (0, -1)}),
    Case(
        "squeeze", squeeze, np.squeeze, (((7, 1),), ((2, 1, 3, 1),), ((1,),)), batch=(),
        bad=(
            Bad(lambda: squeeze(TABLE, 0), ShapeError, "size 1"),
            Bad(lambda: squeeze(BATCH, 0), ShapeError, "size 1"),
        ),
    ),
    Case("squeeze, axis", squeeze, np.squeeze, (((1, 2, 1),), ((5, 3, 1),)), {"axis": -1}),
)  # fmt: skip

ORDERS = (
    Case(
        "transpose", transpose, np.transpose, UNARY, ops=("transpose",),
        bad=(
            Bad(lambda: transpose(TABLE, (0,)), ShapeError, "named once"),
            Bad(lambda: transpose(TABLE, (0, -2)), ShapeError, "named once"),
            Bad(lambda: transpose(TABLE, (0, 2)), ShapeError, "no such axis"),
        ),
    ),
    Case(
        "transpose, axes", transpose, np.transpose, (((2, 3, 4),), ((5, 0, 1),)),
        {"axes": (2, 0, -2)}, ops=("transpose",),
    ),
    Case("swapaxes", swapaxes, np.swapaxes, (((2, 3),), ((2, 3, 4),)), {"axis1": 0, "axis2": -1}),
    Case(
        "flip", flip, lambda x, axis: np.flip(x, axis), (((2, 7),), ((3, 0),), ((2, 1, 4),)),
        {"axis": 1},
        bad=(Bad(lambda: flip(BATCH, 0), ShapeError, "not possible along the batch axis"),),
    ),
    Case("flip, all", flip, np.flip, (((7,),), ((2, 3),), ((),)), batch=()),
    Case(
        "repeat", repeat, np.repeat, (((2, 3),), ((4, 1, 2),)), {"repeats": 3, "axis": 1},
        bad=(
            Bad(lambda: repeat(BATCH, 2, 0), ShapeError, "not possible along the batch axis"),
            Bad(lambda: repeat(LINE, -1, 0), ShapeError, "0 or more"),
        ),
    ),
    Case("repeat, no times", repeat, np.repeat, (((2, 3),),), {"repeats": 0, "axis": -1}),
)  # fmt: skip

SLICES = (
    Case(
        "slice", slice, lambda x, key: x[key], (((4, 7),), ((1, 9, 2),)),
        {"key": (np.s_[:], np.s_[1:6:2])}, ops=("slice", "pad"),
        bad=(
            refused("9", LINE, ShapeError, "-6 to 5"),
            refused("-7", LINE, ShapeError, "out of range"),
            refused("0, 0", LINE, ShapeError, "more indices than axes"),
            refused("..., ...", TABLE, ShapeError, "occurs more than once"),
            refused("0", BATCH, ShapeError, "batch axis cannot be sliced"),
            refused("1:", BATCH, ShapeError, "batch axis cannot be sliced"),
            refused("::-1", BATCH, ShapeError, "batch axis cannot be sliced"),
            refused("..., 0, 0", BATCH, ShapeError, "batch axis cannot be sliced"),
            refused("[0, 1]", LINE, DTypeError, "take"),
            refused("node", LINE, DTypeError, "take"),
            refused("np.array([0])", LINE, DTypeError, "take"),
            refused("True", LINE, DTypeError, "where"),
            refused("1.0", LINE, DTypeError, "integers, slices"),
            refused("'a'", LINE, DTypeError, "integers, slices"),
        ),
    ),
    taken("3", (4,), (5, 2)),
    taken("-1, 0", (4, 2)),
    taken("np.int64(1)", (3, 2)),
    taken("...", (0, 3), (2, 3), batch=(0,)),
    taken("()", ()),
    taken("None", (), (3,)),
    taken(":, None", (7,), (2, 3), batch=(0,)),
    taken("..., 0", (2, 3), (2, 3, 4), batch=(0,)),
    taken(":, 1:-1", (4, 7), (2, 1), batch=(0,)),
    taken(":, ::-1", (4, 7), (2, 0), batch=(0,)),
    taken(":, -2:0:-3, None, 1", (3, 9, 2), batch=(0,)),
    taken("5:2", (7,)),
    taken("-100:100", (7,)),
    taken("8:1:-2", (9,)),
    taken("1:2, ..., -1:", (3, 2, 4), (3, 4)),
    Case(
        "pad", pad, lambda x, widths, value: np.pad(x, widths, constant_values=value),
        (((2, 3),), ((1, 0),)), {"widths": ((0, 0), (2, 1)), "value": -1.5}, ops=("pad", "slice"),
        bad=(
            Bad(lambda: pad(TABLE, [(1, 1)]), ShapeError, "for each axis"),
            Bad(lambda: pad(TABLE, [1, (1, 1, 1)]), ShapeError, "for each axis"),
            Bad(lambda: pad(TABLE, -1), ShapeError, "0 or more"),
            Bad(lambda: pad(BATCH, [1, 0]), ShapeError, "for the batch axis"),
            Bad(lambda: pad([1, 2], 1, 0.5), DTypeError, "does not fit"),
        ),
    ),
    Case(
        "pad, all sides", pad, lambda x, widths: np.pad(x, widths), (((3,),), ((2, 3),)),
        {"widths": 2}, batch=(),
    ),
    Case("pad with nothing", pad, lambda x, widths: x, (((2, 3),),), {"widths": (0, (0, 0))}),
)  # fmt: skip

JOINS = (
    Case(
        "concat", lambda a, b, c, axis: concat([a, b, c], axis),
        lambda *parts, axis: np.concatenate(parts, axis),
        (((4, 2), (4, 3), (4, 1)), ((1, 2, 5), (1, 0, 5), (1, 1, 5))), {"axis": 1},
        ops=("concat",), batch=(0, 1, 2),
        bad=(
            Bad(lambda: concat([]), ShapeError, "one node or more"),
            Bad(lambda: concat(TABLE), ShapeError, "one node or more"),
            Bad(lambda: concat([TABLE, LINE]), ShapeError, "different numbers of axes"),
            Bad(lambda: concat([TABLE, TABLE.T]), ShapeError, "differ on another axis"),
            Bad(lambda: concat([BATCH, BATCH], 0), ShapeError, "not possible along the batch axis"),
            Bad(lambda: concat([TABLE, BATCH], 0), ShapeError, "not possible along the batch axis"),
            Bad(lambda: concat([BATCH, TABLE]), ShapeError, "differ on another axis"),
            Bad(lambda: concat([constant(1.0), constant(2.0)]), ShapeError, "no such axis"),
            Bad(lambda: concat([LINE, constant([1])]), DTypeError, "one dtype"),
        ),
    ),
    Case("concat of one", lambda x: concat([x]), lambda x: x, (((2, 3),),)),
    Case(
        "concat, twice the same", lambda x: concat([x, x], 0), lambda x: np.concatenate([x, x]),
        (((3,),), ((2, 3),)), batch=(),
    ),
    Case(
        "stack", lambda a, b, axis: stack([a, b], axis), lambda *parts, axis: np.stack(parts, axis),
        (((7,), (7,)), ((2, 3), (2, 3)), ((0, 3), (0, 3))), {"axis": 1},
        ops=("concat", "reshape"), batch=(0, 1),
        bad=(
            Bad(lambda: stack([LINE, TABLE]), ShapeError, "different shapes"),
            Bad(lambda: stack([LINE], 2), ShapeError, "no such axis"),
        ),
    ),
    Case("stack of scalars", lambda a, b: stack([a, b]), lambda *p: np.stack(p), (((), ()),)),
    Case(
        "split", lambda x, **how: concat(split(x, **how)[::-1]),
        lambda x, sections, axis: np.concatenate(np.split(x, sections, axis)[::-1], axis),
        (((2, 6),), ((1, 4, 3),)), {"sections": 3, "axis": -1}, ops=("slice",),
        bad=(
            Bad(lambda: split(LINE, 4), ShapeError, "4 equal parts"),
            Bad(lambda: split(LINE, 0), ShapeError, "0 equal parts"),
            Bad(lambda: split(LINE, [3, 1]), ShapeError, "must be ascending"),
            Bad(lambda: split(LINE, [7]), ShapeError, "must be ascending"),
            Bad(lambda: split(BATCH, 2, 0), ShapeError, "not possible along the batch axis"),
        ),
    ),
    Case(
        "split at places", lambda x, **how: split(x, **how)[1],
        lambda x, sections, axis: np.split(x, sections, axis)[1],
        (((2, 6),), ((1, 3, 3),)), {"sections": (1, 3), "axis": 1},
    ),
    Case(
        "split into empty parts", lambda x: split(x, [0, 2, 2])[2], lambda x: x[..., :0],
        (((2,),), ((3, 2),)), batch=(),
    ),
)  # fmt: skip

BROADCASTS = (
    Case(
        "broadcast_to", broadcast_to, np.broadcast_to, (((),), ((3,),), ((2, 1),), ((2, 3),)),
        {"shape": (4, 2, 3)}, ops=("broadcast_to", "sum_to"), batch=(),
        bad=(
            Bad(lambda: broadcast_to(LINE, (2, 3)), ShapeError, "do not broadcast"),
            Bad(lambda: broadcast_to(TABLE, (3,)), ShapeError, "does not broadcast"),
            Bad(lambda: broadcast_to(BATCH, (3, 6)), ShapeError, "broadcast"),
        ),
    ),
    Case(
        "sum_to", sum_to, lambda x, shape: x.sum(0).sum(1, keepdims=True),
        (((4, 2, 3),), ((0, 2, 1),)), {"shape": (2, 1)}, ops=("sum_to", "broadcast_to"),
    ),
)  # fmt: skip

CASES = (*RESHAPES, *ORDERS, *SLICES, *JOINS, *BROADCASTS)
