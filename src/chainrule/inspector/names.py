"""Names of a page: a long one is in it once, and cut wherever it is shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

LONGEST = 200
"""Characters of a name that is not cut."""

HEAD, TAIL = 120, 60


def cut_names(names: Iterable[str]) -> dict[str, str]:
    """Returns the full names that are too long, by what is shown of each.

    A name that begins with another long one, as that of its gradient, is not among them.
    """
    cut: dict[str, str] = {}
    known: list[str] = []
    for name in sorted(dict.fromkeys(x for x in names if len(x) > LONGEST), key=len):
        if any(name.startswith(x) and len(name) <= len(x) + LONGEST for x in known):
            continue
        known.append(name)
        short, k = f"{name[:HEAD]}…{name[-TAIL:]}", 2
        while short in cut:
            short, k = f"{name[:HEAD]}…{k}…{name[-TAIL:]}", k + 1
        cut[short] = name
    return cut


def shortened(value: Any, cut: Mapping[str, str]) -> Any:
    """Returns plain values with long names cut in each text and key; arrays stay as they are.

    Args:
        value: of dicts, lists and plain values.
        cut: what is shown of each full name.
    """
    ordered = sorted(cut, key=len, reverse=True)  # one may be a part of another

    def text(x: str) -> str:
        for name in ordered:
            if len(x) >= len(name):
                x = x.replace(name, cut[name])
        return x

    def walk(x: Any) -> Any:
        if isinstance(x, str):
            return text(x)
        if isinstance(x, Mapping):
            if x.keys() == {"dtype", "shape", "data"}:  # an array
                return x
            return {text(k): walk(y) for k, y in x.items()}
        return [walk(y) for y in x] if isinstance(x, list | tuple) else x

    return walk(value)
