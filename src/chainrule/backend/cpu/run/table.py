"""The table that the function of the steps goes through, filled with addresses."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from chainrule.backend.cpu.abi import Program
from chainrule.backend.cpu.emit.steps import ENTRY, KINDS
from chainrule.backend.cpu.run.jit import Code
from chainrule.plan.linearize import Operand
from chainrule.plan.plan import Plan

Words = npt.NDArray[np.int64]


def table(plan: Plan, program: Program, code: Code, frame: Words) -> tuple[Words, Words]:
    """The entries, and the words that they point to; both must be kept as long as they are used."""
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
            if plan.loss is not None and (plan.loss, False) in launch.operands:
                add("loss", launch.owner, ((plan.loss, False),), size=1, granule=1)
        entries.append([0, KINDS["barrier"], *[0] * (len(ENTRY) - 2)])
    words = np.array([_words(plan, program, frame, side, places) for side in (0, 1)], np.int64)
    made = np.array(entries, np.int64).reshape(-1, len(ENTRY))
    first = made[:, ENTRY.index("even")].copy()
    for side, name in enumerate(("even", "odd")):
        made[:, ENTRY.index(name)] = words.ctypes.data + 8 * (side * len(places) + first)
    return made, words


def _words(
    plan: Plan, program: Program, frame: Words, side: int, places: list[Operand]
) -> list[int]:
    """The addresses of the frame's words for the places, where `side` is the old one."""
    sided = set(plan.updates)
    return [
        frame.ctypes.data
        + 8 * (program.slots.get(buffer, 0) + (side ^ new if buffer in sided else 0))
        for buffer, new in places
    ]
