"""Names of axes: where types show them, how they follow axes, and that nothing else is changed."""

import json

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import FeedError, SettingError, ShapeError
from chainrule.graph.serialize import from_dict, to_dict
from chainrule.nn import init
from chainrule.types import N, TensorType

NAMES = ("height", "width", "channels")


@pytest.fixture
def x():
    return cr.input("photo", (8, 6, 3), axes=NAMES)


def test_text():
    assert str(cr.input("x", (28, 28, 3), axes=NAMES).type) == (
        "float32[N, height=28, width=28, channels=3]"
    )
    assert str(cr.input("x", (28, 28)).type) == "float32(N, 28, 28)"
    assert str(cr.input("x", (9, 4), axes=("time", None)).type) == "float32[N, time=9, 4]"
    assert str(cr.input("x", (9,), axes=("time",), batch=False).type) == "float32[time=9]"
    assert str(cr.input("x", (9,), axes=(None,)).type) == "float32(N, 9)"


def test_names_change_no_type(x):
    plain = cr.input("plain", (8, 6, 3))
    assert x.type == plain.type
    assert hash(x.type) == hash(plain.type)
    assert (x + plain).type.axes == (plain + x).type.axes == (None, *NAMES)


@pytest.mark.parametrize(
    ("make", "axes"),
    [
        (lambda x: cr.relu(x) * 2 + 1, (None, *NAMES)),
        (lambda x: cr.softmax(x), (None, *NAMES)),
        (lambda x: x > 0, (None, *NAMES)),
        (lambda x: cr.where(x > 0, x, 0.0), (None, *NAMES)),
        (lambda x: x.astype("float64"), (None, *NAMES)),
        (lambda x: cr.transpose(x, (0, 3, 1, 2)), (None, "channels", "height", "width")),
        (lambda x: x[:, ::2, 1:], (None, *NAMES)),
        (lambda x: x[:, 0], (None, "width", "channels")),
        (lambda x: cr.pad(x, 1), (None, *NAMES)),
        (lambda x: cr.concat([x, x], axis=-1), (None, *NAMES)),
        (lambda x: cr.mean(x, (1, 2)), (None, "channels")),
        (lambda x: cr.max(x, 3, keepdims=True), (None, *NAMES)),
        (lambda x: cr.cumsum(x, 1), (None, *NAMES)),
        (lambda x: cr.expand_dims(x, 1), (None, None, *NAMES)),
        (lambda x: cr.reshape(x, (N, 48, 3)), (None, None, "channels")),
        (lambda x: cr.reshape(x, (N, 8, 18)), (None, "height", None)),
        (lambda x: cr.flatten(x), ()),
        (lambda x: cr.sum(x), ()),
        (lambda x: cr.take(x, cr.constant([0, 1, 1]), axis=1), (None, None, "width", "channels")),
        (lambda x: cr.einsum("nhwc,co->nhwo", x, np.ones((3, 5))), (None, "height", "width", None)),
        (lambda x: cr.dense(x, 5), (None, "height", "width", None)),
        (lambda x: cr.einsum("nhwc,nhwc->nc", x, x), (None, "channels")),
        (lambda x: cr.windows(x, (3, 3)), (None, "height", "width", None, None, "channels")),
        (lambda x: cr.conv(x, 4, 3, "relu"), (None, *NAMES)),
        (lambda x: cr.conv_transpose(x, 4, 3, stride=2, bias=False), (None, *NAMES)),
        (lambda x: cr.depthwise_conv(x, 3, bias=False), (None, *NAMES)),
        (lambda x: cr.batch_norm(cr.max_pool(x, 2)), (None, *NAMES)),
        (lambda x: cr.adaptive_pool(x, (3, 3)), (None, *NAMES)),
        (lambda x: cr.upsample(x, 2), (None, *NAMES)),
        (lambda x: cr.global_pool(x), (None, "channels")),
    ],
)
def test_how_they_follow(x, make, axes):
    y = make(x)
    assert y.type.axes == axes
    assert len(y.type.names) == y.ndim


def test_channels_first():
    x = cr.input("x", (3, 8, 6), axes=("channels", "height", "width"))
    y = cr.max_pool(cr.conv(x, 4, 3, channels="first", stride=2), 2, channels="first")
    assert str(y.type) == "float32[N, channels=4, height=2, width=1]"


def test_they_are_shown(x):
    y = cr.conv(x, 4, 3, name="c")
    text = "[N, height=8, width=6, channels=4]"
    assert text in str(cr.summary(y))
    assert text in cr.listing(cr.Graph(y))
    assert text in repr(y)


def test_errors_say_them(x):
    shape = r"\[N, height=8, width=6, channels=3\]"
    for call in (
        lambda: x + cr.input("b", (8, 2, 3)),
        lambda: cr.conv(x, 4, 9, padding="valid"),
        lambda: x[:, 9],
        lambda: cr.matmul(x, np.ones((4, 2))),
        lambda: cr.residual(x, lambda h: cr.dense(h, 4)),
        lambda: cr.squared_error(cr.input("p", (8, 6)), x),
    ):
        with pytest.raises(ShapeError, match=shape):
            call()
    with pytest.raises(FeedError, match=shape):
        cr.run(cr.relu(x), {"photo": np.zeros((1, 8, 5, 3))})


def test_files_keep_them(x):
    y = cr.conv(x, 4, 3, groups=1, bias=False)
    graph = cr.Graph(cr.reshape(cr.relu(y), (N, 48, 4)))
    document, arrays = to_dict(graph, encode_initial=init.to_dict)
    again = from_dict(json.loads(json.dumps(document)), arrays, decode_initial=init.from_dict)
    assert cr.listing(again) == cr.listing(graph)
    plain, _ = to_dict(cr.Graph(cr.relu(cr.input("x", (3,)))))
    assert all("axes" not in node for node in plain["nodes"])


@pytest.mark.parametrize(
    ("axes", "error", "match"),
    [
        (("a", "a"), SettingError, "different words"),
        (("a b", "c"), SettingError, "different words"),
        ((1, "c"), SettingError, "different words"),
        (("a",), ShapeError, r"2 names, for \(4, 3\)"),
        ("ab", SettingError, "tuple of names"),
    ],
)
def test_mistakes(axes, error, match):
    with pytest.raises(error, match=match):
        cr.input("x", (4, 3), axes=axes)


def test_a_type_needs_a_name_for_each_axis():
    with pytest.raises(ShapeError, match="one name for each axis"):
        TensorType((N, 3), "float32", ("a",))
