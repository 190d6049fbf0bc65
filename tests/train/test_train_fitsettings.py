"""The settings of a run: those of `Model.fit`, checked in one place."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any

import pytest

import chainrule as cr
from chainrule.errors import SettingError
from chainrule.train.callbacks import Callback, State
from chainrule.train.fitsettings import NAMES, FitSettings, require_known


def test_the_record_has_the_arguments_of_fit_with_their_defaults() -> None:
    arguments = inspect.signature(cr.Model.fit).parameters.values()
    expected = {x.name: x.default for x in arguments if x.kind is x.KEYWORD_ONLY}
    assert {x.name: x.default for x in fields(FitSettings)} == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 0), ("batch_size", 2.0), ("batch_size", True), ("epochs", -1),
        ("epochs", 1.5), ("threads", 0), ("backend", "gpu"), ("optimizer", "adm"),
        ("optimizer", 3), ("callbacks", [3]), ("callbacks", Callback),
    ],
)  # fmt: skip
def test_settings_are_checked(name: str, value: Any) -> None:
    with pytest.raises(SettingError):
        FitSettings(**{name: value})


def test_a_call_is_no_longer_than_its_run() -> None:
    with pytest.raises(SettingError, match="run is shorter than this call") as caught:
        FitSettings(epochs=3, total_epochs=1)
    assert str(caught.value.fix).startswith("total_epochs=3")
    assert FitSettings(epochs=3, total_epochs=3).total_epochs == 3
    assert FitSettings(total_epochs=1).epochs is None


def test_names_and_iterables_are_resolved_once() -> None:
    class Watching(Callback):
        pass

    def each_epoch(state: State) -> None:
        pass

    watching = Watching()
    settings = FitSettings(
        optimizer="adam", metrics="auc", trainable=(x for x in ["h.*"]),
        callbacks=(x for x in [watching, each_epoch]),
    )  # fmt: skip
    assert settings.optimizer == cr.Adam()
    assert settings.metrics == ("auc",)
    assert settings.trainable == ("h.*",)
    assert isinstance(settings.callbacks, tuple)
    assert settings.callbacks[0] is watching
    assert len(settings.callbacks) == 2
    assert FitSettings(patience=3).stopping == cr.EarlyStopping(patience=3)
    assert FitSettings(metrics=[]).metrics == ()
    assert FitSettings().metrics is None


def test_an_unknown_setting_is_refused_with_the_nearest_name() -> None:
    require_known("fit_many", NAMES)
    with pytest.raises(SettingError, match=r"no setting 'epoch'[^$]*did you mean 'epochs'"):
        require_known("fit_many", ["batch_size", "epoch"])
