"""Names of metrics, and values in tables, as they are read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.display.format import number, words

NAMES = {"auc": "AUC", "f1": "F1", "r2": "R²", "rmse": "RMSE", "mae": "MAE", "brier": "Brier"}


def metric_words(name: str) -> str:
    """A metric's name as it is read: AUC, F1, log loss."""
    return " ".join(NAMES.get(word, word) for word in words(name).split())


def aligned(values: Sequence[float]) -> list[str]:
    """Numbers of one kind with the same decimals: four digits of the largest."""
    most = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
    if not 1e-3 <= most < 1e7:
        return [cell(float(v)) for v in values]
    decimals = max(3 - math.floor(math.log10(most)), 0)
    comma = "," if most >= 1e4 else ""
    return [f"{v:{comma}.{decimals}f}" if math.isfinite(v) else cell(float(v)) for v in values]


def cell(value: Any) -> str:
    """A value of a table as it is read; a dash where there is none."""
    if value is None or (isinstance(value, (float, np.floating)) and math.isnan(value)):
        return "–"
    if isinstance(value, (float, np.floating)):
        return number(float(value))
    return str(value)
