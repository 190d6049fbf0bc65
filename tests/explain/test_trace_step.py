"""The trace of a training step: the numbers of the step, the formulas of the optimizer."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from chainrule import schedules as s
from chainrule.errors import GraphError, SettingError
from chainrule.graph.node import Operation
from chainrule.train.optim import LBFGS, OPTIMIZERS

R = np.random.default_rng(0)
X = R.normal(size=(20, 3)).astype("float32")
DATA: dict[str, Any] = {"x": X, "t": (X[:, 0] > 0).astype("int32")}
PLAIN = [name for name, kind in OPTIMIZERS.items() if kind is not LBFGS]
SETTINGS: dict[str, Any] = {"clip_norm": 0.1, "clip_value": 0.05}


def network() -> cr.Model:
    x, t = cr.input("x", (3,)), cr.input("t", (), dtype="int32")
    h = cr.batch_norm(cr.dense(x, 4, "tanh", name="h"), name="bn")
    z = cr.dense(cr.dropout(h, 0.2, name="drop"), 2, name="z")
    return cr.Model(cr.softmax(z).named("p"), cr.cross_entropy(z, t, name="E"))


def lecture(dtype: str = "float64") -> cr.Model:
    x, t = cr.input("x", (2,), dtype=dtype), cr.input("t", (1,), dtype=dtype)
    w = cr.parameter("w", [[3.0], [-1.0]], dtype=dtype)
    b = cr.parameter("b", [0.5], dtype=dtype)
    y = (x @ w + b).named("y")
    return cr.Model(y, (cr.sum((y - t) ** 2) / 2).named("E"))


ONE = {"x": [[1.0, 2.0]], "t": [[3.0]]}


def updates(model: cr.Model, optimizer: Any, **settings: Any) -> dict[str, str]:
    """The formulas of the update by names."""
    steps = model.trace_step(ONE, optimizer=optimizer, **settings).steps()
    assert [x.direction for x in steps] == sorted(
        (x.direction for x in steps), key=["forward", "backward", "update"].index
    )
    return dict(x.formula.split(" = ") for x in steps if x.direction == "update")


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize("name", PLAIN)
def test_the_new_values_are_those_that_the_step_gives(name: str) -> None:
    model = network()
    optimizer = OPTIMIZERS[name](rate=s.StepDecay(0.01, every=2), decay=0.01)
    for _ in range(2):  # at first, and with slots
        before = {x: v.tobytes() for x, v in (model.values | model.slots).items()}
        trace = model.trace_step(DATA, optimizer=optimizer, **SETTINGS)
        assert {x: v.tobytes() for x, v in (model.values | model.slots).items()} == before
        native = cr.Model(model.outputs[0], model.loss)
        native.restore(model.values | model.slots, model.steps)
        native.optimizer, native.last_run = model.optimizer, model.last_run
        native.step(DATA, optimizer=optimizer, **SETTINGS)
        loss = model.step(DATA, optimizer=optimizer, backend="interpreter", **SETTINGS)
        assert float(trace.value("E")) == loss
        after = model.values | model.slots
        assert len(after) > len(model.values) or name in ("sgd",)
        for state, value in after.items():
            assert trace.updated(state).tobytes() == value.tobytes(), state
            npt.assert_allclose(trace.updated(state), native.values.get(
                state, native.slots.get(state)), rtol=2e-4, atol=2e-6)  # fmt: skip


def test_large_tables_are_updated_by_rows_as_in_the_step() -> None:
    x, t = cr.input("c", (2,), dtype="int64"), cr.input("t", (), dtype="int32")
    z = cr.dense(cr.mean(cr.embedding(x, 3000, 4, name="e"), 1), 3)
    model = cr.Model(z, cr.cross_entropy(z, t))
    data = {"c": R.integers(0, 20, (16, 2)), "t": np.zeros(16, "int32")}
    for _ in range(2):
        trace = model.trace_step(data, optimizer="adam")
        model.step(data, optimizer="adam", backend="interpreter")
        for state, value in (model.values | model.slots).items():
            npt.assert_array_equal(trace.updated(state), value)
    assert "e.new" in {x.name.removesuffix(".w.new") + ".new" for x in trace.steps()}


def test_weights_of_rows_and_a_table() -> None:
    model = cr.train("penguins", "species", epochs=1, class_weights="balanced", verbose=False)
    rows = {k: v[:50] for k, v in cr.data.read("penguins").to_dict().items()}
    trace = model.trace_step(rows, optimizer=cr.Adam(0.01))
    loss = model.step(rows, optimizer=cr.Adam(0.01), backend="interpreter")
    assert float(trace.value(model.loss)) == loss
    for name, value in model.values.items():
        npt.assert_array_equal(trace.updated(name), value)


def test_names_and_nodes_of_the_model_are_found_in_training_form() -> None:
    model = network()
    trace = model.trace_step(DATA)
    plain = model.run(DATA, training=True)
    for name in ("drop", "bn", "h", "z", "p", "E"):
        npt.assert_allclose(trace.value(name), plain.value(name), rtol=1e-6)
        npt.assert_array_equal(trace.value(model.graph[name]), trace.value(name))
    plain.backward("E")
    for name in ("drop", "bn", "h", "h.w", "x", "p"):
        npt.assert_allclose(trace.gradient(name), plain.gradient(name), rtol=1e-4, atol=1e-7)
        npt.assert_array_equal(trace.gradient(model.graph[name]), trace.gradient(name))
    npt.assert_array_equal(trace.updated(model.graph["h.w"]), trace.value("h.w.new"))


def test_the_structure_that_a_page_needs() -> None:
    model = network()
    trace = model.trace_step(DATA, optimizer=cr.Adam(0.01), clip_norm=1.0)
    assert trace.built is not None
    for node, gradient in trace.built.gradients.items():
        assert node in trace.graph or node in trace.extended
        assert gradient in trace.extended
        terms = trace.built.contributions.get(node, [])
        total = sum(trace.value(x.gradient) for x in terms) if terms else 1.0
        npt.assert_allclose(trace.value(gradient), total, rtol=1e-5)
        assert all(node is x.consumer.operands[x.position] for x in terms)
    assert {trace.extended.name(x) for x in trace.updates} == {
        *(f"{w}{slot}" for w in ("h.w", "h.b", "z.w", "z.b", "bn.scale", "bn.shift")
          for slot in ("", ".mean", ".square")),
        "bn.steps", "bn.running_mean", "bn.running_var",
    }  # fmt: skip
    assert all(isinstance(x, Operation) and x in trace.extended for x in trace.updates.values())
    plain = model.run(DATA)
    assert plain.updates == {}
    assert plain.extended is plain.graph
    plain.backward("E")
    assert len(plain.extended) > len(plain.graph)


# ---------------------------------------------------------------- formulas


def test_formulas_of_rules() -> None:
    model = lecture()
    assert updates(model, cr.SGD(0.1)) == {
        "w.new": "w - rate * ∂E/∂w",
        "b.new": "b - rate * ∂E/∂b",
    }
    assert updates(model, cr.SGD(0.1, momentum=0.9, decay=0.01), trainable="w") == {
        "w.momentum.new": "0.9 * w.momentum + ∂E/∂w + 0.01 * w",
        "w.new": "w - rate * w.momentum.new",
    }
    assert updates(model, cr.AdamW(0.1), trainable="w") == {
        "mean.correction": "1 - 0.9^t",
        "w.mean.new": "0.9 * w.mean + 0.1 * ∂E/∂w",
        "w.square.new": "0.999 * w.square + 0.001 * (∂E/∂w)^2",
        "square.correction": "1 - 0.999^t",
        "w.new": "w * (1 - rate * 0.01) - rate / mean.correction * w.mean.new / "
        "(sqrt(w.square.new) * sqrt(1 / square.correction) + 1e-08)",
    }
    assert updates(model, cr.SGD(0.1), clip_value=0.5, clip_norm=1.0, trainable="w") == {
        "w.clipped": "clip(∂E/∂w, -0.5, 0.5)",
        "gradient.norm": "sqrt(sum(w.clipped^2, axis=(0, 1)))",
        "gradient.scale": "min(1 / gradient.norm, 1)",
        "w.scaled": "w.clipped * gradient.scale",
        "w.new": "w - rate * w.scaled",
    }
    assert updates(model, cr.SGD(0.1, rates={"b": 0.5}))["b.new"] == "b - rate * 0.5 * ∂E/∂b"


def test_numbers_and_values_of_an_update() -> None:
    steps = {x.name: x for x in lecture().trace_step(ONE, optimizer=cr.Adam(0.1)).steps()}
    assert str(steps["w.new"]).splitlines()[1] == (
        "    = [[3], [-1]] - 0.1 / 0.1 * [[-0.15], [-0.3]] / "
        "(sqrt([[0.00225], [0.009]]) * sqrt(1 / 0.001) + 1e-08)"
    )
    npt.assert_allclose(steps["w.new"].value, [[3.1], [-0.9]])
    assert steps["mean.correction"].numbers == "1 - 0.9^1"
    assert steps["mean.correction"].value == pytest.approx(0.1)


def test_formulas_do_not_tell_of_precision() -> None:
    assert updates(lecture("float32"), "adam") == updates(lecture(), "adam")


@pytest.mark.parametrize("name", PLAIN)
def test_every_rule_is_written_with_names_that_have_a_step(name: str) -> None:
    model = lecture()
    steps = model.trace_step(ONE, optimizer=OPTIMIZERS[name](), clip_norm=1.0).steps()
    known = {x.name for x in steps} | {"w", "b", "rate", "t"}
    for step in (x for x in steps if x.direction == "update"):
        text = step.formula.split(" = ", 1)[1]
        assert "exp(t" not in text or name == "nadam"
        assert len(text) < 230, text
        for word in text.replace("(", " ").replace(")", " ").replace("^", " ").split():
            if word.endswith((".new", ".correction", ".scaled", ".norm", ".scale")):
                assert word in known, (step.name, word)


def test_rates_are_those_of_the_schedule_at_the_present_step() -> None:
    model, optimizer = lecture(), cr.SGD(s.StepDecay(0.1, factor=0.5, every=1))
    shown = []
    for _ in range(3):
        shown.append(float(model.trace_step(ONE, optimizer=optimizer).value("step.rate")))
        model.step(ONE, optimizer=optimizer)
    assert shown == [0.1, 0.05, 0.025]


def test_numbers_that_are_not_finite_are_shown() -> None:
    model = lecture()
    trace = model.trace_step({**ONE, "x": [[np.inf, 1.0]]}, optimizer="sgd")
    assert not np.isfinite(trace.updated("w")).all()
    assert "inf" in str(trace.steps()[0])


def test_mistakes() -> None:
    model = lecture()
    with pytest.raises(SettingError, match="LBFGS"):
        model.trace_step(ONE, optimizer="lbfgs")
    trace = model.run(ONE)
    with pytest.raises(GraphError, match=r"model\.trace_step"):
        trace.updated("w")
    trace = model.trace_step(ONE)
    with pytest.raises(GraphError, match="not a parameter"):
        trace.updated("y")
    with pytest.raises(GraphError, match="did you mean 'w'"):
        trace.updated("W")
    npt.assert_array_equal(model.trace_step(ONE, trainable="w").updated("b"), model.value("b"))
