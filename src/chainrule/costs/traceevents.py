"""Profiles as Chrome trace events, which Perfetto and chrome://tracing open."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from chainrule.costs.forecast import Forecast
from chainrule.costs.measured import MeasuredKernel
from chainrule.display.tables import clean

MOST_BYTES = 4_500_000
"""The size of a file of events; of more, the shortest slices are left out."""

NODES = 60
"""The nodes that a slice names; of more, the number of the others."""

NAME = 300
"""Characters of a name in a file of events."""

MEASURED, PREDICTED = 1, 2

Event = dict[str, Any]
Phases = Sequence[Sequence[MeasuredKernel]]


def trace_events(
    forecast: Forecast,
    kernels: Sequence[MeasuredKernel],
    waits: Sequence[Sequence[float]],
    steps: int,
) -> dict[str, Any]:
    """A step as trace events: plain JSON values.

    One process has the measured step, a row for each thread, and one the predicted step. A slice
    of the step holds its phases, these hold their kernels, and the waiting at their end. Times
    are microseconds; the arguments of a kernel's slice are its nodes, its phase, how threads
    share it, its bytes and floating-point operations, and its predicted and measured time.

    Args:
        forecast: of the step.
        kernels: in order.
        waits: by phase, the seconds that each thread waited at its end.
        steps: the number that was measured.
    """
    phases: list[list[MeasuredKernel]] = [[] for _ in range(forecast.phases)]
    for x in kernels:
        phases[x.cost.phase].append(x)
    slices = [*_measured(phases, waits, forecast.threads), *_predicted(phases, forecast)]
    kept, left_out = _within(slices, MOST_BYTES)
    facts = {
        "what": forecast.what, "steps": steps, "threads": forecast.threads,
        "processor": forecast.speeds.processor, "left_out_slices": left_out,
    }  # fmt: skip
    names = _names(f"measured, the mean of {steps:,} steps", forecast.threads)
    return {"displayTimeUnit": "ns", "traceEvents": [*names, *kept], "otherData": facts}


def events_text(events: dict[str, Any]) -> str:
    """The events as strict JSON, one a line."""
    head = {key: value for key, value in events.items() if key != "traceEvents"}
    lines = ",\n".join(_line(event) for event in events["traceEvents"])
    return f'{_line(head)[:-1]},"traceEvents":[\n{lines}\n]}}\n'


def _line(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _names(measured: str, threads: int) -> Iterator[Event]:
    """The names of processes and threads, in the order in which they are shown."""
    for process, name, count in ((MEASURED, measured, threads), (PREDICTED, "predicted", 1)):
        for what, value in (("process_name", {"name": name}),
                            ("process_sort_index", {"sort_index": process})):  # fmt: skip
            yield {"ph": "M", "name": what, "pid": process, "tid": 1, "args": value}
        for k in range(1, count + 1):
            title = f"thread {k}" if process == MEASURED else "the thread with the largest share"
            for what, value in (("thread_name", {"name": title}),
                                ("thread_sort_index", {"sort_index": k})):  # fmt: skip
                yield {"ph": "M", "name": what, "pid": process, "tid": k, "args": value}


def _measured(phases: Phases, waits: Sequence[Sequence[float]], count: int) -> list[Event]:
    """The slices of all threads, outer ones first: a phase ends when its last thread is done."""
    threads = range(count)
    rows: list[list[Event]] = [[] for _ in threads]
    begin = 0.0
    for number, (kernels, waited) in enumerate(zip(phases, waits, strict=True), start=1):
        clocks, inside = [begin for _ in threads], [list[Event]() for _ in threads]
        for x in kernels:
            facts = _facts(x)
            for k in threads:
                end = clocks[k] + x.threads[k]
                inside[k].append(_slice(_name(x), (MEASURED, k + 1), clocks[k], end, facts))
                clocks[k] = end
        end = max(clock + wait for clock, wait in zip(clocks, waited, strict=True))
        for k in threads:
            place = MEASURED, k + 1
            rows[k].append(_slice(f"phase {number}", place, begin, end, {"phase": number}))
            rows[k] += inside[k]
            if end > clocks[k]:
                rows[k].append(_slice("waiting", place, clocks[k], end, {"phase": number}))
        begin = end
    return [
        x for k in threads
        for x in (_slice("a step", (MEASURED, k + 1), 0.0, begin, {}), *rows[k])
    ]  # fmt: skip


def _predicted(phases: Phases, forecast: Forecast) -> list[Event]:
    """The slices of the predicted step, one after the other, with a barrier after each phase."""
    barrier = forecast.cost.barriers / max(len(phases), 1)
    place, row, clock = (PREDICTED, 1), list[Event](), 0.0
    for number, kernels in enumerate(phases, start=1):
        begin, inside = clock, []
        for x in kernels:
            end = clock + x.cost.seconds
            inside.append(_slice(_name(x), place, clock, end, _facts(x)))
            clock = end
        if barrier > 0:
            inside.append(_slice("barrier", place, clock, clock + barrier, {"phase": number}))
            clock += barrier
        row += [_slice(f"phase {number}", place, begin, clock, {"phase": number}), *inside]
    return [_slice("a step", place, 0.0, clock, {}), *row]


def _name(x: MeasuredKernel) -> str:
    return clean(x.cost.work.kernel.name, NAME)


def _facts(x: MeasuredKernel) -> Event:
    work = x.cost.work
    nodes = [clean(name, NAME) for name in work.kernel.nodes[:NODES]]
    left = len(work.kernel.nodes) - len(nodes)
    return {
        "nodes": nodes, **({"more_nodes": left} if left else {}), "phase": x.cost.phase + 1,
        "split": work.split, "bytes": int(work.bytes), "flops": int(work.flops),
        "predicted_us": round(x.cost.seconds * 1e6, 3), "measured_us": round(x.seconds * 1e6, 3),
    }  # fmt: skip


def _slice(name: str, place: tuple[int, int], begin: float, end: float, facts: Event) -> Event:
    """A complete event. Both ends are rounded to nanoseconds, so that slices stay nested."""
    start, stop = round(begin * 1e9), round(end * 1e9)
    return {
        "ph": "X", "name": name, "cat": "kernel" if "nodes" in facts else "phase",
        "pid": place[0], "tid": place[1], "ts": start / 1000, "dur": (stop - start) / 1000,
        "args": facts,
    }  # fmt: skip


def _within(slices: Sequence[Event], most: int) -> tuple[list[Event], int]:
    """The longest slices that fit, in their order, and the number of the others.

    What contains a slice is at least as long and comes before it, so that none is left alone.
    """
    kept, room = set[int](), most
    for k in sorted(range(len(slices)), key=lambda k: -slices[k]["dur"]):
        room -= len(_line(slices[k])) + 2
        if room < 0:
            break
        kept.add(k)
    return [slices[k] for k in sorted(kept)], len(slices) - len(kept)
