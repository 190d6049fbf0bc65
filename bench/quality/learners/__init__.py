"""The learners that are compared: a module each, which only a worker of that learner imports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol, cast

from bench.quality.sets import Frame, Set
from bench.systems import OURS


class Learner(Protocol):
    """One learner, before or after it has learned a table."""

    def fit(self, table: Frame) -> None:
        """Learn from rows with their target; all choices are made on these rows alone."""

    def predict(self, table: Frame) -> Any:
        """Probabilities (n, classes) in the order of `labels`, or numbers (n,)."""

    @property
    def labels(self) -> Any:
        """The classes, as the target's column had them."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What it was set to, and what it chose."""


@dataclass(frozen=True)
class Entry:
    """Where a learner is.

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
        """Whether Chainrule's own environment has it."""
        return self.module == "chainrule"


LEARNERS = {
    f"{OURS} fast": Entry("chainrule", "Recipe", {"quality": "fast"}),
    f"{OURS} balanced": Entry("chainrule", "Recipe", {"quality": "balanced"}),
    f"{OURS} best": Entry("chainrule", "Recipe", {"quality": "best"}),
    "MLP": Entry("sklearn", "Perceptron"),
    "MLP searched": Entry("sklearn", "Searched"),
    "linear": Entry("sklearn", "Linear"),
    "boosting": Entry("sklearn", "Boosting"),
    "RealMLP-TD": Entry("realmlp", "RealMLP"),
}


def make(name: str, table: Set, seed: int, threads: int) -> Learner:
    """A learner, imported now."""
    entry = LEARNERS[name]
    kind = getattr(import_module(f"bench.quality.learners.{entry.module}"), entry.kind)
    return cast(Learner, kind(table, seed, threads, **entry.arguments))
