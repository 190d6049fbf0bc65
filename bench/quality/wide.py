"""A large dirty table, not used for tuning: mixed columns, gaps, skew, rare categories."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.quality.sets import Frame

Array = npt.NDArray[Any]
ROWS = 300_000
TARGET = "outcome"
LEVELS = (2, 3, 5, 10, 30, 100, 1_000, 5_000)
"""The numbers of categories of the columns; their frequency falls as 1 / rank."""
EPOCH = np.datetime64("2020-01-01", "s")


def wide(rows: int = ROWS, seed: int = 0) -> tuple[Frame, Array]:
    """A table of 40 columns and a target of three classes, and the true probabilities (rows, 3).

    25 numbers (five skewed, five with gaps), four counts, eight categories, one boolean, two
    dates. The target depends on a part of them, smoothly, by a product, by a threshold and by
    categories' own effects, and on noise that no column tells. The rows of every seed follow the
    same law.
    """
    law, draw = np.random.default_rng(40), np.random.default_rng([1, seed])
    mixing = law.normal(size=(20, 20)) / np.sqrt(20)
    effects = [law.normal(size=n) for n in LEVELS]
    weights = law.normal(size=(4, 3))

    numbers = draw.normal(size=(rows, 20)) @ (np.eye(20) + mixing)  # (rows, 20)
    skewed = np.exp(draw.normal(size=(rows, 5)) * 1.5) * 100
    counts = draw.poisson([1.0, 3.0, 10.0, 100.0], size=(rows, 4))
    codes = [_zipf(draw, n, rows) for n in LEVELS]
    flag = draw.random(rows) < 0.3
    days = draw.integers(0, 1_500, size=(rows, 2))

    signals = np.stack([
        np.sin(2 * numbers[:, 0]) + numbers[:, 1] * numbers[:, 2],
        np.log(skewed[:, 0] / 100) + (counts[:, 1] > 3) * numbers[:, 3],
        effects[5][codes[5]] + effects[6][codes[6]] + np.where(flag, effects[3][codes[3]], 0),
        np.abs(numbers[:, 4]) + days[:, 0] / 750,
    ], axis=1)  # fmt: skip
    z = 1.5 * signals @ weights  # (rows, 3)
    chances = np.exp(z - z.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    drawn = (z + draw.gumbel(size=(rows, 3))).argmax(axis=1)

    columns: dict[str, Any] = {f"number_{k}": numbers[:, k] for k in range(20)}
    columns |= {f"amount_{k}": skewed[:, k].round(2) for k in range(5)}
    for name in ("number_1", "number_5", "number_6", "amount_0", "amount_1"):
        columns[name] = np.where(draw.random(rows) < 0.05, np.nan, columns[name])
    columns |= {f"count_{k}": counts[:, k] for k in range(4)}
    for n, code in zip(LEVELS, codes, strict=True):
        columns[f"category_{n}"] = np.char.add("c", code.astype(str))
    columns["flag"] = np.where(flag, "yes", "no")
    for k in range(2):
        columns[f"date_{k}"] = (EPOCH + days[:, k].astype("timedelta64[D]")).astype(str)
    columns[TARGET] = np.array(["low", "middle", "high"])[drawn]
    return pd.DataFrame(columns), chances


def _zipf(draw: np.random.Generator, levels: int, rows: int) -> Array:
    share = 1 / np.arange(1, levels + 1)
    return draw.choice(levels, size=rows, p=share / share.sum())
