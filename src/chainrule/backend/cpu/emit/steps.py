"""The function that runs steps: a loop over a table of tasks, the same for all plans."""

from __future__ import annotations

from chainrule.backend.cpu.emit.barrier import barrier
from chainrule.backend.cpu.emit.text import SCALARS, Function, number
from chainrule.plan.linearize import Argument

FRAME = ("rows", "offsets", "losses", "steps", "parity", "done", "flag", "words", "scratch",
         "each", "table", "tasks", "ticks")  # fmt: skip
"""The first words of the frame; the addresses of the buffers follow.

rows: the row indices of all steps; offsets: the start of each step's rows, and the end; losses:
the losses, as doubles; parity: the side of the states that is old in the first step; done: receives
the number of steps done; flag: receives the number, from 1, of a step that was not finite; words:
those of the barrier; scratch: memory of the threads, `each` bytes for each; table: `tasks` entries;
ticks: the time of each thread's tasks, added up in a timed run.
"""

ENTRY = ("function", "kind", "size", "granule", "thread", "even", "odd", "unused")
"""The words of a task.

function: its address; kind: one of KINDS; size: of its first axis, -1 for N; granule: threads split
it at multiples of this; thread: the one that runs a task that is not split, modulo their
number; even, odd: the addresses of the list of pointers to its buffers' words, for steps whose old
states are the first or the second side.
"""

KINDS = {"none": 0, "first": 1, "rows": 2, "every": 3, "barrier": 4}

CONTEXT = ("rows", "n", "scratch", "flag", "mark", "losses")
"""The context of the tasks: the words at their second parameter."""

APART = 16
"""Words between the ticks of one thread and those of the next: no cache line is shared."""

TASK = "ptr %args, ptr %context, i64 %low, i64 %high"


def entry(name: str, kernel: str, arguments: tuple[Argument, ...], *, commit: bool) -> str:
    """The function of a task: it loads the addresses of its buffers and calls the kernel.

    Args:
        name, kernel: the names of this function and of the kernel's.
        arguments: the arguments of the kernel.
        commit: whether it is skipped in a step that is not finite.
    """
    f = Function(name, TASK, external=True)
    words = [_word(f, "%context", k, "ptr" if name in _POINTERS else "i64")
             for k, name in enumerate(CONTEXT[:5])]  # fmt: skip
    rows, n, scratch, flag, mark = words
    pointers = []
    for k, argument in enumerate(arguments):
        if argument.space == "rows":
            pointers.append(rows)
            continue
        slot = _word(f, "%args", k, "ptr")
        pointer = f.load("ptr", slot, 8)
        if argument.space == "step":
            bytes_on = f.mul(f.sub(mark, "1"), _word(f, slot, 1, "i64"))
            pointer = f.shift("i8", pointer, bytes_on)
        pointers.append(pointer)
    operands = [
        f"ptr {rows}", f"i64 {n}", "i64 %low", "i64 %high", f"ptr {scratch}", f"ptr {flag}",
        f"i64 {mark}", *(f"ptr {p}" for p in pointers),
    ]  # fmt: skip
    finite = "true"
    if commit:
        seen = f.value(f"load atomic i64, ptr {flag} monotonic, align 8")
        finite = f.value(f"icmp ne i64 {seen}, {mark}")
    with f.when(finite):
        f.do(f"call void @{kernel}({', '.join(operands)})")
    return f.end()


_POINTERS = ("rows", "scratch", "flag", "losses")


def _word(f: Function, base: str, number: int, kind: str) -> str:
    return f.load(kind, f.shift("i64", base, str(number)), 8)


def loss_task(dtype: str) -> str:
    """`@loss`: records the loss of the step, and whether it is finite."""
    f, kind = Function("loss", TASK, external=True), SCALARS[dtype]
    value = f.load(kind, f.load("ptr", _word(f, "%args", 0, "ptr"), 8), 4)
    if dtype != "float64":
        value = f.value(f"fpext {kind} {value} to double")
    mark = _word(f, "%context", CONTEXT.index("mark"), "i64")
    losses = _word(f, "%context", CONTEXT.index("losses"), "ptr")
    f.store("double", value, f.shift("double", losses, f.sub(mark, "1")), 8)
    product = f.value(f"fmul double {value}, {number(0, 'float64')}")
    with f.when(f.value(f"fcmp uno double {product}, {product}")):
        flag = _word(f, "%context", CONTEXT.index("flag"), "ptr")
        f.do(f"store atomic i64 {mark}, ptr {flag} monotonic, align 8")
    return f.end()


def run_function(triple: str, *, timed: bool = False) -> str:
    """The IR of `@run(ptr frame, i64 thread, i64 threads)` and what it calls.

    Args:
        timed: read the processor's clock around every task, and add to `ticks`.
    """
    f = Function("run", "ptr %frame, i64 %thread, i64 %threads", external=True)
    word = {name: _word(f, "%frame", k, "ptr" if name in _FRAME_POINTERS else "i64")
            for k, name in enumerate(FRAME)}  # fmt: skip
    f.do(f"%context = alloca [{len(CONTEXT)} x i64], align 64")
    flag = f.shift("i64", "%frame", str(FRAME.index("flag")))
    scratch = f.shift("i8", word["scratch"], f.mul("%thread", word["each"]))
    for name, value in (("scratch", scratch), ("flag", flag), ("losses", word["losses"])):
        _set(f, name, "ptr", value)
    start = f.block
    f.do("br label %step")
    f.label("step")
    f.do(f"%s = phi i64 [0, %{start}], [%mark, %again]")
    more = f.value(f"icmp slt i64 %s, {word['steps']}")
    f.do(f"br i1 {more}, label %go, label %out")
    f.label("go")
    f.do("%mark = add i64 %s, 1")
    here = f.shift("i64", word["offsets"], "%s")
    first = f.load("i64", here, 8)
    n = f.sub(_word(f, here, 1, "i64"), first)
    for name, kind, value in (
        ("rows", "ptr", f.shift("i64", word["rows"], first)), ("n", "i64", n),
        ("mark", "i64", "%mark"),
    ):  # fmt: skip
        _set(f, name, kind, value)
    turn = f.value(f"xor i64 %s, {word['parity']}")
    turn = f.value(f"and i64 {turn}, 1")
    with f.loop("0", word["tasks"]) as task:
        before = clock(f) if timed else ""
        _task(f, f.shift("i64", word["table"], f.mul(task, str(len(ENTRY)))), n, turn, word)
        if timed:
            spent = f.sub(clock(f), before)
            own = f.mul("%thread", f.add(word["tasks"], str(APART)))
            place = f.shift("i64", word["ticks"], f.add(own, task))
            f.store("i64", f.add(f.load("i64", place, 8), spent), place, 8)
    seen = f.value(f"load atomic i64, ptr {flag} monotonic, align 8")
    f.do(f"br i1 {f.value(f'icmp eq i64 {seen}, %mark')}, label %out, label %again")
    f.label("again")
    f.do("br label %step")
    f.label("out")
    with f.when(f.value("icmp eq i64 %thread, 0")):
        f.store("i64", "%s", f.shift("i64", "%frame", str(FRAME.index("done"))), 8)
    return "\n".join([barrier(triple), CUT, f.end()])


_FRAME_POINTERS = ("rows", "offsets", "losses", "words", "scratch", "table", "ticks")


def clock_function() -> str:
    """The IR of `@clock(ptr words, i64, i64)`: the current time, and the time of a reading."""
    f = Function("clock", "ptr %words, i64 %a, i64 %b", external=True)
    now = clock(f)
    f.store("i64", now, "%words", 8)
    f.store("i64", f.sub(clock(f), now), f.shift("i64", "%words", "1"), 8)
    return f.end()


def clock(f: Function) -> str:
    """The clock of the processor, an i64; its rate is constant and has to be measured."""
    return f.value("call i64 @llvm.readcyclecounter()")


def _set(f: Function, name: str, kind: str, value: str) -> None:
    f.store(kind, value, f.shift("i64", "%context", str(CONTEXT.index(name))), 8)


def _task(f: Function, at: str, n: str, turn: str, word: dict[str, str]) -> None:
    """One entry of the table."""
    fields = [f.shift("i64", at, str(k)) for k in range(len(ENTRY))]
    kind = f.load("i64", fields[1], 8)
    waits = f.value(f"icmp eq i64 {kind}, {KINDS['barrier']}")
    with f.when(waits):
        f.do(f"call void @barrier(ptr {word['words']}, i64 %threads)")
    with f.when(f.value(f"xor i1 {waits}, true")):
        size = f.load("i64", fields[2], 8)
        size = f.value(f"select i1 {f.value(f'icmp slt i64 {size}, 0')}, i64 {n}, i64 {size}")
        granule, owner = f.load("i64", fields[3], 8), f.load("i64", fields[4], 8)
        ends = f.value(
            f"call {{i64, i64}} @cut(i64 {kind}, i64 {size}, i64 {granule}, i64 {owner}, "
            "i64 %thread, i64 %threads)"
        )
        low, high = (f.value(f"extractvalue {{i64, i64}} {ends}, {k}") for k in (0, 1))
        with f.when(f.value(f"icmp slt i64 {low}, {high}")):
            function = f.load("ptr", fields[0], 8)
            side = f.shift("i64", fields[5], turn)
            args = f.load("ptr", side, 8)
            f.do(f"call void {function}(ptr {args}, ptr %context, i64 {low}, i64 {high})")


CUT = """
define internal {i64, i64} @cut(i64 %kind, i64 %size, i64 %granule, i64 %owner, i64 %thread,
                                i64 %threads) nounwind noinline {
entry:
  %all = insertvalue {i64, i64} {i64 0, i64 poison}, i64 %size, 1
  %alone = icmp eq i64 %threads, 1
  br i1 %alone, label %whole, label %shared
whole:
  ret {i64, i64} %all
shared:
  %every = icmp eq i64 %kind, 3
  br i1 %every, label %whole, label %some
some:
  %single = icmp eq i64 %kind, 0
  br i1 %single, label %one, label %split
one:
  %turn = urem i64 %owner, %threads
  %mine = icmp eq i64 %turn, %thread
  %own = select i1 %mine, {i64, i64} %all, {i64, i64} zeroinitializer
  ret {i64, i64} %own
split:
  %up = add i64 %size, %granule
  %most = sub i64 %up, 1
  %granules = udiv i64 %most, %granule
  %next = add i64 %thread, 1
  %a0 = mul i64 %granules, %thread
  %a1 = udiv i64 %a0, %threads
  %a2 = mul i64 %a1, %granule
  %b0 = mul i64 %granules, %next
  %b1 = udiv i64 %b0, %threads
  %b2 = mul i64 %b1, %granule
  %a = call i64 @llvm.umin.i64(i64 %a2, i64 %size)
  %b = call i64 @llvm.umin.i64(i64 %b2, i64 %size)
  %low = insertvalue {i64, i64} poison, i64 %a, 0
  %both = insertvalue {i64, i64} %low, i64 %b, 1
  ret {i64, i64} %both
}"""
