"""One check of integers, whatever they are settings of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import SettingError
from chainrule.system.checks import as_integer, integer


@pytest.mark.parametrize("value", [3, np.int32(3), np.uint8(3), np.array(3)])
def test_integers_of_any_type(value: Any) -> None:
    number = integer("fit", "epochs", value, 3)
    assert (number, type(number)) == (3, int)


@pytest.mark.parametrize(
    "value", [2, -3, True, np.True_, 3.0, np.float64(3), "3", None, np.array([3, 4]), [3]]
)
def test_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(SettingError, match="epochs is not an integer of at least 3") as caught:
        integer("fit", "epochs", value, 3)
    assert caught.value.got == repr(value)


@pytest.mark.parametrize(
    ("word", "meant"), [("tanh", True), ("none", False), (None, False), (1, True), ("No", False)]
)
def test_words_for_true_and_false_are_refused_with_what_to_type(word: Any, meant: bool) -> None:
    with pytest.raises(SettingError, match="neither True nor False") as caught:
        cr.gelu(cr.input("x", (2,)), approximate=word)
    assert caught.value.fix == f"approximate={meant}"


def test_without_a_bound() -> None:
    assert as_integer(-7) == -7
    assert as_integer(7.0) is None


@pytest.mark.parametrize(
    "call",
    [
        lambda: cr.dense(cr.input("x", (2,)), 0),
        lambda: cr.schedules.Cosine(0.1, restarts=-1),
        lambda: cr.EarlyStopping(patience=0),
        lambda: cr.var(cr.input("x", (2,)), ddof=-1),
        lambda: cr.MLPRegressor(max_iter=0).fit([[1.0], [2.0]], [1.0, 2.0]),
        lambda: small().fit({"x": np.ones((4, 2))}, batch_size=0, verbose=False),
        lambda: small().fit({"x": np.ones((4, 2))}, epochs=-1, verbose=False),
        lambda: small().plan(batch_size=0),
        lambda: cr.data.holdout(10, 0.5, seed=-1),
    ],
)
def test_the_same_words_everywhere(call: Any) -> None:
    with pytest.raises(SettingError, match=r"an integer of at least [01]"):
        call()


def small() -> cr.Model:
    x = cr.input("x", (2,))
    y = cr.dense(x, 1)
    return cr.Model(y, cr.mean(y))
