"""Tables from objects in memory: arrays, dicts, records and data frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.column import Column
from chainrule.data.columns.texts import Notes, coded, list_note, text_column
from chainrule.data.table import Table, refuse_duplicates
from chainrule.errors import DataError

NESTED = (list, tuple, dict, np.ndarray, set)


def from_mapping(data: Mapping[Any, Any], source: str = "a dict") -> Table:
    """Returns a table of the dict's columns: arrays, lists, series."""
    notes = Notes()
    columns = [_from_any(str(name), values, source, notes) for name, values in data.items()]
    return Table(columns, source=source, notes=notes.lines())


def from_records(records: Sequence[Mapping[Any, Any]]) -> Table:
    """Returns a table of a list of dicts, one per row; names that a record lacks are gaps."""
    names = list(dict.fromkeys(name for record in records for name in record))
    columns = {name: [record.get(name) for record in records] for name in names}
    return from_mapping(columns, "a list of dicts")


def from_array(array: NDArray[Any]) -> Table:
    """Returns a table of a 2-D array (columns x0, x1, ...) or of a structured array's fields."""
    if array.dtype.names:
        return from_mapping({name: array[name] for name in array.dtype.names}, "a NumPy array")
    if array.ndim != 2:
        raise DataError(
            "a NumPy array",
            "is not a table",
            expected="two axes: rows and columns",
            got=f"shape {array.shape}",
            fix="use x[:, None] for one column, x.reshape(len(x), -1) to flatten each example",
        )
    return from_mapping({f"x{i}": array[:, i] for i in range(array.shape[1])}, "a NumPy array")


def from_frame(frame: Any) -> Table | None:
    """Returns a table of any data frame that narwhals knows, or None for other objects."""
    import narwhals.stable.v1 as nw  # noqa: PLC0415  (50 ms)

    source = f"a {type(frame).__module__.split('.')[0]} {type(frame).__name__}"
    if not hasattr(frame, "collect") and hasattr(frame, "columns"):  # narwhals has a worse message
        names = getattr(frame, "column_names", frame.columns)
        refuse_duplicates([str(name) for name in names], source)
    wrapped = nw.from_native(frame, pass_through=True)
    if not isinstance(wrapped, (nw.DataFrame, nw.LazyFrame)):
        return None
    eager = wrapped.collect() if isinstance(wrapped, nw.LazyFrame) else wrapped
    notes = Notes()
    columns = [_from_series(str(s.name), s, source, notes) for s in eager.iter_columns()]
    return Table(columns, source=source, notes=notes.lines())


def _from_series(name: str, series: Any, source: str, notes: Notes) -> Column:
    """A column of a narwhals series."""
    import narwhals.stable.v1 as nw  # noqa: PLC0415  (50 ms)

    dtype = series.dtype
    if dtype == nw.Datetime:
        if dtype.time_zone is not None:
            series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return _from_array_column(name, series.to_numpy(), source, notes)
    if dtype == nw.Date:
        return _from_array_column(name, series.cast(nw.Datetime("us")).to_numpy(), source, notes)
    if not (dtype.is_integer() or dtype.is_float() or dtype == nw.Boolean):
        return _from_objects(name, series.to_list(), source, notes)
    missing = series.is_null().to_numpy()
    if not missing.any():
        return _from_array_column(name, series.to_numpy(), source, notes)
    if dtype.is_float():
        values = np.array(series.fill_null(float("nan")).to_numpy(), np.float64)
        return Column(name, "number", values)
    filled = series.fill_null(False if dtype == nw.Boolean else 0).to_numpy()
    if dtype == nw.Boolean:
        return Column(name, "boolean", filled.astype(bool), mask=missing.astype(bool))
    return Column(name, "integer", filled, mask=missing.astype(bool))


def _from_any(name: str, values: Any, source: str, notes: Notes) -> Column:
    """A column of an array, a series, or any sequence of values."""
    if isinstance(values, np.ndarray):
        return _from_array_column(name, values, source, notes)
    if hasattr(values, "dtype") or hasattr(values, "type"):  # a series of some data frame library
        import narwhals.stable.v1 as nw  # noqa: PLC0415  (50 ms)

        series = nw.from_native(values, allow_series=True, pass_through=True)
        if isinstance(series, nw.Series):
            return _from_series(name, series, source, notes)
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise DataError(
            source,
            f"column {name!r} is one value, not a column",
            expected="a list or array, one value per row",
            got=repr(values),
            fix=f"{{{name!r}: [{values!r}]}}",
        )
    return _from_objects(name, list(values), source, notes)


def _from_array_column(name: str, array: NDArray[Any], source: str, notes: Notes) -> Column:
    """A column of an array, (n,) or (n, 1); numbers are not copied."""
    array, mask = _flat(name, array, source), None
    if array.ndim > 1:
        return _grids(name, array, source)
    if isinstance(array, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(array) if np.ma.is_masked(array) else None
        array = array.data
    kind = array.dtype.kind
    if kind == "f":
        if array.dtype.itemsize not in (4, 8) or mask is not None:
            array = array.astype(np.float64)
        if mask is not None:
            array[mask] = np.nan
        return Column(name, "number", array)
    if kind in "iu":
        return Column(name, "integer", array, mask=mask)
    if kind == "b":
        return Column(name, "boolean", array, mask=mask)
    if kind == "M":
        stamps = array.astype("datetime64[us]")
        return Column(name, "date", stamps if mask is None else _gapped(stamps, mask))
    if kind == "m":
        seconds = array / np.timedelta64(1, "s")  # NaT becomes NaN
        return Column(name, "number", seconds)
    if kind in "US":
        texts, codes = np.unique(array.astype(str), return_inverse=True)
        return _texts(name, codes.astype(np.int32), texts.tolist(), notes, mask)
    if kind == "O":
        values = array.tolist()
        if mask is not None:
            values = [None if gap else value for value, gap in zip(values, mask, strict=True)]
        return _from_objects(name, values, source, notes)
    raise DataError(
        source,
        f"column {name!r} has element type {array.dtype}",
        expected="numbers, booleans, texts or dates",
        fix="split complex numbers into two columns" if kind == "c" else None,
    )


def _flat(name: str, array: NDArray[Any], source: str) -> NDArray[Any]:
    """The array as (n,), or as (n, ...) of pictures. Raises DataError for several columns."""
    if array.ndim == 2 and array.shape[1] == 1:
        return array[:, 0]
    if array.ndim > 2:
        return array
    if array.ndim != 1:
        raise DataError(
            source,
            f"column {name!r} has {array.ndim} axes",
            expected="shape (rows,)",
            got=f"shape {array.shape}",
            fix="give the 2-D array itself, or one name for each of its columns; "
            "a signal has three axes: x[:, :, None]",
        )
    return array


def _grids(name: str, array: NDArray[Any], source: str) -> Column:
    """A column of arrays, such as pictures. Raises DataError for others than finite numbers."""
    if array.dtype.kind not in "fiub" or np.ma.isMaskedArray(array):
        raise DataError(source, f"column {name!r} has element type {array.dtype}",
                        expected="numbers, none of them masked",
                        got=f"shape {array.shape}")  # fmt: skip
    if not np.isfinite(array).all():
        row = int((~np.isfinite(array)).reshape(len(array), -1).any(axis=1).argmax())
        raise DataError(source, f"column {name!r} holds NaN or an infinity", at=f"row {row + 1}",
                        expected="finite numbers in the arrays of a column",
                        fix="leave such rows out, or put 0 there: np.nan_to_num(x)")  # fmt: skip
    return Column(name, "array", array)


def _gapped(stamps: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
    stamps[mask] = np.datetime64("NaT", "us")
    return stamps


def _texts(
    name: str, codes: NDArray[np.int32], levels: list[str], notes: Notes,
    mask: NDArray[np.bool_] | None = None,
) -> Column:  # fmt: skip
    if mask is not None:
        codes = np.where(mask, np.int32(-1), codes)
    return text_column(name, codes, levels, notes, typed=True)


def _from_objects(name: str, values: list[Any], source: str, notes: Notes) -> Column:
    """A column of Python values; a mixture of types becomes text and is noted."""
    missing = np.array([_is_gap(value) for value in values], bool)
    kept = [None if gap else value for value, gap in zip(values, missing, strict=True)]
    kinds = {type(value) for value in kept} - {type(None)}
    if not kinds:
        return Column(name, "number", np.full(len(values), np.nan))
    mask = missing if missing.any() else None
    if all(issubclass(kind, (bool, np.bool_)) for kind in kinds):
        return Column(name, "boolean", _filled(values, missing, False, bool), mask=mask)
    numeric = [k for k in kinds if issubclass(k, Real) or hasattr(k, "as_integer_ratio")]
    if len(numeric) == len(kinds) and not any(issubclass(k, (bool, np.bool_)) for k in kinds):
        if all(issubclass(kind, Integral) for kind in kinds):
            present = [int(value) for value in kept if value is not None]
            if min(present) >= -(2**63) and max(present) < 2**63:
                return Column(name, "integer", _filled(values, missing, 0, np.int64), mask=mask)
        return Column(name, "number", _filled(values, missing, np.nan, np.float64))
    if all(issubclass(kind, (date, datetime, np.datetime64)) for kind in kinds):
        stamps = [None if value is None else _stamp(value) for value in kept]
        return Column(name, "date", np.array(stamps, "datetime64[us]"))
    if all(issubclass(kind, (timedelta, np.timedelta64)) for kind in kinds):
        spans = np.array(kept, "timedelta64[us]")
        return Column(name, "number", spans / np.timedelta64(1, "s"))
    if any(issubclass(kind, NESTED) for kind in kinds):
        kept = _lists(kept) or []
        if not kept:
            raise _nested(name, values, source)
        kinds = {str}
        notes.add(list_note(name))
    if kinds != {str} and len(kinds) > 1:
        mixture = ", ".join(sorted(kind.__name__ for kind in kinds))
        notes.add(f"column {name!r}: a mixture of {mixture} read as text")
    codes, levels = coded(["" if value is None else str(value) for value in kept])
    return _texts(name, codes, levels, notes)


def _lists(values: list[Any]) -> list[str | None] | None:
    """Lists of numbers as texts, as files of JSON have them; None where there is anything else."""
    try:
        arrays = [None if x is None else np.asarray(x) for x in values]  # None within: objects
        arrays = [x if x is None or x.dtype != object else x.astype(float) for x in arrays]
    except (ValueError, TypeError):
        return None
    if any(x is not None and (x.ndim != 1 or x.dtype.kind not in "iuf") for x in arrays):
        return None
    return [None if x is None else str(x.tolist()) for x in arrays]


def _nested(name: str, values: list[Any], source: str) -> DataError:
    row = next(i for i, value in enumerate(values) if isinstance(value, NESTED))
    return DataError(
        source,
        f"column {name!r} holds nested values",
        expected="one number, text, boolean or date per cell",
        got=f"{type(values[row]).__name__} in row {row + 1}",
        fix="give each part a column of its own",
    )


def _is_gap(value: Any) -> bool:
    """Whether a value is None, NaN, NaT or pandas.NA."""
    if value is None or type(value) is str:
        return value is None
    return type(value).__name__ in ("NAType", "NaTType") or (
        isinstance(value, (Real, np.datetime64, np.timedelta64)) and value != value
    )


def _filled(values: list[Any], missing: NDArray[np.bool_], gap: Any, dtype: Any) -> NDArray[Any]:
    if not missing.any():
        return np.array(values, dtype)
    return np.array([gap if m else v for v, m in zip(values, missing, strict=True)], dtype)


def _stamp(value: Any) -> Any:
    """A date or time in UTC, without its zone."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return np.datetime64(int(value.timestamp() * 1e6), "us")
    return np.datetime64(value, "us")
