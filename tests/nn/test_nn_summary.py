"""The summary: its rows, what it counts, and how it is shown."""

from types import SimpleNamespace

import numpy as np
import pytest

from chainrule.errors import GraphError
from chainrule.graph import Graph
from chainrule.graph.leaves import input, parameter
from chainrule.nn import batch_norm, cross_entropy, dense, dropout, embedding, summary
from chainrule.ops.join import concat

EXPECTED = """\
name           what                shape   parameters  reads
----------------------------------------------------------------
x              input               (N, 4)
c              input               (N,)
e              embedding           (N, 3)          15  c
concat         concat              (N, 7)              x, e
hidden         dense, relu         (N, 8)          64  concat
norm           batch_norm          (N, 8)          33  hidden
drop           dropout             (N, 8)              norm
logits         dense               (N, 3)          24  drop
t              input               (N,)
cross_entropy  cross_entropy loss  ()                  logits, t
----------------------------------------------------------------
136 parameters (119 trained, 17 not), 544 bytes"""


@pytest.fixture
def network():
    x, c, t = input("x", (4,)), input("c", (), "int32"), input("t", (), "int32")
    h = dense(concat([x, embedding(c, 5, 3, name="e")], -1), 8, "relu", name="hidden")
    h = dropout(batch_norm(h, name="norm"), 0.5, name="drop")
    logits = dense(h, 3, name="logits", bias=False)
    return [logits, cross_entropy(logits, t)]


def test_table(network):
    assert str(summary(network)) == EXPECTED


def test_what_it_takes(network):
    graph = Graph(network)
    for model in (graph, SimpleNamespace(graph=graph), tuple(network)):
        assert summary(model) == summary(network)
    assert len(summary(network[0]).rows) == len(summary(network).rows) - 2
    for wrong in (3, "x", [], [1], None, {}):
        with pytest.raises(GraphError, match="not a model"):
            summary(wrong)


def test_totals(network):
    graph, table = Graph(network), summary(network)
    sizes = [int(np.prod(p.shape)) for p in graph.parameters]
    assert table.parameters == sum(sizes) == sum(row.parameters for row in table.rows)
    assert table.trained == sum(row.trained for row in table.rows)
    assert table.bytes == 4 * sum(sizes)


def test_rows_of_nodes(network):
    graph = Graph(network)
    rows = summary(graph, nodes=True).rows
    assert [row.name for row in rows] == [graph.name(n) for n in graph]
    logits = next(row for row in rows if row.name == "logits")
    assert logits.reads == ("drop", "logits.w")


def test_a_graph_by_hand():
    x = input("x", (2,), "float64")
    w = parameter("W", np.ones((2, 3)), dtype="float64")
    b = parameter("b", np.zeros(3), dtype="float64", trainable=False)
    table = summary((x @ w + b).named("y"))
    assert [(row.name, row.what, row.reads) for row in table.rows] == [
        ("x", "input", ()),
        ("W", "parameter", ()),
        ("matmul", "matmul", ("x", "W")),
        ("b", "parameter, not trained", ()),
        ("y", "add", ("matmul", "b")),
    ]
    assert table.total == "9 parameters (6 trained, 3 not), 72 bytes"


def test_sizes_are_readable():
    x = input("x", (1000,))
    assert summary(dense(x, 1000)).total == "1,001,000 parameters, 3.82 MiB"


def test_composite_activation_is_recognised():
    assert [row.what for row in summary(dense(input("x", (2,)), 3, "gelu")).rows] == [
        "input",
        "dense, erf",
    ]


def test_html_escapes_names():
    page = summary(dense(input("<b>", (2,)), 3, name="a & b"))._repr_html_()
    assert "<td>&lt;b&gt;</td>" in page
    assert "<td>a &amp; b</td>" in page
    assert page.count("<tr>") == 4
