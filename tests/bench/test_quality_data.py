"""The recipe on real tables that are fetched: one call reaches an error that is easy to reach."""

from __future__ import annotations

import pytest

from bench.quality.prepare import prepare
from bench.quality.worker import run
from bench.systems import OURS


@pytest.mark.network
@pytest.mark.parametrize(
    ("name", "most"),
    [("wine", 0.1), ("breast-cancer", 0.07), ("diabetes", 62), ("california", 0.58),
     ("adult", 0.15), ("letter", 0.08)],
)  # fmt: skip
def test_the_recipe_learns_real_tables(name: str, most: float) -> None:
    prepare(name)
    assert run(name, seed=0, learner=f"{OURS} fast", threads=2)["error"] < most
