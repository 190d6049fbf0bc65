"""Ops made outside of Chainrule: interpreted at their place, or compiled where they are lowered."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from chainrule.errors import ChainruleWarning, GraphError, ModelFileError, SettingError
from chainrule.graph.op import REGISTRY, Element, Map, Reduce, Values
from chainrule.ir.index import Place, add, const, scalar
from chainrule.ir.kernel import Const, Expr
from chainrule.types import Dim, N, TensorType

Array = np.ndarray[Any, Any]
ROWS = 40
NUMBERS = np.random.default_rng(5)
X = NUMBERS.normal(size=(ROWS, 3))
T = NUMBERS.normal(size=(ROWS, 1))


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Ops that a test makes are gone after it."""
    before = dict(REGISTRY)
    yield
    REGISTRY.clear()
    REGISTRY.update(before)


def cube(**settings: Any) -> Callable[..., cr.Node]:
    return cr.op(
        "cube", forward=lambda x: x**3, gradient=lambda gy, y, x: (gy * (3 * x * x),), **settings
    )


def scaled_sum(**settings: Any) -> Callable[..., cr.Node]:
    """`factor` times the sum along an axis: a reduction with attributes."""
    return cr.op(
        "scaled_sum",
        kind="reduce",
        infer=lambda x, axis, factor: TensorType(x.shape[:axis] + x.shape[axis + 1 :], x.dtype),
        forward=lambda x, axis, factor: (x.sum(axis) * factor).astype(x.dtype),
        gradient=lambda gy, y, x, axis, factor: (
            cr.broadcast_to(cr.expand_dims(gy * factor, axis), x.shape),
        ),
        **settings,
    )


def lower_scaled_sum() -> Reduce:
    def rule(node: Any, place: Place, value: Values, loop: Callable[[Dim], Expr]) -> Expr:
        x, axis = node.operands[0], node.attributes["axis"]
        term = value(x, (*place[:axis], loop(x.shape[axis]), *place[axis:]))
        return scalar("mul", term, Const(node.attributes["factor"], x.dtype))

    return Reduce("sum", rule, rereads=False)


CUBES: dict[str, dict[str, Any]] = {
    "map": {"lower": Map(lambda x: scalar("mul", x, scalar("mul", x, x))), "price": 2},
    "decompose": {"decompose": lambda x: x * cr.square(x)},
    "element": {
        "lower": Element(lambda node, place, value: scalar(
            "mul", value(node.operands[0], place), scalar(
                "mul", value(node.operands[0], place), value(node.operands[0], place)
            ),
        )),
    },
}  # fmt: skip
SUMS: dict[str, dict[str, Any]] = {
    "reduce": {"lower": lower_scaled_sum()},
    "decompose": {"decompose": lambda x, axis, factor: cr.sum(x, axis) * factor},
}


def network(middle: Callable[[cr.Node], cr.Node], dtype: str = "float32") -> cr.Model:
    x, t = cr.input("x", (3,), dtype=dtype), cr.input("t", (1,), dtype=dtype)
    y = cr.dense(cr.tanh(cr.dense(middle(cr.dense(x, 4)), 3)), 1)
    return cr.Model(outputs=y, loss=cr.squared_error(y, t), seed=2)


def data(dtype: str = "float32") -> dict[str, Array]:
    return {"x": X.astype(dtype), "t": T.astype(dtype)}


def with_sum(function: Callable[..., cr.Node]) -> Callable[[cr.Node], cr.Node]:
    return lambda h: h * cr.expand_dims(function(h, axis=1, factor=0.5), 1)


def composed_sum(h: cr.Node, axis: int, factor: float) -> cr.Node:
    return cr.sum(h, axis) * factor


MIDDLES: dict[str, tuple[Callable[[], Callable[[cr.Node], cr.Node]], Any]] = {
    "map": (cube, lambda h: h * h * h),
    "reduce with attributes": (lambda: with_sum(scaled_sum()), with_sum(composed_sum)),
}
"""How a user's op is made, and the same of Chainrule's own."""


# ---------------------------------------------------------------- without a lowering


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", list(MIDDLES))
def test_an_op_without_a_lowering_trains_and_predicts(name: str, dtype: str) -> None:
    make, composed = MIDDLES[name]
    model, same = network(make(), dtype), network(composed, dtype)
    tolerance = {"rtol": 2e-4, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-9}
    settings: dict[str, Any] = {"epochs": 3, "validation": 0.25, "verbose": False}
    npt.assert_allclose(model.predict(data(dtype)), same.predict(data(dtype)), **tolerance)
    with pytest.warns(ChainruleWarning, match="has no lowering: each step calls its"):
        model.fit(data(dtype), **settings)
    same.fit(data(dtype), **settings)
    for key in ("loss", "validation_loss"):
        npt.assert_allclose(model.history[key], same.history[key], **tolerance)
    npt.assert_allclose(model.predict(data(dtype)), same.predict(data(dtype)), **tolerance)
    assert model.evaluate(data(dtype)) == pytest.approx(same.evaluate(data(dtype)), rel=1e-3)


def test_what_is_around_such_an_op_stays_machine_code() -> None:
    model = network(cube())
    stages = [type(x).__name__ for x in model._own.forward._stages]
    assert stages == ["_Native", "_Whole", "_Native"]
    assert [type(x).__name__ for x in network(cr.square)._own.forward._stages] == ["_Native"]


def test_such_an_op_on_parameters_on_several_rows_and_twice() -> None:
    made = cube()
    x = cr.input("x", (3,), dtype="float64")
    w = cr.parameter("w", np.array([0.5, 1.0, 1.5]), dtype="float64")
    h = made(made(x + made(w)) * x) + made(w)
    centred = made(h - cr.mean(h, 0)) + x
    model = cr.Model(outputs=[h, centred, made(w), x])
    small, cubes = X / 5, np.array([0.5, 1.0, 1.5]) ** 3
    wanted = ((small + cubes) ** 3 * small) ** 3 + cubes
    found = model.predict({"x": small})
    npt.assert_allclose(found[0], wanted, rtol=1e-12)
    npt.assert_allclose(found[1], (wanted - wanted.mean(0)) ** 3 + small, rtol=1e-12, atol=1e-12)
    npt.assert_array_equal(found[2], cubes)
    npt.assert_array_equal(found[3], small)


def test_an_op_that_does_not_name_its_axes_sees_all_rows() -> None:
    centre = cr.op(
        "centre", kind="reduce", infer=lambda x: x, gradient=None,
        forward=lambda x: x - x.mean(0, dtype=x.dtype),
    )  # fmt: skip
    y = cr.square(centre(cr.input("x", (3,), dtype="float64") * 2.0))
    wanted = np.square(2 * X - (2 * X).mean(0))
    npt.assert_allclose(cr.Model(outputs=y).predict({"x": X}), wanted)
    lower = REGISTRY.pop("centre")
    assert lower.serial
    decomposed = cr.op(
        "centre", kind="reduce", infer=lambda x: x, gradient=None, forward=lower.forward,
        decompose=lambda x: x - cr.mean(x, 0, keepdims=True),
    )  # fmt: skip
    y = cr.square(decomposed(cr.input("x", (3,), dtype="float64") * 2.0))
    npt.assert_allclose(cr.Model(outputs=y).predict({"x": np.tile(X, (200, 1))})[:ROWS], wanted)


def test_the_warning_names_op_node_and_fix_and_the_interpreter_is_silent() -> None:
    model = network(cube())
    with pytest.warns(ChainruleWarning) as told:
        model.fit(data(), epochs=1, verbose=False)
    text = str(told[0].message)
    assert len(told) == 1
    assert "'cube'" in text
    assert "node 'cube', line test_ops_custom.py" in text
    assert "decompose=... or lower=..." in text
    assert told[0].filename == __file__
    model.fit(data(), epochs=1, verbose=False, backend="interpreter")


def test_lbfgs_fit_many_and_plan() -> None:
    model = network(cube())
    with pytest.warns(ChainruleWarning, match="no lowering"):
        model.fit(data(), epochs=5, optimizer="lbfgs", verbose=False)
    assert model.history["loss"][-1] < model.history["loss"][0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ChainruleWarning)
        found = cr.fit_many([network(cube()) for _ in range(2)], data(), epochs=2, verbose=False)
    npt.assert_array_equal(found[0]["loss"], found[1]["loss"])
    plan = network(cube()).plan()
    assert [(x.name, x.phase) for x in plan.plan.calls] == [("cube", 1)]
    assert "1 call of NumPy between machine code" in " ".join(str(plan).split())
    assert "call cube: a user's op" in plan.listing
    assert plan.to_dict()["calls"] == [{"name": "cube", "after_phase": 1}]


def test_a_file_with_such_an_op_loads_where_it_is_made(tmp_path: Path) -> None:
    model = network(cube())
    path = tmp_path / "cube.crm"
    model.save(path)
    npt.assert_array_equal(cr.load(path).predict(data()), model.predict(data()))
    del REGISTRY["cube"]
    with pytest.raises(ModelFileError, match="unknown op 'cube'"):
        cr.load(path)


# ---------------------------------------------------------------- with one


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", list(CUBES))
def test_an_op_with_a_lowering_is_compiled(form: str, dtype: str) -> None:
    model = network(cube(**CUBES[form]), dtype)
    assert "cube" in str(model.plan()) or form == "decompose"
    assert [type(x).__name__ for x in model._own.forward._stages] == ["_Native"]
    interpreted = network(lambda h: h * h * h, dtype)
    for each, backend in ((model, "native"), (interpreted, "interpreter")):
        each.fit(data(dtype), epochs=3, verbose=False, backend=backend)
    tolerance = 2e-4 if dtype == "float32" else 1e-9
    npt.assert_allclose(model.history["loss"], interpreted.history["loss"], rtol=tolerance)


@pytest.mark.parametrize("form", list(SUMS))
def test_a_reduction_with_a_lowering_is_compiled(form: str) -> None:
    model = network(with_sum(scaled_sum(**SUMS[form])), "float64")
    same = network(with_sum(composed_sum), "float64")
    for each in (model, same):
        each.fit(data("float64"), epochs=3, verbose=False)
    npt.assert_allclose(model.history["loss"], same.history["loss"], rtol=1e-12)
    npt.assert_allclose(model.predict(data("float64")), same.predict(data("float64")), rtol=1e-12)


def test_an_element_of_another_place() -> None:
    shifted = cr.op(
        "shifted", kind="index", gradient=None,
        infer=lambda x, axis: TensorType((*x.shape[:axis], x.shape[axis] - 1), x.dtype),
        forward=lambda x, axis: x[..., 1:],
        lower=Element(
            lambda node, place, value: value(node.operands[0], (place[0], add(place[1], const(1))))
        ),
    )  # fmt: skip
    y = shifted(cr.input("x", (3,), dtype="float64"), axis=1)
    assert y.shape == (N, 2)
    npt.assert_array_equal(cr.Model(outputs=y).predict({"x": X}), X[:, 1:])


def test_a_decomposition_is_decomposed_itself() -> None:
    made = cr.op(
        "centred_softmax", kind="reduce", infer=lambda x, axis: x, gradient=None,
        forward=lambda x, axis: np.exp(x) / np.exp(x).sum(axis, keepdims=True) - 1 / x.shape[axis],
        decompose=lambda x, axis: (
            cr.softmax(x, axis) - cr.mean(cr.softmax(x, axis), axis, keepdims=True)
        ),
    )  # fmt: skip
    y = made(cr.input("x", (3,), dtype="float64"), axis=1)
    wanted = np.exp(X) / np.exp(X).sum(1, keepdims=True) - 1 / 3
    npt.assert_allclose(cr.Model(outputs=y).predict({"x": X}), wanted, rtol=1e-12, atol=1e-15)


def test_an_op_made_again_is_another() -> None:
    def doubled(factor: float) -> Array:
        made = cr.op("scaled", forward=lambda x: x * x.dtype.type(factor), gradient=None,
                     decompose=lambda x: x * factor)  # fmt: skip
        y = made(cr.input("x", (3,), dtype="float64"))
        return np.asarray(cr.Model(outputs=y).predict({"x": X}))

    npt.assert_array_equal(doubled(2.0), 2 * X)
    npt.assert_array_equal(doubled(3.0), 3 * X)


# ---------------------------------------------------------------- mistakes


def test_a_wrong_forward_names_op_and_node() -> None:
    broken = cr.op("broken", forward=lambda x: x.no_such_thing, gradient=None)
    model = cr.Model(outputs=broken(cr.input("x", (3,))).named("here"))
    with pytest.raises(AttributeError) as caught:
        model.predict({"x": X.astype("float32")})
    assert "op 'broken', node 'here', line test_ops_custom.py" in caught.value.__notes__[0]
    wide = cr.op("wide", forward=lambda x: x.astype("float64"), gradient=None)
    with pytest.raises(GraphError, match=r"(?s)another type.*float32\(N, 3\).*float64\(40, 3\)"):
        cr.Model(outputs=wide(cr.input("x", (3,)))).predict({"x": X.astype("float32")})


def test_wrong_records() -> None:
    with pytest.raises(GraphError, match="exists already"):
        cr.op("tanh", forward=np.tanh, gradient=None)
    with pytest.raises(SettingError, match="'longer' has no rule for its type"):
        cr.op("longer", kind="reduce", forward=np.tanh, gradient=None)
    wrong = cr.op("wrong", forward=np.tanh, gradient=None, decompose=lambda x: cr.sum(x, 1))
    with pytest.raises(GraphError, match="the decomposition of 'wrong' makes the wrong type"):
        cr.Model(outputs=wrong(cr.input("x", (3,))))


def test_a_decomposition_into_itself_is_an_error() -> None:
    made: list[Callable[..., cr.Node]] = []
    made.append(
        cr.op("into_itself", forward=np.tanh, gradient=None, decompose=lambda x: made[0](x) * 1.0)
    )
    with pytest.raises(GraphError, match="has 'into_itself' in it again"):
        cr.Model(outputs=made[0](cr.input("x", (3,))))
