"""The products of an attention are tiles of sums in registers, with factors that need no copy."""

from __future__ import annotations

from functools import partial

import pytest

import chainrule as cr
from chainrule.backend.cpu.emit.blocks import blocks
from chainrule.backend.cpu.emit.tiling import tiling
from chainrule.backend.cpu.layout import argument
from chainrule.backend.cpu.machine import host
from chainrule.engine.compile import build_step, plan_step
from chainrule.graph import Graph
from chainrule.plan.affine import Analysis
from chainrule.plan.linearize import laid_out
from chainrule.plan.plan import Plan

pytest.importorskip("llvmlite")
ROWS = 32


def encoder(shared: int) -> Plan:
    """A step of one block of an encoder, whose positions are not pooled."""
    x, t = cr.input("x", (16, 32)), cr.input("t", (16,), dtype="int32")
    h = cr.transformer_encoder(x, 4, key_value_heads=shared)
    loss = cr.cross_entropy(cr.dense(h, 10), t)
    return plan_step(build_step(Graph(loss), loss, cr.SGD(0.1)))


@pytest.mark.parametrize("shared", [4, 2, 1])
def test_all_products_are_tiles(shared: int) -> None:
    """Forward: 4 projections, 2 of attention, 2 after it, 1 for the logits; backward two each."""
    count = 0
    for phase in encoder(shared).phases:
        for task in phase.tasks:
            if task.contraction is None:
                continue
            linear = laid_out(task.linear, task.operands, partial(argument, rows=ROWS))
            shape = tiling(Analysis(linear), task.contraction, host(), ROWS)
            direct = blocks(linear, task.contraction, host())
            assert direct is not None or (shape is not None and shape.left != "pack_scalar"), (
                task.kernel.name
            )
            count += 1
    assert count == 3 * 9
