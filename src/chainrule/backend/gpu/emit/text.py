"""A function in C, written line by line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Code:
    """The lines of a function, and names for its values."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._depth, self._count = 1, 0

    def do(self, line: str) -> None:
        """Write a line."""
        self._lines.append("  " * self._depth + line)

    def value(self, kind: str, expression: str) -> str:
        """Write a constant of a type; returns its name."""
        self._count += 1
        name = f"v{self._count}"
        self.do(f"const {kind} {name} = {expression};")
        return name

    def variable(self, kind: str, start: str) -> str:
        """Write a variable with its first value; returns its name."""
        self._count += 1
        name = f"x{self._count}"
        self.do(f"{kind} {name} = {start};")
        return name

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Write the head of a block; what is written inside stands in it."""
        self.do(f"{head} {{")
        self._depth += 1
        yield
        self._depth -= 1
        self.do("}")

    @property
    def text(self) -> str:
        """The lines."""
        return "\n".join(self._lines)
