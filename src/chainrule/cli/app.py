"""The cyclopts application of the commands; cyclopts is used only here."""

from __future__ import annotations

import inspect
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import chainrule
from chainrule.cli.command import USAGE, Command, CommandLine, Option
from chainrule.cli.commands import COMMANDS
from chainrule.cli.console import Console
from chainrule.data.readers.stdin import STDIN
from chainrule.display.format import clip
from chainrule.recipe import SETTINGS
from chainrule.system.signals import none_ignored
from chainrule.system.startup import raising_interrupts

if TYPE_CHECKING:
    from cyclopts import App, Parameter
    from rich.console import Console as Terminal

CHAINRULE = Command(
    "chainrule",
    None,
    """
    chainrule train penguins --target species
    chainrule train sales.csv --target price --test new_sales.csv
    chainrule predict sales-model tomorrow.csv -o predictions.csv
    chainrule data list
    """,
    "Neural networks for tables: train, predict, evaluate, and look inside.",
    COMMANDS,
)
"""The complete command line."""

METAVARS = {
    "text": "NAME", "column": "COLUMN", "integer": "N", "number": "X", "widths": "N,N",
    "names": "COLUMN,COLUMN", "texts": "TEXT,TEXT", "kinds": "COLUMN=KIND",
}  # fmt: skip
TYPES: dict[str, Any] = {"text": str, "column": str, "integer": int, "number": float}
"""The type of a setting by its form; others are lists of texts, which may contain commas."""


def run(arguments: Sequence[str], trouble: Console) -> int:
    """Parse and run; returns the exit code. A usage error is printed in a few lines."""
    from cyclopts import CycloptsError, MissingArgumentError  # noqa: PLC0415  (heavy)

    given = list(arguments) or ["--help"]
    try:
        code = application(given)(_with_stdin(given), console=_unbroken(given))
    except CycloptsError as error:
        command = " ".join(["chainrule", *(error.command_chain or ())])
        text = str(error).replace("\n", " ")
        if isinstance(error, MissingArgumentError) and error.argument is not None:
            text = f"{error.argument.name} is missing"
        trouble.say(f"[{command}] {clip(text, 600)}")
        trouble.say(f"{command} --help", indent=2, label="fix     ", style="bold")
        return USAGE
    return code if isinstance(code, int) else 0


def _unbroken(arguments: Sequence[str]) -> Terminal | None:
    """Writes help to a pipe or a file with an option a line, which `grep` finds whole; or None."""
    if _on_terminal() or not {"--help", "-h"} & set(arguments):
        return None
    from rich.console import Console as Terminal  # noqa: PLC0415  (heavy)

    return Terminal(width=10_000)


def _on_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def _with_stdin(arguments: Sequence[str]) -> list[str]:
    """The arguments with other words for a lone hyphen, which cyclopts takes for an option."""
    given: list[str] = []
    for word in arguments:
        if word == "-" and given[-1:] in (["-o"], ["--output"]):
            given[-1] = "--output=-"
        else:
            given.append(STDIN if word == "-" else word)
    return given


def application(arguments: Sequence[str]) -> App:
    """The application for a command line, which `train` prints in its report."""
    typed = shlex.join(["chainrule", *arguments])
    return _group(CHAINRULE, typed, version=chainrule.__version__, version_flags=["--version"])


def _group(group: Command, typed: str, **more: Any) -> App:
    from cyclopts import App  # noqa: PLC0415  (heavy: not for `import chainrule`)

    app = App(name=group.name, help=group.help, **_options(group) | more)
    for command in group.commands:
        if command.run is None:
            app.command(_group(command, typed))
        else:
            app.command(_adapted(command.run, typed), name=command.name, **_options(command))
    return app


def _options(command: Command) -> dict[str, Any]:
    """The settings of every command; its help ends with the examples."""
    lines = "\n".join(f"    {line}" for line in command.example_lines)
    return {
        "help_epilogue": f"Examples:\n\n{lines}",
        "help_format": "plaintext",
        "help_formatter": None if _on_terminal() else "plain",
        "exit_on_error": False,
        "print_error": False,
        "result_action": "return_value",
        "suppress_keyboard_interrupt": False,
        "version_flags": [],
    }


def _adapted(run: Callable[..., int | None], typed: str) -> Callable[..., int | None]:
    """The code of a command with annotations for cyclopts."""
    hints = get_type_hints(run, include_extras=True)
    supplied = {name: typed for name, hint in hints.items() if hint == CommandLine}
    parameters = [
        x
        for p in inspect.signature(run).parameters.values()
        if p.name not in supplied
        for x in _parameters(p, hints[p.name])
    ]

    def adapted(*positional: Any, **named: Any) -> int | None:
        # until here there is nothing to save, or to tell
        with raising_interrupts(), none_ignored():
            return run(*positional, **named, **supplied)

    adapted.__doc__ = run.__doc__
    adapted.__annotations__ = {p.name: p.annotation for p in parameters}
    vars(adapted)["__signature__"] = inspect.Signature(parameters)
    return adapted


def _parameters(p: inspect.Parameter, hint: Any) -> Iterator[inspect.Parameter]:
    """A parameter with its Option for cyclopts; `**settings` becomes one for each setting."""
    if p.kind is not p.VAR_KEYWORD:
        option: Option = hint.__metadata__[0]
        said = _parameter(option.help, option.names, metavar=option.metavar)
        yield p.replace(annotation=Annotated[hint.__origin__, said])
        return
    for setting in SETTINGS:
        default = setting.default
        shown = "" if default in (None, (), {}, 0, "none") else f" [{default}]"
        said = _parameter(
            setting.help + setting.values + shown,
            metavar=METAVARS[setting.form], group=setting.group,
        )  # fmt: skip
        kind = TYPES.get(setting.form, list[str])
        yield inspect.Parameter(
            setting.key, p.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, said]
        )


def _parameter(help: str, names: Sequence[str] = (), **more: Any) -> Parameter:
    """The cyclopts parameter of an argument; a switch has no --no- form."""
    from cyclopts import Parameter  # noqa: PLC0415  (heavy: not for `import chainrule`)

    free = more.get("metavar") == METAVARS["texts"]  # "-999" and "-" are texts
    return Parameter(name=names or None, help=help, negative="", show_default=False,
                     allow_leading_hyphen=free, **more)  # fmt: skip
