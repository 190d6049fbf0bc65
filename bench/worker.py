"""A process with one system that serves requests: a line of JSON in, a line out."""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.cells import CELLS, Array, Cell, data
from bench.features import hold_llvm
from bench.systems import System, make

MOST_EPOCHS = 5_000
WAIT = 300
"""The time after which a model gives up waiting for the other one, in seconds."""


class Desk:
    """The requests: every method is one, its arguments are those of the JSON."""

    def __init__(self) -> None:
        self._systems: list[System] = []
        self._epoch = 0.0
        self._rows: dict[int, Array] = {}

    def open(
        self, system: str, network: str, optimizer: str, threads: int, models: int, epochs: int
    ) -> float:
        """Prepares training; returns the loss after the epochs, which shows that it learns."""
        self._network = named(network)
        made = (make(system, self._network, optimizer, threads) for _ in range(models))
        self._systems = list(made)
        _, loss = self._systems[0].train(epochs, lambda: None)
        seconds, _ = self._systems[0].train(1, lambda: None)
        self._epoch = max(seconds, 1e-6)
        return loss

    def check(self) -> float:
        """The loss of the third of three steps from the start, on the first rows in order."""
        return self._systems[0].check()

    def first(self, system: str, network: str, optimizer: str, threads: int) -> float:
        """The time from the definition of a model to the end of its first step, in seconds."""
        one = replace(named(network), batches=1)
        made = make(system, one, optimizer, threads)
        begun = time.perf_counter()
        made.first()
        return time.perf_counter() - begun

    def train(self, seconds: float) -> float:
        """Trains all models at once for about this time; returns the seconds of a step of each."""
        epochs = max(1, min(MOST_EPOCHS, math.ceil(seconds / self._epoch)))
        together = threading.Barrier(len(self._systems), timeout=WAIT)
        times: list[float] = []

        def train(system: System) -> None:
            times.append(system.train(epochs, together.wait)[0])

        threads = [threading.Thread(target=train, args=(x,)) for x in self._systems[1:]]
        for thread in threads:
            thread.start()
        train(self._systems[0])
        for thread in threads:
            thread.join()
        self._epoch = max(max(times) / epochs, 1e-6)
        return self._epoch / self._network.batches

    def reads(self, system: str, network: str, threads: int) -> None:
        """Prepares prediction."""
        self._network = named(network)
        self._systems = [make(system, replace(self._network, batches=1), "sgd", threads)]

    def predict(self, rows: int, seconds: float) -> float:
        """Predicts the rows repeatedly for about this time; returns the seconds of a call."""
        if rows not in self._rows:
            self._rows[rows] = data(self._network, rows)[0]
        x = self._rows[rows]
        predict = self._systems[0].predict
        if predict(x).shape[0] != rows:
            raise ValueError("not an output a row")
        once = timed(lambda: predict(x), 1)
        count = max(1, math.ceil(seconds / max(once, 1e-6)))
        return timed(lambda: predict(x), count)

    def memory(self) -> int:
        """The peak memory of this process in bytes (Linux only)."""
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise ValueError("this system does not tell the peak memory of a process")


def named(network: str) -> Cell:
    """The network of that name."""
    return next(x for x in CELLS if x.name == network)


def timed(call: Callable[[], object], count: int) -> float:
    """Mean seconds of a call."""
    begun = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - begun) / count


def main() -> None:
    """Answers requests until the pipe ends; the output of libraries goes to standard error."""
    hold_llvm()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    desk = Desk()
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        try:
            answer = {"is": getattr(desk, request.pop("do"))(**request)}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
