"""Patterns of parameter names, with the wildcards of file names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from chainrule.errors import SettingError, nearest


def matched(factors: Mapping[str, float], name: str, default: float) -> float:
    """The factor of the last pattern that matches `name`."""
    matching = [factor for pattern, factor in factors.items() if matches(pattern, name)]
    return matching[-1] if matching else default


def matches(pattern: str, name: str) -> bool:
    """Whether `pattern` is the name, or matches it with the wildcards of file names."""
    return pattern == name or fnmatchcase(name, pattern)


def require_match(where: str, patterns: Iterable[str], names: Iterable[str]) -> None:
    """Raises SettingError for a pattern that matches none of `names`."""
    names = list(names)
    for pattern in patterns:
        if not any(matches(pattern, name) for name in names):
            guess = nearest(pattern, names)
            raise SettingError(
                where,
                f"no parameter to train is named {pattern!r}",
                expected="a name, or a pattern, of " + (", ".join(names) or "no parameters"),
                fix=f"did you mean {guess!r}?" if guess else None,
            )
