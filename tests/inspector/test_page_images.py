"""A convolution on the page: pictures of channels, and the window of a chosen pixel."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from playwright.sync_api import Locator, Page, expect

import chainrule as cr


def trace() -> cr.Trace:
    x = cr.input("photo", (4, 5, 2), axes=("height", "width", "channels"))
    c = cr.conv(x, 3, 2, "relu", padding="valid", name="c")
    p = cr.max_pool(c, 2, stride=1, name="p")
    numbers = np.random.default_rng(2).integers(0, 9, (1, 4, 5, 2)).astype("float32")
    return cr.run(p, {"photo": numbers})


def numbers(table: Locator) -> list[float]:
    return [float(x) for x in table.locator("td").all_inner_texts()]


def test_a_pixel_shows_its_window_weights_and_products(opened: Page, tmp_path: Path) -> None:
    made = trace()
    path = made.show().write(tmp_path / "page.html")
    opened.goto(path.as_uri())
    opened.get_by_role("button", name="Take the first step").click()
    panel = opened.locator(".panel")
    opened.keyboard.press("ArrowRight")
    expect(panel.get_by_role("heading", name="c.einsum", exact=True)).to_be_visible()
    expect(panel.get_by_text("float32[N, height=3, width=4, 3]")).to_be_visible()
    captions = panel.locator("figure").first.locator("figcaption")
    expect(captions).to_have_text([f"row 1, channel {k}" for k in range(3)])
    grid = panel.locator("figure").first.get_by_role("grid").nth(1)
    cells = grid.get_by_role("gridcell")
    shown = [float(x) for x in cells.all_inner_texts()]
    np.testing.assert_allclose(shown, made.value("c.einsum")[0, ..., 1].ravel(), rtol=1e-3)
    expect(cells.nth(6)).to_have_accessible_name(re.compile(r"^c.einsum \[row 1, 1, 2, 1\]: "))
    cells.nth(6).click()
    pixel = made.pixel("c", (1, 2), 1)
    window = panel.get_by_role("region", name="Its window")
    tables = window.locator("table")
    assert pixel.weights is not None
    assert pixel.products is not None
    arrays = [a[..., c] for c in range(2) for a in (pixel.window, pixel.weights, pixel.products)]
    expect(tables).to_have_count(len(arrays))
    for table, array in zip(tables.all(), arrays, strict=True):
        np.testing.assert_allclose(numbers(table), array.ravel(), rtol=6e-3, atol=1e-6)
    expect(window).to_contain_text("sum of the 8 products")
    for _ in range(4):
        opened.get_by_role("button", name="Next", exact=True).click()
    expect(panel.get_by_role("heading", name="p", exact=True)).to_be_visible()
    expect(window.locator("caption")).to_have_text("largest of")
    best = [float(x) for x in window.locator("td.best").all_inner_texts()]
    assert best
    assert len({*best}) == 1
