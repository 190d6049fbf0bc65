"""The leaves of a graph: inputs and parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar

import numpy as np
import numpy.typing as npt

from chainrule.errors import DTypeError, SettingError, ShapeError, short
from chainrule.graph.node import Initializer, Input, Parameter, Scope
from chainrule.system.checks import flag
from chainrule.types import FLOATS, N, TensorType, shape_of, show

TAKEN: ContextVar[Callable[[Parameter], Parameter]] = ContextVar("TAKEN", default=lambda x: x)
"""Gives the parameter to use in place of a new one: layers that are shared have theirs already."""


def taken(new: Parameter) -> Parameter:
    """The parameter to use in place of a new one: itself, but in layers that are shared."""
    return TAKEN.get()(new)


def input(
    name: str,
    shape: int | Sequence[int] = (),
    dtype: str = "float32",
    *,
    batch: bool = True,
    axes: Sequence[str | None] = (),
) -> Input:
    """An input of a graph: an example's features, target or weight.

    Args:
        name: the key of its array for `fit`, `predict` and `run`.
        shape: of one example; the batch axis `N` is put in front of it.
        dtype: float32, float64, int32, int64 or bool.
        batch: False for a value that all examples of a step share: no batch axis.
        axes: names for the axes of one example, such as ("height", "width", "channels"), None
            for one without; () for none at all. They are shown wherever the type is, as in
            `float32[N, height=28, width=28, channels=3]`, and follow the axes through the graph.

    Raises:
        DTypeError, ShapeError: no such dtype, a dimension is not a non-negative integer, or
            there is another number of names.
        SettingError: `batch` is not True or False, or a name is not a word or occurs twice.
    """
    batch = flag("input", "batch", batch)
    dims = shape_of("input", shape)
    if isinstance(axes, str) or not isinstance(axes, Sequence):
        fix = f"({axes!r},)" if isinstance(axes, str) else None
        raise SettingError("input", "axes are a tuple of names", got=repr(axes), fix=fix)
    if len(axes) not in (0, len(dims)):
        raise ShapeError(
            "input", "there is not one name for each axis of an example",
            expected=f"{len(dims)} names, for {show(dims)}", got=repr(tuple(axes)), at=repr(name),
        )  # fmt: skip
    names = (None, *axes) if batch and len(axes) else tuple(axes)
    full = TensorType((N, *dims) if batch else dims, dtype, names)
    return Input(Scope(name, given=True), full, batch=batch)


def parameter(
    name: str,
    value: npt.ArrayLike | Initializer,
    shape: Sequence[int] | None = None,
    *,
    dtype: str = "float32",
    trainable: bool = True,
    sparse: bool | None = None,
) -> Parameter:
    """An array that belongs to the model and that the optimizer trains.

    Args:
        name: the key of its current value in the model.
        value: the initial value: numbers, or an initializer that draws them.
        shape: required with an initializer.
        dtype: float32 or float64.
        trainable: False for an array that the optimizer leaves alone.
        sparse: whether a training step updates only the rows that its minibatch looks up; None:
            if there are more than 2,048. See `embedding`.

    Raises:
        ShapeError: the shape is missing, or given twice.
        DTypeError: the values are not numbers, or `dtype` is not floating point.
        SettingError: `sparse` is not True, False or None, or `trainable` not True or False.
    """
    check_sparse("parameter", sparse)
    trainable = flag("parameter", "trainable", trainable)
    if dtype not in FLOATS:
        raise DTypeError("parameter", "a parameter is floating-point", got=dtype, at=repr(name))
    scope = Scope(name, given=True)
    if isinstance(value, Initializer):
        if shape is None:
            raise ShapeError(
                "parameter", "an initializer needs a shape", at=repr(name), fix="give shape=(...)"
            )
        type = TensorType(shape_of("parameter", shape), dtype)
        return taken(Parameter(scope, type, initial=value, trainable=trainable, sparse=sparse))
    try:
        if np.asarray(value).dtype.kind not in "fiub":
            raise TypeError(short(value))
        with np.errstate(all="ignore"):
            array = np.array(value, dtype=dtype, order="C")
            overflows = np.isinf(array) & np.isfinite(np.asarray(value, "float64"))
    except (TypeError, ValueError) as error:
        raise DTypeError("parameter", "not an array of numbers", got=error, at=repr(name)) from None
    if overflows.any():
        raise DTypeError(
            "parameter", f"a value does not fit in {dtype}", at=repr(name), fix='use "float64"'
        )
    if shape is not None and tuple(shape) != array.shape:
        raise ShapeError(
            "parameter", "the value has another shape", expected=tuple(shape), got=array.shape
        )
    array.flags.writeable = False
    type = TensorType(array.shape, dtype)
    return taken(Parameter(scope, type, initial=array, trainable=trainable, sparse=sparse))


def check_sparse(where: str, sparse: object) -> None:
    """Raises SettingError where `sparse` is not True, False or None."""
    if sparse is not None and not isinstance(sparse, bool):
        raise SettingError(where, "sparse is True, False or None", got=repr(sparse))
