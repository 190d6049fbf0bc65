"""Chainrule by one call of `cr.train`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import chainrule as cr
from bench.quality.sets import Frame, Set

Quality: TypeAlias = Literal["fast", "balanced", "best"]


class Recipe:
    """See Learner. The number of threads is that of the processors that the worker may use."""

    def __init__(self, table: Set, seed: int, threads: int, quality: Quality) -> None:
        self._table, self._seed, self._quality = table, seed, quality

    def fit(self, table: Frame) -> None:
        """See Learner."""
        self._model = cr.train(
            table, target=self._table.target, seed=self._seed, verbose=False,
            quality=self._quality,
        )  # fmt: skip

    def predict(self, table: Frame) -> Any:
        """See Learner."""
        return self._model.predict(table.drop(columns=self._table.target)).values

    @property
    def labels(self) -> Any:
        """See Learner."""
        assert self._model.schema is not None
        return self._model.schema.classes

    @property
    def settings(self) -> Mapping[str, Any]:
        """See Learner."""
        return dict(self._model.notes["config"])
