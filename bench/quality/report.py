"""The results as Markdown: tables of errors, ranks, costs, and the runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import exp, log
from statistics import median
from typing import Any

from bench.quality.learners import LEARNERS
from bench.quality.records import Cell, Run, cells, mean_ranks
from bench.quality.scores import mean_and_error
from bench.quality.sets import SEEDS, SETS
from bench.quality.store import Store
from bench.report import quantity
from bench.systems import OURS

OWN = [x for x in LEARNERS if LEARNERS[x].ours]
NETWORKS = ["MLP", "MLP searched"]
"""scikit-learn's networks, which `balanced` is compared with."""
AUTHORS = "RealMLP-TD"
"""The learner that `best` is compared with."""

Cells = Mapping[str, Mapping[str, Cell]]


def markdown(store: Store) -> str:
    """All results, as shown on the page."""
    runs = [x for x in store if x.learner in LEARNERS]
    found = cells(runs)
    tables = [
        ("Test error", errors(found)),
        ("Mean ranks", ranked(runs)),
        (f"{OURS} balanced beside scikit-learn's networks", balanced(runs)),
        (f"{OURS} best beside {AUTHORS}", best(runs)),
        ("Log loss on the test rows", grid(found, _log_loss)),
        ("Processor seconds of learning",
         grid(found, lambda x, _: quantity(x.processor_seconds, "s"))),
        ("Peak memory of the process", grid(found, lambda x, _: quantity(x.memory, "B"))),
        ("From the start of the command to the saved model", costs(store.extras)),
        ("What the search of scikit-learn's network chose", chosen(runs)),
    ]  # fmt: skip
    parts = [_setting(store.machine, runs), *provenance(runs)]
    for title, text in tables:
        parts += [f"### {title}", text] if text else []
    return "\n\n".join(parts) + "\n"


def errors(found: Cells) -> str:
    """Mean ± standard error; the least of a row is bold; fewer seeds are noted."""
    return grid(found, _error)


def grid(found: Cells, show: Callable[[Cell, str], str]) -> str:
    """A row for each set, a column for each learner."""
    names = [x for x in LEARNERS if any(x in row for row in found.values())]
    lines = []
    for name in SETS:
        row = found.get(name, {})
        least = min((x.error for x in row.values()), default=0.0)
        shown = {x: show(row[x], name) for x in row}
        if any(shown.values()):
            bold = {x: f"**{shown[x]}**" for x in row if show is _error and row[x].error == least}
            lines.append([name, *((shown | bold).get(x, "") for x in names)])
    return table(["", *names], lines)


def beside(runs: Sequence[Run], others: Sequence[Run]) -> str:
    """The errors, losses and costs of runs, and those of the same runs in another file.

    The loss is the log loss, or the root mean squared error. The last lines have the mean
    logarithm of its ratio, which is negative where the runs are better than the others.
    """
    before = {x.key: x for x in others}
    lines, ratios = [], dict[str, list[tuple[float, float]]]()
    for run in sorted(runs, key=lambda x: (x.set, x.learner, x.seed)):
        line = [run.set, run.learner, _shown(run), f"{run.processor_seconds:.1f}"]
        if (old := before.get(run.key)) is not None:
            pair = _loss(run) / _loss(old), run.processor_seconds / old.processor_seconds
            ratios.setdefault(run.learner, []).append(pair)
            line += [_shown(old), f"{old.processor_seconds:.1f}", f"{log(pair[0]):+.3f}"]
        lines.append(line + [""] * (7 - len(line) if before else 0))
    head = ["", "learner", "error, loss", "processor seconds"]
    head += ["beside: error, loss", "processor seconds", "log ratio of losses"] if before else []
    parts = [table(head, lines)]
    for learner, pairs in ratios.items():
        mean, error = mean_and_error([log(x) for x, _ in pairs])
        cost = exp(mean_and_error([log(x) for _, x in pairs])[0])
        spread = "" if error is None else f" ± {error:.3f}"
        parts.append(f"{learner}: {len(pairs)} sets, mean log ratio of losses {mean:+.3f}{spread}, "
                     f"of processor seconds x {cost:.2f}")  # fmt: skip
    return "\n\n".join(parts)


def _loss(run: Run) -> float:
    return max(run.error if run.log_loss is None else run.log_loss, 1e-4)


def _shown(run: Run) -> str:
    return f"{run.error:.4g}" if run.log_loss is None else f"{run.error:.2%}, {run.log_loss:.4f}"


def _error(cell: Cell, name: str) -> str:
    fewer = f" ({len(cell.seeds)})" if len(cell.seeds) < len(SEEDS) else ""
    if SETS[name].task == "classification":
        spread = "" if cell.spread is None else f" ± {cell.spread:.2%}"
        return f"{cell.error:.2%}{spread}{fewer}"
    spread = "" if cell.spread is None else f" ± {cell.spread:.2g}"
    return f"{cell.error:.4g}{spread}{fewer}"


def _log_loss(cell: Cell, _: str) -> str:
    return "" if cell.log_loss is None else f"{cell.log_loss:.3f}"


def ranked(runs: Sequence[Run]) -> str:
    """The mean rank of each learner on the sets that all of a line ran; slow ones run fewer."""
    names = [x for x in LEARNERS if any(run.learner == x for run in runs)]
    ran = {(run.set, run.learner) for run in runs}
    groups = {frozenset(x for x in names if (name, x) in ran): None for name in SETS}
    lines: list[list[str]] = []
    for group in (x for x in groups if len(x) > 1 and not any(x < y for y in groups)):
        for slow in ((), (AUTHORS,), (AUTHORS, f"{OURS} best")):
            places, count = mean_ranks(runs, [x for x in names if x in group and x not in slow])
            line = [f"{count} sets" if count > 1 else "1 set"]
            line += [f"{places[x]:.2f}" if x in places else "" for x in names]
            if places and line not in lines:
                lines.append(line)
    return table(["", *names], lines)


def balanced(runs: Sequence[Run]) -> str:
    """Our middle quality and the better network of scikit-learn, on the seeds that all ran."""
    ours, lines = f"{OURS} balanced", []
    for name in SETS:
        common = _common(runs, name, [ours, *NETWORKS])
        if common:
            peer = min(NETWORKS, key=lambda x: common[x].error)
            lines.append([
                name, str(len(common[ours].seeds)), _error_only(common[ours], name), peer,
                _error_only(common[peer], name),
                _verdict(common[ours], common[peer], 0.0),
            ])  # fmt: skip
    head = ["", "seeds", ours, "better network", "its error", "no worse"]
    return table(head, lines)


def best(runs: Sequence[Run]) -> str:
    """Our highest quality and RealMLP-TD, on the seeds that both ran."""
    ours, lines = f"{OURS} best", []
    for name in SETS:
        common = _common(runs, name, [ours, AUTHORS])
        if common:
            own, peer = common[ours], common[AUTHORS]
            lines.append([
                name, str(len(own.seeds)), _error_only(own, name), _error_only(peer, name),
                _verdict(own, peer, peer.spread or 0.0) if len(own.seeds) > 1 else "one seed",
                f"{peer.processor_seconds / own.processor_seconds:.1f}",
            ])  # fmt: skip
    head = ["", "seeds", ours, AUTHORS, "within a standard error", "times as quick"]
    return table(head, lines)


def _common(runs: Sequence[Run], name: str, learners: Sequence[str]) -> dict[str, Cell]:
    """The cells of some learners on a set, of the seeds that all of them ran; or nothing."""
    own = [x for x in runs if x.set == name and x.learner in learners]
    seeds = [s for s in SEEDS if len([x for x in own if x.seed == s]) == len(learners)]
    return dict(cells([x for x in own if x.seed in seeds]).get(name, {}))


def _error_only(cell: Cell, name: str) -> str:
    return _error(cell, name).partition(" (")[0]


def _verdict(own: Cell, peer: Cell, allowed: float) -> str:
    return "yes" if own.error <= peer.error + allowed else "no"


def costs(extras: Mapping[str, Mapping[str, Any]]) -> str:
    """Complete commands."""
    lines = [
        [
            f"`{x['command']}`", f"{x['rows']:,} x {x['columns']}",
            ", ".join(f"{s:.1f}" for s in x["seconds"]),
            ", ".join(f"{s:.1f}" for s in x["processor_seconds"]),
            quantity(x["memory"], "B"), f"{x['error']:.1%}" + _floor(x), f"{x['load']:.1f}",
            x["commit"],
        ]
        for x in extras.values()
    ]  # fmt: skip
    head = ["", "rows x columns", "seconds", "processor seconds", "peak memory", "test error",
            "load", "commit"]  # fmt: skip
    return table(head, lines)


def _floor(measured: Mapping[str, Any]) -> str:
    least = measured.get("least_error")
    return "" if least is None else f" (at best {least:.1%})"


def chosen(runs: Sequence[Run]) -> str:
    """The settings of the first seed of each set."""
    found = {x.set: x for x in sorted(runs, key=lambda x: -x.seed) if x.learner == "MLP searched"}
    lines = [
        [name, ", ".join(f"{k} {_brief(v)}" for k, v in found[name].settings.items())]
        for name in SETS
        if name in found
    ]
    return table(["", f"seed {min(x.seed for x in found.values())}"], lines) if found else ""


def _brief(value: Any) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)


def provenance(runs: Sequence[Run]) -> list[str]:
    """The commits and versions, in sentences."""
    lines = []
    for learner in LEARNERS:
        own = [x for x in runs if x.learner == learner]
        if own:
            commits = sorted({x.commit for x in own})
            dates = sorted(x.date for x in own)
            lines.append([
                learner, str(len(own)), ", ".join(commits), f"{dates[0]} to {dates[-1]}",
                f"{median(x.load for x in own):.1f}",
            ])  # fmt: skip
    head = ["", "runs", "commits", "when (UTC)", "median load of the machine"]
    return [table(head, lines)] if lines else []


def _setting(machine: Mapping[str, Any], runs: Sequence[Run]) -> str:
    def told(ours: bool) -> str:
        versions: dict[str, str] = {}
        for run in runs:
            if LEARNERS[run.learner].ours == ours:
                versions |= run.versions
        return ", ".join(f"{k} {v}" for k, v in versions.items()) or "did not run"

    threads = " or ".join(str(x) for x in sorted({x.threads for x in runs}))
    return (
        f"Measured on {machine['processor']}, {machine['cores']} cores, "
        f"{quantity(machine['memory'], 'B')} of memory. Threads of a run: {threads}. "
        f"{OURS}'s environment: {told(True)}. The others': {told(False)}."
    )


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table; empty if it has no lines."""
    if not lines:
        return ""
    rule = [":--", *["--:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(x) + " |" for x in [head, rule, *lines])
