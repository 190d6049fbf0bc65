"""The predictions for a table: labels with their probabilities, or numbers."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.data.columns.target import ClassTarget
from chainrule.data.schema import Schema
from chainrule.display.format import counted
from chainrule.display.tables import Section, as_html
from chainrule.system.atomicfile import write_whole

SHOWN = 10
"""Rows that a notebook shows."""


@dataclass(frozen=True, eq=False, repr=False)
class Predictions:
    """The predictions for the rows of a table, in their order.

    Attributes:
        schema: of the model.
        values: probabilities (n, classes), or numbers (n,) in the target's unit.
        notes: on differences from the training data, a line each.
        names: columns of the table that tell which row is which, such as the files of pictures.

    Where a picture cannot be read, its values are NaN, and its label is empty.
    """

    schema: Schema
    values: npt.NDArray[Any]
    notes: tuple[str, ...] = ()
    names: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    @property
    def target(self) -> str:
        """The name of the column that is predicted."""
        return self.schema.target.name if self.schema.target else "prediction"

    @property
    def labels(self) -> npt.NDArray[Any]:
        """The predicted classes, of the type that the target had; the numbers, in a regression.

        The most probable class; with class weights, that of the highest product of both.
        """
        target = self.schema.target
        if not isinstance(target, ClassTarget):
            return self.values
        known = ~np.isnan(self.values).any(axis=1)
        labels = target.decode(target.decided(np.nan_to_num(self.values)).argmax(axis=1))
        return labels if known.all() else np.where(known, labels.astype(object), "")

    @property
    def probabilities(self) -> npt.NDArray[Any] | None:
        """(n, classes), in the order of `schema.classes`; None in a regression."""
        return None if self.schema.classes is None else self.values

    def to_dict(self) -> dict[str, npt.NDArray[Any]]:
        """Columns by name: the files of pictures, the target, and for classes the probability of
        each."""
        columns = {**self.names, self.target: self.labels}
        if self.schema.classes is not None:
            for k, label in enumerate(self.schema.classes):
                columns[f"probability of {label}"] = self.values[:, k]
        return columns

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        columns = self.to_dict()
        lines = [f"{counted(len(self), 'prediction')} of {self.target!r}"]
        for row in range(min(5, len(self))):
            lines.append("  " + ", ".join(f"{k} {_text(v[row])}" for k, v in columns.items()))
        if len(self) > 5:
            lines.append("  ...")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        columns = {name: values[:SHOWN] for name, values in self.to_dict().items()}
        texts = [
            [x if isinstance(x, str) else _text(x) for x in values] for values in columns.values()
        ]
        right = tuple(k for k, x in enumerate(columns.values()) if x.dtype.kind in "fiu")
        rows = tuple(zip(*texts, strict=True))
        if len(self) > SHOWN:
            rows += ((counted(len(self) - SHOWN, "more row"), *[""] * (len(columns) - 1)),)
        table = Section(
            f"{counted(len(self), 'prediction')} of {self.target!r}", rows, tuple(columns), right
        )
        notes = Section("", tuple(("note", note) for note in self.notes))
        return as_html([table, notes] if self.notes else [table])

    def to_csv(self, path: str | os.PathLike[str]) -> Path:
        """Write the columns as CSV: all of the file or nothing. Raises OSError."""
        return write_whole(Path(path), csv_text(self.to_dict()))


def csv_text(columns: dict[str, npt.NDArray[Any]], delimiter: str = ",") -> str:
    """Columns as CSV; floats in the fewest digits that give them back at their precision."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(
        zip(*([_plain(v) for v in column] for column in columns.values()), strict=True)
    )
    return text.getvalue()


def _plain(value: Any) -> Any:
    if isinstance(value, np.floating):
        return "" if np.isnan(value) else str(value)
    return value


def _text(value: Any) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{value:.4g}"
    return repr(value.item() if isinstance(value, np.generic) else value)
