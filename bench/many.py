"""Compares fit_many with sequential training: `python -m bench.many`, on an idle machine.

Beside it stands what cannot be beaten: processes forked by hand, each with its share of the models
and nothing to tell. On a busy machine only the comparison with those means something.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import chainrule as cr
from bench.cells import NETWORKS, RATES, Network, data
from chainrule.system.processors import processors

SHOWN = ("4-16-3", "64-64-10", "20-256-256-2")
SECONDS = 1.0
"""The target time of sequential training."""
ROUNDS = 9
EPOCHS = 20

Way = Callable[[Sequence[cr.Model], dict[str, Any], dict[str, Any]], object]


def build(network: Network, seed: int) -> cr.Model:
    """A network with cross-entropy."""
    x, t = cr.input("x", network.widths[:1]), cr.input("t", (), dtype="int32")
    logits = cr.dense(cr.mlp(x, network.widths[1:-1], "relu"), network.widths[-1])
    return cr.Model(logits, cr.cross_entropy(logits, t), seed=seed)


def one_by_one(models: Sequence[cr.Model], rows: dict[str, Any], settings: dict[str, Any]) -> None:
    """One after another, on one thread."""
    for model in models:
        model.fit(rows, threads=1, **settings)


def by_hand(models: Sequence[cr.Model], rows: dict[str, Any], settings: dict[str, Any]) -> None:
    """A forked process for each processor, with an equal share of the models."""
    children = []
    for k in range(processors()):
        child = os.fork()
        if child == 0:
            try:
                one_by_one(models[k :: processors()], rows, settings)
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


def many(models: Sequence[cr.Model], rows: dict[str, Any], settings: dict[str, Any]) -> None:
    """The measured networks."""
    cr.fit_many(models, rows, **settings)


def seconds(way: Way, network: Network, count: int, rows: dict[str, Any]) -> float:
    """The time that a method takes for a number of new models."""
    models = [build(network, seed) for seed in range(count)]
    settings = {
        "batch_size": network.batch, "epochs": EPOCHS, "verbose": False,
        "optimizer": cr.Adam(RATES["adam"]),
    }  # fmt: skip
    begun = time.perf_counter()
    way(models, rows, settings)
    return time.perf_counter() - begun


def main() -> None:
    """Prints a line for each network."""
    print(f"{processors()} processors; models a second, medians of {ROUNDS} rounds")
    print(f"{'network':>14}  one by one  by hand  fit_many  of one by one  of by hand")
    for network in (x for x in NETWORKS if x.name in SHOWN):
        x, t = data(network)
        rows = {"x": x, "t": t}
        alone = min(seconds(one_by_one, network, 2, rows) / 2 for _ in range(2))
        count = processors() * max(2, round(SECONDS / alone / processors()))
        ways: tuple[Way, ...] = (one_by_one, by_hand, many)
        taken: list[list[float]] = [[] for _ in ways]
        for turn in range(ROUNDS):
            for k in range(len(ways)):
                at = (turn + k) % len(ways)
                taken[at].append(seconds(ways[at], network, count, rows))
        rate = [count / statistics.median(x) for x in taken]
        print(f"{network.name:>14}  {rate[0]:10.1f}  {rate[1]:7.1f}  {rate[2]:8.1f}  "
              f"{rate[2] / rate[0]:13.2f}  {rate[2] / rate[1]:10.2f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
