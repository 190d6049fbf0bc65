"""The live page in a browser: designs changed, trained, compared, exported; two pages at once."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Page, expect

import chainrule as cr
from chainrule.live.design import Design
from chainrule.live.playground import Playground
from chainrule.live.server import Server
from chainrule.live.watch import Watch
from chainrule.recipe import Training, config

OTHERS = ["island", "sex", "year", "body_mass_g", "bill_depth_mm"]
HOSTILE = (
    "<img src=x onerror=\"document.title='broken'\">", "</script><script>1</script>",
    "\u202ereversed\u202c & {{7*7}}",
)  # fmt: skip


def opened(page: Page, server: Server, fragment: str = "") -> Page:
    """The page of a server, when its first events have come."""
    page.set_default_timeout(15_000)
    page.goto(server.url + fragment)
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
    expect(page.get_by_role("img", name="loss by epoch")).to_be_visible()
    return page


def epoch_of(page: Page) -> int:
    return int(float(page.locator(".line .title b").inner_text()))


def to_epoch(page: Page, epoch: int) -> None:
    for k in range(epoch_of(page), epoch):
        page.get_by_role("button", name="One epoch").click()
        expect(page.locator(".line .title b")).to_have_text(str(k + 1))


def after_epoch(page: Page, epoch: int) -> None:
    deadline = time.monotonic() + 30
    while epoch_of(page) <= epoch:
        assert time.monotonic() < deadline, "waited in vain"
        page.wait_for_timeout(20)


@contextmanager
def served(playground: Playground) -> Iterator[Server]:
    server = Server(playground)
    thread = server.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(10)
        playground.close()


def test_a_design_is_changed_trained_and_its_program_gives_the_same_losses(
    page: Page, server: Server, playground: Playground, tmp_path: Path
) -> None:
    opened(page, server)
    page.get_by_role("button", name="add a layer").click()
    expect(page.get_by_label("units of layer 2")).to_have_value("4")
    page.get_by_label("activation", exact=True).select_option("relu")
    page.get_by_label("units of layer 2").fill("3")
    page.keyboard.press("Tab")
    page.get_by_label("rate", exact=True).fill("0.05")
    page.keyboard.press("Tab")
    expect(page).to_have_url(re.compile("a.rate=0.05"))
    design = playground.lanes[0].design
    assert (design.hidden, design.activation, design.rate) == ((4, 3), "relu", 0.05)
    to_epoch(page, 3)
    assert playground.lanes[0].training is not None
    trained = [float(x) for x in playground.lanes[0].training.model.history["loss"]]
    page.get_by_role("button", name="Save and export").click()
    program = page.locator('[data-export="python"]')
    expect(program).to_contain_text("epochs=3")
    (tmp_path / "run.py").write_text(program.inner_text(), "utf-8")
    done = subprocess.run(
        [sys.executable, str(tmp_path / "run.py")], capture_output=True, text=True, check=True
    )
    assert [float(x) for x in done.stdout.split()[-3:]] == trained


def test_the_network_is_looked_into_at_any_epoch(
    page: Page, server: Server, playground: Playground
) -> None:
    opened(page, server)
    to_epoch(page, 2)
    page.get_by_role("tab", name="What it learned").click()
    page.locator("section[aria-label='Worst rows of the sample'] button").first.click()
    expect(page.get_by_role("tab", name="Look inside")).to_have_attribute("aria-selected", "true")
    page.get_by_label("Search").first.fill("dense_2.b")
    page.keyboard.press("Enter")
    cell = page.locator(".panel [role=grid], .panel table").first
    expect(cell).to_be_visible()
    shown = {}
    for epoch in (2, 1, 0):
        page.get_by_label("Epoch that is shown").fill(str(epoch))
        expect(page.locator(".line .title b")).to_have_text(str(epoch))
        shown[epoch] = cell.inner_text()
    assert len(set(shown.values())) == 3
    page.get_by_label("Epoch that is shown").fill("1")
    page.get_by_role("button", name="Train on from here").click()
    expect(page.get_by_label("Epoch that is shown")).to_have_attribute(
        "aria-valuetext", "epoch 1 of 1"
    )
    assert playground.lanes[0].epoch == 1


def test_two_designs_are_compared_and_their_link_brings_them_back(
    page: Page, browser: Browser, server: Server, playground: Playground
) -> None:
    opened(page, server)
    page.get_by_label("Compare").select_option(label="Sigmoid or ReLU in six layers")
    expect(page.get_by_text("differs from A: activation sigmoid / relu")).to_be_visible()
    expect(page.get_by_role("img", name="Size of the gradient by layer")).to_be_visible()
    to_epoch(page, 2)
    first, second = (lane.feed and lane.feed.recorder for lane in playground.lanes)
    assert first is not None
    assert second is not None
    sizes = [float(x.section()["layers"][0]["gradients"][-1][3]) for x in (first, second)]
    assert sizes[0] < sizes[1] / 100
    expect(page).to_have_url(re.compile("b.activation=relu"))
    link = page.url
    page.get_by_label("Compare").select_option(label="one design")
    expect(page.get_by_role("group", name="B: design")).to_have_count(0)
    assert len(playground.lanes) == 1
    context = browser.new_context()
    other = opened(context.new_page(), server, link[len(server.url) :])
    expect(other.get_by_label("B: activation")).to_have_value("relu")
    expect(page.get_by_label("B: activation")).to_have_value("relu")
    context.close()


def test_a_link_trains_up_to_its_epoch_and_shows_it(
    page: Page, browser: Browser, server: Server, playground: Playground
) -> None:
    opened(page, server)
    to_epoch(page, 3)
    page.get_by_label("Epoch that is shown").focus()
    page.keyboard.press("ArrowLeft")
    expect(page).to_have_url(re.compile("a.epoch=2"))
    link = page.url[len(server.url) :]
    page.get_by_role("button", name="Train on from here").click()
    expect(page.get_by_text("waiting, epoch 2")).to_be_visible()
    wanted = playground.lanes[0].training
    assert wanted is not None
    bits = {name: x.tobytes() for name, x in wanted.model.values.items()}
    page.get_by_role("button", name="Reset").click()
    expect(page.get_by_text("waiting, epoch 0")).to_be_visible()
    context = browser.new_context()
    other = opened(context.new_page(), server, link)
    expect(other.get_by_text("waiting, epoch 2")).to_be_visible()
    slider = other.get_by_label("Epoch that is shown")
    expect(slider).to_have_attribute("aria-valuetext", "epoch 2 of 2")
    again = playground.lanes[0].training
    assert again is not None
    assert again is not wanted
    assert {name: x.tobytes() for name, x in again.model.values.items()} == bits
    to_epoch(other, 3)
    other.get_by_label("Epoch that is shown").focus()
    other.keyboard.press("ArrowLeft")
    expect(other).to_have_url(re.compile("a.epoch=2"))
    other.reload()  # a run that is further is looked at, and not taken back
    expect(slider).to_have_attribute("aria-valuetext", "epoch 2 of 3")
    assert playground.lanes[0].epoch == 3
    context.close()


def test_a_run_survives_its_pages(page: Page, browser: Browser, server: Server) -> None:
    opened(page, server)
    context = browser.new_context()
    other = opened(context.new_page(), server)
    other.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    context.close()
    before = epoch_of(page)
    after_epoch(page, before)
    page.reload()
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
    assert epoch_of(page) > before


def test_what_is_refused_is_said_where_it_was_typed(browser: Browser, server: Server) -> None:
    context = browser.new_context()
    page = opened(context.new_page(), server)
    page.get_by_label("rate", exact=True).fill("-3")
    page.keyboard.press("Tab")
    field = page.locator(".field", has=page.get_by_label("rate", exact=True))
    expect(field.get_by_role("alert")).to_contain_text("rate")
    expect(page.get_by_label("rate", exact=True)).to_have_value("-3")
    field.get_by_role("button", name="Undo").click()
    expect(page.get_by_label("rate", exact=True)).to_have_value("0.03")
    context.close()


def test_a_lost_server_is_said(browser: Browser, playground: Playground) -> None:
    context = browser.new_context()
    with served(playground) as server:
        page = opened(context.new_page(), server)
    expect(page.get_by_role("alert")).to_contain_text("The connection is lost")
    expect(page.get_by_role("img", name="loss by epoch")).to_be_visible()
    context.close()


def test_hostile_names_are_text(page: Page) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 2))
    classes = np.where(x[:, 0] > 0, HOSTILE[0], HOSTILE[1])
    table = cr.data.read({HOSTILE[0]: x[:, 0], HOSTILE[2]: x[:, 1], "the <b>target": classes})
    playground = Playground(table, "the <b>target", [Design(hidden=(3,), rate=0.1)])
    with served(playground) as server:
        opened(page, server)
        to_epoch(page, 1)
        for tab in ("Layer by layer", "Look inside", "What it learned"):
            page.get_by_role("tab", name=tab).click()
        assert page.locator(".chainrule :is(img, script, b b)").count() == 0
        assert page.get_by_role("region", name="Decision regions").count() == 1
        assert page.title() == f"the <b>target from {table.source} · Chainrule"


def test_a_phone_has_no_horizontal_scroll(page: Page, server: Server) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    opened(page, server)
    page.get_by_label("Compare").select_option(label="Sigmoid or ReLU in six layers")
    to_epoch(page, 1)
    for tab in ("What it learned", "Layer by layer", "Look inside"):
        page.get_by_role("tab", name=tab).click()
        assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_nothing_moves_while_frames_arrive(page: Page, server: Server) -> None:
    opened(page, server)
    to_epoch(page, 2)
    page.evaluate(
        "window.moved = 0; new PerformanceObserver(l => l.getEntries().forEach(e =>"
        " window.moved += e.value)).observe({type: 'layout-shift', buffered: false})"
    )
    page.get_by_role("button", name="Start", exact=True).click()
    after_epoch(page, 40)
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
    assert page.evaluate("window.moved") < 0.01


def test_a_training_run_is_looked_at_from_its_beginning(page: Page) -> None:
    training = Training.of(
        cr.data.read("penguins"), config(target="species", quality="fast", epochs=3, hidden=(4,))
    )
    watch = Watch(training)
    server = Server(watch)
    thread = server.start()
    try:
        page.goto(server.url)
        expect(page.get_by_text("The model is not built yet.")).to_be_visible()
        training.fit(False, [watch])
        watch.end("The run has ended")
        expect(page.get_by_role("status").first).to_contain_text("The run has ended.")
        expect(page.get_by_text("Before the first step the loss is")).to_be_visible()
        page.get_by_label("Worst rows of the sample").get_by_role("button").first.click()
        expect(page.get_by_role("button", name="Take the first step")).to_be_visible()
    finally:
        server.stop()
        thread.join(10)


def test_the_curves_of_a_trained_model_are_in_its_page(page: Page, tmp_path: Path) -> None:
    model = cr.train("penguins", "species", quality="fast", epochs=3, verbose=False)
    shown = model.show("penguins", rows=3)
    curves = shown.document["learning"]["history"]["loss"]
    assert curves == [float(x) for x in model.history["loss"]]
    page.goto(shown.write(tmp_path / "page.html").as_uri())
    page.get_by_role("tab", name="Learning").click()
    expect(page.get_by_role("img", name="loss by epoch")).to_be_visible()
    assert page.get_by_role("slider").count() == 0


def test_what_was_recorded_is_in_the_page_of_a_trained_model(page: Page, tmp_path: Path) -> None:
    model = cr.train(
        "penguins", "species", ignore=OTHERS, hidden=(4,), activation="relu", epochs=6,
        patience=6, quality="fast", refit="no", members=1, record=cr.Record(rows=60),
        verbose=False,
    )  # fmt: skip
    page.goto(model.show("penguins").write(tmp_path / "page.html").as_uri() + "#view=learning")
    slider = page.get_by_label("Epoch that is shown")
    expect(slider).to_have_attribute("aria-valuetext", "epoch 6 of 6")
    last = page.locator(".square canvas").first.evaluate("x => x.toDataURL()")
    newest = page.locator("[data-loss]").inner_text()
    slider.focus()
    page.keyboard.press("Home")
    expect(page.get_by_role("img", name=re.compile("Decision regions .* epoch 0"))).to_be_visible()
    assert page.locator(".square canvas").first.evaluate("x => x.toDataURL()") != last
    expect(page.get_by_role("heading", name="Confusion")).to_be_visible()
    expect(page.get_by_role("region", name="Layer dense", exact=True)).to_be_visible()
    worst = page.get_by_role("region", name="Worst rows of the sample").get_by_role("button").first
    label = worst.inner_text()
    worst.click()
    expect(page.get_by_role("tab", name="Step through")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_text(label, exact=True).first).to_be_visible()
    expect(page.get_by_text("weights of epoch 0")).to_be_visible()
    expect(page.locator("[data-loss]")).to_have_text("1.0986")  # log(3): of weights that are 0
    assert newest != "1.0986"
    expect(page).to_have_url(re.compile("epoch=0"))  # written when the page has rested
    page.reload()
    expect(page.get_by_text("weights of epoch 0")).to_be_visible()


def test_a_click_counts_for_the_design_that_is_seen(
    page: Page, server: Server, playground: Playground
) -> None:
    """A form keeps a change for a moment, for others to follow; what is asked next sends it."""
    opened(page, server)
    page.evaluate("""() => {
        const units = document.querySelector('[aria-label="units of layer 1"]');
        units.value = '7';
        units.dispatchEvent(new Event('change', { bubbles: true }));
        [...document.querySelectorAll('button')].find((b) => b.textContent === 'One epoch').click();
    }""")
    expect(page.locator(".line .title b")).to_have_text("1")
    page.wait_for_timeout(400)  # longer than a form keeps anything
    lane = playground.lanes[0]
    assert (lane.design.hidden, lane.epoch) == ((7,), 1)
    page.get_by_label("Compare").select_option("two")
    expect(page.get_by_role("button", name="Copy to A")).to_be_visible()
    page.evaluate("""() => {
        const units = document.querySelector('[aria-label="B: units of layer 1"]');
        units.value = '3';
        units.dispatchEvent(new Event('change', { bubbles: true }));
        [...document.querySelectorAll('button')].find((b) => b.textContent === 'Copy to A').click();
    }""")
    expect(page.get_by_label("A: units of layer 1")).to_have_value("3")
    assert [x.design.hidden for x in playground.lanes] == [(3,), (3,)]
