"""One element of a layer of images: its window, weights, products, sum, and what is refused."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import GraphError, ShapeError

W = np.array([[1.0, 0.0], [-1.0, 2.0]]).reshape(2, 2, 1, 1)
X = np.arange(16.0).reshape(1, 4, 4, 1)

CONV = """\
c[0, 1, 2], channel 0: conv 2x2
  window   weights   products
   6   7    1  0       6   0
  10  11   -1  2     -10  22
  sum of the 4 products: 18
  plus the bias -20: -2
  after the activation: 0"""

POOL = """\
p[0, 0, 1], channel 0: max_pool 2x2
  window
   3   5
  11  13
  the largest of them: 13"""


def small():
    x = cr.input("x", (4, 4, 1), dtype="float64")
    c = cr.conv(x, 1, 2, "relu", padding="valid", init=W, bias=[-20.0], name="c")
    q = cr.conv(x, 1, 2, padding="valid", init=W, bias=[-5.0], name="q")
    return cr.run([c, cr.max_pool(q, 2, stride=1, name="p")], {"x": X})


def test_a_convolution_in_words():
    assert str(small().pixel("c", (1, 2))) == CONV


def test_a_pool_in_words():
    assert str(small().pixel("p", (0, 1))) == POOL


LAYERS = {
    "plain": lambda x, **k: cr.conv(x, 6, 3, "tanh", name="l", **k),
    "groups": lambda x, **k: cr.conv(x, 6, (2, 3), stride=2, dilation=2, groups=2, name="l", **k),
    "depthwise": lambda x, **k: cr.depthwise_conv(x, 3, multiplier=2, name="l", **k),
    "pointwise": lambda x, **k: cr.conv(x, 6, 1, "relu", name="l", **k),
    "transposed": lambda x, **k: cr.conv_transpose(x, 6, (2, 3), stride=2, name="l", **k),
    "transposed groups": lambda x, **k: cr.conv_transpose(
        x, 6, 3, "relu", stride=(1, 2), padding=1, dilation=2, groups=2, name="l", **k
    ),
    "no bias": lambda x, **k: cr.conv(x, 2, 3, bias=False, name="l", **k),
    "max": lambda x, **k: cr.max_pool(x, 3, padding=1, stride=2, name="l", **k),
    "average": lambda x, **k: cr.average_pool(x, 2, name="l", **k),
}


@pytest.mark.parametrize("channels", ["last", "first"])
@pytest.mark.parametrize("name", LAYERS)
def test_every_element_is_what_its_window_makes(name, channels):
    shape = (5, 6, 4) if channels == "last" else (4, 5, 6)
    x = cr.input("x", shape, dtype="float64")
    y = LAYERS[name](x, channels=channels)
    trace = cr.run(y, {"x": np.random.default_rng(1).normal(size=(2, *shape))})
    value = trace.value(y) if channels == "last" else np.moveaxis(trace.value(y), 1, -1)
    for row, *at, channel in np.ndindex(value.shape):
        pixel = trace.pixel("l", at, channel, row=row)
        assert pixel.value == value[row, *at, channel]
        if pixel.weights is not None:
            z = pixel.total + (pixel.bias or 0)
            assert pixel.z == pytest.approx(z, rel=1e-12, abs=1e-12)
            activated = {
                "plain": np.tanh,
                "pointwise": lambda z: max(z, 0),
                "transposed groups": lambda z: max(z, 0),
            }.get(name, float)
            assert pixel.value == pytest.approx(activated(pixel.z), rel=1e-12)
        elif name == "max":
            assert pixel.value == pixel.window.max()
        else:
            assert pixel.value == pytest.approx(pixel.window.mean())


def test_many_channels_are_cut_and_signals_are_rows():
    x = cr.input("x", (7, 20))
    trace = cr.run(cr.conv(x, 2, 3, name="c"), {"x": np.ones((1, 7, 20))})
    text = str(trace.pixel("c", 0))
    assert "and 12 more channels" in text
    assert "window of channel 7" in text
    assert text.splitlines()[2].startswith("  0  1  1 ")
    assert "sum of the 60 products" in trace.pixel("c", 0)._repr_html_()


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda t: t.pixel("cc", (0, 0)), GraphError, "did you mean 'c'"),
        (lambda t: t.pixel("x", (0, 0)), GraphError, "not a convolution"),
        (lambda t: t.pixel("c", (0, 3)), ShapeError, r"at below \(3, 3\)"),
        (lambda t: t.pixel("c", (0, -1)), ShapeError, "no such element"),
        (lambda t: t.pixel("c", 0), ShapeError, "no such element"),
        (lambda t: t.pixel("c", (0, 0), 1), ShapeError, "channel below 1"),
        (lambda t: t.pixel("c", (0, 0), row=1), ShapeError, "row below 1"),
        (lambda t: t.pixel("c", (0, 0.5)), ShapeError, "no such element"),
    ],
)
def test_mistakes(call, error, match):
    with pytest.raises(error, match=match):
        call(small())
