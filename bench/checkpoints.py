"""Measures what a checkpoint takes from training: processor time, by size of the state.

`python -m bench.checkpoints` prints a row for each network: the state that is written, the
processor time on the thread that trains, which copies it, and on the thread that writes it, each
the least of several, and their share of the time of all processors at one checkpoint a minute.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

import numpy as np

import chainrule as cr
from chainrule.model.checkpoints import CheckpointFolder, Snapshot
from chainrule.model.resume import Survival
from chainrule.system.processors import processors
from chainrule.train.loop import Run

T = TypeVar("T")

MINUTE = 60.0
TIMES = 5
"""Checkpoints of each network, of which the one that takes least counts."""
WIDTHS = (64, 512, 2048)


def main() -> None:
    """Print the table."""
    print("state MB   copying ms   writing ms   share at one a minute")
    for width in WIDTHS:
        size, copying, writing = measured(width)
        share = (copying + writing) / (MINUTE * processors())
        print(f"{size / 2**20:8.1f} {1e3 * copying:12.2f} {1e3 * writing:12.1f} {share:14.3%}")


def measured(width: int) -> tuple[int, float, float]:
    """The bytes of a state, and the processor seconds to copy and to write it."""
    x, t = cr.input("x", (width,)), cr.input("t", (), dtype="int32")
    logits = cr.dense(cr.dense(x, width, "relu"), 10)
    model = cr.Model(logits, cr.cross_entropy(logits, t), seed=0)
    random = np.random.default_rng(0)
    data = {
        "x": random.normal(size=(64, width)).astype("float32"),
        "t": random.integers(0, 10, 64).astype("int32"),
    }
    copying, writing = list[float](), list[float]()
    snapshot, write = Survival._snapshot, CheckpointFolder.write

    def timed_snapshot(self: Survival, run: Run) -> Snapshot:
        return timed(copying, lambda: snapshot(self, run))

    def timed_write(self: CheckpointFolder, made: Snapshot) -> None:
        timed(writing, lambda: write(self, made))

    with (
        patch.object(Survival, "_snapshot", timed_snapshot),
        patch.object(CheckpointFolder, "write", timed_write),
        tempfile.TemporaryDirectory() as folder,
    ):
        for k in range(TIMES):
            kept = cr.Checkpoint(Path(folder) / str(k), every=0, keep=1)
            model.untrained().fit(
                data, epochs=2, optimizer=cr.Adam(), checkpoint=kept, verbose=False
            )
        size = max(x.stat().st_size for x in Path(folder).rglob("step-*"))
    return size, min(copying), min(writing)


def timed(to: list[float], work: Callable[[], T]) -> T:
    """Do some work; its processor time on this thread is added to a list."""
    begun = time.thread_time()
    found = work()
    to.append(time.thread_time() - begun)
    return found


if __name__ == "__main__":
    main()
