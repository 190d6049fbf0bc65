"""Tables on screens of any width: all columns keep their names, and no line is too long."""

from __future__ import annotations

import io

import pytest

from chainrule.display.screen import Screen, cells, wrap

HEAD = ("kernel", "loops", "us", "nodes")
ROWS = [
    ("dropout_2.where", "32 x 128 @ 128 x 128", "16.14", "dropout_2.uniform, dense_2.matmul"),
    ("cross_entropy.log_softmax.finite_max", "32, max of 3", "0.03", "3 nodes"),
    ("Zeichen 漢字漢字", "", "1,185.81", ""),
]


def table(width: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    stream = io.StringIO()
    Screen(stream).table(ROWS, HEAD, right=(2,))
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("width", [30, 45, 60, 70, 80, 100, 120, 200])
def test_every_width_holds_all_names_and_words(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = table(width, monkeypatch)
    assert max(map(cells, lines)) <= width
    text = "".join("".join(lines).split())
    for name in HEAD[1:]:
        assert name in text
    for row in ROWS:
        for cell in row:
            if width < 60 or width >= 120:  # else the lines of columns alternate
                assert "".join(cell.split()) in text


def test_columns_are_wrapped_under_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    assert table(74, monkeypatch)[:4] == [
        "  kernel                    loops                   us  nodes",
        "  dropout_2.where           32 x 128 @ 128 x     16.14  dropout_2.uniform,",
        "                            128                         dense_2.matmul",
        "  cross_entropy.log_        32, max of 3          0.03  3 nodes",
    ]


def test_a_long_name_is_cut_after_a_dot() -> None:
    assert wrap("cross_entropy.log_softmax.finite_max", 26) == [
        "cross_entropy.log_softmax.", "finite_max",
    ]  # fmt: skip
    assert wrap("abcdefghij", 4) == ["abcd", "efgh", "ij"]
