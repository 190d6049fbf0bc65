"""Runs in worker processes, one at a time: their environment, cores and exit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.machine import processor
from bench.process import ROOT, Place, all_cores, environment, on
from bench.quality.learners import LEARNERS
from bench.quality.records import Run

PEERS = ROOT / ".venv-quality"


class RunError(Exception):
    """A learner that cannot learn a set."""


@dataclass(frozen=True)
class How:
    """The circumstances of runs.

    Attributes:
        threads: and cores of a run.
        limit: seconds of a run, at most.
        most: training and test rows, at most; None: all.
        tree: the folder of the checkout whose Chainrule runs.
    """

    threads: int
    limit: float
    most: int | None = None
    tree: Path = ROOT


def python(learner: str, how: How) -> str:
    """The interpreter that has a learner installed; ours runs this program, and the quick form."""
    own = LEARNERS[learner].ours or how.most is not None
    return sys.executable if own else str(PEERS / "bin" / "python")


def run(name: str, seed: int, learner: str, how: How) -> Run:
    """Runs in a new process, with empty caches.

    Raises:
        RunError: it failed, or took more than the limit.
    """
    job = {"name": name, "seed": seed, "learner": learner, "threads": how.threads,
           "most": how.most}  # fmt: skip
    load = os.getloadavg()[0]
    command = [python(learner, how), "-m", "bench.quality.worker", json.dumps(job)]
    answer = json.loads(done(command, how).splitlines()[-1])
    return Run(
        set=name, seed=seed, learner=learner, threads=how.threads, load=round(load, 2),
        commit=commit(how.tree), date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M"), **answer,
    )  # fmt: skip


def done(command: list[str], how: How) -> str:
    """The output of a process on some cores. Raises RunError."""
    with tempfile.TemporaryDirectory() as folder:
        where = Place(tuple(all_cores()[-how.threads :]), Path(folder))
        variables = environment(where) | {"PYTHONPATH": str(how.tree / "src")}
        with on(where.cores):
            try:
                ended = subprocess.run(
                    command, cwd=ROOT, env=variables, capture_output=True, text=True,
                    errors="replace", timeout=how.limit, check=False,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                raise RunError(f"not done after {how.limit:.0f} s") from None
    if ended.returncode:
        raise RunError(" ".join(ended.stderr.split()[-40:]) or f"status {ended.returncode}")
    return ended.stdout


def commit(tree: Path = ROOT) -> str:
    """The commit of a checkout, with a + if files have changed since; empty without git."""

    def git(*arguments: str) -> str:
        told = subprocess.run(
            ["git", *arguments], cwd=tree, capture_output=True, text=True, check=False
        )
        return told.stdout.strip()

    changed = git("status", "--porcelain", "--", "src", "bench/quality")
    return git("rev-parse", "--short=9", "HEAD") + ("+" if changed else "")


def machine() -> dict[str, Any]:
    """A plain description, without measurements."""
    return {
        "processor": processor(),
        "cores": len(all_cores()),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }
