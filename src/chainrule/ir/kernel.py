"""Kernels, the IR of a backend: loop nests over buffers around a scalar expression.

    kernel  ::=  for (axes): writes                                 a map
              |  for (axes): acc = combine(for (over): value); writes   a reduction
    write   ::=  buffer[place] = value     or, where `add`,  buffer[place] += value
    value   ::=  literal | axis | buffer[place] | function(value, ...) | acc

An axis counts from 0 to its size; the size `N` is the number of rows of the minibatch, known when a
step runs. A place has one integer expression for each axis of the buffer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal as OneOf
from typing import NamedTuple, TypeAlias

import numpy as np

from chainrule.types import Dim, Shape

BYTES = {"float32": 4, "float64": 8, "int32": 4, "int64": 8, "uint32": 4, "bool": 1}
"""The bytes of an element in memory, by dtype."""

Space = OneOf["data", "state", "constant", "step", "work", "staged", "gradient", "called", "loss"]
"""The storage of a buffer.

| space    | what                                                        | written by             |
|----------|-------------------------------------------------------------|------------------------|
| data     | (rows of the data set, ...): an input with a batch axis     | none                   |
| state    | a parameter, slot, statistic; a step reads its old copy     | kernels, the new copy; |
|          |                                                             | or, in place, commits  |
| constant | fixed numbers                                               | none                   |
| step     | step inputs: rate, step index, key, batch=False inputs      | none                   |
| work     | intermediate values; `N` is at most the largest minibatch   | kernels                |
| staged   | new rows of a state, committed at the end of the step       | kernels                |
| gradient | gradients, in a step that is cut before its updates         | kernels, exchanges     |
| called   | what a user's op without a lowering takes, and makes        | kernels; the user's op |
| loss     | the scalar loss of the step                                 | kernels                |
"""


@dataclass(frozen=True, eq=False)
class Buffer:
    """An array that kernels read or write; row-major. It compares by identity.

    Attributes:
        name: unique in its plan: the name of the node whose value it holds.
        shape: with `N` for the number of rows of the minibatch, in front if at all. Only a node
            such as `x @ x.T` has it twice: then both are in front.
        dtype: float32, float64, int32, int64, uint32 or bool.
        space: its storage.
        value: of a constant.
        part: where it lies, if it is a part of another buffer.
    """

    name: str
    shape: Shape
    dtype: str
    space: Space = "work"
    value: np.ndarray | None = field(default=None, repr=False)
    part: Part | None = None

    @property
    def whole(self) -> Buffer:
        """The buffer that it is a part of; itself, if it is not one."""
        return self if self.part is None else self.part.whole

    @property
    def bytes(self) -> int:
        """The bytes of its elements, without gaps; of those with rows for each row."""
        return math.prod(d for d in self.shape if isinstance(d, int)) * BYTES[self.dtype]


@dataclass(frozen=True)
class Part:
    """The elements of a buffer at one index of an axis; parts of a buffer share the axis.

    Attributes:
        whole: that buffer, which is not a part itself.
        axis: of the whole; the part has all others.
        index: along it.
    """

    whole: Buffer
    axis: int
    index: int


@dataclass(frozen=True, eq=False)
class Axis:
    """A loop from 0 to `size`. It compares by identity."""

    name: str
    size: Dim


# ---------------------------------------------------------------- expressions
# Tuples: planning makes, hashes and compares many.


class Const(NamedTuple):
    """A number."""

    value: float | int | bool
    dtype: str


class At(NamedTuple):
    """The present value of a loop's axis, an int64."""

    axis: Axis
    dtype: str = "int64"


class Row(NamedTuple):
    """The row of the data set at position `at` of the minibatch, an int64."""

    at: Expr
    dtype: str = "int64"


class Read(NamedTuple):
    """An element of a buffer."""

    buffer: Buffer
    place: tuple[Expr, ...]

    @property
    def dtype(self) -> str:
        """The dtype of the buffer."""
        return self.buffer.dtype


class Call(NamedTuple):
    """A scalar function of expressions; a shared subexpression is one object: visit it once.

    `dtype` is that of the result. Functions, by name (operands of one dtype unless noted):
    add sub mul div neg abs min max (NaN wins) sqrt exp expm1 log log1p sin cos tanh sigmoid
    softplus erf pow floor round; bfloat16 (rounds to it, the dtype remains); eq ne lt le gt ge
    (to bool); and or xor not (bool); select (bool, a, b); cast (any to `dtype`); mod floordiv
    (int); count (no operands: the number of rows of the minibatch, cast to `dtype`); philox
    (int64 element-in-row, int64 row, uint32 x 3 key words, uint32 stream: uniform in [0, 1) by
    chainrule.ops.random).
    """

    function: str
    operands: tuple[Expr, ...]
    dtype: str


class Acc(NamedTuple):
    """The result of the reduction of this kernel."""

    dtype: str


Expr: TypeAlias = "Const | At | Row | Read | Call | Acc"

# ---------------------------------------------------------------- kernels

Combine = OneOf["sum", "prod", "max", "min", "argmax", "argmin", "any", "scan"]


@dataclass(frozen=True)
class Write:
    """`buffer[place] = value`, or `+=` where `add`.

    With `add`, indices may repeat, and additions go in the order of the loops: threads may share
    the first axis only if the index contains it unchanged, `At(axis)`; else one thread runs all.
    With `repeats`, indices may repeat too; the last write wins, and one thread runs all.
    """

    buffer: Buffer
    place: tuple[Expr, ...]
    value: Expr
    add: bool = False
    repeats: bool = False


@dataclass(frozen=True)
class Reduction:
    """`combine` of `value` over the axes `over`.

    A sum of float32 is exact to about float32's precision times the square root of its length;
    blocks of fixed size are added up in a fixed order, whatever the threads. argmax and argmin
    give the lowest index of ties (int64, `over` is one axis); NaN wins in max, min, argmax,
    argmin. A scan is a running sum over one axis: the writes run in each of its iterations, and
    may use it.
    """

    over: tuple[Axis, ...]
    combine: Combine
    value: Expr


@dataclass(frozen=True)
class Kernel:
    """One loop nest.

    Attributes:
        name: that of the node that it computes last.
        axes: the loops, outermost first, none of size 1; if one has size N it is the first, but
            for a kernel that adds. Kernels may share Axis objects.
        writes: the stores of each iteration of the loops.
        reduction: computed inside of the loops and before the writes; None for a map.
        nodes: the names of all nodes that were fused.
        commit: whether it runs after all others, and only if all that they checked is finite: it
            writes rows of a state in place. Indices may repeat, with equal values.
    """

    name: str
    axes: tuple[Axis, ...]
    writes: tuple[Write, ...]
    reduction: Reduction | None = None
    nodes: tuple[str, ...] = ()
    commit: bool = False
