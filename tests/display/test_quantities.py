"""Sizes as text."""

from __future__ import annotations

import pytest

from chainrule.display.format import clip_middle, clip_names
from chainrule.display.tables import bytes_text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"), (812, "812 B"), (1200, "1.20 kB"), (3_400_000, "3.40 MB"), (21.3e6, "21.3 MB"),
        (486e6, "486 MB"), (2_000_000_000, "2.00 GB"), (1.5e12, "1,500 GB"),
    ],
)  # fmt: skip
def test_a_size_has_three_digits_and_its_unit(size: float, text: str) -> None:
    assert bytes_text(size) == text


def test_names_that_are_cut_still_differ() -> None:
    start, end = "a name that begins like others", "and ends like others, too"
    ends = [f"{start}, the first", f"{start}, the second", "short"]
    assert clip_names(ends, 16) == ["a name...e first", "a name... second", "short"]
    within = [f"{start}, {k}, {end}" for k in (1, 2)]
    cut = clip_names(within, 16)
    assert cut[0] != cut[1]
    assert max(map(len, cut)) == 16
    assert clip_names(["one", "other name that is long"], 16) == ["one", "other name th..."]
    assert clip_names(["same " * 9, "same " * 9], 16) == ["same same sam..."] * 2
    assert clip_middle("photos/a folder/picture 221.png", 16) == "photos...221.png"
    assert clip_middle("221.png", 16) == "221.png"
