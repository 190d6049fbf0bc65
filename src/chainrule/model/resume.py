"""Makes a run of `fit` survive: its checkpoints, and the beginning from the last of them."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from chainrule.engine.program import Program
from chainrule.errors import ModelFileError, SettingError
from chainrule.graph.fingerprint import fingerprint
from chainrule.graph.node import Array
from chainrule.model.checkpoints import CheckpointFolder, Snapshot, Writer, take_folder
from chainrule.model.lastrun import LastRun, rows_digest
from chainrule.model.prepare import Prepared
from chainrule.model.state import Interrupted, ModelState
from chainrule.train.callbacks import BestTracker
from chainrule.train.checkpoint import RUN_FILE, Checkpoint
from chainrule.train.fitsettings import FitSettings
from chainrule.train.fullbatch import FullBatchProgram
from chainrule.train.history import History
from chainrule.train.loop import Run
from chainrule.train.runstate import RunState
from chainrule.version import __version__

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_SETTINGS = (
    "batch_size", "epochs", "total_epochs", "patience", "keep_best", "shuffle", "clip_norm",
    "clip_value", "trainable", "backend",
)  # fmt: skip


class Survival:
    """The checkpoints of one call of `fit`; a context manager that holds the lock of the folder.

    Args:
        state: the model.
        settings: of the call, resolved.
        identity: what another call must have alike to go on, by name, in words.

    Attributes:
        found: the snapshot to go on from, or None.
        notes: what is to be told before the run.
        recorded: gives what `Recorder` has of the run, for each checkpoint.

    Raises:
        SettingError: the folder is in use, cannot be written, or has the checkpoints of another
            call.
    """

    def __init__(
        self, state: ModelState, settings: FitSettings, identity: Mapping[str, str]
    ) -> None:
        assert isinstance(settings.checkpoint, Checkpoint)
        self._model, self._identity = state, dict(identity)
        self._every, self._where = (
            settings.checkpoint.seconds,
            os.fspath(settings.checkpoint.folder),
        )
        self._run: Run | None = None
        self.recorded: Callable[[], dict[str, Any] | None] = lambda: None
        self._due = time.monotonic() + self._every
        self._stack = ExitStack()
        self.notes: list[str] = []
        folder = Path(self._where)
        self.notes += take_folder("fit.checkpoint", folder, self._stack)
        try:
            _refuse_run(folder)
            files = CheckpointFolder(folder, settings.checkpoint.keep)
            self._writer = Writer(files)
            self.found = self._agreed(files.last())
        except BaseException:
            self._stack.close()
            raise
        self._complete = self.found is not None and self.found.complete  # which the run changes
        self.notes += files.notes
        if self.found is not None:
            self.notes += self._going_on(self.found)

    def _agreed(self, found: Snapshot | None) -> Snapshot | None:
        """The snapshot, if it is of this call. Raises SettingError, with what differs."""
        if found is None:
            return None
        theirs, cut = found.identity, self._model.interrupted
        unchanged = cut is not None and cut.mark is self._model.mark
        if cut is not None and unchanged and cut.beginning == theirs.get("beginning"):
            self._identity["beginning"] = cut.beginning
        ours = self._identity
        names = [x for x in ours if ours[x] != theirs.get(x)] + [x for x in theirs if x not in ours]
        if not names:
            return found
        raise SettingError(
            "fit.checkpoint", "the folder has the checkpoints of another call",
            expected="\n".join(f"{x}: {theirs.get(x)}" for x in names),
            got="\n".join(f"{x}: {ours.get(x)}" for x in names),
            at=f"{self._where}, step {found.state.step:,}",
            fix="give another folder, or the data and settings that the run began with",
        )  # fmt: skip

    def _going_on(self, found: Snapshot) -> list[str]:
        if found.complete:
            notes = [f"the run in {self._where} is complete: its end is taken, nothing is trained"]
        else:
            place = f"epoch {found.state.epoch}, after step {found.state.step:,}"
            notes = [f"goes on from the checkpoint in {self._where}: {place}"]
        if found.version != __version__:
            notes.append(
                f"chainrule {found.version} wrote it, this is {__version__}: bits may differ"
            )
        return notes

    def restore(self, program: Program) -> None:
        """Give the model the state of `found`, if there is one, from which a program begins.

        Raises:
            ModelFileError: its values are not those of the program.
        """
        found, state = self.found, self._model
        if found is None:
            return
        types = _types(program.read())
        best = found.state.best_values
        if _types(found.values) != types or (best is not None and _types(best) != types):
            raise ModelFileError(
                "checkpoint", "the checkpoint does not fit the parameters", at=self._where,
                fix="give another folder",
            )  # fmt: skip
        if isinstance(program, FullBatchProgram) and found.memory is not None:
            program.go_on(found.memory)
        state.restore(found.values, found.state.step)
        state.history = History.from_dict(found.history)

    def progress(self) -> RunState | None:
        """The progress of a run that goes on, of which the model has the state; else None."""
        if self.found is None:
            return None
        if self._model.history.last_epoch < self.found.state.first_epoch:
            self._model.history.begin_run()  # a start that has no row yet is not saved
        return self.found.state

    def attach(self, run: Run) -> None:
        """Take the checkpoints of a run, which has begun from `found`."""
        self._run = run
        if self.found is not None:
            history = run.view.history
            run.view.epoch, run.view.step = history.last_epoch, self.found.state.step
            run.view.row = history.row(-1) if len(history) else {}
            if self.found.stop_reason is not None:
                run.view.stop(self.found.stop_reason)

    def keep(self, last: bool) -> None:
        """Write the run as it is now, if the time has come; the last one is waited for."""
        run = self._run
        assert run is not None
        if not last and (time.monotonic() < self._due or self._writer.busy):
            return
        cut = run.view.stop_reason is not None and len(run.state.losses) > 0  # before its row
        if not (cut or self._complete) and run.program.steps == run.state.step:
            self._writer.put(self._snapshot(run))
            self._due = time.monotonic() + self._every
        if last:
            self._writer.wait()
        if (news := self._writer.news()) is not None:
            run.progress.note(news)

    def _snapshot(self, run: Run) -> Snapshot:
        now = run.state  # its arrays are replaced, never changed
        plateau = None if now.plateau is None else replace(now.plateau)
        state = replace(now, tracker=replace(now.tracker), plateau=plateau)
        values, history = run.program.read(), run.view.history.to_dict()
        memory = run.program.memory if isinstance(run.program, FullBatchProgram) else None
        return Snapshot(
            self._identity, state, values, history, run.view.stop_reason, memory, self.recorded()
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        state = self._model
        cut = None if error is None else Interrupted(self._identity["beginning"], state.mark)
        state.interrupted = cut
        with self._stack:  # freed also if Ctrl-C ends the waiting
            self._writer.wait()


class Following(Survival):
    """The checkpoints of a run on a rank that neither reads nor writes them.

    Args:
        state: the model.
        found: the snapshot to go on from, which the first rank has read, or None.
    """

    def __init__(self, state: ModelState, found: Snapshot | None) -> None:
        self._model, self._where = state, "the folder of rank 0"
        self.found, self.notes = found, []

    def keep(self, last: bool) -> None:
        """The first rank does it."""

    def __exit__(self, *_: object) -> None:
        pass


def _refuse_run(folder: Path) -> None:
    """Raises SettingError for the folder of a run of several fits."""
    if (folder / RUN_FILE).exists():
        raise SettingError(
            "fit.checkpoint", "the folder has the checkpoints of another call",
            expected="those of `fit`", got="those of `train` or `search`", at=folder,
            fix="give another folder",
        )  # fmt: skip


def _types(values: Mapping[str, Array]) -> dict[str, object]:
    return {name: (x.shape, x.dtype) for name, x in values.items()}


def identity(
    state: ModelState, prepared: Prepared, settings: FitSettings, values: Mapping[str, Array],
    steps: int, beginning: tuple[LastRun | None, BestTracker, bool],
) -> dict[str, str]:  # fmt: skip
    """All that determines the bits of a run, by name, in words.

    Args:
        state: the model.
        prepared: its data.
        settings: resolved.
        values, steps: parameters and slots that the run begins with.
        beginning: what it takes over from the last run.
    """
    graph, held = state.graph, prepared.held_arrays
    nodes = [*state.outputs, *([] if state.loss is None else [state.loss])]
    metrics = ", ".join(x.name for x in state.objectives.metrics(settings.metrics or ()))
    return {
        "model": fingerprint(graph, nodes).hex()[:16],
        "seed": str(state.seed),
        "beginning": f"step {steps:,}, values {_digest(values, beginning)}",
        "training data": _training(state, prepared),
        "validation data": "none" if held is None else _rows(state, held, prepared.held_rows),
        "optimizer": _ADDRESS.sub("", repr(settings.optimizer)),
        **{x: repr(getattr(settings, x)) for x in _SETTINGS},
        **({} if settings.blocks in (None, 1) else {"blocks": str(settings.blocks)}),
        **({} if settings.precision == "float32" else {"precision": settings.precision}),
        **({} if settings.device == "cpu" else {"device": repr(settings.device)}),
        **({} if settings.record is None else {"record": repr(settings.record)}),
        "metrics": metrics,
    }


def _rows(state: ModelState, arrays: Mapping[str, Array], rows: Any) -> str:
    return f"{len(rows):,} rows, {rows_digest(state.graph, arrays, rows)[:16]}"


def _training(state: ModelState, prepared: Prepared) -> str:
    """The training rows in words: of a stream with the blocks that its order is made of."""
    rows = prepared.stream
    if rows is None:
        return _rows(state, prepared.arrays, prepared.rows)
    blocks, stream = rows.windows, rows.stream
    return (
        f"{rows.rows:,} of {stream.rows:,} rows of a stream, {stream.digest[:16]}, {blocks.size} "
        f"blocks of {blocks.block_rows:,} rows"
    )


def _digest(
    values: Mapping[str, Array], beginning: tuple[LastRun | None, BestTracker, bool]
) -> str:
    last, tracker, best = beginning
    digest = hashlib.sha256()
    for name, x in sorted(values.items()):
        digest.update(f"{name} {x.dtype} {x.shape} ".encode())
        digest.update(x.tobytes())
    plateau = None if last is None else last.plateau
    begun = None if last is None else last.first_step
    digest.update(repr((begun, plateau, tracker, best)).encode())
    return digest.hexdigest()[:16]
