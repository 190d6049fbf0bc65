"""The target's encoders: class labels or numbers, and their inverse for predictions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from chainrule.data.column import Codes, Column, Floats
from chainrule.data.columns.cells import (
    NO_TEXTS,
    PLAIN_NUMBER,
    YES_TEXTS,
    DecimalMark,
    NumberForm,
    yes_or_no,
)
from chainrule.data.columns.encoder import (
    match_labels,
    not_all,
    number_form,
    numbers_of,
    refuse_infinite,
)
from chainrule.data.columns.stats import Stats, stats_of, tail_share
from chainrule.display.format import clip, counted, listed
from chainrule.errors import DataError

MIN_OUTLIER_IQRS = 20
"""Interquartile ranges from the median at which a number is an outlier."""
MAX_CLASSES = 10_000
MIN_HEAVY_TAIL = 0.8
"""The `tail_share` from which a target has a heavy tail."""

LabelType = Literal["str", "int", "float", "bool"]
_READ: dict[str, Callable[[str], Any]] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": lambda label: label == "True",
}


class ClassTarget(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="task",
    tag="classification",
):  # fmt: skip
    """Sorted class labels of their original type, and the number of rows of each.

    gap_texts: the texts that training read as gaps.
    weights: by which the probabilities are multiplied before the highest decides; empty: all 1.
    """

    name: str
    reason: str
    labels: tuple[str, ...]
    counts: tuple[int, ...]
    type: LabelType
    gap_texts: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()

    task: ClassVar[str] = "classification"

    def __post_init__(self) -> None:
        if len(self.labels) < 2 or len(set(self.labels)) != len(self.labels):
            raise ValueError("a target needs at least two distinct classes")
        if len(self.counts) != len(self.labels) or min(self.counts) < 1:
            raise ValueError("each class needs its count of rows")
        if self.weights and (len(self.weights) != len(self.labels) or min(self.weights) <= 0):
            raise ValueError("each class needs a weight above 0")
        for label in self.labels:
            _READ[self.type](label)

    @classmethod
    def fit(cls, column: Column, reason: str = "") -> ClassTarget:
        """Learn the classes. Raises DataError for one class, or one class a row."""
        codes, labels = column.labels()
        counts = column.counts(codes, len(labels))
        used = np.flatnonzero(counts)
        if len(used) == 1:
            raise DataError(
                f"target {column.name!r}",
                "has a single class: there is nothing to predict",
                got=f"{labels[used[0]]!r} in all {counted(column.rows, 'row')}",
            )
        if len(used) > 50 and counts.max() == 1:
            raise DataError(
                f"target {column.name!r}",
                "every row has a class of its own",
                got=f"{len(used):,} distinct values",
                fix="choose another target, or task='regression' for numbers",
            )
        if len(used) > MAX_CLASSES:
            raise DataError(
                f"target {column.name!r}",
                f"has {len(used):,} classes: too many to distinguish",
                expected=f"at most {MAX_CLASSES:,}",
                got=f"{column.rows / len(used):.1f} rows a class",
                fix="choose another target, or join classes",
            )
        if len(used) > 2 and yes_or_no(words := [labels[i] for i in used]):  # yes, Y and TRUE
            yes = np.array([word.lower() in YES_TEXTS for word in words])
            return cls(name=column.name, reason=reason, labels=("False", "True"), type="bool",
                       counts=(int(counts[used][~yes].sum()), int(counts[used][yes].sum())),
                       )  # fmt: skip
        kind = _label_type(column, [labels[i] for i in used])
        if kind == "str":
            used = used[by_numbers([labels[i] for i in used])]
        return cls(name=column.name, reason=reason, labels=tuple(labels[i] for i in used),
                   counts=tuple(counts[used].tolist()), type=kind,
                   gap_texts=tuple(column.gap_texts))  # fmt: skip

    @property
    def classes(self) -> NDArray[Any]:
        """The labels as an array of their original type, in the order of the codes."""
        return np.array([_READ[self.type](label) for label in self.labels])

    def unseen(self, column: Column) -> NDArray[np.bool_]:
        """The rows with a class that training did not have, (n,)."""
        return np.asarray(self._places(column)[0] == -2)

    def _places(self, column: Column) -> tuple[Codes, Codes, list[str]]:
        """The classes of the cells (n,), -1 for a gap, -2 for none; codes and labels."""
        if self.type == "bool":
            codes, labels = column.typed.labels()
            place = {label: i for i, label in enumerate(self.labels)}
            place |= {word: i for i, label in enumerate(self.labels)
                      for word in (YES_TEXTS if label == "True" else NO_TEXTS)}  # fmt: skip
            found = [place.get(label, place.get(label.lower(), -2)) for label in labels]
            return np.array([*found, -1], np.int32)[codes], codes, list(labels)
        return match_labels(column, self.labels, gaps=self.gap_texts, by_number=self.type != "str")

    def encode(self, column: Column) -> Codes:
        """(n,) int32, -1 for a gap. Raises DataError for a class that training did not have."""
        encoded, codes, labels = self._places(column)
        odd = encoded == -2
        if odd.any():
            found = [labels[i] for i in np.unique(codes[odd])]
            raise DataError(
                f"target {self.name!r}",
                "has classes that training did not have",
                expected=listed([clip(repr(label)) for label in self.labels]),
                got=f"{listed([clip(repr(label)) for label in found], 5)} in "
                f"{counted(int(odd.sum()), 'row')}, the first is row {int(odd.argmax()) + 1}",
                fix="correct or leave out those rows, or train on data that has them",
            )
        return encoded

    def balanced(self) -> ClassTarget:
        """The same, deciding as if all classes were equally frequent."""
        mean = sum(self.counts) / len(self.counts)
        return msgspec.structs.replace(self, weights=tuple(mean / count for count in self.counts))

    def decided(self, probabilities: NDArray[Any]) -> NDArray[Any]:
        """Probabilities (n, classes) times the weights, in shares of 1: the highest decides."""
        return decided(probabilities, self.weights)

    @property
    def decision(self) -> str:
        """The note on the weights; empty without them."""
        if not self.weights:
            return ""
        how = "classes are decided with class weights, not by the highest probability alone"
        if len(self.weights) > 2:
            return how
        first, second = self.weights
        return f"{how}: {self.labels[1]!r} from {first / (first + second):.2g} on"

    def decode(self, codes: NDArray[Any]) -> NDArray[Any]:
        """Labels of their original type from class numbers."""
        return np.asarray(self.classes[np.asarray(codes)])


def by_numbers(labels: Sequence[str]) -> list[int]:
    """The order in which numbers in labels count by their value: day 2 comes before day 10."""
    if all(map(PLAIN_NUMBER.fullmatch, labels)):
        return sorted(range(len(labels)), key=lambda k: float(labels[k]))
    parts = [re.split(r"(\d+)", label) for label in labels]
    keys = [[(int(x) if k % 2 else 0, x) for k, x in enumerate(row)] for row in parts]
    return sorted(range(len(labels)), key=keys.__getitem__)


def _label_type(column: Column, labels: Sequence[str]) -> LabelType:
    """The type of class labels; numbers of a file stay text where Python writes them otherwise."""
    types: dict[str, LabelType] = {"integer": "int", "number": "float", "boolean": "bool"}
    found = types.get(column.storage, "str")
    if found in ("int", "float") and column.written is not None:
        same = all(str(_READ[found](label)) == label for label in labels)
        return found if same else "str"
    return found


def decided(probabilities: NDArray[Any], weights: Sequence[float]) -> NDArray[Any]:
    """Probabilities (n, classes) times weights, in shares of 1; as they are without weights."""
    if not weights:
        return probabilities
    weighted = probabilities * np.array(weights)
    return np.asarray(weighted / weighted.sum(axis=-1, keepdims=True))


class NumberTarget(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="task",
    tag="regression",
):  # fmt: skip
    """A number to predict, its statistics, and the `tail_share` of its values."""

    name: str
    reason: str
    stats: Stats
    decimal: DecimalMark = "."
    unit: str = ""
    tail: float = 0.0

    task: ClassVar[str] = "regression"

    @classmethod
    def fit(cls, column: Column, reason: str = "") -> NumberTarget:
        """Learn the statistics. Raises DataError where no cell is a number, or all are equal."""
        form = number_form(column)
        values = refuse_infinite(numbers_of(column, form)[0], column.name)
        stats = stats_of(values, column.weights)
        if not stats.count:
            raise not_all(column, "number", "no cell is a number")
        if stats.quantiles[0] == stats.quantiles[-1]:
            raise DataError(
                f"target {column.name!r}",
                "has one value in all rows: there is nothing to predict",
                got=stats.median,
            )
        return cls(name=column.name, reason=reason, stats=stats, decimal=form.decimal,
                   unit=form.unit, tail=tail_share(values, column.weights))  # fmt: skip

    @property
    def form(self) -> NumberForm:
        """The notation of numbers in texts."""
        return NumberForm(self.decimal, self.unit)

    @property
    def heavy(self) -> bool:
        """Whether a few outliers would dominate the squared error.

        False where the middle half of the rows has a single value, such as 0: then the outliers
        are the signal; and where they are far out only because there are few rows.
        """
        (below, above), (low, *_, high) = self.stats.quartiles, self.stats.quantiles
        unit = above - below
        farthest = max(high - self.stats.median, self.stats.median - low)
        return self.tail > MIN_HEAVY_TAIL and farthest > MIN_OUTLIER_IQRS * unit > 0

    def encode(self, column: Column) -> Floats:
        """(n,) float64, NaN for a gap."""
        return refuse_infinite(numbers_of(column, self.form)[0], self.name)

    def decode(self, values: NDArray[Any]) -> NDArray[Any]:
        """Returns the values: predictions are numbers already."""
        return np.asarray(values)


Target = ClassTarget | NumberTarget
