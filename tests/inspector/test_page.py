"""The page in a browser, opened from disk."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

import chainrule as cr

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
    for title in HOSTILE:
        opened.goto(trace.show(title).write(tmp_path / "page.html").as_uri())
        expect(opened.locator("h1")).to_have_text(title)
