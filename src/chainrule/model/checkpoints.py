"""The checkpoints of a run in their folder: written by a thread, pruned, and found again."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from chainrule.errors import ChainruleError, ModelFileError, SettingError
from chainrule.graph.node import Array
from chainrule.model.checkpointfile import NewerFormat, read, write
from chainrule.system.atomicfile import make_folder
from chainrule.system.folderlock import FolderLock, Held
from chainrule.system.signals import uninterrupted
from chainrule.train.history import History
from chainrule.train.runstate import RunState
from chainrule.version import __version__

_FILE = re.compile(r"step-(\d{10,})\.safetensors")


@dataclass(frozen=True)
class Snapshot:
    """All that a run goes on from.

    Attributes:
        identity: what the call must have alike to go on, by name, in words.
        state: the progress of the run.
        values: parameters and slots, by name.
        history: of the model.
        stop_reason: why the run ended early; None where it did not.
        memory: of L-BFGS, besides the values; None for other optimizers.
        recorded: what `Recorder` has of the run; None where it is not recorded.
        version: of the program that wrote it.
    """

    identity: dict[str, str]
    state: RunState
    values: Mapping[str, Array]
    history: dict[str, Any]
    stop_reason: str | None = None
    memory: dict[str, Any] | None = None
    recorded: dict[str, Any] | None = None
    version: str = __version__

    @property
    def complete(self) -> bool:
        """Whether nothing is left to train."""
        return self.state.ended or self.stop_reason is not None

    def to_dict(self) -> dict[str, Any]:
        """Plain values and arrays; those of the best epoch are not copied."""
        plain = replace(self.state, best_values=None).to_dict()
        return {
            "version": self.version,
            "identity": self.identity,
            "run": plain | {"best_values": self.state.best_values},
            "stop_reason": self.stop_reason,
            "history": self.history,
            "values": dict(self.values),
            "memory": self.memory,
            "recorded": self.recorded,
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """The snapshot that `to_dict` wrote. Raises ModelFileError."""
        try:
            History.from_dict(saved["history"])
            return cls(
                saved["identity"], RunState.from_dict(saved["run"]), saved["values"],
                saved["history"], saved["stop_reason"], saved.get("memory"),
                saved.get("recorded"), saved["version"],
            )  # fmt: skip
        except (KeyError, TypeError) as error:
            raise ModelFileError(
                "checkpoint", "the checkpoint is damaged", got=f"{type(error).__name__}: {error}"
            ) from None


def take_folder(where: str, folder: Path, stack: ExitStack) -> list[str]:
    """Make and lock a folder until a stack is closed; returns what is to be told of it.

    Args:
        where: the setting that names it, for errors.

    Raises:
        SettingError: it is in use, or cannot be written.
    """
    try:
        make_folder(folder)
        lock = stack.enter_context(FolderLock(folder))
    except Held as error:
        raise SettingError(
            where, "another run writes its checkpoints to this folder",
            got="" if error.owner is None else str(error.owner), at=folder,
            fix="wait for its end, or give another folder",
        ) from None  # fmt: skip
    except OSError as error:
        raise SettingError(
            where, "the folder cannot be written", got=error.strerror,
            at=folder, fix="give a folder that you may write to",
        ) from None  # fmt: skip
    if lock.left is None:
        return []
    return [f"{lock.left}, ended without leaving {folder}: taken over"]


class CheckpointFolder:
    """The files of checkpoints in a folder.

    Args:
        folder: which exists.
        keep: how many are kept.

    Attributes:
        notes: what was found to be damaged.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self._folder, self._keep = folder, keep
        self.notes: list[str] = []

    def last(self) -> Snapshot | None:
        """The last snapshot that is sound; damaged files are set aside, as NAME.damaged.

        Raises:
            NewerFormat: a newer version wrote it.
        """
        for path in self._files():
            try:
                return Snapshot.from_dict(read(path))
            except NewerFormat:
                raise
            except ChainruleError as error:
                aside = f"{path}.damaged"
                with contextlib.suppress(OSError):
                    os.replace(path, aside)
                why = f"{error.what}; {error.got}" if error.got else error.what
                self.notes.append(
                    f"checkpoint {path.name} is damaged ({why}): set aside as {aside}"
                )
        return None

    def write(self, snapshot: Snapshot) -> None:
        """Write a snapshot, and remove all but the last ones. Raises OSError."""
        write(self._folder / f"step-{snapshot.state.step:010d}.safetensors", snapshot.to_dict())
        for old in self._files()[self._keep :]:
            old.unlink(missing_ok=True)

    @property
    def empty(self) -> bool:
        """Whether there is no checkpoint."""
        return not self._files()

    def _files(self) -> list[Path]:
        """The files, the last one first."""
        found = [(int(m[1]), m[0]) for x in os.listdir(self._folder) if (m := _FILE.fullmatch(x))]
        return [self._folder / name for _, name in sorted(found, reverse=True)]


class Writer:
    """Writes snapshots in a thread of its own, one at a time.

    Args:
        folder: to write to.
    """

    def __init__(self, folder: CheckpointFolder) -> None:
        self._folder = folder
        self._thread: threading.Thread | None = None
        self._failed: str | None = None  # why the last one was not written
        self._told = False

    @property
    def busy(self) -> bool:
        """Whether the last snapshot is still being written."""
        return self._thread is not None and self._thread.is_alive()

    def put(self, snapshot: Snapshot) -> None:
        """Begin to write a snapshot; wait for the one before it."""
        self.wait()
        with uninterrupted():
            self._thread = threading.Thread(target=self._write, args=(snapshot,))
            self._thread.start()

    def wait(self) -> None:
        """Wait until the last snapshot is written."""
        if self._thread is not None:
            self._thread.join()

    def news(self) -> str | None:
        """A sentence where writing has begun to fail, or works again; else None."""
        if self.busy or self._told == (self._failed is not None):
            return None
        self._told = not self._told
        if self._failed is None:
            return "checkpoints are written again"
        return (
            f"checkpoints cannot be written: {self._failed}; training goes on, the last one stays"
        )

    def _write(self, snapshot: Snapshot) -> None:
        try:
            self._folder.write(snapshot)
            self._failed = None
        except (OSError, ChainruleError, MemoryError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self._failed = reason or type(error).__name__
