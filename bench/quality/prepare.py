"""Fetches the sets and stores each as a table that all environments can read."""

from __future__ import annotations

import pandas as pd

from bench.quality.further import FURTHER
from bench.quality.sets import SETS, TABLES, Frame
from chainrule.data.readers import datasets
from chainrule.data.readers.fetch import fetch_entry
from chainrule.system.atomicfile import replacing


def prepare(name: str) -> None:
    """Stores a set if necessary; its test part follows the rows of the training part.

    Raises:
        chainrule.errors.DataError: it cannot be fetched.
        ValueError: it is not as long as known.
    """
    table = SETS[name]
    if table.path.is_file():
        return
    frame = _read(name)
    if table.fixed:
        frame = pd.concat([frame, _read(f"{name}-test")], ignore_index=True)
    if len(frame) != table.rows:
        raise ValueError(f"{name} has {len(frame)} rows, {table.rows} are known")
    TABLES.mkdir(parents=True, exist_ok=True)
    with replacing(table.path) as path:
        frame.to_parquet(path, index=False)


def _read(name: str) -> Frame:
    further = [x for x in FURTHER if x.name == name]
    path = fetch_entry(further[0]) if further else datasets.fetch(name)
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)


if __name__ == "__main__":
    for known in SETS:
        prepare(known)
