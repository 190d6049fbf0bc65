"""Pages of networks that convolve or recur: filters as pictures, steps by layer and time."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, expect

import chainrule as cr

RANDOM = np.random.default_rng(2)


def trained(outputs: cr.Node, data: dict[str, np.ndarray[Any, Any]], folder: Path) -> str:
    """The address of the page of a classifier after two recorded epochs."""
    t = cr.input("t", dtype="int64")
    model = cr.Model(outputs, loss=cr.cross_entropy(outputs, t), seed=1)
    rows = {**data, "t": np.arange(20) % 2}
    model.fit(rows, epochs=2, record=True, verbose=False)
    return model.show(rows, rows=[0]).write(folder / "page.html").as_uri()


def test_filters_are_pictures_and_choose_a_unit(opened: Page, tmp_path: Path) -> None:
    x = cr.input("x", (5, 5, 2))
    out = cr.dense(cr.global_pool(cr.conv(x, 4, 3, "relu", name="edges")), 2, name="out")
    images = RANDOM.normal(size=(20, 5, 5, 2)).astype("float32")
    opened.goto(trained(out, {"x": images}, tmp_path) + "#view=learning")
    filters = opened.get_by_role("group", name="Filters of edges").get_by_role("button")
    expect(filters).to_have_count(4)
    expect(filters.first.locator("rect")).to_have_count(9)
    filters.nth(2).click()
    expect(opened.get_by_role("combobox", name="Unit")).to_have_value("2")
    unit = opened.get_by_role("region", name="What a unit looks for")
    expect(unit.locator("figcaption")).to_have_text(["0", "1"])
    expect(opened.get_by_label("Values of edges, epoch 2")).to_be_visible()


def test_a_recurrent_layer_is_walked_and_unfolded_by_time(opened: Page, tmp_path: Path) -> None:
    x = cr.input("x", (5, 2))
    out = cr.dense(cr.lstm(x, 3, outputs="last", name="memory"), 2, name="out")
    series = RANDOM.normal(size=(20, 5, 2)).astype("float32")
    opened.goto(trained(out, {"x": series}, tmp_path))
    panel, graph = opened.locator(".panel"), opened.locator("section.graph")
    where = opened.get_by_label("Go to")
    backward = where.locator("optgroup[label=backward] option", has_text="memory, time step 3")
    where.select_option(backward.get_attribute("value"))
    expect(panel.get_by_text("in memory, time step 3")).to_be_visible()
    expect(panel.locator(".chip")).to_have_text("backward")
    graph.locator("[data-id]", has_text="lstm, 5 steps").click()
    expect(opened).to_have_url(re.compile(r"fold=l(\d+)\.t\1_1$|fold=l(\d+)\.t\2_1&"))
