"""A run in a notebook: its widget shows the page, and every frame of the run arrives there."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

import chainrule as cr
from chainrule.live import widget

HOST = """<!doctype html>
<body style="background: rgb(1, 2, 3)"><div id="cell"></div>
<script type="module">
const called = new Map(), state = new Map();
const of = (name) => called.get(name) ?? [];
window.host = {
  get: (name) => state.get(name),
  set(name, value) { state.set(name, value); for (const f of of(`change:${name}`)) f(); },
  on: (name, f) => called.set(name, [...of(name), f]),
  off: (name, f) => called.set(name, of(name).filter((x) => x !== f)),
  send() { throw new Error("nothing is sent"); },
  save_changes() {},
};
window.listening = () => [...called.values()].flat().length;
window.begin = async (esm) => {
  const blob = new Blob([esm], { type: "text/javascript" });
  const module = await import(URL.createObjectURL(blob));
  const el = document.getElementById("cell");
  window.end = await module.default.render({ model: window.host, el });
};
</script>"""
"""A page that gives a widget what notebooks give it."""


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The traits of the widget of a run, each time that one of them changes."""
    states: list[dict[str, Any]] = []

    def display(x: widget.RunWidget) -> None:
        def keep(_: object = None) -> None:
            names = ("begun", "learned", "packed")
            states.append(json.loads(json.dumps({name: getattr(x, name) for name in names})))

        keep()
        x.observe(keep, ["begun", "learned"])

    monkeypatch.setattr(widget, "display", display)
    monkeypatch.setattr("chainrule.live.watch.FRAME_SECONDS", 0.0)
    monkeypatch.setattr("chainrule.live.watch.SHARE", 1.0)
    monkeypatch.setattr(widget, "BYTES_PER_SECOND", 1e15)
    return states


def trained() -> cr.Model[Any]:
    return cr.watch("penguins", "species", quality="fast", epochs=4, refit="no")


def test_the_page_follows_the_run(
    shown: list[dict[str, Any]], opened: Page, tmp_path: Path
) -> None:
    model = trained()
    plain = cr.train("penguins", "species", quality="fast", epochs=4, refit="no", verbose=False)
    assert all((model.values[k] == v).all() for k, v in plain.values.items())
    epochs = [x["learned"][0]["state"]["epoch"] for x in shown]
    assert epochs[0] == 0
    assert epochs[-1] == 4
    assert sorted(epochs) == epochs
    (tmp_path / "host.html").write_text(HOST, "utf-8")
    opened.goto((tmp_path / "host.html").as_uri())
    for name, value in shown[0].items():
        opened.evaluate("([name, value]) => host.set(name, value)", [name, value])
    opened.evaluate("esm => begin(esm)", widget.RunWidget._esm)
    opened.add_style_tag(content=widget.RunWidget._css)
    expect(opened.get_by_role("heading", name="species from penguins")).to_be_visible()
    assert opened.title() == ""
    for state in shown[1:]:
        for name in ("begun", "learned"):
            opened.evaluate("([name, value]) => host.set(name, value)", [name, state[name]])
    opened.get_by_role("tab", name="Look inside").click()
    expect(opened.locator(".canvas [data-id]").first).to_be_visible()
    expect(opened.locator("body")).to_contain_text("The run has ended")
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(1, 2, 3)"
    assert opened.evaluate("location.hash") == ""
    assert opened.evaluate("listening()") == 2
    opened.evaluate("end()")
    expect(opened.locator(".chainrule")).to_have_count(0)
    assert opened.evaluate("listening()") == 0


def test_without_anywidget_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anywidget", None)
    monkeypatch.delitem(sys.modules, "chainrule.live.widget")
    with pytest.raises(cr.errors.MissingExtra, match=r'pip install "chainrule\[notebook\]"'):
        trained()


def test_the_page_of_a_run_that_fails_says_so(shown: list[dict[str, Any]]) -> None:
    with pytest.raises(cr.errors.NotFinite):
        cr.watch("penguins", "species", optimizer="sgd", rate=1e30, epochs=3, clip_norm=None)
    assert shown[-1]["learned"][-1] == {
        "kind": "end",
        "message": "The run has ended: an error stopped it.",
    }


def test_a_page_says_that_a_run_on_all_rows_follows(shown: list[dict[str, Any]]) -> None:
    cr.watch("penguins", "species", quality="fast", epochs=2, refit="yes")
    said = [x["learned"][0]["state"]["message"] for x in shown]
    assert "Now the model is trained once more on all 344 rows" in said[-2]
    assert shown[-1]["learned"][-1] == {
        "kind": "end",
        "message": "The run has ended after 2 epochs. The model was then trained once more on all "
        "344 rows; that run is not shown.",
    }
