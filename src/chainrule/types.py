"""The type of a node: its shape, with the symbolic batch axis N, and its dtype."""

from __future__ import annotations

import enum
import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, SupportsIndex

import numpy as np

from chainrule.errors import DTypeError, SettingError, ShapeError


class Batch(enum.Enum):
    """The symbolic length of the batch axis. It has one member, `N`."""

    N = "N"

    def __repr__(self) -> str:
        return "N"

    __str__ = __repr__


N = Batch.N
Dim = int | Batch
Shape = tuple[Dim, ...]
Names = tuple[str | None, ...]
"""For each axis its name, or None; or () where none has one."""

FLOATS = ("float32", "float64")
INTEGERS = ("int32", "int64", "uint32")
DTYPES = (*FLOATS, *INTEGERS, "bool")


@dataclass(frozen=True, slots=True)
class TensorType:
    """Shape and dtype of a node's value. A dimension is an integer or the batch axis `N`.

    Axes may have names, which are for readers: types that differ in them alone are equal.
    """

    shape: Shape
    dtype: str = "float32"
    axes: Names = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if self.axes:
            object.__setattr__(self, "axes", _names(self.axes, self.shape))
        if self.dtype not in DTYPES:
            raise DTypeError(
                "type", "unknown dtype", expected="one of " + ", ".join(DTYPES), got=self.dtype
            )
        for dim in self.shape:
            if dim is not N and (not isinstance(dim, int) or dim < 0):
                raise ShapeError(
                    "type", "a dimension is a non-negative integer or N", got=show(self.shape)
                )

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def floating(self) -> bool:
        """Whether gradients can flow through a value of this type."""
        return self.dtype in FLOATS

    @property
    def names(self) -> Names:
        """The name of each axis, or None."""
        return self.axes or (None,) * len(self.shape)

    @property
    def sizes(self) -> str:
        """The shape as text, with the names of axes if they have some: `[N, height=28, 3]`."""
        return sizes(self.shape, self.axes)

    def __str__(self) -> str:
        return f"{self.dtype}{self.sizes}"


def sizes(shape: Iterable[object], axes: Names = ()) -> str:
    """A shape as text: `(N, 64)`, or `[N, features=64]` with names of axes."""
    if not axes:
        return show(shape)
    parts = zip(shape, axes, strict=True)
    return "[" + ", ".join(str(d) if name is None else f"{name}={d}" for d, name in parts) + "]"


def _names(axes: Sequence[object], shape: Shape) -> Names:
    """The names of axes, checked; () where there are none."""
    named = [name for name in axes if name is not None]
    words = [name for name in named if isinstance(name, str) and name.isidentifier()]
    if len(words) < len(named) or len(set(words)) < len(words):
        raise SettingError(
            "type", "the names of axes are different words, or None", got=repr(tuple(axes))
        )
    if len(axes) != len(shape):
        raise ShapeError(
            "type", "there is not one name for each axis",
            expected=f"{len(shape)} names, for {show(shape)}", got=repr(tuple(axes)),
        )  # fmt: skip
    return tuple(name if isinstance(name, str) else None for name in axes) if named else ()


def joined_names(*types: TensorType) -> Names:
    """For each axis of types of one shape the first name that one of them has."""
    if not any(x.axes for x in types):
        return ()
    of_axis = zip(*(x.names for x in types), strict=True)
    return distinct(next((x for x in names if x is not None), None) for names in of_axis)


def distinct(names: Iterable[str | None]) -> Names:
    """The names of axes without those that occur before."""
    found: list[str | None] = []
    for name in names:
        found.append(None if name in found else name)
    return tuple(found)


def show(shape: Iterable[object]) -> str:
    """A shape as text: `(N, 64)`."""
    dims = [str(d) for d in shape]
    return f"({dims[0]},)" if len(dims) == 1 else "(" + ", ".join(dims) + ")"


def shape_of(where: str, shape: Any) -> Shape:
    """An argument as a shape: one size or several, each an integer or N. Raises ShapeError."""
    try:
        dims = tuple(shape) if isinstance(shape, Iterable) else (shape,)
        return tuple(dim if dim is N else operator.index(dim) for dim in dims)
    except TypeError:
        raise ShapeError(
            where, "a shape has non-negative integers, and cr.N for the batch axis", got=repr(shape)
        ) from None


def normalise_axis(where: str, axis: object, ndim: int) -> int:
    """The non-negative index of `axis`. Raises ShapeError if there is no such axis."""
    other = isinstance(axis, bool) or (isinstance(axis, np.ndarray) and axis.ndim > 0)
    if other or not isinstance(axis, SupportsIndex) or not -ndim <= operator.index(axis) < ndim:
        known = f"an axis from {-ndim} to {ndim - 1}" if ndim else "none: a scalar has no axes"
        raise ShapeError(where, "no such axis", expected=known, got=repr(axis))
    return operator.index(axis) % ndim


def normalise_axes(where: str, axis: object, ndim: int) -> tuple[int, ...]:
    """The axes that a NumPy-style `axis` argument selects, sorted; None selects all of them."""
    if axis is None:
        return tuple(range(ndim))
    axes = tuple(axis) if isinstance(axis, Sequence) and not isinstance(axis, str) else (axis,)
    out = tuple(sorted(normalise_axis(where, a, ndim) for a in axes))
    if len(set(out)) != len(out):
        raise ShapeError(where, "an axis is repeated", got=axes)
    return out


def broadcast_shapes(where: str, *shapes: Shape) -> Shape:
    """The shape that all `shapes` broadcast to, by NumPy's rule; N only matches N and 1.

    Batch axes at different places, as in (N, 1) and (N,), do not make pairs of all examples.

    Raises:
        ShapeError: the shapes do not broadcast, or their batch axes do not line up.
    """
    if shapes and shapes.count(shapes[0]) == len(shapes):
        return shapes[0]
    ndim = max((len(s) for s in shapes), default=0)
    out: list[Dim] = []
    for axis in range(-ndim, 0):
        dims = {s[axis] for s in shapes if len(s) >= -axis} - {1}
        if len(dims) > 1:
            raise ShapeError(
                where,
                "shapes do not broadcast",
                expected="equal sizes, or 1, on every axis counted from the last",
                got=" and ".join(show(s) for s in shapes),
                fix="reshape or expand_dims one side so that the axes line up",
            )
        out.append(dims.pop() if dims else 1)
    if out.count(N) > max((s.count(N) for s in shapes), default=0):
        raise ShapeError(
            where,
            "the batch axes stand at different places, and would make a table of all pairs",
            expected="N on one axis, counted from the last",
            got=" and ".join(show(s) for s in shapes) + f", which would make {show(tuple(out))}",
            fix="squeeze(x, -1) of the side that ends in 1, or expand_dims(x, -1) of the other; "
            "where all pairs of examples are meant: a, b = pairs(x, y)",
        )
    return tuple(out)


def is_number(value: object) -> bool:
    """Whether `value` is a finite scalar of Python or NumPy; booleans and text are not."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number, np.ndarray)):
        return False
    array = np.asarray(value)
    return array.ndim == 0 and array.dtype.kind in "iuf" and bool(np.isfinite(array))


def rows_first(shape: Shape) -> list[int]:
    """The axes of a shape as they lie in memory: N first, the others in order."""
    return sorted(range(len(shape)), key=lambda a: shape[a] is not N)


def static_size(shape: Shape) -> int:
    """The number of elements of one example: the product of all dimensions but N."""
    return math.prod(d for d in shape if isinstance(d, int))


def resolve(shape: Shape, n: int) -> tuple[int, ...]:
    """`shape` with the batch axis replaced by `n` rows."""
    return tuple(n if d is N else d for d in shape)
