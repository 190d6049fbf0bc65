"""Micro-benchmarks of this machine, cached: arithmetic, memory by level, calls, threads."""

from __future__ import annotations

import ctypes
import dataclasses
import itertools
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
from chainrule.backend.cpu.run.objects import object_files
from chainrule.backend.cpu.run.profile import timed
from chainrule.backend.cpu.run.threads import Pool
from chainrule.costs.speeds import Speeds, default_speeds, merge_best
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
from chainrule.system.cachedir import file_for, save_value, saved_value
from chainrule.system.processors import processors

VERSION = 2
"""The version of the measurements; files of other versions are not used."""

SUMS = 10
"""Independent sums: more than hide the latency of a multiply-add, fewer than registers."""

ROWS, INNER, COLUMNS = 96, 256, 256
"""The sizes of the matrix product that is timed."""

CHAIN = 24
"""Kernels, each after a barrier, in the run that times the start of one."""

ROUNDS = 4
"""Processes that measure, as other load may disturb one of them all the time."""

TURNS, PAUSE = 6, 0.02
"""The number of timings of the kernels, and the seconds between them."""

SWAPS, SWAP_WIDTH = 8, 16_384
"""The number of exchanges of rows between two threads, and the elements of a row."""

BUSY = 3e-6
"""Seconds beyond which a barrier was delayed by other load on the processors."""

_speeds: dict[Path | None, Speeds] = {}


def speeds(folder: Path | None) -> Speeds:
    """The speeds of this machine, measured by the first few processes that need them.

    Args:
        folder: the place of the cached best; a damaged file is replaced. None caches nothing.
    """
    if folder not in _speeds:
        best = cached(folder)
        if best is None or best.measured < ROUNDS:
            new = measured()
            fits = best is not None and len(best.levels) == len(new.levels)
            best = merge_best(best, new) if best is not None and fits else new
            if folder is not None:
                save_value(_file(folder), dataclasses.asdict(best))
        _speeds[folder] = best
    return _speeds[folder]


def clear_cache() -> None:
    """Forget the speeds in memory, so that the next call reads the folder."""
    _speeds.clear()


def cached(folder: Path | None) -> Speeds | None:
    """The cached speeds; None if there are none that can be used."""
    if folder is None:
        return None
    try:
        saved = saved_value(_file(folder))
        levels = tuple((float(size), float(rate)) for size, rate in saved.pop("levels"))
        tiles = tuple((int(rows), int(vectors)) for rows, vectors in saved.pop("tiles"))
        best = Speeds(levels=levels, tiles=tiles, **saved)
        rates = [best.peak, best.product, best.instruction, best.shared, best.call,
                 best.barrier, best.exchange, *(rate for _, rate in levels)]  # fmt: skip
        usable = all(0 < x < math.inf for x in rates) and levels[-1][0] == math.inf
    except (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError):
        return None
    return best if usable else None


def cached_or_default(folder: Path | None) -> Speeds:
    """The cached speeds, or defaults for this kind of processor, without measuring."""
    machine = host()
    return cached(folder) or default_speeds(machine.vector, TILES[machine.registers])


def _file(folder: Path) -> Path:
    return file_for(folder, "speeds", VERSION, host(), os.cpu_count())


# ---------------------------------------------------------------- measuring


def measured() -> Speeds:
    """Measure; it takes about a third of a second."""
    machine = host()
    lanes = machine.vector // 4
    code = Code([compiled(_fma(lanes, machine.fma) + "\n" + _copy(lanes), machine)], machine)
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


def _best_time(function: Callable[[], object], times: int, seconds: float = 0.004) -> float:
    """The shortest time of several calls, the least disturbed; it stops after `seconds`."""
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
    code = Code(object_files(program, host()), host())
    return Executable(plan.signature, program, code, rows)


def _peak(code: Code, lanes: int) -> float:
    function, turns = code.function("fma"), 20_000
    start = np.array([1.0, 0.0] * 32, np.float32)
    pointer = ctypes.c_void_p(start.ctypes.data)
    seconds = _best_time(lambda: function(pointer, turns, 0), 50, 0.01)
    return 2 * SUMS * lanes * turns / seconds


def _levels(code: Code) -> tuple[tuple[tuple[float, float], ...], float]:
    """The caches and memory with their bandwidths; and that of memory to all processors at once."""
    function = code.function("copy")
    sizes = [*_cache_sizes(), math.inf]
    most = int(min(max(2 * sizes[-2], 32e6), 96e6))
    block = np.zeros(most + 4096, np.uint8)
    block[::4096] = 1  # so that the system allocates the pages now
    base = block.ctypes.data + -block.ctypes.data % 4096

    def rate(bytes_used: int, start: int = 0) -> float:
        half = bytes_used // 2 // 512 * 512
        turns = max(1, 200_000 // (2 * half))
        pointer = ctypes.c_void_p(base + start)
        seconds = _best_time(lambda: function(pointer, half, turns), 20, 0.01)
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
    """Bytes of the data caches, from Linux; typical ones on other systems."""
    sizes: dict[int, float] = {}
    try:
        for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
            if (index / "type").read_text().strip() == "Instruction":
                continue
            text = (index / "size").read_text().strip()
            unit = {"K": 2**10, "M": 2**20}[text[-1]]
            sizes[int((index / "level").read_text())] = float(text[:-1]) * unit
    except (OSError, ValueError, KeyError, IndexError):
        sizes = {}
    return [sizes[k] for k in sorted(sizes)] or [32e3, 1e6, 16e6]


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
    """The plan of a product and a map."""
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
    """Pairs of small kernels, each of which waits for both of the pair before."""
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
    """Kernels of two rows: a thread reads its own row, or, if swapped, that of the other thread."""
    buffers = [Buffer(f"swap{k}", (2, SWAP_WIDTH), "float32") for k in range(SWAPS + 1)]
    kernels = []
    for x, y in itertools.pairwise(buffers):
        r, i = Axis("r", 2), Axis("i", SWAP_WIDTH)
        row = Call("sub", (Const(1, "int64"), At(r)), "int64") if swapped else At(r)
        value = Call("neg", (Read(x, (row, At(i))),), "float32")
        kernels.append(Kernel(y.name, (r, i), (Write(y, (At(r), At(i)), value),)))
    return Plan(schedule(kernels), tuple(buffers))


def _read_by(kernel: Kernel) -> Buffer:
    value: Any = kernel.writes[0].value
    buffer: Buffer = value.operands[0].buffer
    return buffer


def _tasks(probe: Runner) -> dict[str, float]:
    """Seconds of the product and of the map."""
    nothing = np.zeros(1, np.int64)

    def run() -> int:
        probe.call(nothing)
        return 1

    seconds: dict[str, float] = {}
    (phase,) = probe.program.phases
    for turn in range(TURNS):
        time.sleep(PAUSE * (turn > 0))  # other load on the core may have ended by then
        (times,) = timed(probe, run, seconds=0.006, best=True).tasks
        for task, x in zip(phase, times, strict=True):
            seconds[task.name] = min(seconds.get(task.name, math.inf), float(x[0]))
    return seconds


def _call_and_barrier() -> tuple[float, float]:
    """Seconds to begin a kernel, and seconds of a barrier of two threads."""
    code = _compiled(_chain(), 1)
    alone = _step(Runner(code))
    call = max(alone / CHAIN, 1e-9)
    barrier = math.inf
    if processors() > 1:
        both = _step(Runner(code, threads=2, shared=False))
        barrier = max((both - alone) / (CHAIN // 2) + call, 1e-7)
    return max(call, 5e-9), barrier if barrier < BUSY else default_speeds(32).barrier


def _exchange() -> float:
    """Bytes a second that a core reads of data that another core has just written."""
    default = default_speeds(32).exchange
    if processors() == 1:
        return default
    local, swapped = (
        _step(Runner(_compiled(_swap(x), 1), threads=2, shared=False)) for x in (False, True)
    )
    bytes_a_second = 4 * SWAP_WIDTH * SWAPS / max(swapped - local, 1e-9)
    return bytes_a_second if default / 4 < bytes_a_second < 4 * default else default  # disturbed


def _step(native: Runner) -> float:
    """Seconds of a step, from the difference between many steps and few."""
    few, many = 2, 22
    rows, ends = np.zeros(many, np.int64), np.arange(many + 1)

    def seconds(steps: int) -> float:
        return _best_time(lambda: native.run(rows[:steps], ends[: steps + 1], {}), 100, 0.01)

    short, long = seconds(few), seconds(many)
    return max(long - short, 0.0) / (many - few)
