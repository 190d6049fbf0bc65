"""The files that a training run writes: in a new folder, never over those of another run."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from chainrule.costs.profile import Profile
from chainrule.data.readers.several import PATTERN
from chainrule.data.readers.sources import is_query
from chainrule.data.readers.stdin import STDIN
from chainrule.display.screen import Screen
from chainrule.errors import SettingError

SUFFIX = re.compile(
    r"(\.(csv|tsv|txt|parquet|json|jsonl|ndjson|xlsx|xls|ods|npz|gz))+$", re.IGNORECASE
)
MODEL = "model.safetensors"
LEARNING = "learning.json"
SIDES = ("report.html", "history.csv", "config.toml")


@dataclass(frozen=True)
class Outputs:
    """The files of a run.

    Attributes:
        named: the model on a command line: the folder, or the file.
        model, report, history, config: their paths.
        learning: of what was recorded, where it is asked for.
    """

    named: Path
    model: Path
    report: Path
    history: Path
    config: Path
    learning: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The paths of all files, the model first."""
        more = () if self.learning is None else (self.learning,)
        return self.model, self.report, self.history, self.config, *more


@contextlib.contextmanager
def claimed(
    source: str, wanted: str | None, force: bool, record: bool = False
) -> Iterator[Outputs]:
    """The files to write, in an existing, writable folder.

    A folder that stays empty is removed at the end.

    Args:
        source: the training data, for a name.
        wanted: the folder, or the file of the model; None makes a folder NAME-model, with a
            number where that is taken.
        force: whether files of another run may be replaced.
        record: whether what is recorded gets a file.

    Raises:
        SettingError: the files exist already, or cannot be written.
    """
    folder, created = None, False
    if wanted is not None and wanted.endswith(".safetensors"):
        outputs = _beside(Path(wanted))
        if not outputs.model.parent.is_dir():
            raise SettingError("train", "there is no such folder", got=outputs.model.parent,
                               at=f"-o {wanted}",
                               fix=f"mkdir -p {quoted(outputs.model.parent)}")  # fmt: skip
    elif wanted is not None:
        folder = Path(wanted)
        created = _make(folder)
        outputs = _within(folder)
    else:
        folder = _numbered(name_of(source))
        created, outputs = True, _within(folder)
    if record:
        outputs = replace(outputs, learning=beside(outputs.model))
    _refuse_taken(outputs, force)
    try:
        yield outputs
    finally:
        if folder is not None and created:
            with contextlib.suppress(OSError):  # not empty: its contents remain
                folder.rmdir()


def name_of(source: str) -> str:
    """A name for results from a source: the file's name without its suffix."""
    if is_query(source):
        return "query"
    if source == STDIN:
        return "stdin"
    path = Path(source)
    while not PATTERN.isdisjoint(path.name) and path.parent != path:
        path = path.parent
    name = SUFFIX.sub("", path.name)
    return name[:60].strip(". ") or "data"


def quoted(path: os.PathLike[str] | str) -> str:
    """A path as typed in a shell; one that begins with a hyphen gets its folder."""
    text = str(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def output_file(
    command: str, output: str, sources: Iterable[Path], endings: Sequence[str], name: str,
    option: str = "-o",
) -> Path:  # fmt: skip
    """The file that an option, such as `-o`, names.

    Args:
        command: the word on the command line, for errors.
        output: as given.
        sources: files that are read, which it must not replace.
        endings: those that are known, the usual one first.
        name: of a file in place of a folder, without its ending.
        option: as it is typed.

    Raises:
        SettingError: it is a folder, is in none, replaces a source, or has another ending.
    """
    path, usual = Path(output), endings[0]
    if path.is_dir():
        raise SettingError(command, "this is a folder", got=path, expected=f"{option} FILE",
                           fix=f"{option} {quoted(path / (name + usual))}")  # fmt: skip
    if not path.parent.is_dir():
        raise SettingError(command, "there is no such folder", got=path.parent,
                           at=f"{option} {output}",
                           fix=f"mkdir -p {quoted(path.parent)}")  # fmt: skip
    for source in sources:
        if path.exists() and source.exists() and path.samefile(source):
            free = path.with_stem(f"{path.stem}-{name}")
            raise SettingError(command, "the output would replace an input", got=path,
                               fix=f"{option} {quoted(free)}")  # fmt: skip
    suffix = path.suffix.lower()
    if suffix not in endings:
        raise SettingError(
            command, f"unknown ending {path.suffix!r}" if suffix else "the file has no ending",
            expected=", ".join(endings), got=output,
            fix=f"{option} {quoted(path.with_suffix(usual))}",
        )  # fmt: skip
    return path


def trace_file(command: str, wanted: str | None, sources: Iterable[Path]) -> Path | None:
    """The file that `--trace` names; None where it is not given. Raises SettingError."""
    if wanted is None:
        return None
    return output_file(command, wanted, sources, (".json",), "step", "--trace")


def write_trace(profile: Profile, path: Path, screen: Screen) -> None:
    """Write the trace events of a profile, and say so. Raises OSError."""
    profile.to_trace(path)
    left_out = profile.trace_events()["otherData"]["left_out_slices"]
    told = f", without the {left_out:,} shortest slices" if left_out else ""
    screen.say(f"the time of a step is in {quoted(path)}{told}; ui.perfetto.dev opens it")


def beside(model: Path) -> Path:
    """The file of what was recorded of a model: in its folder, or by its name."""
    if model.name == MODEL:
        return model.with_name(LEARNING)
    return model.with_name(f"{model.name.removesuffix('.safetensors')}.{LEARNING}")


def _within(folder: Path) -> Outputs:
    return Outputs(folder, folder / MODEL, *(folder / name for name in SIDES))


def _beside(model: Path) -> Outputs:
    stem = model.name.removesuffix(".safetensors")
    return Outputs(model, model, *(model.with_name(f"{stem}.{name}") for name in SIDES))


def _make(folder: Path) -> bool:
    """Make a folder if it does not exist; returns whether it did."""
    if folder.is_dir():
        return False
    if folder.exists():
        raise SettingError(
            "train", "this is a file", got=folder, expected="a folder, or NAME.safetensors",
            fix=f"-o {quoted(folder.with_name(SUFFIX.sub('', folder.name) + '-model'))}",
        )  # fmt: skip
    folder.mkdir(parents=True)
    return True


def _numbered(name: str) -> Path:
    """A new folder NAME-model, or NAME-model-2 and so on; an empty one is taken."""
    number = 1
    while True:
        folder = Path(f"{name}-model" if number == 1 else f"{name}-model-{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder
        if folder.is_dir() and not any(folder.iterdir()):
            return folder
        number += 1


def _refuse_taken(outputs: Outputs, force: bool) -> None:
    taken = [path.name for path in outputs.files if path.exists()]
    if taken and not force:
        raise SettingError(
            "train", "the files of another run exist", got=", ".join(taken),
            at=outputs.named, fix="choose another name with -o, or replace them with --force",
        )  # fmt: skip
