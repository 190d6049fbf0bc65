"""The learning of a trained model as a section of its page: its history, epoch by epoch."""

from __future__ import annotations

import math
from typing import Any

from chainrule.train.history import History

MAX_EPOCHS = 20_000
"""Epochs of a history up to which a page holds it: about a megabyte."""


def learning_form(history: History) -> dict[str, Any]:
    """Returns the sections of a page with the history as `Learning` of web/src/sections.ts.

    What is measured only while a model learns is left empty; without a history there is none.
    """
    if not 0 < len(history) <= MAX_EPOCHS:
        return {}
    return {
        "learning": {
            "history": {
                name: [float(x) if math.isfinite(x) else None for x in history[name]]
                for name in history.columns
            },
            "criterion": history.criterion,
            "better": history.to_dict()["better"],
            "best": history.best,
            "start": None,
            "guess": {"loss": None, "told": ""},
            "epochs": [],
            "layers": [],
            "values": [],
            "regions": None,
            "hidden": None,
            "confusion": None,
            "worst": [],
            "told": [],
        }
    }  # fmt: skip
