"""Randomness as a pure function of seed, step, node and element: Philox 4x32-10."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from chainrule.errors import DTypeError, SettingError, ShapeError
from chainrule.graph.attributes import DTYPE, SHAPE, WORD
from chainrule.graph.node import Array, Node, NodeLike, Operation, apply
from chainrule.graph.op import Element, Values, function, op
from chainrule.graph.step import FIRST_ROW, KEY
from chainrule.ir.index import Place, add, call, const, mul, size
from chainrule.ir.kernel import Const, Expr
from chainrule.ops.build import as_node, floating
from chainrule.ops.compare import where
from chainrule.ops.elementwise import sqrt
from chainrule.ops.mode import when_training
from chainrule.ops.transcendental import cos, log
from chainrule.types import N, Shape, TensorType, is_number, shape_of, show

U32 = npt.NDArray[np.uint32]


def philox(counter: tuple[U32, U32, U32, U32], key: tuple[int, int]) -> tuple[U32, ...]:
    """Philox 4x32 with 10 rounds: four random words for each counter.

    Args:
        counter: four arrays of uint32 that broadcast to one shape.
        key: two 32-bit words.

    Source: J. Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011.
    """
    c0, c1, c2, c3 = (c.astype(np.uint64) for c in np.broadcast_arrays(*counter))
    k0, k1 = key
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    for _ in range(10):
        p0, p1 = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c1, c2, c3 = (
            (p1 >> shift) ^ c1 ^ np.uint64(k0),
            p1 & low,
            (p0 >> shift) ^ c3 ^ np.uint64(k1),
            p0 & low,
        )
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return tuple(c.astype(np.uint32) for c in (c0, c1, c2, c3))


def _forward_uniform(
    key: Array, first: Array | int = 0, *, shape: tuple[int, ...], dtype: str, stream: int
) -> Array:
    """Element (row, column) takes word column % 4 of counter (column // 4, row, step, stream).

    Args:
        key: of the step.
        first: the index of the first row.
        shape, dtype, stream: see `uniform`.
    """
    rows = shape[0] if shape else 1
    width = int(np.prod(shape[1:], dtype=np.int64))
    blocks = np.arange(-(-width // 4), dtype=np.uint32)[None, :]
    row = (np.arange(rows, dtype=np.uint32) + np.uint32(first))[:, None]
    step, node = np.uint32(key[2]), np.uint32(stream)
    words = philox(
        (blocks, row, np.full_like(row, step), np.full_like(row, node)), (int(key[0]), int(key[1]))
    )
    bits = np.stack(words, axis=-1).reshape(rows, 4 * blocks.size)[:, :width]
    drawn: Array = ((bits >> np.uint32(8)).astype(dtype) * np.asarray(2.0**-24, dtype)).reshape(
        shape
    )
    return drawn


def _lower_uniform(node: Operation, place: Place, value: Values) -> Expr:
    """Element (row, column) of Philox; the axes after the first are one long column."""
    row: Expr = place[0] if place else const(0)
    for first in node.operands[1:]:
        row = add(row, value(first, ()))
    column: Expr = const(0)
    for p, dim in zip(place[1:], node.shape[1:], strict=True):
        column = add(mul(column, size((dim,))), p)
    words = (value(node.operands[0], (const(k),)) for k in range(3))
    stream = Const(node.attributes["stream"], "uint32")
    return call("philox", node.dtype, column, row, *words, stream)


def _infer_uniform(
    key: TensorType, *first: TensorType, shape: Shape, dtype: str, stream: int | None
) -> TensorType:
    if key != KEY.type or first not in ((), (FIRST_ROW.type,)):
        raise DTypeError(
            "uniform", "needs the key of a step", got=", ".join(map(str, (key, *first)))
        )
    if N in shape[1:]:
        raise ShapeError("uniform", "the batch axis is the first axis", got=show(shape))
    return floating("uniform")(TensorType(shape, dtype))


UNIFORM = op(
    "uniform",
    "random",
    infer=_infer_uniform,
    attributes={"shape": SHAPE, "dtype": DTYPE, "stream": WORD.or_none()},
    forward=_forward_uniform,
    gradient=None,
    lower=Element(_lower_uniform),
    price=8,
    formula="uniform()",
    convention="Multiples of 2^-24 in [0, 1); the same on every backend and number of threads.",
)


@function
def uniform(shape: Shape, dtype: str = "float32") -> Node:
    """Numbers drawn uniformly from [0, 1) in each step; `N` may be the first axis."""
    return apply(UNIFORM, KEY, shape=shape_of("uniform", shape), dtype=dtype, stream=None)


@function
def normal(shape: Shape, dtype: str = "float32") -> Node:
    """Numbers drawn from the normal distribution, mean 0 and deviation 1, in each step.

    They are a function of two uniform ones, and lie between -5.77 and 5.77; `N` may be the first
    axis. Source: G. Box and M. Muller, A note on the generation of random normal deviates, 1958.
    """
    shape = shape_of("normal", shape)
    distance = sqrt(-2 * log(1 - uniform(shape, dtype)))  # 1 - u is never 0
    return distance * cos(2 * math.pi * uniform(shape, dtype))


@function
def dropout(x: NodeLike, rate: float) -> Node:
    """`x` with each element set to 0 with probability `rate` in training; else `x` itself.

    The other elements are divided by `1 - rate`, so that the mean is preserved; the selection is a
    function of seed, step, row and position in the row. At rate 0 this is `x` itself.

    Raises:
        SettingError: the rate is not in [0, 1).
    """
    x, rate = as_node(x), check_rate("dropout", rate)
    floating("dropout")(x.type)
    if rate == 0:
        return x
    dropped_out = where(uniform(x.shape, x.dtype) >= rate, x / (1 - rate), 0)
    return when_training(dropped_out, x)


def check_rate(where: str, rate: float) -> float:
    """`rate` as a float in [0, 1). Raises SettingError."""
    if not is_number(rate) or not 0 <= rate < 1:
        raise SettingError(where, "a rate is a fraction", expected="0 <= rate < 1", got=repr(rate))
    return float(rate)
