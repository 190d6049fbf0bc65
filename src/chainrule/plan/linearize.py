"""A kernel in linear form: numbered scalar instructions without names; equal lists, equal code."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from chainrule.ir.kernel import Acc, At, Axis, Buffer, Call, Const, Expr, Kernel, Read, Row
from chainrule.types import Dim


class Instr(NamedTuple):
    """One instruction: `op` of the results of the instructions `args`.

    `data` is the text of a `const`, the number of the axis of an `at`, of the argument of a `read`.
    """

    op: str
    args: tuple[int, ...]
    dtype: str
    data: str | int | None = None


class Argument(NamedTuple):
    """A buffer that a kernel reads or writes, with its layout in memory.

    Attributes:
        shape: None for the length of the kernel's first loop, where that is a run-time argument.
        space: that of the buffer; `rows` for the index of the minibatch's rows.
        strides: in elements, one for each axis; empty until a backend chooses a layout.
        slack: whether whole vectors may be read and written past the end of a row.
        inside: whether it is a part of another buffer, so that they may only be read there.
    """

    dtype: str
    shape: tuple[Dim | None, ...]
    space: str
    strides: tuple[int, ...] = ()
    slack: bool = False
    inside: bool = False


class Store(NamedTuple):
    """`argument[place] = value`, or `+=`; see Write."""

    argument: int
    place: tuple[int, ...]
    value: int
    add: bool
    repeats: bool = False


class LinearKernel(NamedTuple):
    """A kernel whose axes and buffers are numbers; axes from `free` on are reduced over.

    The size None of a first loop is a run-time argument.
    """

    sizes: tuple[Dim | None, ...]
    free: int
    combine: str | None
    value: int
    instrs: tuple[Instr, ...]
    stores: tuple[Store, ...]
    arguments: tuple[Argument, ...]
    commit: bool = False

    @property
    def over(self) -> range:
        """The axes that are reduced over."""
        return range(self.free, len(self.sizes))

    def read(self) -> set[int]:
        """The arguments that are read."""
        return {int(instr.data or 0) for instr in self.instrs if instr.op == "read"}

    def written(self) -> set[int]:
        """The arguments that are stored to."""
        return {store.argument for store in self.stores}


Operand = tuple[Buffer, bool]
"""A buffer as an argument, and whether it is the new side of a state."""

ROWS = Buffer("rows of the minibatch", (), "int64")
"""Stands for the index of the minibatch's rows among the operands."""


def linearize(kernel: Kernel) -> tuple[LinearKernel, tuple[Operand, ...]]:
    """The kernel without names, and the operands of its arguments; buffers have no layout yet."""
    reduction = kernel.reduction
    axes = kernel.axes + (reduction.over if reduction else ())
    write = _Linearizer(axes)
    value = write.number(reduction.value) if reduction else -1
    stores = tuple(
        Store(
            write.argument(w.buffer, True),
            tuple(write.number(p) for p in w.place),
            write.number(w.value),
            w.add,
            w.repeats,
        )
        for w in kernel.writes
    )
    linear = LinearKernel(
        tuple(axis.size for axis in axes),
        len(kernel.axes),
        reduction.combine if reduction else None,
        value,
        tuple(write.instrs),
        stores,
        tuple(map(_argument, write.operands)),
        kernel.commit,
    )
    return linear, tuple(write.operands)


def laid_out(
    linear: LinearKernel, operands: tuple[Operand, ...], layout: Callable[[Buffer], Argument]
) -> LinearKernel:
    """The kernel with the memory layout that a backend gives to its buffers."""
    return linear._replace(arguments=tuple(layout(buffer) for buffer, _ in operands))


def _argument(operand: Operand) -> Argument:
    buffer, _ = operand
    if buffer is ROWS:
        return Argument("int64", (1,), "rows")
    return Argument(buffer.dtype, buffer.shape, buffer.space)


class _Linearizer:
    """Numbers the expressions of one kernel; equal expressions get one number.

    Attributes:
        instrs: all instructions, operands before their users.
        operands: in the order of the arguments.
    """

    def __init__(self, axes: tuple[Axis, ...]) -> None:
        self._axes = {axis: number for number, axis in enumerate(axes)}
        self._seen: dict[int, int] = {}
        self._alive: list[Expr] = []
        self.instrs: dict[Instr, int] = {}
        self.operands: dict[Operand, int] = {}

    def argument(self, buffer: Buffer, new: bool) -> int:
        """The number of a buffer among the arguments."""
        operand = (buffer, new and buffer.space == "state")
        return self.operands.setdefault(operand, len(self.operands))

    def number(self, root: Expr) -> int:
        """The number of an expression; iterative, as chains are long."""
        stack, seen = [root], self._seen
        while stack:
            expr = stack[-1]
            if id(expr) in seen:
                stack.pop()
                continue
            operands = _operands(expr)
            waiting = [e for e in operands if id(e) not in seen]
            if waiting:
                stack.extend(waiting)
                continue
            stack.pop()
            self._alive.append(expr)  # so that its id is not reused
            seen[id(expr)] = self._instr(expr, tuple([seen[id(e)] for e in operands]))
        return seen[id(root)]

    def _instr(self, expr: Expr, args: tuple[int, ...]) -> int:
        match expr:
            case Const(value, dtype):
                instr = Instr("const", (), dtype, constant_text(value, dtype))
            case At(axis):
                instr = Instr("at", (), "int64", self._axes[axis])
            case Row():
                instr = Instr("read", args, "int64", self.argument(ROWS, False))
            case Read(buffer):
                instr = Instr("read", args, buffer.dtype, self.argument(buffer, False))
            case Acc(dtype):
                instr = Instr("acc", (), dtype)
            case Call(function, _, dtype):
                if function in ("add", "mul"):  # so that a * b equals b * a
                    args = tuple(sorted(args))
                instr = Instr(function, args, dtype)
        return self.instrs.setdefault(instr, len(self.instrs))


def constant_text(value: float | int | bool, dtype: str) -> str:
    """A constant as text that is equal for equal bits alone; `constant_value` reads it."""
    if dtype not in ("float32", "float64"):
        return str(int(value))
    with np.errstate(over="ignore"):
        return float(np.dtype(dtype).type(value)).hex()


def constant_value(instr: Instr) -> float | int:
    """The number that a `const` instruction stands for."""
    text = str(instr.data)
    return float.fromhex(text) if instr.dtype in ("float32", "float64") else int(text)


def _operands(expr: Expr) -> tuple[Expr, ...]:
    if isinstance(expr, Call):
        return expr.operands
    if isinstance(expr, Read):
        return expr.place
    return (expr.at,) if isinstance(expr, Row) else ()
