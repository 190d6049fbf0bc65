"""The command that `chainrule train` keeps with its checkpoints, and `--resume` reads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from glob import glob
from pathlib import Path
from typing import Any

from chainrule import recipe
from chainrule.cli.console import Console
from chainrule.cli.outputs import quoted
from chainrule.cli.spelling import OPTIONS
from chainrule.data.readers.sources import is_query
from chainrule.data.readers.stdin import STDIN
from chainrule.errors import SettingError
from chainrule.recipe.runfolder import Begun, RunFolder, read_begun, settings_of
from chainrule.train.checkpoint import RUN_FILE, Checkpoint

EVERY, KEEP = "60s", 3
"""The time between two checkpoints, and how many are kept, where neither is given."""


def checkpoint_of(
    folder: str | None, every: str | None, keep: int | None, told: Mapping[str, Any]
) -> Checkpoint | None:
    """The checkpoint that the options name; None where none is kept.

    Args:
        told: of the command that began the run.

    Raises:
        SettingError: a value is not allowed, or there is no folder.
    """
    if folder is None:
        for option, given in (("--every", every), ("--keep", keep)):
            if given is not None:
                raise SettingError(option, "there are no checkpoints", fix="--checkpoint FOLDER")
        return None
    every = told.get("every", EVERY) if every is None else every
    return Checkpoint(folder, every=every, keep=told.get("keep", KEEP) if keep is None else keep)


def begun_in(folder: str, given: Mapping[str, Any]) -> Begun:
    """The beginning of the run in a folder.

    Args:
        given: options that belong to the run, which cannot be given again.

    Raises:
        SettingError: there is no run, it was begun in Python, or an option is given again.
    """
    beside = [OPTIONS.get(name, f"--{name}") for name, x in given.items() if x is not None]
    if beside:
        raise SettingError(
            "resume", f"{', '.join(beside)}: the run goes on with the settings that it began with",
            fix=f"leave out {beside[0]}, or begin another run: --checkpoint NEW_FOLDER",
        )  # fmt: skip
    begun = read_begun(Path(folder))
    if begun is None:
        there = Path(folder).is_dir()
        raise SettingError(
            "resume", "the folder has no run to go on with" if there else "there is no such folder",
            expected=f"a folder with {RUN_FILE}, which train --checkpoint wrote", got=folder,
            fix="chainrule train DATA --target COLUMN --checkpoint FOLDER",
        )  # fmt: skip
    if "data" not in begun.command:
        raise SettingError(
            "resume", "the run was begun in Python, not by `chainrule train`", at=folder,
            fix="make the same call again: it goes on",
        )  # fmt: skip
    return begun


def resumed(
    begun: Begun, data: str | None, output: str | None, trace: Path | None
) -> dict[str, Any]:
    """The arguments of the command that began a run; its folder becomes the working folder.

    Args:
        begun: the beginning of the run.
        data, output, trace: as they are given anew, if they are.
    """
    told = begun.command
    data, output = _whole(data), None if output is None else os.path.abspath(output)
    trace = None if trace is None else trace.absolute()
    folder = Path(told["folder"])
    if folder.is_dir():
        os.chdir(folder)
    if data is None and not _there(told["data"]):
        raise SettingError(
            "resume", "the data of the run are not where they were",
            got=f"no file {told['data']}", at=f"the folder {Path.cwd()}",
            fix="chainrule train NEW_PLACE --resume FOLDER",
        )  # fmt: skip
    same: dict[str, Any] = {x: told.get(x) for x in ("test", "encoding", "sheet", "memory")}
    same |= {x: bool(told.get(x)) for x in ("stream", "record")}
    return {
        **same, "device": told.get("device") or "cpu", "data": data or told["data"],
        "output": output or told.get("output"),
        "trace": trace, "command_line": told["typed"],
        "chosen": recipe.config(**settings_of(begun)),
    }  # fmt: skip


def _there(data: str) -> bool:
    """Whether data that are named as a path can be looked for; other names are read, and told."""
    named = is_query(data) or data == STDIN or not (os.path.dirname(data) or Path(data).suffix)
    return named or os.path.exists(data) or bool(glob(data))


def _whole(path: str | None) -> str | None:
    """A path of files in a form that holds in any working folder; other sources as they are."""
    given = path is not None and (os.path.exists(path) or bool(glob(path)))
    return os.path.abspath(path) if path is not None and given else path


def command_of(kept: RunFolder, data: str, typed: str, more: Mapping[str, Any]) -> dict[str, Any]:
    """The command as the folder of its run keeps it.

    Args:
        data: its source.
        typed: the command line.
        more: further arguments by name.
    """
    checkpoint = kept.checkpoint
    return {
        **more, "data": data, "typed": typed, "folder": os.getcwd(), "every": checkpoint.every,
        "keep": checkpoint.keep,
    }  # fmt: skip


def place(kept: RunFolder | None, output: str | None, force: bool) -> tuple[str | None, bool]:
    """The output of a run, and whether files there may be replaced: those that it wrote itself.

    Args:
        kept: its folder, if it has one.
        output, force: as they are given.
    """
    if kept is None or kept.begun is None:
        return output, force
    before = kept.begun.command.get("output")
    output = output or before
    if output is None or before is None or os.path.abspath(output) != os.path.abspath(before):
        return output, force
    return output, force or bool(kept.begun.command.get("written"))


def tell_how_to_go_on(kept: RunFolder | None, trouble: Console) -> None:
    """Tell the command that goes on, after an interruption, if there is one."""
    if kept is not None:
        trouble.say(f"to go on: chainrule train --resume {quoted(kept.checkpoint.folder)}")
