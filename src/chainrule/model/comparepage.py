"""The documents of two models on the same few rows, for the page of their comparison."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule.data.table import Table
from chainrule.graph.step import STEP_INPUTS
from chainrule.model.model import Model
from chainrule.model.onrows import OnRows
from chainrule.model.seen import typical_row

MAX_WORST, MAX_ROWS = 6, 16
"""The rows of a page: those on which the models disagree most, and in all."""


def documents(
    models: tuple[Model, Model], data: Any, found: OnRows | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the document of each model on the same rows: at most `MAX_ROWS`.

    Without data they are the typical row of the model that reads more columns, or where each has
    columns of its own, each model's.

    Args:
        models: A and B.
        data: a Table, or arrays by name; None: there is none that both can read.
        found: the models on the data.
    """
    from chainrule.model.inspect import inspect  # noqa: PLC0415  (few programs need it)

    rows, why = None, dict[int, str]()
    if data is not None and found is not None:
        worst = [x.row - 1 for x in found.worst[:MAX_WORST]]
        why = dict.fromkeys(worst, "they disagree most")
        rows = _spread(worst, _count(models[0], data))
    shared = data if data is not None else _typical(models)
    a, b = (dict(inspect(x, _own(x, shared), rows, updates=False).document) for x in models)
    for document in (a, b):
        for k, form in enumerate(document["rows"]):
            if rows is not None:
                form["why"] = why.get(rows[k], "")
            elif shared is not None:
                form["label"] = "a typical row"
    return a, b


def _spread(first: list[int], count: int) -> list[int]:
    """Some rows, and others evenly spread over all, in the order of the data."""
    even = np.linspace(0, count - 1, min(count, MAX_ROWS)).round().astype(int).tolist()
    rows = [*first, *(x for x in even if x not in first)]
    return sorted(rows[:MAX_ROWS])


def _count(model: Model, data: Any) -> int:
    if isinstance(data, Table):
        return len(data)
    batched = (model.graph.name(x) for x in model.graph.inputs if x.batch)
    return len(np.asarray(next(data[name] for name in batched if name in data)))


def _own(model: Model, data: Any) -> Any:
    """The data that a model takes, as the other may have inputs of its own."""
    if not isinstance(data, Mapping):
        return data
    names = {model.graph.name(x) for x in model.graph.inputs if x not in STEP_INPUTS}
    return {name: x for name, x in data.items() if name in names}


def _typical(models: tuple[Model, Model]) -> Table | None:
    """The typical row of one model that the other can read, too; None where there is none."""
    a, b = (x.schema for x in models)
    if a is None or b is None:
        return None
    names = [{e.name for e in x.used} for x in (a, b)]
    if names[1] <= names[0]:
        return typical_row(a)
    return typical_row(b) if names[0] <= names[1] else None
