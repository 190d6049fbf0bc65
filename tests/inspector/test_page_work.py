"""Matrices in a page: numbers stay in their cells, and a step of a large network is little work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from test_page_steps import show

import chainrule as cr

NUMBERS = (-0.000012, 1234567.9, 1e-30, float("nan"), -3.1415926e-12, float("inf"), -1234567.9)

OVERFLOWING = """() => [...document.querySelectorAll('.cell > span:not(.name), .cell small, td')]
  .filter((part) => {
    const text = document.createRange();
    text.selectNodeContents(part);
    const wide = (x) => x.getBoundingClientRect().width;
    return wide(text) > wide(part.closest('.cell') ?? part) + 0.5;
  }).map((x) => x.textContent)"""


@pytest.mark.parametrize("width", [5, 7, 10])
def test_numbers_of_any_size_stay_in_their_cells(width: int, opened: Page, tmp_path: Path) -> None:
    x, t = (cr.input(name, (width,), dtype="float64") for name in "xt")
    w = cr.parameter("W", np.resize(NUMBERS, (width, width)).tolist(), dtype="float64")
    b = cr.parameter("b", np.resize(NUMBERS, width).tolist(), dtype="float64")
    h = ((x @ w) + b).named("h")
    model = cr.Model(h, cr.sum((h - t) ** 2).named("E"))
    batch = {name: np.resize(NUMBERS[:3], (2, width)) for name in "xt"}
    document = dict(model.trace_step(batch, optimizer="sgd").show().document)
    panel = show(opened, document, tmp_path, "#at=0")
    for size in (1280, 390):
        opened.set_viewport_size({"width": size, "height": 900})
        opened.keyboard.press("Home")
        for _ in range(int(opened.locator(".count").inner_text().split()[-1])):
            opened.keyboard.press("ArrowRight")
            assert opened.evaluate(OVERFLOWING) == []
    expect(panel.get_by_role("heading", name="b.new", exact=True)).to_be_visible()


def stacked(x: Any, t: Any, layers: int, units: int, activation: str) -> dict[str, Any]:
    """The page of a network of equal layers on some rows."""
    h = cr.input("x", (x.shape[1],))
    for k in range(layers):
        h = cr.dense(h, units, activation, name=f"l{k}")
    scores = cr.dense(h, 3, name="scores")
    loss = cr.cross_entropy(scores, cr.input("t", dtype="int32")).named("loss")
    trace = cr.run(loss, {"x": x, "t": t})
    trace.backward(loss)
    return dict(trace.show().document)


def deep() -> dict[str, Any]:
    """The page of a deep network on 60 rows together."""
    numbers = np.random.default_rng(0)
    rows = numbers.normal(size=(60, 8)), numbers.integers(0, 3, 60)
    return stacked(*rows, 8, 32, "relu") | {"batch": list(range(60))}


def test_stepping_asks_for_no_style_and_draws_few_shapes(opened: Page, tmp_path: Path) -> None:
    opened.add_init_script("""
      window.asked = 0; window.shapes = 0;
      const style = window.getComputedStyle;
      window.getComputedStyle = (...x) => { window.asked++; return style(...x); };
      const pen = CanvasRenderingContext2D.prototype, fill = pen.fillRect;
      pen.fillRect = function (...x) { window.shapes++; return fill.apply(this, x); };
    """)
    show(opened, deep(), tmp_path, "#at=0")
    opened.wait_for_timeout(300)
    opened.keyboard.press("ArrowRight")
    before = opened.evaluate("window.asked")
    for _ in range(40):
        opened.keyboard.press("ArrowRight")
    assert opened.locator("canvas").count() > 0
    assert opened.evaluate("window.asked") - before <= 8  # not by matrix, nor by step
    assert opened.evaluate("window.shapes") < 5_000  # not by entry: a matrix here has 1,920


def test_of_many_rows_the_one_that_counts_is_shown(opened: Page, tmp_path: Path) -> None:
    panel = show(opened, deep(), tmp_path)
    opened.get_by_label("Step", exact=True).focus()
    for _ in range(200):
        opened.keyboard.press("ArrowRight")
        if panel.get_by_role("heading", name="∂loss/∂l5", exact=True).count():
            break
    rows = panel.locator("[data-term]")
    assert rows.count() == 12
    expect(panel).to_contain_text("smaller entries of")
    expect(panel).not_to_contain_text("the other entries of")
    assert all("[0, " in x for x in rows.all_inner_texts())


def small_steps() -> dict[str, Any]:
    """The page of a network of equal layers on one row, small enough for cells with numbers."""
    return stacked(np.linspace(-1, 1, 6)[None], [1], 6, 6, "tanh")


def test_a_step_writes_into_the_cells_that_are_there(opened: Page, tmp_path: Path) -> None:
    panel = show(opened, small_steps(), tmp_path, "#at=5")
    expect(panel.get_by_role("gridcell").first).to_be_visible()
    opened.evaluate("document.querySelector('.reads .operand .matrix').id = 'kept'")
    for k in range(3):
        opened.keyboard.press("ArrowRight")
        expect(opened.locator(".count")).to_contain_text(f"{k + 7} of")
        expect(panel.locator(".operand #kept")).to_have_count(1)


def test_a_field_that_is_open_is_not_of_the_next_array(opened: Page, tmp_path: Path) -> None:
    show(opened, small_steps(), tmp_path, "#at=0")
    field = opened.locator(".reads .editor input[type=text]").first
    field.fill("2.5e")  # not a number yet
    expect(opened.locator(".reads [aria-invalid=true]")).to_have_count(1)
    opened.evaluate("location.hash = '#at=3'")  # the field keeps the focus
    expect(opened.locator(".count")).to_contain_text("4 of")
    expect(opened.locator(".reads .editor")).not_to_have_count(0)
    expect(opened.locator(".reads [aria-invalid=true]")).to_have_count(0)
    expect(opened.locator("header")).not_to_contain_text("Reset 1 edit")


def test_a_pulse_is_moved_by_the_compositor_and_less_motion_starts_nothing(
    opened: Page, tmp_path: Path
) -> None:
    show(opened, small_steps(), tmp_path, "#at=0")
    expect(opened.locator(".canvas .current")).to_be_visible()
    opened.keyboard.press("ArrowRight")
    animated = """() => document.getAnimations().flatMap((x) => x.effect.getKeyframes())
      .flatMap((x) => Object.keys(x)).filter((x) => !/(offset|easing|composite)$/i.test(x))"""
    assert set(opened.evaluate(animated)) == {"opacity", "transform"}
    opened.emulate_media(reduced_motion="reduce")
    opened.keyboard.press("ArrowRight")
    kinds = opened.evaluate("document.getAnimations().map((x) => x.constructor.name)")
    assert "CSSTransition" not in kinds


def test_an_address_that_folds_the_graph_brings_it_into_view(opened: Page, tmp_path: Path) -> None:
    show(opened, small_steps(), tmp_path, "#fold=arithmetic")
    boxes = opened.locator(".canvas .item")
    expect(boxes.nth(2)).to_be_visible()
    opened.locator(".canvas").hover()
    for _ in range(6):  # far to the right of all boxes
        opened.mouse.down()
        opened.mouse.move(600, 400)
        opened.mouse.up()
        opened.mouse.move(60, 400)
    opened.evaluate("location.hash = '#fold=layers'")
    expect(opened.locator(".levels [aria-pressed=true]")).to_have_text("Layers")
    expect(boxes.first).to_be_in_viewport()
    seen = """() => {
      const view = document.querySelector('.canvas').getBoundingClientRect();
      return [...document.querySelectorAll('.canvas .item')].some((x) => {
        const b = x.getBoundingClientRect();
        const across = b.left < view.right && b.right > view.left;
        return across && b.top < view.bottom && b.bottom > view.top;
      });
    }"""
    opened.wait_for_function(seen)
