"""The screen of the command line, whose advice can be typed there."""

from __future__ import annotations

from chainrule.cli.spelling import OPTIONS, as_options
from chainrule.display.screen import Screen
from chainrule.errors import ChainruleError, rebuilt

NAMES = OPTIONS | {
    "Checkpoint.every": "--every", "Checkpoint.keep": "--keep", "fit.checkpoint": "--checkpoint",
}  # fmt: skip
"""The option of each place in errors."""


class Console(Screen):
    """A screen on which settings in advice are options of the command line."""

    def advice(self, text: str) -> str:
        return as_options(text)

    def error(self, error: ChainruleError) -> None:
        """Write an error; one of a setting begins with its option."""
        where, *parts = error.args
        if where == "config":  # the advice is for the file, whose notation is Python's here
            Screen(self.stream).error(error)
            return
        super().error(rebuilt(type(error), NAMES.get(where, where), *parts))
