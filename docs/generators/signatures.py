"""Signatures and docstrings as text that does not depend on the version of Python."""

from __future__ import annotations

import html
import inspect
import re
from collections.abc import Callable
from typing import Any


def signature(name: str, function: Callable[..., Any]) -> str:
    """`name(a, b=1, *, c=None)`: names and defaults, without annotations."""
    parts: list[str] = []
    star = False
    for p in inspect.signature(function).parameters.values():
        if p.name in ("self", "cls"):
            continue
        star = star or p.kind is p.VAR_POSITIONAL
        if p.kind is p.KEYWORD_ONLY and not star:
            parts.append("*")
            star = True
        mark = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        parts.append(mark + p.name + ("" if p.default is p.empty else f"={_shown(p.default)}"))
    return f"{name}({', '.join(parts)})"


def _shown(value: Any) -> str:
    text = repr(value)
    return "..." if text.startswith("<") else text


def first_sentence(documentation: str | None) -> str:
    """The first paragraph in one line."""
    return " ".join(inspect.cleandoc(documentation or "").split("\n\n")[0].split())


def cell(text: str) -> str:
    """Text for a cell of a table, with its bars escaped, also in code."""
    code = re.compile(r"`([^`]*\|[^`]*)`")
    text = code.sub(lambda found: f"<code>{html.escape(found[1], quote=False)}</code>", text)
    return text.replace("|", "&#124;")
