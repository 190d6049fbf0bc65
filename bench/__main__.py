"""The command: `python -m bench [--quick] [--only TEXT] [...]`; `make bench` calls it."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench import measure, startup
from bench.cells import CELLS
from bench.designs import DESIGNS
from bench.features import CHOSEN, VARIABLES, hold_llvm
from bench.machine import machine, slug
from bench.measure import Settings
from bench.process import CACHE, ROOT, WorkerError, python
from bench.records import Record
from bench.report import markdown, rewrite
from bench.systems import OURS, OWN, SYSTEMS

PAGE = ROOT / "docs" / "benchmark.md"
PICTURE = ROOT / "docs" / "assets" / "benchmark.svg"
SHOWN = "![Time of a training step of each system, in times of Chainrule's](assets/benchmark.svg)"
RESULTS = ROOT / "bench" / "results"
PARTIAL = "partial"
"""The name of partial results, which never change the page."""

SOME = ("64-64-10", "784-128-10", "20-256-256-2")
"""The networks of two models at once, and of a busy machine."""
QUICK = ("64-64-10", "784-512-512-10")
"""The networks of a quick run."""
COMPARED = "64-64-10"
"""The network whose first step is compared with that of peers, which takes minutes."""


@dataclass(frozen=True)
class Part:
    """A part of the run: a measurement, its networks and its systems."""

    group: str
    measure: Callable[[Settings], Iterator[Record]]
    networks: Sequence[str] = ()
    systems: Sequence[str] = tuple(SYSTEMS)


ALL = tuple(x.name for x in CELLS)
NEW = tuple(x.name for x in DESIGNS)
ANSWERING = [*OWN, *(x for x in SYSTEMS if x != "JAX scan")]
"""The systems of a prediction."""
PARTS = (
    Part("import", startup.imports),
    Part("installed size", startup.sizes),
    Part("first step", startup.first_steps, [COMPARED]),
    Part("first step", startup.first_steps, [x for x in ALL if x != COMPARED], [OURS]),
    Part("training", measure.training, ALL),
    Part("prediction", measure.prediction, ("4-16-3", *SOME, *NEW), ANSWERING),
    Part("two models", measure.together, SOME),
    Part("busy machine", measure.busy, SOME),
)


def main() -> None:
    """Measures, writes and prints the results; a complete run also updates the page."""
    options = arguments()
    if options.page:
        renew(Path(options.page))
        return
    os.environ[CHOSEN] = options.features
    hold_llvm()
    if not Path(python("peers")).exists():
        raise SystemExit("the peers are not installed: `make bench` installs and measures")
    begun = time.perf_counter()
    CACHE.mkdir(parents=True, exist_ok=True)
    rounds = options.rounds or (2 if options.quick else 5)
    seconds = 0.1 if options.quick else 0.2
    described = machine()
    records = list(measured(parts(options.only, options.quick), rounds, seconds))
    minutes = (time.perf_counter() - begun) / 60
    saved: dict[str, Any] = {
        "machine": described,
        "settings": {"rounds": rounds, "seconds": seconds, "minutes": round(minutes, 1)},
        "records": [asdict(x) for x in records],
    }
    whole = not (options.quick or options.only)
    place = f"{described['processor']} {described['cores']} cores {options.features}"
    name = slug(place) if whole else PARTIAL
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(saved, indent=1) + "\n", encoding="utf-8")
    print(text(saved))
    tell(f"{minutes:.1f} minutes; wrote {path.relative_to(ROOT)}")
    if whole and not options.features:
        renew(path)


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer networks and rounds")
    names = [*dict.fromkeys(x.group for x in PARTS), *ALL, *SYSTEMS]
    parser.add_argument(
        "--only", nargs="+", default=[], choices=names, metavar="NAME",
        help=f"these groups, networks or peers: {', '.join(names)}",
    )  # fmt: skip
    parser.add_argument(
        "--features", choices=VARIABLES, default="",
        help="hold all systems to the vectors of an older processor; the page stays as it is",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, help="samples of each system in each cell")
    parser.add_argument("--page", metavar="JSON", help="measure nothing; renew the page from this")
    return parser.parse_args()


def parts(only: Sequence[str], quick: bool) -> list[Part]:
    """The parts of a run; given names of one kind (groups, networks, systems) exclude others."""

    def kept(names: Sequence[str], otherwise: Sequence[str] = ()) -> list[str]:
        return [x for x in names if x in only] or list(otherwise or names)

    groups = kept(list(dict.fromkeys(x.group for x in PARTS)))
    networks = kept(ALL, QUICK if quick else ALL)
    systems = [OURS, *OWN, *kept([x for x in SYSTEMS if x != OURS])]
    found = []
    for part in PARTS:
        own = [x for x in part.networks if x in networks]
        if part.group in groups and (own or not part.networks):
            able = [x for x in systems if x in part.systems]
            found.append(replace(part, networks=own, systems=able))
    return found


def measured(parts: Sequence[Part], rounds: int, seconds: float) -> Iterator[Record]:
    """Yields all records of the parts; a network on which a worker dies is skipped."""
    for part in parts:
        for networks in [[x] for x in CELLS if x.name in part.networks] or [[]]:
            try:
                yield from part.measure(Settings(part.systems, networks, rounds, seconds, tell))
            except WorkerError as error:
                tell(f"  given up: {error}")


def text(saved: Mapping[str, Any]) -> str:
    """The Markdown of saved results."""
    settings = saved["settings"]
    sentence = (
        f"Medians of {settings['rounds']} rounds, each sample about {settings['seconds']} s of "
        f"work; the run took {settings['minutes']} minutes."
    )
    return markdown(saved["machine"], [Record(**x) for x in saved["records"]], sentence)


def tell(sentence: str) -> None:
    """Prints progress, separately from the results."""
    print(sentence, file=sys.stderr, flush=True)


def renew(path: Path) -> None:
    """Writes results into the page of the documentation, and draws its picture."""
    saved = json.loads(path.read_text(encoding="utf-8"))
    subprocess.run([python("peers"), "-m", "bench.plot", path, PICTURE], cwd=ROOT, check=True)
    page = rewrite(PAGE.read_text("utf-8"), f"{SHOWN}\n\n{text(saved)}")
    PAGE.write_text(page, encoding="utf-8", newline="\n")
    tell(f"wrote {PAGE.relative_to(ROOT)} and {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
