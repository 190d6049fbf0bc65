"""Progress of a run: a live line, a log, a notebook display, or nothing.

Progress goes to standard error, so that standard output stays free for data. If the terminal is
closed during a run, its progress stops, and nothing else does.
"""

from __future__ import annotations

import sys
from typing import TextIO

from chainrule.display.screen import is_terminal
from chainrule.errors import SettingError, did_you_mean
from chainrule.train.metrics import plain_name
from chainrule.train.progress.base import Brief, Progress
from chainrule.train.progress.log import LogProgress
from chainrule.train.progress.notebook import NotebookProgress
from chainrule.train.progress.terminal import TerminalProgress

__all__ = ["Brief", "LogProgress", "NotebookProgress", "Progress", "TerminalProgress", "choose"]

KINDS = ("terminal", "log", "notebook", "silent")


def choose(verbose: bool | str | Progress | None = None, stream: TextIO | None = None) -> Progress:
    """Returns the progress display that suits the environment.

    Args:
        verbose: None or True detects a notebook or a terminal; anything else gets a log. False is
            silent. A name selects a kind: "terminal", "log", "notebook", "silent". A Progress is
            used as it is.
        stream: where to write; by default the current standard error.

    Raises:
        SettingError: the kind is unknown.
    """
    if isinstance(verbose, Progress):
        return verbose
    kind = plain_name(verbose) if isinstance(verbose, str) else verbose is None or bool(verbose)
    if isinstance(kind, str) and kind not in KINDS:
        raise SettingError(
            "verbose",
            f"there is no progress of kind {verbose!r}",
            expected="True, False, " + ", ".join(map(repr, KINDS)),
            fix=did_you_mean(kind, KINDS),
        )
    notebook = kind == "notebook" or (kind is True and stream is None and _in_notebook())
    if kind == "silent" or kind is False:
        return Progress()
    if notebook:
        return NotebookProgress()
    stream = sys.stderr if stream is None else stream
    if stream is None or getattr(stream, "closed", False):
        return Progress()
    if kind == "terminal" or (kind is True and is_terminal(stream)):
        terminal = TerminalProgress(stream)
        return terminal if kind == "terminal" or terminal.able else LogProgress(stream)
    return LogProgress(stream)


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None
