"""Machine code of steps and forward passes: what this process has made is not made again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from chainrule.backend.cpu.cache import cached
from chainrule.backend.cpu.driver import Executable
from chainrule.backend.cpu.jit import compiled
from chainrule.backend.cpu.kept import pack, unpack
from chainrule.backend.cpu.machine import host
from chainrule.backend.cpu.peaks import likely
from chainrule.backend.cpu.program import build
from chainrule.cachefolder import code_folder
from chainrule.forklock import fork_lock
from chainrule.graph.fingerprint import fingerprint
from chainrule.graph.graph import Graph
from chainrule.graph.node import Node
from chainrule.plan.build import plan_forward, plan_step
from chainrule.plan.cost import best_threads
from chainrule.plan.plan import Plan
from chainrule.program import Step

MOST_THREADS = 8
"""That a step is shared by: with more, barriers take too much of it."""

KEPT = 64
"""How many are kept for graphs that come again; the ones not used for longest go first."""

_known: OrderedDict[tuple[bytes, int], Executable] = OrderedDict()
_lock = fork_lock()


def step_code(step: Step, rows: int) -> Executable:
    """The machine code of a training step on minibatches of up to `rows` rows."""
    chosen = [step.loss, *step.updates, *step.updates.values()]
    return _code(fingerprint(step.graph, chosen), rows, lambda: plan_step(step))


def forward_code(graph: Graph, outputs: Sequence[Node], rows: int) -> Executable:
    """The machine code of a forward pass, specialised already, on up to `rows` rows at a time."""
    return _code(fingerprint(graph, outputs), rows, lambda: plan_forward(graph, outputs))


def _code(digest: bytes, rows: int, plan: Callable[[], Plan]) -> Executable:
    with _lock:
        if (digest, rows) in _known:
            _known.move_to_end((digest, rows))
            return _known[digest, rows]
        made = _known[digest, rows] = _executable(digest, rows, plan)
        while len(_known) > KEPT:
            _known.popitem(last=False)
        return made


def _executable(digest: bytes, rows: int, plan: Callable[[], Plan]) -> Executable:
    """From the folder, without so much as a plan, or compiled."""
    folder, machine = code_folder(), host()

    def make() -> bytes:
        made = plan()
        program = build(made, machine, rows)
        threads = best_threads(made, rows, MOST_THREADS, likely(folder))
        return pack(made, program, compiled(program.text, machine), threads)

    made_from = f"{digest.hex()} {rows} {_sources()}"
    return unpack(cached(folder, made_from, machine, make), machine, rows)


@cache
def _sources() -> str:
    """What tells this Chainrule from another of the same version: the dates of its files."""
    folder = Path(__file__).parent
    files = sorted(folder.rglob("*.py"))
    told = [(str(x.relative_to(folder)), x.stat().st_size, x.stat().st_mtime_ns) for x in files]
    return hashlib.sha256(repr(told).encode()).hexdigest()
