"""One run in a process of its own: `python -m bench.quality.worker JOB`, JSON in, JSON out."""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.quality.learners import make
from bench.quality.scores import scores
from bench.quality.sets import SETS, load, sample, split

PACKAGES = ("numpy", "pandas", "llvmlite", "scikit-learn", "torch", "pytabkit")


def run(
    name: str, seed: int, learner: str, threads: int, most: int | None = None
) -> dict[str, Any]:
    """The scores of a learner on a set: the fields of a Run that only this process knows.

    At most `most` rows train, and as many test.
    """
    table = SETS[name]
    frame = load(name)
    train, test = (
        frame.iloc[sample(rows, most, seed)].reset_index(drop=True) for rows in split(name, seed)
    )
    del frame
    subject = make(learner, table, seed, threads)
    used, begun = processor_seconds(), time.perf_counter()
    subject.fit(train)
    seconds, used = time.perf_counter() - begun, processor_seconds() - used
    begun = time.perf_counter()
    predicted = subject.predict(test)
    asked = time.perf_counter() - begun
    labels = subject.labels if table.task == "classification" else None
    error, log_loss = scores(predicted, test[table.target].to_numpy(), labels)
    return {
        "error": error, "log_loss": log_loss, "seconds": seconds, "processor_seconds": used,
        "prediction_seconds": asked, "memory": peak_memory(), "rows": [len(train), len(test)],
        "settings": dict(subject.settings), "versions": versions(),
    }  # fmt: skip


def processor_seconds() -> float:
    """The processor seconds of all threads of this process and its finished children."""
    every = (resource.getrusage(x) for x in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(x.ru_utime + x.ru_stime for x in every)


def peak_memory() -> int:
    """The peak memory of this process in bytes (Linux only)."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ValueError("this system does not tell the peak memory of a process")


def versions() -> dict[str, str]:
    """The versions of Python and of installed packages."""
    every = {x.name.lower(): x.version for x in metadata.distributions()}
    return {"Python": platform.python_version()} | {x: every[x] for x in PACKAGES if x in every}


def main() -> None:
    """Answers on the pipe; the output of libraries goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    print(json.dumps(run(**json.loads(sys.argv[1])), default=str), file=answers)


if __name__ == "__main__":
    main()
