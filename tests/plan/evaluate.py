"""A slow evaluator of plans in NumPy: what kernels mean, told apart from how they are compiled.

The phases are run the way threads would run them: each thread does its part of all kernels of a
phase before the next thread begins, in either order, and memory that nobody wrote is poisoned. So
a plan that reads across threads within a phase, or reads what was not written, comes out wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.ir.kernel import Acc, At, Axis, Buffer, Call, Const, Expr, Kernel, Read, Row, Write
from chainrule.ops.activations import SIGMOID, SOFTPLUS
from chainrule.ops.bfloat16 import TO_BFLOAT16
from chainrule.ops.random import philox
from chainrule.ops.special import erf
from chainrule.plan.check import check
from chainrule.plan.plan import Plan, Task
from chainrule.types import N, resolve

Array = np.ndarray[Any, Any]


@dataclass
class Memory:
    """What a step reads and writes.

    Attributes:
        arrays: data, old state, constants and what a step brings, by buffer; work is added here.
        rows: the rows of the data set that the minibatch is made of.
        new: the new side of the state.
    """

    arrays: dict[Buffer, Array]
    rows: Array
    new: dict[Buffer, Array] = field(default_factory=dict)

    def to_write(self, buffer: Buffer, *, commit: bool = False) -> Array:
        side = self.new if buffer.space == "state" and not commit else self.arrays
        if buffer not in side:
            assert buffer.space in ("work", "staged", "loss", "state"), buffer
            if buffer.part is not None:
                whole = self.to_write(buffer.whole)
                side[buffer] = whole[(slice(None),) * buffer.part.axis + (buffer.part.index,)]
                return side[buffer]
            side[buffer] = poisoned(resolve(buffer.shape, len(self.rows)), buffer.dtype)
        return side[buffer]


def poisoned(shape: tuple[int, ...], dtype: str) -> Array:
    """An array of NaN, or of integers that are no place."""
    value = {"f": np.nan, "b": True}.get(np.dtype(dtype).kind, 2**30)
    return np.full(shape, value, dtype)


def run(plan: Plan, memory: Memory, threads: int = 1, *, backwards: bool = False) -> None:
    """One step, its phases in order and its threads one after another."""
    check(plan)
    for buffer in plan.buffers:
        if buffer.space == "constant":
            assert buffer.value is not None
            memory.arrays[buffer] = buffer.value
    order = range(threads)[::-1] if backwards else range(threads)
    with np.errstate(all="ignore"):
        for phase in plan.phases:
            for task in phase.tasks:  # so that parts poison nothing that was written
                for write in task.kernel.writes:
                    memory.to_write(write.buffer, commit=task.kernel.commit)
                for buffer in task.reads:
                    if buffer.part is not None:
                        memory.to_write(buffer)
            for thread in order:
                for task in phase.tasks:
                    first = part(task, thread, threads, len(memory.rows))
                    if first is not None:
                        Turn(task.kernel, memory, first).run()


def part(task: Task, thread: int, threads: int, rows: int) -> range | None:
    """The turns of the first axis that a thread does; None where it has nothing to do."""
    axes = task.kernel.axes
    size = length(axes[0], rows) if axes else 1
    if task.split == "every":
        return range(size)
    if task.split == "none":
        return range(size) if thread == task.owner % threads else None
    return range(size * thread // threads, size * (thread + 1) // threads)


def length(axis: Axis, rows: int) -> int:
    return rows if axis.size is N else int(axis.size)  # type: ignore[call-overload]


class Turn:
    """One thread's part of one kernel, over all of its loops at once."""

    def __init__(self, kernel: Kernel, memory: Memory, first: range) -> None:
        self._kernel, self._memory = kernel, memory
        over = kernel.reduction.over if kernel.reduction else ()
        self._outer = len(kernel.axes)
        turns = [np.arange(length(axis, len(memory.rows))) for axis in (*kernel.axes, *over)]
        if kernel.axes:
            turns[0] = turns[0][first.start : first.stop]
        self._shape = tuple(len(t) for t in turns)
        self._turn = {
            axis: t.reshape([-1 if a == k else 1 for a in range(len(turns))])
            for k, (axis, t) in enumerate(zip((*kernel.axes, *over), turns, strict=True))
        }
        assert len(self._turn) == len(turns), "an axis stands twice"
        self._empty = 0 in self._shape
        self._acc: Array | None = None
        self._known: dict[int, Array] = {}

    def run(self) -> None:
        reduction = self._kernel.reduction
        if reduction is not None:
            assert reduction.over, "a reduction over nothing"
            value = np.broadcast_to(self._value(reduction.value), self._shape)
            if reduction.combine == "scan":
                assert len(reduction.over) == 1
                self._acc = np.add.accumulate(value, axis=-1, dtype=value.dtype)
                self._outer = len(self._shape)
                self._known.clear()
        if reduction is not None and reduction.combine != "scan":
            made = combined(reduction.combine, value, self._outer)
            self._acc = made.reshape(made.shape + (1,) * len(reduction.over))
            self._known.clear()
        self._empty = 0 in self._shape[: self._outer]
        written = [self._written(write) for write in self._kernel.writes]
        for write, (place, value) in zip(self._kernel.writes, written, strict=True):
            target = self._memory.to_write(write.buffer, commit=self._kernel.commit)
            if write.add:
                np.add.at(target, place, value)
            else:
                target[place] = value  # of several at one place, the last one stays
            if self._kernel.commit:
                np.testing.assert_array_equal(target[place], value, err_msg="equal rows differ")

    def _written(self, write: Write) -> tuple[tuple[Array, ...], Array]:
        """Places and values, in the order of the loops."""
        assert write.value.dtype == write.buffer.dtype, write
        loops = self._shape[: self._outer]
        shape = self._memory.to_write(write.buffer, commit=self._kernel.commit).shape
        place = []
        for p, size in zip(write.place, shape, strict=True):
            at = self._outer_only(self._value(p), loops)
            assert ((at >= 0) & (at < size)).all(), (self._kernel.name, write)
            place.append(at)
        value = self._outer_only(self._value(write.value), loops)
        if place and not (write.add or write.repeats or self._kernel.commit):
            flat = np.ravel_multi_index(tuple(place), shape)
            assert len(np.unique(flat)) == flat.size, "two turns write one element"
        return tuple(place), value

    def _outer_only(self, value: Array, loops: tuple[int, ...]) -> Array:
        lone = value.reshape(value.shape[: self._outer]) if value.ndim else value
        return np.broadcast_to(lone, loops)

    def _value(self, expr: Expr) -> Array:
        if id(expr) not in self._known:
            made = np.asarray(self._computed(expr))
            assert str(made.dtype) == expr.dtype, (expr, made.dtype)
            self._known[id(expr)] = made
        return self._known[id(expr)]

    def _computed(self, expr: Expr) -> Array:
        match expr:
            case Const(value, dtype):
                return np.asarray(value).astype(dtype)
            case At(axis):
                return self._turn[axis]
            case Row(at):
                return self._memory.rows[self._value(at)]
            case Read(buffer, place):
                return self._read(buffer, place)
            case Acc():
                assert self._acc is not None
                return self._acc
            case Call():
                return self._called(expr)
        raise AssertionError(expr)

    def _read(self, buffer: Buffer, place: tuple[Expr, ...]) -> Array:
        array = self._memory.arrays[buffer]
        assert str(array.dtype) == buffer.dtype, buffer
        at = tuple(self._value(p) for p in place)
        for p, size in zip(at, array.shape, strict=True):
            assert p.dtype == np.int64, "a place is an int64"
            if self._empty:
                return np.zeros(np.broadcast_shapes(*(p.shape for p in at)), buffer.dtype)
            assert ((p >= 0) & (p < size)).all(), (self._kernel.name, buffer.name, "out of range")
        return array[at]

    def _called(self, call: Call) -> Array:
        operands = [self._value(x) for x in call.operands]
        if call.function == "count":
            return np.asarray(len(self._memory.rows)).astype(call.dtype)
        if call.function == "philox":
            return uniform(call, operands)
        if call.function == "cast":
            return operands[0].astype(call.dtype)
        alike = operands[1:] if call.function == "select" else operands
        assert len({x.dtype for x in alike}) == 1, call
        return np.asarray(FUNCTIONS[call.function](*operands))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "neg": np.negative,
    "abs": np.abs, "min": np.minimum, "max": np.maximum, "sqrt": np.sqrt, "exp": np.exp,
    "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "sin": np.sin, "cos": np.cos,
    "tanh": np.tanh, "sigmoid": SIGMOID.forward, "softplus": SOFTPLUS.forward, "erf": erf,
    "pow": np.power, "floor": np.floor, "round": np.rint, "eq": np.equal, "ne": np.not_equal,
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor, "not": np.logical_not,
    "bfloat16": TO_BFLOAT16.forward, "select": np.where, "mod": np.mod,
    "floordiv": np.floor_divide,
}  # fmt: skip

COMBINE: Mapping[str, Callable[..., Any]] = {
    "prod": np.multiply.reduce,
    "max": np.maximum.reduce,
    "min": np.minimum.reduce,
    "any": np.logical_or.reduce,
}
STARTS: Mapping[str, float] = {"max": -np.inf, "min": np.inf}


def combined(combine: str, value: Array, outer: int) -> Array:
    """`value` with the axes from `outer` on taken together."""
    over = tuple(range(outer, value.ndim))
    if combine in ("argmax", "argmin"):
        assert len(over) == 1
        return np.asarray(getattr(np, combine)(value, axis=over[0])).astype(np.int64)
    wide = value.astype(np.float64) if value.dtype == np.float32 else value
    if combine == "sum":
        return np.asarray(np.sum(wide, axis=over, dtype=wide.dtype)).astype(value.dtype)
    start = {"initial": STARTS[combine]} if combine in STARTS and value.dtype.kind == "f" else {}
    return np.asarray(COMBINE[combine](wide, axis=over, **start)).astype(value.dtype)


def uniform(call: Call, operands: list[Array]) -> Array:
    column, row, k0, k1, step, stream = operands
    assert [str(x.dtype) for x in operands] == ["int64", "int64", *["uint32"] * 4]
    block = (column // 4).astype(np.uint32)
    counter = (block, row.astype(np.uint32), step, stream)
    words = np.stack(philox(counter, (int(k0), int(k1))))
    which = np.broadcast_to(column % 4, words.shape[1:])[None]
    bits = np.take_along_axis(words, which, 0)[0]
    return (bits >> np.uint32(8)).astype(call.dtype) * np.asarray(2.0**-24, call.dtype)
