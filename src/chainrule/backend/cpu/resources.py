"""The memory that a plan takes on the CPU, and how its buffers lie in it."""

from __future__ import annotations

import numpy as np

from chainrule.backend.base import Memory
from chainrule.backend.cpu.emit.module import build
from chainrule.backend.cpu.layout import layout, lives, same_rows, strides
from chainrule.backend.cpu.machine import host
from chainrule.backend.cpu.run.driver import state_layout
from chainrule.costs.forecast import Placed
from chainrule.ir.kernel import Buffer
from chainrule.plan.plan import Plan


def memory(plan: Plan, max_rows: int, threads: int) -> Memory:
    """See Backend."""
    signature = plan.signature
    kept = layout(plan.updates if signature.overwrites else (), plan.twice, 0).end
    others = [b for b in plan.buffers if b.space != "state"]
    alive = lives(((x.operands for x in phase.tasks) for phase in plan.phases), plan.outputs)
    chains = ([(x.split, x.operands) for x in phase.tasks] for phase in plan.phases)
    same = same_rows(chains, plan.outputs, max_rows)
    fixed, each_row = build(plan, host(), max_rows).scratch
    return Memory(
        state=state_layout(signature).end + kept,
        work=layout(others, (), max_rows, alive, same).end,
        scratch=threads * (-(-(fixed + each_row * max_rows + 128) // 128) * 128),
    )


def placed(plan: Plan, max_rows: int) -> tuple[Placed, ...]:
    """See Backend."""
    sides, updates = set(plan.twice), set(plan.updates)
    found = [
        _place(b, max_rows, "old and new" if b in sides else "and a copy" * (b in updates))
        for b in plan.buffers
        if b.space in ("state", "work", "staged", "constant") and b.shape and b.part is None
    ]
    return tuple(sorted(found, key=lambda x: -x.bytes))


def _place(buffer: Buffer, rows: int, second: str) -> Placed:
    """The place of a buffer; `second` tells why it takes twice its bytes, if it does."""
    kinds = {
        "state": f"state, {second}" if second else "state", "work": "between kernels",
        "staged": "new rows of a state",
    }  # fmt: skip
    total = layout([buffer], [buffer] if second else [], rows).end
    widths = [d if isinstance(d, int) else rows for d in buffer.shape]
    step = strides(buffer, rows)[0]
    width = int(np.prod(widths[1:], dtype=np.int64))
    shape = " x ".join(map(str, widths))
    return Placed(buffer.name, shape, kinds.get(buffer.space, buffer.space), total, width, step)
