"""Straight-line vector code as LLVM IR text: values with operators, and the function they fill."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

FLOATS = {"float32": "float", "float64": "double"}
_NAMES = {"float": "f32", "double": "f64"}


@dataclass(frozen=True)
class Kind:
    """A type: `width` elements of an LLVM type such as float, i32 or i1; 1 is a scalar."""

    element: str
    width: int

    @property
    def text(self) -> str:
        """The type as IR text."""
        return self.element if self.width == 1 else f"<{self.width} x {self.element}>"

    @property
    def suffix(self) -> str:
        """The type as a suffix of intrinsics."""
        name = _NAMES.get(self.element, self.element)
        return name if self.width == 1 else f"v{self.width}{name}"

    @property
    def is_float(self) -> bool:
        """Whether this is float or double."""
        return self.element in _NAMES

    def constant(self, value: float) -> str:
        """The text of a number in all lanes."""
        one = float_text(value, self.element) if self.is_float else str(int(value))
        if self.width == 1:
            return one
        return f"splat ({self.element} {one})"


def float_text(value: float, element: str) -> str:
    """A number as IR text: the bits of a double, also for a float."""
    exact = float(np.float32(value)) if element == "float" else float(value)
    return f"0x{struct.unpack('<Q', struct.pack('<d', exact))[0]:016X}"


@dataclass
class Body:
    """A function being written.

    Attributes:
        fused: whether the target has fused multiply-add.
        lines: what was written so far.
    """

    fused: bool
    lines: list[str] = field(default_factory=list)

    def emit(self, text: str, kind: Kind) -> Value:
        """A new value, made by one instruction."""
        name = f"%t{len(self.lines)}"
        self.lines.append(f"  {name} = {text}")
        return Value(self, name, kind)

    def constant(self, value: float, kind: Kind) -> Value:
        """A number in all lanes; it costs no instruction here."""
        return Value(self, kind.constant(value), kind)

    def splat(self, scalar: str, kind: Kind) -> Value:
        """A scalar of the function's arguments in all lanes."""
        if kind.width == 1:
            return Value(self, scalar, kind)
        one = self.emit(f"insertelement {kind.text} poison, {kind.element} {scalar}, i32 0", kind)
        return shuffle(one, one, [0] * kind.width)


@dataclass(frozen=True, eq=False)
class Value:
    """A value of a function being written; its operators write instructions.

    Numbers of Python on the other side of an operator are constants of the same type. Orders
    (`<` and the like) are false for NaN. `>>` is logical.
    """

    body: Body
    name: str
    kind: Kind

    def _operate(self, ints: str, floats: str, other: Operand, swap: bool = False) -> Value:
        a, b = self, lift(other, self)
        if swap:
            a, b = b, a
        word = floats if self.kind.is_float else ints
        return self.body.emit(f"{word} {self.kind.text} {a.name}, {b.name}", self.kind)

    def __add__(self, other: Operand) -> Value:
        return self._operate("add", "fadd", other)

    def __sub__(self, other: Operand) -> Value:
        return self._operate("sub", "fsub", other)

    def __rsub__(self, other: Operand) -> Value:
        return self._operate("sub", "fsub", other, swap=True)

    def __mul__(self, other: Operand) -> Value:
        return self._operate("mul", "fmul", other)

    def __truediv__(self, other: Operand) -> Value:
        return self._operate("", "fdiv", other)

    def __rtruediv__(self, other: Operand) -> Value:
        return self._operate("", "fdiv", other, swap=True)

    def __and__(self, other: Operand) -> Value:
        return self._operate("and", "", other)

    def __or__(self, other: Operand) -> Value:
        return self._operate("or", "", other)

    def __xor__(self, other: Operand) -> Value:
        return self._operate("xor", "", other)

    def __lshift__(self, other: Operand) -> Value:
        return self._operate("shl", "", other)

    def __rshift__(self, other: Operand) -> Value:
        return self._operate("lshr", "", other)

    def __invert__(self) -> Value:
        return self ^ -1

    def __lt__(self, other: Operand) -> Value:
        return self.compare("olt", other)

    def __le__(self, other: Operand) -> Value:
        return self.compare("ole", other)

    def __gt__(self, other: Operand) -> Value:
        return self.compare("ogt", other)

    def __ge__(self, other: Operand) -> Value:
        return self.compare("oge", other)

    def compare(self, predicate: str, other: Operand) -> Value:
        """The lanes where an `fcmp` or `icmp` predicate holds."""
        word = "fcmp" if self.kind.is_float else "icmp"
        b = lift(other, self).name
        return self.body.emit(
            f"{word} {predicate} {self.kind.text} {self.name}, {b}", Kind("i1", self.kind.width)
        )

    def __neg__(self) -> Value:
        return self.body.emit(f"fneg {self.kind.text} {self.name}", self.kind)

    def cast(self, word: str, element: str) -> Value:
        """An LLVM conversion (bitcast, fpext, fptrunc, zext, trunc, sitofp) of each lane."""
        kind = Kind(element, self.kind.width)
        return self.body.emit(f"{word} {self.kind.text} {self.name} to {kind.text}", kind)

    def bits(self) -> Value:
        """A float's bits as an integer of its size."""
        return self.cast("bitcast", "i32" if self.kind.element == "float" else "i64")

    def floats(self) -> Value:
        """An integer's bits as a float of its size."""
        return self.cast("bitcast", "float" if self.kind.element == "i32" else "double")

    def intrinsic(self, name: str, *others: Operand) -> Value:
        """An LLVM intrinsic of operands and result of this type."""
        operands = (self, *(lift(other, self) for other in others))
        text = ", ".join(f"{self.kind.text} {x.name}" for x in operands)
        return self.body.emit(
            f"call {self.kind.text} @llvm.{name}.{self.kind.suffix}({text})", self.kind
        )


Operand = Value | float


def lift(x: Operand, like: Value) -> Value:
    """`x`, or the number `x` as a constant of the type of `like`."""
    return x if isinstance(x, Value) else like.body.constant(x, like.kind)


def fma(a: Value, b: Operand, c: Operand) -> Value:
    """`a * b + c`, rounded once where the target can."""
    return a.intrinsic("fma", b, c) if a.body.fused else a * b + c


def horner(x: Value, coefficients: Sequence[float]) -> Value:
    """A polynomial of `x`, coefficients from low powers to high."""
    *lower, top = coefficients
    sum_ = lift(top, x)
    for coefficient in reversed(lower):
        sum_ = fma(sum_, x, coefficient)
    return sum_


def select(where: Value, a: Operand, b: Operand) -> Value:
    """`a` in the lanes where the condition holds, else `b`; at least one is a Value."""
    like: Any = a if isinstance(a, Value) else b
    a, b = lift(a, like), lift(b, like)
    text = f"select {where.kind.text} {where.name}"
    return where.body.emit(f"{text}, {a.kind.text} {a.name}, {b.kind.text} {b.name}", like.kind)


def clamp(x: Value, low: float, high: float) -> Value:
    """`x` within bounds; NaN stays NaN."""
    x = select(lift(high, x) < x, high, x)
    return select(lift(low, x) > x, low, x)


def shuffle(a: Value, b: Value, lanes: Sequence[int]) -> Value:
    """A shuffle: the given lanes of `a` and `b`, counted through both."""
    kind = Kind(a.kind.element, len(lanes))
    mask = ", ".join(f"i32 {lane}" for lane in lanes)
    return a.body.emit(
        f"shufflevector {a.kind.text} {a.name}, {b.kind.text} {b.name}, "
        f"<{len(lanes)} x i32> <{mask}>",
        kind,
    )


def define(head: str, body: Body, result: Value) -> str:
    """The text of an internal function that returns `result`; its first block is `entry`."""
    last = f"  ret {result.kind.text} {result.name}"
    return "\n".join([f"define internal {head} nounwind {{", "entry:", *body.lines, last, "}\n"])
