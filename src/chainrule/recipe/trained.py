"""Training by a recipe in one call, `cr.train`, which shows each stage."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any, Unpack

from chainrule.data.predictions import Predictions
from chainrule.data.readers.inparts import InParts, in_parts
from chainrule.data.readers.sources import read
from chainrule.data.table import Table
from chainrule.display.screen import Screen
from chainrule.engine.devices import check_device
from chainrule.model.model import Model
from chainrule.recipe.config import Config, config
from chainrule.recipe.fit import Recorded
from chainrule.recipe.options import Options
from chainrule.recipe.runfolder import kept_folder
from chainrule.recipe.training import Training, Verbose
from chainrule.report.text import print_importance, print_results, print_source
from chainrule.system.ranks.communicator import from_first, of_host
from chainrule.system.ranks.world import world
from chainrule.train.callbacks import Callback
from chainrule.train.checkpoint import Checkpoint, as_checkpoint
from chainrule.train.progress import choose


def train(
    source: Table | str | os.PathLike[str] | Any, target: str | None = None, *,
    stream: bool = False, memory: str | float | None = None, verbose: bool | str | None = True,
    record: Recorded = None,
    checkpoint: Checkpoint | str | os.PathLike[str] | None = None, device: str = "cpu",
    **settings: Unpack[Options],
) -> Model[Predictions]:  # fmt: skip
    """A trained model from a table: `cr.train("penguins", target="species")`.

    Args:
        source: a file (CSV, TSV, Parquet, JSON, a spreadsheet), a SQL query, the name of a data
            set, or a table in memory: pandas, polars, Arrow, NumPy, a dict of columns; or pictures:
            a folder with a sub-folder for each class, IDX, NPZ. Several files with the same
            columns are one table: a pattern such as "logs/*.parquet", a folder, a list of paths.
        target: the column to predict; None: of pictures, the one column beside them.
        stream: whether the data are read in parts, and encoded to disk, whatever their size; also
            where they would take more than half of the free memory.
        memory: the bytes that all may take, such as "1GB"; data that take more are read in parts.
        settings: as in `Config`; the others are chosen by the data.
        verbose: as in `Model.fit`.
        record: as in `Model.fit`, of the run on the training rows; `model.show()` then has what
            each layer did, epoch by epoch.
        checkpoint: a Checkpoint, or the path of its folder: the state of the run is written there
            from time to time. After the end of the process the same call goes on from it, and
            ends with the same bits, on any number of threads.
        device: as in `Model.fit`: "cpu", "gpu" and others. The model does not depend on it later.

    What the table holds, the findings of the data check, the run and its scores are shown;
    `model.report("report.html")` writes them as a page with charts.

    Raises:
        DataError: the table cannot be used. SettingError: a setting is not valid.
        MissingExtra, DeviceError: the library of a device is missing, or its driver fails.
    """
    check_device(device, "train")
    beside = len(of_host(world()))
    parts = in_parts(source, stream=stream, memory=memory, processes=beside)
    parts = from_first(world(), parts)
    chosen = config(target=target, **settings)
    return trained(
        source if parts is None else parts, chosen, verbose, record=record,
        checkpoint=as_checkpoint(checkpoint), device=device,
    )  # fmt: skip


def trained(
    source: Any, chosen: Config, verbose: Verbose,
    watching: Callable[[Training], Sequence[Callback]] = lambda training: (),
    record: Recorded = None, checkpoint: Checkpoint | None = None, device: str = "cpu",
) -> Model[Predictions]:  # fmt: skip
    """A model trained by a configuration, as `train` does.

    Args:
        source, verbose, record, checkpoint, device: as in `train`; `InParts` for data in parts.
        chosen: the settings.
        watching: gives callbacks of the run on the training rows.
    """
    begun = time.perf_counter()
    with choose(verbose) as progress, kept_folder(checkpoint) as kept:
        screen = Screen(progress.output)
        training = _training(source, chosen, screen)
        training.checkpoint, training.device = checkpoint, device
        if kept is not None:
            kept.begin(chosen, training)
            for note in kept.notes:
                progress.note(note)
        if progress.output is not None:
            training.print_data(screen)
            training.print_settings(screen)
            screen.write("")
        training.fit(progress, watching(training), record)
        training.refit(progress)
        if progress.output is not None:
            print_results(screen, training.evaluations or [training.on_training])
            print_importance(screen, training.importance)
    seconds = time.perf_counter() - begun
    training.model.reporter = lambda: training.report(seconds=seconds)
    return training.model


def _training(source: Any, chosen: Config, screen: Screen) -> Training:
    """The data, read as a whole or in parts, and what was learned of them."""
    if isinstance(source, InParts):
        from chainrule.recipe.streamed import of_parts  # noqa: PLC0415  (few tables need it)

        return of_parts(source, chosen, screen)
    table = read(source)
    print_source(screen, table.source, len(table), len(table.columns), table.notes)
    return Training.of(table, chosen)
