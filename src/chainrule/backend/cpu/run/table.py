"""The table of tasks for the function that runs steps, filled with addresses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from chainrule.backend.cpu.abi import Launch, Program
from chainrule.backend.cpu.emit.frame import ENTRY
from chainrule.backend.cpu.run.jit import Code
from chainrule.plan.linearize import Operand
from chainrule.plan.plan import Signature, Split

Words = npt.NDArray[np.int64]


def entries(signature: Signature, program: Program) -> list[list[tuple[int, Launch]]]:
    """By phase the entries of the table: the number of the launch in its phase, and the launch.

    The loss is recorded by an entry after that of the launch that writes it.
    """
    loss, found = (signature.loss, False), list[list[tuple[int, Launch]]]()
    recorded = signature.loss is None
    for phase in program.phases:
        found.append([])
        for k, launch in enumerate(phase):
            found[-1].append((k, launch))
            if not recorded and loss in launch.operands:
                found[-1].append((k, _record(launch, loss)))
                recorded = True
    return found


def _record(launch: Launch, operand: Operand) -> Launch:
    """The launch that records the loss, for the thread that has computed it."""
    split: Split = "every" if launch.split == "every" else "none"
    return Launch("loss", "loss", (operand,), split, launch.owner, 1, 1)


def table(
    launches: Sequence[Launch], signature: Signature, program: Program, code: Code, frame: Words
) -> tuple[Words, Words]:
    """The entries, and the words that they point to; both must outlive their use."""
    words_of: list[list[int]] = []
    places: list[Operand] = []
    for launch in launches:
        function = launch.function if launch.function == "loss" else f"{launch.function}.task"
        size = launch.size if isinstance(launch.size, int) else -1
        words_of.append([code.address(function), size, len(places), len(places)])
        places.extend(launch.operands)
    words = np.array([_words(signature, program, frame, side, places) for side in (0, 1)], np.int64)
    made = np.array(words_of, np.int64).reshape(-1, len(ENTRY))
    for side, name in enumerate(("even", "odd")):
        k = ENTRY.index(name)
        made[:, k] = words.ctypes.data + 8 * (side * len(places) + made[:, k])
    return made, words


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
