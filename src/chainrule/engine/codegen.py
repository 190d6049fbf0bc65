"""From graphs to executables, as bytes to keep: passes, plan, module, object file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chainrule.backend.cpu.emit.module import build
from chainrule.backend.cpu.machine import host
from chainrule.backend.cpu.run.jit import compiled
from chainrule.backend.cpu.run.microbench import likely
from chainrule.backend.cpu.run.serialize import pack
from chainrule.backend.cpu.run.tuner import MOST_THREADS
from chainrule.costs.cost import best_threads
from chainrule.graph.graph import Graph
from chainrule.graph.node import Node
from chainrule.graph.step import Step
from chainrule.plan.pipeline import plan_forward, plan_step
from chainrule.plan.plan import Plan


def compile_step(step: Step, rows: int, folder: Path | None) -> bytes:
    """A training step on minibatches of up to `rows` rows.

    Args:
        step: what to compile.
        rows: of a minibatch.
        folder: where the speeds of this machine may be found.
    """
    return _packed(plan_step(step), rows, folder)


def compile_forward(graph: Graph, outputs: Sequence[Node], rows: int, folder: Path | None) -> bytes:
    """A forward pass, specialised already; see `compile_step`."""
    return _packed(plan_forward(graph, outputs), rows, folder)


def _packed(plan: Plan, rows: int, folder: Path | None) -> bytes:
    machine = host()
    program = build(plan, machine, rows)
    threads = best_threads(plan, rows, MOST_THREADS, likely(folder))
    return pack(plan, program, compiled(program.text, machine), threads)
