"""`--ranks`: starts the processes of a run on this machine, and tells how it ended."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from chainrule.cli.console import Console
from chainrule.data.readers.stdin import STDIN
from chainrule.errors import MissingExtra, SettingError
from chainrule.system.ranks.marker import VARIABLE, read_marker
from chainrule.system.ranks.world import in_group
from chainrule.system.startup import INTERRUPTED

FAILED = 70
"""The exit code where a process was lost."""


def start_ranks(count: int, command_line: str, data: str) -> int:
    """Run the same command in so many processes; returns its exit code.

    Args:
        count: of processes.
        command_line: as it was typed, with the option.
        data: what it reads.

    Raises:
        SettingError: the number is not valid, or the data can be read only once.
        MissingExtra: there is no `mpiexec`.
    """
    if in_group() or count < 1:
        got = "inside of mpiexec, which has started them" if in_group() else str(count)
        raise SettingError("--ranks", "the number of processes to start is 1 or more", got=got,
                           fix="leave out --ranks" if in_group() else "--ranks 2")  # fmt: skip
    if data == STDIN:
        raise SettingError("--ranks", "standard input is read once, and each process reads",
                           fix="write the data to a file first")  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="chainrule-") as folder:
        marker = os.path.join(folder, "marker")
        command = [*_launcher(count), sys.executable, "-m", "chainrule", *_without(command_line)]
        code = _run(command, os.environ | {VARIABLE: marker})
        done, reason = read_marker(marker)
    if code == INTERRUPTED or (done and code == 0):
        return code
    if reason:
        Console(sys.stderr).say(f"[--ranks] the run has ended early: {reason}")
    return code if code > 0 and not reason else FAILED


def _run(command: list[str], environment: dict[str, str]) -> int:
    """Run a launcher, which Ctrl-C reaches by itself, and SIGTERM by us; returns its exit code."""
    with subprocess.Popen(command, env=environment) as process:
        before = signal.signal(signal.SIGTERM, lambda number, frame: process.terminate())
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.wait()
            return INTERRUPTED
        finally:
            signal.signal(signal.SIGTERM, before)


def _launcher(count: int) -> list[str]:
    """The command that starts processes of MPI."""
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        raise MissingExtra("--ranks", "there is no mpiexec, which starts the processes",
                           fix="pip install 'chainrule[mpi]'")  # fmt: skip
    root = ["--allow-run-as-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return [found, "-n", str(count), "--oversubscribe", *root]


def _without(command_line: str) -> list[str]:
    """The arguments of the command without --ranks and its number."""
    words = iter(shlex.split(command_line)[1:])
    kept = []
    for word in words:
        if word == "--ranks":
            next(words, None)
        elif not word.startswith("--ranks="):
            kept.append(word)
    return kept
