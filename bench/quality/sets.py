"""The tables, and their training and test rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.quality.further import FURTHER

TABLES = Path(__file__).parent.parent.parent / ".venv-quality" / "tables"
"""The folder in which `prepare` stores every set as a Parquet file for all environments."""
SEEDS = (0, 1, 2, 3, 4)

Rows = npt.NDArray[np.intp]
Frame = Any
"""A pandas DataFrame; pandas has no type annotations."""


@dataclass(frozen=True)
class Set:
    """One table.

    Attributes:
        name: as in Chainrule's catalogue of data sets, or in `further`.
        task: what is predicted.
        target: the column of it.
        rows: how many there are, test rows included.
        fixed: how many of the last rows are a test part of its own; 0: it has none.
    """

    name: str
    task: Literal["classification", "regression"]
    target: str
    rows: int
    fixed: int = 0

    @property
    def path(self) -> Path:
        """The file of the prepared set."""
        return TABLES / f"{self.name}.parquet"


SETS = {
    x.name: x
    for x in (
        Set("penguins", "classification", "species", 344),
        Set("wine", "classification", "cultivar", 178),
        Set("breast-cancer", "classification", "diagnosis", 569),
        Set("diabetes", "regression", "progression", 442),
        Set("digits", "classification", "digit", 1_797),
        Set("california", "regression", "MedHouseVal", 20_640),
        Set("adult", "classification", "income", 48_842),
        Set("diamonds", "regression", "price", 53_940),
        Set("letter", "classification", "letter", 20_000),
        Set("fashion-mnist", "classification", "label", 70_000, fixed=10_000),
        *(Set(x.name, x.task, x.target, x.rows) for x in FURTHER),
    )
}
QUICK_SETS = [name for name in SETS if name != "fashion-mnist"]
QUICK_ROWS = 3_000
"""The training and the test rows of the quick form, at most."""


def load(name: str) -> Frame:
    """All rows of a set, its target among the columns; categories are text.

    Raises:
        FileNotFoundError: it is not prepared: `python -m bench.quality.prepare` does that.
    """
    return pd.read_parquet(SETS[name].path)


def development(name: str) -> Rows:
    """The rows that no seed tests on: all choices for the recipe are made on these alone.

    Half of all rows, the same for ever; of a set with a test part of its own, all others.
    """
    table = SETS[name]
    if table.fixed:
        return np.arange(table.rows - table.fixed)
    return np.sort(_shuffled(table)[table.rows // 2 :])


def split(name: str, seed: int) -> tuple[Rows, Rows]:
    """The training rows and the test rows.

    A quarter of all rows test: a random half of those that are not development rows, another half
    for each seed. A test part of its own is the same for all seeds.
    """
    table = SETS[name]
    if table.fixed:
        return development(name), np.arange(table.rows - table.fixed, table.rows)
    pool = _shuffled(table)[: table.rows // 2]
    test = np.random.default_rng([seed, table.rows]).permutation(pool)[: table.rows // 4]
    return np.setdiff1d(np.arange(table.rows), test), np.sort(test)


def sample(rows: Rows, most: int | None, seed: int) -> Rows:
    """At most so many of some rows, drawn at random, in their order."""
    if most is None or len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng([seed, most]).permutation(rows)[:most])


def _shuffled(table: Set) -> Rows:
    return np.random.default_rng(table.rows).permutation(table.rows)
