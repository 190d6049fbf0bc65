"""The function that runs steps: on one thread task by task, or on a crew of threads."""

from __future__ import annotations

from chainrule.backend.cpu.emit.crew import crew
from chainrule.backend.cpu.emit.frame import (
    CONTEXT,
    ENTRY,
    FRAME,
    add_ticks,
    clock,
    framed,
    known,
    loads,
    place,
    set_known,
    word,
)
from chainrule.backend.cpu.emit.subnormals import flush, restore
from chainrule.backend.cpu.emit.text import SCALARS, Function, number
from chainrule.plan.linearize import Argument

TASK = "ptr %args, ptr %context, i64 %low, i64 %high"


def entry(name: str, kernel: str, arguments: tuple[Argument, ...], *, commit: bool) -> str:
    """The function of a task: it loads the addresses of its buffers and calls the kernel.

    Args:
        name, kernel: the names of this function and of the kernel's.
        arguments: the arguments of the kernel.
        commit: whether it is skipped in a step that is not finite.
    """
    f = Function(name, TASK, external=True)
    rows, n, scratch, flag, mark = (known(f, name) for name in CONTEXT[:5])
    blocks = known(f, "blocks")
    pointers = []
    for k, argument in enumerate(arguments):
        if argument.space == "rows":
            pointers.append(rows)
            continue
        slot = word(f, "%args", k, "ptr")
        pointer = f.load("ptr", slot, 8)
        if argument.space == "step":
            bytes_on = f.mul(f.sub(mark, "1"), word(f, slot, 1, "i64"))
            pointer = f.shift("i8", pointer, bytes_on)
        pointers.append(pointer)
    operands = [
        f"ptr {rows}", f"i64 {n}", "i64 %low", "i64 %high", f"ptr {scratch}", f"ptr {flag}",
        f"i64 {mark}", f"ptr {blocks}", *(f"ptr {p}" for p in pointers),
    ]  # fmt: skip
    finite = "true"
    if commit:
        seen = f.value(f"load atomic i64, ptr {flag} monotonic, align 8")
        finite = f.value(f"icmp ne i64 {seen}, {mark}")
    with f.when(finite):
        f.do(f"call void @{kernel}({', '.join(operands)})")
    return f.end()


def loss_task(dtype: str) -> str:
    """`@loss`: records the loss of the step, and whether it is finite."""
    f, kind = Function("loss", TASK, external=True), SCALARS[dtype]
    value = f.load(kind, f.load("ptr", word(f, "%args", 0, "ptr"), 8), 4)
    if dtype != "float64":
        value = f.value(f"fpext {kind} {value} to double")
    mark = known(f, "mark")
    losses = known(f, "losses")
    f.store("double", value, f.shift("double", losses, f.sub(mark, "1")), 8)
    product = f.value(f"fmul double {value}, {number(0, 'float64')}")
    with f.when(f.value(f"fcmp uno double {product}, {product}")):
        flag = known(f, "flag")
        f.do(f"store atomic i64 {mark}, ptr {flag} monotonic, align 8")
    return f.end()


def run_function(triple: str, *, exact: bool = False, timed: bool = False) -> str:
    """The IR of `@run(ptr frame, i64 thread, i64 threads)` and what it calls.

    Args:
        exact: keep subnormal numbers; else they count as 0 until it returns.
        timed: read the processor's clock around every call, and add to `ticks`.
    """
    f = Function("run", "ptr %frame, i64 %thread, i64 %threads", external=True)
    before = "" if exact else flush(f, triple)
    f.do(f"%context = alloca [{len(CONTEXT)} x i64], align 64")
    scratch = f.shift("i8", framed(f, "scratch"), f.mul("%thread", framed(f, "each")))
    given = ((x, framed(f, x)) for x in ("losses", "blocks"))
    for name, value in (("scratch", scratch), ("flag", place(f, "flag")), *given):
        set_known(f, name, "ptr", value)
    alone = f.value(f"icmp eq ptr {framed(f, 'orders')}, null")
    with f.when(alone):
        f.do("call void @alone(ptr %frame, ptr %context)")
    with f.when(f.value(f"xor i1 {alone}, true")):
        f.do("call void @together(ptr %frame, ptr %context, i64 %thread, i64 %threads)")
    if not exact:
        restore(f, triple, before)
    return "\n".join([_prepare(), _call(timed), ALONE, crew(triple, timed=timed), f.end()])


def _prepare() -> str:
    """`@prepare(ptr frame, ptr context, i64 s)`: the context of a step."""
    f = Function("prepare", "ptr %frame, ptr %context, i64 %s")
    here = f.shift("i64", framed(f, "offsets"), "%s")
    first = f.load("i64", here, 8)
    for name, kind, value in (
        ("rows", "ptr", f.shift("i64", framed(f, "rows"), first)),
        ("n", "i64", f.sub(word(f, here, 1, "i64"), first)), ("mark", "i64", f.add("%s", "1")),
    ):  # fmt: skip
        set_known(f, name, kind, value)
    return f.end()


def _call(timed: bool) -> str:
    """`@call(frame, context, thread, entry, low, high)`: a task, or a range of it."""
    f = Function(
        "call",
        "ptr %frame, ptr %context, i64 %thread, ptr %task, i64 %from, i64 %to",
    )
    before = clock(f) if timed else ""
    fields = {name: f.shift("i64", "%task", str(k)) for k, name in enumerate(ENTRY)}
    size, n = f.load("i64", fields["size"], 8), known(f, "n")
    size = f.value(f"select i1 {f.value(f'icmp slt i64 {size}, 0')}, i64 {n}, i64 {size}")
    high = f.value(f"select i1 {f.value('icmp slt i64 %to, 0')}, i64 {size}, i64 %to")
    with f.when(f.less("%from", high)):
        step = f.sub(known(f, "mark"), "1")
        sides = f.value(f"xor i64 {step}, {framed(f, 'parity')}")
        turn = f.value(f"and i64 {sides}, 1")
        args = f.load("ptr", f.shift("i64", fields["even"], turn), 8)
        function = f.load("ptr", fields["function"], 8)
        f.do(f"call void {function}(ptr {args}, ptr %context, i64 %from, i64 {high})")
    if timed:
        add_ticks(f, before, _number_of(f, "%task"))
    return f.end()


def _number_of(f: Function, entry: str) -> str:
    table, here = (f.value(f"ptrtoint ptr {x} to i64") for x in (framed(f, "table"), entry))
    return f.div(f.sub(here, table), 8 * len(ENTRY))


ALONE = f"""
define internal void @alone(ptr %frame, ptr %context) nounwind noinline {{
entry:
{loads("steps", "table", "tasks")}
  %flag = getelementptr i64, ptr %frame, i64 {FRAME.index("flag")}
  br label %step
step:
  %s = phi i64 [0, %entry], [%mark, %after]
  %more = icmp slt i64 %s, %steps
  br i1 %more, label %go, label %out
go:
  call void @prepare(ptr %frame, ptr %context, i64 %s)
  br label %task
task:
  %k = phi i64 [0, %go], [%k.next, %run]
  %within = icmp slt i64 %k, %tasks
  br i1 %within, label %run, label %after
run:
  %word = mul i64 %k, {len(ENTRY)}
  %entry.at = getelementptr i64, ptr %table, i64 %word
  call void @call(ptr %frame, ptr %context, i64 0, ptr %entry.at, i64 0, i64 -1)
  %k.next = add i64 %k, 1
  br label %task
after:
  %mark = add i64 %s, 1
  %seen = load atomic i64, ptr %flag monotonic, align 8
  %failed = icmp eq i64 %seen, %mark
  br i1 %failed, label %out, label %step
out:
  %done = getelementptr i64, ptr %frame, i64 {FRAME.index("done")}
  store i64 %s, ptr %done, align 8
  ret void
}}"""
"""`@alone(ptr frame, ptr context)`: all steps on one thread, the tasks in turn."""


def clock_function() -> str:
    """The IR of `@clock(ptr words, i64, i64)`: the current time, and the time of a reading."""
    f = Function("clock", "ptr %words, i64 %a, i64 %b", external=True)
    now = clock(f)
    f.store("i64", now, "%words", 8)
    f.store("i64", f.sub(clock(f), now), f.shift("i64", "%words", "1"), 8)
    return f.end()
