"""The cost of one command, from its start to the saved model: time and peak memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import chainrule as cr
from bench.process import ROOT, Place, all_cores, environment
from bench.quality.prepare import prepare
from bench.quality.process import RunError, commit
from bench.quality.sets import SETS, Frame, load, split
from bench.quality.wide import TARGET, wide

ROUNDS = 3
"""The number of runs on Adult; the large table has one."""


def adult() -> dict[str, Any]:
    """`fast` on the training rows of Adult, with nothing compiled before, then again."""
    prepare("adult")
    train, test = (load("adult").iloc[rows] for rows in split("adult", 0))
    return _trained(train, test, SETS["adult"].target, "fast", ROUNDS)


def large() -> dict[str, Any]:
    """`balanced` on 300,000 rows and 40 mixed columns, with nothing compiled before."""
    (train, _), (test, chances) = wide(), wide(30_000, seed=1)
    least = {"least_error": float(1 - chances.max(axis=1).mean())}  # of who knows the law
    return _trained(train, test, TARGET, "balanced", 1) | least


COSTS = {"adult, fast": adult, "300,000 x 40, balanced": large}


def _trained(train: Frame, test: Frame, target: str, quality: str, rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, model = folder / "train.csv", folder / "model"
        train.to_csv(source, index=False)
        command = [
            sys.executable, "-m", "chainrule", "train", str(source), "--target", target,
            "--quality", quality, "--output", str(model), "--force", "--quiet",
        ]  # fmt: skip
        found = [_cost(command, folder) for _ in range(rounds)]
        (file,) = model.glob("*.safetensors")
        predicted = cr.load(file).predict(test.drop(columns=target)).labels
    truth = test[target].to_numpy()
    return {
        "command": f"chainrule train train.csv --target {target} --quality {quality}",
        "rows": len(train), "columns": len(train.columns) - 1, "cores": len(all_cores()),
        "seconds": [x[0] for x in found], "processor_seconds": [x[1] for x in found],
        "memory": max(x[2] for x in found), "load": round(os.getloadavg()[0], 2),
        "error": float((predicted.astype(str) != truth.astype(str)).mean()), "commit": commit(),
    }  # fmt: skip


def _cost(command: list[str], folder: Path) -> tuple[float, float, int]:
    """Seconds, processor seconds and peak bytes of a command. Raises RunError if it fails."""
    variables = environment(Place(tuple(all_cores()), folder))
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        begun = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        if process.returncode:
            raise RunError(" ".join(said.read().split()[-40:]))
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024  # Linux: in KiB
