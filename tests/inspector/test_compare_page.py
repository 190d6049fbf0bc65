"""The page of two: one graph coloured by what differs, both values of a node, curves, scores."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect
from samples import lecture_trace

import chainrule as cr
from chainrule.display.format import number

HOSTILE = "</script><script>document.title='broken'</script>"


def box(page: Page, name: str) -> Locator:
    """The box of a node in the graph of both."""
    graph = page.get_by_role("region", name="Graph of both")
    return graph.locator(f'[data-id][aria-label^="{name}:"]')


def network(width: int, more: bool, seed: int) -> cr.Model:
    x, t = cr.input("x", (3,)), cr.input("t", (1,))
    h = cr.dense(x, width, activation="tanh", name="hidden")
    h = cr.dense(h, width, activation="relu", name="more") if more else h
    y = cr.dense(h, 1, name="out")
    return cr.Model(y, cr.squared_error(y, t), seed=seed)


@pytest.fixture(scope="module")
def data() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    x = random.normal(size=(80, 3))
    return {"x": x, "t": x[:, :1] - x[:, 1:2]}


def test_two_traces_node_by_node(opened: Page, tmp_path: Path) -> None:
    a, b = lecture_trace(), lecture_trace(values={"b1": [-1.5, -4.0]})
    found = a.compare(b)
    opened.goto(found.write(tmp_path / "traces.html").as_uri())
    opened.set_viewport_size({"width": 1280, "height": 1600})
    box(opened, "z1").wait_for()
    opened.get_by_role("button", name="Show all").click()
    equal = [x.name for x in found.nodes if not x.value]
    assert {"u1", "x", "W2"} <= set(equal)
    for node in found.nodes:
        word = "differs" if node.value else "equal"
        expect(box(opened, node.name)).to_have_attribute("aria-label", re.compile(f", {word}"))
    box(opened, "z1").click()
    panel = opened.get_by_role("region", name="Both values")
    value = panel.get_by_role("region", name="Value", exact=True)
    expect(value).to_contain_text("1 of 2 entries differ")
    expect(value).to_contain_text("The largest difference is 0.5 (23 %) at [row 1, 1]")
    expect(value).to_contain_text("A has -1.6, B -1.1")
    gradient = panel.get_by_role("region", name="Gradient", exact=True)
    most = np.abs(a.gradient("z1") - b.gradient("z1")).max()
    expect(gradient).to_contain_text(f"The largest difference is {number(float(most))}")
    panel.get_by_role("button", name="All differences").click()
    opened.get_by_role("button", name="Gradients", exact=True).click()
    expect(box(opened, "q")).to_have_attribute("data-tone", "0")  # 1/2 in both
    expect(box(opened, "d")).to_have_attribute("data-tone", "3")
    opened.get_by_role("region", name="Largest differences").get_by_role(
        "button", name="W1"
    ).click()
    expect(panel.locator("h3")).to_contain_text("W1")


def test_nodes_that_one_has_are_marked(
    opened: Page, tmp_path: Path, data: dict[str, np.ndarray]
) -> None:
    a, b = network(4, False, 0), network(4, True, 1)
    for model, epochs in ((a, 3), (b, 5)):
        model.fit(data, epochs=epochs, verbose=False)
    found = cr.compare(a, b, data, names=(HOSTILE, "deeper"))
    opened.goto(found.write(tmp_path / "models.html").as_uri())
    expect(opened.get_by_role("region", name="What differs")).to_contain_text(HOSTILE)
    assert opened.title() == f"{HOSTILE} and deeper"
    opened.set_viewport_size({"width": 1280, "height": 1600})
    box(opened, "x").wait_for()
    opened.get_by_role("button", name="Show all").click()
    lone = box(opened, "more.w")
    expect(lone).to_have_attribute("aria-label", re.compile("only in B"))
    expect(lone.locator(".lone")).to_have_text("B")
    ranking = opened.get_by_role("region", name="Largest differences")
    ranking.get_by_role("button", name="more.w").click()
    panel = opened.get_by_role("region", name="Both values")
    expect(panel.locator("h3")).to_contain_text("only in B")
    panel.get_by_role("button", name="All differences").click()
    ranking.get_by_role("button", name="hidden.w").click()
    apart = np.abs(a.value("hidden.w") - b.value("hidden.w")).max()
    expect(panel).to_contain_text(f"{number(float(apart))}")
    charts = opened.get_by_role("img", name="loss by epoch")
    expect(charts).to_have_attribute("aria-label", re.compile("A training.*B training"))
    scores = opened.get_by_role("region", name="Scores")
    rows = found.rows
    assert rows is not None
    intervals = [x for x in rows.scores if x.interval is not None]
    expect(scores.get_by_role("img")).to_have_count(len(intervals))
    expect(opened.get_by_role("region", name="Layers")).to_contain_text("more")
    opened.get_by_role("tab", name="Step through").click()
    answer = opened.locator("[data-loss]")
    losses = []
    for side in ("A", "B"):
        opened.get_by_role("button", name=side, exact=True).click()
        expect(opened.locator("header dt").last).to_contain_text(f"{side}: loss")
        losses.append(float(answer.inner_text()))
    rows_shown = [int(x["label"].split()[1]) - 1 for x in found.show().document["rows"]]
    some = {name: x[rows_shown] for name, x in data.items()}
    assert losses == pytest.approx([m.evaluate(some)["loss"] for m in (a, b)], rel=1e-4)
