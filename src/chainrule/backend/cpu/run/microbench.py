"""How fast this machine is, measured and kept: arithmetic, memory by level, calls, threads."""

from __future__ import annotations

import ctypes
import dataclasses
import hashlib
import itertools
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.backend.cpu.emit.module import build
from chainrule.backend.cpu.emit.scalars import intrinsic
from chainrule.backend.cpu.emit.text import Function, type_of
from chainrule.backend.cpu.emit.tiling import TILES
from chainrule.backend.cpu.machine import Machine, host
from chainrule.backend.cpu.run.driver import Runner
from chainrule.backend.cpu.run.executable import Executable
from chainrule.backend.cpu.run.jit import Code, compiled
from chainrule.backend.cpu.run.profile import timed
from chainrule.backend.cpu.run.threads import Pool
from chainrule.costs.speeds import Speeds, better, usual
from chainrule.costs.work import work
from chainrule.ir.kernel import (
    Acc,
    At,
    Axis,
    Buffer,
    Call,
    Const,
    Expr,
    Kernel,
    Read,
    Reduction,
    Write,
)
from chainrule.plan.plan import Plan
from chainrule.plan.schedule import schedule
from chainrule.system.atomicfile import write_whole
from chainrule.system.processors import processors

VERSION = 2
"""Of what is measured and how; another one is measured anew."""

SUMS = 10
"""Sums under way at once: more than the latency of a multiply-add needs, fewer than registers."""

ROWS, INNER, COLUMNS = 96, 256, 256
"""The matrix product that is timed."""

CHAIN = 24
"""Kernels that are timed for what it costs to begin one, each after a barrier."""

ROUNDS = 4
"""Processes that measure: one may have been disturbed all the time."""

TURNS, PAUSE = 6, 0.02
"""How often kernels are timed, and the seconds between."""

SWAPS, SWAPPED = 8, 16_384
"""How often two threads exchange rows, and the numbers in a row."""

BUSY = 3e-6
"""Seconds from which on a barrier was slow because others wanted the processors."""

_known: dict[Path | None, Speeds] = {}


def speeds(folder: Path | None) -> Speeds:
    """The speeds of this machine, measured by the first few processes that ask for them.

    Args:
        folder: where the best are kept; a file that is damaged is made anew. None keeps nothing.
    """
    if folder not in _known:
        found = kept(folder)
        if found is None or found.measured < ROUNDS:
            new = measured()
            fits = found is not None and len(found.levels) == len(new.levels)
            found = better(found, new) if found is not None and fits else new
            _keep(folder, found)
        _known[folder] = found
    return _known[folder]


def forget() -> None:
    """Look at the folder again when speeds are wanted next."""
    _known.clear()


def kept(folder: Path | None) -> Speeds | None:
    """The speeds as they were measured before; None where they were not."""
    if folder is None:
        return None
    try:
        told = json.loads(_file(folder).read_text(encoding="utf-8"))
        levels = tuple((float(size), float(rate)) for size, rate in told.pop("levels"))
        tiles = tuple((int(rows), int(vectors)) for rows, vectors in told.pop("tiles"))
        found = Speeds(levels=levels, tiles=tiles, **told)
        numbers = [found.peak, found.product, found.instruction, found.shared, found.call,
                   found.barrier, found.exchange, *(rate for _, rate in levels)]  # fmt: skip
        usable = all(0 < x < math.inf for x in numbers) and levels[-1][0] == math.inf
    except (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError):
        return None
    return found if usable else None


def likely(folder: Path | None) -> Speeds:
    """The speeds as far as they are known without measuring."""
    machine = host()
    return kept(folder) or usual(machine.vector, TILES[machine.registers])


def _keep(folder: Path | None, found: Speeds) -> None:
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(_file(folder), json.dumps(dataclasses.asdict(found)))
    except OSError:
        return  # it is measured again, then


def _file(folder: Path) -> Path:
    key = hashlib.sha256(repr((VERSION, host(), os.cpu_count())).encode()).hexdigest()
    return folder / f"speeds-{key[:16]}.json"


# ---------------------------------------------------------------- measuring


def measured() -> Speeds:
    """Measure; it takes about a third of a second."""
    machine = host()
    lanes = machine.vector // 4
    code = Code(compiled(_fma(lanes, machine.fma) + "\n" + _copy(lanes), machine), machine)
    peak = _peak(code, lanes)
    levels, shared = _levels(code)
    probe = Runner(_compiled(_probe(), ROWS))
    times = _tasks(probe)
    product = 2 * ROWS * INNER * COLUMNS / times["product"] / peak
    counted = work(schedule([_tanh()])[0].tasks[0], ROWS, lanes).instructions
    call, barrier = _call_and_barrier()
    return Speeds(
        processor=_name(machine),
        vector=machine.vector,
        tiles=TILES[machine.registers],
        peak=peak,
        product=min(product, 1.0),
        instruction=times["tanh"] / counted,
        levels=levels,
        shared=shared,
        call=call,
        barrier=barrier,
        exchange=_exchange(),
        measured=1,
    )


def _least(function: Callable[[], object], times: int, seconds: float = 0.004) -> float:
    """The shortest time of several calls, the least disturbed. They end after a while."""
    shortest, begun = math.inf, time.perf_counter()
    for _ in range(times):
        start = time.perf_counter()
        function()
        end = time.perf_counter()
        shortest = min(shortest, end - start)
        if end - begun > seconds:
            break
    return shortest


def _compiled(plan: Plan, rows: int) -> Executable:
    program = build(plan, host(), rows)
    return Executable(plan.signature, program, Code(compiled(program.text, host()), host()), rows)


def _peak(code: Code, lanes: int) -> float:
    function, turns = code.function("fma"), 20_000
    start = np.array([1.0, 0.0] * 32, np.float32)
    pointer = ctypes.c_void_p(start.ctypes.data)
    seconds = _least(lambda: function(pointer, turns, 0), 50, 0.01)
    return 2 * SUMS * lanes * turns / seconds


def _levels(code: Code) -> tuple[tuple[tuple[float, float], ...], float]:
    """The caches with their bandwidth, then memory; and memory when all processors want it."""
    function = code.function("copy")
    sizes = [*_cache_sizes(), math.inf]
    most = int(min(max(2 * sizes[-2], 32e6), 96e6))
    block = np.zeros(most + 4096, np.uint8)
    block[::4096] = 1  # so that the system gives the pages now
    base = block.ctypes.data + -block.ctypes.data % 4096

    def rate(bytes_used: int, start: int = 0) -> float:
        half = bytes_used // 2 // 512 * 512
        turns = max(1, 200_000 // (2 * half))
        pointer = ctypes.c_void_p(base + start)
        seconds = _least(lambda: function(pointer, half, turns), 20, 0.01)
        return 2 * half * turns / seconds

    levels = [(size, rate(int(min(size * 0.6, most)))) for size in sizes]
    threads = processors()
    each = most // threads
    rates = [0.0] * threads

    def one(thread: int) -> None:
        rates[thread] = rate(each, thread * each // 4096 * 4096)

    Pool(threads).run(one, threads)
    return tuple(levels), max(sum(rates), levels[-1][1])


def _cache_sizes() -> list[float]:
    """Bytes of the data caches, as Linux tells them; else usual ones."""
    found: dict[int, float] = {}
    try:
        for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
            if (index / "type").read_text().strip() == "Instruction":
                continue
            text = (index / "size").read_text().strip()
            unit = {"K": 2**10, "M": 2**20}[text[-1]]
            found[int((index / "level").read_text())] = float(text[:-1]) * unit
    except (OSError, ValueError, KeyError, IndexError):
        found = {}
    return [found[k] for k in sorted(found)] or [32e3, 1e6, 16e6]


def _name(machine: Machine) -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return f"{line.split(':', 1)[1].strip()} ({machine.cpu})"
    except OSError:
        pass
    return machine.cpu


# ---------------------------------------------------------------- the code that is timed


def _fma(lanes: int, fused: bool) -> str:
    """`@fma(ptr start, i64 turns, i64)`: SUMS independent chains of multiply-adds."""
    f, kind = Function("fma", "ptr %start, i64 %turns, i64 %unused", external=True), "float32"
    vector = type_of(kind, lanes)
    one = f.load(vector, "%start", 4)
    sums = [f.local(vector) for _ in range(SUMS)]
    for place in sums:
        f.store(vector, one, place, 64)
    with f.loop("0", "%turns"):
        for place in sums:
            old = f.load(vector, place, 64)
            if fused:
                new = intrinsic(f, "fma", kind, lanes, old, one, one)
            else:
                new = f.value(f"fadd {vector} {f.value(f'fmul {vector} {old}, {one}')}, {one}")
            f.store(vector, new, place, 64)
    total = f.load(vector, sums[0], 64)
    for place in sums[1:]:
        total = f.value(f"fadd {vector} {total}, {f.load(vector, place, 64)}")
    f.store(vector, total, "%start", 4)
    return "\n".join([*sorted(f.declared), f.end()])


def _copy(lanes: int) -> str:
    """`@copy(ptr block, i64 half, i64 turns)`: the first `half` bytes to the second, and again."""
    f = Function("copy", "ptr %block, i64 %half, i64 %turns", external=True)
    vector = type_of("float32", lanes)
    with f.loop("0", "%turns"), f.loop("0", "%half", 16 * lanes) as place:
        source = f.shift("i8", "%block", place)
        target = f.shift("i8", source, "%half")
        for k in range(4):
            one = f.load(vector, f.shift("i8", source, str(4 * k * lanes)), 4)
            f.store(vector, one, f.shift("i8", target, str(4 * k * lanes)), 4)
    return f.end()


def _tanh() -> Kernel:
    n, i = Axis("n", ROWS), Axis("i", 64)
    x, y = (Buffer(name, (ROWS, 64), "float32", "work") for name in ("tanh.x", "tanh.y"))
    place: tuple[Expr, ...] = (At(n), At(i))
    value = Call("tanh", (Read(x, place),), "float32")
    return Kernel("tanh", (n, i), (Write(y, place, value),))


def _probe() -> Plan:
    """A product and a map."""
    m, v, k = Axis("m", ROWS), Axis("v", COLUMNS), Axis("k", INNER)
    a, b = Buffer("a", (ROWS, INNER), "float32"), Buffer("b", (INNER, COLUMNS), "float32")
    c = Buffer("c", (ROWS, COLUMNS), "float32")
    terms = Call("mul", (Read(a, (At(m), At(k))), Read(b, (At(k), At(v)))), "float32")
    product = Kernel(
        "product", (m, v), (Write(c, (At(m), At(v)), Acc("float32")),),
        Reduction((k,), "sum", terms),
    )  # fmt: skip
    tanh = _tanh()
    used = (a, b, c, *(x.buffer for x in tanh.writes), _read_by(tanh))
    return Plan(schedule([product, tanh]), used)


def _chain() -> Plan:
    """Pairs of small kernels, each of which waits for both before."""
    links = [
        tuple(Buffer(f"link{k}.{side}", (8,), "float32") for side in "ab")
        for k in range(CHAIN // 2 + 1)
    ]
    kernels = [_link(x, y) for x, ys in itertools.pairwise(links) for y in ys]
    return Plan(schedule(kernels), tuple(itertools.chain(*links)))


def _link(x: Sequence[Buffer], y: Buffer) -> Kernel:
    i = Axis("i", 8)
    value = Call("add", tuple(Read(b, (At(i),)) for b in x), "float32")
    return Kernel(y.name, (i,), (Write(y, (At(i),), value),))


def _swap(swapped: bool) -> Plan:
    """Kernels of two rows: a thread reads the row that it wrote before, or that of the other."""
    buffers = [Buffer(f"swap{k}", (2, SWAPPED), "float32") for k in range(SWAPS + 1)]
    kernels = []
    for x, y in itertools.pairwise(buffers):
        r, i = Axis("r", 2), Axis("i", SWAPPED)
        row = Call("sub", (Const(1, "int64"), At(r)), "int64") if swapped else At(r)
        value = Call("neg", (Read(x, (row, At(i))),), "float32")
        kernels.append(Kernel(y.name, (r, i), (Write(y, (At(r), At(i)), value),)))
    return Plan(schedule(kernels), tuple(buffers))


def _read_by(kernel: Kernel) -> Buffer:
    value: Any = kernel.writes[0].value
    found: Buffer = value.operands[0].buffer
    return found


def _tasks(probe: Runner) -> dict[str, float]:
    """Seconds of the product and of the map."""
    nothing = np.zeros(1, np.int64)

    def run() -> int:
        probe.call(nothing)
        return 1

    found: dict[str, float] = {}
    (phase,) = probe.program.phases
    for turn in range(TURNS):
        time.sleep(PAUSE * (turn > 0))  # who shares a core with us may be done by then
        (times,) = timed(probe, run, seconds=0.006, best=True).tasks
        for task, x in zip(phase, times, strict=True):
            found[task.name] = min(found.get(task.name, math.inf), float(x[0]))
    return found


def _call_and_barrier() -> tuple[float, float]:
    """Seconds to begin a kernel, and those that two threads take to meet."""
    code = _compiled(_chain(), 1)
    alone = _step(Runner(code))
    call = max(alone / CHAIN, 1e-9)
    barrier = math.inf
    if processors() > 1:
        both = _step(Runner(code, threads=2))
        barrier = max((both - alone) / (CHAIN // 2) + call, 1e-7)
    return max(call, 5e-9), barrier if barrier < BUSY else usual(32).barrier


def _exchange() -> float:
    """Bytes a second that a core gets of what another one has just written."""
    known = usual(32).exchange
    if processors() == 1:
        return known
    own, others = (_step(Runner(_compiled(_swap(x), 1), threads=2)) for x in (False, True))
    bytes_a_second = 4 * SWAPPED * SWAPS / max(others - own, 1e-9)
    return bytes_a_second if known / 4 < bytes_a_second < 4 * known else known  # disturbed


def _step(native: Runner) -> float:
    """Seconds of a step: what some more of them take."""
    few, many = 2, 22
    rows, ends = np.zeros(many, np.int64), np.arange(many + 1)
    short, long = (
        _least(lambda n=n: native.run(rows[:n], ends[: n + 1], {}), 100, 0.01)  # type: ignore[misc]
        for n in (few, many)
    )
    return max(long - short, 0.0) / (many - few)
