"""One-time costs: import, first step, disk space."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.measure import Settings
from bench.process import ROOT, Worker, WorkerError, environment, place, python
from bench.records import Record
from bench.systems import OURS

PACKAGES = {
    OURS: ("chainrule", "chainrule"),
    "PyTorch": ("torch", "torch"),
    "JAX": ("jax", "jax"),
    "scikit-learn": ("sklearn.neural_network", "scikit-learn"),
}
"""The imported module and the installed package of each system."""
IMPORT = """
import time
begun = time.perf_counter()
import {}
print(time.perf_counter() - begun)
"""


def imports(settings: Settings) -> Iterator[Record]:
    """The time to import in a new process, with all files in the system's cache."""
    settings.tell("import")
    samples: dict[str, list[float]] = {name: [] for name in PACKAGES}
    for turn in range(1 + settings.rounds):
        for name, (module, _) in PACKAGES.items():
            seconds = json.loads(_run(name, "-c", IMPORT.format(module)))
            if turn:  # the first one brings the files into the cache
                samples[name].append(seconds)
    for name, found in samples.items():
        yield Record("import", "import", name, "s", found)


def sizes(settings: Settings) -> Iterator[Record]:
    """The size of a package with its dependencies, in bytes."""
    settings.tell("installed size")
    for name, (_, package) in PACKAGES.items():
        size = float(_run(name, "-m", "bench.size", package))
        yield Record("installed size", "installed size", name, "B", [size])


def first_steps(settings: Settings) -> Iterator[Record]:
    """The time to the first step in a new process, with empty caches and from the cache.

    Every cold sample has an empty folder; the cached one after it uses what that left. Between
    them Chainrule compiles the network again with what is left of others: the code that it shares
    with them. Peers take long, so that there are two rounds fewer.
    """
    repeats = max(1, settings.rounds - 2)
    for network in settings.networks:
        settings.tell(f"first step: {network.name}")
        for system in settings.systems:
            try:
                found = [_samples(system, network.name) for _ in range(repeats)]
            except WorkerError as error:
                settings.tell(f"  left out: {error}")
                continue
            for kind in found[0]:
                samples = [x[kind] for x in found]
                yield Record("first step", f"{network.name}, {kind}", system, "s", samples)


def _samples(system: str, network: str) -> dict[str, float]:
    """The seconds to the first step by what is in the cache."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = {"cold": _first(system, network, folder)}
        if system == OURS:
            for file in (folder / "chainrule" / "code").glob("*.o"):
                file.unlink()
            found["new network"] = _first(system, network, folder)
        return found | {"cached": _first(system, network, folder)}


def _first(system: str, network: str, cache: Path) -> float:
    where = place(2, cache)
    with Worker(system, where) as worker:
        return worker.ask(
            "first", system=system, network=network, optimizer="adam", threads=len(where.cores)
        )


def _run(system: str, *arguments: str) -> str:
    """The output of a new process of the system's Python."""
    done = subprocess.run(
        [python(system), *arguments],
        cwd=ROOT, env=environment(place(2)), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise WorkerError(f"{system}: {done.stderr.strip()[-500:]}")
    return done.stdout
