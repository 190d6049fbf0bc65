"""Stepping through the lecture in the page: every number is that of Python."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect
from samples import classifier, lecture, lecture_trace

import chainrule as cr
from chainrule.explain.formula import number
from chainrule.inspector.page import Page as File


def show(page: Page, document: dict[str, object], folder: Path, fragment: str = "") -> Locator:
    """Opens the page of a document from disk; the panel beside the graph."""
    path = File(document).write(folder / "page.html")
    page.set_default_timeout(10_000)
    page.goto("about:blank")
    page.goto(path.as_uri() + fragment)
    return page.locator(".panel")


def formula(panel: Locator) -> list[str]:
    """The lines of the step that is shown."""
    return [x.removeprefix("= ") for x in panel.locator("[data-formula] p").all_inner_texts()]


def test_all_steps_are_those_of_the_trace(opened: Page, tmp_path: Path) -> None:
    panel = show(opened, lecture(), tmp_path)
    steps = lecture_trace().steps()
    opened.get_by_role("button", name="Take the first step").click()
    for k, step in enumerate(steps):
        expect(opened.locator(".count")).to_have_text(f"{k + 1} of {len(steps) + 4}")
        lines = formula(panel)
        assert lines[0] == step.formula
        assert lines[-1] == number(step.value, 9)
        if len(lines) == 3:
            assert lines[1] == step.numbers
        opened.keyboard.press("ArrowRight")
    for name in ("W1", "b1", "W2", "b2"):
        expect(panel.get_by_role("heading", name=f"{name}.new", exact=True)).to_be_visible()
        trace = lecture_trace()
        new = trace.value(name) - 10 * trace.gradient(name)
        assert formula(panel)[0] == f"{name}.new = {name} - rate * ∂E/∂{name}"
        assert formula(panel)[-1] == number(new, 9)
        cells = panel.locator("table td:last-child").all_inner_texts()
        assert [float(x) for x in cells] == pytest.approx(new.ravel().tolist(), rel=1e-8)
        opened.keyboard.press("ArrowRight")
    expect(opened.get_by_role("button", name="Next", exact=True)).to_be_disabled()


def test_what_consumers_send_times_the_local_derivative_is_the_gradient(
    opened: Page, tmp_path: Path
) -> None:
    panel = show(opened, lecture(), tmp_path)
    trace = lecture_trace()
    for step in trace.steps():
        if step.direction == "forward" or not step.consumers:
            continue
        fragment = f"#at={trace.steps().index(step)}"
        panel = show(opened, lecture(), tmp_path, fragment)
        gradient = trace.gradient(step.name)
        for entry in range(gradient.size):
            if gradient.size > 1:
                panel.get_by_role("gridcell").nth(entry).click()
            rows = panel.locator("[data-term]")
            products = []
            for row in rows.all():
                if row.locator("[data-sends]").count():
                    sends, local, product = (
                        float(row.locator(f"[data-{x}]").inner_text())
                        for x in ("sends", "local", "product")
                    )
                    assert sends * local == pytest.approx(product, rel=1e-4, abs=1e-12)
                    products.append(product)
            total = float(panel.locator("[data-sum]").inner_text())
            assert sum(products) == pytest.approx(total, rel=1e-4, abs=1e-9)
            assert total == pytest.approx(float(gradient.ravel()[entry]), rel=1e-4, abs=1e-9)


def test_the_unit_is_written_with_its_numbers(opened: Page, tmp_path: Path) -> None:
    panel = show(opened, lecture(), tmp_path, "#at=2")
    unit = panel.get_by_role("region", name="The whole unit")
    expect(unit).to_contain_text("sigmoid(1 * 3.7 + 0 * 3.7 - 1.5) = 0.90025")
    unit.get_by_role("button").nth(1).click()
    expect(panel.get_by_role("gridcell").nth(1)).to_have_attribute("aria-selected", "true")


def test_an_edited_input_is_followed_as_by_run(opened: Page, tmp_path: Path) -> None:
    panel = show(opened, lecture(), tmp_path)
    cell = panel.get_by_role("grid", name="x", exact=True).get_by_role("gridcell").nth(1)
    cell.click()
    opened.keyboard.type("0.5")
    opened.keyboard.press("Enter")
    expect(cell).to_contain_text("was 0")
    same_as(opened, panel, lecture_trace({"x": [[1.0, 0.5]], "t": [[1.0]]}))


def test_an_edited_weight_is_followed_as_by_run(opened: Page, tmp_path: Path) -> None:
    panel = show(opened, lecture(), tmp_path, "#at=0")
    cell = panel.get_by_role("grid", name="W1", exact=True).get_by_role("gridcell").nth(2)
    cell.dblclick()
    opened.keyboard.press("ArrowUp")
    opened.keyboard.press("Enter")
    expect(cell).to_contain_text("was 3.7")
    same_as(opened, panel, lecture_trace(values={"W1": [[3.7, 2.9], [3.8, 2.9]]}))
    opened.get_by_role("button", name="Reset 1 edit").click()
    same_as(opened, panel, lecture_trace())


def test_an_edited_target_is_followed_as_by_run(opened: Page, tmp_path: Path) -> None:
    panel = show(opened, lecture(), tmp_path)
    panel.get_by_label("Slider: t").fill("0")
    same_as(opened, panel, lecture_trace({"x": [[1.0, 0.0]], "t": [[0.0]]}))
    loss = lecture_trace({"x": [[1.0, 0.0]], "t": [[0.0]]}).value("E")
    expect(opened.locator("[data-loss]")).to_have_text(f"{float(loss):.5g}")
    opened.reload()
    same_as(opened, panel, lecture_trace({"x": [[1.0, 0.0]], "t": [[0.0]]}))


def same_as(page: Page, panel: Locator, trace: cr.Trace) -> None:
    """Steps through the page from the beginning: values and gradients are those of a trace."""
    page.get_by_label("Step", exact=True).fill("-1")
    for step in trace.steps():
        page.get_by_role("button", name="Next", exact=True).click()
        lines = formula(panel)
        assert (lines[0], lines[-1]) == (step.formula, number(step.value, 9))
    page.get_by_label("Step", exact=True).fill("-1")


def test_python_of_an_edited_step_gives_its_number(opened: Page, tmp_path: Path) -> None:
    panel = show(opened, lecture(), tmp_path)
    panel.get_by_label("x [row 1, 0]", exact=True).fill("0.25")
    steps = lecture_trace().steps()
    at = next(k for k, s in enumerate(steps) if s.name == "h" and s.direction == "backward")
    opened.get_by_label("Step", exact=True).fill(str(at))
    text = panel.locator("[data-python]").text_content()
    assert text is not None
    space: dict[str, object] = {"trace": cr.run(lecture_trace().graph.outputs, {
        "x": [[1.0, 0.0]], "t": [[1.0]]})}  # fmt: skip
    *lines, last = text.splitlines()
    exec("\n".join(lines), space)
    assert formula(panel)[-1] == number(eval(last, space), 9)


def test_one_row_or_several_are_shown(opened: Page, tmp_path: Path) -> None:
    feeds = {"x": [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]], "t": [[1.0], [0.0], [1.0]]}
    panel = show(opened, lecture(feeds), tmp_path)
    expect(opened.locator("[data-loss]")).to_have_text(
        f"{float(lecture_trace(feeds).value('E')):.5g}"
    )
    opened.get_by_role("button", name="3 rows together").click()
    opened.get_by_role("searchbox", name="Search rows").fill("2")
    opened.keyboard.press("Enter")
    same_as(opened, panel, lecture_trace({k: [v[1]] for k, v in feeds.items()}))
    expect(opened).to_have_url(re.compile("rows=1"))
    opened.get_by_role("button", name="row 2", exact=True).click()
    opened.get_by_role("checkbox", name="row 3: show together with others").check()
    opened.keyboard.press("Escape")
    same_as(opened, panel, lecture_trace({k: v[1:] for k, v in feeds.items()}))


def test_a_large_network_is_shown_in_colours(opened: Page, tmp_path: Path) -> None:
    panel = show(opened, classifier(), tmp_path, "#at=0")
    weights = panel.locator(".operand canvas").last
    expect(weights).to_be_visible()
    heat = panel.get_by_role("slider", name="20 x 64")
    heat.focus()
    for _ in range(3):
        opened.keyboard.press("ArrowRight")
    expect(heat).to_have_attribute("aria-valuenow", "3")
    assert "[0, 3] = " in (heat.get_attribute("aria-valuetext") or "")


def test_a_users_own_op_is_told_in_words(opened: Page, tmp_path: Path) -> None:
    document = lecture()
    nodes = document["graph"]["nodes"]
    node = next(x for x in nodes if x["name"] == "h")
    ops = document["graph"]["ops"]
    node["op"], ops["of_mine"] = "of_mine", ops["sigmoid"] | {"formula": "of_mine({0})"}
    panel = show(opened, document, tmp_path, "#at=2")
    expect(panel).to_contain_text("'h' is not computed here: its op 'of_mine' is Python code")
    expect(opened.locator("[data-loss]")).to_have_text("cannot be computed here")


def test_playing_ends_at_the_last_step(opened: Page, tmp_path: Path) -> None:
    panel = show(opened, lecture(), tmp_path)
    opened.get_by_label("Steps a second").select_option("20 /s")
    opened.keyboard.press("End")
    for _ in range(3):
        opened.keyboard.press("ArrowLeft")
    opened.keyboard.press("Space")
    expect(opened.locator(".count")).to_have_text("27 of 27")
    expect(opened.get_by_role("button", name="Play")).to_be_visible()
    assert np.isfinite(float(formula(panel)[-1]))
