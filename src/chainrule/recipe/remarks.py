"""Sentences on what scores are worth: what their rows chose, and contradictions."""

from __future__ import annotations

import numpy as np

from chainrule.display.format import number
from chainrule.recipe.calibration import PARTS
from chainrule.recipe.length import Crossed
from chainrule.report.results import Evaluation

AFTER_REFIT = (
    "These scores are of the model trained on the training rows alone; then it was trained once "
    "more, on all rows, and the result is that one."
)
CONTRADICTION = 2.5
"""Standard errors by which two losses have to differ."""
MIN_LOWER, MIN_HIGHER = 0.5, 0.25
"""And their difference, as a share of the larger one: several networks on all training rows are
somewhat better than the single ones of the cross-validation, on three quarters of them."""


def on_choice(epoch: int, epochs: int, runs: int) -> str:
    """The choices of the rows held out: the epoch and, of several runs, the better one."""
    what = f"the epoch ({epoch} of {epochs})" + (", and the better of two runs" if runs > 1 else "")
    return (
        f"These rows chose {what}, so their scores are a little too good; rows that chose nothing, "
        "as those of a test file, tell more."
    )


def on_weights(shares: str, rows: int) -> str:
    """The shares of kinds of members in the mean, which the rows held out chose."""
    apart = "; each part of them is scored at the weights that the others chose"
    return (
        f"The prediction is a weighted mean of networks of different kinds: {shares}. These rows "
        f"chose the weights{apart if rows >= 2 * PARTS else ''}."
    )


def on_crossvalidation(found: Evaluation, crossed: Crossed, trained: int) -> tuple[str, ...]:
    """The sentence where the loss contradicts cross-validation by more than chance explains.

    Args:
        trained: rows of the cross-validation.
    """
    outcome = found.outcome
    if outcome.classes:
        name, target = "log loss", np.asarray(outcome.target)
        chosen = np.asarray(outcome.prediction)[np.arange(len(target)), target]
        losses = -np.log(np.maximum(chosen.astype(float), np.finfo(float).eps))
        loss, error = float(losses.mean()), float(losses.std() / len(losses) ** 0.5)
    else:
        name, loss = "loss", found.scores["loss"]
        error = crossed.error * (trained / found.rows) ** 0.5
    away = loss - crossed.loss
    if abs(away) < max(
        CONTRADICTION * float(np.hypot(error, crossed.error)),
        (MIN_LOWER if away < 0 else MIN_HIGHER) * max(loss, crossed.loss),
    ):
        return ()
    how, which = ("harder", "lower") if away > 0 else ("easier", "higher")
    return (
        f"Cross-validation on the {trained:,} training rows found a {name} of "
        f"{number(crossed.loss)}, these {found.rows:,} rows {number(loss)}: they are {how} "
        f"than most by chance, and the {name} of new rows is probably {which}.",
    )
