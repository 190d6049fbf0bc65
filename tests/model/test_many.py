"""fit_many: the same bits as one after another, whose fault it was, Ctrl-C, data that is shared."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import FeedError, NotFinite, SettingError, WorkerDied
from chainrule.model import fit as fitting
from chainrule.model.many import ProgressBoard
from chainrule.system import workers

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 4)).astype("float32")
DATA: dict[str, Any] = {"x": X, "t": (X[:, 0] * X[:, 1] > 0).astype("int32")}
FIT: dict[str, Any] = {"epochs": 3, "verbose": False}
forked = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux")


def model(seed: int = 0, width: int = 5) -> cr.Model:
    x, t = cr.input("x", (4,)), cr.input("t", (), dtype="int32")
    z = cr.dense(cr.dropout(cr.dense(x, width, "tanh"), 0.1), 2)
    return cr.Model(z, cr.cross_entropy(z, t), seed=seed)


def same(a: cr.Model, b: cr.Model) -> bool:
    states = [x.values | x.slots for x in (a, b)]
    return states[0].keys() == states[1].keys() and all(
        np.array_equal(states[0][name], states[1][name]) for name in states[0]
    )


@pytest.fixture(params=["processes", "threads"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "threads":
        monkeypatch.setattr(workers, "can_fork", lambda: False)
    elif sys.platform != "linux":
        pytest.skip("processes are forked on Linux")
    return str(request.param)


@pytest.mark.usefixtures("way")
def test_models_end_with_the_bits_that_they_have_alone() -> None:
    def made() -> list[cr.Model]:
        return [*(model(seed) for seed in range(3)), model(3, width=9), model(4)]

    each = [{}, {"batch_size": 7}, {"optimizer": cr.SGD(0.1)}, {}, {"validation": None}]
    alone, together = made(), made()
    for x, own in zip(alone, each, strict=True):
        x.fit(DATA, **{**FIT, **own})
    histories = cr.fit_many(together, DATA, each=each, jobs=2, **FIT)
    for a, b, history in zip(alone, together, histories, strict=True):
        assert same(a, b)
        assert history is b.history
        assert [row["loss"] for row in history] == [row["loss"] for row in a.history]
        assert (a.steps, a.split) == (b.steps, b.split)
    for x in (*alone, *together):  # and they go on alike, optimizer state included
        x.fit(DATA, **FIT)
    assert all(same(a, b) for a, b in zip(alone, together, strict=True))
    assert together[2].optimizer == cr.SGD(0.1)


def test_models_may_share_one_graph() -> None:
    first = model()
    models = [cr.Model(first.outputs[0], first.loss, seed=seed) for seed in range(4)]
    cr.fit_many(models, DATA, jobs=2, callbacks=[lambda state: None], **FIT)  # in threads
    for seed, x in enumerate(models):
        alone = model(seed)
        alone.fit(DATA, **FIT)
        assert same(alone, x)


@pytest.mark.usefixtures("way")
def test_the_model_that_fails_is_named_and_the_others_are_trained() -> None:
    models = [model(seed) for seed in range(4)]
    wild: dict[str, Any] = {"optimizer": cr.SGD(1e38), "validation": None}
    with pytest.raises(NotFinite, match=r"at +models\[1\] \(models\[3\] failed too\), step"):
        cr.fit_many(models, DATA, each=[{}, wild, {}, wild], jobs=2, **FIT)
    assert [len(x.history) for x in models] == [3, 0, 3, 0]
    alone = model(2)
    alone.fit(DATA, **FIT)
    assert same(alone, models[2])


@pytest.mark.usefixtures("way")
def test_an_error_of_any_kind_comes_with_its_place_and_its_lines() -> None:
    class Strange(Exception):
        def __init__(self, a: int, b: int) -> None:
            super().__init__(a)

    def metric(target: Any, prediction: Any) -> float:
        raise Strange(1, 2)

    with pytest.raises(RuntimeError, match="Strange") as raised:
        cr.fit_many([model(), model(1)], DATA, each=[{}, {"metrics": [metric]}], jobs=2, **FIT)
    assert "models[1]" in raised.value.__notes__[-1]


def test_wrong_settings_are_refused_before_anything_trains() -> None:
    models = [model(0), model(1)]
    with pytest.raises(SettingError, match="did you mean 'epochs'"):
        cr.fit_many(models, DATA, epoch=3)
    with pytest.raises(SettingError, match="no setting 'verbose'"):
        cr.fit_many(models, DATA, each=[{}, {"verbose": True}])
    with pytest.raises(SettingError, match="differ in length"):
        cr.fit_many(models, DATA, each=[{}])
    with pytest.raises(SettingError, match="twice"):
        cr.fit_many([*models, models[0]], DATA)
    with pytest.raises(SettingError, match="jobs"):
        cr.fit_many(models, DATA, jobs=0)
    with pytest.raises(SettingError, match=r"batch_size[^$]*models\[1\]"):
        cr.fit_many(models, DATA, each=[{}, {"batch_size": 0}])
    with pytest.raises(FeedError, match=r"models\[1\]"):
        cr.fit_many(models, DATA, each=[{}, {"data": {"x": X}}])
    assert not any(len(x.history) for x in models)
    assert cr.fit_many([], DATA) == []


@forked
def test_data_is_converted_once_and_copied_for_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"x": X.astype("float64"), "t": DATA["t"].astype("int64")}
    seen = []
    monkeypatch.setattr(fitting, "fit", lambda model, data, settings: seen.append(data))
    cr.fit_many([model(seed) for seed in range(3)], data, callbacks=[print], verbose=False)
    assert len({id(x["x"]) for x in seen}) == len({id(x["t"]) for x in seen}) == 1
    assert seen[0]["x"].dtype == "float32"


def table() -> dict[str, Any]:
    words = np.array(["a", "b", "c"])[RNG.integers(0, 3, 300)]
    return {"n": X[:, 0], "m": X[:, 1], "word": words, "day": np.arange(300),
            "y": np.where(X[:, 0] > 0, "yes", "no")}  # fmt: skip


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("given", [model(0), 3, [model(0), 3]], ids=["one", "none", "some"])
def test_what_is_trained_is_a_list_of_models(given: object) -> None:
    for train in (cr.fit_many, cr.cross_validate):
        with pytest.raises(SettingError, match="models come first"):
            train(given, DATA)  # type: ignore[operator]


def test_models_with_a_schema_take_a_table() -> None:
    rows = table()
    alone = [cr.train(rows, "y", seed=seed, epochs=2, hidden=4, ignore="day", verbose=False)
             for seed in (0, 1)]  # fmt: skip
    built = [cr.Model(x.outputs[0], x.loss, seed=x.seed, schema=x.schema) for x in alone]
    again = [cr.Model(x.outputs[0], x.loss, seed=x.seed, schema=x.schema) for x in alone]
    cr.fit_many(built, rows, time="day", jobs=2, **FIT)
    for a, b in zip(again, built, strict=True):
        a.fit(rows, time="day", **FIT)
        assert same(a, b)
        assert "latest" in b.split


@forked
def test_a_process_that_dies_is_reported_with_its_model_and_replaced() -> None:
    def deadly(target: Any, prediction: Any) -> float:
        os._exit(7)

    models = [model(seed) for seed in range(4)]
    with pytest.raises(WorkerDied, match=r"exit code 7\n +at +models\[0\]"):
        cr.fit_many(models, DATA, each=[{"metrics": [deadly]}, {}, {}, {}], jobs=2, **FIT)
    assert [len(x.history) for x in models] == [0, 3, 3, 3]


EPOCHS = 10**6  # more than a test waits for


def interrupt_when(ready: Callable[[], bool]) -> threading.Thread:
    def send() -> None:
        limit = time.monotonic() + 20
        while not ready() and time.monotonic() < limit:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("validation", [0.2, None], ids=["epoch by epoch", "many epochs a call"])
def test_ctrl_c_stops_all_and_leaves_what_is_trained(
    monkeypatch: pytest.MonkeyPatch, validation: float | None
) -> None:
    models = [model(seed) for seed in range(4)]
    boards: list[ProgressBoard] = []
    made = ProgressBoard.__init__

    def keep(self: ProgressBoard, count: int) -> None:
        made(self, count)
        boards.append(self)

    monkeypatch.setattr(ProgressBoard, "__init__", keep)

    def ready() -> bool:
        trained = len(models[0].history) == 3 and boards[0]._shares[0] == 1
        return trained and bool(boards[0]._shares[1] > 1 / EPOCHS)  # its first epoch is complete

    sender = interrupt_when(ready)
    endless: dict[str, Any] = {"epochs": EPOCHS}
    with pytest.raises(KeyboardInterrupt):
        cr.fit_many(
            models, DATA, each=[{}, endless, endless, endless], jobs=2, validation=validation, **FIT
        )
    sender.join()
    alone = model(0)
    alone.fit(DATA, validation=validation, **FIT)
    assert same(models[0], alone)
    assert 0 < len(models[1].history) < EPOCHS  # the best that it was
    assert not len(models[3].history)
    models[1].fit(DATA, **FIT)


def test_one_line_reports_all_models(capsys: pytest.CaptureFixture[str]) -> None:
    cr.fit_many([model(seed) for seed in range(3)], DATA, epochs=2, verbose="log")
    lines = capsys.readouterr().err.splitlines()
    assert [line[:9] for line in lines] == ["model 1/3", "model 2/3", "model 3/3", "3 models "]
    assert "validation loss" in lines[0]
    assert " to " in lines[-1]
