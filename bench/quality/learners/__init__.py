"""The compared learners, one module each, imported only by a worker of that learner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol, cast

from bench.quality.sets import Frame, Set
from bench.systems import OURS


class Learner(Protocol):
    """One learner, before or after fitting."""

    def fit(self, table: Frame) -> None:
        """Fits rows with their target; all choices are made on these rows alone."""

    def predict(self, table: Frame) -> Any:
        """Probabilities (n, classes) in the order of `labels`, or numbers (n,)."""

    @property
    def labels(self) -> Any:
        """The classes, as in the target column."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Its settings, given and chosen."""


@dataclass(frozen=True)
class Entry:
    """The module and class of a learner.

    Attributes:
        module: of this package.
        kind: the class in it: made with a set, a seed and a number of threads.
        arguments: the class's other ones.
    """

    module: str
    kind: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ours(self) -> bool:
        """Whether it runs in Chainrule's environment."""
        return self.module == "chainrule"


LEARNERS = {
    f"{OURS} fast": Entry("chainrule", "Recipe", {"quality": "fast"}),
    f"{OURS} balanced": Entry("chainrule", "Recipe", {"quality": "balanced"}),
    f"{OURS} best": Entry("chainrule", "Recipe", {"quality": "best"}),
    "MLP": Entry("sklearn", "Perceptron"),
    "MLP searched": Entry("sklearn", "Searched"),
    "linear": Entry("sklearn", "Linear"),
    "forest": Entry("sklearn", "Forest"),
    "boosting": Entry("sklearn", "Boosting"),
    "RealMLP-TD": Entry("realmlp", "RealMLP"),
}


def make(name: str, table: Set, seed: int, threads: int) -> Learner:
    """Imports a learner."""
    entry = LEARNERS[name]
    kind = getattr(import_module(f"bench.quality.learners.{entry.module}"), entry.kind)
    return cast(Learner, kind(table, seed, threads, **entry.arguments))
