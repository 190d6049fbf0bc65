"""The properties of a table by which a recipe chooses the settings that are left open."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from chainrule.data.columns.encoder import GridEncoder
from chainrule.data.columns.pictures import PictureColumn
from chainrule.data.columns.target import ClassTarget, NumberTarget
from chainrule.data.features import MAX_TABULAR_NUMBERS
from chainrule.data.schema import Schema


@dataclass(frozen=True)
class Effort:
    """The amount of work for a quality.

    Attributes:
        visits: rows visited by the longest training.
        shared: rows visited by all members, where they share the work.
        epochs: minimum and maximum: twice as many for a small table.
        members: networks, minimum and maximum.
        width: of their hidden layers.
    """

    visits: float
    shared: float
    epochs: tuple[int, int]
    members: tuple[int, int]
    width: int


EFFORTS = {
    "fast": Effort(2.8e5, 2.8e4, (6, 16), (1, 1), 128),
    "balanced": Effort(4e6, 4e5, (8, 32), (1, 4), 256),
    "best": Effort(4e6, 2e6, (8, 32), (4, 8), 256),
}
FEW_ROWS = 1500
"""Below this number of rows, networks are small and learn slowly: they could memorise them."""
SMALL_ROWS = 5000
"""Up to this number of rows, training is fast, and a second one on all rows is worthwhile."""
MIN_HELD_ROWS = 300
"""From this number of rows held out, the best epoch can be distinguished from the others."""
MIN_CROSSED_ROWS = 40
"""From this number of training rows, cross-validation chooses the length for small tables."""
MIN_CLASS_SHARE = 0.5
"""Of an equal share of the rows, what each class has where labels are smoothed: smoothing takes
probability to all classes alike, and would say too much of a rare one."""
MIRROR_ALIKE = 0.6
"""The share of pictures told from mirrored ones up to which mirroring makes more of the kind."""
MOST_SWAPPED = 0.1
"""The share of pictures that mirroring may take to another class."""
SHIFT, ZOOM = 0.08, 0.2
"""The largest shift of a picture, and the largest share of its sides that is cut off."""
OFTEN = 20
"""Epochs below which pictures and signals are seen too rarely for a network to learn them by heart:
it drops no units, and a picture is moved half as far, a pixel at least."""
MIN_ZOOMED = 32
"""Pixels of the shorter side from which pictures are enlarged by chance."""
STAGED = (6, 20, 48)
"""Pixels of the shorter side from which there is one more stage of convolutions."""
GRID_VISITS = {"fast": 1.5e5, "balanced": 7e5, "best": 1.2e6}
"""Pictures or signals that are looked at in training, by quality."""
GRID_RATE = 4e-3
"""The highest learning rate of networks with convolutions, after a rise."""
GRID_EPOCHS = {"fast": (3, 30), "balanced": (8, 40), "best": (12, 80)}
"""The fewest and the most passes over pictures or signals, by quality."""
MIN_PIECEWISE_ROWS = 200
"""From this number of rows, a piece between two quantiles holds more than single rows."""


@dataclass(frozen=True)
class Facts:
    """A table and the settings that are given, as the other settings depend on them.

    Attributes:
        given: settings by name; None where they are left open.
        schema: of the table, with a target.
    """

    given: Mapping[str, Any]
    schema: Schema

    @property
    def task(self) -> str:
        """The task: "classification" or "regression"."""
        assert self.schema.task is not None
        return self.schema.task

    @property
    def grids(self) -> list[GridEncoder]:
        """The columns of pictures and signals."""
        return [x for x in self.schema.used if isinstance(x, GridEncoder)]

    @property
    def picture(self) -> PictureColumn | None:
        """The first column of pictures; None where there is none."""
        return next((x for x in self.grids if isinstance(x, PictureColumn)), None)

    @property
    def colour(self) -> str | None:
        """Whether pictures are grey or in colour; None without pictures."""
        return None if self.picture is None else "grey" if self.picture.channels == 1 else "colour"

    @property
    def flip(self) -> str | None:
        """Whether to mirror pictures: where a linear rule cannot tell which ones are mirrored, and
        tells their classes nevertheless."""
        if self.picture is None:
            return None
        alike = self.picture.mirror <= MIRROR_ALIKE and self.picture.swapped <= MOST_SWAPPED
        return "yes" if alike else "no"

    @property
    def rare(self) -> bool:
        """Whether there are pictures or signals, and each is seen a few times only."""
        return bool(self.grids) and self.epochs < OFTEN

    @property
    def shift(self) -> float | None:
        """The largest shift of a picture or signal."""
        if self.picture is None or not self.rare:
            return SHIFT if self.grids else None
        return min(SHIFT, max(SHIFT / 2, 1 / min(self.picture.shape[:2])))

    @property
    def dropout(self) -> float:
        """The share of units dropped after each hidden layer."""
        return 0.0 if self.rare else 0.3 if self.wide and not self.few else 0.15

    @property
    def zoom(self) -> float | None:
        """The largest share of a side of a picture that is cut off: of photos, not of symbols."""
        if self.picture is None:
            return None
        return ZOOM if min(self.picture.shape[:2]) >= MIN_ZOOMED else 0.0

    @property
    def convolutions(self) -> tuple[int, ...] | None:
        """The channels of the convolutions: a pooling halves the sides after each stage."""
        if not self.grids:
            return None
        shortest = min(min(x.shape[:-1]) for x in self.grids)
        if self.picture is None:
            stages = int(np.clip(math.log2(shortest / 4), 1, 5))
        else:
            stages = 1 + sum(shortest >= side for side in STAGED)
        first = 32 if stages <= 3 and self.picture is not None else 16
        return tuple(min((first >> self.fast) * 2**k, 128) for k in range(stages))

    @property
    def classifies(self) -> bool:
        """Whether classes are to be predicted."""
        return self.task == "classification"

    @property
    def classes(self) -> int:
        """The number of classes; 0 for a regression."""
        return 0 if self.schema.classes is None else len(self.schema.classes)

    @property
    def balanced(self) -> bool:
        """Whether no class is much rarer than the others: half of an equal share, or more."""
        target = self.schema.target
        if not isinstance(target, ClassTarget):
            return False
        return min(target.counts) * len(target.counts) >= MIN_CLASS_SHARE * sum(target.counts)

    @property
    def heavy_tailed(self) -> bool:
        """Whether the target has a heavy tail, whose outliers would dominate the loss."""
        return isinstance(self.schema.target, NumberTarget) and self.schema.target.heavy

    @property
    def few(self) -> bool:
        """Whether a network could memorise the rows."""
        return self.schema.rows < FEW_ROWS

    @property
    def small(self) -> bool:
        """Whether training on the table is fast."""
        return self.schema.rows <= SMALL_ROWS

    @property
    def refits(self) -> bool:
        """Whether a training on all rows is worth its time."""
        return self.small and not self.fast and (self.few or not self.grids)

    @property
    def wide(self) -> bool:
        """Whether there are so many columns of numbers that each carries little information."""
        return len(self.schema.members) > MAX_TABULAR_NUMBERS

    @property
    def effort(self) -> Effort:
        """The effort of the quality."""
        return EFFORTS[self.given["quality"]]

    @property
    def fast(self) -> bool:
        """Whether the quality is "fast"."""
        return bool(self.given["quality"] == "fast")

    @cached_property
    def validation(self) -> float:
        """The share of rows held out."""
        if self.given["validation"] is not None:
            return float(self.given["validation"])
        n = self.schema.rows
        return 0.2 if self.small else 0.1 if n <= 50_000 else max(0.02, 5000 / n)

    @cached_property
    def training_rows(self) -> int:
        """The rows that are not held out."""
        return max(round(self.schema.rows * (1 - self.validation)), 1)

    @property
    def batch_size(self) -> int:
        """Examples per step: about thirty steps an epoch."""
        most = 64 if self.grids else 256
        return int(np.clip(2 ** round(math.log2(self.training_rows / 30 + 1)), 32, most))

    @cached_property
    def epochs(self) -> int:
        """Passes over the training rows, where no cross-validation chooses them."""
        if self.grids:
            quality = self.given["quality"]
            usual = np.clip(GRID_VISITS[quality] / self.training_rows, *GRID_EPOCHS[quality])
            return self.given["epochs"] or int(usual)
        least, most = self.effort.epochs
        chosen = np.clip(self.effort.visits / self.training_rows, least, most * (1 + self.small))
        return self.given["epochs"] or int(chosen)

    @property
    def members(self) -> int:
        """The number of networks: the more, the fewer rows they visit."""
        if self.grids:
            return 2 if self.given["quality"] == "best" else 1
        visits = self.training_rows * self.epochs
        return int(np.clip(round(self.effort.shared / visits), *self.effort.members))

    @property
    def mixes(self) -> bool:
        """Whether members are of different kinds: in "best", where no kind is asked for."""
        chosen = (self.given["embedding"], self.given["hidden"], self.given["activation"])
        alike = any(x is not None for x in chosen) or self.given["norm"] != "none"
        alike = alike or bool(self.grids)
        return self.given["quality"] == "best" and not alike

    @property
    def chooses_epoch(self) -> bool:
        """Whether the rows held out can choose the best epoch."""
        return self.schema.rows - self.training_rows >= MIN_HELD_ROWS

    @property
    def length_is_open(self) -> bool:
        """Whether cross-validation chooses epochs and rate."""
        free = self.given["epochs"] is None and not self.fast and not self.grids
        rows_are_alike = self.given["groups"] is None and self.given["time"] is None
        return free and rows_are_alike and self.few and self.training_rows >= MIN_CROSSED_ROWS

    @property
    def hidden(self) -> tuple[int, ...]:
        """Widths of the hidden layers: small for few rows, broad for many columns of numbers."""
        width = self.effort.width
        if self.grids:
            return (min(width, 128),)
        if self.few:
            return (min(width, 128),) * 2
        return (2 * width,) * 2 if self.wide else (width,) * 3

    @property
    def embeds(self) -> bool:
        """Whether embeddings of columns of numbers are worth their inputs."""
        enough = self.schema.rows >= MIN_PIECEWISE_ROWS
        return enough and not self.wide and (not self.grids or bool(self.schema.members))

    @property
    def rate(self) -> float:
        """The learning rate, where no cross-validation chooses it."""
        if self.grids:
            return GRID_RATE
        return 5e-4 if self.few else 2.5e-3 if self.classifies else 1.5e-3
