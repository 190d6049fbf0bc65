"""Exercises: sheets of a network with numbers to compute by hand, and their keys."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from chainrule.errors import SettingError
from chainrule.explain.conditions import troubles
from chainrule.explain.run import run
from chainrule.explain.sheet import PARTS, Sheet, sheet
from chainrule.explain.trace import Trace
from chainrule.model.drawing import Drawing, Drawn, LectureNumbers, NumbersOfModel
from chainrule.model.model import Model, load
from chainrule.model.state import Data
from chainrule.report import sheets as pages
from chainrule.system.atomicfile import write_whole
from chainrule.system.checks import integer
from chainrule.types import is_number

TRIES = 400
"""Draws of a sheet until the numbers are fit; then those with the fewest troubles are taken."""

ONLY = {"forward": ("forward",), "backward": ("backward", "update")}
FILES = ("sheets.html", "keys.html", "sheets.md", "keys.md")
"""The names of the files of an exercise."""

WEIGHTS = ("own", "drawn")


@dataclass(frozen=True, eq=False, repr=False)
class Exercise:
    """Sheets with the numbers of a network, each with other ones, and their keys.

    Attributes:
        title: of the sheets.
        sheets: one for each variant.
        seed: of the numbers.
        notes: sentences for the teacher: on numbers that are not fit to be computed by hand.
    """

    title: str
    sheets: tuple[Sheet, ...]
    seed: int
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.sheets)

    def __getitem__(self, index: int) -> Sheet:
        return self.sheets[index]

    def __iter__(self) -> Iterator[Sheet]:
        return iter(self.sheets)

    def __str__(self) -> str:
        return pages.text(self.title, self.sheets[:1], self.seed, len(self.sheets), key=True)

    def __repr__(self) -> str:
        return f"<Exercise {self.title!r}: {len(self.sheets)} sheets, seed {self.seed}>"

    def _repr_html_(self) -> str:
        return pages.fragment(self.title, self.sheets[:1], self.seed, len(self.sheets), key=True)

    def files(self) -> dict[str, str]:
        """The names and contents of all files: sheets and keys as HTML and as Markdown."""
        facts = (self.title, self.sheets, self.seed, len(self.sheets))
        return {
            "sheets.html": pages.page(*facts, key=False),
            "keys.html": pages.page(*facts, key=True),
            "sheets.md": pages.text(*facts, key=False),
            "keys.md": pages.text(*facts, key=True),
        }

    def write(self, folder: str | os.PathLike[str], *, force: bool = False) -> list[Path]:
        """Write the files to a folder, which is made where there is none.

        Args:
            folder: of the files.
            force: replace files that are there.

        Returns:
            The paths of the files.

        Raises:
            SettingError: files of another exercise are there, or the path is a file.
            OSError: the folder cannot be written.
        """
        place = Path(folder)
        if place.exists() and not place.is_dir():
            raise SettingError("exercise", "this is a file, not a folder", got=place,
                               fix="another folder")  # fmt: skip
        files = self.files()
        assert tuple(files) == FILES
        taken = [name for name in files if (place / name).exists()]
        if taken and not force:
            raise SettingError(
                "exercise", "the files of another exercise exist", got=", ".join(taken),
                at=place, fix='write("another folder"), or write(..., force=True)',
            )  # fmt: skip
        place.mkdir(parents=True, exist_ok=True)
        return [write_whole(place / name, content) for name, content in files.items()]


def exercise(
    network: Model | str | os.PathLike[str] = "lecture",
    data: Data | None = None,
    *,
    variants: int = 20,
    seed: int = 0,
    rate: float | None = None,
    rows: Sequence[int] | None = None,
    only: str | None = None,
    weights: str = "own",
    title: str | None = None,
) -> Exercise:
    """Exercise sheets with worked keys: a network to compute by hand, each with other numbers.

    A sheet gives the inputs and the parameters, and asks for the value of every node, the
    gradient of every node and parameter, and each parameter after one step of gradient descent.
    Numbers to begin with have one or two digits, results four significant ones. Numbers with
    which computing by hand goes wrong are drawn again: results that round to 0.000, saturated
    units, differences that lose their digits. Of a network that is too large for a sheet, each
    shows one unit.

    Args:
        network: "lecture" for the network of "Training, illustrated"; or a model, its file or
            folder.
        data: rows for a model's sheets; None: the inputs are drawn.
        variants: the number of sheets.
        seed: of all that is drawn; the same seed makes the same sheets.
        rate: of the update; None: 10 for the lecture, as there, else 1.
        rows: of the data, counted from 1, a sheet for each; None: drawn.
        only: "forward" or "backward": the part to compute; None: both, and the update.
        weights: "own" for those of the model, rounded to two digits; or "drawn".
        title: of the sheets; None names the network.

    Returns:
        The sheets: `print(sheets)` shows the first, `sheets.write("folder")` writes all,
        `sheets[0].trace.check({...})` finds the first mistake in a student's numbers.

    Raises:
        SettingError: a setting is not valid, or nothing of the network can be computed by hand.
        ModelFileError, DataError, FeedError: the model or the data cannot be read.
    """
    if only not in (None, *ONLY):
        raise SettingError("exercise", "only is not a part", expected=" or ".join(ONLY), got=only)
    if weights not in WEIGHTS:
        raise SettingError("exercise", "weights are of two kinds", expected=" or ".join(WEIGHTS),
                           got=weights)  # fmt: skip
    if rate is not None and not (is_number(rate) and rate > 0):
        raise SettingError("exercise", "rate is not a number above 0", got=repr(rate))
    count, start = (
        integer("exercise", "variants", variants, 1),
        integer("exercise", "seed", seed, 0),
    )
    drawing = _drawing(network, data, rows, weights)
    count = count if rows is None else len(rows)
    rate = float(drawing.rate if rate is None else rate)
    parts = PARTS if only is None else ONLY[only]
    sheets, notes = [], list(drawing.notes)
    for number in range(1, count + 1):
        trace, drawn, found = _fittest(drawing, start, number)
        one = sheet(
            trace, trace.graph.name(drawn.loss), number=number, rate=rate, parts=parts,
            notes=drawn.notes, words=drawn.words,
        )  # fmt: skip
        sheets.append(one)
        if found:
            notes.append(f"sheet {number} is hard to compute by hand: {found[0]}")
    return Exercise(title or drawing.title, tuple(sheets), start, tuple(notes))


def _drawing(
    network: Model | str | os.PathLike[str],
    data: Data | None,
    rows: Sequence[int] | None,
    weights: str,
) -> Drawing:
    if isinstance(network, str) and network == "lecture":
        if data is not None or rows is not None:
            raise SettingError("exercise", "the lecture's network has inputs of its own",
                               fix="leave out the data and the rows")  # fmt: skip
        return LectureNumbers()
    if isinstance(network, Model):
        return NumbersOfModel(network, "a model", data, rows, weights)
    path = Path(network)
    path = path / "model.safetensors" if path.is_dir() else path
    name = path.parent.name if path.name == "model.safetensors" else path.stem
    return NumbersOfModel(load(path), name, data, rows, weights)


def _fittest(drawing: Drawing, seed: int, number: int) -> tuple[Trace, Drawn, list[str]]:
    """The first draw without troubles, or that with the fewest, and its troubles."""
    generator = np.random.default_rng([seed, number])
    best = None
    for drawn in drawing.draws(generator, number, TRIES):
        trace = run(drawn.loss, drawn.feeds, values=drawn.values, like=drawn.like)
        trace.backward(drawn.loss)
        found = troubles(trace, trace.graph.name(drawn.loss))
        if best is None or len(found) < len(best[2]):
            best = trace, drawn, found
        if not found:
            break
    assert best is not None
    return best
