"""Machine code of steps and forward passes: what this process has made is not made again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from chainrule.backend.cpu.driver import Executable, executable
from chainrule.cachefolder import code_folder
from chainrule.forklock import fork_lock
from chainrule.graph.fingerprint import fingerprint
from chainrule.graph.graph import Graph
from chainrule.graph.node import Node
from chainrule.plan.build import plan_forward, plan_step
from chainrule.plan.plan import Plan
from chainrule.program import Step

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
        made = _known[digest, rows] = executable(plan(), rows, cache=code_folder())
        while len(_known) > KEPT:
            _known.popitem(last=False)
        return made
