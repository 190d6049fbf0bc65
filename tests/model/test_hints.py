"""Hints: each trouble is named, and a healthy run is left in peace."""

from __future__ import annotations

from typing import Any

import pytest

from chainrule.model.learning.hints import hints
from chainrule.train.history import History


def layer(**changes: Any) -> dict[str, Any]:
    quantiles = [[0.0, 0.1, 0.2, 0.3, 0.4]]
    return {
        "name": "dense", "what": "dense, tanh", "units": 8, "gradients": quantiles,
        "updates": [1e-3], "dead": [0], "saturated": [0], "killed": [], **changes,
    }  # fmt: skip


HEALTHY = ([1.0, 0.5, 0.3, 0.2, 0.1, 0.1], [1.0, 0.5, 0.3, 0.2, 0.11, 0.1])
Losses = tuple[list[float], list[float]]


def found(layers: list[dict[str, Any]], losses: Losses = HEALTHY, epoch: int = 6) -> list[str]:
    history = History()
    for k, loss in enumerate(losses[0]):
        held = {"validation_loss": losses[1][k]} if losses[1] else {}
        history.append({"epoch": k + 1, "loss": loss, **held})
    guess = {"loss": 1.1, "told": "guessing the class shares"}
    return hints(layers, guess, history, epoch)


def test_a_healthy_run_has_no_hints() -> None:
    assert found([layer(), layer(), layer()]) == []
    assert found([layer(dead=[8])], epoch=0) == []


GRADIENT = [[0.0, 1e-9, 1e-8, 1e-7, 1e-6]]


@pytest.mark.parametrize(
    ("layers", "losses", "said"),
    [
        ([layer(dead=[3], killed=[{"unit": 0, "epoch": 4}]), layer()], HEALTHY,
         "3 of 8 units of dense give the same number on every row, since epoch 4"),
        ([layer(saturated=[8]), layer()], HEALTHY, "8 of 8 units of dense lie at the ends"),
        ([layer(gradients=GRADIENT), layer(), layer(), layer()], HEALTHY,
         "20,000,000 times smaller than at the last one"),
        ([layer(updates=[0.25]), layer()], HEALTHY, "change by 25 % in a step"),
        ([layer(updates=[1e-9]), layer(updates=[1e-8])], HEALTHY, "Try a higher rate"),
        ([layer(), layer()], ([1.1] * 6, []),
         "After 6 epochs the loss is 1.1, no better than 1.1"),
        ([layer(), layer()],
         ([1.0, 0.5, 0.2, 0.1, 0.05, 0.01], [1.0, 0.6, 0.5, 0.6, 0.8, 0.9]),
         "lowest in epoch 3, and is 1.8 times as high"),
    ],
)  # fmt: skip
def test_a_trouble_is_named(layers: list[dict[str, Any]], losses: Losses, said: str) -> None:
    (told,) = found(layers, losses)
    assert said in told
    assert "Try" in told


def test_relu_is_not_advised_where_it_is_there_and_ratios_end_at_a_billion() -> None:
    nothing = [[0.0, 1e-30, 1e-28, 1e-7, 1e-6]]
    (told,) = found([layer(gradients=nothing, what="dense, relu"), layer(), layer(), layer()])
    assert "is over 1,000,000,000 times smaller than at the last one" in told
    assert "Try a normalisation" in told


def test_the_output_layer_is_not_told_dead() -> None:
    assert found([layer(), layer(dead=[8])]) == []


def test_pixels_that_pooling_passes_by_and_tables_are_no_trouble() -> None:
    passed = layer(what="conv 3x3, relu", gradients=[[0.0, 0.0, 0.0, 0.0, 0.3]])
    assert found([passed, layer(), layer(), layer()]) == []
    assert found([layer(what="embedding", dead=[8]), layer(), layer()]) == []
    (told,) = found([{**passed, "gradients": [[0.0] * 4 + [1e-9]]}, layer(), layer(), layer()])
    assert "smaller than at the last one" in told
