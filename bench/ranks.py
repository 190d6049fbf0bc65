"""Measures training on two ranks: its speed against one process, and what exchanging sums takes.

`python -m bench.ranks` prints a row for each network of three layers: the time of a step of one
process with 256 rows, that of two ranks with 512, each on one thread, how many times as many rows
two ranks do, the sums of a step, the time that adding those of both takes, and how much of the step
follows the last block until all are added: that share is not hidden behind computing. Times are
medians over epochs, on an idle machine of two processors or more. With `--messages` sums are
exchanged as between machines, and not added in memory that both ranks have in common;
`--bandwidth 1e9` exchanges them no faster than a network of so many bytes a second would; with
`--in-turn` nothing is exchanged beside computing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import chainrule as cr
from chainrule.engine import blocks
from chainrule.engine.commonsum import common_totals
from chainrule.engine.treesum import TreeSum
from chainrule.system.ranks.communicator import Array, Communicator, Messages
from chainrule.system.ranks.world import acting_as, world

WIDTHS = (128, 256, 512, 1024, 2048)
ROWS = 256
"""Rows of a step for each rank."""
EPOCHS, STEPS, FIRST = 8, 16, 2
"""Epochs, the steps of each, and the first epochs, which do not count."""
LAUNCH = ("-n", "2", "--oversubscribe", "--allow-run-as-root")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.ranks", description=__doc__)
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    parser.add_argument("--bandwidth", type=float, help="bytes a second between two ranks")
    parser.add_argument("--messages", action="store_true", help="no memory in common")
    parser.add_argument("--in-turn", action="store_true", help="compute, then exchange")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure:
        messages = options.messages or options.in_turn or options.bandwidth is not None
        ranks = Slower(
            world(), options.bandwidth, messages=messages, beside=not options.in_turn
        )  # fmt: skip
        found = measured(options.measure, ranks)
        if world().rank == 0:
            print(json.dumps(found))
        return
    more = ["--in-turn"] if options.in_turn else []
    more += ["--messages"] if options.messages else []
    more += ["--bandwidth", str(options.bandwidth)] if options.bandwidth else []
    print("width   one ms   two ms   times   sums MB     adding ms   waiting ms   not hidden")
    for width in options.widths:
        one, two = started([], width, []), started([mpiexec(), *LAUNCH], width, more)
        times = 2 * one["step"] / two["step"]
        print(f"{width:5}{one['step']:9.2f}{two['step']:9.2f}{times:8.2f}{two['sums']:10.2f}"
              f"{two['exchange']:14.2f}{two['waiting']:13.2f}{two['waiting'] / two['step']:13.1%}",
              flush=True)  # fmt: skip


def mpiexec() -> str:
    """The launcher beside this Python, or that of the system."""
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        raise SystemExit("no mpiexec; fix: pip install 'chainrule[mpi]'")
    return found


def started(launcher: list[str], width: int, more: list[str]) -> dict[str, float]:
    """What the processes of a measurement found."""
    command = [*launcher, sys.executable, "-m", "bench.ranks", "--measure", str(width), *more]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return found


class Slower:
    """Ranks whose messages take as long as on a network of so many bytes a second."""

    def __init__(
        self, ranks: Communicator, bandwidth: float | None, *, messages: bool, beside: bool
    ) -> None:
        self._ranks, self._bandwidth, self._messages = ranks, bandwidth, messages
        self.rank, self.size, self.grouped = ranks.rank, ranks.size, ranks.grouped
        self.beside = ranks.beside and beside
        self.watch, self.check, self.abort = ranks.watch, ranks.check, ranks.abort
        self.bytes = 0

    def common(self, size: int) -> Array | None:
        """See Communicator."""
        return None if self._messages else self._ranks.common(size)

    def exchange(self, sent: Messages, received: Messages) -> None:
        """See Communicator."""
        begun, size = time.monotonic(), sum(x.nbytes for _, x in sent)
        self._ranks.exchange(sent, received)
        self.bytes += size
        if self._bandwidth:
            time.sleep(max(0.0, begun + size / self._bandwidth - time.monotonic()))


def measured(width: int, ranks: Slower) -> dict[str, float]:
    """Milliseconds of a step, of adding the sums of ranks and waiting for them; their megabytes."""
    x, t = cr.input("x", (width,)), cr.input("t", (), dtype="int32")
    logits = cr.dense(cr.mlp(x, (width, width), "relu"), 10)
    model = cr.Model(logits, cr.cross_entropy(logits, t), seed=0)
    random, rows = np.random.default_rng(0), STEPS * ROWS * ranks.size
    data = {
        "x": random.normal(size=(rows, width)).astype("float32"),
        "t": random.integers(0, 10, rows).astype("int32"),
    }
    exchanging, waiting, ended = list[float](), list[float](), [0.0]
    totals, run = blocks.BlockRunner._totals, blocks.Rows.run

    def timed(total: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def timed_total(sums: Any) -> Any:
            begun = time.perf_counter()
            found = total(sums)
            exchanging.append(time.perf_counter() - begun)
            return found

        return timed_total

    def timed_run(self: Any, part: Any) -> bool:
        found = run(self, part)
        ended[0] = time.perf_counter()
        return found

    def timed_totals(self: Any, *given: Any) -> Any:
        found = totals(self, *given)
        waiting.append(time.perf_counter() - ended[0])
        return found

    with (
        patch.object(TreeSum, "total", timed(TreeSum.total)),
        patch.object(blocks, "common_totals", timed(common_totals)),
        patch.object(blocks.Rows, "run", timed_run),
        patch.object(blocks.BlockRunner, "_totals", timed_totals),
        acting_as(ranks),
    ):
        model.fit(
            data, epochs=EPOCHS, batch_size=ROWS * ranks.size, optimizer=cr.Adam(1e-3), threads=1,
            validation=None, keep_best=False, verbose=False,
        )  # fmt: skip
    whole = 1e3 * float(np.median(np.diff(model.history["seconds"])[FIRST:])) / STEPS
    if not ranks.grouped:
        return {"step": whole}
    shared = model.plan(ROWS * ranks.size, ranks=ranks.size).shared
    assert shared is not None
    each, first = np.reshape(exchanging, (EPOCHS * STEPS, -1)).sum(1), FIRST * STEPS
    return {
        "step": whole,
        "sums": shared.sums / 1e6,
        "exchange": 1e3 * float(np.median(each[first:])),
        "waiting": 1e3 * float(np.median(waiting[first:])),
    }


if __name__ == "__main__":
    main()
