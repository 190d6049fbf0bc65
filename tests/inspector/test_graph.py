"""The page's graph in a browser: folded, searched, walked by keys, lit, stepped through."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

import chainrule as cr
from chainrule.explain.trace import Trace
from chainrule.inspector.page import Page as Html

Open = Callable[[Trace], Page]


@pytest.fixture
def graph(opened: Page, tmp_path: Path) -> Open:
    """Opens the page of a trace, and waits for its graph."""

    def show(trace: Trace) -> Page:
        opened.goto(trace.show().write(tmp_path / "page.html").as_uri())
        expect(opened.locator(".canvas [data-id]").first).to_be_visible()
        return opened

    return show


def lecture() -> Trace:
    x, t = (cr.input(name, (width,), dtype="float64") for name, width in (("x", 2), ("t", 1)))
    w1 = cr.parameter("W1", [[3.7, 2.9], [3.7, 2.9]], dtype="float64")
    w2 = cr.parameter("W2", [[4.5], [-5.2]], dtype="float64")
    h = cr.sigmoid((x @ w1).named("u")).named("h")
    y = cr.sigmoid((h @ w2).named("v")).named("y")
    error = (cr.sum((t - y) ** 2) / 2).named("E")
    trace = cr.run(error, {"x": [[1.0, 0.0]], "t": [[1.0]]})
    trace.backward(error)
    return trace


def dense() -> Trace:
    x, t = cr.input("x", (4,)), cr.input("t", dtype="int32")
    h = cr.dense(cr.dense(x, 16, "relu", name="first"), 16, "relu", name="second")
    loss = cr.cross_entropy(cr.dense(h, 3, name="scores"), t).named("loss")
    numbers = np.random.default_rng(0)
    trace = cr.run(loss, {"x": numbers.normal(size=(2, 4)), "t": [0, 2]})
    trace.backward(loss)
    return trace


def chain(count: int) -> Trace:
    v = cr.input("v", (3,))
    for k in range(count):
        v = cr.tanh(v).named(f"t{k}")
    loss = cr.sum(v).named("L")
    trace = cr.run(loss, {"v": [[1.0, 2.0, 3.0]]})
    trace.backward(loss)
    return trace


def box(page: Page, name: str) -> Locator:
    """The box of a node, layer or block; the name is the start of what a screen reader says."""
    return page.locator(f'.canvas [aria-label^="{name}:"]')


def test_a_small_network_shows_kinds_types_values_and_gradients(graph: Open) -> None:
    page = graph(lecture())
    said = {name: box(page, name).get_attribute("aria-label") for name in ("x", "W1", "h")}
    assert said["x"] == "x: input, float64[N, 2], value [1, 0], gradient [0.0519, 0.0519]"
    assert said["W1"].startswith("W1: parameter, float64[2, 2], value [3.7, 2.9] [3.7, 2.9], grad")
    assert said["h"].startswith("h: operation sigmoid, float64[N, 2], value [0.976, 0.948], grad")
    expect(box(page, "h")).to_contain_text("sigmoid(u)")
    expect(page.locator(".canvas .type").first).to_have_text("float64[N, 1]")
    corners = {name: box(page, name).locator("rect.shape").count() for name in ("x", "W1", "h")}
    assert corners == {"x": 1, "W1": 0, "h": 1}


def test_layers_and_blocks_unfold_by_click_and_enter_and_fold_again(graph: Open) -> None:
    page = graph(dense())
    page.get_by_role("button", name="Network").click()
    expect(box(page, "hidden")).to_have_attribute("aria-expanded", "false")
    expect(box(page, "first")).to_have_count(0)
    box(page, "hidden").click()
    expect(box(page, "hidden")).to_have_attribute("aria-expanded", "true")
    expect(box(page, "hidden")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(box(page, "first")).to_be_focused()
    page.keyboard.press("Enter")
    expect(box(page, "first.w")).to_be_visible()
    expect(box(page, "second")).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("Enter")
    expect(box(page, "first.w")).to_have_count(0)
    expect(box(page, "first")).to_be_focused()
    page.get_by_role("button", name="Arithmetic").click()
    expect(box(page, "second.w")).to_be_attached()


def test_a_search_unfolds_what_it_finds_and_is_walked_by_enter(graph: Open) -> None:
    page = graph(dense())
    page.get_by_role("button", name="Network").click()
    page.keyboard.press("/")
    field = page.get_by_role("combobox", name="Search")
    expect(field).to_be_focused()
    page.keyboard.type("matmul")
    matches = page.get_by_role("listbox", name="Matches").get_by_role("option")
    expect(matches).to_have_count(3)
    for k, layer in enumerate(("first", "second", "scores")):
        page.keyboard.press("Enter")
        expect(matches.nth(k)).to_have_attribute("aria-selected", "true")
        expect(box(page, f"{layer}.matmul")).to_be_in_viewport()
    page.keyboard.press("Escape")
    expect(matches).to_have_count(0)
    expect(box(page, "scores.matmul")).to_be_focused()
    page.keyboard.press("/")
    page.keyboard.type("<b>no such node")
    expect(page.get_by_role("status").filter(has_text="no node has this")).to_be_visible()


def test_arrow_keys_walk_along_edges_and_light_what_they_pass(graph: Open) -> None:
    page = graph(lecture())
    box(page, "v").focus()
    page.keyboard.press("ArrowUp")
    expect(box(page, "h")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(box(page, "W2")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(box(page, "v")).to_be_focused()
    assert lit(page) == {"focus": ["v"], "reads": ["W2", "h"], "reader": ["y"]}
    expect(page.locator(".edge.reads")).to_have_count(2)
    expect(page.locator(".edge.reader")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(box(page, "v")).to_have_attribute("aria-current", "step")


def test_hovering_lights_operands_and_consumers(graph: Open) -> None:
    page = graph(lecture())
    box(page, "u").hover()
    assert lit(page) == {"focus": ["u"], "reads": ["W1", "x"], "reader": ["h"]}
    page.mouse.move(2, 2)
    assert lit(page) == {}


def test_the_step_dims_what_is_not_computed_and_shows_what_sends_gradients(
    graph: Open, opened: Page
) -> None:
    opened.set_viewport_size({"width": 1280, "height": 1600})
    page = graph(lecture())
    box(page, "u").click()
    expect(box(page, "u")).to_have_attribute("aria-current", "step")
    assert dim(page) == ["E", "h", "square", "subtract", "sum", "v", "y"]
    expect(box(page, "h")).not_to_contain_text("0.976")
    while box(page, "v").get_attribute("aria-current") is None or not lit(page).get("sends"):
        page.get_by_role("button", name="Next", exact=True).click()
    assert lit(page) == {"focus": ["v"], "sends": ["y"]}
    assert dim(page) == ["W1", "W2", "h", "t", "u", "x"]
    expect(page.locator(".edge.sends")).to_have_count(1)
    expect(box(page, "h")).to_contain_text("0.976")
    expect(box(page, "v")).to_contain_text("∂E")
    expect(box(page, "h")).not_to_contain_text("∂E")


def test_edited_nodes_and_those_that_follow_are_marked(graph: Open) -> None:
    page = graph(lecture())
    field = page.locator('input[type="text"][aria-label^="x ["]').first
    field.fill("2")
    field.press("Enter")
    expect(box(page, "x")).to_have_attribute("aria-label", re.compile(r"value \[2, 0\].*, edited"))
    expect(box(page, "h")).to_have_attribute("aria-label", re.compile("changed by an edit"))
    assert "changed" not in str(box(page, "W2").get_attribute("aria-label"))
    expect(page.locator(".graph .legend")).to_contain_text("changed by it")


def test_an_update_shows_the_new_value_at_its_parameter(graph: Open) -> None:
    x, t = cr.input("x", (2,)), cr.input("t", (1,))
    y = cr.dense(x, 1, name="out")
    loss = cr.mean((y - t) ** 2).named("loss")
    trace = cr.Model(y, loss).trace_step({"x": [[1.0, 2.0]], "t": [[1.0]]}, optimizer="sgd")
    page = graph(trace)
    expect(box(page, "out.b")).to_contain_text("∂")
    page.get_by_role("slider").first.press("End")
    expect(box(page, "out.b")).to_contain_text("new")
    expect(box(page, "out.b")).to_have_attribute("aria-label", re.compile("new value"))


def test_the_culprit_of_a_graph_that_cannot_be_built_is_marked(
    opened: Page, tmp_path: Path
) -> None:
    document = dict(lecture().show().document)
    names = [x["name"] for x in document["graph"]["nodes"]]
    failure = {"node": names.index("v"), "message": "[matmul] <b>shapes</b> do not fit"}
    document["graph"] = {**document["graph"], "failure": failure}
    opened.goto(Html(document).write(tmp_path / "page.html").as_uri())
    expect(opened.get_by_role("alert")).to_contain_text("[matmul] <b>shapes</b> do not fit")
    opened.get_by_role("button", name="Show the node").click()
    expect(box(opened, "v")).to_be_in_viewport()
    expect(box(opened, "v")).to_have_class(re.compile(r"\bfailed\b"))
    assert opened.locator(".failed").count() == 1


def test_a_thousand_nodes_are_opened_searched_and_drawn_in_part(graph: Open) -> None:
    page = graph(chain(1000))
    expect(page.locator(".canvas")).to_have_attribute("aria-label", re.compile("Graph: 2 boxes"))
    page.get_by_role("button", name="Arithmetic").click()
    expect(page.locator(".canvas")).to_have_attribute("aria-label", re.compile("Graph: 1002 boxes"))
    page.keyboard.press("/")
    page.keyboard.type("t987")
    page.keyboard.press("Enter")
    expect(box(page, "t987")).to_be_in_viewport()
    assert page.locator(".canvas *").count() < 600
    page.get_by_role("button", name="Show all").click()
    expect(page.locator(".canvas path.operation")).to_be_attached()
    assert page.locator(".canvas *").count() < 100


def test_without_workers_the_graph_is_laid_out_all_the_same(graph: Open, opened: Page) -> None:
    opened.set_viewport_size({"width": 1280, "height": 1600})
    opened.add_init_script("delete window.Worker; delete window.DecompressionStream;")
    page = graph(dense())
    tops = {name: place(page, name)["y"] for name in ("x", "first.matmul", "first.z", "second.z")}
    assert sorted(tops, key=lambda name: tops[name]) == list(tops)


def test_hostile_names_are_text(graph: Open) -> None:
    x = cr.input("x", (2,))
    names = ("</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\u202egnp.exe")
    for name in (*names, "a" * 1_000_000):
        x = cr.tanh(x).named(name)
    page = graph(cr.run(cr.sum(x).named("L"), {"x": [[1.0, 2.0]]}))
    drawn = page.locator(".canvas .name").all_text_contents()
    assert "\ufffdgnp.exe" in drawn
    assert max(map(len, drawn)) < 40
    assert page.locator("img").count() == 0


def place(page: Page, name: str) -> dict[str, float]:
    found = box(page, name).bounding_box()
    assert found is not None
    return dict(found)


def lit(page: Page) -> dict[str, list[str]]:
    """The names of the boxes that are lit, by light."""
    boxes = {
        light: page.locator(f".canvas .item.{light} .name").all_text_contents()
        for light in ("focus", "reads", "reader", "sends")
    }
    return {light: sorted(names) for light, names in boxes.items() if names}


def dim(page: Page) -> list[str]:
    """The names of the boxes that are not computed yet."""
    return sorted(page.locator(".canvas .item.dim .name").all_text_contents())
