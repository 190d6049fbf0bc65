"""Embedding bags against PyTorch's arrays and loops: values, gradients, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest
from nn_check import assert_gradient, assert_second, run

import chainrule as cr
from chainrule.autodiff import gradients
from chainrule.engine.compile import build_step
from chainrule.engine.program import compile_step
from chainrule.errors import DTypeError, FeedError, SettingError, ShapeError
from chainrule.graph import Graph, Node
from chainrule.train.optim import SGD, Adagrad, Adam, Optimizer

FROZEN = dict(np.load(Path(__file__).parent.parent / "golden" / "bags" / "bags.npz"))
GIVEN = {key.removeprefix("given."): x for key, x in FROZEN.items() if key.startswith("given.")}
COUNT, WIDTH = GIVEN["table"].shape
ROWS, LENGTH = GIVEN["indices"].shape
TOLERANCE = {"float32": 1e-5, "float64": 1e-9}
CASES = sorted({key.rsplit(".", 1)[0] for key in FROZEN if key.endswith(".y")})


def bag(kind: str = "mean", dtype: str = "float64", **settings: Any) -> tuple[Node, Node]:
    """Indices and a bag of them whose table starts as the frozen one."""
    x = cr.input("x", (LENGTH,), dtype="int64")
    y = cr.embedding_bag(
        x, COUNT, WIDTH, combine=kind, name="bag", init=GIVEN["table"], dtype=dtype, **settings
    )
    return x, y


def ways(kind: str) -> dict[str, dict[str, Any]]:
    """The feeds of a bag that is filled up by each way of saying so."""
    counts = GIVEN["padded"] != 0
    front = np.sort(~counts, axis=1) == 0  # as many, at the front
    order = np.argsort(~counts, axis=1, kind="stable")
    moved = np.take_along_axis(GIVEN["padded"], order, 1)
    wild = np.where(counts, GIVEN["padded"], 10**6)
    return {
        "padding": {"x": GIVEN["padded"]},
        "mask": {"x": wild, "mask": counts},
        "lengths": {"x": np.where(front, moved, -7), "lengths": counts.sum(1)},
    }[kind], {"order": order}  # type: ignore[return-value]


# ---------------------------------------------------------------- against PyTorch


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_those_of_pytorch(case: str) -> None:
    kind, padded, weighted, dtype = case.split(".")
    w = cr.input("w", (LENGTH,), dtype=dtype)
    settings = {"padding": 0} if padded == "padded" else {}
    _, y = bag(kind, dtype, weights=w if weighted == "weighted" else None, **settings)
    gy = cr.input("gy", (WIDTH,), dtype=dtype)
    wrt = [Graph(y)["bag.table"], *([w] if weighted == "weighted" else [])]
    feeds = {"x": GIVEN["padded" if settings else "indices"], "w": GIVEN["weights"]}
    feeds = {k: v.astype(dtype) if k == "w" else v for k, v in feeds.items()}
    feeds["gy"] = GIVEN["gy"].astype(dtype)
    found = run([y, *gradients(cr.sum(y * gy), wrt)], feeds)
    rtol = TOLERANCE[dtype]
    for key, value in zip(("y", "table", "weights"), found, strict=False):
        wanted = FROZEN[f"{case}.{key}"]
        assert value.dtype == wanted.dtype
        npt.assert_allclose(value, wanted, rtol=rtol, atol=rtol * 0.1, err_msg=key)


RULES: dict[str, tuple[Optimizer, bool | None, float | None]] = {
    "sgd": (SGD(0.1), True, None),
    "momentum": (SGD(0.1, momentum=0.9, decay=0.1), False, None),
    "adam": (Adam(0.1), False, None),
    "sparse_adam": (Adam(0.1, epsilon=1e-3, epsilon_first=True), True, None),
    "adagrad": (Adagrad(0.1), False, None),
    "sparse_adagrad": (Adagrad(0.1), True, None),
    "adam.clipped": (Adam(0.1), False, 0.05),
}


@pytest.mark.parametrize("backend", ["native", "interpreter"])
@pytest.mark.parametrize("name", sorted(RULES))
def test_training_is_that_of_pytorch(name: str, backend: str) -> None:
    rule, sparse, clip = RULES[name]
    _, y = bag("mean", sparse=sparse)
    loss = cr.squared_error(y, cr.input("t", (WIDTH,), dtype="float64"))
    step = build_step(Graph(loss), loss, rule, clip_norm=clip)
    data = {"x": np.concatenate(GIVEN["steps"]), "t": np.concatenate(GIVEN["targets"])}
    batches = np.arange(len(data["x"])).reshape(-1, ROWS)
    program = compile_step(step, {}, 0, backend=backend)
    program.run(data, list(batches), [rule.rate] * len(batches))
    npt.assert_allclose(program.read()["bag.table"], FROZEN[f"trained.{name}"], rtol=1e-9)


# ---------------------------------------------------------------- what counts


@pytest.mark.parametrize("combine", ["sum", "mean", "max"])
@pytest.mark.parametrize("kind", ["padding", "mask", "lengths"])
def test_padding_mask_and_lengths_say_the_same(kind: str, combine: str) -> None:
    feeds, _ = ways(kind)
    given: dict[str, Any] = {
        "padding": {"padding": 0},
        "mask": {"mask": cr.input("mask", (LENGTH,), dtype="bool")},
        "lengths": {"lengths": cr.input("lengths", (), dtype="int64")},
    }[kind]
    _, y = bag(combine, **given)
    table = Graph(y)["bag.table"]
    gy = cr.input("gy", (WIDTH,), dtype="float64")
    value, gradient = run([y, *gradients(cr.sum(y * gy), [table])], feeds | {"gy": GIVEN["gy"]})
    case = f"{combine}.padded.plain.float64"
    npt.assert_allclose(value, FROZEN[f"{case}.y"], rtol=1e-12, atol=1e-14)
    npt.assert_allclose(gradient, FROZEN[f"{case}.table"], rtol=1e-12, atol=1e-14)
    assert not value[1].any()  # the empty bag


def test_several_exclude_together_and_weights_of_what_is_excluded_do_not_count() -> None:
    w, m = cr.input("w", (LENGTH,), dtype="float64"), cr.input("m", (LENGTH,), dtype="bool")
    n = cr.input("n", (), dtype="int32")
    x = cr.input("x", (LENGTH,), dtype="int32")
    y = cr.embedding_bag(
        x, COUNT, WIDTH, init=GIVEN["table"], dtype="float64", padding=-1, lengths=n, mask=m,
        weights=w, name="bag",
    )  # fmt: skip
    feeds = {
        "x": np.array([[3, 99, -1, 2], [-1, 5, 1, 6], [4, 4, 4, 4]], "int32"),
        "m": np.array([[1, 0, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]], bool),
        "n": np.array([3, 3, 0], "int32"),
        "w": np.array([[2.0, np.nan, np.inf, np.nan], [np.nan, 1, -3, 7], [1, 1, 1, 1]]),
    }
    table = GIVEN["table"]
    wanted = [table[3], (table[5] - 3 * table[1]) / -2, np.zeros(WIDTH)]
    value, gw, gt = run([y, *gradients(cr.sum(cr.square(y)), [w, Graph(y)["bag.table"]])], feeds)
    npt.assert_allclose(value, wanted, rtol=1e-12)
    used = np.array([[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]], bool)
    assert not gw[~used].any()
    assert np.isfinite(gw).all()
    assert gw[1, 1] != 0
    assert set(np.flatnonzero(gt.any(1))) == {1, 3, 5}


def test_weights_that_cancel_give_zeros() -> None:
    w = cr.input("w", (LENGTH,), dtype="float64")
    _, y = bag("mean", weights=w)
    feeds = {"x": GIVEN["indices"], "w": np.tile([1.0, -1, 2, -2], (ROWS, 1))}
    value, gradient = run([y, *gradients(cr.sum(y), [Graph(y)["bag.table"]])], feeds)
    assert not value.any()
    assert not gradient.any()


@pytest.mark.parametrize("combine", ["sum", "mean", "max"])
@pytest.mark.parametrize("length", [1, 3])
def test_bags_of_one_index_and_on_further_axes(length: int, combine: str) -> None:
    x = cr.input("x", (2, length), dtype="int32")
    y = cr.embedding_bag(x, 4, 3, combine=combine, name="bag")
    assert y.shape == (cr.input("x", ()).shape[0], 2, 3)
    codes = np.random.default_rng(0).integers(0, 4, (5, 2, length)).astype("int32")
    table = np.random.default_rng(1).normal(size=(4, 3)).astype("float32")
    value = run(y, {"x": codes}, {"bag.table": table})
    combined = {"sum": np.sum, "mean": np.mean, "max": np.max}[combine](table[codes], axis=2)
    npt.assert_allclose(value, combined, rtol=1e-6, atol=1e-7)
    assert run(y, {"x": codes[:0]}, {"bag.table": table}).shape == (0, 2, 3)
    assert run(y, {"x": codes[:1]}, {"bag.table": table}).shape == (1, 2, 3)


@pytest.mark.parametrize("combine", ["sum", "mean"])
def test_gradients_of_both_orders(combine: str) -> None:
    w = cr.input("w", (LENGTH,), dtype="float64")
    _, y = bag(combine, weights=w, padding=0)
    loss = cr.sum(cr.tanh(y) * y)
    feeds = {"x": GIVEN["padded"], "w": np.abs(GIVEN["weights"]) + 0.3}
    table = Graph(y)["bag.table"]
    assert_gradient(loss, [w, table], feeds)
    assert_second(loss, w, feeds)
    assert_second(loss, table, feeds)


# ---------------------------------------------------------------- names, files, refusals


def test_its_parts_are_named_and_it_stands_in_a_sequence_and_a_summary() -> None:
    x = cr.input("x", (LENGTH,), dtype="int32")
    y = cr.sequential(
        x, cr.layer.embedding_bag(9, 4, padding=0, name="words"), cr.layer.dense(2, name="y")
    )
    names = {Graph(y).name(node) for node in Graph(y)}
    assert all(n == "x" or n.startswith(("words", "y")) for n in names)
    assert {"words", "words.table", "words.rows"} <= names
    text = str(cr.summary(y))
    assert "words" in text
    assert "embedding_bag" in text
    assert "36" in text  # its parameters


def test_a_saved_model_predicts_the_same_and_trains_on(tmp_path: Path) -> None:
    x, w = cr.input("x", (LENGTH,), dtype="int32"), cr.input("w", (LENGTH,))
    h = cr.embedding_bag(x, 9, 4, padding=0, weights=w, name="words", sparse=True)
    y = cr.dense(h, 1, name="y")
    model = cr.Model(outputs=y, loss=cr.squared_error(y, cr.input("t", (1,))), seed=0)
    numbers = np.random.default_rng(0)
    data = {
        "x": numbers.integers(0, 9, (40, LENGTH)).astype("int32"),
        "w": numbers.uniform(0.5, 1, (40, LENGTH)).astype("float32"),
    }
    data["t"] = data["w"].sum(1, keepdims=True)
    model.fit(data, epochs=2, batch_size=8, optimizer="adam", verbose=False)
    model.save(tmp_path / "m.safetensors")
    read = cr.load(tmp_path / "m.safetensors")
    fed = {key: data[key] for key in ("x", "w")}
    assert read.predict(fed).tobytes() == model.predict(fed).tobytes()
    for each in (model, read):
        each.fit(data, epochs=2, batch_size=8, optimizer="adam", verbose=False)
    assert read.predict(fed).tobytes() == model.predict(fed).tobytes()


@pytest.mark.parametrize("sparse", [None, True, False])
@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_fit_tells_of_large_tables_that_each_step_updates_whole(
    rule: str, sparse: bool | None, capsys: pytest.CaptureFixture[str]
) -> None:
    x = cr.input("x", (2,), dtype="int32")
    y = cr.dense(cr.embedding_bag(x, 2049, 1, name="words", sparse=sparse), 1, name="y")
    model = cr.Model(outputs=y, loss=cr.squared_error(y, cr.input("t", (1,))), seed=0)
    data = {"x": np.zeros((9, 2), "int32"), "t": np.zeros((9, 1))}
    model.fit(data, epochs=1, optimizer=rule, verbose=True)
    told = "'words.table', 2,049 rows: each step updates the whole table, as its unused rows move"
    said = " ".join("".join(capsys.readouterr()).split())
    assert (told in said) == (rule == "adam" and sparse is None)


def test_an_index_that_counts_and_is_out_of_range_is_named() -> None:
    x = cr.input("x", (3,), dtype="int32")
    y = cr.dense(cr.embedding_bag(x, 5, 4, padding=-1, name="words"), 1, name="y")
    model = cr.Model(outputs=y, loss=cr.squared_error(y, cr.input("t", (1,))), seed=0)
    codes = np.array([[0, -1, 4], [1, 5, -1]], "int32")
    for act in (
        lambda: model.predict({"x": codes}),
        lambda: model.fit({"x": codes, "t": np.zeros((2, 1))}, epochs=1, verbose=False),
    ):
        with pytest.raises(FeedError, match="out of range") as caught:
            act()
        assert "0 to 4" in str(caught.value)
        assert "node 'words.rows'" in str(caught.value)
        assert "row 1" in str(caught.value)
    assert np.isfinite(model.predict({"x": codes[:1]})).all()


X = cr.input("x", (3,), dtype="int32")


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: cr.embedding_bag(cr.input("f", (3,)), 5, 2), DTypeError, "indices are integers"),
        (lambda: cr.embedding_bag(cr.input("c", (), "int32"), 5, 2), ShapeError, "axis of a bag"),
        (lambda: cr.embedding_bag(cr.input("c", (0,), "int32"), 5, 2), ShapeError, "axis of a bag"),
        (lambda: cr.embedding_bag(X, 0, 2), SettingError, "count"),
        (lambda: cr.embedding_bag(X, 5, 2, combine="men"), SettingError, "'mean'"),
        (lambda: cr.embedding_bag(X, 5, 2, padding=0.5), SettingError, "padding is an int32"),
        (lambda: cr.embedding_bag(X, 5, 2, padding=2**31), SettingError, "int32(.|\n)*2147483648"),
        (
            lambda: cr.embedding_bag(X, 5, 2, combine="max", weights=cr.input("w", (3,))),
            SettingError, "takes no weights",
        ),
        (
            lambda: cr.embedding_bag(X, 5, 2, weights=cr.input("w", (4,))),
            ShapeError, r"\(N, 3\)(.|\n)*\(N, 4\)",
        ),
        (
            lambda: cr.embedding_bag(X, 5, 2, weights=cr.input("w", (3,), "float64")),
            DTypeError, "float32(.|\n)*float64",
        ),
        (
            lambda: cr.embedding_bag(X, 5, 2, mask=cr.input("m", (3,), "int32")),
            DTypeError, "bool(.|\n)*int32",
        ),
        (
            lambda: cr.embedding_bag(X, 5, 2, lengths=cr.input("n", (1,), "int32")),
            ShapeError, r"\(N,\)(.|\n)*\(N, 1\)",
        ),
        (lambda: cr.embedding_bag(X, 5, 2, sparse=1), SettingError, "sparse"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_both_sides(make: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        make()
    assert "embedding_bag" in str(caught.value)
