"""Measures what an epoch over a stream takes: processor time and peak memory, by rows.

`python -m bench.streams` prints a row for each number of rows: the size of the store on disk, the
processor time of an epoch, that of the thread that trains, the peak memory of the process, which
also made the store, and the share of the time that it waited for data. `bench.streams 1000000
40000000` takes other numbers of rows.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

import chainrule as cr

ROWS = (300_000, 3_000_000, 30_000_000)
BLOCK = 100_000


def main() -> None:
    """Print the table; each row is measured in a process of its own."""
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measured(int(sys.argv[2]))))
        return
    print("      rows   store GB   processor s   training s   peak MB   waiting")
    for rows in map(int, sys.argv[1:] or ROWS):
        command = [sys.executable, "-m", "bench.streams", "--one", str(rows)]
        size, both, training, peak, waiting = json.loads(subprocess.check_output(command))
        print(f"{rows:10,} {size / 1e9:10.2f} {both:13.1f} {training:12.1f} {peak / 1e6:9.0f} "
              f"{waiting:9.1%}")  # fmt: skip


def measured(rows: int) -> tuple[int, float, float, int, float]:
    """The bytes of a store, processor seconds in all and of the training thread, peak, waiting."""
    stream = cr.data.stream(lambda: blocks(rows))
    x, t = cr.input("x", (32,)), cr.input("t", (), dtype="int32")
    logits = cr.dense(cr.mlp(x, [64, 32], "relu"), 2)
    model = cr.Model(logits, cr.cross_entropy(logits, t), seed=0)
    begun, here = time.process_time(), time.thread_time()
    model.fit(stream, epochs=1, batch_size=256, threads=1, verbose=False)
    both, training = time.process_time() - begun, time.thread_time() - here
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return stream.bytes, both, training, peak, float(stream.waiting or 0.0)


def blocks(rows: int) -> Iterator[dict[str, npt.NDArray[np.generic]]]:
    """Rows of 32 numbers and a class, block by block."""
    random = np.random.default_rng(0)
    for first in range(0, rows, BLOCK):
        x = random.normal(size=(min(BLOCK, rows - first), 32)).astype("float32")
        yield {"x": x, "t": (x[:, 0] > x[:, 1] * x[:, 2]).astype("int8")}


if __name__ == "__main__":
    main()
