"""The Model: fit, evaluate, predict, save, load, and what it refuses."""

import copy
import os
import pickle
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

import chainrule as cr
from chainrule.data import read
from chainrule.errors import FeedError, GraphError, NotFinite, SettingError
from chainrule.train.callbacks import Callback

RNG = np.random.default_rng(0)
X = RNG.standard_normal((120, 4)).astype("float32")
Y = (X[:, 0] * X[:, 1] > 0).astype("int32") + (X[:, 2] > 1)
DATA = {"x": X, "t": Y}


def classifier(seed=0, **layers):
    x = cr.input("x", (4,))
    t = cr.input("t", (), dtype="int32")
    h = cr.dense(x, 16, activation="relu", name="hidden")
    if layers.get("dropout"):
        h = cr.dropout(h, layers["dropout"])
    if layers.get("batch_norm"):
        h = cr.batch_norm(h)
    logits = cr.dense(h, 3, name="logits")
    return cr.Model(outputs=logits, loss=cr.cross_entropy(logits, t), seed=seed)


def quick(model, data=DATA, **options):
    options = {"epochs": 3, "batch_size": 16, "verbose": False} | options
    return model.fit(data, **options)


def bits(model):
    return {name: value.tobytes() for name, value in model.values.items()}


def test_learning_beats_guessing():
    model = classifier()
    before = model.evaluate(DATA)
    history = quick(model, epochs=60, optimizer=cr.Adam(1e-2))
    after = model.evaluate(DATA)
    assert after["loss"] < 0.5 * before["loss"]
    assert after["accuracy"] > 0.85
    assert len(history) == 60
    assert {"loss", "validation_loss", "validation_accuracy", "rate", "step"} <= set(
        history.columns
    )


def test_the_reported_loss_is_that_of_the_whole_set():
    model = classifier()
    quick(model)
    z = model.predict({"x": X}).astype("float64")
    logp = z - z.max(1, keepdims=True)
    logp -= np.log(np.exp(logp).sum(1, keepdims=True))
    assert model.evaluate(DATA)["loss"] == pytest.approx(-logp[np.arange(120), Y].mean(), rel=1e-6)
    assert model.evaluate(DATA)["accuracy"] == pytest.approx((z.argmax(1) == Y).mean())


def test_same_seed_same_bits_other_seed_other_bits():
    one, two, three = classifier(), classifier(), classifier(seed=1)
    for model in (one, two, three):
        quick(model, optimizer=cr.AdamW(1e-2))
    assert bits(one) == bits(two)
    assert bits(one) != bits(three)


@pytest.mark.parametrize("layers", [{}, {"dropout": 0.5}, {"batch_norm": True}])
def test_fit_again_continues_bit_for_bit(layers):
    whole, halves = classifier(**layers), classifier(**layers)
    options = {"validation": None, "optimizer": cr.Adam(1e-2)}
    quick(whole, epochs=4, **options)
    quick(halves, epochs=2, **options)
    quick(halves, epochs=2, validation=None)
    assert bits(whole) == bits(halves)
    assert halves.history.runs == (1, 3)
    assert list(halves.history["epoch"]) == [1, 2, 3, 4]


def test_another_optimizer_begins_as_on_a_new_model():
    model = classifier()
    quick(model, validation=None, optimizer=cr.SGD(1e-2))
    fresh = classifier()
    for name, value in model.values.items():
        fresh.set_value(name, value)
    for x in (model, fresh):
        quick(x, epochs=1, validation=None, shuffle=False, optimizer=cr.Adam(1e-2))
    assert bits(model) == bits(fresh)


@pytest.mark.parametrize("layers", [{}, {"dropout": 0.5}, {"batch_norm": True}])
def test_saving_between_changes_nothing(tmp_path, layers):
    straight, saved = classifier(**layers), classifier(**layers)
    quick(straight, validation=None, optimizer=cr.Adam(1e-2))
    quick(saved, validation=None, optimizer=cr.Adam(1e-2))
    saved.save(tmp_path / "m.safetensors")
    loaded = cr.load(tmp_path / "m.safetensors")
    assert bits(loaded) == bits(saved)
    np.testing.assert_array_equal(loaded.predict({"x": X}), saved.predict({"x": X}))
    assert loaded.evaluate(DATA) == saved.evaluate(DATA)
    assert loaded.history.to_dict() == saved.history.to_dict()
    quick(straight, validation=None)
    quick(loaded, validation=None)
    assert bits(straight) == bits(loaded)
    loaded.save(tmp_path / "again.safetensors")
    straight.save(tmp_path / "straight.safetensors")
    parameters = cr.load(tmp_path / "straight.safetensors")
    assert bits(parameters) == bits(cr.load(tmp_path / "again.safetensors"))


def test_a_loaded_model_needs_no_python_of_its_maker(tmp_path):
    model = classifier(dropout=0.2, batch_norm=True)
    quick(model)
    model.save(tmp_path / "m.safetensors")
    np.save(tmp_path / "x.npy", X)
    script = (
        "import numpy as np, chainrule as cr, sys;"
        "z = cr.load('m.safetensors').predict({'x': np.load('x.npy')});"
        "sys.stdout.buffer.write(z.tobytes())"
    )
    out = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert out.stdout == model.predict({"x": X}).tobytes()


def test_the_best_epoch_is_kept():
    model = classifier()
    history = quick(model, epochs=25, optimizer=cr.SGD(2.0), patience=None)
    held = history.row(history.best)["validation_loss"]
    from chainrule.data.split import holdout  # noqa: PLC0415

    rows = holdout(120, 0.2, 0, stratify=Y)[1]
    scores = model.evaluate({"x": X[rows], "t": Y[rows]})
    assert scores["loss"] == pytest.approx(held, rel=1e-6)
    assert held == history["validation_loss"].min()


def test_keep_best_false_ends_with_the_last():
    kept, last = classifier(), classifier()
    quick(kept, epochs=25, optimizer=cr.SGD(2.0))
    quick(last, epochs=25, optimizer=cr.SGD(2.0), keep_best=False)
    assert last.steps == 25 * 6
    assert bits(kept) != bits(last)


def test_patience_stops_and_says_why(capsys):
    model = classifier()
    history = quick(model, epochs=500, patience=3, optimizer=cr.SGD(3.0), verbose="log")
    assert len(history) < 500
    assert len(history) == history.best + 3
    assert "has not improved for 3 epochs" in capsys.readouterr().err


def test_own_validation_data_groups_and_time(capsys):
    model = classifier()
    quick(model, validation={"x": X[:30], "t": Y[:30]}, verbose="log")
    assert "120 rows to train, 30 of their own to validate" in model.split
    quick(classifier(), groups=np.arange(120) // 10, verbose="log")
    assert "groups kept whole" in capsys.readouterr().err
    model = classifier()
    quick(model, time=np.arange(120))
    assert "latest rows by time" in model.split


def test_the_split_is_stratified_and_said():
    model = classifier()
    quick(model)
    assert model.split == (
        "80 % / 20 %: 96 rows to train, 24 to validate, shuffled and stratified by class, seed 0"
    )


def test_requested_metrics_are_in_the_history():
    model = classifier()
    history = quick(model, metrics=["f1", "top_2_accuracy"])
    assert "validation_f1" in history
    assert "validation_top_2_accuracy" in history
    with pytest.raises(SettingError, match="did you mean"):
        quick(model, metrics=["acuracy"])
    assert len(history) == 3  # nothing ran


def test_regression_quantiles_and_many_labels():
    x = cr.input("x", (4,))
    t = cr.input("t")
    h = cr.dense(x, 8, activation="tanh")
    q = cr.dense(h, 3)
    target = X[:, 0] + 0.1
    model = cr.Model(outputs=q, loss=cr.quantile(q, t, quantiles=(0.1, 0.5, 0.9)))
    quick(model, {"x": X, "t": target})
    assert {"pinball", "coverage", "crossing"} <= set(model.evaluate({"x": X, "t": target}))

    many = cr.input("t", (2,), dtype="bool")
    z = cr.dense(h, 2)
    model = cr.Model(outputs=z, loss=cr.binary_cross_entropy(z, many))
    labels = np.stack([X[:, 0] > 0, X[:, 1] > 0], 1)
    quick(model, {"x": X, "t": labels})
    assert model.evaluate({"x": X, "t": labels})["label_accuracy"] > 0.4

    y = cr.reshape(cr.dense(h, 1), (cr.N,))
    model = cr.Model(outputs=y, loss=cr.squared_error(y, t))
    quick(model, {"x": X, "t": target})
    scores = model.evaluate({"x": X, "t": target})
    residual = model.predict({"x": X}) - target
    assert scores["rmse"] == pytest.approx(np.sqrt((residual.astype("f8") ** 2).mean()), rel=1e-6)


def test_lbfgs_solves_a_linear_model():
    x, t = cr.input("x", (4,), dtype="float64"), cr.input("t", dtype="float64")
    y = cr.reshape(cr.dense(x, 1), (cr.N,))
    model = cr.Model(outputs=y, loss=cr.squared_error(y, t))
    truth = X.astype("f8") @ [1.0, -2.0, 3.0, 0.5] + 4
    history = quick(model, {"x": X, "t": truth}, optimizer=cr.LBFGS(), epochs=None, validation=None)
    assert model.evaluate({"x": X, "t": truth})["rmse"] < 1e-5
    assert len(history) < 50


def test_several_outputs_and_inputs():
    a, b = cr.input("a", (2,)), cr.input("b", (3,))
    one, two = cr.dense(a, 2, name="one"), cr.dense(b, 4, name="two")
    model = cr.Model(outputs=[one, two])
    first, second = model.predict({"a": np.ones((5, 2)), "b": np.ones((5, 3))})
    assert first.shape == (5, 2)
    assert second.shape == (5, 4)


def test_predicting_a_part_of_the_rows_changes_no_row():
    model = classifier(batch_norm=True, dropout=0.3)
    quick(model)
    whole = model.predict({"x": X})
    single = np.concatenate([model.predict({"x": X[k : k + 1]}) for k in range(10)])
    np.testing.assert_array_equal(single, whole[:10])  # the same bits
    assert model.predict({"x": X[:0]}).shape == (0, 3)
    assert model.predict({"x": X, "t": Y}).shape == (120, 3)  # other inputs may be there


def small_blocks(monkeypatch):
    """Blocks of 16 rows, that four threads share."""
    for name in ("LEAST", "MOST"):
        monkeypatch.setattr(f"chainrule.engine.nativerows.{name}", 16)
    monkeypatch.setattr("chainrule.engine.nativerows.processors", lambda: 4)


def test_prediction_in_blocks_is_the_same(monkeypatch):
    model = classifier()
    whole, scores = model.predict({"x": X}), model.evaluate(DATA)
    small_blocks(monkeypatch)
    other = classifier()
    np.testing.assert_array_equal(other.predict({"x": X}), whole)
    assert other.evaluate(DATA) == scores


@pytest.mark.parametrize(
    "mixing",
    [
        lambda x: x - cr.mean(x, axis=0),
        lambda x: cr.softmax(x, axis=0),
        lambda x: cr.cumsum(x, axis=0),
        lambda x: (x @ x.T) @ x,
        lambda x: cr.einsum("nk,mk->n", x, x),
        lambda x: cr.take(x, cr.cast(cr.argmax(x, axis=1), "int32"), axis=0),
        lambda x: x / cr.max(x),
    ],
)
def test_rows_that_depend_on_each_other_are_never_cut_into_blocks(monkeypatch, mixing):
    def predicted():
        x = cr.input("x", (4,))
        return cr.Model(outputs=[cr.tanh(mixing(x * 2.0)), x]).predict({"x": X})[0]

    whole = predicted()
    small_blocks(monkeypatch)
    np.testing.assert_array_equal(predicted(), whole)


def test_values_are_read_and_written():
    model = classifier()
    model.set_value("hidden.b", np.arange(16))
    np.testing.assert_array_equal(model.value("hidden.b"), np.arange(16))
    with pytest.raises(ValueError, match="read-only"):
        model.value("hidden.b")[0] = 1
    with pytest.raises(GraphError, match=r"did you mean 'hidden\.w'"):
        model.value("hiden.w")
    with pytest.raises(FeedError, match="shape does not fit"):
        model.set_value("hidden.b", np.arange(15))
    trace = model.run(DATA)
    np.testing.assert_array_equal(trace.value("hidden.b"), np.arange(16))
    trace.backward(model.loss)
    assert trace.gradient("hidden.w").shape == (4, 16)


def test_callbacks_see_the_model_and_can_stop():
    class Watch(Callback):
        def __init__(self):
            self.losses = []

        def on_epoch(self, state):
            self.losses.append(state.model.evaluate(DATA)["loss"])
            if state.epoch == 2:
                state.stop("enough")

    watch = Watch()
    history = quick(classifier(), epochs=9, callbacks=[watch])
    assert len(history) == len(watch.losses) == 2
    assert len(set(watch.losses)) == 2


def test_an_interrupt_keeps_the_best_and_the_history(capsys):
    def interrupt(state):
        if state.epoch == 3:
            raise KeyboardInterrupt

    model = classifier()
    with pytest.raises(KeyboardInterrupt):
        quick(model, epochs=9, callbacks=interrupt, verbose="log")
    assert "keeps epoch" in capsys.readouterr().err
    assert len(model.history) == 3
    best = model.history.best
    other = classifier()
    quick(other, epochs=best)
    assert bits(model) == bits(other)


def test_nan_stops_with_step_and_row_and_leaves_the_model():
    x = X.copy()
    x[7, 2] = np.nan
    model = classifier()
    before = bits(model)
    with pytest.raises(NotFinite, match=r"data hold a NaN[^$]*step 1, node 'x'.*row 7\n"):
        quick(model, {"x": x, "t": Y}, batch_size=120, validation=None)
    assert bits(model) == before


def test_a_huge_rate_is_reported():
    with pytest.raises(NotFinite, match="lower the learning rate"):
        quick(classifier(), epochs=50, optimizer=cr.SGD(1e18))


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"data": {"x": X}}, FeedError, "names do not match"),
        ({"data": {"x": X, "y": Y}}, FeedError, "known: t"),
        ({"data": {"x": X[:50], "t": Y}}, FeedError, "differ in their number of rows"),
        ({"data": {"x": X[:, :3], "t": Y}}, FeedError, "shape does not fit"),
        ({"data": {"x": X[:0], "t": Y[:0]}}, FeedError, "no rows"),
        ({"data": {"x": X, "t": Y + 0.5}}, FeedError, "does not fit in int32"),
        (
            {"data": {"x": X, "t": np.where(np.arange(120) == 77, 3, Y)}},
            FeedError,
            r"'t'\] a class number is too large[\s\S]*from 0 to 2[\s\S]*got +3[\s\S]*row 77",
        ),
        ({"validation": {"x": X, "t": Y + 7}}, FeedError, "class number is too large"),
        ({"data": {"x": X, "t": Y[:, None]}}, FeedError, r"array\[:, 0\]"),
        ({"data": "penguins"}, FeedError, "fed arrays by the names"),
        ({"batch_size": 0}, SettingError, "batch_size"),
        ({"threads": 0}, SettingError, "threads"),
        ({"threads": -3}, SettingError, "threads"),
        ({"threads": "2"}, SettingError, "threads"),
        ({"epochs": -1}, SettingError, "epochs"),
        ({"validation": 1.5}, SettingError, "between 0 and 1"),
        ({"patience": 0}, SettingError, "patience"),
        ({"verbose": "loud"}, SettingError, "loud"),
        ({"optimizer": "adamm"}, SettingError, "did you mean 'adam'"),
        ({"optimizer": cr.Adam}, SettingError, r"such as cr.Adam\(1e-3\)"),
        ({"trainable": ["hiden.*"]}, SettingError, "hiden"),
    ],
)
def test_mistakes_are_refused_before_anything_runs(change, error, match):
    model = classifier()
    before = bits(model)
    options = {"data": DATA} | change
    with pytest.raises(error, match=match):
        quick(model, **options)
    assert bits(model) == before
    assert len(model.history) == 0


@pytest.mark.parametrize(
    ("loss", "labels", "words"),
    [
        (cr.binary_cross_entropy, [0, 1, 2, 1], "not between 0 and 1"),
        (cr.binary_cross_entropy, [0, 1, -1, 1], "not between 0 and 1"),
        (cr.poisson, [0, 3, -2, 7], "a count is negative"),
    ],
)
def test_targets_at_which_a_loss_means_nothing(loss, labels, words):
    x, t = cr.input("x", (4,)), cr.input("t", (1,))
    y = cr.dense(x, 1)
    column = np.array(labels)[:, None]
    with pytest.raises(FeedError, match=words + r"[\s\S]*row 2"):
        quick(cr.Model(outputs=y, loss=loss(y, t)), {"x": X[:4], "t": column}, validation=None)
    kept = np.array([1, 1, 0, 1])[:, None]
    weights = cr.input("k", (1,))  # what weighs nothing may hold anything
    model = cr.Model(outputs=y, loss=loss(y, t, weights=weights))
    quick(model, {"x": X[:4], "t": column, "k": kept}, validation=None)
    with pytest.raises(FeedError, match=words + r"[\s\S]*row 2"):  # and what counts may not
        quick(model, {"x": X[:4], "t": column, "k": kept[::-1].copy()}, validation=None)
    good = {"x": X[:4], "t": np.ones((4, 1)), "k": kept}
    with pytest.raises(FeedError, match=words + r"[\s\S]*row 2"):
        quick(model, good, validation={"x": X[:4], "t": column, "k": kept + 1})


def test_class_numbers_that_are_too_large_where_some_are_ignored():
    x, t, k = cr.input("x", (3, 4)), cr.input("t", (3,), dtype="int64"), cr.input("k", ())
    y = cr.dense(x, 2)
    model = cr.Model(outputs=y, loss=cr.cross_entropy(y, t, weights=k, ignore_index=255))
    data = {"x": np.ones((5, 3, 4), np.float32), "t": np.zeros((5, 3), np.int64)}
    data |= {"k": np.array([1, 1, 0, 1, 1], np.float32)}
    data["t"][0, 1], data["t"][2, 2] = 255, 7
    quick(model, data, validation=None)
    data["t"][3, 2] = 2
    with pytest.raises(FeedError, match=r"too large[\s\S]*from 0 to 1[\s\S]*row 3"):
        quick(model, data, validation=None)


@pytest.mark.parametrize("loss", [cr.squared_error, cr.huber, cr.binary_cross_entropy])
def test_negative_weights_are_refused(loss):
    x, t, k = cr.input("x", (4,)), cr.input("t", (1,)), cr.input("k", ())
    y = cr.dense(x, 1)
    model = cr.Model(outputs=y, loss=loss(y, t, weights=k))
    data = {"x": X[:4], "t": np.ones((4, 1)), "k": np.array([1, 0, 2, -1.0])}
    for rows, settings in ((data, {}), (data | {"k": np.ones(4)}, {"validation": data})):
        with pytest.raises(FeedError, match=r"'k'[\s\S]*a weight is negative[\s\S]*row 3"):
            quick(model, rows, **{"validation": None} | settings)


def test_soft_labels_are_labels():
    x, t = cr.input("x", (4,)), cr.input("t", (1,))
    y = cr.dense(x, 1)
    model = cr.Model(outputs=y, loss=cr.binary_cross_entropy(y, t))
    quick(model, {"x": X, "t": np.linspace(0, 1, 120)[:, None]}, validation=None)


def test_a_model_without_a_loss_cannot_be_fitted():
    model = cr.Model(outputs=cr.dense(cr.input("x", (4,)), 2))
    with pytest.raises(GraphError, match="no loss"):
        model.fit({"x": X})
    with pytest.raises(GraphError, match="no loss"):
        model.evaluate({"x": X})
    x = cr.input("x", (4,))
    with pytest.raises(GraphError, match="a floating-point scalar"):
        cr.Model(outputs=x, loss=x)
    for loss in ("mse", 0.5, np.float32(1), cr.squared_error):
        with pytest.raises(GraphError, match=r"a loss is a node[\s\S]*cr\.squared_error\("):
            cr.Model(outputs=x, loss=loss)


def test_only_some_parameters_train():
    model = classifier()
    before = bits(model)
    quick(model, trainable="logits.*", validation=None)
    after = bits(model)
    assert {name for name in before if before[name] != after[name]} == {"logits.w", "logits.b"}


def test_models_train_in_threads_at_once():
    models = [classifier() for _ in range(3)]
    threads = [threading.Thread(target=quick, args=(m,)) for m in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = classifier()
    quick(alone)
    assert all(bits(m) == bits(alone) for m in models)


def test_one_graph_serves_many_models():
    model = classifier()
    other = cr.Model(outputs=model.outputs, loss=model.loss, seed=5)
    quick(model)
    assert bits(model) != bits(other)
    assert repr(model).startswith("<Model: logits float32(N, 3)")
    assert "not trained" in repr(other)


def test_a_table_goes_in_and_labels_come_out(tmp_path):
    rows = 200
    table = {
        "size": RNG.standard_normal(rows),
        "colour": RNG.choice(["red", "green"], rows),
        "kind": None,
    }
    table["kind"] = np.where(table["size"] > 0, "large", "small")
    model = cr.train(table, target="kind", epochs=15, verbose=False)
    model.save(tmp_path / "kind.safetensors")
    model = cr.load(tmp_path / "kind.safetensors")
    new = {"extra": [1, 2], "colour": ["mauve", None], "size": ["1.5", "-2"]}
    found = model.predict(new)
    assert list(found.labels) == ["large", "small"]
    assert found.probabilities.shape == (2, 2)
    assert any("mauve" in note for note in found.notes)
    assert any("extra" in note for note in found.notes)
    assert model.evaluate(table)["accuracy"] > 0.9
    assert found.to_csv(tmp_path / "out.csv").read_text().startswith("kind,probability of large")
    assert len(read(str(tmp_path / "out.csv"))) == 2


def test_a_table_of_numbers_to_predict():
    x = RNG.uniform(-1, 1, 400)
    table = {"x": x, "cost": 5000 + 100 * x}
    model = cr.train(table, target="cost", verbose=False, epochs=30)
    assert model.evaluate(table)["r2"] > 0.95
    numbers = model.predict({"x": [0.0]})
    assert numbers.probabilities is None
    assert numbers.labels[0] == pytest.approx(5000, abs=30)
    assert list(numbers.to_dict()) == ["cost"]


@dataclass(frozen=True)
class Halving(cr.schedules.Schedule):
    """A schedule of a user's own."""

    rate: float = 0.1

    def at(self, steps, total):
        return self.rate * 0.5 ** (steps / total)


@dataclass(frozen=True)
class Named(Halving):
    """A schedule of a user's own, under the name of another."""

    name: ClassVar[str] = "constant"


@pytest.mark.parametrize("schedule", [Halving(), Named(), cr.schedules.WarmUp(Halving())])
def test_a_model_trained_by_a_schedule_of_ones_own_is_loaded_without_it(tmp_path, schedule):
    model = classifier()
    quick(model, optimizer=cr.SGD(schedule, momentum=0.9))
    model.save(tmp_path / "m.safetensors")
    again = cr.load(tmp_path / "m.safetensors")
    assert bits(again) == bits(model)
    assert again.optimizer is None
    assert again.slots == {}
    quick(again)
    assert again.history.last_epoch == 6


def test_machine_code_reads_no_array_that_does_not_fit():
    model = classifier()
    forward, values = model._own.forward, dict(model.values)
    for wrong, rows in ((X[:, :-1], [0]), (X, [len(X)]), (X[0], [0])):
        with pytest.raises(FeedError, match="does not fit"):
            forward(values, {"x": wrong}, np.array(rows))
    wide = np.asfortranarray(X.astype("float64"))
    expected = model.predict({"x": X})
    np.testing.assert_array_equal(forward(values, {"x": wide}, np.arange(len(X)))[0], expected)


def test_the_rows_to_score_may_be_any_integers() -> None:
    model = classifier()
    arrays, n = model.arrays(DATA)
    rows = np.arange(n)
    want = model.score(arrays, rows[::2].copy())["loss"]
    assert model.score(arrays, rows[::2])["loss"] == want
    assert model.score(arrays, rows[::2].astype("int32"))["loss"] == want
    for bad in (-1, n):
        with pytest.raises(FeedError):
            model.score(arrays, np.array([0, bad]))


@dataclass(frozen=True)
class Halved(cr.SGD):
    """An optimizer of one's own, which no model file can hold."""

    name: ClassVar[str] = "halved"


@pytest.mark.parametrize("optimizer", [cr.Adam(0.01), Halved(0.01, momentum=0.9)])
@pytest.mark.parametrize("copied", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy])
def test_a_pickled_model_goes_on_as_the_original(copied, optimizer):
    model = classifier(seed=4, dropout=0.2, batch_norm=True)
    model.notes["config"] = {"rate": 0.01}
    quick(model, optimizer=optimizer)
    other = copied(model)
    for one in (model, other):
        quick(one)
    assert bits(other) == bits(model)
    assert other.notes == model.notes
    assert (other.seed, other.split, other.steps) == (model.seed, model.split, model.steps)
    assert len(other.history) == len(model.history) == 6


def test_rows_are_not_shuffled_where_one_says_so():
    data = {"x": X[:4], "t": Y[:4]}
    sorted_rows, shuffled = classifier(), classifier()
    for model, option in ((sorted_rows, False), (shuffled, True)):
        quick(model, data, shuffle=option, batch_size=1, epochs=1, optimizer=cr.SGD(0.1),
              validation=None)  # fmt: skip
    by_hand = classifier()
    for row in range(4):
        one = {name: array[row : row + 1] for name, array in data.items()}
        quick(by_hand, one, batch_size=1, epochs=1, optimizer=cr.SGD(0.1), validation=None)
    assert bits(sorted_rows) == bits(by_hand)
    assert bits(shuffled) != bits(by_hand)


def test_a_weighted_model_is_judged_without_weights_as_if_all_counted_alike(tmp_path):
    x, t, k = cr.input("x", (4,)), cr.input("t", (), dtype="int32"), cr.input("k", ())
    logits = cr.dense(x, 3, name="logits")
    model = cr.Model(outputs=logits, loss=cr.cross_entropy(logits, t, weights=k))
    with pytest.raises(FeedError, match="names do not match"):
        quick(model)
    quick(model, {**DATA, "k": np.linspace(0, 2, len(X))})
    even = model.evaluate({**DATA, "k": np.ones(len(X))})
    assert model.evaluate(DATA) == even
    assert model.evaluate({**DATA, "k": np.linspace(0, 2, len(X))}) != even
    with pytest.raises(FeedError, match="names do not match"):
        model.evaluate({"x": X})


def test_the_model_of_a_weighted_estimator_is_judged_on_a_table(tmp_path):
    rng = np.random.default_rng(0)
    table = {"a": rng.normal(size=80), "c": rng.choice(["u", "v"], 80)}
    y = np.where(table["a"] > 0, "yes", "no")
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(table)
    made = cr.MLPClassifier(max_iter=30, early_stopping=True, random_state=0)
    made.fit(frame, pandas.Series(y, name="y"), sample_weight=rng.random(80) + 0.5)
    made.model_.save(tmp_path / "m.safetensors")
    scores = cr.load(tmp_path / "m.safetensors").evaluate({**table, "y": y})
    assert scores["accuracy"] == pytest.approx(made.score(frame, y))
