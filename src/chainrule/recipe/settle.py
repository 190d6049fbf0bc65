"""What the data decides of a recipe, where the user did not."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chainrule.data.features import SCALINGS
from chainrule.data.schema import Schema
from chainrule.data.target import NumberTarget
from chainrule.recipe.config import (
    CLASS_WEIGHTS,
    EMBEDDINGS,
    LOSSES,
    NORMS,
    QUALITIES,
    REFITS,
    SCHEDULES,
    TARGET_SCALINGS,
    Config,
    one_of,
)

DECAY = {"adamw": 0.3}
"""What is chosen by optimizer: AdamW's is times the rate, the others' is a part of the gradient."""


@dataclass(frozen=True)
class Effort:
    """How much work a quality is worth.

    Attributes:
        visits: how many times rows are gone through by a network, in all.
        members: networks, at most.
        width: of their hidden layers.
        epochs: the least and the most.
    """

    visits: float
    members: int
    width: int
    epochs: tuple[int, int]


EFFORTS = {
    "fast": Effort(4e5, 1, 128, (8, 60)),
    "balanced": Effort(6e6, 4, 256, (12, 60)),
    "best": Effort(2e7, 8, 256, (24, 80)),
}
FEW = 1500
"""Rows below which a network is kept small, and learns slowly: it could know them by heart."""
JUDGED_FROM = 300
"""Rows held out from which the best epoch can be told from the others."""
REFIT_UP_TO = 20_000
"""Rows up to which those held out are worth training once more."""


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
    one_of("loss", str(settled.loss), LOSSES[schema.task])
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
    validation = chosen.validation
    if validation is None:
        validation = 0.2 if n <= REFIT_UP_TO else max(0.05, 0.2 * REFIT_UP_TO / n)
    rows = max(round(n * (1 - validation)), 1)
    batch = chosen.batch_size or int(np.clip(2 ** round(math.log2(rows / 30 + 1)), 32, 256))
    epochs = int(np.clip(effort.visits / rows, *effort.epochs))
    members = int(np.clip(effort.visits / (rows * epochs), 1, effort.members))
    few, judged = n < FEW, n - rows >= JUDGED_FROM
    classifies = schema.task == "classification"
    heavy = isinstance(schema.target, NumberTarget) and schema.target.heavy
    return {
        "members": members,
        "refit": "yes" if n <= REFIT_UP_TO and chosen.quality != "fast" else "no",
        "embedding": "none" if few or chosen.quality == "fast" else "periodic",
        "hidden": (min(effort.width, 128),) * 2 if few else (effort.width,) * 3,
        "activation": "silu",
        "dropout": 0.15,
        "target_scaling": None if classifies else "log" if heavy else "standard",
        "loss": "huber" if heavy else LOSSES[schema.task][0],
        "label_smoothing": 0.1 if schema.classes is not None and len(schema.classes) > 2 else 0.0,
        "rate": 5e-4 if few else 2.5e-3 if classifies else 1.5e-3,
        "decay": DECAY.get(chosen.optimizer, 0.01),
        "schedule": "cosine",
        "batch_size": batch,
        "epochs": epochs,
        "patience": max(8, epochs // 4) if judged else epochs,
        "validation": validation,
    }
