"""A plan that runs on a device: its memory there, its kernels, its steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import groupby
from operator import is_
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.backend.base import Pauses
from chainrule.backend.gpu.emit.dialect import FRAME
from chainrule.backend.gpu.layout import layout, sizes
from chainrule.backend.gpu.program import Program
from chainrule.backend.gpu.run.data import Data, Given, Room, fits, require_room
from chainrule.backend.gpu.run.driver import Device, Launched, Memory, Recording, Session
from chainrule.backend.gpu.run.pieces import LONG, MUCH, Pieces
from chainrule.backend.statemapping import State
from chainrule.ir.kernel import Buffer
from chainrule.plan.plan import Signature
from chainrule.types import N

Array = npt.NDArray[Any]

TOGETHER = 16
"""The most steps of a recorded sequence."""

KEPT = 64
"""The most sequences that are remembered from one call to the next."""


@dataclass(frozen=True, eq=False)
class Executable:
    """See Executable in backend/base.py.

    Attributes:
        program: the text and its launches.
        device: that it is for.
    """

    program: Program
    device: Device

    @property
    def signature(self) -> Signature:
        """The buffers that it works on."""
        return self.program.signature

    @property
    def max_rows(self) -> int:
        """The most rows of a minibatch."""
        return self.program.max_rows


@dataclass
class NoCalls:
    """See Calls in backend/base.py: a device makes none."""

    functions: Sequence[Callable[[Sequence[Array], int], Array]] = ()
    around: AbstractContextManager[object] = field(default_factory=nullcontext)
    error: BaseException | None = None


class Runner:
    """See Runner in backend/base.py. The state stays on the device, and is read when asked for.

    Args:
        code: what to run.
        session: a queue of its device.

    Attributes:
        names: the states by name.

    Raises:
        SettingError: the memory of the device is too small.
    """

    def __init__(self, code: Executable, session: Session) -> None:
        self.code, self.done, self.calls, self.session = code, 0, NoCalls(), session
        self._side = 0
        program, traits = code.program, code.device.traits
        self._float64 = traits.float64
        self._layout = layout(
            program.signature, program.levels, code.max_rows, float64=traits.float64
        )
        require_room(code.device, (self._layout.state, self._layout.work))
        self._state = session.allocate(self._layout.state)
        self._work = session.allocate(self._layout.work)
        self._frame = session.allocate(8 * len(FRAME))
        self._index, self._ends, self._losses, self._stops = (Room(session) for _ in range(4))
        self._data = Data(program, code.device, session, self.bytes)
        table, self._starts = self._places()
        self._given = Given(program, session, table, float64=traits.float64)
        self.names = {b.name: b for b in program.signature.buffers if b.space == "state"}
        for buffer in program.signature.buffers:
            if buffer.value is not None:
                self._write(self._work, buffer, np.asarray(buffer.value))
        self._functions = [session.function(program.text, x.function) for x in program.launches]
        if not program.steps:
            self._advance = session.function(program.text, program.advance)
        self._bound: tuple[Memory, ...] = ()
        self._sequences: dict[tuple[int, int], Recording | None] = {}
        self._pieces = Pieces(session, self._frame)
        self._seconds: float | None = None  # of a step, as far as known
        self._interrupted = False

    # ------------------------------------------------------------ memory

    def _places(self) -> tuple[Array, list[int]]:
        """The table of places of all launches, and where those of each begin."""
        words, starts = list[int](), list[int]()
        for launch in self.code.program.launches:
            starts.append(len(words))
            for buffer, new in (x for part in launch.parts for x in part.operands):
                place = self._layout.offsets.get(buffer, (0, 0))
                words += reversed(place) if new else place
        return np.array(words or [0], np.int64), starts

    def _stored(self, buffer: Buffer) -> np.dtype[Any]:
        """The dtype of a buffer on the device."""
        single = buffer.dtype == "float64" and not self._float64
        return np.dtype("float32" if single else buffer.dtype)

    def _write(self, memory: Memory, buffer: Buffer, value: Array, side: int = 0) -> None:
        """Fill a buffer that is not a part of another."""
        shape = sizes(buffer, self.code.max_rows)
        full = np.empty(shape, self._stored(buffer))
        full[...] = value
        self.session.write(memory, full.reshape(-1), self._layout.offsets[buffer][side])

    def _read(self, memory: Memory, buffer: Buffer, side: int = 0) -> Array:
        """A copy of a buffer; of a part of another too."""
        whole = buffer.whole
        full = np.empty(sizes(whole, self.code.max_rows), self._stored(whole))
        self.session.read(memory, full.reshape(-1), self._layout.offsets[whole][side])
        if buffer.part is not None:
            full = full.take(buffer.part.index, buffer.part.axis)
        return full.astype(buffer.dtype, copy=False)

    @property
    def state(self) -> State:
        """Parameters, slots and statistics by name."""
        return State(self.names, self._read_state, self._write_state)

    def _read_state(self, name: str) -> Array:
        return self._read(self._state, self.names[name], self._side)

    def _write_state(self, name: str, value: npt.ArrayLike) -> None:
        self._write(self._state, self.names[name], np.asarray(value), self._side)

    @property
    def whole(self) -> bool:
        """Whether all data of the last run are on the device."""
        return self._data.whole

    def has_room(self, size: int) -> bool:
        """Whether the device has memory for so many bytes beside those of the last run."""
        return fits(self.code.device, (self.bytes, self._data.bytes, size))

    def place(self, buffer: Buffer) -> tuple[Memory, int]:
        """The memory of a buffer that is not a part, and the byte where its present side begins."""
        if buffer.space == "state":
            return self._state, self._layout.offsets[buffer][self._side]
        return self._work, self._layout.offsets[buffer][0]

    @property
    def side(self) -> int:
        """The side of the states that is the present one."""
        return self._side

    @property
    def state_memory(self) -> Memory:
        """The memory of all states."""
        return self._state

    @property
    def state_bytes(self) -> int:
        """The size of that memory."""
        return self._layout.state

    def unpacked(self, block: npt.NDArray[np.uint8], side: int) -> dict[str, Array]:
        """The states by name, from the bytes of their memory."""
        found = dict[str, Array]()
        for name, buffer in self.names.items():
            dtype, shape = self.shown(buffer)
            value = np.ndarray(shape, dtype, block, self._layout.offsets[buffer][side])
            found[name] = value.astype(buffer.dtype)
        return found

    def shown(self, buffer: Buffer) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """The dtype and the shape by which a buffer lies on the device."""
        return self._stored(buffer), sizes(buffer, self.code.max_rows)

    @property
    def bytes(self) -> int:
        """The size of its memory, but for the data."""
        return self._layout.state + self._layout.work

    def reads(self, name: str) -> bool:
        """See Runner."""
        return name in self._data.buffers

    def bind(self, name: str, array: npt.ArrayLike) -> None:
        """See Runner. The array is copied to the device when the next run begins."""
        self._data.bind(name, array)

    def release(self) -> None:
        """See Runner."""
        self._data.release()

    # ------------------------------------------------------------ steps

    def run(
        self,
        rows: npt.ArrayLike,
        offsets: npt.ArrayLike,
        step_inputs: Mapping[str, npt.ArrayLike],
        pauses: Pauses | None = None,
        *,
        follows: bool = False,  # old values stay on the other side: nothing is copied before steps
    ) -> tuple[npt.NDArray[np.float64], int | None]:
        """See Runner; Ctrl-C ends it between two pieces of a step that takes long.

        pauses: steps, and what is called after so many of them, again and again: it may launch
            more in the session, but what was launched is not done yet. The data have to be `whole`.

        Raises:
            KeyboardInterrupt: of a prediction.
        """
        index = np.ascontiguousarray(rows, np.int64)
        ends = np.ascontiguousarray(offsets, np.int64)
        self._data.check(index, ends, self.code.max_rows)
        steps, kind = len(ends) - 1, np.dtype("float64" if self._float64 else "float32")
        index, windows = self._data.windows(index, ends)
        self._given.bring(step_inputs, steps)
        self._index.fill(index)
        self._ends.fill(np.append(ends, ends[-1:]))  # what follows the last step is read too
        self._losses.reserve(max(steps, 1) * kind.itemsize)
        self.done, self._interrupted = 0, False
        self._data.bring(0)
        begun = time.perf_counter()
        for number, (first, last) in enumerate(windows):
            self._data.turn(number)
            self._begin(ends, first, last, pauses)
            self._data.bring(number + 1)
            if self._end() < last:
                break
        if self.done:
            self._seconds = (time.perf_counter() - begun) / self.done
        if self._interrupted and self.code.signature.loss is None:
            raise KeyboardInterrupt
        losses = np.zeros(max(steps, 1), kind)
        self.session.read(self._losses.memory, losses)
        done = losses[: self.done].astype(np.float64)
        failed = self.done < steps and not self._interrupted
        return done, self.done if failed else None

    def _begin(self, ends: Array, first: int, last: int, pauses: Pauses | None) -> None:
        """Launch steps from one on up to another, whose rows of the data are on the device."""
        frame = dict.fromkeys(FRAME, 0) | {"side": self._side, "step": first, "steps": last}
        frame |= {"first": int(ends[first]), "count": int(ends[first + 1] - ends[first])}
        self.session.write(self._frame, np.array([frame[x] for x in FRAME], np.int64))
        self._bind_all()
        if len(self._sequences) > KEPT:  # here none of them is running
            self._sequences.clear()
        counts = np.diff(ends[first : last + 1])
        if pauses is None:
            self._launch(counts)
        else:
            self._launch_pausing(counts, *pauses)
        self.session.start()

    def _end(self) -> int:
        """Wait until what was launched is done; returns the number of steps done."""
        found = np.empty(len(FRAME), np.int64)
        self.session.read(self._frame, found)
        after = dict(zip(FRAME, found.tolist(), strict=True))
        self.done, self._side = after["step"], after["side"]
        return self.done

    def _launch_pausing(self, counts: Array, each: int, pause: Callable[[], object]) -> None:
        """Launch steps with pauses; where one fails, all that follow see the state before it."""
        begun = self._side
        self._stops.fill(np.arange(each, len(counts) + each, each))
        for number, start in enumerate(range(0, len(counts), each)):
            word = 8 * FRAME.index("steps")
            self.session.copy(self._stops.memory, 8 * number, self._frame, word, 8)
            self._launch(counts[start : start + each])
            self._side = (begun + start + each) % 2
            if self._interrupted:
                break
            pause()

    def frame(self, rows: int) -> Memory:
        """A frame, for `again`, of a run of one step with so many rows."""
        made = self.session.allocate(8 * len(FRAME))
        words = dict.fromkeys(FRAME, 0) | {"side": self._side, "count": rows, "steps": 1}
        self.session.write(made, np.array([words[x] for x in FRAME], np.int64))
        return made

    def again(self, frame: Memory, rows: int) -> None:
        """Launch the step of the last run, which was one, once more, after what was launched."""
        self.session.copy(frame, 0, self._frame, 0, 8 * len(FRAME))
        self._launch_alike(rows, 1)

    def _launch(self, counts: Array) -> None:
        """Launch steps, of which the numbers of rows are given."""
        program = self.code.program
        if program.steps:
            for _ in range(0, len(counts), program.steps):
                self.session.launch(self._functions[0], 1, program.items)
            return
        if self._long:
            done = (self._pieces.step(*self._one_step(rows)) for rows in counts.tolist())
            self._interrupted = not all(done)
            return
        for rows, some in groupby(counts.tolist()):
            left = len(list(some))
            while left:
                steps = min(1 << left.bit_length() - 1, TOGETHER)
                self._launch_alike(rows, steps)
                left -= steps

    @property
    def _long(self) -> bool:
        """Whether a step takes so long, or may, that it is done in pieces."""
        if self._seconds is None:
            return self.code.program.work >= MUCH
        return self._seconds >= LONG

    def _launch_alike(self, rows: int, steps: int) -> None:
        """Launch steps of so many rows each: a sequence that comes again is recorded."""
        key, session = (rows, steps), self.session
        if key not in self._sequences:
            self._sequences[key] = None
            for launched in self._one_step(rows)[0] * steps:
                session.launch(*launched)
        else:
            if self._sequences[key] is None:
                self._sequences[key] = session.record(self._one_step(rows)[0] * steps)
            session.replay(self._sequences[key])
        session.start()

    def _one_step(self, rows: int) -> tuple[list[Launched], int]:
        """The launches of a step of so many rows, and the first that puts rows in place."""
        program, found = self.code.program, list[Launched]()
        whole: int | None = None
        for x, function in zip(program.launches, self._functions, strict=True):
            if whole is None and any(part.commit for part in x.parts):
                whole = len(found)
            if groups := x.groups(rows):
                found.append((function, groups, program.items))
        found.append((self._advance, 1, 1))
        return found, len(found) if whole is None else whole

    def _bind_all(self) -> None:
        """Set the arguments of all kernels, where some memory is another than the last time."""
        given, data, program = self._given, self._data.memories, self.code.program
        now = (self._index.memory, self._ends.memory, self._losses.memory, given.memory,
               given.table, *data.values())  # fmt: skip
        if len(now) == len(self._bound) and all(map(is_, now, self._bound)):
            return
        self._sequences.clear()
        loss = self.code.signature.loss
        place = np.int64(0 if loss is None else self._layout.offsets[loss][0])
        ended = self._ends.memory, self._losses.memory
        launches = zip(program.launches, self._functions, self._starts, strict=True)
        for launch, function, start in launches:
            operands = (x for part in launch.parts for x, _ in part.operands)
            own = [data[x.name] for x in operands if x.space == "data"]
            more = [*ended, place] if program.steps else []
            self.session.arguments(function, [
                self._frame, self._index.memory, self._state, self._work, given.memory,
                given.table, np.int64(start), *own, *more,
            ])  # fmt: skip
        if not program.steps:
            self.session.arguments(self._advance, [self._frame, *ended, self._work, place])
        self._bound = now

    def output(self, buffer: Buffer, rows: int) -> Array:
        """The first rows of a result, as a copy."""
        value = self._read(self._work, buffer)
        return value[tuple(slice(rows if d is N else None) for d in buffer.shape)]
