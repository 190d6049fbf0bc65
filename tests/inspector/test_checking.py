"""Check me: numbers computed by hand, with the slips that students make."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect
from samples import lecture, lecture_trace

from chainrule.inspector.page import Page as File


@pytest.fixture
def sheet(opened: Page, tmp_path: Path) -> Locator:
    """The sheet of the lecture, with nothing filled in."""
    path = File(lecture()).write(tmp_path / "page.html")
    opened.goto(path.as_uri() + "#view=check")
    return opened.locator(".panel")


def fill(sheet: Locator, answers: dict[str, str]) -> None:
    """Types numbers, several of a line with spaces between, and checks them."""
    for line, text in answers.items():
        fields = sheet.locator(f'[data-line="{line}"] input.answer')
        for k, number in enumerate(text.split()):
            fields.nth(k).fill(number)
    sheet.get_by_role("button", name="Check", exact=True).click()


def verdict(sheet: Locator, line: str) -> Locator:
    return sheet.locator(f'[data-line="{line}"] .verdict')


def test_numbers_are_hidden_while_they_are_asked_for(sheet: Locator, opened: Page) -> None:
    expect(opened.locator("[data-loss]")).to_have_text("hidden")
    expect(sheet).not_to_contain_text("0.9002")
    sheet.get_by_role("button", name="Show the numbers of h", exact=True).click()
    expect(sheet.locator('[data-line="h"]')).to_contain_text("0.90025")
    opened.get_by_role("tab", name="Step through").click()
    expect(opened.locator("[data-loss]")).to_have_text("0.027726")


def test_right_numbers_are_right_to_the_digits_typed(sheet: Locator) -> None:
    answers = {}
    for step in lecture_trace().steps():
        line = step.name if step.direction == "forward" else f"∂E/∂{step.name}"
        answers[line] = " ".join(f"{x:.3g}" for x in step.value.ravel())
    fill(sheet, answers)
    expect(sheet.get_by_role("status")).to_contain_text("All 23 lines that you filled in are right")


SLIPS = {
    "h": ("2.2 -1.6", "the activation is not applied"),
    "z1": ("3.7 2.9", "the bias is not added"),
    "u2": ("4.05", "one product is missing in the sum"),
    "d": ("-0.2355", "the operands are in the other order"),
    "q": ("0.2355", "the number is not squared"),
    "∂E/∂z2": ("-0.2355", "the slope of y = sigmoid(z2) is missing"),
    "∂E/∂y": ("0.2355", "the sign is wrong"),
    "∂E/∂h": ("0.2204 -0.1908", "of a neighbour is taken"),
    "∂E/∂d": ("0.11774", "the 2 of the square's derivative is missing"),
    "∂E/∂W2": ("0.038165 0.0071", "the sign is wrong"),
    "b2.new": ("-1.9576", "the rate is left out"),
    "W2.new": ("4.1184 -5.2712", "the step is added"),
    "b1.new": ("0.17131 -0.308104", "this is the step alone"),
}


@pytest.mark.parametrize("line", SLIPS)
def test_the_likely_slip_is_named(sheet: Locator, line: str) -> None:
    typed, words = SLIPS[line]
    fill(sheet, {line: typed})
    expect(verdict(sheet, line)).to_contain_text(words)
    expect(sheet.get_by_role("status")).to_contain_text("is the first wrong one: ")


def test_what_follows_from_an_error_is_not_counted_again(sheet: Locator) -> None:
    # the bias is forgotten, and then all is right
    fill(sheet, {"u1": "3.7 2.9", "z1": "3.7 2.9", "h": "0.976 0.948", "u2": "-0.537"})
    expect(verdict(sheet, "u1")).to_contain_text("right")
    expect(verdict(sheet, "h")).to_contain_text("right, with the number of line 2")
    expect(verdict(sheet, "u2")).to_contain_text("right, with the number of line 2")
    status = sheet.get_by_role("status")
    expect(status).to_contain_text("Line 2, z1, is the first wrong one: the bias is not added")
    expect(status).to_contain_text("1 right, 1 wrong, 2 right but for an earlier number")


def test_too_few_digits_and_words_are_told(sheet: Locator) -> None:
    fill(sheet, {"u1": "3.7 2.9", "E": "0"})
    expect(verdict(sheet, "E")).to_contain_text("give more digits")
    fill(sheet, {"E": "zero"})
    expect(verdict(sheet, "E")).to_contain_text("this is not a number")
