"""The threads of a step as a crew: they take units of work, and the next phase when all are done.

Phases are numbered through all steps. A phase begins when all units of the one before are finished;
nothing waits for a thread that has no unit, and one that comes late goes on with the present phase.
"""

from __future__ import annotations

import sys

from chainrule.backend.cpu.emit.frame import (
    CALL,
    CONTEXT,
    END,
    FRAME,
    LINE_WORDS,
    PHASE,
    add_ticks,
    clock,
    framed,
    loads,
    word,
)
from chainrule.backend.cpu.emit.text import Function

PATIENCE = 40
"""Times that a thread looks whether a phase is over before it helps with the work of others."""

SPINS = 200
"""Times that a thread looks whether a phase is over before it yields the processor."""

YIELDS = 100
"""Times that it yields before it sleeps: its processor may then run a thread that has work."""

NAP = 50
"""Microseconds of a sleep."""


def crew(triple: str, *, timed: bool) -> str:
    """The IR of `@together(ptr frame, ptr context, i64 thread, i64 threads)` and what it calls.

    It needs `@prepare` and `@call`.
    """
    rest, nap = "sched_yield", f"usleep(i32 {NAP})"
    if sys.platform == "win32":  # where a sleep takes milliseconds
        rest, nap = "SwitchToThread", "SwitchToThread()"
    pause = ""
    if triple.startswith("x86_64"):
        pause = "call void @llvm.x86.sse2.pause()"
    elif triple.startswith(("aarch64", "arm64")):
        pause = "call void @llvm.aarch64.hint(i32 1)"
    waits = WAITS.replace("PAUSE", pause).replace("REST", rest).replace("NAP", nap)
    waits = waits.replace("SPINS", str(SPINS)).replace("YIELDS", str(YIELDS))
    return "\n".join([waits, _wait(timed), _calls(), TAKE, QUEUE, OPEN, _together()])


WAITS = """
declare i32 @REST()
declare i32 @usleep(i32)
define internal i64 @watch(ptr %words, i64 %phase, i64 %times) nounwind {
entry:
  br label %look
look:
  %n = phi i64 [0, %entry], [%more, %spin]
  %more = add i64 %n, 1
  %now = load atomic i64, ptr %words acquire, align 8
  %over = icmp ne i64 %now, %phase
  %long = icmp uge i64 %n, %times
  %stop = or i1 %over, %long
  br i1 %stop, label %out, label %spin
spin:
  PAUSE
  br label %look
out:
  ret i64 %now
}
define internal i64 @follow(ptr %words, i64 %phase) nounwind noinline {
entry:
  br label %look
look:
  %times = phi i64 [SPINS, %entry], [1, %offer], [1, %sleep]
  %n = phi i64 [0, %entry], [%more, %offer], [%more, %sleep]
  %more = add i64 %n, 1
  %now = call i64 @watch(ptr %words, i64 %phase, i64 %times)
  %same = icmp eq i64 %now, %phase
  br i1 %same, label %rest, label %out
rest:
  %long = icmp uge i64 %n, YIELDS
  br i1 %long, label %sleep, label %offer
offer:
  %yielded = call i32 @REST()
  br label %look
sleep:
  %slept = call i32 @NAP
  br label %look
out:
  ret i64 %now
}"""
"""`@watch(ptr words, i64 phase, i64 times)`: the number of the present phase; it looks several
times for another one than `phase`. `@follow(ptr words, i64 phase)` waits for another one.
"""

TAKE = """
declare i64 @llvm.umax.i64(i64, i64)
define internal i64 @take(ptr %queue, i64 %phase, i64 %count) nounwind {
entry:
  %number = add i64 %phase, 1
  %tag = shl i64 %number, 24
  %end = add i64 %tag, %count
  br label %look
look:
  %seen = load atomic i64, ptr %queue monotonic, align 8
  %next = call i64 @llvm.umax.i64(i64 %seen, i64 %tag)
  %more = icmp ult i64 %next, %end
  br i1 %more, label %try, label %none
try:
  %after = add i64 %next, 1
  %both = cmpxchg ptr %queue, i64 %seen, i64 %after acq_rel monotonic, align 8
  %won = extractvalue {i64, i1} %both, 1
  br i1 %won, label %some, label %look
some:
  %unit = sub i64 %next, %tag
  ret i64 %unit
none:
  ret i64 -1
}"""
"""`@take(ptr queue, i64 phase, i64 count)`: the number of a unit that no thread has taken, or -1.

A queue is a word: the number of the phase, from 1, and that of the next unit. A thread that comes
late, to a phase that is over, takes nothing; a queue that still has the number of an earlier phase
is untouched in this one.
"""

QUEUE = f"""
define internal i64 @queue(ptr %frame, ptr %context, i64 %thread, ptr %header, i64 %number, i64 %t)
    nounwind noinline {{
entry:
{loads("words")}
  %shift = mul i64 %number, {LINE_WORDS}
  %place = add i64 %shift, {2 * LINE_WORDS}
  %queue = getelementptr i64, ptr %words, i64 %place
  %pair = shl i64 %number, 1
  %word = add i64 %pair, {len(PHASE)}
  %units.at = getelementptr i64, ptr %header, i64 %word
  %units = load ptr, ptr %units.at, align 8
  %count.at = getelementptr i64, ptr %units.at, i64 1
  %count = load i64, ptr %count.at, align 8
  %shared.at = getelementptr i64, ptr %header, i64 {PHASE.index("shared")}
  %shared = load i64, ptr %shared.at, align 8
  %own = icmp eq i64 %shared, 0
  br label %next
next:
  %taken = phi i64 [0, %entry], [%more, %run]
  br i1 %own, label %turn, label %take
turn:
  %within = icmp slt i64 %taken, %count
  %mine = select i1 %within, i64 %taken, i64 -1
  br label %look
take:
  %got = call i64 @take(ptr %queue, i64 %t, i64 %count)
  br label %look
look:
  %unit = phi i64 [%mine, %turn], [%got, %take]
  %none = icmp slt i64 %unit, 0
  br i1 %none, label %out, label %run
run:
  %two = shl i64 %unit, 1
  %unit.at = getelementptr i64, ptr %units, i64 %two
  %first = load ptr, ptr %unit.at, align 8
  %end.at = getelementptr i64, ptr %unit.at, i64 1
  %end = load ptr, ptr %end.at, align 8
  call void @calls(ptr %frame, ptr %context, i64 %thread, ptr %first, ptr %end)
  %more = add i64 %taken, 1
  br label %next
out:
  ret i64 %taken
}}"""
"""`@queue(frame, context, thread, header, i64 number, i64 t)`: works until a queue is empty.

It returns how many units it took. In a phase that is not shared, only its own thread takes them.
"""

OPEN = f"""
define internal ptr @header(ptr %frame, ptr %context, i64 %p, i64 %threads) nounwind {{
entry:
{loads("orders")}
  %n.at = getelementptr i64, ptr %context, i64 {CONTEXT.index("n")}
  %n = load i64, ptr %n.at, align 8
  br label %look
look:
  %at = phi ptr [%orders, %entry], [%next, %look]
  %rows = load i64, ptr %at, align 8
  %next = getelementptr i64, ptr %at, i64 2
  %found = icmp eq i64 %rows, %n
  br i1 %found, label %out, label %look
out:
  %order.at = getelementptr i64, ptr %at, i64 1
  %order = load ptr, ptr %order.at, align 8
  %queues = shl i64 %threads, 1
  %words = add i64 %queues, {len(PHASE)}
  %word = mul i64 %p, %words
  %header = getelementptr i64, ptr %order, i64 %word
  ret ptr %header
}}
define internal i64 @open(ptr %frame, ptr %context, i64 %thread, i64 %threads, i64 %from)
    nounwind noinline {{
entry:
{loads("words", "phases", "steps")}
  %flag = getelementptr i64, ptr %frame, i64 {FRAME.index("flag")}
  br label %phase
phase:
  %t = phi i64 [%from, %entry], [%after, %begin]
  %after = add i64 %t, 1
  %s = udiv i64 %t, %phases
  %p = urem i64 %t, %phases
  %new = icmp eq i64 %p, 0
  br i1 %new, label %step, label %begin
step:
  %seen = load atomic i64, ptr %flag monotonic, align 8
  %marked = icmp eq i64 %seen, %s
  %later = icmp ne i64 %s, 0
  %failed = and i1 %marked, %later
  %enough = icmp eq i64 %s, %steps
  %stop = or i1 %failed, %enough
  br i1 %stop, label %end, label %begin
begin:
  call void @prepare(ptr %frame, ptr %context, i64 %s)
  %header = call ptr @header(ptr %frame, ptr %context, i64 %p, i64 %threads)
  %every.at = getelementptr i64, ptr %header, i64 {PHASE.index("every")}
  %every = load ptr, ptr %every.at, align 8
  %every_end.at = getelementptr i64, ptr %header, i64 {PHASE.index("every_end")}
  %every_end = load ptr, ptr %every_end.at, align 8
  call void @calls(ptr %frame, ptr %context, i64 %thread, ptr %every, ptr %every_end)
  %units = load i64, ptr %header, align 8
  %none = icmp eq i64 %units, 0
  br i1 %none, label %phase, label %out
out:
  %left = getelementptr i64, ptr %words, i64 {LINE_WORDS}
  store atomic i64 %units, ptr %left monotonic, align 8
  store atomic i64 %t, ptr %words release, align 8
  ret i64 %t
end:
  %less = sext i1 %failed to i64
  %complete = add i64 %s, %less
  %done = getelementptr i64, ptr %frame, i64 {FRAME.index("done")}
  store i64 %complete, ptr %done, align 8
  store atomic i64 {END}, ptr %words release, align 8
  ret i64 {END}
}}
define internal i64 @finish(ptr %frame, ptr %context, i64 %thread, i64 %threads, i64 %t, i64 %units)
    nounwind noinline {{
entry:
  %some = icmp ne i64 %units, 0
  br i1 %some, label %count, label %out
count:
{loads("words")}
  %left = getelementptr i64, ptr %words, i64 {LINE_WORDS}
  %before = atomicrmw sub ptr %left, i64 %units acq_rel, align 8
  %last = icmp eq i64 %before, %units
  br i1 %last, label %open, label %out
open:
  %next = add i64 %t, 1
  %opened = call i64 @open(ptr %frame, ptr %context, i64 %thread, i64 %threads, i64 %next)
  ret i64 %opened
out:
  ret i64 %t
}}"""
"""`@header`: the words of a phase, in the order for the rows of the context's step.

`@open(frame, context, thread, threads, i64 t)`: begins a phase. It makes the calls that come before
all units, and goes on to the next phase where there are no units; after a step that was not finite,
and after the last, it ends the run. It returns the number of the phase.

`@finish(frame, context, thread, threads, i64 t, i64 units)`: counts finished units of a phase; the
thread that finishes the last begins the next phase. It returns the number of the phase.
"""


def _calls() -> str:
    """`@calls(frame, context, thread, ptr first, ptr end)`: calls in turn."""
    f = Function("calls", "ptr %frame, ptr %context, i64 %thread, ptr %first, ptr %end")
    low, high = (f.value(f"ptrtoint ptr {x} to i64") for x in ("%first", "%end"))
    with f.loop("0", f.sub(high, low), 8 * len(CALL)) as offset:
        at = f.shift("i8", "%first", offset)
        entry, *ends = (word(f, at, k, "i64" if k else "ptr") for k in range(len(CALL)))
        f.do(
            f"call void @call(ptr %frame, ptr %context, i64 %thread, ptr {entry}, "
            f"i64 {ends[0]}, i64 {ends[1]})"
        )
    return f.end()


def _wait(timed: bool) -> str:
    """`@wait(frame, i64 thread, i64 t, i64 p, i64 times)`: the phase after t; or t, after a while.

    It looks several times, or waits as long as it takes for -1.
    """
    f = Function("wait", "ptr %frame, i64 %thread, i64 %t, i64 %p, i64 %times, ptr %at")
    before = clock(f) if timed else ""
    words = framed(f, "words")
    ever = f.value("icmp slt i64 %times, 0")
    with f.when(ever):
        f.store("i64", f.value(f"call i64 @follow(ptr {words}, i64 %t)"), "%at", 8)
    with f.when(f.value(f"xor i1 {ever}, true")):
        f.store("i64", f.value(f"call i64 @watch(ptr {words}, i64 %t, i64 %times)"), "%at", 8)
    if timed:
        add_ticks(f, before, f.add(framed(f, "tasks"), "%p"))
    return f.end()


def _together() -> str:
    """`@together(frame, context, thread, threads)`: works until the run has ended.

    In each phase first on its own queue, then, where others are slower, on what is left of theirs.
    """
    f = Function("together", "ptr %frame, ptr %context, i64 %thread, i64 %threads")
    phases, at, helped = framed(f, "phases"), f.local("i64"), f.local("i64")
    f.store("i64", "-1", at, 8)
    with f.when(f.value("icmp eq i64 %thread, 0")):
        crew_of = "ptr %frame, ptr %context, i64 %thread, i64 %threads"
        f.store("i64", f.value(f"call i64 @open({crew_of}, i64 0)"), at, 8)
    with f.when(_still(f, at, "-1")):
        _follow(f, at, "-1", "0", "-1")
    f.do("br label %phase")
    f.label("phase")
    t = f.load("i64", at, 8)
    f.do(f"br i1 {f.value(f'icmp eq i64 {t}, {END}')}, label %out, label %go")
    f.label("go")
    step, p = f.value(f"udiv i64 {t}, {phases}"), f.value(f"urem i64 {t}, {phases}")
    f.do(f"call void @prepare(ptr %frame, ptr %context, i64 {step})")
    header = f.value(f"call ptr @header(ptr %frame, ptr %context, i64 {p}, i64 %threads)")
    _count(f, at, t, _work(f, header, "%thread", t))
    with f.when(_still(f, at, t)):
        _follow(f, at, t, p, str(PATIENCE))
    shared = f.value(f"icmp ne i64 {word(f, header, PHASE.index('shared'), 'i64')}, 0")
    with f.when(f.value(f"and i1 {shared}, {_still(f, at, t)}")):
        f.store("i64", "0", helped, 8)
        with f.loop("1", "%threads") as k:
            other = f.value(f"urem i64 {f.add('%thread', k)}, %threads")
            taken = _work(f, header, other, t)
            f.store("i64", f.add(f.load("i64", helped, 8), taken), helped, 8)
        _count(f, at, t, f.load("i64", helped, 8))
    with f.when(_still(f, at, t)):
        _follow(f, at, t, p, "-1")
    f.do("br label %phase")
    f.label("out")
    return f.end()


def _still(f: Function, at: str, t: str) -> str:
    """Whether the present phase is still number t."""
    return f.value(f"icmp eq i64 {f.load('i64', at, 8)}, {t}")


def _follow(f: Function, at: str, t: str, p: str, times: str) -> None:
    f.do(f"call void @wait(ptr %frame, i64 %thread, i64 {t}, i64 {p}, i64 {times}, ptr {at})")


def _work(f: Function, header: str, queue: str, t: str) -> str:
    """The number of units that this thread takes from a queue, and does."""
    own = f"ptr %frame, ptr %context, i64 %thread, ptr {header}"
    return f.value(f"call i64 @queue({own}, i64 {queue}, i64 {t})")


def _count(f: Function, at: str, t: str, units: str) -> None:
    crew_of = "ptr %frame, ptr %context, i64 %thread, i64 %threads"
    f.store("i64", f.value(f"call i64 @finish({crew_of}, i64 {t}, i64 {units})"), at, 8)
