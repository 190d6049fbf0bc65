"""The folder of a run of the recipe: what it was begun with, and the checkpoints of its fits."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

import msgspec

from chainrule.data.digest import TableDigest
from chainrule.errors import SettingError
from chainrule.model.checkpoints import CheckpointFolder, take_folder
from chainrule.recipe.config import KEYS, Config, config
from chainrule.recipe.training import Training
from chainrule.system.atomicfile import write_whole
from chainrule.system.ranks.world import speaks
from chainrule.train.checkpoint import RUN_FILE, Checkpoint
from chainrule.version import __version__

FORMAT = 1
"""The version of the file."""
WHERE = "checkpoint"
"""The setting, in errors."""


class Begun(msgspec.Struct, forbid_unknown_fields=True):
    """The beginning of a run.

    Attributes:
        settings: those that were given, by key.
        data: of its table.
        more: what else another call must have alike, in words.
        command: the arguments of the command line; empty where it was begun in Python.
    """

    format: int
    version: str
    settings: dict[str, Any]
    data: TableDigest
    more: dict[str, str] = {}
    command: dict[str, Any] = {}


class RunFolder:
    """The folder of a run; a context manager that holds it.

    Each fit of the run has a folder within, with its checkpoints. As all else follows from the
    data and the settings, the same run passes quickly over the fits that are complete, and goes
    on with the others.

    Args:
        checkpoint: names the folder.

    Attributes:
        checkpoint: as given.
        begun: what the run was begun with; None before.
        notes: what is to be told of the folder.

    Raises:
        SettingError: it is in use, cannot be written, or has the checkpoints of another call.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint, self._folder = checkpoint, Path(checkpoint.folder)
        self._stack = ExitStack()
        self.notes = take_folder(WHERE, self._folder, self._stack)
        try:
            self.begun = read_begun(self._folder)
            if self.begun is None and not CheckpointFolder(self._folder, 1).empty:
                raise SettingError(
                    WHERE, "the folder has the checkpoints of another call",
                    expected="those of `train`", got="those of `Model.fit`", at=self._folder,
                    fix="give another folder",
                )  # fmt: skip
        except BaseException:
            self._stack.close()
            raise

    def begin(
        self, chosen: Config, training: Training,
        more: Mapping[str, str] | None = None, command: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Write what the run is begun with, or compare it with what is there.

        Args:
            chosen: the settings that were given.
            training: of the table; its fits then have the checkpoints.
            more: what else determines the result, in words.
            command: the arguments of the command line, which need not be alike.

        Raises:
            SettingError: the folder is of other data or settings, or cannot be written.
        """
        training.checkpoint = self.checkpoint
        if self.begun is not None and chosen.blocks is None:  # other ranks, or none, go on
            chosen = replace(chosen, blocks=self.begun.settings.get("blocks"))
            training.config = replace(training.config, blocks=chosen.blocks)
        chosen = replace(chosen, blocks=training.config.blocks)
        now = Begun(
            FORMAT, __version__, _plain(chosen), training.digest, dict(more or {}),
            dict(command or {}),
        )  # fmt: skip
        if self.begun is not None:
            self._compare(self.begun, now)
            self.keep(**now.command)
            return
        self.begun = now
        try:
            self._write(now)
        except OSError as error:
            raise SettingError(
                WHERE, "the folder cannot be written", got=error.strerror, at=self._folder,
                fix="make room, or give another folder",
            ) from None  # fmt: skip

    def keep(self, **facts: Any) -> None:
        """Keep further facts of the command; a full disk does not matter."""
        assert self.begun is not None
        self.begun.command |= facts
        with contextlib.suppress(OSError):
            self._write(self.begun)

    def _write(self, begun: Begun) -> None:
        text = json.dumps(msgspec.to_builtins(begun), indent=1, ensure_ascii=False)
        write_whole(self._folder / RUN_FILE, text + "\n")

    def _compare(self, old: Begun, now: Begun) -> None:
        """Raises SettingError for what differs."""
        theirs = _plain(config(**settings_of(old))) | old.more  # with what was added since
        ours = now.settings | now.more
        names = [x for x in dict.fromkeys([*theirs, *ours]) if theirs.get(x) != ours.get(x)]
        if names:
            raise SettingError(
                WHERE, "the folder has the checkpoints of a run with other settings",
                expected="\n".join(f"{x}={_shown(theirs.get(x))}" for x in names),
                got="\n".join(f"{x}={_shown(ours.get(x))}" for x in names), at=self._folder,
                fix="give another folder, or the settings that the run began with",
            )  # fmt: skip
        changed = old.data.differences(now.data)
        if changed:
            raise SettingError(
                WHERE, "the data are not those that the run began with",
                got="\n".join(changed), at=self._folder,
                fix="give the data as they were, or another folder",
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def read_begun(folder: Path) -> Begun | None:
    """The beginning of the run of a folder; None where there is none.

    Raises:
        SettingError: the file is damaged, or of a newer version.
    """
    path = folder / RUN_FILE
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SettingError(WHERE, "the file cannot be read", got=error.strerror, at=path) from None
    try:
        found = msgspec.json.decode(content, type=Begun)
    except msgspec.MsgspecError as error:
        raise SettingError(
            WHERE, "the file of the run is damaged", got=error, at=path, fix="give another folder"
        ) from None
    if found.format > FORMAT:
        raise SettingError(
            WHERE, "the folder was written by a newer version of chainrule", at=path,
            got=found.version, fix="pip install --upgrade chainrule",
        )  # fmt: skip
    return found


def settings_of(begun: Begun) -> dict[str, Any]:
    """The settings by key, those of this version, as a Config takes them."""
    return {name: x for name, x in begun.settings.items() if name in KEYS and x is not None}


def _plain(settings: Config) -> dict[str, Any]:
    """The settings as a JSON file has them."""
    plain: dict[str, Any] = msgspec.to_builtins(asdict(settings))
    return plain


def _shown(value: Any) -> str:
    return "(open)" if value is None else repr(value)


def kept_folder(
    checkpoint: Checkpoint | None,
) -> RunFolder | contextlib.nullcontext[None]:
    """The folder of a run, which holds it; None within where nothing is kept.

    Of several ranks the first alone holds it.

    Args:
        checkpoint: names the folder.

    Raises:
        SettingError: as RunFolder.
    """
    if checkpoint is None:
        return contextlib.nullcontext()
    return RunFolder(checkpoint) if speaks() else contextlib.nullcontext()
