"""Several calls of `fit` are one run: the same rates, stops, best epoch and bits."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import schedules as s
from chainrule.errors import ModelFileError
from chainrule.model import file as modelfile
from chainrule.model.restore import content

R = np.random.default_rng(5)
X = R.normal(size=(40, 3)).astype("float32")
DATA = {"x": X, "t": (X[:, 0] * X[:, 1] > 0).astype("int32")}


def network(seed: int = 3) -> cr.Model:
    x, t = cr.input("x", (3,)), cr.input("t", (), dtype="int32")
    h = cr.dropout(cr.batch_norm(cr.dense(x, 8, "tanh")), 0.1)
    logits = cr.dense(h, 2)
    return cr.Model(logits, cr.cross_entropy(logits, t), seed=seed)


def fitted(model: cr.Model, epochs: int, **settings: Any) -> cr.Model:
    model.fit(DATA, **{"epochs": epochs, "batch_size": 8, "verbose": False, **settings})
    return model


def copied(model: cr.Model, folder: Path) -> cr.Model:
    model.save(folder / "m.safetensors")
    return cr.load(folder / "m.safetensors")


def bits(model: cr.Model) -> dict[str, bytes]:
    return {name: x.tobytes() for name, x in (model.values | model.slots).items()}


def rows(model: cr.Model) -> list[dict[str, float]]:
    return [{k: x for k, x in row.items() if k != "seconds"} for row in model.history]


RATES = {
    "step": s.StepDecay(0.1, factor=0.5, every=7),
    "exponential": s.Exponential(0.1, factor=0.3, every=9),
    "inverse power": s.InversePower(0.1, every=3),
    "warm up": s.WarmUp(0.1, steps=17),
    "piecewise": s.Piecewise((0.1, 0.05, 0.01), (6, 14)),
    "plateau": s.ReduceOnPlateau(0.5, patience=1, factor=0.5),
    "number": 0.1,
}


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("between", [lambda m, _: m, copied, lambda m, _: pickle.loads(
    pickle.dumps(m))], ids=["at once", "file", "pickle"])  # fmt: skip
def test_three_calls_are_one(
    rate: str, between: Callable[[cr.Model, Path], cr.Model], tmp_path: Path
) -> None:
    optimizer = cr.SGD(RATES[rate], momentum=0.9)
    whole = fitted(network(), 6, optimizer=optimizer)
    parts = network()
    for _ in range(3):
        parts = between(fitted(parts, 2, optimizer=optimizer), tmp_path)
    assert rows(parts) == rows(whole)
    assert bits(parts) == bits(whole)
    assert parts.steps == whole.steps
    again = fitted(between(parts, tmp_path), 2)  # the optimizer of the last call
    assert rows(again) == rows(fitted(network(), 8, optimizer=optimizer))


def test_a_part_of_the_run_is_one_of_all_epochs_so_far() -> None:
    optimizer = cr.SGD(s.Cosine(0.1))
    whole = fitted(network(), 4, optimizer=optimizer, validation=None)
    parts = network()
    for _ in range(2):
        fitted(parts, 2, optimizer=optimizer, validation=None)
    assert parts.history["rate"][2:].tolist() == whole.history["rate"][2:].tolist()
    fitted(parts, 4, optimizer=optimizer, validation=None, new_run=True)
    assert parts.history["rate"][4:].tolist() == whole.history["rate"].tolist()


@pytest.mark.parametrize("rate", [s.Cosine(0.1), s.OneCycle(0.1), s.WarmUp(s.Polynomial(0.1))])
def test_fractions_of_a_run_of_several_calls(rate: s.Schedule) -> None:
    whole, parts = network(), network()
    fitted(whole, 6, optimizer=cr.SGD(rate), validation=None)
    for epochs in (1, 3, 2):
        fitted(parts, epochs, optimizer=cr.SGD(rate), validation=None, total_epochs=6)
    assert rows(parts) == rows(whole)
    assert bits(parts) == bits(whole)


def test_other_settings_of_the_optimizer_begin_a_new_run() -> None:
    parts = fitted(network(), 2, optimizer=cr.SGD(s.StepDecay(0.1, every=7)), validation=None)
    fitted(parts, 1, optimizer=cr.SGD(s.StepDecay(0.2, every=7)), validation=None)
    assert parts.history["rate"].tolist() == pytest.approx([0.1, 0.01, 0.2])


def rising() -> cr.Model:
    a = cr.parameter("a", 1.0)
    return cr.Model(a, cr.mean(cr.square(a * cr.input("x"))))


ONES = {"x": np.ones(8)}
RISING: dict[str, Any] = {
    "batch_size": 4, "optimizer": cr.SGD(1.2), "validation": None, "verbose": False,
}  # fmt: skip


@pytest.mark.parametrize("patience", [3, cr.EarlyStopping("loss", patience=3)])
def test_patience_goes_on(patience: Any, tmp_path: Path) -> None:
    whole, parts = rising(), rising()
    whole.fit(ONES, epochs=12, patience=patience, **RISING)
    for _ in range(6):
        parts.fit(ONES, epochs=2, patience=patience, **RISING)
        parts = copied(parts, tmp_path)
    assert len(parts.history) == len(whole.history) == 4
    assert parts.value("a") == whole.value("a")
    assert parts.evaluate(ONES)["loss"] == whole.history["loss"][0]
    parts.fit(ONES, epochs=9, patience=5, **RISING)  # more patience goes on
    assert len(parts.history) == 6
    assert parts.value("a") == whole.value("a")
    parts.fit(ONES, epochs=1, patience=3, new_run=True, **RISING)
    assert parts.value("a") != whole.value("a")


def test_a_run_that_has_stopped_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    model = rising()
    for _ in range(2):
        model.fit(ONES, epochs=9, patience=3, **{**RISING, "verbose": "log"})
    told = capsys.readouterr()
    assert "no epochs: loss has not improved for 3 epochs" in told.out + told.err
    assert "new_run=True" in told.out + told.err


@pytest.mark.parametrize("rate", [0.1, 3.0])
def test_the_best_epoch_of_all_calls_is_kept(rate: float) -> None:
    held = {"x": -X[:15], "t": DATA["t"][:15]}
    model = network()
    for _ in range(3):
        fitted(model, 2, optimizer=cr.SGD(rate), validation=held)
        losses = model.history["validation_loss"]
        assert model.evaluate(held)["loss"] == np.min(losses)
        assert model.history.best == 1 + np.argmin(losses)


def test_other_rows_begin_a_new_score_and_are_learned() -> None:
    model = rising()
    model.fit(ONES, epochs=4, **{**RISING, "optimizer": cr.SGD(0.1)}, patience=2)
    before, other = model.value("a"), {"x": np.full(8, 9.0)}
    model.fit(other, epochs=1, **{**RISING, "optimizer": cr.SGD(0.1)}, patience=2)
    assert model.value("a") != before  # though its loss is above the best one of other rows
    model.set_value("a", 5.0)
    model.fit(ONES, epochs=1, **{**RISING, "optimizer": cr.SGD(0.1)}, patience=2)
    assert 1 < model.value("a") < 5


def test_an_interrupted_run_goes_on_from_its_last_complete_epoch() -> None:
    whole = fitted(network(), 4, optimizer=cr.SGD(0.1))

    def interrupt(state: cr.callbacks.State) -> None:
        if state.epoch == 2:
            raise KeyboardInterrupt

    parts = network()
    with pytest.raises(KeyboardInterrupt):
        fitted(parts, 4, optimizer=cr.SGD(0.1), callbacks=interrupt)
    fitted(parts, 2, optimizer=cr.SGD(0.1))
    assert rows(parts) == rows(whole)
    assert bits(parts) == bits(whole)


def test_many_models_go_on() -> None:
    whole = [fitted(network(seed), 4, optimizer="adam") for seed in (0, 1)]
    models = [network(seed) for seed in (0, 1)]
    for _ in range(2):
        cr.fit_many(models, DATA, epochs=2, batch_size=8, optimizer="adam", verbose=False)
    assert [bits(x) for x in models] == [bits(x) for x in whole]


# ---------------------------------------------------------------- the loss of the kept epoch


def test_the_kept_epoch_has_the_loss_that_is_told() -> None:
    w = cr.parameter("w", 1.0)
    model = cr.Model(w, cr.mean(cr.square(w + 0 * cr.input("x"))))
    history = model.fit(
        {"x": np.zeros(8)}, epochs=4, batch_size=8, optimizer=cr.SGD(0.3, momentum=0.9),
        validation=None, patience=9, verbose=False,
    )  # fmt: skip
    assert model.value("w") == pytest.approx(-0.38, abs=1e-6)
    assert model.evaluate({"x": np.zeros(8)})["loss"] == pytest.approx(0.1444, abs=1e-6)
    assert np.min(history["loss"]) == pytest.approx(0.1444, abs=1e-6)


@pytest.mark.parametrize("optimizer", ["lbfgs", cr.SGD(1.5), "adam"])
@pytest.mark.parametrize("size", [40, 7])
@pytest.mark.parametrize("validation", [None, 0.25])
def test_the_loss_of_training_rows_is_evaluated_where_it_decides(
    optimizer: Any, size: int, validation: float | None
) -> None:
    model = network()
    fitted(
        model, 5, optimizer=optimizer, batch_size=size, validation=validation,
        patience=cr.EarlyStopping("loss", patience=2), time=np.arange(40),
    )  # fmt: skip
    trained = {name: x[: 40 if validation is None else 30] for name, x in DATA.items()}
    best = model.history.row(model.history.best or -1)
    assert best["loss"] == np.min(model.history["loss"])
    assert model.evaluate(trained)["loss"] == pytest.approx(best["loss"], rel=1e-6)


# ---------------------------------------------------------------- files


@pytest.mark.parametrize(
    "change",
    [
        {"first_step": -1}, {"steps": "9"}, {"tracker": {"best": "low"}}, {"tracker": None},
        {"plateau": {"scale": float("nan")}}, {"judged": 4}, {"values": {"w": np.zeros(3)}},
        {"values": [1]}, {"first_step": 10**9},
    ],
    ids=str,
)  # fmt: skip
def test_a_saved_run_is_checked(change: dict[str, Any], tmp_path: Path) -> None:
    model = fitted(network(), 3, optimizer=cr.SGD(2.0))
    saved = content(model)
    run = {**saved.notes["run"], **change}
    damaged = modelfile.to_bytes(type(saved)(**{
        **{name: getattr(saved, name) for name in saved.__dataclass_fields__},
        "notes": {**saved.notes, "run": run},
    }))  # fmt: skip
    (tmp_path / "m").write_bytes(damaged)
    with pytest.raises(ModelFileError, match="the saved run is damaged"):
        cr.load(tmp_path / "m")


def test_lbfgs_tells_that_it_begins_without_its_memory(capsys: pytest.CaptureFixture[str]) -> None:
    model = fitted(network(), 2, optimizer=cr.LBFGS(), verbose="log")
    assert "memory" not in "".join(capsys.readouterr())
    fitted(model, 1, verbose="log")
    told = "".join(capsys.readouterr())
    assert "L-BFGS begins without its memory of earlier steps" in told
    assert "optimizer state kept" not in told
