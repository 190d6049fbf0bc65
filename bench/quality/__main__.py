"""The command: `python -m bench.quality [--only SET] [--learners NAME] [--seeds N]`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.machine import slug
from bench.process import ROOT, all_cores
from bench.quality.costs import COSTS
from bench.quality.learners import LEARNERS
from bench.quality.prepare import prepare
from bench.quality.process import PEERS, How, RunError, machine, run
from bench.quality.report import beside, markdown
from bench.quality.sets import QUICK_ROWS, QUICK_SETS, SEEDS, SETS
from bench.quality.store import Store
from bench.report import rewrite
from bench.systems import OURS

RESULTS = ROOT / "bench" / "results"
QUICK = Path(tempfile.gettempdir()) / "chainrule-quality-quick.json"
QUICK_LEARNERS = [f"{OURS} balanced", "forest", "boosting"]
"""Those of the quick form, which need no environment of their own."""
PAGE = ROOT / "docs" / "quality.md"
PICTURE = ROOT / "docs" / "assets" / "quality.svg"
SHOWN = "![Test errors of each learner on each set](assets/quality.svg)"

QUICK_HELP = (
    f"minutes: at most {QUICK_ROWS:,} rows of each set but images, one seed, and "
    f"{', '.join(QUICK_LEARNERS)} in this environment; results in {QUICK}, or in --results"
)

Job = tuple[str, int, str]
"""Set, seed, learner."""


def main() -> None:
    """Does the missing runs one after another; updates the page if none is left out."""
    options = arguments()
    described = machine()
    name = slug(f"quality {described['processor']} {described['cores']} cores")
    path = options.results or RESULTS / f"{name}.json"
    if options.quick:
        quick(options)
        return
    whole = not (options.only or options.learners or options.seeds or options.costs)
    if options.page:
        renew(path)
        return
    store = Store(path, described)
    failed = 0
    if not options.costs:
        how = How(options.threads, options.limit, tree=options.tree)
        failed += attempt(undone(options, store), store, how)
    if options.costs or whole:
        failed += weigh(store, options.again)
    if failed:
        raise SystemExit(f"{failed} runs failed; the same command tries them again")
    if whole:
        renew(path)


def quick(options: argparse.Namespace) -> None:
    """Does the runs of the quick form that are missing in its file, and compares two files."""
    options.only, options.seeds = options.only or QUICK_SETS, options.seeds or [SEEDS[0]]
    options.learners = options.learners or QUICK_LEARNERS
    store = Store(options.results or QUICK, machine())
    how = How(options.threads, options.limit, QUICK_ROWS, options.tree)
    failed = attempt(undone(options, store), store, how)
    print(beside(list(store), list(Store(options.beside)) if options.beside else []))
    if failed:
        raise SystemExit(f"{failed} runs failed; the same command tries them again")


def undone(options: argparse.Namespace, store: Store) -> list[Job]:
    """The requested runs that are not stored yet; prepares their tables."""
    wanted = jobs(
        options.only or list(SETS), options.seeds or SEEDS, options.learners or list(LEARNERS)
    )
    left = [x for x in wanted if options.again or x not in store]
    tell(f"{len(wanted)} runs, {len(wanted) - len(left)} of them done before")
    if not options.quick:
        needed(left)
    for name in dict.fromkeys(x[0] for x in left):
        prepare(name)
    return left


def needed(left: Sequence[Job]) -> None:
    """Raises SystemExit if the environment of the peers is needed and missing."""
    if any(not LEARNERS[x].ours for _, _, x in left) and not (PEERS / "bin" / "python").exists():
        raise SystemExit("the peers are not installed: `make quality` installs and measures")


def attempt(left: Sequence[Job], store: Store, how: How) -> int:
    """Runs and stores; returns the number of failures."""
    failed = 0
    for k, (name, seed, learner) in enumerate(left):
        tell(f"{k + 1} of {len(left)}: {name}, seed {seed}, {learner}")
        begun = time.perf_counter()
        try:
            found = run(name, seed, learner, how)
        except RunError as error:
            failed += 1
            tell(f"  failed after {time.perf_counter() - begun:.0f} s: {error}")
            continue
        store.add(found)
        tell(f"  error {found.error:.5g}, {found.processor_seconds:.1f} processor seconds")
    return failed


def weigh(store: Store, again: bool) -> int:
    """Measures complete commands and stores their costs; returns the number of failures."""
    failed = 0
    for name, cost in COSTS.items():
        if name in store.extras and not again:
            continue
        tell(name)
        try:
            store.note(name, cost())
        except RunError as error:
            failed += 1
            tell(f"  failed: {error}")
    return failed


def renew(path: Path) -> None:
    """Writes results into the page of the documentation, and draws its picture."""
    python = str(PEERS / "bin" / "python")
    command = [python, "-m", "bench.quality.plot", str(path), str(PICTURE)]
    subprocess.run(command, cwd=ROOT, check=True)
    page = rewrite(PAGE.read_text("utf-8"), f"{SHOWN}\n\n{markdown(Store(path))}")
    PAGE.write_text(page, encoding="utf-8", newline="\n")
    tell(f"wrote {PAGE.relative_to(ROOT)} and {PICTURE.relative_to(ROOT)}")


def jobs(only: Sequence[str], seeds: Sequence[int], learners: Sequence[str]) -> list[Job]:
    """The runs: for each seed all learners on all sets, so that an early end has all of them."""
    return [(x, seed, learner) for seed in seeds for x in only for learner in learners]


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.quality", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], choices=SETS, metavar="SET",
                        help=f"these sets: {', '.join(SETS)}")  # fmt: skip
    parser.add_argument("--seeds", nargs="+", type=int, default=[], choices=SEEDS, metavar="SEED",
                        help="these seeds, of 0 to 4")  # fmt: skip
    parser.add_argument("--learners", nargs="+", default=[], choices=LEARNERS,
                        metavar="NAME", help=f"these learners: {', '.join(LEARNERS)}")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help=QUICK_HELP)
    parser.add_argument(
        "--beside",
        type=Path,
        metavar="FILE",
        help="with --quick: the results of another run, to compare with",
    )
    parser.add_argument("--tree", type=Path, default=ROOT, metavar="FOLDER",
                        help="another checkout, whose Chainrule runs")  # fmt: skip
    parser.add_argument("--costs", action="store_true", help="whole commands alone")
    parser.add_argument("--page", action="store_true", help="measure nothing; renew the page")
    parser.add_argument("--again", action="store_true", help="also what is done before")
    parser.add_argument("--threads", type=int, default=len(all_cores()),
                        help="and cores of a run; all by default")  # fmt: skip
    parser.add_argument("--limit", type=float, default=3600, help="seconds of a run, at most")
    parser.add_argument("--results", type=Path, help="the file that keeps them")
    return parser.parse_args()


def tell(sentence: str) -> None:
    """Prints progress."""
    print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
