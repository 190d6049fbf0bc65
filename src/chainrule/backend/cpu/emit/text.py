"""LLVM IR as text: one function being written, its names, blocks, loops and local memory."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

SCALARS = {
    "float32": "float",
    "float64": "double",
    "int32": "i32",
    "int64": "i64",
    "uint32": "i32",
    "bool": "i1",
}


def type_of(dtype: str, lanes: int = 1) -> str:
    """The LLVM type of a value in a register: `float`, or `<8 x float>` of 8 lanes."""
    scalar = SCALARS[dtype]
    return scalar if lanes == 1 else f"<{lanes} x {scalar}>"


def stored_type(dtype: str, lanes: int = 1) -> str:
    """The LLVM type of a value in memory: a bool is a byte there."""
    scalar = "i8" if dtype == "bool" else SCALARS[dtype]
    return scalar if lanes == 1 else f"<{lanes} x {scalar}>"


def number(value: float | int | bool, dtype: str) -> str:
    """A constant as text; floats are written as the bits of a double, which is exact."""
    if dtype == "bool":
        return "true" if value else "false"
    if dtype in ("float32", "float64"):
        with np.errstate(over="ignore"):
            exact = float(np.dtype(dtype).type(value))
        return f"0x{struct.unpack('<Q', struct.pack('<d', exact))[0]:016X}"
    return str(int(value))


def constant(text: str, dtype: str, lanes: int) -> str:
    """A constant in every lane."""
    if lanes == 1:
        return text
    return f"splat ({SCALARS[dtype]} {text})"


class Function:
    """A function being written: instructions go to the end of the current block.

    Address arithmetic that is available already is not written again.

    Args:
        result: the type of its result, after the calling convention if it is not that of C.
    """

    def __init__(
        self, name: str, parameters: str, *, external: bool = False, result: str = "void"
    ) -> None:
        self.name = name
        linkage = "" if external else "internal "
        self._head = f"define {linkage}{result} @{name}({parameters}) nounwind {{\nentry:"
        self._locals: list[str] = []
        self._lines: list[str] = []
        self._count = 0
        self._marks: list[int] = []
        self._values: list[dict[str, str]] = [{}]
        self.block = "entry"
        self.declared: set[str] = set()
        self.maths: set[tuple[str, str, int]] = set()

    def name_for(self, stem: str) -> str:
        """A name not used before."""
        self._count += 1
        return f"{stem}{self._count}"

    def value(self, right: str) -> str:
        """Write `%name = right` and return the name."""
        name = self.name_for("%v")
        self._lines.append(f"  {name} = {right}")
        return name

    def pure(self, right: str) -> str:
        """As `value`, for instructions without effects or memory reads: written only once."""
        for scope in self._values:
            if right in scope:
                return scope[right]
        self._values[-1][right] = name = self.value(right)
        return name

    @contextmanager
    def _scope(self) -> Iterator[None]:
        """A part of the code that may not run: its values are not reused after it."""
        self._values.append({})
        yield
        self._values.pop()

    def do(self, line: str) -> None:
        """Write an instruction without a result."""
        self._lines.append("  " + line)

    def mark(self) -> None:
        """Remember this position for `insert`; the block must not end before it is used."""
        self._marks.append(len(self._lines))
        self._lines.append("")

    def insert(self, *lines: str) -> None:
        """Write instructions at the last marked position."""
        self._lines[self._marks.pop()] = "\n".join("  " + line for line in lines)

    def label(self, name: str) -> None:
        """Begin a block; the one before must have ended in a branch."""
        self._values[-1] = {}
        self._begin(name)

    def _begin(self, name: str) -> None:
        self._lines.append(name + ":")
        self.block = name

    def local(self, kind: str) -> str:
        """Memory for one value of the LLVM type `kind`, for as long as the function runs."""
        name = self.name_for("%m")
        self._locals.append(f"  {name} = alloca {kind}, align 64")
        return name

    def declare(self, declaration: str) -> None:
        """Make sure that the module declares a function."""
        self.declared.add(declaration)

    def call(self, kind: str, callee: str, *operands: tuple[str, str]) -> str:
        """Call a function that the module must declare; operands are (type, value) pairs."""
        self.declare(f"declare {kind} @{callee}({', '.join(t for t, _ in operands)})")
        return self.value(f"call {kind} @{callee}({', '.join(f'{t} {v}' for t, v in operands)})")

    def load(self, kind: str, pointer: str, align: int) -> str:
        return self.value(f"load {kind}, ptr {pointer}, align {align}")

    def store(self, kind: str, value: str, pointer: str, align: int) -> None:
        self.do(f"store {kind} {value}, ptr {pointer}, align {align}")

    def shift(self, kind: str, base: str, offset: str) -> str:
        """The address `offset` elements of `kind` after `base`."""
        if offset == "0":
            return base
        return self.pure(f"getelementptr {kind}, ptr {base}, i64 {offset}")

    def add(self, a: str, b: str) -> str:
        """a + b of int64, folded where it can be."""
        if _literal(a) and _literal(b):
            return str(int(a) + int(b))
        if "0" in (a, b):
            return b if a == "0" else a
        return self.pure(f"add nsw i64 {a}, {b}")

    def mul(self, a: str, b: str) -> str:
        """a * b of int64, folded where it can be."""
        if _literal(a) and _literal(b):
            return str(int(a) * int(b))
        if "0" in (a, b):
            return "0"
        if "1" in (a, b):
            return b if a == "1" else a
        return self.pure(f"mul nsw i64 {a}, {b}")

    def sub(self, a: str, b: str) -> str:
        """a - b of int64, folded where it can be."""
        if _literal(a) and _literal(b):
            return str(int(a) - int(b))
        return a if b == "0" else self.pure(f"sub nsw i64 {a}, {b}")

    def div(self, a: str, b: int) -> str:
        """a // b of int64, both not negative."""
        if _literal(a):
            return str(int(a) // b)
        return a if b == 1 else self.pure(f"udiv i64 {a}, {b}")

    def least(self, a: str, b: str) -> str:
        """min(a, b) of int64."""
        if _literal(a) and _literal(b):
            return str(min(int(a), int(b)))
        return self.pure(f"select i1 {self.less(a, b)}, i64 {a}, i64 {b}")

    def less(self, a: str, b: str) -> str:
        """a < b of int64, folded where it can be."""
        if _literal(a) and _literal(b):
            return "true" if int(a) < int(b) else "false"
        return self.pure(f"icmp slt i64 {a}, {b}")

    def splat(self, value: str, kind: str, lanes: int) -> str:
        """`value` in every lane."""
        if lanes == 1:
            return value
        first = self.pure(f"insertelement <{lanes} x {kind}> poison, {kind} {value}, i32 0")
        return self.pure(
            f"shufflevector <{lanes} x {kind}> {first}, <{lanes} x {kind}> poison, "
            f"<{lanes} x i32> zeroinitializer"
        )

    @contextmanager
    def loop(self, low: str, high: str, step: int = 1) -> Iterator[str]:
        """for (i = low; i < high; i += step); gives the name of i, or its only value."""
        if _literal(low) and _literal(high) and 0 < int(high) - int(low) <= step:
            yield low
            return
        stem, before = self.name_for("L"), self.block
        self.do(f"br label %{stem}.head")
        self._begin(f"{stem}.head")
        place = len(self._lines)
        self._lines.append("")
        more = self.value(f"icmp slt i64 %{stem}.i, {high}")
        self.do(f"br i1 {more}, label %{stem}.body, label %{stem}.end")
        self._begin(f"{stem}.body")
        with self._scope():
            yield f"%{stem}.i"
        self.do(f"%{stem}.next = add nsw i64 %{stem}.i, {step}")
        self.do(f"br label %{stem}.head")
        self._lines[place] = (
            f"  %{stem}.i = phi i64 [{low}, %{before}], [%{stem}.next, %{self.block}]"
        )
        self._begin(f"{stem}.end")

    @contextmanager
    def when(self, condition: str) -> Iterator[None]:
        """if (condition)."""
        if condition == "true":
            yield
            return
        stem = self.name_for("I")
        self.do(f"br i1 {condition}, label %{stem}.then, label %{stem}.end")
        self._begin(f"{stem}.then")
        with self._scope():
            yield
        self.do(f"br label %{stem}.end")
        self._begin(f"{stem}.end")

    def end(self, start: str = "", result: str = "void") -> str:
        """The text of the function; `start` goes before its first instruction."""
        begin = [self._head, *self._locals, *([start] if start else [])]
        return "\n".join([*begin, *self._lines, f"  ret {result}", "}"])


def _literal(text: str) -> bool:
    return text.lstrip("-").isdigit()
