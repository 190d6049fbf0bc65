"""Launches, operations and bytes of a step on a graphics processor: `python -m bench.launches`.

They are counted in the kernels that would run there; no device is needed. It prints the table of
docs/devices.md.
"""

from __future__ import annotations

import chainrule as cr
from bench.cells import CELLS, Cell
from bench.device import LARGE
from bench.systems.chainrule import Chainrule
from chainrule.backend.gpu.emit.module import build
from chainrule.backend.gpu.layout import layout
from chainrule.backend.gpu.program import Traits
from chainrule.costs.work import work
from chainrule.engine.compile import build_split, plan_step
from chainrule.engine.step import Objective

GRAPHICS = Traits(float64=True, items=1024, local=48 * 1024)
"""Those of a graphics processor of NVIDIA."""


def row(network: Cell) -> str:
    """The row of a network."""
    model = Chainrule(network, "adam", 1).model()
    assert model.loss is not None
    plan = plan_step(build_split(Objective(model.graph, model.loss, cr.Adam())).body)
    program = build(plan, network.batch, GRAPHICS)
    counted = [work(task, network.batch) for task in plan.tasks]
    place = layout(program.signature, program.levels, network.batch, float64=True)
    several = f"1 for {program.steps} steps"
    launches = several if program.steps else str(len(program.launches) + 1)
    cells = [
        network.name, str(len(plan.tasks)), launches, f"{sum(x.flops for x in counted):.3g}",
        f"{sum(x.bytes for x in counted):.3g}", f"{place.state + place.work:.3g}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    print("| network | kernels | launches | FLOPs | bytes moved | bytes held |")
    print("|---|---:|---:|---:|---:|---:|")
    for network in (*CELLS, LARGE):
        print(row(network), flush=True)


if __name__ == "__main__":
    main()
