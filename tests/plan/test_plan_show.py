"""The text of plans, and what must be true of it: few phases, few kernels, nothing waits."""

from __future__ import annotations

import os
from pathlib import Path

import chainrule as cr
from chainrule.engine.compile import build_step, plan_forward, plan_step
from chainrule.graph import Graph, Node
from chainrule.ir.kernel import Call, Read
from chainrule.passes.specialise import specialise
from chainrule.plan.plan import Plan
from chainrule.plan.show import show
from chainrule.train.optim import SGD, Adam, AdamW, Optimizer

GOLDEN = Path(__file__).parents[1] / "golden"


def golden(name: str, text: str) -> None:
    """Compare with a file of the expected text; UPDATE_GOLDEN=1 writes it anew."""
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text + "\n", encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text + "\n"


def classifier() -> tuple[Node, Node]:
    x, t = cr.input("x", (64,)), cr.input("t", (), dtype="int32")
    h = cr.dense(x, 128, activation="relu", name="hidden")
    logits = cr.dense(h, 10, name="logits")
    return logits, cr.cross_entropy(logits, t, name="loss")


def reader() -> Node:
    """Words, dropout, normalisation."""
    words, t = cr.input("words", (5,), dtype="int32"), cr.input("t", (1,))
    h = cr.flatten(cr.embedding(words, 30, 4, name="words.table"))
    h = cr.layer_norm(cr.dropout(cr.dense(h, 8, "gelu", name="hidden"), 0.1), name="norm")
    return cr.squared_error(cr.dense(h, 1, name="y"), t, name="loss")


def trained(loss: Node, rule: Optimizer, **settings: float) -> Plan:
    return plan_step(build_step(Graph(loss), loss, rule, **settings))


# ---------------------------------------------------------------- golden


def test_the_plan_of_a_classifier() -> None:
    golden("plan_classifier.txt", show(trained(classifier()[1], Adam(0.001))))


def test_the_plan_of_a_network_with_much_in_it() -> None:
    golden("plan_reader.txt", show(trained(reader(), AdamW(0.001, decay=0.01), clip_norm=1.0)))


def test_the_plan_of_a_prediction() -> None:
    chances = cr.softmax(classifier()[0]).named("chances")
    place = specialise(Graph(chances), training=False)
    outputs = [place[chances]]
    golden("plan_prediction.txt", show(plan_forward(Graph(outputs, like=Graph(chances)), outputs)))


# ---------------------------------------------------------------- phases


def test_a_network_with_softmax_and_adam_takes_two_phases() -> None:
    plan = trained(classifier()[1], Adam(0.001))
    rows, sums = plan.phases
    (other,) = [x for x in rows.tasks if x.split != "rows"]
    assert (other.split, other.kernel.axes) == ("every", ())
    assert len(rows.tasks) == 8
    assert [x.split for x in sums.tasks] == ["none", *["first"] * 4]
    assert len(sums.tasks) == 5  # the loss, two weights, two biases
    assert all(x.linear.combine == "sum" for x in sums.tasks)


def test_every_further_layer_adds_three_kernels_and_no_phase() -> None:
    x, t = cr.input("x", (8,)), cr.input("t", (), dtype="int32")
    counts = []
    for depth in (2, 3, 4):
        loss = cr.cross_entropy(cr.dense(cr.mlp(x, (8,) * depth), 4), t)
        plan = trained(loss, SGD(0.1))
        assert len(plan.phases) == 2
        counts.append(len(plan.kernels))
    # forward, gradient of the data; of the weights; of the bias
    assert counts[1] - counts[0] == counts[2] - counts[1] == 4


def test_gradients_of_weights_stay_out_of_memory() -> None:
    plan = trained(classifier()[1], Adam(0.001))
    assert not [b for b in plan.buffers if b.space == "work" and b.shape in ((64, 128), (128, 10))]


def test_clipping_by_norm_keeps_gradients_and_takes_two_phases_more() -> None:
    plan = trained(classifier()[1], SGD(0.1), clip_norm=1.0)
    assert {(64, 128), (128, 10)} <= {b.shape for b in plan.buffers if b.space == "work"}
    assert len(plan.phases) <= 5


def test_numbers_of_constants_and_rows_are_no_kernels() -> None:
    x = cr.input("x", (3,))
    w = cr.parameter("w", [1.0, 2.0, 3.0])
    plan = trained(cr.mean(cr.square(x * w)) * (1.0 - 0.5) / 3.0, SGD(0.1))
    assert all(k.axes or k.reduction for k in plan.kernels)


def test_softmax_takes_four_kernels_a_row() -> None:
    x = cr.input("x", (9,))
    y = cr.softmax(x)
    assert len(plan_forward(Graph(y), [y]).kernels) == 4  # max, exp, sum, quotient


def test_layer_norm_takes_three_kernels_a_row() -> None:
    x = cr.input("x", (9,))
    y = cr.layer_norm(x)
    assert len(plan_forward(Graph(y), [y]).kernels) == 3  # mean, variance, quotient


def test_a_matrix_product_reads_its_operands_from_memory() -> None:
    plan = trained(reader(), Adam(0.001), clip_norm=1.0)
    found = {name: k for k in plan.kernels if k.reduction for name in k.nodes}
    for name in ("hidden.matmul", "y.matmul", "hidden.w.gradient", "y.w.gradient"):
        reduction = found[name].reduction
        assert reduction is not None
        assert isinstance(reduction.value, Call)
        assert [type(x) for x in reduction.value.operands] == [Read, Read]


def test_fusion_puts_kernels_in_the_order_of_their_phases() -> None:
    """Nothing that joined a kernel delays it: a kernel reads what comes before it."""
    for plan in (trained(classifier()[1], Adam(0.1)), trained(reader(), Adam(0.1), clip_norm=1.0)):
        written = set[object]()
        for task in plan.tasks:
            assert {b for b in task.reads if b.space == "work"} <= written
            written |= task.writes


def dropped(layers: int) -> Node:
    x, t = cr.input("x", (64,)), cr.input("t", (), dtype="int32")
    for _ in range(layers):
        x = cr.dropout(cr.dense(x, 64, "relu"), 0.1)
    return cr.cross_entropy(cr.dense(x, 10), t)


def test_a_mask_is_made_where_it_is_used_first_and_kept_for_the_way_back() -> None:
    plan = trained(dropped(1), SGD(0.1))
    (first,) = [k for k in plan.kernels if "dropout.greater_equal" in k.nodes]
    assert "dropout" in first.nodes[-1]
    assert len(first.nodes) > 2
    mask = next(w.buffer for w in first.writes if w.buffer.dtype == "bool")
    assert sum(mask in task.reads for task in plan.tasks) == 1
    assert len(plan.phases) == 2


def test_clipping_by_norm_takes_three_phases() -> None:
    """Rows; gradients; then their squares; then the updates, with what divides them."""
    plan = trained(dropped(2), Adam(0.001), clip_norm=1.0)
    assert len(plan.phases) == 4
    assert all(w.buffer.space == "state" for x in plan.phases[3].tasks[1:] for w in x.kernel.writes)
