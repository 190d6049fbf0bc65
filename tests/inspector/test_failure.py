"""The page of a graph whose building failed, and of a structure without rows, in a browser."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

import chainrule as cr


def failed() -> Exception:
    x = cr.input("x", (64,))
    for k in range(6):
        x = cr.dense(x, 32, "relu", name=f"hidden{k}")
    with pytest.raises(cr.errors.ShapeError) as caught:
        x @ cr.parameter("w", np.zeros((64, 10)), dtype="float32")
    return caught.value


def test_the_culprit_is_in_view_and_told(opened: Page, tmp_path: Path) -> None:
    for width, height in ((1280, 800), (390, 844)):
        opened.set_viewport_size({"width": width, "height": height})
        opened.goto(cr.show(failed()).write(tmp_path / "page.html").as_uri())
        culprit = opened.locator(".canvas .failed")
        expect(culprit).to_have_count(1)
        expect(culprit).to_be_in_viewport()
        expect(culprit).to_have_attribute(
            "aria-label", "matmul: operation matmul, not built, building failed here"
        )
        expect(opened.locator(".panel")).to_contain_text("got       (N, 32) and (64, 10)")
        for kind in ("float32[N, 32]", "float32[64, 10]") if width > 390 else ():
            expect(opened.locator(".canvas .type", has_text=kind).last).to_be_in_viewport()
        expect(opened.get_by_role("group", name="Steps")).to_have_count(0)
        assert opened.get_by_text("unknown", exact=True).count() == 0
        culprit.click()
        expect(opened.locator(".panel")).to_contain_text("inner sizes differ")
        opened.locator(".panel").get_by_role("button", name="hidden5").click()
        expect(opened.locator(".panel h2")).to_have_text("hidden5")


def test_a_structure_has_no_steps_and_no_numbers(opened: Page, tmp_path: Path) -> None:
    x = cr.input("x", (4,))
    loss = cr.mean(cr.dense(x, 3, "relu", name="h"))
    opened.goto(cr.show(loss).write(tmp_path / "page.html").as_uri())
    expect(opened.get_by_role("heading", name="The structure of the graph")).to_be_visible()
    expect(opened.get_by_role("tab")).to_have_count(0)
    expect(opened.get_by_role("group", name="Steps")).to_have_count(0)
    opened.locator(".canvas [data-id]", has_text="h.w").first.click()
    expect(opened.locator(".panel h2")).to_have_text("h.w")
    expect(opened.locator(".panel")).to_contain_text("float32[4, 3]")
    opened.keyboard.press("ArrowRight")
    assert opened.get_by_text("unknown", exact=True).count() == 0
