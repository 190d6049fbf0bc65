"""The arguments of an estimator as arrays: features, weights, columns of data frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_array

from chainrule.data.columns.target import Target
from chainrule.data.readers.sources import read
from chainrule.data.schema import Schema
from chainrule.data.table import Table, refuse_duplicates
from chainrule.errors import DataError, SettingError

Array = npt.NDArray[Any]
CATEGORICAL = ("Categorical", "Enum")
TEXTUAL = ("String", "Object", "Unknown")


def column_types(X: Any) -> dict[str, str] | None:
    """The names of a data frame's column types; None for other data."""
    if isinstance(X, np.ndarray) or not hasattr(X, "columns"):
        return None
    refuse_duplicates([str(name) for name in X.columns], "X")
    import narwhals.stable.v1 as nw  # noqa: PLC0415  (50 ms)

    frame = nw.from_native(X, eager_only=True, pass_through=True)
    if not isinstance(frame, nw.DataFrame):
        return None
    return {str(name): str(dtype).split("(")[0] for name, dtype in frame.schema.items()}


def chosen_columns(given: Any, names: Sequence[str]) -> list[str]:
    """Columns named by a list of names or positions, or by a mask. Raises SettingError."""
    items = np.asarray(given)
    if items.dtype.kind == "b" and items.shape == (len(names),):
        return [name for name, chosen in zip(names, items, strict=True) if chosen]
    if items.dtype.kind in "iu" and items.size:
        if items.min() >= -len(names) and items.max() < len(names):
            return [names[i] for i in items.ravel()]
    elif all(str(item) in names for item in items.ravel()):
        return [str(item) for item in items.ravel()]
    raise SettingError(
        "categorical_features", "a column is not there", got=repr(given),
        expected=f"names, positions or a mask of {len(names)} columns: " + ", ".join(names[:12]),
    )  # fmt: skip


def learn(X: Any, preprocess: bool | str, categorical: Any) -> tuple[Schema, Table] | None:
    """X as a table and its schema; None where X holds only numbers.

    Args:
        preprocess: True, False, or "auto": where a column is not a number, or is listed.
        categorical: "from_dtype", a list of columns, a mask, or None.
    """
    types = column_types(X)
    listed = categorical is not None and not isinstance(categorical, str)
    special = types is not None and bool(set(types.values()) & _SPECIAL)
    if not (preprocess is True or (preprocess == "auto" and (listed or special))):
        return None
    table = read_table(X)
    if types is None:
        kinds = dict.fromkeys(table.columns, "number")
    else:
        kinds = {name: kind for name, t in types.items() if (kind := _kind(t))}
    if listed:
        kinds |= dict.fromkeys(chosen_columns(categorical, table.columns), "category")
    try:
        return Schema.learn(table, kinds=kinds), table
    except DataError as error:
        if error.fix is not None and "kinds=" in error.fix:
            error.fix = "list a column in categorical_features= to have it taken in any case"
        raise


_SPECIAL = {*CATEGORICAL, *TEXTUAL, "Date", "Datetime"}


def _kind(dtype: str) -> str | None:
    """The kind of a column by its type; None where it depends on the values."""
    if dtype in CATEGORICAL:
        return "category"
    if dtype in TEXTUAL or dtype in ("Date", "Datetime", "Time"):
        return None
    return "boolean" if dtype == "Boolean" else "number"


def read_table(X: Any) -> Table:
    """X as a table; the columns of an array are x0, x1 and so on."""
    if hasattr(X, "columns"):
        return read(X)
    return read(np.asarray(X))


def encoded(schema: Schema, X: Any) -> tuple[Mapping[str, Array], list[str]]:
    """The columns as arrays by the names of the graph's inputs, and notes on the data."""
    found = schema.encode(read_table(X), "none")
    return found.arrays, found.notes


def dense(X: Any) -> Array:
    """A dense array of an array or a sparse matrix."""
    return np.ascontiguousarray(X.toarray() if hasattr(X, "toarray") else X)


def refuse_gaps(y: Any) -> None:
    """Raise ValueError where labels other than numbers are missing."""
    labels = np.asarray(y)
    if labels.dtype.kind != "O" or labels.ndim != 1:
        return
    gone = (x is None or type(x).__name__ in ("NAType", "NaTType") for x in labels)
    gaps = np.flatnonzero(np.fromiter(gone, bool, len(labels)))
    if len(gaps):
        raise ValueError(
            f"y has {len(gaps):,} gaps, the first in row {gaps[0] + 1:,} of {len(labels):,}: "
            "leave out rows without a label"
        )


def weights_of(given: Any, n: int, dtype: str) -> Array | None:
    """Weights of n examples, (n,). Raises ValueError for wrong shapes and impossible weights."""
    if given is None:
        return None
    given = np.asarray(given)
    if given.ndim == 0:
        given = np.full(n, given)
    weights: Array = check_array(
        given, ensure_2d=False, dtype=dtype, input_name="sample_weight", order="C"
    )
    if weights.ndim != 1:
        raise ValueError(f"Sample weights must be 1D array or scalar, got {weights.ndim}D array.")
    if len(weights) != n:
        raise ValueError(f"sample_weight has {len(weights)} numbers for {n} examples")
    if (weights < 0).any():
        raise ValueError("Negative values in sample_weight: weights are 0 or more")
    if not weights.any():
        raise ValueError("All sample_weight are zero: at least one example has to count")
    return weights


def with_target(schema: Schema, name: object, learned: Callable[[str], Target | None]) -> Schema:
    """The schema with a target, under a name that no column has."""
    called = name if isinstance(name, str) and name else "y"
    while any(encoder.name == called for encoder in schema.columns):
        called += "_"
    return msgspec.structs.replace(schema, target=learned(called))
