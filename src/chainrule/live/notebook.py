"""Training in a notebook with its page in the cell, which follows the run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

from chainrule.data.predictions import Predictions
from chainrule.data.table import Table
from chainrule.errors import MissingExtra
from chainrule.model.model import Model
from chainrule.recipe.config import config
from chainrule.recipe.options import Options
from chainrule.recipe.trained import trained
from chainrule.recipe.training import Training
from chainrule.train.callbacks import Callback

if TYPE_CHECKING:
    from chainrule.live.widget import NotebookWatch


def watch(
    source: Table | str | os.PathLike[str] | Any, target: str, *,
    verbose: bool | str | None = False, **settings: Unpack[Options],
) -> Model[Predictions]:  # fmt: skip
    """`cr.train` in a notebook, with a page in the cell that follows the run live: losses, layers,
    decision regions, and the network to step through.

    It needs `pip install "chainrule[notebook]"`. The page stays in the notebook, without a kernel
    too; it is fed by the kernel alone, and nothing is fetched.

    Args:
        source, target, settings: as in `train`.
        verbose: as in `Model.fit`; by default the page alone is shown.

    Raises:
        MissingExtra: anywidget is not installed. DataError, SettingError: as in `train`.
    """
    shown: list[NotebookWatch] = []

    def watching(training: Training) -> Sequence[Callback]:
        shown.append(_displayed(training))
        return shown

    try:
        return trained(source, config(target=target, **settings), verbose, watching)
    finally:
        for x in shown:
            x.close()


def _displayed(training: Training) -> NotebookWatch:
    try:
        from chainrule.live.widget import displayed  # noqa: PLC0415  (anywidget is optional)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("anywidget", "traitlets", "IPython"):
            raise
        raise MissingExtra(
            "watch", "anywidget is not installed", fix='pip install "chainrule[notebook]"'
        ) from None
    return displayed(training)
