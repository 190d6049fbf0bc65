"""Epochs that run several in a call, with validation: the numbers are those of one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.train import loop
from chainrule.train.metrics import find_metric
from chainrule.train.metrics.each import EACH

ROWS = 150


def classes(h: cr.Node, x: Any) -> tuple[cr.Node, cr.Node, Any]:
    z, t = cr.dense(h, 3), cr.input("t", (), dtype="int32")
    return z, cr.cross_entropy(z, t), (x[:, 0] > 0) + 1 * (x[:, 1] > 0)


def numbers(h: cr.Node, x: Any) -> tuple[cr.Node, cr.Node, Any]:
    z, t = cr.dense(h, 2), cr.input("t", (2,))
    return z, cr.squared_error(z, t), np.stack([x[:, 0] * x[:, 1], np.sin(x[:, 2])], axis=1)


def yes_or_no(h: cr.Node, x: Any) -> tuple[cr.Node, cr.Node, Any]:
    z, t = cr.dense(h, 1)[:, 0], cr.input("t", (), dtype="int32")
    return z, cr.binary_cross_entropy(z, t), x[:, 0] > 0


def penalised(h: cr.Node, x: Any) -> tuple[cr.Node, cr.Node, Any]:
    z, loss, t = numbers(h, x)
    return z, loss + cr.l2(h, strength=0.01), t


def two(h: cr.Node, x: Any) -> tuple[cr.Node, cr.Node, Any]:
    z, loss, t = numbers(cr.batch_norm(h), x)
    return z, loss + cr.squared_error(cr.dense(h, 2), z), t


HEADS = (classes, numbers, yes_or_no, penalised, two)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of epochs of the calls that had several."""
    found: list[int] = []
    real = loop.Run._epochs

    def counted(self: loop.Run, count: int, begun: float) -> None:
        found.append(count)
        real(self, count, begun)

    monkeypatch.setattr(loop.Run, "_epochs", counted)
    return found


def trained(head: Callable[..., Any], **settings: Any) -> list[object]:
    """All that a run leaves, and then another one."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 4)).astype("float32")
    z, loss, t = head(cr.dense(cr.input("x", (4,)), 16, "relu"), x)
    model, found = cr.Model(z, loss), list[object]()
    for epochs in (120, 5):
        error = ""
        try:
            model.fit(
                {"x": x, "t": t}, epochs=epochs, verbose=False, batch_size=16,
                **{"validation": 0.3, **settings},
            )  # fmt: skip
        except cr.errors.NotFinite as raised:
            error = str(raised)
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in model.history]
        state = {**model.values, **model.slots}
        found += [
            repr(rows),
            error,
            model.steps,
            {k: np.array(x).tobytes() for k, x in state.items()},
        ]
    return found


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"keep_best": False, "optimizer": cr.SGD(0.05, momentum=0.9)},
        {"patience": 5, "optimizer": cr.Adam(cr.schedules.Cosine(0.02))},
        {"optimizer": cr.SGD(1e5), "metrics": []},
    ],
    ids=["best", "last", "patience", "diverges"],
)
def test_a_run_has_the_same_bits(
    head: Callable[..., Any],
    settings: dict[str, Any],
    counts: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    together = trained(head, **settings)
    if "patience" not in settings and "metrics" not in settings:
        assert sum(counts) > 20 or head is two  # which has two objectives: one by one
    counts.clear()
    monkeypatch.setattr(loop.Run, "_at_once", lambda self: 1)
    assert trained(head, **settings) == together
    assert not counts


def test_other_metrics_and_callbacks_are_asked_after_every_epoch(counts: list[int]) -> None:
    seen = []
    trained(classes, metrics=["f1"])
    trained(classes, callbacks=[lambda state: seen.append(state.model.value("dense.b").copy())])
    assert not counts
    assert len(seen) == 125


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("n", [1, 2, 9, 130, 1000, 9001])
def test_metrics_of_many_predictions_are_those_of_each(n: int, count: int) -> None:
    rng = np.random.default_rng(n)
    accuracy = find_metric("accuracy").function("classification")
    rmse = find_metric("rmse").function("regression")
    for metric, target, predictions in (
        (accuracy, rng.integers(0, 3, n), rng.random((count, n, 3))),
        (accuracy, rng.integers(0, 2, n), rng.random((count, n))),
        (rmse, rng.normal(size=n), rng.normal(size=(count, n))),
        (rmse, rng.normal(size=(n, 3)), rng.normal(size=(count, n, 3))),
        (rmse, rng.normal(size=n).astype("f4"), rng.normal(size=(count, n)).astype("f4")),
    ):
        rows, values = EACH[metric](target, predictions)
        assert not rows.broken
        assert [float(x) for x in values] == [metric(target, x) for x in predictions]
