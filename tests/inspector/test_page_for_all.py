"""The page for everyone: hostile names, keyboard alone, a phone, both schemes, screen readers."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from samples import classifier, lecture, named

import chainrule as cr
from chainrule.inspector.page import Page as File

NAUGHTY = (
    "</script><script>document.title='broken'</script>",
    "<img src=x onerror=\"document.title='broken'\">",
    "\u202ereversed\u202c \u2066nested",
    "{{7*7}} ${7*7} {@html 'x'} %s \\u0041 \\",
    "𝒳é́́ \u0000\u0007\t🏳️‍🌈 '\"`;--",
    "long" * 50_000,
)
VIEWS = ("Step through", "Check me", "What the encoders did")


def opened_on(page: Page, document: dict[str, object], folder: Path, fragment: str = "") -> None:
    page.set_default_timeout(10_000)
    page.goto(File(document).write(folder / "page.html").as_uri() + fragment)


def test_hostile_names_are_text_everywhere(opened: Page, tmp_path: Path) -> None:
    folder = tmp_path / "a'b <i>\u202e"
    folder.mkdir()
    document = named(NAUGHTY)
    opened_on(opened, document, folder)
    for view in VIEWS:
        opened.get_by_role("tab", name=view).click()
        expect(opened.locator(".panel h2").first).to_be_visible()
        assert opened.locator(".chainrule img, .chainrule script").count() == 0
        assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for name in NAUGHTY[:2]:
        expect(opened.get_by_text(name, exact=True).first).to_be_attached()
    opened.get_by_role("tab", name="Step through").click()
    for _ in range(len(document["graph"]["nodes"])):
        opened.keyboard.press("ArrowRight")
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert opened.title() == NAUGHTY[0]


def test_python_quotes_any_name(opened: Page, tmp_path: Path) -> None:
    document = named(NAUGHTY[:5])
    opened_on(opened, document, tmp_path)
    names = {x["name"] for x in document["graph"]["nodes"]}
    for k in range(6):
        opened.get_by_label("Step", exact=True).fill(str(k))
        text = opened.locator(".panel [data-python]").text_content()
        assert text is not None
        called = text.removeprefix("trace.value(").removesuffix(")")
        assert eval(called) in names
        assert "\u202e" not in text


def test_the_keyboard_is_enough(opened: Page, tmp_path: Path) -> None:
    opened_on(opened, lecture(), tmp_path)
    count = opened.locator(".count")
    for key, text in (
        ("ArrowRight", "1 of 27"), ("End", "27 of 27"), ("ArrowLeft", "26 of 27"),
        ("Home", "0 of 27"), ("ArrowRight", "1 of 27"),
    ):  # fmt: skip
        opened.keyboard.press(key)
        expect(count).to_have_text(text)
    weights = opened.get_by_role("grid", name="W1", exact=True)
    for _ in range(80):
        opened.keyboard.press("Tab")
        if weights.locator(":focus").count():
            break
    opened.keyboard.press("ArrowDown")
    opened.keyboard.press("ArrowRight")
    opened.keyboard.type("7.5")
    opened.keyboard.press("Enter")
    expect(weights.get_by_role("gridcell").nth(3)).to_contain_text("was 2.9")
    expect(count).to_have_text("1 of 27")
    opened.keyboard.press("Delete")
    expect(weights.get_by_role("gridcell").nth(3)).to_have_text("2.9")
    opened.keyboard.type("8")
    opened.keyboard.press("Escape")
    expect(weights.get_by_role("gridcell").nth(3)).to_have_text("2.9")


UNNAMED = """
() => [...document.querySelectorAll(
    'button, input, select, textarea, a, summary, [role=gridcell], [role=slider], [role=grid]')]
  .filter((x) => x.checkVisibility())
  .filter((x) => !(x.getAttribute('aria-label') || x.getAttribute('aria-labelledby')
    || x.labels?.length || x.textContent.trim()))
  .map((x) => x.outerHTML.slice(0, 200))
"""


def test_every_control_has_a_name(opened: Page, tmp_path: Path) -> None:
    opened_on(opened, named(["a", "b", "c", "d", "e"]), tmp_path)
    for view in VIEWS:
        opened.get_by_role("tab", name=view).click()
        assert opened.evaluate(UNNAMED) == []
    opened.get_by_role("tab", name="Step through").click()
    total = int(opened.locator(".count").inner_text().split()[-1])
    for k in range(0, total, 3):
        opened.get_by_label("Step", exact=True).fill(str(k))
        assert opened.evaluate(UNNAMED) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_no_horizontal_scroll(opened: Page, tmp_path: Path, scheme: str) -> None:
    opened.set_viewport_size({"width": 390, "height": 844})
    opened.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    opened_on(opened, classifier(), tmp_path)
    for view in VIEWS[:2]:
        opened.get_by_role("tab", name=view).click()
        assert opened.evaluate("document.documentElement.scrollWidth") == 390
    opened.get_by_role("tab", name="Step through").click()
    total = int(opened.locator(".count").inner_text().split()[-1])
    for k in range(total):
        opened.get_by_label("Step", exact=True).fill(str(k))
        assert opened.evaluate("document.documentElement.scrollWidth") == 390
    dark = opened.evaluate("getComputedStyle(document.querySelector('.chainrule')).backgroundColor")
    assert (dark == "rgb(16, 19, 23)") == (scheme == "dark")


def test_a_recipe_s_row_is_edited_by_its_cells(opened: Page, tmp_path: Path) -> None:
    model = cr.train("penguins", "species", quality="fast", epochs=3, verbose=False)
    document = dict(model.show("penguins", rows=[16]).document)
    opened_on(opened, document, tmp_path, "#view=encoders")
    before = opened.locator("[data-loss]").inner_text()
    opened.get_by_label("bill_length_mm", exact=True).fill("60")
    opened.get_by_label("island", exact=True).select_option("Biscoe")
    opened.get_by_label("Target species").select_option("Gentoo")
    expect(opened.locator('[data-column="island"]')).to_contain_text("was Torgersen")
    assert opened.locator("[data-loss]").inner_text() != before
    expect(opened.get_by_role("button", name="Reset 3 edits")).to_be_enabled()
