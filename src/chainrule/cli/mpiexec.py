"""`--ranks`: starts the processes of a run on this machine, and tells how it ended."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from chainrule.cli.command import USAGE
from chainrule.cli.console import Console
from chainrule.data.readers.stdin import STDIN
from chainrule.errors import MissingExtra, SettingError
from chainrule.system.ranks.marker import VARIABLE, read_marker
from chainrule.system.ranks.world import in_group
from chainrule.system.startup import INTERRUPTED, WRONG

FAILED = 70
"""The exit code where a process was lost."""

SIGNALS = 128
"""Codes from here on are those of processes that a signal has ended."""

LOOK = 0.2
"""Seconds between two looks at a run."""

TOLD = 3.0
"""Seconds in which a Ctrl-C for all processes has come to each of them."""

RULE, NOTICE = 60, re.compile(r"\w+ detected that ")
"""A notice of the launcher is between lines of hyphens, of more than so many; how it begins."""

ENDING = 15.0
"""Seconds in which the launcher of MPI has ended, from when it is told to, or a process is lost."""


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
        code = _run(command, marker)
        done, reason = read_marker(marker)
    if code == INTERRUPTED:
        Console(sys.stderr).say("interrupted")
    if code in (INTERRUPTED, WRONG, USAGE) or (done and code == 0):
        return code  # the first process has told what is wrong
    if reason:
        Console(sys.stderr).say(f"[--ranks] the run has ended early: {reason}")
    return code if 0 < code < SIGNALS and not reason else FAILED


def _run(command: list[str], marker: str) -> int:
    """Run a launcher of MPI until it ends, or is made to; returns its exit code, or INTERRUPTED."""
    environment = os.environ | {VARIABLE: marker}
    environment.setdefault("PRTE_MCA_odls_base_sigkill_timeout", str(int(ENDING)))  # Open MPI's
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, errors="backslashreplace"
    ) as process:
        errors = threading.Thread(target=_pass_on, args=(process.stderr,), daemon=True)
        errors.start()
        end = _End(process, marker)
        before = signal.signal(signal.SIGTERM, lambda number, frame: end.terminate())
        try:
            while (code := end.code()) is None:
                pass
            errors.join(TOLD)  # a process that is stopped may have it still
            return INTERRUPTED if end.asked else code
        finally:
            signal.signal(signal.SIGTERM, before)


def _pass_on(errors: IO[str]) -> None:
    """Copy what processes and launcher say, but that one has an error, which it has told."""
    kept, notice = "", False
    with suppress(OSError, ValueError, AttributeError):  # none may read it
        for line in errors:
            rule = len(line) > RULE and not line.strip("-\r\n")
            if notice or (kept and NOTICE.match(line)):
                kept, notice = "", not rule
                continue
            sys.stderr.write(kept + ("" if rule and not kept else line))
            sys.stderr.flush()
            kept = line if rule and not kept else ""
        sys.stderr.write(kept)
        sys.stderr.flush()


class _End:
    """The end of a launcher of MPI: it may wait for ever for a host that is gone.

    Attributes:
        asked: whether Ctrl-C or SIGTERM has come.
    """

    def __init__(self, process: subprocess.Popen[str], marker: str) -> None:
        self._process, self._marker = process, marker
        self.asked, self._told = False, False
        self._since: float | None = None

    def terminate(self) -> None:
        """Tell the launcher to end, which tells its processes."""
        self.asked = self._told = True
        self._process.terminate()

    def code(self) -> int | None:
        """The exit code; None while it runs."""
        try:
            return self._process.wait(LOOK)
        except subprocess.TimeoutExpired:
            self._look()
        except KeyboardInterrupt:
            self.asked = True
        return None

    def _look(self) -> None:
        """Make it end, where it should have ended by itself."""
        failed = bool(read_marker(self._marker)[1])
        if self._since is None and (failed or self.asked):
            self._since = time.monotonic()
        if self._since is None:
            return
        passed = time.monotonic() - self._since
        if passed > TOLD and not failed and not self._told:
            self.terminate()  # Ctrl-C has come to us alone
        if passed > ENDING:
            self._process.kill()


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
