"""Serialization of the kernels of a plan: their text, and how they are launched."""

from __future__ import annotations

import msgspec

from chainrule.backend.gpu.program import Count, Launch, Program
from chainrule.backend.packed import OperandsForm, Packing, SignatureForm, Unpacking


class LaunchForm(msgspec.Struct, array_like=True):
    """A Launch."""

    name: str
    function: str
    operands: OperandsForm
    counts: list[tuple[int, int, int]]
    items: int


class ProgramForm(msgspec.Struct, array_like=True):
    """A Program."""

    signature: SignatureForm
    text: str
    launches: list[LaunchForm]


def pack(program: Program) -> bytes:
    """A program as bytes."""
    packing = Packing(program.signature)
    launches = [
        LaunchForm(x.name, x.function, packing.operands(x.operands), list(x.counts), x.items)
        for x in program.launches
    ]
    form = ProgramForm(packing.signature(), program.text, launches)
    return msgspec.msgpack.encode(form)


def unpack(packed: bytes, max_rows: int) -> Program:
    """The program from the bytes of `pack`."""
    form = msgspec.msgpack.decode(packed, type=ProgramForm)
    unpacking = Unpacking(form.signature)
    launches = tuple(
        Launch(
            x.name, x.function, unpacking.operands(x.operands),
            tuple(Count(*count) for count in x.counts), x.items,
        )
        for x in form.launches
    )  # fmt: skip
    return Program(form.text, launches, unpacking.signature, max_rows)
