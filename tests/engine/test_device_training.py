"""Training and prediction on a device, against the interpreter, and what goes wrong there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from backend.opencl import WORD, as_if, device
from chainrule.backend.gpu.emit import dialect
from chainrule.backend.gpu.run import devices, failures, opencl
from chainrule.backend.gpu.run.data import Data
from chainrule.engine.devicerows import DeviceRows
from chainrule.errors import DeviceError, DTypeError, GraphError, NotFinite, SettingError
from chainrule.train import loop
from chainrule.train.optim import OPTIMIZERS, Optimizer
from engine.test_native_training import (
    DATA,
    NETWORKS,
    TOLERANCES,
    Made,
    bits,
    fit,
    trained,
)
from model.test_ranks import data_of, dense, normalised, picture, sequence, table

Array = np.ndarray[Any, Any]


@pytest.fixture(autouse=True)
def _on_a_device() -> None:
    device()


def small(dtype: str) -> tuple[cr.Model, dict[str, Any]]:
    """A few kernels: a processor's driver compiles each slowly."""
    x, t = cr.input("x", (7,), dtype=dtype), cr.input("t", (), dtype="int32")
    z = cr.dense(cr.dropout(cr.dense(x, 12, "relu"), 0.2), 3)
    model = cr.Model(z, cr.cross_entropy(z, t), seed=2)
    return model, {"optimizer": cr.Adam(0.01), "batch_size": 32, "epochs": 20}


@pytest.mark.parametrize(
    "made", [small, *(pytest.param(x, marks=pytest.mark.soak) for x in NETWORKS)]
)
def test_a_hundred_steps_are_those_of_the_interpreter(made: Made) -> None:
    here, plain = trained(made, "float32", device=WORD), trained(made, "float32")
    assert here.steps == plain.steps >= 100
    relative, absolute = TOLERANCES["float32"]
    npt.assert_allclose(here.history["loss"], plain.history["loss"], relative)
    for values, others in ((here.values, plain.values), (here.slots, plain.slots)):
        assert values.keys() == others.keys()
        for name, value in others.items():
            scale = np.abs(value).max(initial=1e-3)
            npt.assert_allclose(values[name], value, relative, absolute * scale, err_msg=name)


@pytest.mark.soak
@pytest.mark.parametrize("rule", ["adam", "momentum"])
@pytest.mark.parametrize("make", [dense, normalised, table, picture, sequence])
def test_whole_runs_end_as_on_the_interpreter(make: Callable[[], cr.Model], rule: str) -> None:
    found = []
    for options in ({"device": WORD}, {"backend": "interpreter"}):
        model = make()
        optimizer = cr.Adam(2e-3) if rule == "adam" else cr.SGD(0.02, momentum=0.9)
        model.fit(data_of(model), epochs=34, batch_size=50, optimizer=optimizer, verbose=False,
                  validation=None, keep_best=False, **options)  # fmt: skip
        assert model.steps >= 100
        found.append(model)
    npt.assert_allclose(found[0].history["loss"], found[1].history["loss"], 2e-3)
    for name, value in found[1].values.items():
        scale = np.abs(value).max(initial=1e-2)
        npt.assert_allclose(found[0].values[name], value, 1e-2, 1e-2 * scale, err_msg=name)


def test_the_same_bits_again_and_for_any_cut_into_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    want = bits(trained(small, "float32", epochs=3, device=WORD))
    assert bits(trained(small, "float32", epochs=3, device=WORD)) == want
    monkeypatch.setattr(loop, "SLICE_SECONDS", 1e-9)
    assert bits(trained(small, "float32", epochs=3, device=WORD)) == want


def test_float64_is_near_the_interpreter() -> None:
    if not device().traits.float64:
        pytest.skip("the device has no float64")
    here, plain = (trained(small, "float64", epochs=2, **x) for x in ({"device": WORD}, {}))
    for name, value in plain.values.items():
        npt.assert_allclose(here.values[name], value, 1e-10, 1e-11, err_msg=name)


def linear(rule: Optimizer | str = "sgd", **options: Any) -> cr.Model:
    x, y = cr.input("x", (7,)), cr.input("y", (1,))
    out = cr.dense(x, 1, name="out")
    model = cr.Model(out, cr.squared_error(out, y), seed=3)
    fit(model, optimizer=rule, epochs=2, batch_size=40, **options)
    return model


OFTEN = ("adam", "sgd", "lbfgs")


@pytest.mark.parametrize(
    "name", [x if x in OFTEN else pytest.param(x, marks=pytest.mark.soak) for x in OPTIMIZERS]
)
def test_all_optimizers(name: str) -> None:
    here, plain = linear(name, device=WORD), linear(name, backend="interpreter")
    for key, value in plain.values.items():
        npt.assert_allclose(here.values[key], value, 1e-4, 1e-5, err_msg=key)
    before = linear(cr.SGD(1e-9))
    assert any(np.abs(here.values[k] - before.values[k]).max() > 1e-4 for k in here.values)


# ---------------------------------------------------------------- predictions


def test_predictions_and_single_steps() -> None:
    model, other = small("float32")[0], small("float32")[0]
    data = {"x": DATA["x"].astype("float32"), "t": DATA["t"]}
    batch = {name: x[:40] for name, x in data.items()}
    for _ in range(3):
        npt.assert_allclose(model.step(batch, device=WORD), other.step(batch), 1e-4)
    wanted = model.predict(data)
    npt.assert_allclose(model.predict(data, device=WORD), wanted, 1e-4, 1e-5)
    found = model.predict({"x": data["x"][:1]}, device=WORD)
    npt.assert_allclose(found, wanted[:1], 1e-4, 1e-5)
    assert model.predict({"x": data["x"][:0]}, device=WORD).shape == (0, 3)
    node = model.graph.name(model.outputs[0].inputs[0])
    one, two = (model.predict(data, outputs=node, **x) for x in ({}, {"device": WORD}))
    npt.assert_allclose(two, one, 1e-4, 1e-5)


def test_predictions_follow_the_model() -> None:
    model = linear()
    data = {"x": DATA["x"].astype("float32")}
    first = model.predict(data, device=WORD)
    fit(model, epochs=1)
    later = model.predict(data, device=WORD)
    assert np.abs(later - first).max() > 1e-4
    npt.assert_allclose(later, model.predict(data), 1e-4, 1e-5)


def test_a_model_trained_on_a_device_is_saved_without_it_and_predicts_everywhere(
    tmp_path: Path,
) -> None:
    model = trained(small, "float32", epochs=1, device=WORD)
    model.save(tmp_path / "model")
    for path in tmp_path.rglob("*"):
        kept = path.read_bytes() if path.is_file() else b""
        assert not [x for x in ("opencl", "gpu", device().name) if x.encode() in kept]
    loaded, data = cr.load(tmp_path / "model"), {"x": DATA["x"].astype("float32")}
    wanted = np.asarray(model.predict(data))
    npt.assert_array_equal(np.asarray(loaded.predict(data)), wanted)
    npt.assert_allclose(np.asarray(loaded.predict(data, device=WORD)), wanted, 1e-4, 1e-5)


def test_an_index_out_of_range_is_named() -> None:
    words = cr.input("words", (4,), dtype="int32")
    out = cr.flatten(cr.embedding(words, 9, 3))
    model = cr.Model(out, seed=0)
    with pytest.raises(cr.errors.FeedError, match="row 1"):
        model.predict({"words": np.array([[0, 1, 2, 3], [0, 1, 2, 9]], "int32")}, device=WORD)


# ---------------------------------------------------------------- what goes wrong


def failing() -> tuple[cr.Model, dict[str, Array]]:
    x, y = cr.input("x", (7,)), cr.input("y", (1,))
    out = cr.dense(x, 1, name="out")
    model = cr.Model(out, cr.squared_error(out, y), seed=3)
    data = {"x": DATA["x"].astype("float32"), "y": DATA["y"].astype("float32")}
    data["y"][57] = 1e30
    return model, data


def test_a_step_that_is_not_finite_is_not_taken_and_named_as_on_the_processor() -> None:
    told, states = [], []
    for options in ({"device": WORD}, {}):
        model, data = failing()
        with pytest.raises(NotFinite) as error:
            model.fit(data, epochs=1, batch_size=10, shuffle=False, validation=None,
                      verbose=False, optimizer="adam", **options)  # fmt: skip
        told.append(str(error.value))
        states.append(model)
        assert model.steps == 5
    assert told[0] == told[1]
    assert "step 6" in told[0]
    for name, value in states[1].values.items():
        npt.assert_allclose(states[0].values[name], value, 1e-4, 1e-6)


@pytest.mark.parametrize(
    ("word", "match"),
    [
        ("gpux", r"no device is named 'gpux'"),
        ("opencl:99", r"there is no device 'opencl:99'\n +expected +opencl:0, "),
        ("opencl:no such name", r"no device has 'no such name' in the name"),
        ("", r"no device is named ''"),
    ],
)
def test_words_that_name_no_device(word: str, match: str) -> None:
    for call in (linear, lambda **x: linear().predict({"x": DATA["x"]}, **x)):
        with pytest.raises(SettingError, match=match):
            call(device=word)


def test_gpu_is_a_graphics_processor() -> None:
    here = replace(device(), graphics=False)
    with (
        patch.object(devices, "all_devices", lambda: ((here,), ())),
        pytest.raises(SettingError, match="no graphics processor") as error,
    ):
        devices.choose("gpu")
    assert f"device='{here.word}'" in str(error.value)
    graphics = replace(here, graphics=True)
    with patch.object(devices, "all_devices", lambda: ((here, graphics, graphics), ())):
        assert devices.choose("gpu:1") is graphics
        assert devices.choose(f"opencl:{here.name}") if here.name != graphics.name else True


@pytest.mark.parametrize("graphics", [False, True])
def test_where_opencl_has_processors_alone_a_driver_for_graphics_is_told(graphics: bool) -> None:
    made = opencl._device
    found = patch.object(opencl, "_device", lambda *x: replace(made(*x), graphics=graphics))
    device()
    with found:
        some, refused = opencl.OpenCL().devices()
    assert some
    told = [x for x in refused if "install the driver of the graphics processor's vendor" in x]
    assert len(told) == (not graphics)


def test_without_a_device_the_reason_is_told() -> None:
    nothing: tuple[Any, Any] = ((), ("OpenCL has no platform here: install a driver",))
    with (
        patch.object(devices, "all_devices", lambda: nothing),
        pytest.raises(DeviceError, match=r"no device can be used(.|\n)*install a driver"),
    ):
        devices.choose("gpu")


def test_without_the_library_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['pyopencl'] = None\n"
        "import chainrule as cr\n"
        "try: cr.train('penguins', 'species', device='gpu', verbose=False)\n"
        "except cr.errors.MissingExtra as error: print(error)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert 'pip install "chainrule[gpu]"' in told.stdout, told.stderr


def test_training_on_the_processor_loads_no_driver() -> None:
    code = (
        "import sys, numpy as np, chainrule as cr\n"
        "x, y = cr.input('x', (2,)), cr.input('y', (1,))\n"
        "out = cr.dense(x, 1)\n"
        "model = cr.Model(out, cr.squared_error(out, y))\n"
        "model.fit({'x': np.ones((8, 2)), 'y': np.ones((8, 1))}, epochs=1, verbose=False)\n"
        "model.predict({'x': np.ones((8, 2))})\n"
        "drivers = 'pyopencl', 'cuda', 'chainrule.backend.gpu'\n"
        "print([x for x in sys.modules if x.startswith(drivers)])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert told.stdout.strip() == "[]", told.stderr


def test_too_little_memory_is_told_before_training() -> None:
    two = pytest.raises(SettingError, match="two minibatches of the data set")
    with as_if(memory=2000), two as error:
        linear(device=WORD)
    assert "a smaller batch_size, or device='cpu'" in str(error.value)
    with as_if(memory=1000), pytest.raises(SettingError, match="too small for the parameters"):
        linear(device=WORD)


def test_a_data_set_larger_than_the_memory_gives_the_same_bits() -> None:
    want = bits(linear(device=WORD))
    whole = patch.object(Data, "_upload", side_effect=AssertionError("it fits"))
    with as_if(memory=5400), whole:
        assert bits(linear(device=WORD)) == want


def test_a_device_without_float64() -> None:
    """float32 models train, with steps' inputs in float32; others are refused before training."""
    with as_if(traits=replace(device().traits, float64=False)):
        here = linear("adam", device=WORD)
        with pytest.raises(DTypeError, match="the device has no float64"):
            trained(small, "float64", epochs=1, device=WORD)
    for name, value in linear("adam", backend="interpreter").values.items():
        npt.assert_allclose(here.values[name], value, 1e-3, 1e-4, err_msg=name)


def test_a_kernel_that_does_not_build_is_named() -> None:
    text = dialect.head(float64=False)
    text += "// hidden.matmul\nKERNEL(1) broken(GLOBAL i64 *frame) { nonsense; }\n"
    session = devices.driver_of(device()).session(device())
    with pytest.raises(DeviceError, match="compiler refuses a kernel") as error:
        session.function(text, "broken")
    assert "'hidden.matmul'" in str(error.value)
    assert "nonsense" in str(error.value)


def test_an_op_that_has_no_lowering_is_refused() -> None:
    own = cr.op("own", forward=lambda x: x * 2, gradient=lambda gy, y, x: (gy * 2,))
    x, y = cr.input("x", (7,)), cr.input("y", (1,))
    out = own(cr.dense(x, 1))
    model = cr.Model(out, cr.squared_error(out, y))
    with pytest.raises(GraphError, match="on the processor alone"):
        fit(model, epochs=1, device=WORD)


def test_a_process_that_was_forked_from_one_with_a_device_is_refused() -> None:
    with patch.object(failures, "_users", {1}), pytest.raises(DeviceError, match="forked"):
        devices.driver_of(device()).session(device())


def test_models_of_many_train_on_a_device() -> None:
    models = [linear() for _ in range(3)]
    data = {"x": DATA["x"].astype("float32"), "y": DATA["y"].astype("float32")}
    cr.fit_many(models, data, epochs=1, device=WORD, verbose=False, validation=None)
    assert len({x.values["out.w"].tobytes() for x in models}) == 1


def test_the_interpreter_is_of_the_processor_alone() -> None:
    with pytest.raises(SettingError, match="the interpreter runs on the processor alone"):
        linear(device=WORD, backend="interpreter")


def test_scores_of_epochs_are_computed_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss and metrics of rows held out, whose copies stay there."""
    computed: list[int] = []
    ran = DeviceRows.__call__

    def counted(self: DeviceRows, *given: Any) -> Any:
        computed.append(len(given[2]))
        return ran(self, *given)

    monkeypatch.setattr(DeviceRows, "__call__", counted)
    data = {"x": DATA["x"].astype("float32"), "t": DATA["t"]}
    found = []
    for options in ({"device": WORD}, {}):
        model = small("float32")[0]
        model.fit(data, epochs=3, validation=0.25, metrics=["accuracy"], verbose=False, **options)
        found.append(model.history)
    assert set(computed) == {-(-len(DATA["x"]) // 4)}
    for name in ("validation_loss", "validation_accuracy"):
        npt.assert_allclose(found[0][name], found[1][name], 1e-4)
