"""One exception class per kind of mistake; all messages have the same four parts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Self

from chainrule.operands import Failed, Operand


class ChainruleError(Exception):
    """A mistake: what happened, what was expected and got, where, and what to try.

    Attributes:
        calls: those that failed with nodes among their arguments, the innermost first, from which
            `chainrule.show(error)` draws the graph as far as it was built. A copy made by pickle
            has none.

    Args:
        where: the operation, function or file, shown in brackets at the start of the message.
        what: what is wrong, in one sentence.
        expected, got: both sides of the mismatch; several lines are aligned under each other.
        at: where to look: a node and the line that made it, or a file, row and column.
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
        self.calls: tuple[Failed, ...] = ()

    def about(self, *nodes: Operand) -> Self:
        """Returns the same error, which knows the nodes that are wrong."""
        self.calls += (Failed("", nodes),)
        return self

    def of_call(self, function: str, *arguments: object) -> None:
        """Keep the nodes among the arguments of a call that failed by this error."""
        found: dict[Operand, None] = {}
        for x in arguments:
            parts: Iterable[object] = (x,)
            if isinstance(x, list | tuple | Mapping):
                parts = x.values() if isinstance(x, Mapping) else x
            found |= {y: None for y in parts if isinstance(y, Operand)}
        if found:
            self.calls += (Failed(function, tuple(found)),)

    def __str__(self) -> str:
        parts = {"expected": self.expected, "got": self.got, "at": self.at, "fix": self.fix}
        lines = [f"[{self.where}] {self.what}"]
        for label, part in parts.items():
            if part is not None:
                text = str(part).replace("\n", "\n" + " " * 12)
                lines.append(f"  {label:<10}{text}")
        return re.sub(r"(\S{200})\S{100,}", r"\1...", "\n".join(lines))  # a file passed as its name

    @property
    def brief(self) -> str:
        """The mistake with the first line of what was got, for a line about something else."""
        got = str(self.got or "").strip().split("\n")[0]
        return f"{self.what}: {got}" if got else self.what

    def within(self, location: str) -> Self:
        """Returns the same error with an outer location, such as a file, before its own."""
        self.at = location if self.at is None else f"{location}, {self.at}"
        return self

    def __reduce__(self) -> tuple[object, ...]:
        parts = self.where, self.what, self.expected, self.got, self.at, self.fix
        return rebuilt, (type(self), *parts)


def rebuilt(
    kind: type[ChainruleError], where: str, what: str, expected: object, got: object, at: object,
    fix: str | None,
) -> ChainruleError:  # fmt: skip
    """An error from its class and its parts."""
    return kind(where, what, expected=expected, got=got, at=at, fix=fix)


class ShapeError(ChainruleError, ValueError):
    """Shapes or axes that do not fit together."""


class DTypeError(ChainruleError, TypeError):
    """Element types that do not mix in one operation, or a value of the wrong type."""


class GraphError(ChainruleError, ValueError):
    """A malformed graph: duplicate names, missing nodes, a loss that is not a scalar."""


class FeedError(ChainruleError, ValueError):
    """Arrays that do not match the inputs of the graph they are fed to."""


class DataError(ChainruleError, ValueError):
    """A table, file or column that cannot be used as it is."""


class SettingError(ChainruleError, ValueError):
    """A setting or argument that does not exist, or whose value is not valid."""


class CallError(SettingError, TypeError):
    """A call with arguments that the function does not take, or without one that it needs."""


class UnknownName(ChainruleError, AttributeError):
    """A name that a module does not have."""


class ModelFileError(ChainruleError, ValueError):
    """A model file that is damaged, unsafe, or made by something else."""


class NotFinite(ChainruleError, ArithmeticError, ValueError):
    """A loss, gradient or parameter that became NaN or infinite."""


class WorkerDied(ChainruleError, RuntimeError):
    """A process that died in the middle of its work, for example for lack of memory."""


class RankLost(ChainruleError, RuntimeError):
    """A process of a run on several that ended, or does not answer: the others end too."""


class DeviceError(ChainruleError, RuntimeError):
    """A graphics processor, or another device, whose driver is missing or fails."""


class MissingExtra(ChainruleError, ImportError):
    """A missing optional dependency."""


class ChainruleWarning(UserWarning):
    """A problem worth knowing about that does not stop the work."""


ELSEWHERE: dict[str, tuple[str, ...]] = {
    "absolute": ("abs",),
    "alpha": ("decay",),
    "average": ("mean",),
    "avg": ("mean",),
    "bceloss": ("binary_cross_entropy",),
    "betas": ("beta1",),
    "cat": ("concat",),
    "cce": ("cross_entropy",),
    "crossentropyloss": ("cross_entropy",),
    "data_format": ("channels",),
    "depth_to_space": ("pixel_shuffle",),
    "dim": ("axis",),
    "eps": ("epsilon",),
    "eta": ("rate",),
    "gaussiannoise": ("noise",),
    "globalaveragepooling1d": ("global_pool",),
    "globalaveragepooling2d": ("global_pool",),
    "interpolate": ("upsample",),
    "keepdim": ("keepdims",),
    "kernel": ("size",),
    "kernel_size": ("size",),
    "l1_loss": ("absolute_error",),
    "l1loss": ("absolute_error",),
    "l2": ("decay",),
    "lambda": ("decay",),
    "learning_rate": ("rate",),
    "lin": ("dense",),
    "linear": ("dense",),
    "loss_fn": ("loss",),
    "lr": ("rate",),
    "mae": ("absolute_error",),
    "max_iter": ("epochs", "iterations"),
    "mse": ("squared_error",),
    "mse_loss": ("squared_error",),
    "mseloss": ("squared_error",),
    "n_epochs": ("epochs",),
    "nb_epoch": ("epochs",),
    "nll_loss": ("cross_entropy",),
    "num_epochs": ("epochs",),
    "out_channels": ("filters",),
    "permute": ("transpose",),
    "randn": ("normal",),
    "random_state": ("seed",),
    "space_to_depth": ("pixel_unshuffle",),
    "standard_normal": ("normal",),
    "units": ("width",),
    "validation_data": ("validation",),
    "validation_split": ("validation",),
    "weight_decay": ("decay",),
}
"""Names of other libraries in lower case, and what they are called here."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most similar to `name`, or None if none is close.

    Capitals do not count; names that other libraries use are known by ELSEWHERE.
    """
    plain = {str(x).lower(): x for x in known}
    key = str(name).lower()
    for usual in (key, key.replace("_", ""), *ELSEWHERE.get(key, ())):
        if usual in plain:
            return plain[usual]
    begun = [x for x in plain if len(key) > 1 and x.startswith(key)]
    if len(begun) == 1:
        return plain[begun[0]]
    import difflib  # noqa: PLC0415  (mistakes alone need it)

    found = difflib.get_close_matches(key, plain, n=1, cutoff=0.5)
    return plain[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The text of a `fix` part: the nearest known name, or the list of all known names."""
    known = list(known)
    guess = nearest(name, known)
    return f"did you mean {guess!r}?" if guess else "known: " + ", ".join(map(str, known))


def short(value: object) -> str:
    """A value as a text of 60 characters at most, whatever it is."""
    if isinstance(value, int) and value.bit_length() > 1000:
        return f"{value.bit_length()} bits"
    parts = (list, tuple, Mapping)
    flat = isinstance(value, tuple) and not any(isinstance(x, parts) for x in value[:9])
    if isinstance(value, parts) and not (flat and len(value) < 9):
        return f"{type(value).__name__} of {len(value)}"
    text = ascii(value).replace("\n", " ")
    return text if len(text) <= 60 else text[:57] + "..."
