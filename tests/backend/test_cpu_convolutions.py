"""Convolutions as products over windows that are never made: values, memory, threads, code."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runners import runnable

import chainrule as cr
from chainrule.autodiff import gradients
from chainrule.backend.cpu.emit import direct
from chainrule.backend.cpu.emit.blocks import Blocks, blocks
from chainrule.backend.cpu.layout import argument
from chainrule.backend.cpu.machine import host
from chainrule.costs.cost import share
from chainrule.costs.work import work
from chainrule.engine.compile import build_step, plan_forward, plan_step
from chainrule.graph import Graph
from chainrule.interpret import evaluate
from chainrule.passes.hoist import hoist
from chainrule.plan.linearize import laid_out
from chainrule.plan.plan import Plan, Task

Array = np.ndarray[Any, Any]


def convolution(
    x: cr.Node, w: cr.Node, stride: int = 1, dilation: int = 1, padding: int = 0
) -> cr.Node:
    by = {"stride": stride, "dilation": dilation, "padding": padding}
    return cr.einsum("nyxijc,ijco->nyxo", cr.windows(x, w.shape[:2], **by), w)


def drawn(*shape: int, dtype: str = "float32") -> Array:
    value = np.random.default_rng(len(shape)).normal(size=shape) / math.sqrt(math.prod(shape[:-1]))
    return value.astype(dtype)


def weights(name: str, *shape: int) -> cr.Node:
    return cr.parameter(name, drawn(*shape))


def network() -> tuple[cr.Node, cr.Node]:
    """A loss over convolutions of several kinds, and its network's output."""
    x, t = cr.input("x", (10, 9, 1)), cr.input("t", (), dtype="int32")
    h = cr.relu(convolution(x, weights("first", 5, 5, 1, 6), padding=2) + weights("b", 6))
    h = cr.max(cr.windows(h, (2, 2), stride=2), axis=(3, 4))
    deep = cr.windows(h, (3, 3), padding=1)
    h = h + cr.tanh(cr.einsum("nyxijc,ijc->nyxc", deep, weights("depthwise", 3, 3, 6)))
    h = cr.relu(convolution(h, weights("strided", 3, 3, 6, 20), stride=2, padding=1))
    h = cr.tanh(convolution(h, weights("one", 1, 1, 20, 7)))
    out = cr.dense(cr.flatten(h), 3)
    return cr.cross_entropy(out, t), out


def step_plan() -> Plan:
    loss, _ = network()
    return plan_step(build_step(Graph(loss), loss, cr.SGD(0.1)))


def blocked(task: Task) -> Blocks | None:
    linear = laid_out(task.linear, task.operands, lambda buffer: argument(buffer, 32))
    return blocks(linear, task.contraction, host())


def natively(
    plan: Plan, arrays: dict[str, Array], rows: int, room: int = 0, **options: Any
) -> list[Array]:
    native = runnable(plan, room or rows, **options)
    for buffer in plan.buffers:
        if buffer.space == "data":
            native.bind(buffer.name, arrays[buffer.name])
        elif buffer.space == "state":
            native.state[buffer.name] = arrays[buffer.name]
    native.call(np.arange(rows))
    return [native.output(buffer, rows).copy() for buffer in plan.outputs]


def test_a_step_makes_no_windows() -> None:
    largest = 32 * 14 * 13 * 6  # the first picture with its margin, or what it becomes
    for buffer in step_plan().buffers:
        assert math.prod(d if isinstance(d, int) else 32 for d in buffer.shape) <= largest, buffer


def test_every_product_of_a_convolution_is_blocked_and_joined_by_its_update() -> None:
    plan = step_plan()
    found = {task.kernel.name: blocked(task) for task in plan.tasks}
    made = [name for name, shape in found.items() if shape is not None]
    # value, gradient by the input and by the weights, but for the input of the network
    assert len(made) == 4 + 4 + 3, made
    for name in ("first", "depthwise", "strided", "one"):
        assert found[f"{name}.new"] is not None, name


def test_a_tile_is_as_wide_as_registers_allow() -> None:
    for task in step_plan().tasks:
        shape = blocked(task)
        if shape is not None:
            rows = math.prod(extent for _, extent in shape.extents(False))
            assert rows * shape.vectors < host().registers, task.kernel.name
            assert rows * shape.vectors >= 3, task.kernel.name


def test_a_tile_of_a_square_image_has_neighbours_in_memory() -> None:
    """Rows of a tile that lie far apart share few sets of the cache."""
    x, w = cr.input("x", (32, 32, 16)), weights("w", 3, 3, 16, 16)
    y = convolution(cr.tanh(x), w, padding=1)
    plan = plan_forward(Graph(y), [y])
    (shape,) = filter(None, map(blocked, plan.tasks))
    assert shape.tile == (2,)


def test_tiles_have_one_size_where_that_costs_little() -> None:
    """Those of 64 channels would have 13 or 12, and twice as much code."""
    x, w = cr.input("x", (8, 8, 64)), weights("w", 3, 3, 64, 64)
    loss = cr.mean(cr.square(convolution(x, w, padding=1)))
    plan = plan_step(build_step(Graph(loss), loss, cr.SGD(0.1)))
    shapes = [shape for shape in map(blocked, plan.tasks) if shape is not None]
    assert len(shapes) == 2
    assert not any(shape.rest for shape in shapes)


def test_threads_are_predicted_to_share_the_tiles_of_a_gradient_evenly() -> None:
    tasks = {task.kernel.name: task for task in step_plan().tasks}
    assert share(work(tasks["strided.new"], 32), 32, 2) < 0.6  # 3 x 3 x 6 rows


def test_bits_do_not_depend_on_threads() -> None:
    rng = np.random.default_rng(0)
    data = {"x": rng.normal(size=(37, 10, 9, 1)).astype("float32"), "t": np.arange(37) % 3}
    loss, out = network()
    models = []
    for threads in (1, 2, 3):
        model = cr.Model(outputs=out, loss=loss, seed=0)
        model.fit(data, batch_size=16, epochs=2, threads=threads, validation=0.0, verbose=False)
        models.append(model)
    for one, other in pairwise(models):
        for name in ("first", "depthwise", "strided", "one", "b"):
            assert one.values[name].tobytes() == other.values[name].tobytes(), name


def test_windows_of_the_data_are_not_computed_ahead() -> None:
    x, w = cr.input("x", (5, 5, 1)), weights("w", 3, 3, 1, 2)
    y = cr.sum(convolution(x, w, padding=1))
    assert not hoist(Graph(y), (), math.inf).encoded


def test_bits_do_not_depend_on_the_room_for_rows() -> None:
    x, g = cr.input("x", (5, 3)), cr.input("g", (5, 4))
    products = [cr.einsum("npk,npo->ko", x, g)]
    rng = np.random.default_rng(0)
    arrays = {"x": rng.normal(size=(3, 5, 3)), "g": rng.normal(size=(3, 5, 4))}
    arrays = {name: value.astype("float32") for name, value in arrays.items()}
    plan = plan_forward(Graph(products), products)
    found = [natively(plan, arrays, 3, room=room)[0].tobytes() for room in (3, 8, 100)]
    assert len(set(found)) == 1


EQUATIONS = {"all": "nyxijc,ijco->nyxo", "each": "nyxijc,ijc->nyxc", "some": "nyxijgc,ijcgo->nyxgo"}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(sorted(EQUATIONS)), st.sampled_from((1, 2, 3, 5)), st.sampled_from((1, 2, 3)),
    st.sampled_from((1, 1, 2)), st.sampled_from((0, 1, 4)), st.sampled_from((1, 3, 17)),
    st.sampled_from((1, 6, 16, 33)), st.sampled_from((7, 9, 20)), st.sampled_from((1, 3, 30)),
    st.sampled_from(("float32", "float64")), st.sampled_from((None, 4, 8)),
)  # fmt: skip
def test_values_and_gradients_of_any_size(
    kind: str, size: int, stride: int, dilation: int, padding: int, channels: int, filters: int,
    wide: int, rows: int, dtype: str, width: int | None,
) -> None:  # fmt: skip
    if dilation * (size - 1) >= 7 + 2 * padding or (width and 4 * width > host().vector):
        return
    last = (2, channels) if kind == "some" else (channels,)
    x = cr.input("x", (7, wide, *last), dtype=dtype)
    shape = {"all": (channels, filters), "each": (channels,), "some": (channels, 2, filters)}[kind]
    value = drawn(size, size, *shape, dtype=dtype)
    w = cr.parameter("w", value, dtype=dtype)
    slid = cr.windows(x, (size, size), stride=stride, dilation=dilation, padding=padding)
    y = cr.einsum(EQUATIONS[kind], slid, w)
    outputs = [y, *gradients(cr.sum(cr.sin(y)), [x, w])]
    rng = np.random.default_rng(size)
    arrays = {"x": rng.normal(size=(rows, 7, wide, *last)).astype(dtype)}
    arrays["w"] = value
    known = evaluate(Graph(outputs), {x: arrays["x"], w: arrays["w"]}, rows=rows)
    plan = plan_forward(Graph(outputs), outputs)
    found = natively(plan, arrays, rows, width=width)
    tolerance = 2e-4 if dtype == "float32" else 1e-11
    for got, node in zip(found, outputs, strict=True):
        scale = np.abs(known[node]).max(initial=1.0)
        np.testing.assert_allclose(got, known[node], tolerance, tolerance * scale)
    again = natively(plan, arrays, rows, width=width, threads=3)
    assert [a.tobytes() for a in found] == [a.tobytes() for a in again]


@pytest.mark.parametrize("most", [1, 3000])
def test_sums_that_do_not_fit_in_memory_at_once_are_made_in_chunks(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, w = cr.input("x", (6, 8, 5)), weights("w", 3, 3, 5, 18)
    gradient = gradients(cr.sum(cr.sin(convolution(x, w, padding=1))), [w])
    arrays = {"x": np.random.default_rng(0).normal(size=(40, 6, 8, 5)).astype("float32")}
    arrays["w"] = drawn(3, 3, 5, 18)
    plan = plan_forward(Graph(gradient), gradient)
    want = natively(plan, arrays, 40)
    monkeypatch.setattr(direct, "MAX_SUMS_BYTES", most)
    assert natively(plan, arrays, 40)[0].tobytes() == want[0].tobytes()
