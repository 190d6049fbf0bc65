"""Repeats: what comes again and again is one block, and what does not stays as it is."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.display.repeats import LONGEST, blocks, pattern
from chainrule.engine.compile import build_step, plan_step
from chainrule.graph import Graph
from chainrule.plan.show import show


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("", []),
        ("abc", [(0, 1, 1), (1, 1, 1), (2, 1, 1)]),
        ("x" + "abcd" * 5 + "y", [(0, 1, 1), (1, 4, 5), (21, 1, 1)]),
        ("a" * 20, [(0, 1, 20)]),
        ("aab" * 10, [(0, 3, 10)]),
        ("ab" * 6 + "cd" * 7, [(k, 1, 1) for k in range(12)] + [(12, 2, 7)]),
    ],
)
def test_blocks(keys, expected):
    assert [(b.start, b.size, b.times) for b in blocks(keys)] == expected


def test_blocks_cover_all_that_is_long():
    keys = [k % 7 for k in range(700)] + list(range(100, 100 + LONGEST)) * 3
    found = list(blocks(keys))
    assert found[0].times == 100
    assert [k for b in found for k in range(b.start, b.last + 1)] == list(range(len(keys)))
    assert pattern("lstm.t31.slice_2") == "lstm.t#.slice_#"


def sequence(length):
    x, t = cr.input("x", (length, 5)), cr.input("t", (3,))
    return cr.squared_error(cr.gru(x, 3, outputs="last"), t)


def deep(count):
    h = cr.input("x", (5,))
    for _ in range(count):
        h = cr.dense(h, 5, "relu")
    return cr.mean(cr.square(h))


@pytest.mark.parametrize("network", [sequence, deep])
def test_listings_do_not_grow_with_the_number_of_steps_or_layers(network):
    short, long = (network(n) for n in (20, 40))
    assert cr.listing(short).count("\n") == cr.listing(long).count("\n")
    assert cr.listing(long, full=True).count("\n") + 1 == len(Graph(long))
    plans = [plan_step(build_step(Graph(x), x, cr.Adam(0.1))) for x in (short, long)]
    assert show(plans[0]).count("\n") == show(plans[1]).count("\n")
    assert show(plans[1], full=True).count("phase") == show(plans[1]).count("phase")
    whole = show(plans[1], full=True)
    assert all(f"{kernel.name}: " in whole for kernel in plans[1].kernels)


def test_the_table_of_a_plan_has_what_comes_again_once():
    lines = []
    for length in (20, 40):
        loss = sequence(length)
        text = str(cr.Model(outputs=loss, loss=loss).plan())
        lines.append(text.count("\n"))
        assert f"{length - 2} times" in text
    assert abs(lines[0] - lines[1]) <= 2


def test_a_plan_is_unfolded_on_request():
    loss = sequence(20)
    plan = cr.Model(outputs=loss, loss=loss).plan()
    folded, whole = (next(s for s in plan.sections(full=full) if s.title.startswith("Kernels"))
                     for full in (False, True))  # fmt: skip
    names = {row[0].strip() for row in whole.rows}
    assert {kernel.name for kernel in plan.plan.kernels} <= names
    assert len(folded.rows) < len(whole.rows) / 2


def test_the_steps_of_a_trace_are_folded_in_a_notebook():
    x = cr.input("x", (20, 5))
    model = cr.Model(outputs=cr.rnn(x, 3, outputs="last", name="r"), seed=0)
    steps = model.run({"x": np.ones((1, 20, 5))}).steps()
    shown = steps._repr_html_()
    assert "18 times" in shown
    assert "r.t1.h" in shown
    assert "r.t7.h" not in shown
    assert any(step.name == "r.t7.h" for step in steps)
