"""A kernel as a numbered list of scalar instructions, without names: equal lists, equal code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chainrule.backend.cpu.emit.text import number
from chainrule.ir.kernel import Acc, At, Axis, Buffer, Call, Const, Expr, Kernel, Read, Row
from chainrule.types import Dim


@dataclass(frozen=True)
class Item:
    """One instruction: `op` of the results of the instructions `args`.

    `data` is the text of a `const`, the number of the axis of an `at`, of the argument of a `read`.
    """

    op: str
    args: tuple[int, ...]
    dtype: str
    data: str | int | None = None


@dataclass(frozen=True)
class Argument:
    """What the code knows of a buffer: how it lies in memory.

    Attributes:
        shape: None for the length of the kernel's first loop, which the code need not know.
        strides: in elements, one for each axis.
        slack: whether whole vectors may be read and written past the end of a row.
        space: of the buffer; `rows` for the index of the minibatch's rows.
    """

    dtype: str
    shape: tuple[Dim | None, ...]
    strides: tuple[int, ...]
    slack: bool
    space: str


@dataclass(frozen=True)
class Store:
    """`argument[place] = value`, or `+=`."""

    argument: int
    place: tuple[int, ...]
    value: int
    add: bool


@dataclass(frozen=True)
class Flat:
    """A kernel whose axes and buffers are numbers; axes from `free` on are reduced over.

    The size None of a first loop is told when the kernel runs.
    """

    sizes: tuple[Dim | None, ...]
    free: int
    combine: str | None
    value: int
    items: tuple[Item, ...]
    stores: tuple[Store, ...]
    arguments: tuple[Argument, ...]

    @property
    def over(self) -> range:
        """The axes that are reduced over."""
        return range(self.free, len(self.sizes))

    def written(self) -> set[int]:
        """The arguments that are stored to."""
        return {store.argument for store in self.stores}


Place = tuple[Buffer, bool]
"""A buffer and whether it is the new side of a state buffer."""

ROWS = Buffer("rows of the minibatch", (), "int64")
"""Stands for the index of the minibatch's rows among the arguments."""


class Flattener:
    """Numbers the expressions of one kernel; equal expressions get one number."""

    def __init__(self, axes: tuple[Axis, ...], layout: Callable[[Buffer], Argument]) -> None:
        self._axes = {axis: number for number, axis in enumerate(axes)}
        self._layout = layout
        self._numbers: dict[Item, int] = {}
        self._seen: dict[int, int] = {}
        self._kept: list[Expr] = []
        self.places: dict[Place, int] = {}
        self.arguments: list[Argument] = []

    @property
    def items(self) -> tuple[Item, ...]:
        """All instructions, operands before their users."""
        return tuple(self._numbers)

    def argument(self, buffer: Buffer, new: bool) -> int:
        """The number of a buffer among the arguments."""
        place = (buffer, new and buffer.space == "state")
        if place not in self.places:
            self.places[place] = len(self.places)
            self.arguments.append(self._layout(buffer))
        return self.places[place]

    def number(self, root: Expr) -> int:
        """The number of an expression; no recursion, as chains are long."""
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
            self._kept.append(expr)  # so that its id stays its own
            seen[id(expr)] = self._item(expr, tuple([seen[id(e)] for e in operands]))
        return seen[id(root)]

    def _item(self, expr: Expr, args: tuple[int, ...]) -> int:
        match expr:
            case Const(value, dtype):
                item = Item("const", (), dtype, number(value, dtype))
            case At(axis):
                item = Item("at", (), "int64", self._axes[axis])
            case Row():
                item = Item("read", args, "int64", self.argument(ROWS, False))
            case Read(buffer):
                item = Item("read", args, buffer.dtype, self.argument(buffer, False))
            case Acc(dtype):
                item = Item("acc", (), dtype)
            case Call(function, _, dtype):
                if function in ("add", "mul"):  # so that a * b and b * a are one
                    args = tuple(sorted(args))
                item = Item(function, args, dtype)
        return self._numbers.setdefault(item, len(self._numbers))


def _operands(expr: Expr) -> tuple[Expr, ...]:
    if isinstance(expr, Call):
        return expr.operands
    if isinstance(expr, Read):
        return expr.place
    return (expr.at,) if isinstance(expr, Row) else ()


def flatten(kernel: Kernel, layout: Callable[[Buffer], Argument]) -> tuple[Flat, tuple[Place, ...]]:
    """The kernel without names, and the buffers that its arguments stand for."""
    reduction = kernel.reduction
    axes = kernel.axes + (reduction.over if reduction else ())
    write = Flattener(axes, layout)
    value = write.number(reduction.value) if reduction else -1
    stores = tuple(
        Store(
            write.argument(w.buffer, True),
            tuple(write.number(p) for p in w.place),
            write.number(w.value),
            w.add,
        )
        for w in kernel.writes
    )
    flat = Flat(
        tuple(axis.size for axis in axes),
        len(kernel.axes),
        reduction.combine if reduction else None,
        value,
        write.items,
        stores,
        tuple(write.arguments),
    )
    return flat, tuple(write.places)
