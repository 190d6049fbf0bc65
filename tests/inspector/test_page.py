"""The page in a browser, opened from disk."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

import chainrule as cr
from chainrule.inspector.document import trace_document
from chainrule.inspector.page import write

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<b>&amp;",
    "\u202egnp.exe",
    "\"quoted'",
    "a" * 999,
)


def test_hostile_titles_are_text(opened: Page, tmp_path: Path) -> None:
    y = cr.sum(cr.input("x", (2,))).named("y")
    trace = cr.run(y, {"x": [[1.0, 2.0]]})
    values = {x: trace.value(x) for x in trace.graph}
    for title in HOSTILE:
        document = trace_document(trace.graph, values, 1, title=title)
        opened.goto(write(document, tmp_path / "page.html").as_uri())
        expect(opened.locator("h1")).to_have_text(title)
