"""The quality of the recipe on pictures: `python -m bench.quality.pictures digits`.

Test rows have no part in any choice: of Fashion-MNIST its own test part, of the others a
quarter of the rows, another one for each seed. It prints a row of the table in docs/pictures.md.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
import numpy.typing as npt

import chainrule as cr

SETS = {"digits": (8, 8), "mnist-5k": (28, 28), "fashion-mnist": (28, 28)}
"""The height and width of the pictures of a set of the catalogue."""
OWN_TEST = "fashion-mnist"
"""A set whose test part is a set of its own."""

Pictures = tuple[npt.NDArray[Any], npt.NDArray[Any]]
"""Pixels (n, h, w), and classes (n,)."""


def load(name: str, shape: tuple[int, int]) -> Pictures:
    """The pictures of a set of the catalogue, which has been fetched."""
    columns = dict(cr.data.read(name).to_dict())
    label = next(x for x in columns if x in ("digit", "label"))
    classes = columns.pop(label)
    pixels = np.stack(list(columns.values()), axis=1)
    return pixels.reshape(-1, *shape).astype(np.uint8), classes


def divided(name: str, seed: int) -> tuple[Pictures, Pictures]:
    """Training and test pictures."""
    x, y = load(name, SETS[name])
    if name == OWN_TEST:
        return (x, y), load(f"{name}-test", SETS[name])
    order = cr.data.shuffled(len(x), seed + 1000)
    test, train = order[: len(x) // 4], order[len(x) // 4 :]
    return (x[train], y[train]), (x[test], y[test])


def measured(name: str, seed: int, **settings: Any) -> dict[str, Any]:
    """The scores of one run on the test rows, and its time."""
    train, test = divided(name, seed)
    wall, processor = time.perf_counter(), time.process_time()
    model = cr.train(_table(*train), "class", seed=seed, verbose=False, **settings)
    seconds = time.perf_counter() - wall
    scores = model.evaluate(_table(*test))
    return {
        "set": name, "seed": seed, "rows": len(train[0]), "test_rows": len(test[0]),
        "accuracy": scores["accuracy"], "log_loss": scores["log_loss"], "seconds": seconds,
        "processor_seconds": time.process_time() - processor, "epochs": model.history.last_epoch,
        "parameters": model.size,
    }  # fmt: skip


def _table(pixels: npt.NDArray[Any], classes: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    return {"picture": pixels, "class": classes}


def main() -> None:
    """Run what the command line asks for, and print a line of JSON for each seed, and a row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", choices=SETS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--quality", default="balanced", choices=("fast", "balanced", "best"))
    given = parser.parse_args()
    runs = []
    for seed in given.seeds:
        runs.append(measured(given.set, seed, quality=given.quality))
        print(json.dumps(runs[-1]), flush=True)
    accuracy, loss, seconds = (
        np.array([run[key] for run in runs])
        for key in ("accuracy", "log_loss", "processor_seconds")
    )
    print(f"| {given.set} | {runs[0]['rows']:,} | {runs[0]['test_rows']:,} | "
          f"{', '.join(f'{x:.4f}' for x in accuracy)} | {loss.mean():.4f} | "
          f"{seconds.mean():.0f} |")  # fmt: skip


if __name__ == "__main__":
    main()
