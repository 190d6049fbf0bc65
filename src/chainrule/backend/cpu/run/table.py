"""The table of tasks for the function that runs steps, filled with addresses."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from chainrule.backend.cpu.abi import Program
from chainrule.backend.cpu.emit.steps import ENTRY, KINDS
from chainrule.backend.cpu.run.jit import Code
from chainrule.plan.linearize import Operand
from chainrule.plan.plan import Signature

Words = npt.NDArray[np.int64]


def table(signature: Signature, program: Program, code: Code, frame: Words) -> tuple[Words, Words]:
    """The entries, and the words that they point to; both must outlive their use."""
    entries: list[list[int]] = []
    places: list[Operand] = []

    def add(function: str, owner: int, used: tuple[Operand, ...], **fields: int) -> None:
        words = dict.fromkeys(ENTRY, 0) | fields
        words |= {"function": code.address(function), "thread": owner, "even": len(places)}
        entries.append(list(words.values()))
        places.extend(used)

    for phase in program.phases:
        for launch in phase:
            add(
                f"{launch.function}.task", launch.owner, launch.operands,
                kind=KINDS[launch.split], size=launch.size if isinstance(launch.size, int) else -1,
                granule=launch.granule,
            )  # fmt: skip
            if signature.loss is not None and (signature.loss, False) in launch.operands:
                add("loss", launch.owner, ((signature.loss, False),), size=1, granule=1)
        entries.append([0, KINDS["barrier"], *[0] * (len(ENTRY) - 2)])
    words = np.array([_words(signature, program, frame, side, places) for side in (0, 1)], np.int64)
    table_entries = np.array(entries, np.int64).reshape(-1, len(ENTRY))
    first = table_entries[:, ENTRY.index("even")].copy()
    for side, name in enumerate(("even", "odd")):
        table_entries[:, ENTRY.index(name)] = words.ctypes.data + 8 * (side * len(places) + first)
    return table_entries, words


def entries_before_cut(signature: Signature, program: Program) -> int:
    """The number of entries of the table that come before the cut."""
    before = program.phases[: signature.cut]
    launches = [launch for phase in before for launch in phase]
    recorded = sum((signature.loss, False) in launch.operands for launch in launches)
    return len(launches) + recorded + len(before)


def _words(
    signature: Signature, program: Program, frame: Words, side: int, places: list[Operand]
) -> list[int]:
    """The addresses of the frame's words of the operands, with `side` as the old side."""
    two_sided = set(signature.twice)
    return [
        frame.ctypes.data
        + 8 * (program.slots.get(buffer, 0) + (side ^ new if buffer in two_sided else 0))
        for buffer, new in places
    ]
