"""The words that native code and its runner share, and access to them in a function."""

from __future__ import annotations

from chainrule.backend.cpu.emit.text import Function

FRAME = ("rows", "offsets", "losses", "steps", "parity", "done", "flag", "words", "scratch",
         "each", "table", "tasks", "phases", "orders", "ticks", "blocks")  # fmt: skip
"""The first words of the frame; the addresses of the buffers follow.

rows: the row indices of all steps; offsets: the start of each step's rows, and the end; losses:
the losses, as doubles; parity: the side of the states that is old in the first step; done: receives
the number of steps done; flag: receives the number, from 1, of a step that was not finite; words:
those of the crew; scratch: memory of the threads, `each` bytes for each; table: `tasks` entries;
phases: their number; orders: for each number of rows that a step has, the address of its order; 0
where one thread runs the tasks in turn; ticks: the time of each thread's tasks, and of its waiting
in each phase, added up in a timed run; blocks: the address of the blocks of rows; 0: all are one.
"""

ENTRY = ("function", "size", "even", "odd")
"""The words of a task.

function: its address; size: of its first axis, -1 for N; even, odd: the addresses of the list of
pointers to its buffers' words, for steps whose old states are the first or the second side.
"""

PHASE = ("units", "shared", "every", "every_end")
"""The words of a phase of an order; for each thread two more follow: its queue, and its length.

units: their number in all queues; shared: whether threads help each other with their queues; every,
every_end: the address of the calls that come before, and their end. A queue is the address of its
units; a unit that of its calls, and their end.
"""

CALL = ("entry", "low", "high")
"""The words of a call: the address of the task, and the range of its first axis; -1: all of it."""

CONTEXT = ("rows", "n", "scratch", "flag", "mark", "losses", "blocks")
"""The context of the tasks: the words at their second parameter."""

BLOCK = ("start", "end", "level", "joins")
"""The words of a block of rows, whose number is the word before those of all.

start, end: its rows; level: how many sums of earlier blocks wait to be added to; joins: how often
the last two sums then become one. `TREE` levels are enough for 2 ** (TREE - 1) blocks.
"""

TREE = 7

APART = 16
"""Words between the ticks of one thread and those of the next: no cache line is shared."""

LINE_WORDS = 16
"""Words between those that different threads write: two cache lines, as processors fetch pairs."""

END = 2**62
"""The number of the phase after the last."""

_ADDRESSES = ("rows", "offsets", "losses", "words", "scratch", "table", "orders", "ticks",
              "blocks")  # fmt: skip
"""The words of the frame that are addresses."""

_KNOWN_ADDRESSES = ("rows", "scratch", "flag", "losses", "blocks")
"""Those of the context."""


def crew_words(threads: int) -> int:
    """The words that threads share: the number of the phase, that of units left, and the queues."""
    return (2 + threads) * LINE_WORDS


def word(f: Function, base: str, number: int, kind: str) -> str:
    """The value of a word."""
    return f.load(kind, f.shift("i64", base, str(number)), 8)


def place(f: Function, name: str) -> str:
    """The address of a word of `%frame`."""
    return f.shift("i64", "%frame", str(FRAME.index(name)))


def framed(f: Function, name: str) -> str:
    """The value of a word of `%frame`."""
    return f.load(_kind(name), place(f, name), 8)


def loads(*names: str) -> str:
    """The IR that loads words of `%frame`, to values of their names."""
    return "\n".join(
        f"  %{name}.at = getelementptr i64, ptr %frame, i64 {FRAME.index(name)}\n"
        f"  %{name} = load {_kind(name)}, ptr %{name}.at, align 8"
        for name in names
    )


def _kind(name: str) -> str:
    return "ptr" if name in _ADDRESSES else "i64"


def known(f: Function, name: str) -> str:
    """The value of a word of `%context`."""
    kind = "ptr" if name in _KNOWN_ADDRESSES else "i64"
    return word(f, "%context", CONTEXT.index(name), kind)


def set_known(f: Function, name: str, kind: str, value: str) -> None:
    """Store a word of `%context`."""
    f.store(kind, value, f.shift("i64", "%context", str(CONTEXT.index(name))), 8)


def clock(f: Function) -> str:
    """The clock of the processor, an i64; its rate is constant and has to be measured."""
    return f.value("call i64 @llvm.readcyclecounter()")


def add_ticks(f: Function, before: str, number: str) -> None:
    """Add the time since `before` to a number of this thread's ticks."""
    spent = f.sub(clock(f), before)
    row = f.add(f.add(framed(f, "tasks"), framed(f, "phases")), str(APART))
    here = f.shift("i64", framed(f, "ticks"), f.add(f.mul("%thread", row), number))
    f.store("i64", f.add(f.load("i64", here, 8), spent), here, 8)
