"""Recordings: they change nothing, and hold what the model was at each epoch."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from chainrule.errors import SettingError

R = np.random.default_rng(0)
X = R.normal(size=(80, 2)).astype("float32")
DATA: dict[str, Any] = {"x": X, "t": (X[:, 0] * X[:, 1] > 0).astype("int32")}


def network(activation: str = "relu") -> cr.Model:
    x, t = cr.input("x", (2,)), cr.input("t", (), dtype="int32")
    h = cr.dense(x, 6, activation, name="hidden")
    z = cr.dense(cr.dropout(cr.batch_norm(h, name="bn"), 0.2), 2, name="z")
    return cr.Model(z, cr.cross_entropy(z, t), seed=1)


def fitted(model: cr.Model, **settings: Any) -> cr.Model:
    usual: dict[str, Any] = {"optimizer": cr.Adam(0.05), "epochs": 4, "batch_size": 20}
    model.fit(DATA, **{**usual, "verbose": False, **settings})
    return model


def bits(model: cr.Model) -> dict[str, bytes]:
    return {name: x.tobytes() for name, x in (model.values | model.slots).items()}


def recording(model: cr.Model) -> Any:
    assert model.record is not None
    return model.record


@pytest.mark.parametrize("optimizer", [cr.Adam(0.05), cr.LBFGS()])
def test_the_run_has_the_same_bits(optimizer: Any) -> None:
    plain = fitted(network(), optimizer=optimizer)
    kept = fitted(network(), optimizer=optimizer, record=True)
    assert bits(kept) == bits(plain)
    assert kept.history["loss"].tolist() == plain.history["loss"].tolist()
    assert plain.record is None


def test_each_epoch_is_that_of_the_model_then() -> None:
    seen: dict[int, Any] = {}

    def then(state: Any) -> None:
        trace = state.model.run(r)
        trace.backward(state.model.loss)
        seen[state.epoch] = trace, state.model.values, state.step

    chosen = [5, 17, 3]
    r = {name: x[chosen] for name, x in DATA.items()}
    record = cr.Record(["hidden", "bn", "x"], rows=chosen)
    model = fitted(network(), callbacks=then, record=record)
    kept = recording(model)
    assert kept.epochs.tolist() == [0, 1, 2, 3, 4]
    assert kept.rows.tolist() == chosen
    npt.assert_array_equal(kept.inputs["x"], X[chosen])
    for epoch, (trace, values, step) in seen.items():
        assert kept.steps[epoch] == step
        assert kept.loss[epoch] == pytest.approx(float(trace.value("cross_entropy")), rel=1e-6)
        for name in ("hidden", "bn", "x"):
            npt.assert_allclose(kept[name].values[epoch], trace.value(name), rtol=1e-5)
            wanted = trace.gradient(name)
            npt.assert_allclose(kept[name].gradients[epoch], wanted, rtol=1e-3, atol=1e-6)
        for name, value in kept.values_at(epoch).items():
            npt.assert_array_equal(value, values[name])
    for name, value in network().values.items():
        npt.assert_array_equal(kept.values_at(0)[name], value)


def test_statistics() -> None:
    model = fitted(network(), record=cr.Record(rows=[0, 1], every=2), epochs=5)
    kept = recording(model)
    assert kept.epochs.tolist() == [0, 2, 4]
    w = kept["hidden.w"]
    for k, value in enumerate(w.values):
        wanted = np.quantile(value.astype(float), [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1])
        npt.assert_allclose(w.value_quantiles[k], wanted)
    changes = [
        np.linalg.norm(b - a) / np.linalg.norm(a)
        for a, b in zip(w.values[:-1], w.values[1:], strict=True)
    ]
    npt.assert_allclose(w.change[1:], changes, rtol=1e-5)
    assert np.isnan(w.change[0])
    assert w.gradient_quantiles.shape == (3, 7)
    npt.assert_allclose(kept["z"].gradient_quantiles[:, 0], kept["z"].gradients.min((1, 2)))


def dying(activation: str, bias: float) -> cr.Model:
    """The first unit is made to have an operand of about `bias` after the second epoch."""
    model = network(activation)

    class Kill(cr.Callback):
        def on_epoch(self, state: Any) -> None:
            if state.epoch == 2:
                state.stop()

    fitted(model, epochs=8, callbacks=Kill(), record=True, optimizer=cr.SGD(0.01))
    b = np.array(model.value("hidden.b"))
    b[0] = bias
    model.set_value("hidden.b", b)
    model.fit(DATA, epochs=2, batch_size=20, verbose=False, record=True, new_run=True)
    return model


@pytest.mark.parametrize(
    ("activation", "bias", "kind"),
    [
        ("relu", -100.0, "dead"), ("sigmoid", 30.0, "saturated"), ("sigmoid", -300.0, "saturated"),
        ("tanh", -40.0, "saturated"), ("gelu", -100.0, "saturated"), ("relu", 100.0, None),
        ("leaky_relu", -100.0, None), ("softmax", 100.0, None),
    ],
)  # fmt: skip
def test_units_that_pass_nothing_on(activation: str, bias: float, kind: str | None) -> None:
    kept = recording(dying(activation, bias))
    assert kept.epochs.tolist() == [0, 1, 2, 3, 4]
    found = [x for x in kept.stuck if x.unit == 0 and x.layer == "hidden"]
    if kind is None:
        assert not found
    else:
        (unit,) = found
        assert (unit.kind, unit.epoch) == (kind, 3)
        assert (unit.after_step, unit.by_step) == (kept.steps[2], kept.steps[3])
        assert kept["hidden"].flat[:, 0].tolist()[3:] == [1, 1]
        assert kept["hidden"].flat[0, 0] < 1


def test_calls_go_on_in_one_recording_of_the_same_nodes_and_rows() -> None:
    model = network()
    for _ in range(2):
        fitted(model, epochs=2, record=["hidden"])
    assert recording(model).epochs.tolist() == [0, 1, 2, 3, 4]
    whole = fitted(network(), epochs=4, record=["hidden"])
    npt.assert_array_equal(recording(model)["hidden"].values, recording(whole)["hidden"].values)
    npt.assert_array_equal(recording(model)["z.w"].change, recording(whole)["z.w"].change)
    fitted(model, epochs=1, record=["z"])
    assert recording(model).epochs.tolist() == [4, 5]


def test_it_is_plain_values() -> None:
    kept = recording(fitted(network(), record=True))
    text = json.dumps(kept.to_dict(), allow_nan=False)
    back = json.loads(text)
    npt.assert_array_equal(np.float32(back["nodes"]["hidden"]["values"]), kept["hidden"].values)
    assert back["parameters"]["z.w"]["change"][0] is None
    assert len(text) < 400_000


def test_memory_is_bounded() -> None:
    kept = recording(fitted(network(), record=cr.Record(parameters=False, rows=7)))
    assert kept["hidden.w"].values is None
    assert kept["hidden"].values.shape == (5, 7, 6)
    with pytest.raises(SettingError, match=r"parameters=True"):
        kept.values_at(1)
    with pytest.raises(SettingError, match="too large"):
        fitted(network(), record=cr.Record(rows=80, megabytes=0.001))
    small = recording(fitted(network(), record=cr.Record(rows=2, megabytes=0.003)))
    assert small["hidden.w"].values is None
    assert len(recording(fitted(network(), record=cr.Record(rows=1000))).rows) == 64


def test_a_table_and_several_models() -> None:
    model = cr.train("penguins", "species", epochs=1, quality="fast", verbose=False)
    model.fit("penguins", epochs=2, optimizer="adam", record=True, verbose=False)
    kept = recording(model)
    assert kept.epochs.tolist() == [1, 2, 3]
    assert len(kept.nodes) > 1
    models = [network(), network("tanh")]
    cr.fit_many(models, DATA, epochs=2, verbose=False, record=["hidden"])
    assert [recording(m).epochs.tolist() for m in models] == [[0, 1, 2]] * 2


def test_mistakes() -> None:
    for record, match in (
        (["hiden"], "did you mean 'hidden'"), (["hidden.w"], "no node with a row"),
        (3, "True, names of nodes"), (cr.Record(rows=[80]), "no such row"),
    ):  # fmt: skip
        with pytest.raises(SettingError, match=match):
            fitted(network(), record=record)
    for settings in ({"every": 0}, {"rows": 0}, {"rows": []}, {"megabytes": 0}, {"rows": [-1]}):
        with pytest.raises(SettingError, match="Record"):
            cr.Record(**settings)  # type: ignore[arg-type]
    kept = recording(fitted(network(), record=True))
    with pytest.raises(SettingError, match="epoch 9 was not recorded"):
        kept.values_at(9)
    with pytest.raises(SettingError, match="nothing was recorded of 'bn'"):
        kept["bn"]
