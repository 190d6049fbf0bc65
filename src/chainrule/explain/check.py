"""A student's numbers compared with those of a trace: the first wrong line, and its likely slip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.display.tables import Section, as_html
from chainrule.explain.answers import Answer
from chainrule.explain.lines import Key, Lines
from chainrule.explain.slips import SLIPS, Slip

SEARCHED = 12
"""The lines before a wrong one, without an answer of their own, in which a slip is searched."""

MOST_NODES = 300
"""The nodes of a graph up to which lines before the wrong one are searched."""


@dataclass(frozen=True)
class CheckedLine:
    """One line of a student's numbers.

    Attributes:
        name: "z1", "∂E/∂z1" or "new W1".
        number: of the line, in order of computation, from 1.
        status: "right", "wrong", or "follows" where it is right for the numbers before it, which
            are wrong; "coarse" where it is rounded to too few digits.
        entries: the indices of the wrong entries.
        slip: the slip that gives these numbers; None where none is known.
        where: the name of the line where the slip happened, if that has no number of its own.
        sentence: says what went wrong.
        formula: of the line.
        expected: the right numbers, given those before.
    """

    name: str
    number: int
    status: str
    entries: tuple[tuple[int, ...], ...] = ()
    slip: str | None = None
    where: str | None = None
    sentence: str = ""
    formula: str = ""
    expected: Any = None


@dataclass(frozen=True)
class Checked:
    """The result of `trace.check`: true if all numbers are right; `print` says what is wrong.

    Attributes:
        lines: all lines that were checked, in order of computation.
    """

    lines: tuple[CheckedLine, ...]

    @property
    def first(self) -> CheckedLine | None:
        """The first wrong line; None if there is none."""
        return next((x for x in self.lines if x.status in ("wrong", "coarse")), None)

    @property
    def ok(self) -> bool:
        """Whether all lines are right."""
        return self.first is None

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        counts = {x: [y.name for y in self.lines if y.status == x] for x in STATUSES}
        first = self.first
        if first is None:
            return f"{_lines(len(self.lines))} checked: all right."
        parts = [f"line {first.number}, {first.name}{_places(first)}: {first.sentence}."]
        if first.formula:
            parts.append(f"    {first.formula}")
        right = len(counts["right"])
        told = [f"{_lines(right)} {'is' if right == 1 else 'are'} right"]
        if follows := counts["follows"]:
            told.append(f"{', '.join(follows)}: right for the numbers before, which are wrong")
        others = [x.name for x in self.lines if x.status in ("wrong", "coarse") and x is not first]
        if others:
            told.append(f"wrong besides: {', '.join(others)}")
        return "\n".join([*parts, "; ".join(told) + "."])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = tuple((str(x.number), x.name, x.status, x.sentence) for x in self.lines)
        return as_html([Section("", rows, ("line", "of", "", ""), (0,))])


STATUSES = ("right", "follows", "coarse", "wrong")


def checked(lines: Lines, answers: Mapping[str, Any]) -> Checked:
    """The student's numbers against those of a trace.

    Args:
        lines: of the trace.
        answers: by the names of lines.

    Raises:
        GraphError: no line has that name. FeedError: numbers that cannot be read, or too few.
    """
    given: dict[Key, Answer] = {}
    for name, value in answers.items():
        key = lines.find(name)
        given[key] = Answer.read(lines.title(key), value, lines.value(key))
    found: list[CheckedLine] = []
    before: dict[Key, Any] = {}
    for key in sorted(given, key=lines.place):
        expected = lines.computed(key, before)
        found.append(_line(lines, key, given[key], expected, before, given))
        before[key] = given[key].filled(expected)
    return Checked(tuple(found))


def _line(
    lines: Lines,
    key: Key,
    answer: Answer,
    expected: Any,
    before: Mapping[Key, Any],
    given: Mapping[Key, Answer],
) -> CheckedLine:
    """One line, judged by the right numbers and by those that the student had."""
    name, number = lines.title(key), lines.number(key)
    right = answer.near(lines.value(key))
    follows = right | answer.near(expected)
    if right.all():
        return CheckedLine(name, number, "right", expected=lines.value(key))
    if follows.all():
        apart = answer.apart(lines.value(key), expected)
        told = "right for the numbers before it"
        return CheckedLine(name, number, "follows" if apart else "right", sentence=told * apart,
                           expected=expected)  # fmt: skip
    wrong = ~follows
    places = tuple(tuple(map(int, x)) for x in np.argwhere(wrong))
    formula = lines.formula(key)
    if answer.coarse(expected)[wrong].all():
        told = "it is rounded to too few digits: give at least two that are not leading zeros"
        return CheckedLine(name, number, "coarse", places, "rounded", None, told, formula, expected)
    slip, place = _slip(lines, key, answer, wrong, before, given)
    if slip is None:
        told = "the number is wrong, and no usual slip gives it"
        return CheckedLine(name, number, "wrong", places, None, None, told, formula, expected)
    told = slip.sentence.format(**lines.words(place))
    where = None if place == key else lines.title(place)
    told = told if where is None else f"{told}, at {where}"
    return CheckedLine(name, number, "wrong", places, slip.name, where, told,
                       lines.formula(place), expected)  # fmt: skip


def _slip(
    lines: Lines,
    key: Key,
    answer: Answer,
    wrong: Any,
    before: Mapping[Key, Any],
    given: Mapping[Key, Answer],
) -> tuple[Slip | None, Key]:
    """The slip that gives the student's numbers, or else their wrong entries, and its line."""
    partly: tuple[Slip | None, Key] = None, key
    for place in _places_of_slips(lines, key, given):
        for slip in SLIPS:
            if slip.part == place[0] or (slip.part == "" and (place == key or slip.deep)):
                for candidate in slip.wrong(lines.line(place, before)):
                    result = candidate
                    if place != key:
                        result = lines.computed(key, {**before, place: candidate})
                    near = answer.near(result)
                    if near.all():
                        return slip, place
                    if near[wrong].all() and partly[0] is None:
                        partly = slip, place
    return partly


def _places_of_slips(lines: Lines, key: Key, given: Mapping[Key, Answer]) -> Iterator[Key]:
    """The line itself, then those before it that have no answer of their own."""
    yield key
    if len(lines.trace.graph) <= MOST_NODES:
        yield from lines.between(key, given)[:SEARCHED]


def _lines(count: int) -> str:
    return f"{count} line" + "s" * (count != 1)


def _places(line: CheckedLine) -> str:
    """The wrong entries, in words."""
    size = np.size(line.expected)
    if size < 2 or len(line.entries) == size:
        return ""
    one = np.ndim(line.expected) > 1 and len(line.expected) == 1  # a single row
    shown = [", ".join(map(str, x[one:])) for x in line.entries[:4]]
    return f" at {', '.join(f'[{x}]' for x in shown)}" + " ..." * (len(line.entries) > 4)
