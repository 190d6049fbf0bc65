"""The command: `python -m bench.quality [--only SET] [--learners NAME] [--seeds N]`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.machine import slug
from bench.process import ROOT
from bench.quality.learners import LEARNERS
from bench.quality.prepare import prepare
from bench.quality.process import PEERS, RunError, machine, run
from bench.quality.records import Store
from bench.quality.sets import SEEDS, SETS

RESULTS = ROOT / "bench" / "results"

Job = tuple[str, int, str]
"""Set, seed, learner."""


def main() -> None:
    """Do the runs that are not kept yet, one after another; renew the page after the last one."""
    options = arguments()
    described = machine()
    name = slug(f"quality {described['processor']} {described['cores']} cores")
    store = Store(options.results or RESULTS / f"{name}.json", described)
    wanted = jobs(options.only, options.seeds, options.learners)
    left = [x for x in wanted if options.again or x not in store]
    tell(f"{len(wanted)} runs, {len(wanted) - len(left)} of them done before")
    needed(left)
    for name in dict.fromkeys(x[0] for x in left):
        prepare(name)
    failed = attempt(left, store, options.threads, options.limit)
    if failed:
        raise SystemExit(f"{failed} runs failed; the same command tries them again")


def needed(left: Sequence[Job]) -> None:
    """Raises SystemExit where the environment of the peers is needed and not there."""
    if any(not LEARNERS[x].ours for _, _, x in left) and not (PEERS / "bin" / "python").exists():
        raise SystemExit("the peers are not installed: `make quality` installs and measures")


def attempt(left: Sequence[Job], store: Store, threads: int, limit: float) -> int:
    """Run and keep; how many failed."""
    failed = 0
    for k, (name, seed, learner) in enumerate(left):
        tell(f"{k + 1} of {len(left)}: {name}, seed {seed}, {learner}")
        begun = time.perf_counter()
        try:
            found = run(name, seed, learner, threads, limit)
        except RunError as error:
            failed += 1
            tell(f"  failed after {time.perf_counter() - begun:.0f} s: {error}")
            continue
        store.add(found)
        tell(f"  error {found.error:.5g}, {found.processor_seconds:.1f} processor seconds")
    return failed


def jobs(only: Sequence[str], seeds: Sequence[int], learners: Sequence[str]) -> list[Job]:
    """What is to run: for each seed all learners on all sets, so that an early end has them all."""
    return [(x, seed, learner) for seed in seeds for x in only for learner in learners]


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m bench.quality", description=__doc__)
    parser.add_argument("--only", nargs="+", default=list(SETS), choices=SETS, metavar="SET",
                        help=f"these sets: {', '.join(SETS)}")  # fmt: skip
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS), metavar="SEED",
                        help="these seeds, of 0 to 4")  # fmt: skip
    parser.add_argument("--learners", nargs="+", default=list(LEARNERS), choices=LEARNERS,
                        metavar="NAME", help=f"these learners: {', '.join(LEARNERS)}")  # fmt: skip
    parser.add_argument("--again", action="store_true", help="also what is done before")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)),
                        help="and cores of a run; all by default")  # fmt: skip
    parser.add_argument("--limit", type=float, default=3600, help="seconds of a run, at most")
    parser.add_argument("--results", type=Path, help="the file that keeps them")
    return parser.parse_args()


def tell(sentence: str) -> None:
    """Say what goes on."""
    print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
