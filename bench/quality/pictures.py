"""The quality of pictures: `python -m bench.quality.pictures [SET ...]` prints a table.

It runs `chainrule train` without options, as a process of its own, and a support vector machine of
scikit-learn on the pixels beside it. Test rows have no part in any choice: of Fashion-MNIST its own
test part, of the others a quarter of the rows, another one for each seed. `--page` puts the rows
into docs/quality.md, in the place of those of the same set and learner.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import chainrule as cr
from bench.machine import processor
from bench.process import ROOT, all_cores
from bench.quality.process import commit

SETS = {"digits": (8, 8), "mnist-5k": (28, 28), "fashion-mnist": (28, 28)}
"""The height and width of the pictures of a set of the catalogue."""
OWN_TEST = "fashion-mnist"
"""A set whose test part is a set of its own; a support vector machine would take an hour on it."""
LEARNERS = {"chainrule": "Chainrule", "vectors": "support vectors"}
HEAD = ("set", "learner", "trained on", "tested on", "accuracy, a seed each", "log loss",
        "processor seconds", "seconds", "peak memory", "commit", "load")  # fmt: skip
PAGE = ROOT / "docs" / "quality.md"
BEGIN, END = "<!-- pictures: begin -->", "<!-- pictures: end -->"
"""The marks around the table of the page."""

VECTORS = """
import json, sys, numpy as np
from sklearn.svm import SVC
parts = map(np.load, sys.argv[1:])
(x, y), (u, v) = ((f["x"].reshape(len(f["x"]), -1) / 255, f["y"]) for f in parts)
print(json.dumps({"accuracy": SVC(C=10).fit(x, y).score(u, v)}))
"""
"""The program of the support vector machine, on two files."""

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Found:
    """One run: its scores on the test rows, and what learning took."""

    accuracy: float
    log_loss: float | None
    processor_seconds: float
    seconds: float
    memory: int


def load(name: str, shape: tuple[int, int]) -> tuple[Array, Array]:
    """Pixels (n, h, w) and classes (n,) of a set of the catalogue, which has been fetched."""
    columns = dict(cr.data.read(name).to_dict())
    classes = columns.pop(next(x for x in columns if x in ("digit", "label")))
    pixels = np.stack([x.astype(np.uint8) for x in columns.values()], axis=1)
    return pixels.reshape(-1, *shape), classes.astype(str)


def write_parts(name: str, seed: int, folder: Path) -> tuple[int, int]:
    """Write train.npz and test.npz; returns how many rows each has."""
    x, y = load(name, SETS[name])
    if name == OWN_TEST:
        train, test = (x, y), load(f"{name}-test", SETS[name])
    else:
        order, cut = cr.data.shuffled(len(x), seed + 1000), len(x) // 4
        train, test = ((x[rows], y[rows]) for rows in (order[cut:], order[:cut]))
    for part, (pixels, classes) in {"train": train, "test": test}.items():
        np.savez(folder / part, x=pixels, y=classes)
    return len(train[1]), len(test[1])


def measured(learner: str, seed: int, quality: str, folder: Path) -> Found:
    """The scores of a learner on the parts in a folder, and what it took to learn."""
    command = [sys.executable, "-m", "chainrule", "train", "train.npz", "--task", "classification",
               "-o", "model", "--force", "--seed", str(seed), "--quality", quality]  # fmt: skip
    if learner == "vectors":
        command = [sys.executable, "-c", VECTORS, "train.npz", "test.npz"]
    begun = time.perf_counter()
    with (folder / "out.txt").open("w") as out:
        child = subprocess.Popen(command, cwd=folder, stdout=out, env=_variables())
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - begun
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    told = (folder / "out.txt").read_text()
    if learner == "chainrule":
        asked = [sys.executable, "-m", "chainrule", "evaluate", "model", "test.npz", "--json"]
        told = subprocess.run(
            asked, cwd=folder, env=_variables(), capture_output=True, text=True, check=True
        ).stdout
    scores = json.loads(told)
    scores = scores.get("metrics", scores)
    return Found(scores["accuracy"], scores.get("log_loss"), used.ru_utime + used.ru_stime, seconds,
                 used.ru_maxrss << 10)  # fmt: skip


def _variables() -> dict[str, str]:
    """The variables of a process that imports this checkout."""
    return os.environ | {"PYTHONPATH": str(ROOT / "src")}


def row(
    name: str, rows: tuple[int, int], learner: str, runs: Sequence[Found], load: float
) -> list[str]:
    """The cells of a row of the table; load: of the machine before the runs."""
    losses = [x.log_loss for x in runs if x.log_loss is not None]
    return [
        name, LEARNERS[learner], *(f"{x:,}" for x in rows),
        ", ".join(f"{x.accuracy:.4f}" for x in runs),
        f"{np.mean(losses):.4f}" if losses else "",
        *(f"{np.mean(x):,.0f}" for x in ([r.processor_seconds for r in runs],
                                         [r.seconds for r in runs])),
        f"{max(x.memory for x in runs) >> 20:,} MiB", commit(), f"{load:.1f}",
    ]  # fmt: skip


def table(rows: Iterable[Sequence[str]]) -> str:
    """Rows as Markdown, in the order of sets and learners."""
    order = [(name, shown) for name in SETS for shown in LEARNERS.values()]
    lines = sorted(rows, key=lambda x: order.index((x[0], x[1])))
    return "\n".join(f"| {' | '.join(x)} |" for x in (HEAD, ["---"] * len(HEAD), *lines))


def merged(page: str, rows: Iterable[Sequence[str]]) -> str:
    """A page whose table has some rows instead of those of the same set and learner."""
    head, _, rest = page.partition(BEGIN)
    old, _, tail = rest.partition(END)
    lines = [line.strip("|").split("|") for line in old.splitlines() if line][2:]
    lines = [[x.strip() for x in cells] for cells in lines]
    kept = {(x[0], x[1]): x for x in (*lines, *map(list, rows))}
    return f"{head}{BEGIN}\n\n{table(kept.values())}\n\n{END}{tail}"


def main() -> None:
    """Measure what the command line asks for, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"of {', '.join(SETS)}; all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--quality", default="balanced", choices=("fast", "balanced", "best"))
    parser.add_argument("--learners", nargs="+", default=list(LEARNERS), choices=LEARNERS)
    parser.add_argument("--page", action="store_true", help="put the rows into docs/quality.md")
    given = parser.parse_args()
    if unknown := set(given.sets) - set(SETS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; the sets are {', '.join(SETS)}")
    print(f"{processor()}, {len(all_cores())} processors, Python {platform.python_version()}")
    for name in given.sets or SETS:
        for learner in given.learners:
            if (name, learner) == (OWN_TEST, "vectors"):
                continue
            runs, before = [], os.getloadavg()[0]
            for seed in given.seeds:
                with tempfile.TemporaryDirectory() as folder:
                    rows = write_parts(name, seed, Path(folder))
                    runs.append(measured(learner, seed, given.quality, Path(folder)))
            found = row(name, rows, learner, runs, before)
            print(table([found]), flush=True)
            if given.page:
                PAGE.write_text(merged(PAGE.read_text(), [found]))


if __name__ == "__main__":
    main()
