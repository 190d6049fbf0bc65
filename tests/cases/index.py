"""Rows of the op cases: elements chosen by indices that are data."""

from __future__ import annotations

import numpy as np

from cases.case import Bad, Case
from chainrule.errors import DTypeError, ShapeError
from chainrule.ops.build import constant
from chainrule.ops.index import gather, one_hot, scatter_add, scatter_add_along, take

TABLE = constant(np.zeros((2, 3), "float32"))


def added(x: np.ndarray, indices: np.ndarray, axis: int, shape: tuple[int, ...]) -> np.ndarray:
    """Zeros to which every slice of `x` is added, one after the other."""
    total = np.moveaxis(np.zeros(shape), axis, 0)
    flat = np.moveaxis(x, range(axis, axis + indices.ndim), range(indices.ndim))
    for place in np.ndindex(indices.shape):
        total[indices[place]] += flat[place]
    return np.moveaxis(total, 0, axis)


def added_along(
    x: np.ndarray, indices: np.ndarray, axis: int, shape: tuple[int, ...]
) -> np.ndarray:
    """Zeros to which every element of `x` is added, one after the other."""
    total = np.zeros(shape)
    for place in np.ndindex(x.shape):
        target = list(place)
        target[axis] = indices[place]
        total[tuple(target)] += x[place]
    return total


def without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]


def chosen(x: np.ndarray, indices: np.ndarray, axis: int = -1) -> np.ndarray:
    """One look-up after the other, the other axes broadcast."""
    axis %= x.ndim
    shape = list(np.broadcast_shapes(without(x.shape, axis), without(indices.shape, axis)))
    shape.insert(axis, indices.shape[axis])
    out = np.zeros(shape)
    for place in np.ndindex(*shape):
        at = tuple(k % n for k, n in zip(place, indices.shape, strict=True))
        source = [k % n for k, n in zip(place, x.shape, strict=True)]
        source[axis] = indices[at]
        out[place] = x[tuple(source)]
    return out


PLACES = ((-2.0, 2.0), (0, 2))

CASES = (
    Case(
        "take", take, lambda table, indices: table[indices],
        (((3,), (7,)), ((3, 4), (5,)), ((4, 2, 1), (2, 3)), ((3, 4), (0,))),
        domain=PLACES, kinds=("float", "int"), ops=("take", "scatter_add"), batch=(1,),
        bad=(
            Bad(lambda: take(TABLE, [0.5]), DTypeError, "indices are integers"),
            Bad(lambda: take(TABLE, [True]), DTypeError, "indices are integers"),
            Bad(lambda: take(TABLE, [0], 2), ShapeError, "no such axis"),
            Bad(lambda: take(1.0, [0]), ShapeError, "no such axis"),
        ),
    ),
    Case(
        "take of one", take, lambda table, index: table[index], (((3,), ()), ((3, 4), ())),
        domain=PLACES, kinds=("float", "int"), ops=("take", "scatter_add"), batch=(),
    ),
    Case(
        "take along the last axis", take, lambda x, indices, axis: x[..., indices],
        (((2, 3), ()), ((2, 3), (4,)), ((4, 1, 3), (2, 2))), {"axis": -1},
        domain=PLACES, kinds=("float", "int"), ops=("take", "scatter_add"), batch=(0,),
    ),
    Case(
        "take of the batch axis", take, lambda x, indices: x[indices],
        (((5, 2), (5,)), ((3,), (3,))), domain=PLACES, kinds=("float", "int"), batch=(0, 1),
    ),
    Case(
        "scatter_add", scatter_add, added, (((2, 7, 2), (7,)), ((2, 0, 2), (0,))),
        {"axis": 1, "shape": (2, 3, 2)}, domain=PLACES, kinds=("float", "int"),
        ops=("scatter_add", "take"), batch=(),
    ),
    Case(
        "gather", gather, chosen,
        (((3,), (7,)), ((4, 3), (4, 2)), ((4, 3), (1, 2)), ((1, 3), (5, 2)), ((0, 3), (0, 2))),
        domain=PLACES, kinds=("float", "int"), ops=("gather", "scatter_add_along"), batch=(),
        bad=(
            Bad(lambda: gather(TABLE, [0, 1]), ShapeError, "expand_dims"),
            Bad(lambda: gather(TABLE, [[0.0], [1.0]]), DTypeError, "indices are integers"),
            Bad(lambda: gather(TABLE, [[0], [1], [1]]), ShapeError, "do not broadcast"),
            Bad(lambda: gather(TABLE, [[0], [1]], 2), ShapeError, "no such axis"),
        ),
    ),
    Case(
        "gather of each row", gather, chosen, (((5, 3), (5, 1)), ((4, 2, 3), (4, 1, 6))),
        domain=PLACES, kinds=("float", "int"), ops=("gather",), batch=(0, 1),
    ),
    Case(
        "gather along the first axis", gather, chosen, (((3, 2), (4, 2)), ((3, 1, 2), (2, 2, 1))),
        {"axis": 0}, domain=PLACES, kinds=("float", "int"), ops=("gather",), batch=(),
    ),
    Case(
        "scatter_add_along", scatter_add_along, added_along, (((4, 7), (4, 7)), ((4, 0), (4, 0))),
        {"axis": 1, "shape": (4, 3)}, domain=PLACES, kinds=("float", "int"),
        ops=("scatter_add_along", "gather"), batch=(),
    ),
    Case(
        "one_hot", one_hot, lambda indices, depth: np.eye(depth)[indices],
        (((),), ((7,),), ((2, 3),), ((0,),)), {"depth": 3}, domain=(0, 2), kinds=("int",),
        ops=("one_hot",), order=0,
        bad=(
            Bad(lambda: one_hot([1.5], 3), DTypeError, "indices are integers"),
            Bad(lambda: one_hot([1], -3), ShapeError, "non-negative"),
            Bad(lambda: one_hot([1], 3, "float"), DTypeError, "unknown dtype"),
        ),
    ),
    Case(
        "one_hot, truth", one_hot, lambda indices, depth, dtype: indices[..., None] == range(depth),
        (((5,),),), {"depth": 4, "dtype": "bool"}, domain=(0, 3), kinds=("int",), order=0,
    ),
)  # fmt: skip
