"""Sizes as text."""

from __future__ import annotations

import pytest

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
