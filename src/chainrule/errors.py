"""One exception class per kind of mistake, each told in the same four parts."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Self


class ChainruleError(Exception):
    """A mistake, told as what happened, what was expected and got, where, and what to try.

    Args:
        where: the operation, function or file the message begins with, shown in brackets.
        what: one sentence that says what is wrong.
        expected, got: both sides of the mismatch; several lines are aligned under each other.
        at: the place to look: a node and the line that made it, or a file, row and column.
        fix: one thing to try.
    """

    def __init__(
        self,
        where: str,
        what: str,
        *,
        expected: object = None,
        got: object = None,
        at: object = None,
        fix: str | None = None,
    ) -> None:
        super().__init__(where, what, expected, got, at, fix)
        self.where, self.what = where, what
        self.expected, self.got, self.at, self.fix = expected, got, at, fix

    def __str__(self) -> str:
        parts = {"expected": self.expected, "got": self.got, "at": self.at, "fix": self.fix}
        lines = [f"[{self.where}] {self.what}"]
        for label, part in parts.items():
            if part is not None:
                text = str(part).replace("\n", "\n" + " " * 12)
                lines.append(f"  {label:<10}{text}")
        return "\n".join(lines)

    def within(self, place: str) -> Self:
        """The same error, with a wider place before the one that it names."""
        self.at = place if self.at is None else f"{place}, {self.at}"
        self.args = (self.where, self.what, self.expected, self.got, self.at, self.fix)
        return self

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), *self.args)


def _rebuild(
    kind: type[ChainruleError], where: str, what: str, expected: object, got: object, at: object,
    fix: str | None,
) -> ChainruleError:  # fmt: skip
    return kind(where, what, expected=expected, got=got, at=at, fix=fix)


class ShapeError(ChainruleError, ValueError):
    """Shapes or axes that do not fit together."""


class DTypeError(ChainruleError, TypeError):
    """Element types that may not meet in one operation, or a value of the wrong kind."""


class GraphError(ChainruleError, ValueError):
    """A malformed graph: duplicate names, missing nodes, a loss that is not a scalar."""


class FeedError(ChainruleError, ValueError):
    """Arrays brought to a graph that do not match its inputs."""


class DataError(ChainruleError, ValueError):
    """A table, file or column that cannot be used as it is."""


class SettingError(ChainruleError, ValueError):
    """A setting or argument that does not exist or has a value that makes no sense."""


class ModelFileError(ChainruleError, ValueError):
    """A model file that is damaged, unsafe, or made by something else."""


class NotFinite(ChainruleError, ArithmeticError, ValueError):
    """A loss, gradient or parameter that became NaN or infinite."""


class WorkerDied(ChainruleError, RuntimeError):
    """A process that ended in the middle of its work, such as for want of memory."""


class MissingExtra(ChainruleError, ImportError):
    """An optional dependency that is not installed."""


class ChainruleWarning(UserWarning):
    """Something worth knowing that does not stop the work."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or None where nothing is close."""
    found = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return found[0] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The sentence for a `fix` part: the nearest known name, or the list of all."""
    known = list(known)
    guess = nearest(name, known)
    return f"did you mean {guess!r}?" if guess else "known: " + ", ".join(map(str, known))
