"""Arrays for a graph's inputs: checked, and cast where that loses nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from chainrule.errors import FeedError, did_you_mean
from chainrule.graph.node import Array, Input, Node
from chainrule.types import DTYPES, FLOATS, N, TensorType, show


def bind(
    inputs: Iterable[Input], names: Mapping[Input, str], feeds: Mapping[str, npt.ArrayLike]
) -> tuple[dict[Node, Array], int]:
    """Returns the arrays for the inputs, checked and cast, and the number of rows.

    Raises:
        FeedError: a name is missing or unknown, or an array has the wrong shape, type or number
            of rows.
    """
    wanted = {names[x]: x for x in inputs}
    if not isinstance(feeds, Mapping):
        raise FeedError(
            "feeds",
            "arrays are fed by the names of the inputs",
            expected="{" + ", ".join(f"{name!r}: array" for name in wanted) + "}",
            got=type(feeds).__name__,
        )
    if feeds.keys() != wanted.keys():
        unknown = [name for name in feeds if name not in wanted]
        missing = [name for name in wanted if name not in feeds]
        raise FeedError(
            "feeds",
            "the names do not match the graph's inputs",
            expected=", ".join(wanted) or "no inputs",
            got=", ".join(map(str, feeds)) or "nothing",
            fix=did_you_mean(str(unknown[0]), missing or wanted) if unknown else None,
        )
    values: dict[Node, Array] = {
        node: as_feed(f"input {name!r}", feeds[name], node.type) for name, node in wanted.items()
    }
    rows = {name: len(values[node]) for name, node in wanted.items() if node.batch}
    count = next(iter(rows.values()), 0)
    if any(n != count for n in rows.values()):
        raise FeedError(
            "feeds",
            "the inputs differ in their number of rows",
            got=", ".join(f"{name}: {n}" for name, n in rows.items()),
        )
    return values, count


_DTYPES = {name: np.dtype(name) for name in DTYPES}


def as_feed(where: str, value: npt.ArrayLike, type: TensorType) -> Array:
    """Returns `value` as an array of `type`; error messages begin with `where`.

    Raises:
        FeedError: its shape differs, or values cannot be represented: text, fractions for an
            integer input, a number too large for float32.
    """
    if isinstance(value, np.ndarray) and value.dtype is _DTYPES[type.dtype]:
        free = type.shape[:1] == (N,) and value.ndim > 0
        if value.shape[free:] == type.shape[free:]:
            return value  # the usual case
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise FeedError(
            where, "rows differ in length", expected=show(type.shape), got=str(error),
            fix="fill short rows up; of indices, such as with -1 for embedding_bag(padding=-1)",
        ) from None  # fmt: skip
    fits = array.ndim == type.ndim and all(
        not isinstance(want, int) or want == have
        for want, have in zip(type.shape, array.shape, strict=True)
    )
    if not fits:
        fix = None
        if type.shape[:1] == (N,) and array.shape == type.shape[1:]:
            fix = "one example still needs its batch axis: x[None]"
        elif type.ndim == 2 and array.ndim == 1 and type.shape[1] == 1:
            fix = "one column still needs its axis: array[:, None]"
        elif type.ndim == 1 and array.ndim == 2 and array.shape[1] == 1:
            fix = "take the column out: array[:, 0]"
        raise FeedError(
            where,
            "the shape does not fit",
            expected=type.sizes,
            got=show(array.shape),
            fix=fix,
        )
    if array.dtype == type.dtype:
        return array
    if array.dtype.kind not in "fiub":
        raise FeedError(
            where,
            "not numbers",
            expected=type.dtype,
            got=str(array.dtype),
            fix="encode text and categories first, or train from a table",
        )
    with np.errstate(all="ignore"):
        cast = array.astype(type.dtype)
        bad = cast != array if type.dtype not in FLOATS else np.isinf(cast) & ~np.isinf(array)
    if bad.any():
        row = np.argwhere(bad)[0]
        raise FeedError(
            where,
            f"a value does not fit in {type.dtype}",
            got=str(array[tuple(row)]),
            at="row " + ", ".join(map(str, row)) if array.ndim else None,
        )
    return cast
