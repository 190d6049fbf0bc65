"""What the data decides of a recipe, where the user did not."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chainrule.data.columns.target import NumberTarget
from chainrule.data.features import MANY, SCALINGS
from chainrule.data.schema import Schema
from chainrule.recipe.config import (
    CLASS_WEIGHTS,
    DEFAULT_LOSS,
    EMBEDDINGS,
    NORMS,
    QUALITIES,
    REFITS,
    SCHEDULES,
    TARGET_SCALINGS,
    Config,
    losses,
    one_of,
)

DECAY = {"adamw": 0.3}
"""What is chosen by optimizer: AdamW's is times the rate, the others' is a part of the gradient."""


@dataclass(frozen=True)
class Effort:
    """How much work a quality is worth.

    Attributes:
        visits: how many times rows are gone through, at most; a tenth where that takes members.
        epochs: the least, and the most: twice as many for a small table.
        members: networks, the least and the most.
        width: of their hidden layers.
    """

    visits: float
    epochs: tuple[int, int]
    members: tuple[int, int]
    width: int


EFFORTS = {
    "fast": Effort(2.8e5, (6, 16), (1, 1), 128),
    "balanced": Effort(4e6, (8, 32), (1, 4), 256),
    "best": Effort(4e6, (8, 24), (2, 8), 256),
}
FEW = 1500
"""Rows below which a network is kept small, and learns slowly: it could know them by heart."""
SMALL = 5000
"""Rows up to which those held out are worth training once more, and networks are quick to train."""
JUDGED_FROM = 300
"""Rows held out from which the best epoch can be told from the others."""
CROSSED_FROM = 40
"""Rows that train from which cross-validation, where they are few, tells how long to."""
PIECES_FROM = 200
"""Rows from which the pieces between quantiles are more than single rows."""


def settle(chosen: Config, schema: Schema) -> Config:
    """`chosen` with everything decided that the data decides.

    Raises:
        SettingError: a setting makes no sense for this task.
    """
    assert schema.target is not None
    assert schema.task is not None
    one_of("quality", chosen.quality, QUALITIES)
    one_of("scaling", chosen.scaling, SCALINGS)
    one_of("norm", chosen.norm, NORMS)
    one_of("class_weights", chosen.class_weights, CLASS_WEIGHTS)
    defaults = _defaults(chosen, schema)
    decided = {k: v for k, v in defaults.items() if getattr(chosen, k) is None}
    settled = replace(chosen, target=schema.target.name, task=schema.task, **decided)
    one_of("loss", str(settled.loss), losses(schema.task))
    one_of("embedding", str(settled.embedding), EMBEDDINGS)
    one_of("schedule", str(settled.schedule), SCHEDULES)
    one_of("refit", str(settled.refit), REFITS)
    one_of("target_scaling", str(settled.target_scaling or "standard"), TARGET_SCALINGS)
    return settled


def _defaults(chosen: Config, schema: Schema) -> dict[str, Any]:
    """What is chosen by the data for each setting that may be left open."""
    assert schema.task is not None
    effort = EFFORTS[chosen.quality]
    n = schema.rows
    small, few = n <= SMALL, n < FEW
    validation = chosen.validation
    if validation is None:
        validation = 0.2 if small else 0.1 if n <= 50_000 else max(0.02, 5000 / n)
    rows = max(round(n * (1 - validation)), 1)
    batch = chosen.batch_size or int(np.clip(2 ** round(math.log2(rows / 30 + 1)), 32, 256))
    least, most = effort.epochs
    epochs = chosen.epochs or int(np.clip(effort.visits / rows, least, most * (1 + small)))
    members = int(np.clip(round(effort.visits / 10 / (rows * epochs or 1)), *effort.members))
    judged = n - rows >= JUDGED_FROM
    crossed = (
        few and rows >= CROSSED_FROM and chosen.quality != "fast"
        and chosen.groups is None and chosen.time is None
    )  # fmt: skip
    open_length = crossed and chosen.epochs is None
    wide = len(schema.members) > MANY
    classifies = schema.task == "classification"
    heavy = isinstance(schema.target, NumberTarget) and schema.target.heavy
    return {
        "members": members,
        "refit": "yes" if small and chosen.quality != "fast" else "no",
        "embedding": "piecewise" if n >= PIECES_FROM and not wide else "none",
        "hidden": _hidden(effort.width, few, wide),
        "activation": "silu",
        "dropout": 0.3 if wide and not few else 0.15,
        "target_scaling": None if classifies else "log" if heavy else "standard",
        "loss": DEFAULT_LOSS[schema.task],
        "label_smoothing": 0.1 if schema.classes is not None and len(schema.classes) > 2 else 0.0,
        "rate": None if open_length else 5e-4 if few else 2.5e-3 if classifies else 1.5e-3,
        "decay": DECAY.get(chosen.optimizer, 0.01),
        "schedule": "cosine",
        "batch_size": batch,
        "epochs": None if open_length else epochs,
        "patience": max(8, epochs // 4) if judged else None,
        "validation": validation,
    }


def _hidden(width: int, few: bool, wide: bool) -> tuple[int, ...]:
    """Widths of the hidden layers: small for few rows, broad for many columns of numbers."""
    if few:
        return (min(width, 128),) * 2
    return (2 * width,) * 2 if wide else (width,) * 3
