"""The settings of checkpoints: their folder, how often they are written, and how many are kept."""

from __future__ import annotations

import os
import re
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

from chainrule.errors import SettingError
from chainrule.system.settings import refuse, require_integer
from chainrule.types import is_number

RUN_FILE = "run.json"
"""The file in the folder of a run of several fits, such as those of `train`."""

_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,6})?) ?(s|min|h)")
_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Checkpoint:
    """The folder in which `fit(..., checkpoint=...)` keeps the state of a run.

    A folder belongs to one call of `fit`. Where it has a checkpoint of the same call, the call goes
    on from there, and ends with the same bits as one that was never interrupted.

    Args:
        folder: of the checkpoints; it is made where it does not exist.
        every: the time between two of them: "60s", "5min", "1h", or a number of seconds.
        keep: how many are kept, the last ones.

    Raises:
        SettingError: a setting is not allowed.
    """

    folder: str | os.PathLike[str]
    _: KW_ONLY
    every: str | float = "60s"
    keep: int = 3

    def __post_init__(self) -> None:
        folder: Any = self.folder
        if not isinstance(folder, (str, os.PathLike)) or not os.fspath(folder):
            raise refuse("Checkpoint.folder", "the path of a folder", folder)
        _seconds(self.every)
        object.__setattr__(self, "keep", require_integer("Checkpoint.keep", self.keep, 1))

    @property
    def seconds(self) -> float:
        """The time between two checkpoints, in seconds."""
        return _seconds(self.every)


def _seconds(every: Any) -> float:
    """The seconds of a duration. Raises SettingError."""
    if isinstance(every, str):
        found = _DURATION.fullmatch(every.strip())
        if found is not None:
            return float(found[1]) * _SECONDS[found[2]]
    elif is_number(every) and every >= 0:
        return float(every)
    raise refuse("Checkpoint.every", '"60s", "5min", "1h" or a number of seconds', every)


def as_checkpoint(given: Any) -> Checkpoint | None:
    """A Checkpoint, also from the path of its folder. Raises SettingError."""
    if given is None or isinstance(given, Checkpoint):
        return given
    if isinstance(given, (str, os.PathLike)):
        return Checkpoint(given)
    raise SettingError(
        "fit.checkpoint", "this is not a checkpoint", expected='cr.Checkpoint("FOLDER")',
        got=repr(given), fix='fit(..., checkpoint=cr.Checkpoint("runs/first"))',
    )  # fmt: skip


def within(kept: Checkpoint | None, *names: str) -> Checkpoint | None:
    """The checkpoint of one fit of several, in a folder within; None where none is kept."""
    return None if kept is None else replace(kept, folder=os.path.join(kept.folder, *names))
