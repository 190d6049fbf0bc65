"""Code in modules: those of a program, and those that programs share, compiled once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Shared:
    """Functions, and the code of other modules that they call.

    Attributes:
        text: their definitions; those that are not internal may be called from other modules.
        declared: the declarations of intrinsics that it needs.
        calls: the code of other modules that it calls, which calls no more.
    """

    text: str
    declared: frozenset[str] = frozenset()
    calls: tuple[Shared, ...] = ()

    @cached_property
    def declarations(self) -> list[str]:
        """The declarations by which another module calls it."""
        heads = (x for x in self.text.splitlines() if x.startswith("define "))
        return [
            f"declare {x.removeprefix('define ').removesuffix(' {')}"
            for x in heads
            if not x.startswith("define internal ")
        ]

    @property
    def module(self) -> str:
        """The text of a module of these functions alone, to be linked with those they call."""
        called = {head for x in self.calls for head in x.declarations}
        return "\n".join([*sorted(self.declared | called), self.text])


def whole(parts: Sequence[Shared]) -> str:
    """The text of one module with the functions of all parts, and all that they call."""
    called = list(dict.fromkeys(x for part in parts for x in part.calls))
    declared = sorted({x for part in (*parts, *called) for x in part.declared})
    return "\n".join([*declared, *(x.text for x in (*called, *parts))])
