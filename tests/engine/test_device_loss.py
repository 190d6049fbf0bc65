"""A device that is lost, and the choice of a device by forecasts: `device="auto"`."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from backend.opencl import device
from chainrule.backend.gpu import backend
from chainrule.backend.gpu.run import devices, runner
from chainrule.backend.gpu.run.driver import Device, Session
from chainrule.backend.registry import _device
from chainrule.costs.device import DeviceSpeeds
from chainrule.engine import deviceprogram
from chainrule.engine.codecache import _known
from chainrule.engine.deviceprogram import DeviceProgram
from chainrule.engine.devices import FAILED
from chainrule.errors import ChainruleWarning, DeviceError, SettingError
from chainrule.train import loop
from chainrule.train.progress import Progress
from engine.test_native_training import DATA, bits

Array = np.ndarray[Any, Any]
ROWS = 40
QUICK = DeviceSpeeds(1e-9, 1e-9, 1e15, 1e15, 1e15, 1e-9, 1e15, 1e-9)
SLOW = DeviceSpeeds(1.0, 1.0, 1e6, 1e6, 1e6, 1.0, 1e6, 1.0)


class Fragile:
    """The driver of the tests' device as two graphics processors, which a test may break.

    Attributes:
        lasts: launches until the device is lost.
        memory, count: of the devices.
        before: called before each launch.
    """

    name = "opencl"

    def __init__(self) -> None:
        self.real = devices.driver_of(device())
        self.lasts, self.launches = 10**9, 0
        self.before: Any = lambda: None
        self.memory, self.count = device().memory, 1

    def devices(self) -> tuple[list[Device], list[str]]:
        one = replace(device(), graphics=True, memory=self.memory, number=0)
        return [one, replace(one, number=1, name="the other one")][: self.count], []

    def session(self, device: Device) -> Session:
        return FragileSession(self, self.real.session(device))


class FragileSession:
    """A session whose calls all fail once its device is lost."""

    def __init__(self, driver: Fragile, real: Session) -> None:
        self._driver, self._real = driver, real

    def __getattr__(self, name: str) -> Any:
        def call(*given: Any) -> Any:
            if name == "replay":
                for launched in given[0]:
                    self.launch(*launched)
                return None
            if name == "launch":
                self._driver.before()
                self._driver.launches += 1
            if self._driver.launches > self._driver.lasts:
                raise DeviceError("device", "the driver failed", got="CL_DEVICE_NOT_AVAILABLE")
            return getattr(self._real, name)(*given)

        return call


@pytest.fixture(autouse=True)
def whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """No step takes so long that it is done in pieces, however busy the machine is."""
    monkeypatch.setattr(runner, "LONG", math.inf)


@pytest.fixture
def driver() -> Iterator[Fragile]:
    def clear() -> None:
        devices.all_devices.cache_clear()
        for x in (_known, FAILED):
            x.clear()
        _device.cache_clear()

    made = Fragile()
    clear()
    with patch.object(devices, "DRIVERS", (made,)):
        yield made
    clear()


class Lines(Progress):
    """Keeps what is told."""

    def __init__(self) -> None:
        self.output: Any = True
        self.told: list[str] = []

    def note(self, text: str) -> None:
        self.told.append(text)


def speeds(of: DeviceSpeeds) -> Any:
    return patch.object(backend, "speeds", lambda *_: of)


def untrained() -> cr.Model:
    x, y = cr.input("x", (7,)), cr.input("y", (1,))
    out = cr.dense(x, 1, name="out")
    return cr.Model(out, cr.squared_error(out, y), seed=3)


def data() -> dict[str, Array]:
    return {k: DATA[k][:ROWS].astype("float32") for k in ("x", "y")}


def trained(epochs: int, device: str, **options: Any) -> cr.Model:
    """A model after a step for each epoch, of all rows."""
    model = untrained()
    model.fit(data(), epochs=epochs, batch_size=ROWS, validation=None, device=device,
              **{"verbose": False} | options)  # fmt: skip
    return model


def near(one: cr.Model, two: cr.Model) -> None:
    assert one.steps == two.steps
    for name, value in two.values.items():
        npt.assert_allclose(one.values[name], value, 1e-4, 1e-6, err_msg=name)


# ---------------------------------------------------------------- lost


@pytest.mark.parametrize("lasts", [0, 1, 7, 50])
def test_the_model_is_that_after_the_last_slice(driver: Fragile, lasts: int) -> None:
    driver.lasts, model = lasts, untrained()
    with pytest.raises(DeviceError, match="the driver failed") as error:
        model.fit(data(), epochs=60, batch_size=ROWS, validation=None, device="gpu",
                  verbose=False)  # fmt: skip
    assert "CL_DEVICE_NOT_AVAILABLE" in str(error.value)
    assert f"the model is that after step {model.steps}" in str(error.value)
    assert model.steps < 60
    assert (model.steps > 0) == (lasts >= 7)
    driver.lasts = 10**9
    want = trained(model.steps, "gpu") if model.steps else untrained()
    kept = bits(model)
    assert {name: kept[name] for name in bits(want)} == bits(want)
    model.fit(data(), epochs=2, batch_size=ROWS, validation=None, verbose=False)
    assert model.steps == want.steps + 2


@pytest.mark.parametrize("small", [True, False])
def test_single_steps_of_a_lost_device(driver: Fragile, small: bool) -> None:
    """The state after the last, or of the last copy, where they are made seldom."""
    if not small:
        here = patch.multiple(deviceprogram, SMALL=0, SHARE=10**9)
        here.start()
    model = untrained()
    for _ in range(3):
        model.step(data(), device="gpu")
    driver.lasts = driver.launches
    with pytest.raises(DeviceError):
        model.step(data(), device="gpu")
    if not small:
        here.stop()
    assert model.steps == (3 if small else 0)
    driver.lasts = 10**9
    want = untrained()
    for _ in range(model.steps):
        want.step(data(), device="gpu")
    kept = bits(model)
    assert {name: kept[name] for name in bits(want)} == bits(want)


# ---------------------------------------------------------------- auto


def test_auto_takes_what_is_predicted_to_be_quickest_and_says_why(driver: Fragile) -> None:
    lines = Lines()
    with speeds(QUICK):
        found = trained(3, "auto", verbose=lines)
    assert driver.launches >= 6
    assert any(x.startswith("device gpu: ") and "; cpu: " in x for x in lines.told)
    assert bits(found) == bits(trained(3, "gpu"))
    lines, before = Lines(), driver.launches
    with speeds(SLOW):
        found = trained(3, "auto", verbose=lines)
    assert driver.launches == before
    assert any(x.startswith("device cpu: ") and "; gpu: " in x for x in lines.told)
    assert bits(found) == bits(trained(3, "cpu"))


@pytest.mark.parametrize("small", [deviceprogram.SMALL, 0])
@pytest.mark.parametrize("lasts", [0, 7, 50])
def test_auto_goes_on_on_the_processor_where_the_device_is_lost(
    driver: Fragile, lasts: int, small: int
) -> None:
    driver.lasts, lines = lasts, Lines()
    share = patch.multiple(deviceprogram, SMALL=small, SHARE=20 if small else 10**9)
    with speeds(QUICK), share:
        found = trained(60, "auto", verbose=lines)
        again = trained(60, "auto")
    assert driver.launches == lasts + 1
    told = [x for x in lines.told if "failed" in x]
    assert told == ["device opencl:0 failed, and cpu goes on: the driver failed: "
                    "CL_DEVICE_NOT_AVAILABLE"]  # fmt: skip
    near(found, trained(60, "cpu"))
    assert len(found.history) == len(again.history) == 60
    assert np.isfinite(found.history["loss"]).all()


def test_auto_tries_another_device_the_next_time(driver: Fragile) -> None:
    driver.lasts, driver.count = 0, 2
    with speeds(QUICK), pytest.warns(ChainruleWarning, match="opencl:0 failed"):
        trained(2, "auto")
    driver.lasts, lines = 10**9, Lines()
    with speeds(QUICK):
        trained(2, "auto", verbose=lines)
    assert any(x.startswith("device gpu:1: ") for x in lines.told)
    assert any(x.endswith("gpu:0 failed before: the driver failed") for x in lines.told)


def test_auto_warns_where_nothing_is_shown(driver: Fragile) -> None:
    driver.lasts = 0
    with speeds(QUICK), pytest.warns(ChainruleWarning, match="opencl:0 failed, and cpu goes on"):
        trained(2, "auto")


def test_auto_where_a_kernel_does_not_build(driver: Fragile) -> None:
    def broken(*_: Any) -> None:
        raise DeviceError("device", "the driver's compiler refuses a kernel", got="nonsense")

    with speeds(QUICK), patch.object(FragileSession, "function", broken, create=True):
        with pytest.raises(DeviceError, match="refuses a kernel"):
            trained(2, "gpu")
        lines = Lines()
        near(trained(2, "auto", verbose=lines), trained(2, "cpu"))
    assert any("refuses a kernel: nonsense" in x for x in lines.told)


def test_memory_that_is_too_small_is_told_before_anything_is_copied(driver: Fragile) -> None:
    driver.memory = 2000
    with (
        patch.object(FragileSession, "write", lambda *_: pytest.fail("copied"), create=True),
        patch.object(FragileSession, "allocate", lambda *_: pytest.fail("taken"), create=True),
        speeds(QUICK),
    ):
        with pytest.raises(SettingError, match=r"too small(.|\n)*expected +2,000 bytes\n +got"):
            trained(2, "gpu")
        lines = Lines()
        near(trained(2, "auto", verbose=lines), trained(2, "cpu"))
    assert any("gpu: the memory of the device is too small" in x for x in lines.told)


def test_auto_without_a_device(driver: Fragile) -> None:
    driver.devices = lambda: ([], ["OpenCL has no platform here"])  # type: ignore[method-assign]
    lines = Lines()
    found = trained(3, "auto", verbose=lines)
    assert "device cpu; OpenCL has no platform here" in lines.told
    assert bits(found) == bits(trained(3, "cpu"))


def test_auto_is_the_processor_for_what_runs_there_alone(driver: Fragile) -> None:
    lines = Lines()
    with speeds(QUICK):
        trained(2, "auto", backend="interpreter", verbose=lines)
        trained(2, "auto", optimizer=cr.LBFGS(), verbose=lines)
        trained(2, "auto", blocks=4, verbose=lines)
    assert [x[:11] for x in lines.told if x.startswith("device")] == ["device cpu:"] * 3
    assert driver.launches == 0


def test_predictions_by_auto(driver: Fragile) -> None:
    model = trained(2, "cpu")
    wanted = model.predict(data())
    with speeds(QUICK):
        npt.assert_allclose(model.predict(data(), device="auto"), wanted, 1e-4, 1e-6)
        assert driver.launches > 0
        driver.lasts = 0
        with pytest.warns(ChainruleWarning, match="and cpu goes on"):
            found = model.predict(data(), device="auto")
        npt.assert_array_equal(found, wanted)
        npt.assert_array_equal(model.predict(data(), device="auto"), wanted)
    driver.lasts = 10**9
    FAILED.clear()
    with speeds(QUICK), pytest.raises(cr.errors.FeedError):
        model.predict({"x": np.zeros((3, 6), "float32")}, device="auto")
    assert not FAILED


# ---------------------------------------------------------------- two of them, and Ctrl-C


def test_two_devices(driver: Fragile) -> None:
    driver.count = 2
    one, two = trained(3, "gpu:0"), trained(3, "gpu:1")
    assert bits(one) == bits(two)
    assert devices.choose("gpu").word == "opencl:0"
    assert devices.choose("opencl:the other").word == "opencl:1"


def test_two_models_in_two_threads_on_one_device(driver: Fragile) -> None:
    found: dict[int, cr.Model] = {}
    threads = [
        threading.Thread(target=lambda k=k: found.update({k: trained(20 + k, "gpu")}))
        for k in range(2)
    ]
    for x in threads:
        x.start()
    for x in threads:
        x.join()
    assert [bits(found[k]) for k in range(2)] == [bits(trained(20 + k, "gpu")) for k in range(2)]


def calls(driver: Fragile, seconds: float, steps: int) -> list[tuple[int, float]]:
    """The steps and the seconds of each call, by a clock that goes on with launches alone.

    seconds: that a launch takes.
    """
    made, now, ran = list[tuple[int, float]](), [0.0], DeviceProgram.run

    def launched() -> None:
        now[0] += seconds

    def run(self: DeviceProgram, data: Any, batches: Any, *given: Any, **named: Any) -> Any:
        before = now[0]
        losses = ran(self, data, batches, *given, **named)
        made.append((len(batches), now[0] - before))
        return losses

    driver.before = launched
    clock = patch.object(loop, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    with clock, patch.object(DeviceProgram, "run", run):
        trained(steps, "gpu")
    return made


@pytest.mark.parametrize(("seconds", "steps"), [(1e-4, 300), (1e-3, 100), (0.5, 3)])
def test_calls_take_a_slice_or_one_step(driver: Fragile, seconds: float, steps: int) -> None:
    """So Ctrl-C takes effect soon, however long a launch takes."""
    made = calls(driver, seconds, steps)
    one = made[0][1] / made[0][0]
    assert max(x for _, x in made) <= 1.001 * max(loop.SLICE_SECONDS, one)
    assert (max(x for x, _ in made) > 1) == (one < loop.SLICE_SECONDS)


def test_interrupts_end_a_run_after_the_call_that_goes_on(driver: Fragile) -> None:
    """Calls are cut to SLICE_SECONDS, so that no more is done than a part of a second takes."""
    model, calls = untrained(), list[int]()
    from chainrule.backend.gpu.run.runner import Runner  # noqa: PLC0415

    run = Runner.run

    def counted(self: Runner, *given: Any, **named: Any) -> Any:
        calls.append(len(given[1]) - 1)
        return run(self, *given, **named)

    def interrupt() -> None:
        if len(calls) == 4:
            driver.before = lambda: None
            signal.raise_signal(signal.SIGINT)

    driver.before = interrupt
    with patch.object(Runner, "run", counted), pytest.raises(KeyboardInterrupt):
        model.fit(data(), epochs=10_000, batch_size=ROWS, validation=None, device="gpu",
                  verbose=False)  # fmt: skip
    assert len(calls) == 4
    assert model.steps == sum(calls)
    driver.before = lambda: None
    assert bits(model) == bits(trained(model.steps, "gpu"))
