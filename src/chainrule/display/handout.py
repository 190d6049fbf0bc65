"""Handouts as text and in a notebook: sentences, tables and charts."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Self

from chainrule.display.tables import CELL, WIDTH, Section, as_html, as_text, clean

TEMPLATES = Path(__file__).with_name("templates")
"""The templates of pages, and the style that all share."""


TITLE, SENTENCE = 200, 600
"""The characters of a title, and of a sentence."""


@dataclass(frozen=True)
class Part:
    """A table under its title, with sentences before it, marked rows, and charts after it.

    Attributes:
        table: with the title; it may be without rows.
        words: sentences before the table.
        marks: for each row "a", "b" where only one has it, "differs", or nothing.
        charts: pairs of a title and an SVG text.
    """

    table: Section
    words: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    charts: tuple[tuple[str, str], ...] = ()

    @property
    def rows(self) -> list[tuple[tuple[str, ...], str]]:
        """The rows with their marks."""
        marks = (*self.marks, *[""] * (len(self.table.rows) - len(self.marks)))
        return list(zip(self.table.rows, marks, strict=True))


@dataclass(frozen=True)
class Handout:
    """A handout: a title, sentences, and parts.

    Attributes:
        title: of all.
        lead: the sentences that matter most.
        parts: tables and charts.
    """

    title: str
    lead: tuple[str, ...]
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, title: str, lead: Iterable[str], parts: Iterable[Part]) -> Self:
        """A handout of texts that may be long, or hold anything: they are cut to a line each."""
        lines = tuple(clean(x, SENTENCE) for x in lead)
        return cls(clean(title, TITLE), lines, tuple(_cleaned(x) for x in parts))

    def text(self) -> str:
        """Plain text of 100 columns."""
        blocks = [self.title, *(_wrapped(x) for x in self.lead)]
        for part in self.parts:
            lines = [part.table.title, *(_wrapped(x) for x in part.words)]
            if part.table.rows:
                lines.append(as_text([Section("", part.table.rows, part.table.head,
                                              part.table.right)]))  # fmt: skip
            blocks.append("\n".join(filter(None, lines)))
        return "\n\n".join(filter(None, blocks))

    def _repr_html_(self) -> str:
        parts = [_block(x) for x in (self.title, *self.lead)]
        for part in self.parts:
            parts += [_block(x) for x in (part.table.title, *part.words) if x]
            if part.table.rows:
                parts.append(as_html([replace(part.table, title="")]))
            parts += [svg for _, svg in part.charts]
        return f"<div>{''.join(parts)}</div>"


def _cleaned(part: Part) -> Part:
    table = part.table
    rows = tuple(tuple(clean(cell, CELL) for cell in row) for row in table.rows)
    head = tuple(clean(cell, CELL) for cell in table.head)
    words = tuple(clean(x, SENTENCE) for x in part.words)
    return replace(part, table=replace(table, rows=rows, head=head), words=words)


def _block(text: str) -> str:
    return f"<div>{html.escape(text)}</div>"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH - 2, initial_indent="  ", subsequent_indent="  ")


def render(
    template: str,
    folder: Path = TEMPLATES,
    filters: Mapping[str, Callable[..., object]] = MappingProxyType({}),
    **content: object,
) -> str:
    """The text of a template.

    Args:
        template: its name.
        folder: in which it is; those of `TEMPLATES` can be included.
        filters: that it uses.
        content: the names that it uses.
    """
    from chainrule.display.template import fill  # noqa: PLC0415 - jinja2: 40 ms, for a page alone

    text = fill(template, [folder, TEMPLATES], filters, content)
    return text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate becomes "?"
