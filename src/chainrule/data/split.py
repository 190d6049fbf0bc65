"""Splits rows into training and validation: stratified, by group, or by time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.column import Column
from chainrule.data.columns.dates import dates_of
from chainrule.data.columns.encoder import number_form, numbers_of
from chainrule.data.columns.kinds import guess_kind
from chainrule.data.readers.memory import from_mapping
from chainrule.data.shuffle import Rows, shuffled
from chainrule.display.format import counted
from chainrule.errors import DataError, SettingError
from chainrule.types import is_number


def holdout(
    n: int,
    fraction: float,
    seed: int = 0,
    *,
    stratify: Any = None,
    groups: Any = None,
    time: Any = None,
) -> tuple[Rows, Rows, str]:
    """Rows to train and rows to validate, both sorted, and a description of the split.

    Args:
        fraction: the share of rows to validate, between 0 and 1.
        stratify: (n,) classes; each keeps its share, and one of its rows always trains.
        groups: (n,) group of each row; a group is never divided.
        time: (n,) numbers or dates, also stored as text; the latest rows validate, and no moment
            is divided. At most one of the three.

    Raises:
        SettingError: a fraction outside (0, 1), a negative seed, two kinds of split at once.
        DataError: fewer than two rows, one group, one moment, a gap in groups or time.
    """
    if not is_number(fraction) or not 0 < fraction < 1:
        raise SettingError(
            "holdout",
            "the fraction to validate lies between 0 and 1",
            got=fraction,
            fix="validation=0.2",
        )
    ways = {"stratify": stratify, "groups": groups, "time": time}
    given = [name for name, value in ways.items() if value is not None]
    if len(given) > 1:
        raise SettingError("holdout", "rows are split in one way", got=" and ".join(given),
                           fix=" or ".join(f"leave out {name}=" for name in given))  # fmt: skip
    if n < 2:
        raise DataError("holdout", "too few rows to split", expected="at least 2", got=n)
    size = min(max(round(n * fraction), 1), n - 1)
    if time is not None:
        moments, read_as = _moments(time)
        held = _latest(_codes("time", moments, n), size)
        how = f"the latest rows by time{read_as}"
    elif groups is not None:
        codes = _codes("groups", groups, n)
        held = _group_rows(codes, size, seed)
        how = f"{codes.max() + 1:,} groups kept whole, seed {seed}"
    elif stratify is not None:
        held = _stratified(_codes("stratify", stratify, n), size, seed)
        how = f"shuffled and stratified by class, seed {seed}"
    else:
        held, how = shuffled(n, seed)[:size], f"shuffled, seed {seed}"
    validates = np.zeros(n, bool)
    validates[held] = True
    train, validation = np.flatnonzero(~validates), np.flatnonzero(validates)
    share = round(100 * len(validation) / n)
    sentence = (
        f"{100 - share} % / {share} %: {counted(len(train), 'row')} to train, "
        f"{len(validation):,} to validate, {how}"
    )
    return train, validation, sentence


def folds(
    n: int, count: int, seed: int = 0, *, stratify: Any = None, groups: Any = None
) -> list[Rows]:
    """The rows in `count` parts of nearly equal size, each sorted: for cross-validation.

    Args:
        count: of the parts, at least 2.
        stratify: (n,) classes; each is spread evenly over the parts.
        groups: (n,) group of each row; a group is never divided. At most one of the two.

    Raises:
        SettingError: fewer than two parts, a negative seed, two kinds of split at once.
        DataError: fewer rows, or groups, than parts; a gap in stratify or groups.
    """
    if count < 2:
        raise SettingError("folds", "too few parts", expected="at least 2", got=count)
    if stratify is not None and groups is not None:
        raise SettingError("folds", "rows are split in one way", got="stratify and groups")
    part = np.empty(n, np.int64)
    codes = None if groups is None else _codes("groups", groups, n)
    whole = n if codes is None else len(np.unique(codes))
    if whole < count:
        what = "rows" if codes is None else "groups"
        raise DataError(
            "folds", f"fewer {what} than parts", expected=f"at least {count}", got=whole
        )
    if codes is not None:
        part = _group_parts(codes, count, seed)[codes]
    else:
        order = shuffled(n, seed)
        if stratify is not None:
            order = order[np.argsort(_codes("stratify", stratify, n)[order], kind="stable")]
        part[order] = np.arange(n) % count
    return [np.flatnonzero(part == k) for k in range(count)]


def _group_parts(codes: Rows, count: int, seed: int) -> Rows:
    """The part of each group: groups go, largest first, to the part that is smallest so far."""
    sizes = np.bincount(codes)
    order = shuffled(len(sizes), seed)
    order = order[np.argsort(-sizes[order], kind="stable")]
    part, filled = np.empty(len(sizes), np.int64), np.zeros(count, np.int64)
    for group in order:
        part[group] = np.argmin(filled)
        filled[part[group]] += sizes[group]
    return part


def _moments(time: Any) -> tuple[Any, str]:
    """Texts converted to dates or numbers, so that 02.01.2021 follows 01.12.2020."""
    if not isinstance(time, Column):
        array = np.asarray(time)
        if array.ndim != 1 or not len(array) or array.dtype.kind not in "OU":
            return time, ""
        time = from_mapping({"time": array})["time"]
    if time.storage != "text":
        return time, ""
    kind = guess_kind(time).name
    if kind == "date":
        return dates_of(time), ""
    if kind == "number":
        return numbers_of(time, number_form(time))[0], ""
    return time, ", sorted as text"


def _codes(name: str, values: Any, n: int) -> Rows:
    """The rank of each row's value among the distinct values, (n,). Raises for gaps."""
    column = values if isinstance(values, Column) else None
    array = np.asarray(values) if column is None else column.values
    if column is not None and column.written is not None and name != "time":
        array = column.labels()[0]  # the texts of the file
    if array.shape != (n,):
        raise DataError("holdout", f"{name}= has another shape than the rows",
                        expected=f"({n},)", got=array.shape)  # fmt: skip
    missing = column.missing if column is not None else _gaps(array)
    if missing.any():
        raise DataError(
            "holdout",
            f"{name}= has gaps",
            got=f"{missing.sum():,} of {n:,} rows, the first is row {missing.argmax() + 1}",
            fix="leave those rows out first",
        )
    if array.dtype.kind == "O":
        array = array.astype(str)
    return np.unique(array, return_inverse=True)[1].astype(np.int64)


def _gaps(array: NDArray[Any]) -> NDArray[np.bool_]:
    if array.dtype.kind == "O":
        return np.array([value is None or value != value for value in array], bool)
    return np.asarray(array != array)  # NaN and NaT differ from themselves


def _latest(codes: Rows, size: int) -> Rows:
    """The rows from a point in time on, as close to `size` rows as undivided points allow."""
    after = np.append(np.bincount(codes)[::-1].cumsum()[::-1], 0)  # rows at or after each moment
    if len(after) < 3:
        raise DataError("holdout", "all rows have the same time", fix="leave out time=")
    cut = 1 + int(np.argmin(np.abs(after[1:-1] - size)))
    return np.flatnonzero(codes >= cut)


def _group_rows(codes: Rows, size: int, seed: int) -> Rows:
    """The rows of shuffled groups, as close to `size` rows as undivided groups allow."""
    counts = np.bincount(codes)
    if len(counts) < 2:
        raise DataError("holdout", "all rows are in one group", fix="leave out groups=")
    order = shuffled(len(counts), seed)
    total = counts[order].cumsum()[:-1]  # the last group always trains
    taken = 1 + int(np.argmin(np.abs(total - size)))
    return np.flatnonzero(np.isin(codes, order[:taken]))


def _stratified(codes: Rows, size: int, seed: int) -> Rows:
    """`size` rows, allotted to classes by largest remainder; each class keeps one to train."""
    counts = np.bincount(codes)
    ideal = counts * (size / len(codes))
    quota = np.minimum(np.floor(ideal).astype(np.int64), counts - 1)
    for label in np.lexsort((-counts, quota - ideal)):  # largest remainder first, then size
        if quota.sum() < size and quota[label] < counts[label] - 1:
            quota[label] += 1
    if not quota.any():
        raise DataError("holdout", "no class has two rows", fix="hold out none: validation=0")
    order = shuffled(len(codes), seed)
    by_class = order[np.argsort(codes[order], kind="stable")]
    rank = np.arange(len(codes)) - np.repeat(counts.cumsum() - counts, counts)
    return by_class[rank < np.repeat(quota, counts)]
