"""Pictures in the plane: the answers on a grid of two columns, and hidden layers in two axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.data.blocks import Member
from chainrule.data.columns.target import ClassTarget
from chainrule.data.schema import Schema
from chainrule.engine.forward import Forward
from chainrule.engine.minibatch import all_rows
from chainrule.graph.node import Array
from chainrule.inspector.arrays import array_form

SIDE = 40
"""Points along each side of the grid."""

MARGIN = 0.05
"""Of the range of a column, beyond its lowest and highest number."""


@dataclass(frozen=True)
class Grid:
    """Points over the range of two columns of numbers, the only ones of a table.

    Attributes:
        block: the name of the input with the two numbers.
        members: the columns.
        points: (SIDE * SIDE, 2), the first column varies fastest.
        classes: of the target; empty for numbers.
    """

    block: str
    members: tuple[Member, Member]
    points: Array
    classes: tuple[str, ...]

    @classmethod
    def of(cls, schema: Schema) -> Grid | None:
        """The grid of a table whose network reads two numbers; None for others."""
        blocks = schema.blocks
        if len(blocks) != 1 or blocks[0].kind != "numbers" or blocks[0].width != 2:
            return None
        first, second = blocks[0].members
        sides = [np.linspace(*_range(member), SIDE) for member in (first, second)]
        x, y = np.meshgrid(*sides)
        labels = schema.target.labels if isinstance(schema.target, ClassTarget) else ()
        points = np.stack([x.ravel(), y.ravel()], axis=1)
        return cls(blocks[0].name, (first, second), points, labels)

    def numbers(self, arrays: Mapping[str, Array]) -> Array:
        """The two numbers of each row of arrays, (n, 2)."""
        return arrays[self.block]

    def answers(self, forward: Forward, values: Mapping[str, Array]) -> Array:
        """The output at each point: probabilities (points, classes), or numbers (points,)."""
        arrays = {self.block: self.points}
        return forward(values, arrays, all_rows(len(self.points)))[0]

    def form(
        self, answers: Sequence[Array], points: Sequence[tuple[float, float, float, bool]]
    ) -> dict[str, Any]:
        """The answers of each record, as `Regions` of web/src/sections.ts."""
        x, y = ({"column": m.name, "low": _range(m)[0], "high": _range(m)[1]} for m in self.members)
        classes = bool(self.classes)
        shown = [a.argmax(axis=1).astype(np.uint16) if classes else a.astype(np.float32)
                 for a in answers]  # fmt: skip
        sure = [array_form(a.max(axis=1).astype(np.float32)) for a in answers] if classes else None
        return {
            "x": x, "y": y, "size": SIDE, "answers": [array_form(a) for a in shown],
            "sure": sure, "classes": list(self.classes), "points": [list(p) for p in points],
        }  # fmt: skip


def _range(member: Member) -> tuple[float, float]:
    low, *_, high = member.stats.quantiles
    margin = MARGIN * (high - low) or 1.0
    return low - margin, high + margin


def projection(output: Array, before: Array | None) -> Array:
    """The outputs of a layer as points in a plane, (rows, 2).

    Two units are the axes themselves. Of more, the plane is that of the two directions of largest
    variance, turned so that points lie close to where they were before.

    Args:
        output: (rows, units).
        before: the points at the record before, (rows, 2).
    """
    points = np.asarray(output, float)
    if points.shape[1] == 1:
        points = np.concatenate([points, np.zeros_like(points)], axis=1)
    if points.shape[1] == 2:
        return points
    points = points - points.mean(axis=0)
    _, _, axes = np.linalg.svd(points, full_matrices=False)
    flat: Array = points @ axes[:2].T
    if before is None:
        return flat
    left, _, right = np.linalg.svd(flat.T @ before)
    turned: Array = flat @ left @ right
    return turned


def told_of_projection(positions: int, units: int) -> str:
    """The axes of `projection` in words; units of several positions are averaged over them."""
    averaged = ", each averaged over its positions" if positions > 1 else ""
    if units == 1:
        return f"its one unit{averaged}"
    if units == 2:
        return f"its two units{averaged}"
    return f"the two directions of largest variance at that epoch, turned to those before{averaged}"
