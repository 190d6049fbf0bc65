"""The step of a model is built once for equal runs: the same bits and errors, and no data kept."""

from __future__ import annotations

import copy
import gc
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import NotFinite, SettingError
from chainrule.model.stepcache import StepCache
from chainrule.train.fitsettings import FitSettings

R = np.random.default_rng(0)
X = R.normal(size=(60, 3)).astype("float32")
DATA = {"x": X, "t": (X[:, 0] > 0).astype("int32")}


def network() -> cr.Model:
    x, t = cr.input("x", (3,)), cr.input("t", (), dtype="int32")
    h = cr.dropout(cr.dense(x, 8, "relu", name="h"), 0.2)
    z = cr.dense(h, 2, name="z")
    return cr.Model(z, cr.cross_entropy(z, t))


def steps(
    *runs: tuple[Any, dict[str, Any]], cache: StepCache | None = None, model: cr.Model | None = None
) -> list[Any]:
    """The steps of runs after each other, with their optimizers and settings."""
    cache, model = cache or StepCache(), model or network()
    assert model.loss is not None
    return [cache.step(model.graph, model.loss, o, FitSettings(**kw)) for o, kw in runs]


def test_equal_runs_share_a_step_whatever_their_rate_and_batches() -> None:
    first, *others = steps(
        (cr.Adam(1e-3), {}),
        (cr.Adam(cr.schedules.Cosine(0.1)), {"batch_size": 7, "epochs": 3}),
        (cr.Adam(1e-3), {"backend": "interpreter"}),
    )
    assert all(x is first for x in others)


@pytest.mark.parametrize(
    ("optimizer", "settings"),
    [
        (cr.Adam(beta1=0.8), {}), (cr.AdamW(), {}), (cr.Adam(), {"clip_norm": 1.0}),
        (cr.Adam(), {"clip_value": 1.0}), (cr.Adam(), {"trainable": ["z.*"]}),
        (cr.Adam(rates={"h.*": 0.5}), {}), (cr.Adam(decay=0.1), {}),
    ],
)  # fmt: skip
def test_other_runs_do_not(optimizer: Any, settings: dict[str, Any]) -> None:
    usual, other, again = steps((cr.Adam(), {}), (optimizer, settings), (optimizer, settings))
    assert other is not usual
    assert again is other


def test_patterns_count_in_their_order_and_as_they_are_now() -> None:
    rates = {"*.w": 0.5, "h.*": 0.1}
    optimizer = cr.Adam(rates=rates)
    one, other = steps((optimizer, {}), (cr.Adam(rates=dict(reversed(rates.items()))), {}))
    assert one is not other
    cache, model = StepCache(), network()
    found = []
    for factor in (0.1, 0.1, 0.2):
        optimizer.rates["h.*"] = factor  # type: ignore[index]
        found += steps((optimizer, {}), cache=cache, model=model)
    assert found[0] is found[1]
    assert found[2] is not found[0]


def test_the_step_of_a_users_optimizer_is_built_each_time() -> None:
    @dataclass(frozen=True)
    class Mine(cr.SGD):
        pass

    one, other = steps((Mine(0.1), {}), (Mine(0.1), {}))
    assert one is not other


def test_a_wrong_setting_is_refused_each_time() -> None:
    cache, model = StepCache(), network()
    steps((cr.Adam(), {}), cache=cache, model=model)
    for settings in ({"trainable": ["q"]}, {"clip_norm": -1.0}, {"clip_norm": np.ones(2)}):
        for _ in range(2):
            with pytest.raises(SettingError):
                steps((cr.Adam(), settings), cache=cache, model=model)


@pytest.mark.parametrize("backend", ["native", "interpreter"])
def test_runs_end_with_the_bits_of_a_step_that_is_new(backend: str) -> None:
    kept, fresh = network(), network()
    for epochs in (2, 1, 2):
        kept.fit(DATA, epochs=epochs, backend=backend, verbose=False)
        fresh = copy.copy(fresh)  # by the bytes of its file: no step is kept
        fresh.fit(DATA, epochs=epochs, backend=backend, verbose=False)
    states = [{k: v.tobytes() for k, v in (m.values | m.slots).items()} for m in (kept, fresh)]
    assert states[0] == states[1]
    assert kept.history["loss"].tolist() == fresh.history["loss"].tolist()


def test_errors_name_the_line_of_their_own_run() -> None:
    model, errors = network(), []
    data = {**DATA, "x": 100 * X}  # the first update is infinite, and leaves the model as it was
    wild: dict[str, Any] = {"optimizer": cr.SGD(3e38), "validation": None, "verbose": False}
    for each in (model, model, copy.copy(model)):  # a new step, the same, a new one
        with pytest.raises(NotFinite) as error:
            each.fit(data, **wild)
        errors.append(str(error.value))
    assert len(set(errors)) == 1
    assert f"test_stepcache.py:{error.traceback[0].lineno + 1}" in errors[0]
    with pytest.raises(NotFinite) as error:
        model.fit(data, **wild)
    assert f"test_stepcache.py:{error.traceback[0].lineno + 1}" in str(error.value)


def test_nothing_of_the_data_is_alive_after_a_run() -> None:
    model = network()
    data = {name: array.copy() for name, array in DATA.items()}
    alive = [weakref.ref(x) for x in data.values()]
    model.fit(data, epochs=1, verbose=False)
    model.fit(data, epochs=1, verbose=False)
    del data
    gc.collect()
    assert [x() for x in alive] == [None, None]


def test_an_untrained_twin_begins_anew_and_changes_nothing_of_the_first() -> None:
    first, same = network(), network()
    first.fit(DATA, epochs=2, verbose=False)
    values, steps = first.values, first.steps
    twin = first.untrained()
    assert (twin.steps, len(twin.history), twin.notes, twin.split) == (0, 0, {}, "")
    assert all(np.array_equal(twin.value(name), x) for name, x in same.values.items())
    twin.fit(DATA, epochs=3, verbose=False)
    same.fit(DATA, epochs=3, verbose=False)
    assert all(np.array_equal(twin.value(name), x) for name, x in same.values.items())
    assert twin.history["loss"].tolist() == same.history["loss"].tolist()
    assert (first.steps, len(first.history)) == (steps, 2)
    assert all(np.array_equal(first.value(name), x) for name, x in values.items())
    assert np.array_equal(twin.predict(DATA), same.predict(DATA))
    assert not np.array_equal(twin.predict(DATA), first.predict(DATA))
