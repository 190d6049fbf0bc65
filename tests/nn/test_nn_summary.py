"""The summary: its rows, what it counts, and how it is shown."""

from types import SimpleNamespace

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import GraphError
from chainrule.graph import Graph, Node
from chainrule.graph.leaves import input, parameter
from chainrule.nn import batch_norm, cross_entropy, dense, dropout, embedding, numeric, summary
from chainrule.nn.arguments import ACTIVATIONS
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
        "dense, gelu",
    ]


def test_html_escapes_names():
    page = summary(dense(input("<b>", (2,)), 3, name="a & b"))._repr_html_()
    assert ">&lt;b&gt;</td>" in page
    assert ">a &amp; b</td>" in page
    assert page.count("<tr>") == 4


@pytest.mark.parametrize("name", [x for x in ACTIVATIONS if x != "linear"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_layer_is_shown_with_the_activation_that_was_asked_for(name, dtype):
    x = input("x", (4,), dtype)
    for activation in (name, getattr(cr, name, name)):
        (row,) = summary(dense(x, 3, activation)).rows[1:]
        assert (row.what, row.reads, row.parameters) == (f"dense, {name}", ("x",), 15)


@pytest.mark.parametrize(
    ("activation", "what"),
    [
        (lambda h: h * cr.sigmoid(h), "silu"),
        (lambda h: cr.gelu(h, approximate=True), "gelu"),
        (lambda h: cr.leaky_relu(h, 0.3), "leaky_relu"),
        (lambda h: cr.elu(h, 0.5), "elu"),
        (lambda h: h * cr.clip(h / 6 + 0.5, 0, 1), "custom"),
        (lambda h: cr.relu(h) ** 2, "custom"),
        (lambda h: h * cr.sum(h, 1, keepdims=True), "custom"),
        (lambda h: 2 * h, "custom"),
    ],
)
def test_a_function_is_shown_by_what_it_is_or_as_custom(activation, what):
    y = dense(dense(input("x", (4,)), 3, activation), 2)
    rows = summary(y).rows
    assert [row.what for row in rows] == ["input", f"dense, {what}", "dense"]
    assert [row.reads for row in rows] == [(), ("x",), ("dense",)]


def test_functions_with_layers_in_them_make_no_cycle():
    y = dense(input("x", (4,)), 3, lambda h: cr.dense(cr.tanh(h), 3, "mish"))
    seen: set[str] = set()
    for row in summary(y).rows:
        assert seen.issuperset(row.reads)
        seen.add(row.name)


def test_activations_without_a_layer():
    x = input("x", (4,))
    assert [r.what for r in summary(cr.silu(cr.mish(x))).rows] == ["input", "mish", "silu"]
    z = cr.sigmoid(x)
    assert [r.what for r in summary([x * z, z + 1]).rows] == [
        "input", "sigmoid", "multiply", "add",
    ]  # fmt: skip


def test_scale_and_rms_norm_are_told_apart():
    x = input("x", (4,))
    layers = [cr.rms_norm(x, name="r"), numeric.scale(x, name="s")]
    assert [r.what for r in summary(layers).rows] == ["input", "rms_norm", "scale"]


def members(count: int) -> list[Node]:
    x, t = input("x", (4,)), input("t", (2,))
    scaled = x * 2 - 1
    tops = [cr.mlp(scaled, [8, 7, 6], "gelu", dropout=0.1, norm="layer") for _ in range(count)]
    outputs = [dense(h, 2) for h in tops]
    total = sum(outputs[1:], outputs[0]) / count
    losses = [cr.squared_error(y, t) for y in outputs]
    return [total.named("answer"), sum(losses[1:], losses[0])]


def test_a_large_network_folds_into_blocks_with_its_members_once():
    found = summary(members(4))
    assert len(found.rows) > 40
    assert [(r.name, r.what, r.reads) for r in found.shown] == [
        ("columns", "1 input, 2 steps", ()),
        ("hidden", "4 x [8, 7, 6], layer_norm, gelu, dropout", ("columns",)),
        ("output", "4 x dense", ("hidden",)),
        ("mean", "mean of 4", ("output",)),
        ("t", "input", ()),
        ("loss", "add", ("output", "t")),
    ]
    assert sum(r.parameters for r in found.shown) == found.parameters
    assert "summary(full=True)" in str(found)
    assert str(summary(members(4), full=True)).count("\n") == len(found.rows) + 3


def test_a_small_network_is_shown_whole():
    found = summary(members(1))
    assert found.shown == found.rows
    assert "full=True" not in str(found)


def test_layers_of_images_are_told_by_their_nodes():
    """Whatever their names are; all rows of a network with convolutions are shown."""
    h = input("image", (16, 16, 4), axes=("height", "width", "channels"))
    layers = {
        "conv 5x3, relu": lambda h: cr.conv(h, 4, (5, 3), "relu", groups=2, name="a"),
        "depthwise_conv 3x3": lambda h: cr.depthwise_conv(h, 3, name="b"),
        "conv 1x1": lambda h: cr.conv(h, 4, 1, name="c"),
        "conv_transpose 2x2": lambda h: cr.conv_transpose(h, 4, 2, stride=2, name="d"),
        "max_pool 2x2": lambda h: cr.max_pool(h, 2, name="e"),
        "average_pool 3x3": lambda h: cr.average_pool(h, 3, stride=1, padding="same", name="f"),
        "batch_norm": lambda h: cr.batch_norm(h, name="g"),
        "layer_norm": lambda h: cr.layer_norm(h, name="h"),
        "group_norm": lambda h: cr.group_norm(h, 2, name="i"),
        "instance_norm": lambda h: cr.instance_norm(h, name="j"),
        "local_response_norm": lambda h: cr.local_response_norm(h, 3, name="k"),
        "upsample": lambda h: cr.upsample(h, 2),
    }
    for layer in layers.values():
        h = layer(h)
    table = summary(h)
    assert [row.what for row in table.rows] == ["input", *layers]
    assert table.rows[1].shape == "[N, height=16, width=16, channels=4]"
    assert table.rows[1].parameters == 5 * 3 * 2 * 4 + 4
    for _ in range(40):
        h = cr.conv(h, 4, 3)
    assert len(summary(h).shown) == len(layers) + 41 == len(summary(h).rows)
