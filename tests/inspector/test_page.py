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


def test_the_report_of_a_run_holds_the_page(opened: Page, tmp_path: Path) -> None:
    model = cr.train("penguins", "species", quality="fast", epochs=2, verbose=False)
    model.report(tmp_path / "report.html")
    opened.goto((tmp_path / "report.html").as_uri())
    opened.locator("#inside").scroll_into_view_if_needed()
    inside = opened.frame_locator("iframe.inside")
    expect(inside.locator("h1")).to_have_text("species from penguins")
    inside.get_by_role("button", name="Next").first.click()


def test_the_kernels_of_a_step_are_shown(opened: Page, tmp_path: Path) -> None:
    x, t = cr.input("x", (8,)), cr.input("t", (), dtype="int32")
    logits = cr.dense(cr.dense(x, 16, activation="relu", name="hidden"), 3, name="logits")
    model = cr.Model(logits, cr.cross_entropy(logits, t))
    plan = model.plan()
    data = {"x": [[1.0] * 8], "t": [2]}
    opened.goto(model.show(data, machine=plan).write(tmp_path / "page.html").as_uri())
    opened.get_by_role("tab", name="Machine code").click()
    rows = opened.get_by_role("region", name="Kernels").locator("tbody tr:not(.phase)")
    expect(rows).to_have_count(len(plan.kernels))
    opened.get_by_label("Search kernels and nodes").fill("hidden.matmul")
    expect(rows.first).to_contain_text("hidden.matmul")
    assert rows.count() < len(plan.kernels)
