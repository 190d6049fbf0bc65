"""The parts of a command: its code, whose signature has the options, and its examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated

USAGE = 2
"""The exit code of a command line that is not understood."""


class Option:
    """An argument of a command: `Annotated[str, Option("the file to write", "--output", "-o")]`.

    Args:
        help: its description, in a few words.
        names: its spellings, where not --name.
        metavar: the placeholder of its value in the help.
    """

    def __init__(self, help: str, *names: str, metavar: str | None = None) -> None:
        self.help, self.names, self.metavar = help, names, metavar


@dataclass(frozen=True)
class Command:
    """A command, or a group of commands.

    Attributes:
        name: the word on the command line.
        run: its code, which returns the exit code, or None for 0. The docstring is the help;
            arguments are annotated with an Option, positional ones are positional-only;
            `**settings` stands for all settings of a recipe. A group has none.
        examples: three or more lines, shown at the end of the help.
        help: of a group.
        commands: of a group.
    """

    name: str
    run: Callable[..., int | None] | None
    examples: str
    help: str = ""
    commands: tuple[Command, ...] = ()

    @property
    def example_lines(self) -> list[str]:
        """The examples without their indentation."""
        return [line.strip() for line in self.examples.strip().splitlines()]


def paths(commands: Iterable[Command], before: str = "") -> Iterator[tuple[str, Command]]:
    """All commands by their words: "train", "data", "data list"."""
    for command in commands:
        yield before + command.name, command
        yield from paths(command.commands, f"{before}{command.name} ")


CommandLine = Annotated[str, "the command line as it was typed; no argument"]
_SOURCE = Option("a file (CSV, TSV, Parquet, JSON, .xlsx), a SQL query, the name of a data set, "
                 "or - for standard input")  # fmt: skip
Data = Annotated[str, _SOURCE]
MaybeData = Annotated[str | None, _SOURCE]
Encoding = Annotated[
    str | None,
    Option("the encoding of text that is not UTF-8, such as windows-1251", metavar="NAME"),
]
Sheet = Annotated[
    str | None, Option("the sheet of a spreadsheet; without it the first", metavar="NAME")
]
ModelSource = Annotated[str, Option("the folder that train made, or a model file")]
InPartsOption = Annotated[
    bool, Option("read the data in parts, whatever their size: for more than fits in memory",
                 "--stream"),
]  # fmt: skip
Memory = Annotated[
    str | None,
    Option("the memory that may be taken, such as 1GB; data that take more are read in parts",
           metavar="SIZE"),
]  # fmt: skip
Device = Annotated[
    str,
    Option(
        "what computes: cpu, gpu, gpu:1, cuda, opencl or opencl:NAME, as `chainrule devices` "
        "lists; or auto, the one that is predicted to be the quickest"
    ),
]
Quiet = Annotated[bool, Option("print nothing but errors", "--quiet", "-q")]
