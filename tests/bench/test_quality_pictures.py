"""The table of pictures on the page of model quality."""

from __future__ import annotations

from bench.quality.pictures import PAGE, Found, merged, row

FOUND = Found(0.9123, 0.31, 812.4, 400.6, 700 << 20)


def test_rows_of_a_set_and_learner_are_replaced_and_others_stay() -> None:
    page = PAGE.read_text()
    assert merged(page, []) == page
    new = row("mnist-5k", (3750, 1250), "chainrule", [FOUND, FOUND], 1.5)
    assert new[:9] == ["mnist-5k", "Chainrule", "3,750", "1,250", "0.9123, 0.9123", "0.3100", "812",
                       "401", "700 MiB"]  # fmt: skip
    once = merged(page, [new])
    assert merged(once, [new]) == once
    lines = [x for x in once.splitlines() if x.startswith(("| digits", "| mnist", "| fashion"))]
    old = [x for x in page.splitlines() if x.startswith(("| digits", "| mnist", "| fashion"))]
    assert [x for x in lines if x in old] == [x for x in old if "| mnist-5k | Chainrule" not in x]
    places = [k for k, x in enumerate(lines) if x.startswith("| mnist-5k | Chainrule | 3,750")]
    assert len(places) == 1
    assert lines[places[0] - 1].startswith("| digits | support vectors |")
