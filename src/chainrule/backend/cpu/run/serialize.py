"""Serialization of executables, without the kernels of their plans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from chainrule.backend.cpu.abi import Launch, Program, slots_of
from chainrule.backend.cpu.machine import Machine
from chainrule.backend.cpu.run.executable import Executable
from chainrule.backend.cpu.run.jit import Code
from chainrule.ir.kernel import Buffer, Part
from chainrule.plan.linearize import ROWS
from chainrule.plan.plan import Plan, Signature, Split, UserCall
from chainrule.types import Dim, N


class BufferForm(msgspec.Struct, array_like=True):
    """A Buffer; a constant's value as its bytes; of a part the number of the whole, and where."""

    name: str
    shape: list[int]
    dtype: str
    space: str
    value: bytes | None
    part: tuple[int, int, int] | None


class LaunchForm(msgspec.Struct, array_like=True):
    """A Launch; operands by the number of the buffer."""

    name: str
    function: str
    operands: list[tuple[int, bool]]
    split: Split
    owner: int
    size: int
    granule: int
    seconds: float
    least: int


class CallForm(msgspec.Struct, array_like=True):
    """A UserCall; buffers by their numbers."""

    name: str
    phase: int
    operands: list[int]
    result: int


class ExecutableForm(msgspec.Struct, array_like=True):
    """An Executable with its object file."""

    buffers: list[BufferForm]
    updates: list[int]
    twice: list[int]
    outputs: list[int]
    loss: int | None
    cuts: list[int]
    calls: list[CallForm]
    phases: list[list[LaunchForm]]
    scratch: tuple[int, int]
    threads: int
    objects: list[bytes]


_ROWS = -1
"""Stands for N in a shape, and for the index of the minibatch's rows among buffers."""


def pack(plan: Plan, program: Program, files: Sequence[bytes], threads: int) -> bytes:
    """The executable of a plan, as bytes.

    Args:
        plan: the one to run.
        program: its module.
        files: the object files of its modules.
        threads: the number that is probably fastest.
    """
    number = {buffer: k for k, buffer in enumerate(plan.buffers)} | {ROWS: _ROWS}
    buffers = [
        BufferForm(
            x.name, [_integer(d) for d in x.shape], x.dtype, x.space, _bytes(x),
            None if x.part is None else (number[x.whole], x.part.axis, x.part.index),
        )
        for x in plan.buffers
    ]  # fmt: skip
    phases = [
        [
            LaunchForm(
                x.name, x.function, [(number[buffer], bool(new)) for buffer, new in x.operands],
                x.split, x.owner, _integer(x.size), x.granule, x.seconds, x.least,
            )
            for x in phase
        ]
        for phase in program.phases
    ]  # fmt: skip
    calls = [
        CallForm(x.name, x.phase, [number[y] for y in x.operands], number[x.result])
        for x in plan.calls
    ]
    form = ExecutableForm(
        buffers, [number[x] for x in plan.updates], [number[x] for x in plan.twice],
        [number[x] for x in plan.outputs],
        None if plan.loss is None else number[plan.loss], list(plan.cuts), calls, phases,
        program.scratch, threads, list(files),
    )  # fmt: skip
    return msgspec.msgpack.encode(form)


def unpack(packed: bytes, machine: Machine, max_rows: int) -> Executable:
    """The executable from the bytes of `pack`."""
    form = msgspec.msgpack.decode(packed, type=ExecutableForm)
    buffers: list[Buffer] = []
    for x in form.buffers:  # wholes come before their parts
        buffers.append(_buffer(x, buffers))
    places = [*buffers, ROWS]  # so that _ROWS finds it
    loss = None if form.loss is None else buffers[form.loss]
    signature = Signature(
        tuple(buffers), tuple(buffers[k] for k in form.updates),
        tuple(buffers[k] for k in form.twice), tuple(buffers[k] for k in form.outputs), loss,
        tuple(form.cuts), tuple(
            UserCall(x.name, x.phase, tuple(buffers[k] for k in x.operands), buffers[x.result])
            for x in form.calls
        ),
    )  # fmt: skip
    phases = [
        [
            Launch(
                x.name, x.function, tuple((places[k], new) for k, new in x.operands),
                x.split, x.owner, _dim(x.size), x.granule, x.seconds, x.least,
            )
            for x in phase
        ]
        for phase in form.phases
    ]  # fmt: skip
    slots, words = slots_of(signature)
    program = Program(None, slots, words, phases, form.scratch)
    return Executable(signature, program, Code(form.objects, machine), max_rows, form.threads)


def _buffer(form: BufferForm, before: Sequence[Buffer]) -> Buffer:
    shape = tuple(_dim(d) for d in form.shape)
    value: np.ndarray[Any, Any] | None = None
    if form.value is not None:
        value = np.frombuffer(form.value, form.dtype).reshape(form.shape)
    part = None if form.part is None else Part(before[form.part[0]], *form.part[1:])
    return Buffer(form.name, shape, form.dtype, form.space, value, part)  # type: ignore[arg-type]


def _bytes(buffer: Buffer) -> bytes | None:
    return None if buffer.value is None else np.asarray(buffer.value, buffer.dtype).tobytes()


def _integer(dim: Dim) -> int:
    return dim if isinstance(dim, int) else _ROWS


def _dim(integer: int) -> Dim:
    return N if integer == _ROWS else integer
