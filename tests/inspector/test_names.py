"""Names of a page: each long one is in it once, and cut where it is shown."""

from __future__ import annotations

import json

import numpy as np

import chainrule as cr
from chainrule.inspector.names import LONGEST, cut_names, shortened


def test_a_name_of_a_megabyte_is_in_the_page_once() -> None:
    name = "n" * 500_000 + "m" * 500_000
    x, t = cr.input("x", (4,)), cr.input("t", dtype="int32")
    loss = cr.cross_entropy(cr.dense(cr.dense(x, 8, "relu", name=name), 3), t)
    trace = cr.run(loss, {"x": np.ones((2, 4)), "t": [0, 2]})
    trace.backward(loss)
    content = trace.show().document
    graph = content["graph"]
    text = json.dumps(content)
    assert len(text) < 1_200_000
    ((short, whole),) = graph["long"].items()
    assert whole == name
    assert text.count("nm") == 1
    nodes = {node["name"] for node in graph["nodes"]}
    assert {f"{short}.w", f"{short}.b"} <= nodes
    assert max(map(len, nodes)) < 300
    assert f"{short}.w" in graph["values"]
    assert content["notes"] == [
        "1 name of more than 200 characters cut in the middle; Copy as Python writes them in full"
    ]


def test_cut_names_differ_and_arrays_stay() -> None:
    first, second = ("a" * 300 + middle + "b" * 300 for middle in "xy")
    cut = cut_names([first, "short", second, first])
    assert list(cut.values()) == [first, second]
    assert len(cut) == 2
    assert all(len(short) <= LONGEST for short in cut)
    array = {"dtype": "float32", "shape": [1], "data": first}
    by_name = {name: short for short, name in cut.items()}
    found = shortened({first: array, "data": [f"d{second}.w", 1]}, by_name)
    assert found == {by_name[first]: array, "data": [f"d{by_name[second]}.w", 1]}
