"""The learning of a trained model as a section of its page: its history, and what was recorded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chainrule.train.history import History

MAX_EPOCHS = 20_000
"""Epochs of a history up to which a page holds it: about a megabyte."""

UNMEASURED: dict[str, Any] = {
    "start": None, "guess": {"loss": None, "told": ""}, "epochs": [], "layers": [], "values": [],
    "regions": None, "hidden": None, "confusion": None, "worst": [], "told": [],
}  # fmt: skip
"""The fields that are measured only while a model learns."""


@dataclass(frozen=True)
class Learning:
    """The record of a run for its page.

    Attributes:
        section: `Learning` of web/src/sections.ts, as plain values.
        notes: sentences on what is left out.
    """

    section: Mapping[str, Any] = field(repr=False)
    notes: Sequence[str] = ()


def learning_form(
    history: History, learning: Learning | None, rows: list[dict[str, Any]]
) -> tuple[dict[str, Any], Sequence[str]]:
    """Returns the sections of a page with `Learning` of web/src/sections.ts, and notes on it.

    What is measured only while a model learns is left empty where it was not recorded; without a
    history there is none. The worst rows are added to those of the page.

    Args:
        history: of the model.
        learning: what was recorded.
        rows: of the page.
    """
    if learning is None:
        if not 0 < len(history) <= MAX_EPOCHS:
            return {}, ()
        return {"learning": history_form(history) | UNMEASURED}, ()
    worst = []
    for row in learning.section["worst"]:
        feeds, told = row["feeds"], {k: v for k, v in row.items() if k != "feeds"}
        there = [k for k, x in enumerate(rows) if x["feeds"] == feeds]
        if not there:
            there = [len(rows)]
            why = "among the worst of the recorded"
            rows.append({"label": row["label"], "why": why, "feeds": feeds, "cells": []})
        worst.append(told | {"row": there[0]})
    return {"learning": {**learning.section, "worst": worst}}, learning.notes


def history_form(history: History, row: int = 0) -> dict[str, Any]:
    """Returns a history from a row on, as the first fields of `Learning` of web/src/sections.ts."""
    return {
        "history": {n: [finite(x) for x in history[n][row:]] for n in history.columns},
        "criterion": history.criterion,
        "better": history.to_dict()["better"],
        "best": history.best,
    }


def finite(value: Any) -> float | None:
    """Returns a number, or None for NaN and infinities, which JSON lacks."""
    return float(value) if math.isfinite(value) else None
