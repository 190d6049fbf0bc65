"""Code that several programs call: modules of their own, each compiled once for a processor."""

from __future__ import annotations

from dataclasses import dataclass


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

    @property
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

    @property
    def whole(self) -> str:
        """The text of one module with all that is called."""
        declared = self.declared.union(*(x.declared for x in self.calls))
        return "\n".join([*sorted(declared), *(x.text for x in self.calls), self.text])
