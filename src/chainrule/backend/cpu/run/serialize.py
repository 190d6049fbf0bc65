"""Serialization of executables, without the kernels of their plans."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from chainrule.backend.cpu.abi import Launch, Program, slots_of
from chainrule.backend.cpu.machine import Machine
from chainrule.backend.cpu.run.executable import Executable
from chainrule.backend.cpu.run.jit import Code
from chainrule.backend.packed import (
    OperandsForm,
    Packing,
    SignatureForm,
    Unpacking,
    packed_dim,
    unpacked_dim,
)
from chainrule.plan.plan import Plan, Split


class LaunchForm(msgspec.Struct, array_like=True):
    """A Launch."""

    name: str
    function: str
    operands: OperandsForm
    split: Split
    owner: int
    size: int
    granule: int
    seconds: float
    least: int
    by_blocks: bool


class ExecutableForm(msgspec.Struct, array_like=True):
    """An Executable with its object file."""

    signature: SignatureForm
    phases: list[list[LaunchForm]]
    scratch: tuple[int, int]
    threads: tuple[int, int]
    objects: list[bytes]


def pack(plan: Plan, program: Program, files: Sequence[bytes], threads: tuple[int, int]) -> bytes:
    """The executable of a plan, as bytes.

    Args:
        plan: the one to run.
        program: its module.
        files: the object files of its modules.
        threads: the number that is probably fastest, and the most that may be.
    """
    packing = Packing(plan.signature)
    phases = [
        [
            LaunchForm(
                x.name, x.function, packing.operands(x.operands), x.split, x.owner,
                packed_dim(x.size), x.granule, x.seconds, x.least, x.by_blocks,
            )
            for x in phase
        ]
        for phase in program.phases
    ]  # fmt: skip
    form = ExecutableForm(packing.signature(), phases, program.scratch, threads, list(files))
    return msgspec.msgpack.encode(form)


def unpack(packed: bytes, machine: Machine, max_rows: int) -> Executable:
    """The executable from the bytes of `pack`."""
    form = msgspec.msgpack.decode(packed, type=ExecutableForm)
    unpacking = Unpacking(form.signature)
    phases = [
        [
            Launch(
                x.name, x.function, unpacking.operands(x.operands), x.split, x.owner,
                unpacked_dim(x.size), x.granule, x.seconds, x.least, x.by_blocks,
            )
            for x in phase
        ]
        for phase in form.phases
    ]  # fmt: skip
    signature = unpacking.signature
    slots, words = slots_of(signature)
    program = Program((), slots, words, phases, form.scratch)
    return Executable(signature, program, Code(form.objects, machine), max_rows, *form.threads)
