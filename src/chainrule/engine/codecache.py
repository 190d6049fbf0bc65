"""Machine code of steps and forward passes, cached in the process and on disk."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cache

from chainrule.backend.base import Executable
from chainrule.backend.cpu.emit.order import order_function
from chainrule.backend.cpu.machine import host
from chainrule.backend.cpu.run.caller import compile_caller, load_caller, supported
from chainrule.backend.cpu.run.jit import Code, compiled
from chainrule.backend.registry import find_backend
from chainrule.engine.compile import machine_code, plan_forward, plan_step
from chainrule.graph.fingerprint import fingerprint
from chainrule.graph.graph import Graph
from chainrule.graph.node import Node
from chainrule.graph.step import Step
from chainrule.plan.plan import Plan
from chainrule.system.cachedir import code_folder
from chainrule.system.diskcache import cached, sources
from chainrule.system.forklock import fork_lock

MAX_CACHED = 64
"""The most executables that are cached; the least recently used go first."""

_known: OrderedDict[tuple[bytes, int, str], Executable] = OrderedDict()
_lock = fork_lock()


def step_code(step: Step, rows: int, device: str = "cpu") -> Executable:
    """The code of a training step on minibatches of up to `rows` rows."""
    return _code(step.graph, step.digest, rows, device, lambda: plan_step(step))


def forward_code(
    graph: Graph, outputs: Sequence[Node], rows: int, device: str = "cpu"
) -> Executable:
    """The code of a forward pass, specialised already, on up to `rows` rows at a time."""
    digest = fingerprint(graph, outputs)
    return _code(graph, digest, rows, device, lambda: plan_forward(graph, outputs))


@cache
def caller_code() -> Code | None:
    """The function by which Python calls forward passes; None where the interpreter has none."""
    if not supported():
        return None
    with _lock:
        target = find_backend("native").target()
        file = cached(code_folder(), f"caller {sources()}", target, lambda: compile_caller(host()))
        return load_caller(file, host())


@cache
def order_code() -> Code:
    """The function that shuffles rows; see backend/cpu/emit/order.py."""
    with _lock:
        target = find_backend("native").target()
        file = cached(
            code_folder(), f"order {sources()}", target,
            lambda: compiled(order_function(), host()),
        )  # fmt: skip
        return Code([file], host())


def _code(
    graph: Graph, digest: bytes, rows: int, device: str, plan: Callable[[], Plan]
) -> Executable:
    own_ops = not any(x.op.serial for x in graph.operations)  # others may change with their code
    with _lock:
        backend = find_backend(device)
        key = digest, rows, backend.name
        if key in _known:
            _known.move_to_end(key)
            return _known[key]
        made_from = f"{digest.hex()} {rows} {sources()}"
        file = cached(
            code_folder() if own_ops else None,
            made_from,
            backend.target(),
            lambda: machine_code(plan(), backend, rows),
        )
        made = _known[key] = backend.load(file, rows)
        while len(_known) > MAX_CACHED:
            _known.popitem(last=False)
        return made
