"""Cross-validation: a model for each part of the rows, scored on the part held out from it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.data.column import Column
from chainrule.data.split import folds
from chainrule.errors import SettingError
from chainrule.model.many import fit_many, several
from chainrule.model.model import Model
from chainrule.model.prepare import classes_of, divide, encode, prepare
from chainrule.model.state import Data
from chainrule.train.metrics import Metric
from chainrule.train.metrics.registry import FoldScores, Function
from chainrule.train.progress import Progress


def cross_validate(
    models: Iterable[Model],
    data: Data,
    *,
    validation: float | None = 0.2,
    groups: npt.ArrayLike | str | None = None,
    scores: Iterable[str | Metric | Function] | None = None,
    seed: int = 0,
    jobs: int | None = None,
    verbose: bool | str | Progress | None = True,
    **settings: Any,
) -> FoldScores:
    """The scores of models on rows held out from them: as many parts as there are models.

    The rows are divided into parts, by class where there are classes; each model is trained on
    all parts but one, many at once as in `fit_many`, and scored on that one.

    Args:
        models: of equal structure, not trained; seeds may differ.
        data: as for `Model.fit`.
        validation: the share of the rows of training that is held out to stop it; or None.
        groups: keep each group in one part: an entry for each row, or a column of the table.
        scores: metrics; None takes the defaults of the loss.
        seed: of the split.
        jobs, verbose, settings: as for `fit_many`.

    Raises:
        SettingError, DataError: there are too few models, rows or groups, or as `fit_many`.
    """
    models = several("cross_validate", models)
    if len(models) < 2:
        raise SettingError("cross_validate", "a model for each part", got=f"{len(models)} models")
    first = models[0]
    if first.schema is not None:
        data, groups = encode(first.schema, data, groups)
    values = groups.values if isinstance(groups, Column) else groups
    grouped = None if values is None else np.asarray(values)
    arrays = prepare(first, data, None, None, None).arrays
    rows = len(next(iter(arrays.values())))
    classes = classes_of(first, arrays) if grouped is None else None
    parts = folds(rows, len(models), seed, stratify=classes, groups=grouped)
    each = []
    for model, part in zip(models, parts, strict=True):
        others = np.setdiff1d(np.arange(rows), part, assume_unique=True)
        stratify, of_groups = (None if x is None else x[others] for x in (classes, grouped))
        each.append({"data": divide(
            arrays, others, validation, model.seed, stratify=stratify, groups=of_groups
        )})  # fmt: skip
    fit_many(models, data, each=each, jobs=jobs, verbose=verbose, **settings)
    return FoldScores(x.score(arrays, part, scores) for x, part in zip(models, parts, strict=True))
