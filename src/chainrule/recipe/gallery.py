"""The pictures of a report: those that were taken for another class, and first filters."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.data.columns.pictures import PictureColumn
from chainrule.display.format import clip_names, number
from chainrule.display.png import between, data_uri
from chainrule.graph.node import Parameter
from chainrule.model.model import Model
from chainrule.recipe.evaluation import answers, worst_rows
from chainrule.report.results import Evaluation
from chainrule.report.rows import Picture

WORST = 18
"""Pictures that were predicted worst."""
FILTERS = 64
"""Filters of the first layer that are drawn."""


def worst_pictures(model: Model, evaluation: Evaluation) -> list[Picture]:
    """The pictures with the largest errors, the worst first; of classes, only those mistaken."""
    schema = model.schema
    assert schema is not None
    column = next((x for x in schema.used if isinstance(x, PictureColumn)), None)
    if column is None:
        return []
    rows = worst_rows(evaluation.outcome, WORST)
    encoded, outcome = evaluation.encoded, evaluation.outcome
    names = encoded.names.get(column.name)
    short = dict(zip(outcome.classes or (), clip_names(outcome.classes or (), 40), strict=True))
    found = []
    for row, answer in zip(rows, answers(outcome, rows), strict=True):
        place = f"row {encoded.rows[row] + 1}" if names is None else str(names[row])
        predicted, actual = answer["predicted"], answer["actual"]
        if "probability" in answer:
            predicted, actual = short[predicted], short[actual]
            told = f"{predicted}, {100 * answer['probability']:.0f}\u00a0%"
        else:
            predicted, actual = number(predicted), number(actual)
            told = predicted
        found.append(Picture(
            _drawn(encoded.arrays[column.name][row], column), f"{actual}", told, place
        ))  # fmt: skip
    return found


def _drawn(cell: npt.NDArray[Any], column: PictureColumn) -> str:
    """A picture as the address of an <img>; numbers that are not bytes are scaled."""
    if cell.dtype != np.uint8:
        mean, std = np.array(column.mean), np.array(column.std)
        whole = cell.min() >= 0 and cell.max() > 1 and (mean + 3 * std).max() > 2
        low, high = (0.0, 255.0) if whole else (float(cell.min()), float(cell.max()))
        cell = between(cell, low, high)
    return data_uri(cell if cell.shape[-1] in (1, 3) else cell[..., :1])


def first_filters(model: Model) -> list[str]:
    """The weights of the first convolution that reads pixels, as addresses of <img>.

    Grey is 0, white the largest weight of a filter, and black its negative.
    """
    weights = next(
        (x for x in model.graph.nodes if isinstance(x, Parameter) and _reads_pixels(x)), None
    )
    if weights is None:
        return []
    values = model.value(weights)  # (kh, kw, channels, filters)
    most = np.abs(values).max(axis=(0, 1, 2))
    return [
        data_uri(between(values[..., k], -float(most[k]), float(most[k])))
        for k in range(min(values.shape[-1], FILTERS))
    ]


def _reads_pixels(x: Parameter) -> bool:
    return x.suffix == ".w" and x.ndim == 4 and x.shape[2] in (1, 3) and x.shape[0] != 1
