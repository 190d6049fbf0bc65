"""The order that `chainrule train` carries out, and its work on that."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainrule import recipe
from chainrule.cli.console import Console
from chainrule.data.blocks import Encoded
from chainrule.recipe import Config, Training, configfile
from chainrule.recipe.runfolder import RunFolder
from chainrule.train.checkpoint import Checkpoint
from chainrule.train.progress import Progress

if TYPE_CHECKING:
    from chainrule.live.watch import Live


@dataclass(frozen=True, kw_only=True)
class Order:
    """The arguments of the command.

    Attributes:
        data, test: the training data, and rows to test on.
        chosen: the given settings.
        encoding, sheet: of the data, if given.
        stream, memory: whether the data are read in parts, and what they may take.
        output, force, quiet, check_only, profile, live, record, trace: as the options.
        checkpoint: of the run, or None.
        command_line: as it was typed.
        device: that trains.
    """

    data: str
    chosen: Config
    test: str | None
    output: str | None
    force: bool
    encoding: str | None
    sheet: str | None
    stream: bool
    memory: str | None
    quiet: bool
    check_only: bool
    profile: bool
    live: bool
    record: bool
    trace: Path | None
    checkpoint: Checkpoint | None
    command_line: str
    device: str = "cpu"


@dataclass(eq=False)
class Job:
    """An order with its training, and further data for its results.

    Attributes:
        trouble: the screen for interruptions.
        progress: shows the runs.
        test: the rows to test on.
        live: the page of the run, or None.
        kept: the folder of its checkpoints, or None.
    """

    order: Order
    screen: Console
    trouble: Console
    training: Training
    progress: Progress
    test: Encoded | None
    live: Live | None
    kept: RunFolder | None


def chosen_config(settings: dict[str, Any], config: Path | None) -> Config:
    """The settings of a file, overridden by those of the command line. Raises SettingError."""
    chosen = configfile.from_toml(config) if config is not None else {}
    for key, value in settings.items():
        if value is None:
            continue
        setting = recipe.BY_KEY[key]
        if isinstance(value, list):
            value = setting.from_texts(value)
        chosen[key] = setting.check(value, setting.flag)
    return recipe.config(**chosen)
