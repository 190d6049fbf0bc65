"""A plan that runs: its memory, its machine code, its threads."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.backend.base import Pauses
from chainrule.backend.cpu.abi import Launch
from chainrule.backend.cpu.emit.frame import APART, FRAME, LINE_WORDS, crew_words
from chainrule.backend.cpu.layout import Layout, Memory, layout, lives, same_rows
from chainrule.backend.cpu.run.executable import Executable
from chainrule.backend.cpu.run.given import Given
from chainrule.backend.cpu.run.jit import Code
from chainrule.backend.cpu.run.orders import Orders, Part
from chainrule.backend.cpu.run.state import Saved
from chainrule.backend.cpu.run.table import entries, table
from chainrule.backend.cpu.run.threads import Pool
from chainrule.backend.cpu.run.units import Arrange
from chainrule.backend.cpu.run.usercalls import UserCalls
from chainrule.backend.statemapping import State
from chainrule.ir.kernel import Buffer
from chainrule.plan.linearize import Operand
from chainrule.plan.plan import Signature
from chainrule.types import N

Array = npt.NDArray[Any]


def state_layout(signature: Signature) -> Layout:
    """Places for the state of a plan: first of all that a step writes."""
    states = (b for b in signature.buffers if b.space == "state")
    return layout(sorted(states, key=lambda b: b not in signature.updates), signature.twice, 0)


class Runner:
    """A plan as machine code, with memory of its own to work in.

    One thread at a time may use an object, and Ctrl-C must not come up in `run`: see interrupt.py.

    Args:
        code: what to run.
        threads: that may share each step; results have the same bits for any number.
        state: memory from `state_layout`, which objects may share whose plan updates nothing.
            None makes some, all zero.
        shared: whether threads take over work of slower ones; else each does its own part.

    Attributes:
        parity: which copy of the updated states is the present one.
        done: how many steps the last run did.
        names: of the states.
        threads: how many share the steps from now on, at most as many as there are.
        frame: the words that machine code finds its buffers by; see emit/frame.py.
        caller: a function of arrays that runs it; see caller.py.
        calls: those of a user's ops, whose functions have to be given.
    """

    def __init__(
        self,
        code: Executable,
        *,
        threads: int = 1,
        state: Memory | None = None,
        shared: bool = True,
    ) -> None:
        self.code, self.signature, self.program = code, code.signature, code.program
        self.threads, self.parity, self.done = threads, 0, 0
        self.caller: Callable[..., Any] | None = None
        self._pool, self._function = Pool(threads), code.code.function("run")
        self.frame = np.zeros(self.program.words, np.int64)
        self._word = (ctypes.c_int64 * self.program.words).from_buffer(self.frame.data)
        self._pointer = ctypes.c_void_p(self.frame.ctypes.data)
        self.names = {b.name: b for b in self._spaces("state")}
        others = (b for b in self.signature.buffers if b.space != "state")
        alive = lives(self._in_turn(), self.signature.outputs)
        same = same_rows(
            ([(x.split, x.operands) for x in phase] for phase in self.program.phases),
            self.signature.outputs,
            code.max_rows,
        )
        self.memory = layout(others, (), code.max_rows, alive, same).memory()
        self.place(self.memory)
        self._by_rows = list(self._rows_of_sums())
        self.attach_state(state_layout(self.signature).memory() if state is None else state)
        self._given = Given(self.program.slots, self._word)
        self._outputs = [self.memory.view(b) for b in self.signature.outputs]
        self._ends = np.zeros(2, np.int64)
        self._ends_at = self._ends.ctypes.data
        fixed, each_row = self.program.scratch
        each = -(-(fixed + each_row * code.max_rows + 128) // 128) * 128
        self._scratch = np.zeros(each * threads + 128, np.uint8)
        self._crew = np.zeros(crew_words(threads) + LINE_WORDS, np.int64)
        self._crew = self._crew[-self._crew.ctypes.data % (8 * LINE_WORDS) // 8 :]
        self._set("words", self._crew.ctypes.data)
        self._set("scratch", self._scratch.ctypes.data + -self._scratch.ctypes.data % 128)
        self._set("each", each)
        self._entries = entries(self.signature, self.program)
        launches = [launch for phase in self._entries for _, launch in phase]
        self._table, self._args = table(
            launches, self.signature, self.program, code.code, self.frame
        )
        self._table_at = self._table.ctypes.data
        phases = [[launch for _, launch in phase] for phase in self._entries]
        self._orders = Orders(phases, code.max_rows, self._table)
        self._orders.shared = shared
        self.calls = UserCalls(self.signature.calls, len(phases), self.memory)
        self._all: Part = (0, len(phases))
        self._parts = [*itertools.pairwise((0, *self.signature.cuts, len(phases)))]
        self._entry_of = {
            part: self._orders.entries(part)
            for part in (self._all, *self._parts, *(x for x, _ in self.calls.parts))
        }
        self._select_tasks(self._all)

    def _select_tasks(self, part: Part) -> None:
        """Select the entries of the table to run."""
        self._selected = part
        if part not in self._entry_of:
            self._entry_of[part] = self._orders.entries(part)
        first, count = self._entry_of[part]
        self._set("table", self._table_at + first * self._table.strides[0])
        self._set("tasks", count)
        self._set("phases", part[1] - part[0])

    def force_order(self, arrange: Arrange | None) -> None:
        """Do the smallest units of every phase one by one, in the order that a function gives.

        For tests: results have the same bits for any order. None ends it.
        """
        self._orders.force(arrange)

    @property
    def state(self) -> State:
        """Parameters, slots and statistics by name."""
        return State(self.names, lambda name: self.view(name).copy(), self._set_state)

    def _set_state(self, name: str, value: npt.ArrayLike) -> None:
        self.view(name)[...] = value

    def attach_state(self, state: Memory) -> None:
        """Take memory for the state that is filled already."""
        self.state_memory = state
        self.place(state)
        others = (b for b in self.names.values() if b not in self.signature.updates)
        self._saved = Saved(state, others)
        self._views: dict[tuple[str, int], Array] = {}

    def view(self, name: str) -> Array:
        """A state's present copy, where it lies in memory."""
        key = name, self.parity
        if key not in self._views:
            self._views[key] = self.state_memory.view(self.names[name], self.parity)
        return self._views[key]

    def place(self, memory: Memory) -> None:
        """Have the buffers of a memory where they lie there, from the next run on."""
        base = int(memory.block.ctypes.data)
        for buffer, place in memory.places.items():
            slot, offsets = self.program.slots[buffer], place.offsets
            self._word[slot], self._word[slot + 1] = base + offsets[0], base + offsets[-1]

    def begin_at(self, row: int, blocks: npt.NDArray[np.int64] | None = None) -> None:
        """Have what sums over rows begin at a row of the last ones, from the next run on.

        blocks: words of the blocks of those rows, for kernels that add blocks; see emit/frame.py.
        """
        self._blocks = blocks  # it must live
        self._set("blocks", 0 if blocks is None else blocks.ctypes.data)
        for slot, start, each in self._by_rows:
            self._word[slot] = start + row * each

    def _rows_of_sums(self) -> Iterator[tuple[int, int, int]]:
        """For each buffer of rows that is summed: its word, its address, and the bytes of a row."""
        for phases in self._summing():
            for buffer in _touched(phases):
                if buffer.shape[:1] == (N,) and buffer in self.memory.places:
                    slot, each = self.program.slots[buffer], self.memory.places[buffer].strides[0]
                    yield slot, self._word[slot], each

    def _summing(self) -> list[list[list[Launch]]]:
        """The phases that sum rows before each exchange."""
        ends = zip(self.signature.sums, self.signature.cuts, strict=True)
        return [self.program.phases[start:end] for start, end in ends]

    def _in_turn(self) -> Iterator[Iterator[Iterable[Operand]]]:
        """The operands of what is done in turn: the phases that sum rows come again and again."""
        edges = sorted({0, *self.signature.sums, *self.signature.cuts, len(self.program.phases)})
        for start, end in itertools.pairwise(edges):
            phases = self.program.phases[start:end]
            for some in [phases] if start in self.signature.sums else [[x] for x in phases]:
                yield (launch.operands for phase in some for launch in phase)

    def _set(self, name: str, value: int) -> None:
        self._word[_WORD[name]] = value  # quicker than an element of a NumPy array

    def enable_timing(self, code: Code) -> npt.NDArray[np.int64]:
        """Run by a timed `@run` from now on; gives ticks, (threads, entries + phases)."""
        self._timed, self._function = code, code.function("run")
        numbers = len(self._table) + len(self._entries)
        self._ticks = np.zeros((self._pool.threads, numbers + APART), np.int64)
        self._set("ticks", self._ticks.ctypes.data)
        self._added = np.zeros_like(self._ticks) if self.signature.calls else self._ticks
        return self._added[:, :numbers]

    def _add_ticks(self) -> None:
        """Add those of a part of a step to the others."""
        (first, count), (begin, end) = self._entry_of[self._selected], self._selected
        row, waits = count + end - begin + APART, len(self._table)
        part = self._ticks.reshape(-1)[: len(self._ticks) * row].reshape(-1, row)
        self._added[:, first : first + count] += part[:, :count]
        self._added[:, waits + begin : waits + end] += part[:, count : row - APART]
        part[:] = 0

    @property
    def entries(self) -> list[list[int]]:
        """By phase, for each entry of the table the number of its launch in the phase."""
        return [[k for k, _ in phase] for phase in self._entries]

    # ------------------------------------------------------------ data

    def reads(self, name: str) -> bool:
        """Whether there is a data buffer of that name: none where its elements have no use."""
        return any(name == known for known, _ in self._given.data)

    def data_word(self, name: str) -> int | None:
        """The address of the frame's word for a data buffer; None where there is none."""
        word = dict(self._given.data).get(name)
        return None if word is None else int(self.frame[word:].ctypes.data)

    def bind(self, name: str, array: npt.ArrayLike) -> None:
        """Give a data buffer its array: rows first; copied only where its layout must change.

        Raises:
            FeedError: there is no such buffer, or the shape does not fit.
        """
        self._given.bind(name, array)
        self._saved.forget()

    @property
    def bytes(self) -> int:
        """The size of its memory, that of the threads included."""
        blocks = self.memory.block, self.state_memory.block, self._saved.copy, self._scratch
        return sum(block.nbytes for block in blocks)

    def release(self) -> None:
        """Let go of the arrays that `bind` was given; the next run needs them again."""
        self._given.release()
        self._saved.release()

    # ------------------------------------------------------------ steps

    def run(
        self,
        rows: npt.ArrayLike,
        offsets: npt.ArrayLike,
        step_inputs: Mapping[str, npt.ArrayLike],
        part: int | Part | None = None,
        pauses: Pauses | None = None,
        *,
        follows: bool = False,
    ) -> tuple[npt.NDArray[np.float64], int | None]:
        """Do steps, and stop before the first whose loss or new state is not finite.

        Args:
            rows: of the data set, of all steps one after the other.
            offsets: where each step's rows begin, and at last their end: (steps + 1,).
            step_inputs: by name, (steps, ...), or one value for all steps.
            part: of one step of a plan with cuts: all parts are done in turn, for the same rows;
                or some phases of a part. What `gradient` gives may be changed in between.
            pauses: steps, and what is called after so many of them, again and again; it may look
                at the state.
            follows: whether neither state nor data were changed since the last run. Then the state
                need not be copied: where a step fails, steps of earlier runs are done again.

        Returns:
            The losses of the steps done, (done,), and the number of the step that was not done.
        """
        index = np.ascontiguousarray(rows, np.int64)
        ends = np.ascontiguousarray(offsets, np.int64)
        self._given.check(index, ends, self.code.max_rows)
        steps = len(ends) - 1
        losses = np.zeros(max(steps, 1), np.float64)
        alive = self._begin(index, ends, step_inputs, losses)
        chosen = self._all if part is None else part
        if isinstance(chosen, int):
            chosen = self._parts[chosen]
        if chosen != self._selected:
            self._select_tasks(chosen)
        overwrites = self.signature.overwrites
        if overwrites and not (follows and self._saved.recent):
            self._saved.keep(self.parity)
        if self.signature.calls:
            self.calls.error = None
            self._run_pieces(ends, 1, self._do_parts)
        elif pauses is not None:
            self._run_pieces(ends, pauses[0], self._do_together, pauses[1])
        else:
            self.done = self._do_together(ends)
        del alive
        if overwrites and self.done < steps:
            self._rewind(index, ends, step_inputs)
        elif overwrites:
            self._saved.runs.append(partial(self._repeat, index, ends, step_inputs, steps))
        if part is None or part == len(self.signature.cuts):
            self.parity = (self.parity + self.done) % 2
        return losses[: self.done], self.done if self.done < steps else None

    def _begin(
        self, index: Array, ends: Array, step_inputs: Mapping[str, npt.ArrayLike], losses: Array
    ) -> list[Array]:
        """Set the frame for steps; returns arrays that have to live until they are done."""
        steps = len(ends) - 1
        for name, array in (("rows", index), ("offsets", ends), ("losses", losses)):
            self._set(name, array.ctypes.data)
        for name, value in (("steps", steps), ("parity", self.parity), ("done", 0), ("flag", 0)):
            self._set(name, value)
        return self._given.bring(step_inputs, steps)

    def _run_threads(self, ends: Array) -> None:
        """Do the steps, of which the ends of their rows are given."""
        count, orders = self.threads, None
        alone = count == 1 and self._orders.arrange is None and not self._orders.apart
        if not alone and len(ends) > 1 and self._word[_WORD["phases"]]:
            orders = self._orders.of(np.diff(ends), count, self._selected)
            self._crew[:] = 0
            self._crew[0] = -1
            self._set("orders", orders.ctypes.data)
        count = 1 if orders is None else count
        self._pool.run(lambda thread: self._function(self._pointer, thread, count), count)
        self._set("orders", 0)

    def _run_pieces(
        self,
        ends: Array,
        each: int,
        do: Callable[[Array], int],
        pause: Callable[[], object] = lambda: None,
    ) -> None:
        """Do the steps in pieces, each a run of its own: what is known of all steps moves on.

        Args:
            ends: of the rows of the steps.
            each: the steps of a piece.
            do: does those with the given ends, and returns how many are done.
            pause: called after a piece, when its state is the present one.
        """
        word, begun, self.done = self._word, self.parity, 0
        pitch = {_WORD["offsets"]: 8, _WORD["losses"]: 8}  # bytes from step to step
        pitch |= {k: word[k + 1] for _, k in self._given.step}
        starts = {k: word[k] for k in pitch}
        while self.done < len(ends) - 1:
            piece = ends[self.done : self.done + each + 1]
            for k, size in pitch.items():
                word[k] = starts[k] + self.done * size
            word[_WORD["steps"]], word[_WORD["parity"]] = len(piece) - 1, self.parity
            word[_WORD["done"]] = word[_WORD["flag"]] = 0
            done = do(piece)
            self.done += done
            if done < len(piece) - 1:
                break
            self.parity = (begun + self.done) % 2
            pause()
        for k, start in starts.items():
            word[k] = start
        self.parity = word[_WORD["parity"]] = begun

    def _do_together(self, ends: Array) -> int:
        """Do steps in one run; returns how many are done."""
        self._run_threads(ends)
        return self._word[_WORD["done"]]

    def _do_parts(self, ends: Array) -> int:
        """Do one step in parts, with the calls of a user's ops between them.

        Returns 0 where it is not finite, or a call raised an error; else 1.
        """
        rows, flag = int(ends[1] - ends[0]), _WORD["flag"]
        for part, calls in self.calls.parts:
            if part[0] < part[1]:
                self._select_tasks(part)
                self._run_threads(ends)
                if self._word[_WORD["ticks"]]:
                    self._add_ticks()
            if self._word[flag] or not self.calls.make(calls, rows):
                return 0
        return 1

    def _rewind(self, index: Array, ends: Array, step_inputs: Mapping[str, npt.ArrayLike]) -> None:
        """Leave the state as it was before the step that failed, of which it has a part.

        The steps before that one are done once more: they give the same bits.
        """
        before, self.parity = self.parity, self._saved.restore()
        for repeat in self._saved.runs:
            repeat()
        self._repeat(index, ends, step_inputs, self.done)
        self._saved.forget()
        self.parity = before

    def _repeat(
        self, index: Array, ends: Array, step_inputs: Mapping[str, npt.ArrayLike], steps: int
    ) -> None:
        """Do the first steps of a run once more."""
        losses = np.zeros(len(ends))
        alive = losses, self._begin(index, ends, step_inputs, losses)
        self._set("steps", steps)
        if steps:
            self._run_threads(ends[: steps + 1])
        self.parity = (self.parity + steps) % 2
        del alive

    def call(
        self, rows: npt.ArrayLike, step_inputs: Mapping[str, npt.ArrayLike] = MappingProxyType({})
    ) -> None:
        """Do one step without a loss: fill the plan's outputs for these rows."""
        index = np.ascontiguousarray(rows, np.int64)
        self.run(index, np.array([0, len(index)]), step_inputs)

    def run_rows(
        self, index: Array, data: Mapping[str, Array], fixed: Mapping[str, Array]
    ) -> Iterator[Array]:
        """`call` on this thread alone, which is quick and trusts what it is given.

        Args:
            index: contiguous int64, rows that all of `data` have, at most `max_rows`.
            data: contiguous arrays of the right type for all data buffers.
            fixed: the same for what the step brings.

        Returns:
            The outputs' rows, where they lie in memory; the next run writes over them.
        """
        word, count = self._word, len(index)
        for name, slot in self._given.data:
            word[slot] = data[name].__array_interface__["data"][0]
        alive = self._given.bring(fixed, 1) if fixed else ()
        self._ends[1] = count
        word[_WORD["rows"]] = index.__array_interface__["data"][0]
        word[_WORD["offsets"]] = self._ends_at
        word[_WORD["steps"]], word[_WORD["flag"]] = 1, 0
        self._function(self._pointer, 0, 1)
        del alive
        return (view[:count] for view in self._outputs)

    def again(self) -> None:
        """The last `run_rows` once more, with the present state."""
        self._word[_WORD["flag"]] = 0
        self._function(self._pointer, 0, 1)

    def gradient(self, buffer: Buffer) -> Array:
        """A sum that is exchanged, where it lies in memory; to be written to."""
        return self.memory.view(buffer)

    def output(self, buffer: Buffer, rows: int) -> Array:
        """A buffer's first rows, where they lie in memory; the next run writes over them."""
        view = self.memory.view(buffer)
        return view[tuple(slice(rows if d is N else None) for d in buffer.shape)]

    def _spaces(self, space: str) -> list[Buffer]:
        return [b for b in self.signature.buffers if b.space == space]


def _touched(phases: Iterable[Iterable[Launch]]) -> dict[Buffer, None]:
    """The buffers that launches work on."""
    return dict.fromkeys(
        buffer for phase in phases for launch in phase for buffer, _ in launch.operands
    )


_WORD = {name: k for k, name in enumerate(FRAME)}
