"""What the data decides of a recipe, where the user did not."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chainrule.data.features import SCALINGS
from chainrule.data.schema import Schema
from chainrule.recipe.config import (
    CLASS_WEIGHTS,
    EMBEDDINGS,
    LOSSES,
    NORMS,
    QUALITIES,
    SCHEDULES,
    Config,
    one_of,
)

DECAY = {"adamw": 0.3}
"""What is chosen by optimizer: AdamW's is times the rate, the others' is a part of the gradient."""


@dataclass(frozen=True)
class Effort:
    """How much work a quality is worth.

    Attributes:
        members: networks.
        width: of their hidden layers, at most.
        steps: of the optimizer, about; rows that are few are gone through more often.
        epochs: the least and the most.
    """

    members: int
    width: int
    steps: int
    epochs: tuple[int, int]


EFFORTS = {
    "fast": Effort(1, 128, 1500, (8, 100)),
    "balanced": Effort(1, 256, 6000, (16, 256)),
    "best": Effort(4, 256, 8000, (24, 256)),
}


def settle(chosen: Config, schema: Schema) -> Config:
    """`chosen` with everything decided that the data decides.

    Raises:
        SettingError: a setting makes no sense for this task.
    """
    assert schema.target is not None
    assert schema.task is not None
    losses = LOSSES[schema.task]
    loss = chosen.loss or losses[0]
    one_of("loss", loss, losses)
    one_of("quality", chosen.quality, QUALITIES)
    one_of("scaling", chosen.scaling, SCALINGS)
    one_of("norm", chosen.norm, NORMS)
    one_of("class_weights", chosen.class_weights, CLASS_WEIGHTS)
    effort = EFFORTS[chosen.quality]
    rows = max(round(schema.rows * (1 - chosen.validation)), 1)
    batch = chosen.batch_size
    if batch is None:
        batch = int(np.clip(2 ** round(math.log2(rows / 30 + 1)), 16, 256))
    steps = -(-rows // max(batch, 1))
    classifies = schema.task == "classification"
    rate = 2.5e-3 if classifies else 1.25e-2
    defaults: dict[str, Any] = {
        "embedding": "periodic",
        "members": effort.members,
        "hidden": (effort.width,) * 3,
        "activation": "selu" if classifies else "mish",
        "dropout": 0.15,
        "label_smoothing": 0.1 if classifies else 0.0,
        "rate": rate,
        "decay": DECAY.get(chosen.optimizer, 0.01),
        "schedule": "log_cosine",
        "batch_size": batch,
        "epochs": int(np.clip(round(effort.steps / steps), *effort.epochs)),
    }
    decided = {k: v for k, v in defaults.items() if getattr(chosen, k) is None}
    settled = replace(chosen, target=schema.target.name, task=schema.task, loss=loss, **decided)
    one_of("embedding", settled.embedding or "", EMBEDDINGS)
    one_of("schedule", settled.schedule or "", SCHEDULES)
    if settled.patience is None:
        return replace(settled, patience=settled.epochs)
    return settled
