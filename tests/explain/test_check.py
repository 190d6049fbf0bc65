"""The first wrong line of a student's numbers is found, with the slip that was made."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import FeedError, GraphError
from chainrule.explain import lecture
from chainrule.explain.slips import SLIPS

Values = dict[str, np.ndarray]


def lesson() -> tuple[cr.Trace, float]:
    trace = cr.run(lecture.network()["E"], lecture.EXAMPLE)
    trace.backward("E")
    return trace, lecture.RATE


def other() -> tuple[cr.Trace, float]:
    """Two rows, tanh, a unit that two readers share, a mean, and a logarithm."""
    x, t = (cr.input(name, (2,), dtype="float64") for name in "xt")
    v = cr.parameter("V", [[0.6, -0.7], [0.3, 1.1]], dtype="float64")
    c = cr.parameter("c", [0.2, -0.4], dtype="float64")
    z = (x @ v + c).named("z")
    h = cr.tanh(z).named("h")
    w = cr.parameter("W", [[1.3, -0.8], [0.5, 0.9]], dtype="float64")
    k = (h @ w).named("k")
    r = (k + h).named("r")
    e = (r - t).named("e")
    q = cr.square(e).named("q")
    m = cr.mean(q).named("m")
    loss = cr.log(1 + m).named("L")
    rows = {"x": [[1.2, -0.5], [0.4, 1.5]], "t": [[0.5, 1.0], [-1.0, 0.3]]}
    trace = cr.run(loss, rows)
    trace.backward(loss)
    return trace, 0.5


def numbers(trace: cr.Trace) -> Values:
    found = {trace.graph.name(x): np.array(trace.value(x)) for x in trace.graph}
    return found | {f"g{n}": np.array(trace.gradient(n)) for n in found if n in "xtWVchzkremqsdyEL"
                    or n in ("W1", "W2", "b1", "b2", "z1", "z2", "u1", "u2")}  # fmt: skip


def texts(value: np.ndarray, digits: int = 4) -> Any:
    """Numbers with so many digits, as nested lists of texts."""
    return np.array([f"{x:#.{digits}g}" for x in np.ravel(value)]).reshape(np.shape(value)).tolist()


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


CASES: list[tuple[str, Callable[[], tuple[cr.Trace, float]], str, Callable[[Values], Any]]] = [
    ("bias_forgotten", lesson, "z1", lambda v: v["u1"]),
    ("bias_forgotten", other, "z", lambda v: v["x"] @ v["V"]),
    ("activation_forgotten", lesson, "h", lambda v: v["z1"]),
    ("activation_forgotten", other, "h", lambda v: v["z"]),
    ("exponent_sign", lesson, "y", lambda v: 1 / (1 + np.exp(v["z2"]))),
    ("other_activation", lesson, "h", lambda v: np.tanh(v["z1"])),
    ("other_activation", other, "h", lambda v: sigmoid(v["z"])),
    ("square_forgotten", lesson, "q", lambda v: v["d"]),
    ("square_forgotten", other, "q", lambda v: 2 * v["e"]),
    ("order_reversed", lesson, "d", lambda v: v["y"] - v["t"]),
    ("order_reversed", other, "e", lambda v: v["t"] - v["r"]),
    ("divisor_forgotten", lesson, "E", lambda v: v["s"]),
    ("weights_of_neighbour", lesson, "u1", lambda v: v["x"] @ v["W1"][:, ::-1]),
    ("weights_of_neighbour", other, "k", lambda v: v["h"] @ v["W"][:, ::-1]),
    ("weights_transposed", lesson, "u1", lambda v: v["x"] @ v["W1"].T),
    ("weights_transposed", other, "k", lambda v: v["h"] @ v["W"].T),
    ("product_forgotten", lesson, "u2", lambda v: v["h"][:, :1] * 4.5),
    ("product_forgotten", other, "k", lambda v: v["h"][:, 1:] @ v["W"][1:]),
    ("term_forgotten", other, "r", lambda v: v["k"]),
    ("sum_for_mean", other, "m", lambda v: v["q"].sum()),
    ("logarithm_base", other, "L", lambda v: np.log10(1 + v["m"])),
    ("slope_missing", lesson, "∂E/∂z2", lambda v: v["gy"]),
    ("slope_missing", other, "∂L/∂z", lambda v: v["gh"]),
    ("slope_missing", lesson, "∂E/∂d", lambda v: v["gq"]),
    ("one_reader", other, "∂L/∂h", lambda v: v["gr"]),
    ("one_reader", other, "∂L/∂h", lambda v: v["gk"] @ v["W"].T),
    ("slope_alone", lesson, "∂E/∂z1", lambda v: v["h"] * (1 - v["h"])),
    ("slope_alone", other, "∂L/∂z", lambda v: 1 - v["h"] ** 2),
    ("slope_of_input", lesson, "∂E/∂z1", lambda v: v["gh"] * v["z1"] * (1 - v["z1"])),
    ("slope_of_input", other, "∂L/∂z", lambda v: v["gh"] * (1 - v["z"] ** 2)),
    ("slope_at_output", lesson, "∂E/∂z2",
     lambda v: v["gy"] * sigmoid(v["y"]) * (1 - sigmoid(v["y"]))),
    ("slope_at_output", other, "∂L/∂z", lambda v: v["gh"] * (1 - np.tanh(v["h"]) ** 2)),
    ("slope_incomplete", lesson, "∂E/∂z1", lambda v: v["gh"] * v["h"]),
    ("slope_incomplete", other, "∂L/∂z", lambda v: v["gh"] * (1 - v["h"])),
    ("unit_forgotten", other, "∂L/∂h", lambda v: v["gr"] + v["gk"][:, :1] * v["W"][:, 0]),
    ("gradient_of_neighbour", lesson, "∂E/∂h", lambda v: v["gu2"] @ v["W2"].T[:, ::-1]),
    ("gradient_of_neighbour", other, "∂L/∂W", lambda v: (v["h"].T @ v["gk"])[:, ::-1]),
    ("gradient_transposed", lesson, "∂E/∂W1", lambda v: v["gu1"].T @ v["x"]),
    ("gradient_transposed", other, "∂L/∂h", lambda v: v["gr"] + v["gk"] @ v["W"]),
    ("weight_missing", lesson, "∂E/∂h", lambda v: np.tile(v["gu2"], (1, 2))),
    ("weight_missing", other, "∂L/∂h",
     lambda v: v["gr"] + v["gk"].sum(1, keepdims=True) * np.ones(2)),
    ("input_before_activation", lesson, "∂E/∂W2", lambda v: v["z1"].T @ v["gu2"]),
    ("input_before_activation", other, "∂L/∂W", lambda v: v["z"].T @ v["gk"]),
    ("input_missing", lesson, "∂E/∂W2", lambda v: np.tile(v["gu2"], (2, 1))),
    ("input_missing", other, "∂L/∂W", lambda v: np.tile(v["gk"].sum(0), (2, 1))),
    ("rows_averaged", other, "∂L/∂c", lambda v: v["gz"].mean(0)),
    ("added", lesson, "new b1", lambda v: v["b1"] + 10 * v["gb1"]),
    ("added", other, "new W", lambda v: v["W"] + 0.5 * v["gW"]),
    ("rate_forgotten", lesson, "new W2", lambda v: v["W2"] - v["gW2"]),
    ("rate_forgotten", other, "new c", lambda v: v["c"] - v["gc"]),
    ("step_alone", lesson, "new b2", lambda v: 10 * v["gb2"]),
    ("step_alone", other, "new V", lambda v: -0.5 * v["gV"]),
    ("not_updated", lesson, "new b1", lambda v: v["b1"]),
    ("not_updated", other, "new W", lambda v: v["W"]),
    ("sign", lesson, "∂E/∂y", lambda v: -v["gy"]),
    ("sign", other, "∂L/∂V", lambda v: -v["gV"]),
    ("factor_two", lesson, "∂E/∂b2", lambda v: 2 * v["gb2"]),
    ("factor_two", other, "∂L/∂e", lambda v: v["ge"] / 2),
    ("decimal_point", lesson, "u2", lambda v: v["u2"] * 10),
    ("decimal_point", other, "∂L/∂V", lambda v: v["gV"] / 10),
]  # fmt: skip


@pytest.mark.parametrize(("slip", "network", "line", "wrong"), CASES)
def test_each_slip_is_named(
    slip: str,
    network: Callable[[], tuple[cr.Trace, float]],
    line: str,
    wrong: Callable[[Values], Any],
) -> None:
    trace, rate = network()
    found = trace.check({line: texts(wrong(numbers(trace)))}, rate=rate)
    first = found.first
    assert first is not None
    assert (first.slip, first.name) == (slip, line)
    assert {x.name: x for x in SLIPS}[slip].sentence.split("{")[0] in str(found)
    assert "{" not in first.sentence


PAGE = Path(__file__).parents[2] / "web" / "tests" / "slips.json"
"""The cases that the page is tested with, too."""


def page_cases() -> list[dict[str, Any]]:
    """The slips of the lecture's network, an entry each: what is typed, and what Python says."""
    cases = []
    for slip, network, line, wrong in CASES:
        if network is not lesson or slip == "weights_transposed":
            continue  # its W1 has equal rows: an entry alone may be another unit's as well
        trace, rate = network()
        values = texts(wrong(numbers(trace)))
        first = trace.check({line: values}, rate=rate).first
        assert first is not None
        place = first.entries[0]
        alone = np.array(texts(first.expected, 9))  # that entry is wrong, and all others right
        alone[place] = np.array(values)[place]
        first = trace.check({line: alone.tolist()}, rate=rate).first
        assert first is not None
        part = "update" if line.startswith("new ") else "backward" if "∂" in line else "forward"
        name = line.removeprefix("∂E/∂").removeprefix("new ")
        cases.append({
            "direction": part, "name": name + ".new" * (part == "update"),
            "entry": int(np.ravel_multi_index(place, np.shape(values))) if place else 0,
            "text": str(np.array(values)[place]), "slip": first.slip, "sentence": first.sentence,
        })  # fmt: skip
    return cases


def test_the_page_is_tested_with_the_same_cases_and_sentences() -> None:
    """`UPDATE=1 pytest` writes them anew."""
    if os.environ.get("UPDATE"):
        PAGE.write_text(json.dumps(page_cases(), indent=1, ensure_ascii=False) + "\n", "utf-8")
    assert json.loads(PAGE.read_text("utf-8")) == page_cases()


def test_every_slip_has_a_case() -> None:
    assert {x.name for x in SLIPS} == {case[0] for case in CASES}


def test_right_numbers_are_right_in_any_number_of_digits() -> None:
    for network in (lesson, other):
        trace, rate = network()
        graph, loss = trace.graph, trace.graph.name(trace.graph.outputs[0])
        for digits in (2, 3, 4, 8):
            answers: dict[str, Any] = {}
            for node in graph.operations:
                answers[graph.name(node)] = trace.value(node)
            for node in (*graph.operations, *graph.parameters):
                if graph.name(node) != "constant" and not graph.name(node).startswith("broadcast"):
                    answers[f"d{loss}/d{graph.name(node)}"] = trace.gradient(node)
            for node in graph.parameters:
                new = trace.value(node) - rate * trace.gradient(node)
                answers[f"new {graph.name(node)}"] = new
            typed = {k: texts(x, digits) for k, x in answers.items()}
            found = trace.check(typed, rate=rate)
            assert found.ok, str(found)
            assert bool(found)
            assert len(found.lines) == len(answers)


def test_one_mistake_counts_once() -> None:
    trace, rate = lesson()
    v = numbers(trace)
    d = v["y"] - v["t"]  # the first and only mistake
    gz2 = (2 * 0.5 * d) * -1 * v["y"] * (1 - v["y"])
    answers = {
        "h": v["h"], "y": v["y"], "d": d, "q": d**2, "E": d**2 / 2, "∂E/∂y": -d, "∂E/∂z2": gz2,
        "∂E/∂W2": v["h"].T @ gz2, "new W2": v["W2"] - 10 * (v["h"].T @ gz2),
    }  # fmt: skip
    found = trace.check(answers, rate=rate)
    status = {x.name: x.status for x in found.lines}
    assert status == {
        "h": "right", "y": "right", "d": "wrong", "q": "right", "E": "right", "∂E/∂y": "follows",
        "∂E/∂z2": "follows", "∂E/∂W2": "follows", "new W2": "follows",
    }  # fmt: skip
    text = str(found)
    assert text.startswith("line 7, d: the operands are in the other order")
    assert "∂E/∂W2, new W2: right for the numbers before, which are wrong" in text


def test_a_second_mistake_of_its_own_is_told_too() -> None:
    trace, rate = lesson()
    v = numbers(trace)
    answers = {"h": v["z1"], "E": v["E"] + 0.5, "∂E/∂z2": v["gz2"]}
    found = trace.check(answers, rate=rate)
    assert found.first is not None
    assert found.first.name == "h"
    assert "wrong besides: E" in str(found)


def test_a_slip_in_a_line_without_an_answer_is_found_there() -> None:
    trace, rate = lesson()
    v = numbers(trace)
    y = sigmoid(sigmoid(v["u1"]) @ v["W2"] + v["b2"])  # no bias in the hidden layer
    found = trace.check({"y": y}, rate=rate).first
    assert found is not None
    assert (found.slip, found.where, found.name) == ("bias_forgotten", "z1", "y")
    assert found.formula == "z1 = u1 + b1"


def test_the_wrong_entries_are_named_and_others_may_be_left_out() -> None:
    trace, rate = lesson()
    found = trace.check({"h": ["0.9002", "-1.6"]}, rate=rate)
    assert found.first is not None
    assert found.first.entries == ((0, 1),)
    assert str(found).startswith("line 3, h at [1]: the activation is not applied")
    assert trace.check({"h": [None, "0.168"], "u2": "____"}).ok


@pytest.mark.parametrize(
    ("typed", "status"),
    [
        ("0.7645", "right"), ("0.765", "right"), ("0.76", "right"), (0.7645193, "right"),
        ("0.764", "right"), ("0,7645", "right"), ("7.645e-1", "right"), ("0.7655", "wrong"),
        ("0.74", "wrong"), ("0.8", "coarse"), ("1", "coarse"), ("0.5", "wrong"),
        ("[0.7645]", "right"), ("−0.7645", "wrong"), (np.float32(0.7645193), "right"),
    ],
)  # fmt: skip
def test_the_digits_typed_decide_how_close_is_right(typed: Any, status: str) -> None:
    trace, _ = lesson()
    assert trace.check({"y": typed}).lines[0].status == status


def test_rounded_steps_are_carried_on() -> None:
    trace, _ = lesson()
    h = [["0.9", "0.17"]]
    u2 = 0.9 * 4.5 - 0.17 * 5.2
    answers = {"h": h, "u2": f"{u2:.4g}", "z2": f"{u2 - 2:.4g}"}
    assert f"{u2:.4g}" == "3.166"  # with all digits 3.178
    assert trace.check(answers).ok
    assert not trace.check({"u2": "3.166"}).ok


def test_names_that_are_not_lines() -> None:
    trace, _ = lesson()
    with pytest.raises(GraphError, match="no line is named 'hh'"):
        trace.check({"hh": 1})
    with pytest.raises(GraphError, match="is given, not computed"):
        trace.check({"W1": [1, 2, 3, 4]})
    with pytest.raises(GraphError, match="needs the learning rate"):
        trace.check({"new W1": [1, 2, 3, 4]})
    forward = cr.run(lecture.network()["E"], lecture.EXAMPLE)
    with pytest.raises(GraphError, match="no gradients yet"):
        forward.check({"∂E/∂h": [1, 2]})
    assert forward.check({"h": ["0.9002", "0.168"]}).ok


@pytest.mark.parametrize("typed", ["abc", True, "1/0", float("inf"), {"a": 1}, "0.9.1"])
def test_what_is_not_a_number(typed: Any) -> None:
    trace, _ = lesson()
    with pytest.raises(FeedError, match=r"not a number|another number of entries"):
        trace.check({"y": typed})


def test_too_few_numbers() -> None:
    trace, _ = lesson()
    with pytest.raises(FeedError, match="another number of entries"):
        trace.check({"h": [0.9]})


def test_classes_and_shapes_of_a_network_of_layers() -> None:
    x, t = cr.input("x", (3,)), cr.input("t", (), dtype="int32")
    z = cr.dense(cr.dense(x, 4, activation="relu", name="hidden"), 3, name="out")
    model = cr.Model(cr.softmax(z), cr.cross_entropy(z, t), seed=2)
    trace = model.run({"x": [[0.4, -1.0, 2.0], [1.0, 0.2, -0.7]], "t": [2, 0]})
    trace.backward(model.loss)
    gz = trace.gradient("out")
    assert trace.check({"dcross_entropy/dout": gz.tolist()}).ok
    share = np.array(trace.value("softmax"))
    found = trace.check({"dcross_entropy/dout": share.tolist()})  # without the target
    assert not found.ok
    missed = trace.gradient("hidden")
    wrong = trace.check({"dcross_entropy/dhidden.z": missed.tolist()}).first
    assert wrong is not None
    assert wrong.slip == "slope_missing"
    assert "_repr_html_" in dir(found)
    assert "<table" in found._repr_html_()
