"""The form in which files have the signature of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from chainrule.ir.kernel import Buffer, Part
from chainrule.plan.linearize import ROWS, Operand
from chainrule.plan.plan import Signature, UserCall
from chainrule.types import Dim, N


class BufferForm(msgspec.Struct, array_like=True):
    """A Buffer; a constant's value as its bytes; of a part the number of the whole, and where."""

    name: str
    shape: list[int]
    dtype: str
    space: str
    value: bytes | None
    part: tuple[int, int, int] | None


class CallForm(msgspec.Struct, array_like=True):
    """A UserCall; buffers by their numbers."""

    name: str
    phase: int
    operands: list[int]
    result: int


class SignatureForm(msgspec.Struct, array_like=True):
    """A Signature; buffers by their numbers."""

    buffers: list[BufferForm]
    updates: list[int]
    twice: list[int]
    outputs: list[int]
    loss: int | None
    cuts: list[int]
    sums: list[int]
    calls: list[CallForm]


OperandsForm = list[tuple[int, bool]]
"""Operands, by the number of the buffer."""

_ROWS = -1
"""Stands for N in a shape, and for the index of the minibatch's rows among buffers."""


class Packing:
    """Writes a signature, and operands by the numbers of its buffers."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._number = {x: k for k, x in enumerate(signature.buffers)} | {ROWS: _ROWS}

    def signature(self) -> SignatureForm:
        """The form of the signature."""
        plan, number = self._signature, self._number
        buffers = [
            BufferForm(
                x.name, [packed_dim(d) for d in x.shape], x.dtype, x.space, _bytes(x),
                None if x.part is None else (number[x.whole], x.part.axis, x.part.index),
            )
            for x in plan.buffers
        ]  # fmt: skip
        calls = [
            CallForm(x.name, x.phase, [number[y] for y in x.operands], number[x.result])
            for x in plan.calls
        ]
        return SignatureForm(
            buffers, [number[x] for x in plan.updates], [number[x] for x in plan.twice],
            [number[x] for x in plan.outputs],
            None if plan.loss is None else number[plan.loss], list(plan.cuts), list(plan.sums),
            calls,
        )  # fmt: skip

    def operands(self, operands: Sequence[Operand]) -> OperandsForm:
        """The form of the operands of a launch."""
        return [(self._number[buffer], bool(new)) for buffer, new in operands]


class Unpacking:
    """Reads a signature, and operands.

    Attributes:
        signature: that was read.
    """

    def __init__(self, form: SignatureForm) -> None:
        buffers: list[Buffer] = []
        for x in form.buffers:  # wholes come before their parts
            buffers.append(_buffer(x, buffers))
        self._places = [*buffers, ROWS]  # so that _ROWS finds it

        def chosen(numbers: Sequence[int]) -> tuple[Buffer, ...]:
            return tuple(buffers[k] for k in numbers)

        calls = tuple(
            UserCall(x.name, x.phase, chosen(x.operands), buffers[x.result]) for x in form.calls
        )
        loss = None if form.loss is None else buffers[form.loss]
        self.signature = Signature(
            tuple(buffers), chosen(form.updates), chosen(form.twice), chosen(form.outputs), loss,
            tuple(form.cuts), tuple(form.sums), calls,
        )  # fmt: skip

    def operands(self, form: OperandsForm) -> tuple[Operand, ...]:
        """The operands of a launch."""
        return tuple((self._places[k], new) for k, new in form)


def _buffer(form: BufferForm, before: Sequence[Buffer]) -> Buffer:
    shape = tuple(unpacked_dim(d) for d in form.shape)
    value: np.ndarray[Any, Any] | None = None
    if form.value is not None:
        value = np.frombuffer(form.value, form.dtype).reshape(form.shape)
    part = None if form.part is None else Part(before[form.part[0]], *form.part[1:])
    return Buffer(form.name, shape, form.dtype, form.space, value, part)  # type: ignore[arg-type]


def _bytes(buffer: Buffer) -> bytes | None:
    return None if buffer.value is None else np.asarray(buffer.value, buffer.dtype).tobytes()


def packed_dim(dim: Dim) -> int:
    """A dimension as an integer."""
    return dim if isinstance(dim, int) else _ROWS


def unpacked_dim(integer: int) -> Dim:
    """The dimension that an integer stands for."""
    return N if integer == _ROWS else integer
