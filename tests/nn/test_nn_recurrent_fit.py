"""Recurrent layers in training: machine code against the interpreter, threads, files."""

from dataclasses import replace

import numpy as np
import pytest

import agreement
import chainrule as cr
from chainrule.errors import NotFinite
from networks import ROWS, Network

R = np.random.default_rng(5)
STEPS = 5
ADAM = cr.Adam()


def network(layer, outputs, *, units=17, dtype="float32", masked=False, optimizer=ADAM, **settings):
    x = cr.input("x", (STEPS, 3), dtype=dtype)
    lengths = cr.input("lengths", (), dtype="int32")
    data = {"x": R.normal(size=(ROWS, STEPS, 3)).astype(dtype)}
    if masked:
        data["lengths"] = R.integers(0, STEPS + 1, ROWS).astype("int32")
        settings["mask"] = lengths
    y = layer(x, units, outputs=outputs, **settings)
    out = cr.dense(y, 2, name="out")
    t = cr.input("t", out.shape[1:], dtype=dtype)
    data["t"] = R.normal(size=(ROWS, *t.shape[1:])).astype(dtype)
    batches = [R.permutation(ROWS)[:n] for n in (16, 16, 7, 1)]
    return Network(
        cr.squared_error(out, t), [out], data, optimizer, {}, batches,
        [0.01] * len(batches), 3,
    )  # fmt: skip


CASES = [
    (cr.lstm, "all", {}),
    (cr.lstm, "last", {"masked": True, "bidirectional": True}),
    (cr.gru, "all", {"layers": 2, "dropout": 0.3, "units": 8}),
    (cr.gru, "last", {"reset_after": False, "masked": True}),
    (cr.rnn, "all", {"activation": "relu", "dtype": "float64", "optimizer": cr.SGD(0.1)}),
    (cr.lstm, "states", {"units": 1, "optimizer": cr.SGD(0.1)}),
]


@pytest.mark.parametrize(("layer", "outputs", "settings"), CASES)
def test_machine_code_is_the_interpreter(layer, outputs, settings):
    case = network(layer, outputs, **settings)
    agreement.check(case)
    agreement.check_prediction(replace(case))


def test_a_file_gives_the_same_predictions(tmp_path):
    case = network(cr.gru, "last", masked=True, bidirectional=True)
    model = cr.Model(outputs=case.outputs[0], loss=case.loss)
    model.fit(case.data, epochs=1)
    feeds = {k: v for k, v in case.data.items() if k != "t"}
    before = model.predict(feeds)
    model.save(tmp_path / "model.safetensors")
    again = cr.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(again.predict(feeds), before)
    assert str(again.summary()) == str(model.summary())
    np.testing.assert_array_equal(again.predict({k: v[:1] for k, v in feeds.items()}), before[:1])
    assert again.predict({k: v[:0] for k, v in feeds.items()}).shape == (0, 2)


def test_what_is_not_finite_names_its_step():
    start = {"init": "ones", "recurrent_init": "zeros", "name": "r"}
    case = network(cr.rnn, "all", activation=lambda z: cr.log(z + 20.0), units=1, **start)
    model = cr.Model(outputs=case.outputs[0], loss=case.loss)
    data = {k: v.copy() for k, v in case.data.items()}
    data["x"][3, 2] = -10
    with pytest.raises(NotFinite, match=r"'r\.t2\.h'"):
        model.fit(data, epochs=1, validation=None)
