"""Serialization of the kernels of a plan: their text, and how they are launched."""

from __future__ import annotations

import msgspec

from chainrule.backend.gpu.program import Count, Launch, Part, Program
from chainrule.backend.packed import OperandsForm, Packing, SignatureForm, Unpacking


class PartForm(msgspec.Struct, array_like=True):
    """A Part."""

    name: str
    function: str
    operands: OperandsForm
    counts: list[tuple[int, int, int]]
    commit: bool


class ProgramForm(msgspec.Struct, array_like=True):
    """A Program; launches as their functions and levels."""

    signature: SignatureForm
    text: str
    launches: list[tuple[str, list[list[PartForm]]]]
    items: int
    steps: int
    advance: str
    work: int


def pack(program: Program) -> bytes:
    """A program as bytes."""
    packing = Packing(program.signature)

    def packed(part: Part) -> PartForm:
        operands = packing.operands(part.operands)
        return PartForm(part.name, part.function, operands, list(part.counts), part.commit)

    launches = [
        (x.function, [[packed(part) for part in level] for level in x.levels])
        for x in program.launches
    ]
    form = ProgramForm(
        packing.signature(), program.text, launches, program.items, program.steps,
        program.advance, program.work,
    )  # fmt: skip
    return msgspec.msgpack.encode(form)


def unpack(packed: bytes, max_rows: int) -> Program:
    """The program from the bytes of `pack`."""
    form = msgspec.msgpack.decode(packed, type=ProgramForm)
    unpacking = Unpacking(form.signature)

    def part(x: PartForm) -> Part:
        counts = tuple(Count(*count) for count in x.counts)
        return Part(x.name, x.function, unpacking.operands(x.operands), counts, x.commit)

    launches = tuple(
        Launch(function, tuple(tuple(part(x) for x in level) for level in levels))
        for function, levels in form.launches
    )
    return Program(
        form.text, launches, unpacking.signature, max_rows, form.items, form.steps, form.advance,
        form.work,
    )  # fmt: skip
