"""A compiled step that calls a user's ops in NumPy, between machine code: as the interpreter."""

from __future__ import annotations

import copy
import signal
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from chainrule.engine.native import NativeProgram
from chainrule.errors import GraphError, NotFinite
from chainrule.graph.op import REGISTRY
from chainrule.types import TensorType

pytest.importorskip("llvmlite")
pytestmark = pytest.mark.filterwarnings("ignore:.*has no lowering")

Array = np.ndarray[Any, Any]
Function = Callable[..., Any]
R = np.random.default_rng(4)
DATA = {"x": R.normal(size=(50, 6)), "t": R.normal(size=(50, 2))}


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Ops that a test makes are gone after it."""
    before = dict(REGISTRY)
    yield
    REGISTRY.clear()
    REGISTRY.update(before)


def own(name: str, forward: Function, gradient: Function | None = None, **more: Any) -> Function:
    return cr.op(name, forward=forward, gradient=gradient, **more)


def curved() -> Function:
    """tanh, whose gradient is an own op too."""
    slope = own("slope", lambda g, y: g * (1 - y * y))
    return own("curved", np.tanh, lambda gy, y, x: (slope(gy, y),))


def plain() -> Function:
    return own("plain", np.tanh, lambda gy, y, x: (gy * (1 - y * y),))


def total() -> Function:
    """A reduction over all rows."""
    return own(
        "total", lambda x: np.asarray(x.mean(), x.dtype),
        lambda gy, y, x: (cr.zeros_like(x) + gy / cr.count(x.shape, x.dtype),)
        if hasattr(cr, "count") else (gy * (x * 0.0 + 1.0) / cr.sum(x * 0.0 + 1.0),),
        kind="reduce", infer=lambda x: TensorType((), x.dtype),
    )  # fmt: skip


def scaled() -> Function:
    """With a parameter as an operand, and N on its second axis."""
    return own(
        "scaled", lambda w, x: np.ascontiguousarray(w[:, None] * x.T),
        lambda gy, y, w, x: (cr.sum(gy * cr.transpose(x), 1), cr.transpose(gy) * w),
        kind="contract",
        infer=lambda w, x: TensorType((w.shape[0], x.shape[0]), x.dtype),
    )  # fmt: skip


def deep(h: cr.Node) -> cr.Node:
    a, b = curved(), plain()
    return a(b(h) + h) * b(a(h))


def dropped(h: cr.Node) -> cr.Node:
    return cr.dropout(curved()(cr.batch_norm(h)), 0.3)


def weighed(h: cr.Node) -> cr.Node:
    w = cr.parameter("own.w", np.linspace(0.5, 1, 5), dtype=h.dtype)
    return cr.transpose(scaled()(w, h))


def rounded(h: cr.Node) -> cr.Node:
    """Integers that choose rows of a table."""
    bins = own(
        "bins", lambda x: (x > 0).astype("int32"), kind="map",
        infer=lambda x: TensorType(x.shape, "int32"),
    )  # fmt: skip
    table = cr.parameter("table", np.array([[0.5], [1.5]]), dtype=h.dtype)
    return h * cr.sum(cr.take(table, bins(h), 0), 2)


def joined(h: cr.Node) -> cr.Node:
    """As a part of an array in memory, beside others, and of all of it."""
    a, b = curved(), plain()
    parts = [cr.dense(h, 100) for _ in range(3)]
    wide = cr.concat([cr.tanh(parts[0]), a(parts[1]), parts[2]], 1)
    return cr.dense(wide, 5) + cr.dense(b(wide), 5)


MIDDLES: dict[str, Callable[[cr.Node], cr.Node]] = {
    "one": lambda h: plain()(h),
    "gradient too": lambda h: curved()(h),
    "in a chain and twice": deep,
    "with randomness and statistics": dropped,
    "of a parameter, transposed": weighed,
    "of integers": rounded,
    "joined": joined,
    "on the data": lambda h: h + 0.0 * plain()(h) + cr.sum(plain()(h), 1, keepdims=True),
}


def network(middle: Callable[[cr.Node], cr.Node], dtype: str = "float64") -> cr.Model[Array]:
    x, t = cr.input("x", (6,), dtype=dtype), cr.input("t", (2,), dtype=dtype)
    y = cr.dense(middle(cr.dense(x, 5, name="h")), 2, name="y")
    return cr.Model(y, cr.squared_error(y, t), seed=2)


def trained(model: cr.Model[Array], **settings: Any) -> cr.Model[Array]:
    model.fit(DATA, epochs=3, batch_size=16, optimizer=cr.Adam(0.01), verbose=False, **settings)
    return model


@pytest.mark.parametrize("name", list(MIDDLES))
def test_it_trains_as_the_interpreter_does(name: str) -> None:
    model = trained(network(MIDDLES[name]))
    (program,) = model.step_cache._resting
    assert isinstance(program, NativeProgram)
    same = trained(network(MIDDLES[name]), backend="interpreter")
    npt.assert_allclose(model.history["loss"], same.history["loss"], rtol=1e-9)
    for key, value in model.values.items():
        npt.assert_allclose(value, same.value(key), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", ["in a chain and twice", "with randomness and statistics"])
def test_the_bits_are_the_same_for_any_number_of_threads(name: str) -> None:
    one, two = (trained(network(MIDDLES[name], "float32"), threads=k) for k in (1, 2))
    for key, value in one.values.items():
        npt.assert_array_equal(value, two.value(key))


def test_it_may_be_the_loss_itself_and_take_all_rows() -> None:
    def made() -> cr.Model[Array]:
        x = cr.input("x", (6,), dtype="float64")
        return cr.Model(y := cr.dense(x, 3, name="h"), total()(cr.square(y)), seed=1)

    data = {"x": DATA["x"]}
    for settings in ({}, {"optimizer": "lbfgs"}):
        model, same = made(), made()
        model.fit(data, epochs=3, verbose=False, **settings)
        same.fit(data, epochs=3, verbose=False, backend="interpreter", **settings)
        npt.assert_allclose(model.history["loss"], same.history["loss"], rtol=1e-8)


def test_single_steps_copies_and_profiles() -> None:
    model, same = network(curved()), network(cr.tanh)
    rows = {name: x[:7] for name, x in DATA.items()}
    for _ in range(3):
        npt.assert_allclose(model.step(rows), same.step(rows), rtol=1e-9)
    npt.assert_array_equal(copy.copy(model).predict(rows), model.predict(rows))
    found = model.profile(DATA, seconds=0.01)
    assert "h.w.new" in str(found)


# ---------------------------------------------------------------- mistakes


def after(model: cr.Model[Array], steps: int, fail: Callable[[], None]) -> dict[str, Array]:
    """The values after so many steps of the run that `fail` breaks."""
    fail()
    assert model.steps == steps
    return dict(model.values)


def failing(at: int, forward: Function) -> tuple[Function, list[int]]:
    """tanh, that does something else in a call and from then on."""
    calls = [0]

    def counted(x: Array) -> Array:
        calls[0] += 1
        return np.asarray(forward(x) if calls[0] >= at else np.tanh(x))

    return own("failing", counted, lambda gy, y, x: (gy * (1 - y * y),)), calls


def raising(x: Array) -> Array:
    raise ValueError("no such thing")


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_names_the_node_and_leaves_the_last_good_step(threads: int) -> None:
    made, calls = failing(8, raising)
    model = network(lambda h: made(h).named("mine"))
    settings: dict[str, Any] = {"validation": None, "threads": threads, "keep_best": False}
    with pytest.raises(ValueError, match="no such thing") as caught:
        trained(model, **settings)
    assert "op 'failing', node 'mine', line test_user_calls.py" in caught.value.__notes__[0]
    assert calls[0] == 8  # no call is made again
    assert model.steps == 7
    same = network(cr.tanh)
    reference = []
    same.fit(
        DATA, epochs=3, batch_size=16, optimizer=cr.Adam(0.01), verbose=False, validation=None,
        callbacks=Watch(same, reference), keep_best=False,
    )  # fmt: skip
    for key, value in reference[6].items():
        npt.assert_allclose(model.value(key), value, rtol=1e-9, atol=1e-12)
    calls[0] = -1000
    trained(model, **settings)  # and it goes on


class Watch(cr.Callback):
    """Keeps the parameters after each step."""

    def __init__(self, model: cr.Model[Array], into: list[dict[str, Array]]) -> None:
        self.model, self.into = model, into

    def on_step(self, state: cr.State) -> None:
        self.into.append({name: x.copy() for name, x in self.model.values.items()})


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        (lambda x: x.astype("float32"), "end the forward with .astype('float64')"),
        (lambda x: x[:, :2], "infer=... tells the TensorType"),
        (lambda x: x[:3], "for 16 rows"),
        (lambda x: None, "object()"),
    ],
)
def test_another_type_than_inferred_is_refused(wrong: Function, part: str) -> None:
    model = network(failing(2, wrong)[0])
    with pytest.raises(GraphError) as caught:
        trained(model, validation=None)
    assert "the forward makes another type" in str(caught.value)
    assert part in str(caught.value)
    assert model.steps == 1


def test_what_is_not_finite_is_named() -> None:
    model = network(lambda h: failing(4, lambda x: np.log(x * 0))[0](h).named("mine"))
    with pytest.raises(NotFinite, match=r"(?s)node 'mine'.*test_user_calls"):
        trained(model, validation=None)
    assert model.steps == 3


def test_operands_may_be_changed_and_kept() -> None:
    kept = []

    def greedy(x: Array) -> Array:
        kept.append(x)
        return np.tanh(x, out=x)

    made = own("greedy", greedy, lambda gy, y, x: (gy * (1 - y * y) + 0.0 * x,))
    model = trained(network(lambda h: made(h) + h))
    same = trained(network(lambda h: cr.tanh(h) + h))
    npt.assert_allclose(model.history["loss"], same.history["loss"], rtol=1e-9)
    first = kept[0].copy()
    before = model.values
    npt.assert_allclose(model.predict(DATA), same.predict(DATA), rtol=1e-6)
    npt.assert_array_equal(kept[0], first)
    for name, value in before.items():
        npt.assert_array_equal(model.value(name), value)


def test_ctrl_c_interrupts_the_op() -> None:
    def endless(x: Array) -> Array:
        signal.raise_signal(signal.SIGINT)
        while True:
            pass

    model = network(failing(6, endless)[0])
    with pytest.raises(KeyboardInterrupt):
        trained(model, validation=None)
    assert model.steps == 5
    assert all(np.isfinite(x).all() for x in model.values.values())


def test_the_warning_is_one_for_each_op_and_can_be_silenced() -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        trained(network(deep))
    texts = [str(x.message) for x in told]
    assert [x.split("'")[1] for x in texts] == ["plain", "curved", "slope"]
    pattern = texts[0].rpartition("filterwarnings(")[2]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        eval("warnings.filterwarnings(" + pattern, {"warnings": warnings})
        trained(network(MIDDLES["one"]))
    assert not told
