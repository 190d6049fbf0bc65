"""Several epochs in one call on a device: their scores and states are taken there, in pauses."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from test_device_loss import QUICK, Fragile, Lines, driver, speeds, untrained, whole

import chainrule as cr
from backend.opencl import WORD, as_if, device, joining
from chainrule.backend.gpu.emit import module
from chainrule.backend.gpu.run.following import Following
from chainrule.engine.deviceprogram import DeviceProgram
from chainrule.engine.devicerows import DeviceRows
from chainrule.errors import DeviceError, NotFinite
from chainrule.train.loop import Run
from chainrule.train.schedules import Schedule
from engine.test_native_training import bits

__all__ = ["driver", "whole"]

Array = np.ndarray[Any, Any]
NUMBERS = np.random.default_rng(3)
DATA = {
    "x": NUMBERS.standard_normal((90, 7)).astype("float32"),
    "t": NUMBERS.integers(0, 3, 90).astype("int32"),
}


def classifier() -> cr.Model:
    x, t = cr.input("x", (7,)), cr.input("t", (), dtype="int32")
    z = cr.dense(cr.dense(x, 12, "tanh", name="hidden"), 3, name="out")
    return cr.Model(z, cr.cross_entropy(z, t), seed=1)


@contextmanager
def calls(at_once: int) -> Iterator[list[int]]:
    """Calls of at most so many epochs where epochs may share one; the steps of each."""
    made, ran, counted = list[int](), DeviceProgram.run, Run._at_once

    def run(self: DeviceProgram, data: Any, batches: Any, *given: Any, **named: Any) -> Any:
        made.append(len(batches))
        return ran(self, data, batches, *given, **named)

    def several(self: Run) -> int:
        self._slice = 10**6
        return min(counted(self), at_once)

    with patch.object(DeviceProgram, "run", run), patch.object(Run, "_at_once", several):
        yield made


def fitted(at_once: int, **options: Any) -> tuple[cr.Model, list[int]]:
    model = classifier()
    given = {"epochs": 12, "batch_size": 16, "validation": 0.3, "device": WORD, "verbose": False}
    with calls(at_once) as made:
        model.fit(DATA, **given | options)
    return model, made


def columns(model: cr.Model) -> dict[str, list[float]]:
    found = {name: list(model.history[name]) for name in model.history.columns}
    return {name: x for name, x in found.items() if name != "seconds"}


KINDS: dict[str, dict[str, Any]] = {
    "each kernel": {"joins": False}, "many steps a launch": {"joins": True},
    "joined kernels": {"joins": True, "small": 0},
}  # fmt: skip


@contextmanager
def launched(joins: bool, small: int = module.SMALL) -> Iterator[None]:
    traits = replace(joining() if joins else device().traits, joins=joins)
    with as_if(traits=traits), patch.object(module, "SMALL", small):
        yield


@pytest.mark.parametrize("kind", KINDS)
def test_epochs_of_one_call_have_the_rows_and_the_best_state_of_epochs_alone(kind: str) -> None:
    options = {"metrics": ["accuracy"], "optimizer": cr.Adam(0.05)}
    with launched(**KINDS[kind]):
        alone, one = fitted(1, **options)
        together, many = fitted(100, **options)
    assert max(one) == 4
    assert max(many) >= 4 * 10
    assert columns(together) == columns(alone)
    assert bits(together) == bits(alone)
    assert alone.history["validation_loss"].argmin() < 11  # the best state is an earlier one


def test_only_the_first_epochs_are_scored_one_by_one() -> None:
    """All others follow the steps on the device."""
    scored, taken = list[int](), list[bool]()
    ran, took = DeviceRows.__call__, Following.take

    def counted(self: DeviceRows, *given: Any) -> Any:
        scored.append(len(given[2]))
        return ran(self, *given)

    def take(self: Following) -> bool:
        taken.append(took(self))
        return taken[-1]

    with patch.object(DeviceRows, "__call__", counted), patch.object(Following, "take", take):
        model, many = fitted(100)
    assert len(scored) + len(taken) == len(model.history) == 12
    assert len(scored) == sum(x <= 4 for x in many) <= 2
    assert taken.count(True) == sum(x > 4 for x in many)


@pytest.mark.parametrize(
    "options",
    [
        {"keep_best": False}, {"patience": 2, "optimizer": cr.SGD(3.0)}, {"metrics": ["f1"]},
        {"optimizer": cr.SGD(cr.schedules.Exponential(0.3))}, {"shuffle": False},
    ],
)  # fmt: skip
def test_settings_of_runs(options: dict[str, Any]) -> None:
    alone, together = fitted(1, **options)[0], fitted(100, **options)[0]
    assert columns(together) == columns(alone)
    assert bits(together) == bits(alone)


@dataclass(frozen=True)
class Failing(Schedule):
    """Step 30 is not finite."""

    def at(self, steps: Any, total: float) -> Any:
        return np.where(steps == 30, 1e38, 0.1)


def test_a_failed_step_ends_the_run_with_the_rows_before_it() -> None:
    found = []
    for at_once in (1, 100):
        model = classifier()
        with calls(at_once), pytest.raises(NotFinite) as error:
            model.fit(DATA, epochs=12, batch_size=16, validation=0.3, device=WORD, verbose=False,
                      optimizer=cr.SGD(Failing()), keep_best=False)  # fmt: skip
        found.append((columns(model), bits(model), error.value.at, model.steps))
    assert found[0] == found[1]
    assert 0 < len(found[0][0]["epoch"]) < 12


def test_ctrl_c_keeps_the_epochs_that_are_done() -> None:
    model, ran = classifier(), DeviceProgram.run

    def run(self: DeviceProgram, data: Any, batches: Any, *given: Any, **named: Any) -> Any:
        losses = ran(self, data, batches, *given, **named)
        if len(batches) > 4:
            signal.raise_signal(signal.SIGINT)
        return losses

    with calls(5), patch.object(DeviceProgram, "run", run), pytest.raises(KeyboardInterrupt):
        model.fit(DATA, epochs=100, batch_size=16, validation=0.3, device=WORD, verbose=False,
                  keep_best=False)  # fmt: skip
    epochs = len(model.history)
    assert 4 < epochs < 100
    want = fitted(1, epochs=epochs, keep_best=False)[0]
    assert columns(model) == columns(want)
    assert bits(model) == bits(want)


def test_validation_that_does_not_fit_beside_the_data_is_scored_epoch_by_epoch() -> None:
    with patch("chainrule.engine.pauses.MOST_RESULTS", 10):
        model, made = fitted(100)
    assert max(made) == 4
    assert columns(model) == columns(fitted(1)[0])
    with as_if(memory=2**25):
        small, made = fitted(100)
    assert max(made) == 4
    assert columns(small) == columns(model)


@pytest.mark.parametrize("lasts", [200, 300, 331])
def test_where_the_device_is_lost_in_a_pause(driver: Fragile, lasts: int) -> None:
    data = {"x": DATA["x"], "y": DATA["x"][:, :1]}
    driver.lasts, lines, model = lasts, Lines(), untrained()
    options = {"epochs": 40, "batch_size": 16, "validation": 0.3}
    with speeds(QUICK), calls(100) as made:
        model.fit(data, device="auto", verbose=lines, **options)
    assert max(made) > 4
    assert any("and cpu goes on" in x for x in lines.told)
    assert driver.launches == lasts + 1
    assert len(model.history) == 40
    assert np.isfinite(model.history["validation_loss"]).all()
    want = untrained()
    want.fit(data, verbose=False, **options)
    np.testing.assert_allclose(model.history["validation_loss"], want.history["validation_loss"],
                               1e-3)  # fmt: skip
    driver.launches, other = 0, untrained()
    with calls(100), pytest.raises(DeviceError) as error:
        other.fit(data, device="gpu", verbose=False, **options)
    assert f"the model is that after step {other.steps}" in str(error.value)
