"""Single steps: those of `fit`, one at a time, with the model between them as it is then."""

from __future__ import annotations

import copy
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from chainrule import schedules as s
from chainrule.engine import compile as compiling
from chainrule.errors import CallError, FeedError, GraphError, NotFinite, SettingError
from chainrule.train.optim import LBFGS, OPTIMIZERS

R = np.random.default_rng(0)
X = R.normal(size=(40, 3)).astype("float32")
DATA: dict[str, Any] = {"x": X, "t": (X[:, 0] * X[:, 1] > 0).astype("int32")}
PLAIN = [name for name, kind in OPTIMIZERS.items() if kind is not LBFGS]


def network(seed: int = 3) -> cr.Model:
    x, t = cr.input("x", (3,)), cr.input("t", (), dtype="int32")
    h = cr.dropout(cr.batch_norm(cr.dense(x, 8, "tanh", name="h")), 0.2)
    z = cr.dense(h, 2, name="z")
    return cr.Model(z, cr.cross_entropy(z, t), seed=seed)


def batches(size: int = 16) -> list[dict[str, Any]]:
    return [{k: v[i : i + size] for k, v in DATA.items()} for i in range(0, 40, size)]


def fitted(model: cr.Model, epochs: int, **settings: Any) -> cr.Model:
    usual = {"batch_size": 16, "shuffle": False, "validation": None, "verbose": False}
    model.fit(DATA, epochs=epochs, **{**usual, **settings})
    return model


def bits(model: cr.Model) -> dict[str, bytes]:
    return {name: x.tobytes() for name, x in (model.values | model.slots).items()}


@pytest.mark.parametrize("backend", ["native", "interpreter"])
@pytest.mark.parametrize("name", PLAIN)
def test_steps_are_those_of_fit(name: str, backend: str) -> None:
    optimizer = OPTIMIZERS[name](rate=0.01)
    settings: dict[str, Any] = {"clip_norm": 0.3, "backend": backend, "trainable": ["h.*", "z.w"]}
    whole = fitted(network(), 2, optimizer=optimizer, **settings)
    model = network()
    losses = [model.step(x, optimizer=optimizer, **settings) for _ in range(2) for x in batches()]
    assert bits(model) == bits(whole)
    assert model.steps == whole.steps == 6
    assert len(model.history) == 0
    for epoch, loss in enumerate(whole.history["loss"]):
        first, second, short = losses[3 * epoch : 3 * epoch + 3]
        assert loss == pytest.approx((16 * first + 16 * second + 8 * short) / 40, rel=1e-12)


@pytest.mark.parametrize(
    "rate", [s.StepDecay(0.1, factor=0.5, every=2), s.WarmUp(0.1, steps=4), s.Cosine(0.1)]
)
def test_schedules_count_on(rate: s.Schedule) -> None:
    optimizer, model = cr.SGD(rate, momentum=0.9), network()
    whole = fitted(network(), 2, optimizer=optimizer)
    for batch in [*batches(), *batches()]:
        model.step(batch, optimizer=optimizer, total_steps=6)
    assert bits(model) == bits(whole)


def test_fit_and_steps_go_on_in_one_run(tmp_path: Path) -> None:
    optimizer = cr.Adam(s.StepDecay(0.1, factor=0.5, every=2))
    whole, model = fitted(network(), 4, optimizer=optimizer), network()
    for batch in batches():
        model.step(batch, optimizer=optimizer)
    model.save(tmp_path / "m.safetensors")
    model = pickle.loads(pickle.dumps(cr.load(tmp_path / "m.safetensors")))
    fitted(model, 1)
    assert model.history["epoch"].tolist() == [1]
    assert model.history["loss"][0] == whole.history["loss"][1]
    for batch in batches():
        model.step(batch)
    fitted(model, 1, optimizer=optimizer)
    assert model.history["loss"][1] == whole.history["loss"][3]
    assert bits(model) == bits(whole)


def test_fit_tells_where_steps_ended(capsys: pytest.CaptureFixture[str]) -> None:
    model = network()
    model.step(DATA, optimizer="adam")
    fitted(model, 1, verbose="log")
    assert "continues after step 1, optimizer state kept" in capsys.readouterr().err


def test_another_optimizer_begins_a_new_run() -> None:
    model, other = network(), network()
    model.step(DATA, optimizer=cr.Adam(0.1))
    slots = model.slots
    other.restore(model.values, 0)
    model.step(DATA, optimizer=cr.SGD(s.StepDecay(0.1, every=1)))
    other.step(DATA, optimizer=cr.SGD(0.1))
    assert bits(model) == bits(other)
    assert model.steps == 1
    model = network()
    model.step(DATA, optimizer=cr.Adam(0.1))
    model.step(DATA, optimizer=cr.Adam(0.2))  # of the same class: averages are kept
    assert model.steps == 2
    assert model.slots.keys() == slots.keys()


def test_the_model_is_up_to_date_whenever_it_is_read() -> None:
    model, steps = network(), network()
    seen = []
    for batch in batches():
        model.step(batch, optimizer="adam")
        seen.append(model.predict({"x": X}))
        model.evaluate(DATA)
        steps.step(batch, optimizer="adam")
    assert not np.array_equal(seen[0], seen[1])
    npt.assert_array_equal(seen[-1], steps.predict({"x": X}))
    assert bits(model) == bits(steps)


def test_a_value_that_is_set_is_the_start_of_the_next_step() -> None:
    model = network()
    model.step(DATA, optimizer=cr.SGD(0.1))
    model.set_value("z.w", np.zeros((8, 2)))
    other = copy.deepcopy(model)
    assert model.step(DATA) == other.step(DATA)
    assert np.abs(model.value("z.w")).max() < 0.1
    assert bits(model) == bits(other)


def test_the_step_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, built = network(), []
    monkeypatch.setattr("chainrule.model.stepcache.build_split",
                        lambda x: built.append(x) or compiling.build_split(x))  # fmt: skip
    for size in (16, 5, 40):
        for batch in batches(size):
            model.step(batch, optimizer=cr.Adam(0.01), clip_norm=1.0)
    model.set_value("z.b", [1.0, 2.0])
    model.step(DATA, clip_norm=1.0)
    assert len(built) == 1


def test_a_step_that_is_not_finite_changes_nothing() -> None:
    model = network()
    bad = {**DATA, "x": np.full_like(X, np.nan)}
    before = bits(model)
    with pytest.raises(NotFinite, match="step 1"):
        model.step(bad, optimizer="adam")
    assert bits(model) == before
    assert (model.steps, model.optimizer) == (0, None)
    model.step(DATA, optimizer="adam")
    before, last = bits(model), model.last_run
    with pytest.raises(NotFinite, match="step 2"):
        model.step(bad)
    with pytest.raises(NotFinite):
        model.step(bad, optimizer=cr.SGD(0.1))
    assert bits(model) == before
    assert (model.steps, model.last_run) == (1, last)
    model.step(DATA)
    assert model.steps == 2


def test_weights_count_relative_to_the_minibatch() -> None:
    x, t, w = cr.input("x", (1,)), cr.input("t", (1,)), cr.input("w", ())
    y = cr.dense(x, 1, name="y")
    model = cr.Model(y, cr.squared_error(y, t, weights=w))
    batch = {"x": [[1.0], [2.0]], "t": [[0.0], [3.0]], "w": [1.0, 3.0]}
    (a,), b = model.value("y.w"), model.value("y.b")
    wanted = ((a + b) ** 2 + 3 * (2 * a + b - 3) ** 2) / 4
    assert model.step(batch, optimizer="sgd") == pytest.approx(float(wanted[0]))
    negative = {**batch, "w": [1.0, -3.0]}
    with pytest.raises(FeedError, match="a weight is negative"):
        model.step(negative)


def test_a_table_is_a_batch() -> None:
    table = cr.data.read("penguins")
    model = cr.train(table, "species", epochs=1, verbose=False)
    rows = {name: values[:32] for name, values in table.to_dict().items()}
    losses = [model.step(rows, optimizer=cr.Adam(0.01)) for _ in range(20)]
    assert losses[-1] < losses[0]


def test_threads_may_read_while_others_step() -> None:
    model = network()
    model.step(DATA, optimizer=cr.SGD(0.0001))
    wrong: list[object] = []

    def read() -> None:
        for _ in range(50):
            if not np.isfinite(model.predict({"x": X})).all():
                wrong.append(1)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        model.step(DATA)
    for thread in threads:
        thread.join()
    assert not wrong
    assert model.steps == 201


def test_mistakes() -> None:
    model = network()
    with pytest.raises(SettingError, match=r"LBFGS takes all rows") as error:
        model.step(DATA, optimizer=cr.LBFGS())
    assert "model.fit" in str(error.value)
    with pytest.raises(SettingError, match="total_steps=1000"):
        model.step(DATA, optimizer=cr.SGD(s.Cosine(0.1)))
    with pytest.raises(SettingError, match="total_steps=1000"):
        model.step(DATA, optimizer=cr.SGD(s.Piecewise((0.1, 0.01), (0.5,))))
    with pytest.raises(SettingError, match="total_steps"):
        model.step(DATA, total_steps=0)
    with pytest.raises(SettingError, match="no backend"):
        model.step(DATA, backend="gpu")
    with pytest.raises(FeedError, match="not match"):
        model.step({"x": X})
    with pytest.raises(FeedError, match="no rows"):
        model.step({"x": X[:0], "t": DATA["t"][:0]})
    with pytest.raises(FeedError, match="a class number is too large"):
        model.step({**DATA, "t": DATA["t"] + 5})
    with pytest.raises(CallError, match="step"):
        model.step(X, DATA["t"])  # type: ignore[call-arg]
    with pytest.raises(GraphError, match="no loss"):
        cr.Model(cr.dense(cr.input("x", (3,)), 2)).step({"x": X})
    assert (model.steps, len(model.slots)) == (0, 0)
