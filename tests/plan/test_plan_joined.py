"""Arrays that are joined of parts: the parts are written in their place, by code that is shared."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.backend.registry import find_backend
from chainrule.engine.compile import build_step, plan_forward, plan_step
from chainrule.graph import Graph
from chainrule.plan.show import show

R = np.random.default_rng(4)


def predicted(y, data):
    """What machine code gives, checked against the interpreter."""
    model = cr.Model(outputs=y, seed=1)
    made = model.predict(data)
    graph = Graph(y)
    want = model.run(data).value(graph.outputs[0])
    np.testing.assert_allclose(made, want, rtol=2e-5, atol=2e-6)
    return plan_forward(graph, [y])


def kernels(plan):
    return {kernel.name for kernel in plan.kernels}


def two(width=17):
    x = cr.input("x", (8,))
    return x, cr.dense(x, width, "tanh", name="a"), cr.dense(x, 33, "relu", name="b")


@pytest.mark.parametrize("rows", [1, 5])
def test_parts_that_are_read_again_and_again_are_written_in_place(rows):
    _, a, b = two()
    joined = cr.concat([a, b]).named("joined")
    plan = predicted(cr.dense(joined, 3, name="y"), {"x": R.normal(size=(rows, 8))})
    assert kernels(plan) == {"a", "b", "y"}
    assert "work joined[n, (i + 17)] = max(" in show(plan)


def test_a_part_that_reads_another_part_of_the_same_array():
    _, a, _ = two()
    c = cr.dense(a, 20, "sigmoid", name="c")
    plan = predicted(cr.dense(cr.concat([a, c]), 3), {"x": R.normal(size=(6, 8))})
    assert len(kernels(plan)) == 3


def test_a_part_of_two_arrays_is_copied_to_one():
    _, a, b = two()
    y = cr.dense(cr.concat([a, b]), 3) + cr.dense(cr.concat([b, a, b]), 3)
    predicted(y, {"x": R.normal(size=(6, 8))})


def test_views_constants_and_inputs_as_parts():
    x, a, _ = two(20)
    parts = [cr.concat([x, x]), a[:, 2:19], cr.broadcast_to(cr.constant(2.0), (cr.N, 16)), a]
    predicted(cr.dense(cr.concat(parts), 3), {"x": R.normal(size=(6, 8))})


def test_small_parts_are_chosen_element_by_element():
    _, a, b = two(3)
    plan = predicted(cr.dense(cr.concat([a, b]), 3), {"x": R.normal(size=(6, 8))})
    assert len(kernels(plan)) == 4


def test_an_array_that_is_the_output_and_read_elsewhere():
    _, a, b = two()
    joined = cr.concat([a, b]).named("joined")
    data = {"x": R.normal(size=(6, 8))}
    model = cr.Model(outputs=[joined, cr.dense(joined, 3)], seed=1)
    made = model.predict(data)
    np.testing.assert_allclose(made[0], model.run(data).value("joined"), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("layer", [cr.rnn, cr.lstm, cr.gru])
@pytest.mark.parametrize("masked", ["", "bool", "int32"])
@pytest.mark.parametrize("outputs", ["last", "all"])
def test_the_code_of_a_sequence_does_not_grow_with_its_length(layer, masked, outputs):
    texts, counts = [], []
    for length in (24, 48):  # in both, tiles have twelve rows
        x, t = cr.input("x", (length, 5)), cr.input("t", (17,))
        mask = cr.input("mask", (length,) if masked == "bool" else (), dtype=masked or "bool")
        y = layer(x, 17, outputs=outputs, mask=mask if masked else None)
        loss = cr.squared_error(y if outputs == "last" else y[:, -1], t)
        plan = plan_step(build_step(Graph(loss), loss, cr.SGD(0.1)))
        texts.append(len(find_backend("native").emit(plan, 16).text))
        counts.append(len({task.linear for task in plan.tasks}))
        assert sum("u.gradient" in k or ".u.new" in k for k in kernels(plan)) == 1
    assert counts[0] == counts[1]
    assert texts[1] < 1.1 * texts[0]


def test_no_kernel_copies_the_gradients_of_gates():
    """Those of a GRU lie in two arrays, of its inner product and of all inputs."""
    x, t = cr.input("x", (6, 5)), cr.input("t", (20,))
    loss = cr.squared_error(cr.gru(x, 20, outputs="last"), t)
    plan = plan_step(build_step(Graph(loss), loss, cr.SGD(0.1)))
    for task in plan.tasks:
        chosen = [i.op for i in task.linear.instrs if i.dtype == "float32" and i.op == "select"]
        assert task.linear.combine is not None or not chosen, task.kernel.name
