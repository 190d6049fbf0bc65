"""Settings of optimizers: what is refused, and plain data there and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chainrule.errors import SettingError
from chainrule.train.optim import (
    OPTIMIZERS,
    SGD,
    Adagrad,
    Adam,
    AdamW,
    optimizer,
    optimizer_from_dict,
    register,
)
from chainrule.train.schedules import Cosine, WarmUp


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: SGD(0.0), r"\[SGD\.rate\]"),
        (lambda: SGD(-1.0), "number above 0"),
        (lambda: SGD(float("nan")), "finite"),
        (lambda: SGD(True), "finite"),
        (lambda: SGD("fast"), "finite"),
        (lambda: SGD(momentum=1.0), "0 <= momentum < 1"),
        (lambda: SGD(nesterov=True), "momentum=0.9"),
        (lambda: SGD(momentum=0.9, nesterov=1), "true or false"),
        (lambda: Adam(beta2=-0.1), "0 <= beta2 < 1"),
        (lambda: Adam(epsilon=0.0), "0 < epsilon"),
        (lambda: Adam(decay=-1.0), "0 <= decay"),
        (lambda: Adam(rates={"w": -1}), r"rates\['w'\]"),
        (lambda: Adam(rates=[0.1]), "pattern"),
        (lambda: Adagrad(initial=-0.5), "0 <= initial"),
        (lambda: optimizer("adamm"), "did you mean 'adam"),
        (lambda: optimizer("sgd", momentun=0.9), "did you mean 'momentum'"),
        (lambda: optimizer("adam", rate={"name": "cosin"}), "did you mean 'cosine'"),
        (lambda: optimizer_from_dict({"rate": 0.1}), "no name"),
    ],
)
def test_settings_that_are_not_valid_are_refused(make: Callable[[], Any], match: str) -> None:
    with pytest.raises(SettingError, match=match):
        make()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_plain_data_round_trip(name: str) -> None:
    plain = OPTIMIZERS[name]()
    full = optimizer(name, decay=0.25, decays={"*.b": 1.0})
    for kind in (plain, full):
        text = json.dumps(kind.to_dict())
        assert optimizer_from_dict(json.loads(text)) == kind
    assert full != plain
    assert full.to_dict()["name"] == name


def test_a_schedule_goes_along_in_the_round_trip() -> None:
    kind = AdamW(WarmUp(Cosine(0.1, final=1e-3), steps=20), rates={"w": 0.5})
    data = json.loads(json.dumps(kind.to_dict()))
    assert data["rate"]["schedule"]["name"] == "cosine"
    assert optimizer_from_dict(data) == kind


def test_names_in_any_spelling_and_numpy_numbers() -> None:
    assert optimizer("AdamW", rate=np.float32(0.5)) == AdamW(0.5)
    assert optimizer("L-BFGS") == optimizer("lbfgs")
    assert type(SGD(np.int64(10)).rate) is float


def test_settings_are_frozen_and_do_not_share_what_they_were_given() -> None:
    factors = {"w": 0.5}
    kind = Adam(rates=factors)
    factors["w"] = 7.0
    assert kind.rates == {"w": 0.5}
    with pytest.raises(AttributeError):
        kind.rate = 1.0  # type: ignore[misc]


def test_a_second_optimizer_of_one_name_is_refused() -> None:
    with pytest.raises(SettingError, match="there is an optimizer 'adam' already"):
        register(Adam)
