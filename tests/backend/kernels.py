"""The meaning of kernels and plans, in NumPy: index grids and fancy indexing. Slow, and plain."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule.ir.kernel import Acc, At, Axis, Call, Const, Expr, Kernel, Read, Row
from chainrule.ops.bfloat16 import TO_BFLOAT16
from chainrule.ops.random import philox
from chainrule.plan.plan import Plan
from chainrule.types import N

Array = Any


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _erf(x: Array) -> Array:
    return np.vectorize(math.erf, otypes=[x.dtype])(x)


FUNCTIONS = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "neg": np.negative,
    "abs": np.abs, "min": np.minimum, "max": np.maximum, "sqrt": np.sqrt, "exp": np.exp,
    "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "sin": np.sin, "cos": np.cos,
    "tanh": np.tanh, "sigmoid": _sigmoid, "softplus": lambda x: np.logaddexp(x, 0), "erf": _erf,
    "pow": np.power, "floor": np.floor, "round": np.rint, "eq": np.equal, "ne": np.not_equal,
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor, "not": np.logical_not,
    "bfloat16": TO_BFLOAT16.forward, "select": np.where, "mod": np.mod,
    "floordiv": np.floor_divide,
}  # fmt: skip
COMBINE = {"sum": np.sum, "prod": np.prod, "max": np.max, "min": np.min, "any": np.any}


class Evaluator:
    """Runs kernels on arrays.

    Args:
        arrays: by buffer name; of state, the old side.
        new: the new side of states, by name; filled in.
        rows: of the data set, that are the minibatch.
    """

    def __init__(self, arrays: dict[str, Array], new: dict[str, Array], rows: Array) -> None:
        self.arrays, self.new, self.rows = arrays, new, np.asarray(rows)

    def size(self, axis: Axis) -> int:
        return len(self.rows) if axis.size is N else int(axis.size)

    def run(self, kernel: Kernel) -> None:
        """Do what the kernel says."""
        axes = [*kernel.axes, *(kernel.reduction.over if kernel.reduction else ())]
        sizes = [self.size(a) for a in axes]
        self.full = tuple(sizes)
        self.grid = {
            a: np.arange(s).reshape([-1 if k == j else 1 for k in range(len(axes))])
            for j, (a, s) in enumerate(zip(axes, sizes, strict=True))
        }
        self.seen: dict[int, Array] = {}
        free = len(kernel.axes)
        if kernel.reduction:
            value = np.broadcast_to(self.value(kernel.reduction.value), sizes)
            self.acc = self._reduced(value, kernel.reduction.combine, free)
            self.acc = self.acc.reshape(self.acc.shape + (1,) * (len(sizes) - free))
        found = []
        for write in kernel.writes:
            value, *place = (
                np.broadcast_to(self.value(e), (*sizes[:free], *[1] * (len(sizes) - free))).reshape(
                    sizes[:free]
                )
                for e in (write.value, *write.place)
            )
            found.append((write, value, tuple(place)))
        for write, value, place in found:
            side = self.new if write.buffer.space == "state" else self.arrays
            if write.add:
                np.add.at(side[write.buffer.name], place, value)
            else:
                side[write.buffer.name][place] = value

    def _reduced(self, value: Array, combine: str, free: int) -> Array:
        over = tuple(range(free, value.ndim))
        if combine.startswith("arg"):
            if value.shape[-1] == 0:
                return np.zeros(value.shape[:free], np.int64)
            return getattr(np, combine)(value, axis=-1)
        if combine in ("max", "min") and 0 in value.shape[free:]:
            return np.full(value.shape[:free], -np.inf if combine == "max" else np.inf, value.dtype)
        wide = np.float64 if combine == "sum" and value.dtype.kind == "f" else None
        kept = {"dtype": wide} if wide else {}
        return COMBINE[combine](value, axis=over, **kept).astype(value.dtype)

    def value(self, expr: Expr) -> Array:
        """The values of an expression over the grid."""
        if id(expr) not in self.seen:
            self.seen[id(expr)] = self._value(expr)
        return self.seen[id(expr)]

    def _value(self, expr: Expr) -> Array:
        match expr:
            case Const(value, dtype):
                return np.asarray(value, dtype)
            case At(axis):
                return self.grid[axis]
            case Row(at):
                return self.rows[self.value(at)]
            case Acc():
                return self.acc
            case Read(buffer, place):
                array = self.arrays[buffer.name]
                held = [
                    np.clip(self.value(p), 0, max(s - 1, 0))
                    for p, s in zip(place, array.shape, strict=True)
                ]
                if 0 in array.shape:
                    return np.zeros(np.broadcast_shapes(*(h.shape for h in held)), array.dtype)
                return array[tuple(held)]
            case Call("cast", (x,), dtype):
                return self.value(x).astype(dtype)
            case Call("count", _, dtype):
                return np.asarray(len(self.rows), dtype)
            case Call("philox", operands, dtype):
                return self._philox(dtype, *(self.value(x) for x in operands))
            case Call(function, operands, dtype):
                parts = [self.value(x) for x in operands]
                return np.asarray(FUNCTIONS[function](*parts)).astype(dtype)

    def _philox(self, dtype: str, element: Array, row: Array, *words: Array) -> Array:
        low, high, step, stream = (int(w) for w in words)
        drawn = philox(
            tuple(np.asarray(x, np.uint32) for x in (element // 4, row, step, stream)),
            (low, high),
        )
        element = np.broadcast_to(element, drawn[0].shape)
        word = np.choose(element % 4, drawn)
        return (word >> np.uint32(8)).astype(dtype) * np.asarray(2.0**-24, dtype)


def evaluate(plan: Plan, arrays: Mapping[str, Array], rows: Array) -> dict[str, Array]:
    """One step of a plan.

    Args:
        arrays: data, state and step inputs by name.

    Returns:
        All buffers by name after the step, updated states with their new values.
    """
    here: dict[str, Array] = {}
    for buffer in plan.buffers:
        if buffer.value is not None:
            here[buffer.name] = buffer.value
        elif buffer.space in ("data", "state", "step"):
            here[buffer.name] = np.asarray(arrays[buffer.name], buffer.dtype)
        else:
            shape = tuple(len(rows) if d is N else d for d in buffer.shape)
            here[buffer.name] = np.zeros(shape, buffer.dtype)
    new = {b.name: np.zeros_like(here[b.name]) for b in plan.updates}
    run = Evaluator(here, new, rows)
    with np.errstate(all="ignore"):
        for kernel in plan.kernels:
            run.run(kernel)
    return here | new
