"""Measurements by rounds: training, prediction, two models at once, a busy machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from bench.cells import Cell
from bench.peak import handover
from bench.process import Worker, WorkerError, all_cores, place, spinning
from bench.records import Record

EPOCHS = 3
"""Epochs after which the losses of the systems are compared."""
APART = 1e-3
"""The greatest relative difference of the losses of the third step: all do the same work."""
OPTIMIZERS = {"sgd": "SGD", "adam": "Adam"}


@dataclass(frozen=True)
class Settings:
    """The size of a measurement.

    Attributes:
        systems, networks: those that take part.
        rounds: samples of each system in each cell.
        seconds: of a sample, about; one epoch or call where that takes longer.
        tell: says what goes on.
    """

    systems: Sequence[str]
    networks: Sequence[Cell]
    rounds: int
    seconds: float
    tell: Callable[[str], None]


@dataclass(frozen=True)
class Entry:
    """A worker in a cell: the record that it fills, and the request that is repeated."""

    worker: Worker
    record: Record
    request: dict[str, Any]


def training(settings: Settings) -> Iterator[Record]:
    """Seconds of a step with one and with two threads, and the memory of the processes."""
    for network in settings.networks:
        for optimizer in OPTIMIZERS:
            for worker, record in _train(settings, "training", network, optimizer, counts()):
                yield record
                if record.threads == 1:
                    cell = f"{network.name}, {OPTIMIZERS[optimizer]}"
                    peak = worker.ask("memory")
                    yield Record("memory", cell, record.system, "B", [peak])


def together(settings: Settings) -> Iterator[Record]:
    """Seconds of a step of each of two models that train at once in two Python threads."""
    for network in settings.networks:
        for _, record in _train(settings, "two models", network, "adam", [2], models=2):
            yield record


def busy(settings: Settings) -> Iterator[Record]:
    """Seconds of a step with two threads while another process takes one of the cores."""
    for network in settings.networks:
        core = place(2).cores[0]
        for _, record in _train(settings, "busy machine", network, "adam", [2], taken=core):
            yield record


def counts() -> list[int]:
    """The numbers of threads that this machine has cores for."""
    return [x for x in (1, 2) if x <= len(all_cores())]


def words(count: int, what: str) -> str:
    """`1 row`, `100,000 rows`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _train(
    settings: Settings,
    group: str,
    network: Cell,
    optimizer: str,
    threads: Sequence[int],
    *,
    models: int = 1,
    taken: int | None = None,
) -> Iterator[tuple[Worker, Record]]:
    """The workers of a network, interleaved; `taken` is a core that they share."""
    with ExitStack() as stack:
        entries = []
        for count in threads:
            cell = f"{network.name}, {OPTIMIZERS[optimizer]}"
            cell += f", {words(count, 'thread')}" if models == 1 else ", 1 thread each"
            settings.tell(f"{group}: {cell}")
            for system in settings.systems:
                worker = stack.enter_context(Worker(system, place(count)))
                worker.send(
                    "open", system=system, network=network.name, optimizer=optimizer,
                    threads=count // models, models=models, epochs=EPOCHS,
                )  # fmt: skip
                flops = float(network.flops * models)
                record = Record(group, cell, system, "s", [], threads=count, flops=flops)
                request = {"do": "train", "seconds": settings.seconds}
                entries.append(Entry(worker, record, request))
        able = alike(ready(entries, settings.tell), settings.tell)
        with spinning(taken):
            found = rounds(able, settings.rounds, idle=taken is None)
        for entry, record in zip(able, found, strict=True):
            yield entry.worker, record


def prediction(settings: Settings) -> Iterator[Record]:
    """Seconds of a call, for few rows and many."""
    for network in settings.networks:
        for count in counts():
            with ExitStack() as stack:
                yield from _predict(settings, network, count, stack)


def _predict(settings: Settings, network: Cell, threads: int, stack: ExitStack) -> Iterator[Record]:
    settings.tell(f"prediction: {network.name}, {words(threads, 'thread')}")
    entries = []
    for system in settings.systems:
        worker = stack.enter_context(Worker(system, place(threads)))
        worker.send("reads", system=system, network=network.name, threads=threads)
        entries.append(Entry(worker, Record("prediction", "", system, "s", [], threads), {}))
    able = ready(entries, settings.tell)
    for rows in network.asked:
        cell = f"{network.name}, {words(rows, 'row')}, {words(threads, 'thread')}"
        request: dict[str, Any] = {"do": "predict", "rows": rows, "seconds": settings.seconds}
        for entry in able:
            entry.worker.send(**request)  # the first time compiles, and is not counted
        able = ready(able, settings.tell)
        asked = [Entry(x.worker, replace(x.record, cell=cell, loss=0.0), request) for x in able]
        yield from rounds(asked, settings.rounds)


def ready(entries: Sequence[Entry], tell: Callable[[str], None]) -> list[Entry]:
    """Waits for the answers of all workers; returns those that can do it, with their losses."""
    able = []
    for entry in entries:
        try:
            answer = entry.worker.receive()
        except WorkerError as error:
            tell(f"  left out: {error}")
        else:
            able.append(replace(entry, record=replace(entry.record, loss=answer)))
    return able


def alike(entries: Sequence[Entry], tell: Callable[[str], None]) -> list[Entry]:
    """The workers whose third step has the loss of the first of them, or that cannot tell."""
    able: list[Entry] = []
    wanted = math.nan
    for entry in entries:
        loss = entry.worker.ask("check")
        wanted = loss if math.isnan(wanted) else wanted
        if abs(loss - wanted) > APART * abs(wanted):
            tell(f"  left out: {entry.record.system} does other steps: loss {loss:.6f}, "
                 f"not {wanted:.6f}")  # fmt: skip
        else:
            able.append(entry)
    return able


def rounds(entries: Sequence[Entry], count: int, *, idle: bool = True) -> list[Record]:
    """Requests from one worker after another; every round begins with the next one.

    On a machine that is `idle` otherwise, the handover between two cores is measured too.
    """
    two = idle and any(x.record.threads == 2 for x in entries)
    samples: list[list[float]] = [[] for _ in entries]
    apart: list[float] = []
    for turn in range(count):
        for k in range(len(entries)):
            at = (k + turn) % len(entries)
            samples[at].append(entries[at].worker.ask(**entries[at].request))
        if two:
            apart.append(handover())
    return [
        replace(x.record, samples=found, handover=apart if x.record.threads == 2 else ())
        for x, found in zip(entries, samples, strict=True)
    ]
