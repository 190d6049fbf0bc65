"""Layers of images against PyTorch's arrays and slow loops; by machine code; what they refuse."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from image_cases import CASES
from nn_check import assert_gradient, assert_second, run

import chainrule as cr
from agreement import check as assert_agrees
from chainrule.autodiff import gradients
from chainrule.errors import DTypeError, GraphError, SettingError, ShapeError
from chainrule.graph import Graph, check
from chainrule.train.optim import SGD
from networks import Network

R = np.random.default_rng(11)
PEER = Path(__file__).parents[1] / "golden" / "peers" / "images.npz"


@pytest.fixture(scope="module")
def peer():
    with np.load(PEER) as arrays:
        return dict(arrays)


def built(case, dtype, channels="last"):
    """The operand, the layer and its parameters by the suffix of their name."""
    shape = case.shape if channels == "last" else (case.shape[-1], *case.shape[:-1])
    x = cr.input("x", shape, dtype)
    y = case.ours(cr if channels == "last" else First(), x)
    graph = check(Graph([x, y]))
    return x, y, {name: graph[f"l.{name}"] for name in case.parameters}


class First:
    """The layers with their channels first."""

    def __getattr__(self, name):
        return lambda *args, **options: getattr(cr, name)(*args, channels="first", **options)


# ---------------------------------------------------------------- values and gradients


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_as_pytorch(case, dtype, peer):
    x, y, parameters = built(case, dtype)
    numbers = {name: value.astype(dtype) for name, value in case.numbers().items()}
    values = {f"l.{name}": numbers[name] for name in parameters}
    want = peer[f"{case.name}/y"]
    assert y.shape == (cr.N, *want.shape[1:])
    found = run(y, {"x": numbers["x"]}, values)
    assert found.dtype == dtype
    error = 1e-9 if dtype == "float64" else 1e-5
    assert_near(found, want, error)
    along = cr.input("along", want.shape[1:], dtype)
    slopes = gradients(cr.sum(y * along), [x, *parameters.values()])
    feeds = {"x": numbers["x"], "along": case.direction(want.shape)}
    for name, slope in zip(("x", *parameters), run(slopes, feeds, values), strict=True):
        assert_near(slope, peer[f"{case.name}/{name}"], error)


def assert_near(found, want, error):
    assert found.shape == want.shape
    np.testing.assert_allclose(found, want, rtol=error, atol=error * max(np.abs(want).max(), 1))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_channels_first(case, peer):
    _, y, parameters = built(case, "float64", "first")
    numbers, want = case.numbers(), peer[f"{case.name}/y"]
    values = {f"l.{name}": numbers[name] for name in parameters}
    found = run(y, {"x": np.moveaxis(numbers["x"], -1, 1)}, values)
    assert y.shape == (cr.N, *found.shape[1:])
    assert_near(found, np.moveaxis(want, -1, 1), 1e-9)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_rows(case):
    _, y, _ = built(case, "float32")
    found = run(y, {"x": np.zeros((0, *case.shape))})
    assert found.shape == (0, *y.shape[1:])


SMOOTH = (
    "conv 2-D, stride", "conv 2-D, groups", "conv 2-D, 1x1 with stride", "depthwise 1-D",
    "transposed 2-D, groups", "average 2-D, ceil", "adaptive average 2-D", "bilinear",
    "bilinear, size", "group norm", "local response norm",
)  # fmt: skip


@pytest.mark.parametrize("name", SMOOTH)
def test_second_gradient(name):
    (case,) = [c for c in CASES if c.name == name]
    x, y, _ = built(case, "float64")
    assert_second(cr.sum(y * y * y), x, {"x": case.numbers()["x"]})


# ---------------------------------------------------------------- slow loops


def slow_conv(x, w, stride, before, after, dilation, groups):
    """Every product by itself."""
    x = np.pad(x, ((0, 0), (before[0], after[0]), (before[1], after[1]), (0, 0)))
    n, h, width, _ = x.shape
    kh, kw, i, o = w.shape
    oh = (h - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    ow = (width - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    y = np.zeros((n, oh, ow, o))
    for k, p, q, f in itertools.product(range(n), range(oh), range(ow), range(o)):
        group = f // (o // groups)
        for a, b, c in itertools.product(range(kh), range(kw), range(i)):
            row, column = p * stride[0] + a * dilation[0], q * stride[1] + b * dilation[1]
            y[k, p, q, f] += x[k, row, column, group * i + c] * w[a, b, c, f]
    return y


@pytest.mark.parametrize(
    ("size", "stride", "sides", "dilation", "groups"),
    [
        ((3, 2), (1, 1), ((1, 1), (0, 0)), (1, 1), 1),
        ((2, 3), (2, 1), ((0, 1), (2, 0)), (2, 1), 2),
        ((1, 4), (3, 2), ((0, 0), (3, 3)), (1, 2), 4),
        ((5, 1), (1, 4), ((4, 3), (0, 0)), (1, 1), 1),
    ],
)
def test_conv_is_a_loop(size, stride, sides, dilation, groups):
    x = cr.input("x", (4, 6, 4), "float64")
    y = cr.conv(x, 8, size, stride=stride, padding=sides, dilation=dilation, groups=groups,
                bias=False, name="c")  # fmt: skip
    data, w = R.normal(size=(2, 4, 6, 4)), R.normal(size=(*size, 4 // groups, 8))
    before, after = zip(*sides, strict=True)
    want = slow_conv(data, w, stride, before, after, dilation, groups)
    np.testing.assert_allclose(run(y, {"x": data}, {"c.w": w}), want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("padding", ["valid", "same", 1, ((2, 0), (1, 1))])
@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_is_the_adjoint(padding, groups):
    """`<conv(a), b> = <a, conv_transpose(b)>` with the same weights, axes of channels exchanged."""
    a = cr.input("a", (8, 6, 4), "float64")
    down = cr.conv(a, 6, 4, stride=2, padding=padding, groups=groups, bias=False, name="d")
    b = cr.input("b", down.shape[1:], "float64")
    up = cr.conv_transpose(b, 4, 4, stride=2, padding=padding, groups=groups, bias=False, name="u")
    assert up.shape == a.shape
    w = R.normal(size=(4, 4, 4 // groups, 6))
    parts = np.split(w, groups, axis=-1)
    back = np.concatenate([part.swapaxes(-1, -2) for part in parts], axis=-1)
    feeds = {"a": R.normal(size=(3, 8, 6, 4)), "b": R.normal(size=(3, *down.shape[1:]))}
    y, x = run(down, feeds, {"d.w": w}), run(up, feeds, {"u.w": back})
    np.testing.assert_allclose(np.sum(y * feeds["b"]), np.sum(x * feeds["a"]), rtol=1e-10)


def test_padding_may_be_an_array():
    for layer in (cr.conv, cr.conv_transpose):
        given = [layer(IMAGE, 2, 3, padding=p).shape for p in (np.array([1, 0]), (1, 0))]
        assert given[0] == given[1]
    assert cr.max_pool(IMAGE, 3, padding=np.array([[1, 0], [0, 1]])).shape == (cr.N, 3, 2, 4)
    with pytest.raises(SettingError, match="padding does not fit"):
        cr.conv(IMAGE, 2, 3, padding=np.array([1.5, 0]))


def test_separable_is_two_layers():
    x = cr.input("x", (5, 4, 3), "float64")
    y = cr.separable_conv(x, 5, 3, "relu", multiplier=2, stride=2, name="s")
    graph = check(Graph(y))
    shapes = {graph.name(p): p.shape for p in graph.parameters}
    assert shapes == {"s.depthwise.w": (3, 3, 1, 6), "s.w": (1, 1, 6, 5), "s.b": (5,)}
    one, two = R.normal(size=(3, 3, 1, 6)), R.normal(size=(1, 1, 6, 5))
    data = R.normal(size=(2, 5, 4, 3))
    apart = slow_conv(data, one, (2, 2), (1, 0), (1, 1), (1, 1), 3)
    want = np.maximum(apart @ two[0, 0], 0)
    found = run(y, {"x": data}, {"s.depthwise.w": one, "s.w": two})
    np.testing.assert_allclose(found, want, rtol=1e-12, atol=1e-12)


def test_equal_maxima_share_the_gradient():
    x = cr.input("x", (2, 2, 1), "float64")
    (slope,) = gradients(cr.sum(cr.max_pool(x, 2)), [x])
    data = np.array([3.0, 1, 3, 3]).reshape(1, 2, 2, 1)
    np.testing.assert_allclose(run(slope, {"x": data}).ravel(), [1 / 3, 0, 1 / 3, 1 / 3])


def test_padding_never_wins():
    x = cr.input("x", (3, 3, 1), "float64")
    data = -1 - R.random((2, 3, 3, 1))
    assert (run(cr.max_pool(x, 3, stride=1, padding="same"), {"x": data}) < -1).all()
    data[0, 1, 1, 0] = np.nan
    assert np.isnan(run(cr.max_pool(x, 3, padding=1, stride=2), {"x": data})[0]).all()


@pytest.mark.parametrize("channels", ["last", "first"])
def test_batch_norm_over_channels(channels):
    shape = (4, 3, 2) if channels == "last" else (2, 4, 3)
    x = cr.input("x", shape, "float64")
    y = cr.batch_norm(x, channels=channels, name="n")
    data = 5 + 3 * R.normal(size=(6, *shape))
    axes = (0, 1, 2) if channels == "last" else (0, 2, 3)
    per = (2,) if channels == "last" else (2, 1, 1)
    scale, shift = R.normal(size=2), R.normal(size=2)
    want = (data - data.mean(axes, keepdims=True)) / np.sqrt(
        data.var(axes, keepdims=True) + 1e-5
    ) * scale.reshape(per) + shift.reshape(per)
    values = {"n.scale": scale, "n.shift": shift}
    np.testing.assert_allclose(run(y, {"x": data}, values, training=True), want, rtol=1e-9)
    assert {p.shape for p in Graph(y).parameters} == {(2,), ()}


def test_softmax_is_over_channels():
    x = cr.input("x", (3, 4, 5))
    y = cr.conv(x, 6, 3, "softmax", channels="first")
    value = run(y, {"x": R.normal(size=(2, 3, 4, 5))})
    np.testing.assert_allclose(value.sum(1), 1, rtol=1e-5)


def test_pixels_come_back():
    x = cr.input("x", (4, 6, 2))
    data = R.normal(size=(2, 4, 6, 2)).astype("float32")
    y = cr.pixel_shuffle(cr.pixel_unshuffle(x, (2, 3)), (2, 3))
    np.testing.assert_array_equal(run(y, {"x": data}), data)


# ---------------------------------------------------------------- initial values


def test_signals_keep_their_size():
    """With fan-in of a window, of a group, and of the overlaps of a transposed convolution."""
    x = cr.input("x", (24, 24, 16))
    data = R.normal(size=(3, 24, 24, 16)).astype("float32")
    for layer in (
        cr.conv(x, 64, 3, "relu", padding="valid"),
        cr.conv(x, 64, 5, "relu", padding="valid", groups=4),
        cr.depthwise_conv(x, 5, "relu", padding="valid", multiplier=8),
        cr.conv_transpose(x, 64, 4, "relu", stride=2, padding=2),
        cr.conv_transpose(x, 64, 2, "relu", stride=2),
    ):
        assert 0.8 < np.mean(run(layer, {"x": data}) ** 2) < 1.25


def test_depthwise_starts_by_its_own_channel():
    x = cr.input("x", (8, 8, 64))
    w = Graph(cr.depthwise_conv(x, 3, name="d"))["d.w"]
    values = w.initial(w.shape, np.random.default_rng(0))
    assert values.shape == (3, 3, 1, 64)
    assert values.var() == pytest.approx(2 / (9 + 9), rel=0.15)
    full = Graph(cr.conv(x, 32, 3, name="c"))["c.w"]
    assert full.initial == cr.init.GlorotUniform()
    own = Graph(cr.depthwise_conv(x, 3, name="d", init=0.5))["d.w"]
    assert own.initial == cr.init.Constant(0.5)


# ---------------------------------------------------------------- machine code


def network(names, dtype):
    """All these layers on inputs of their own, whose scales are trained, in one loss."""
    total, outputs, data = None, [], {}
    for k, case in enumerate(case for case in CASES if case.name in names):
        x = cr.input(f"x{k}", case.shape, dtype)
        data[f"x{k}"] = np.random.default_rng(k).normal(size=(7, *case.shape)).astype(dtype)
        scale = cr.parameter(f"scale{k}", cr.init.Ones(), case.shape, dtype=dtype)
        y = case.ours(Named(f"l{k}"), x * scale)
        part = cr.mean(y * y)
        total = part if total is None else total + part
        outputs.append(y)
    batches = [np.array(rows) for rows in ([0, 1, 2, 3, 4], [6, 5], [3])]
    return Network(total, outputs, data, SGD(0.1), {}, batches, [0.1] * 3, 5)


class Named:
    """The layers under another name."""

    def __init__(self, name):
        self.name = name

    def __getattr__(self, layer):
        return lambda *args, **options: getattr(cr, layer)(*args, **{**options, "name": self.name})


GROUPS = {kind: [c.name for c in CASES if c.name.startswith(kind)] for kind in (
    "conv 1-D", "conv 2-D", "conv 3-D", "depthwise", "transposed", "max", "average", "adaptive",
    "global", "nearest", "bilinear", "linear", "trilinear", "pixel", "instance", "group", "local",
)}  # fmt: skip


def test_every_row_is_run_by_machine_code():
    assert sorted(itertools.chain(*GROUPS.values())) == sorted(c.name for c in CASES)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", GROUPS)
def test_machine_code_trains_the_same(kind, dtype):
    assert_agrees(network(GROUPS[kind], dtype))


def test_a_sum_has_one_order_whatever_room_the_code_has():
    """Of a gradient that is summed over rows and positions: first few rows, then more."""
    x = cr.input("x", (2, 6, 1), dtype="float64")
    h = cr.conv(x, 4, (3, 1), "relu", stride=2, bias=False)
    loss = cr.mean(cr.square(cr.dense(cr.flatten(h), 5)))
    data = {"x": R.normal(size=(40, 2, 6, 1))}
    sizes = (2, 2, 2, 12)
    batches = [R.choice(40, size, replace=False) for size in sizes]
    rule = SGD(0.01, momentum=0.9)
    assert_agrees(Network(loss, [h], data, rule, {}, batches, [0.1] * len(sizes), 0))


def test_a_file_brings_the_network_back(tmp_path):
    x = cr.input("x", (9, 8, 2))
    y = cr.sequential(
        x,
        cr.layer.conv(4, 3, "relu", groups=2, name="c1"),
        cr.layer.max_pool(2, ceil=True),
        cr.layer.group_norm(2),
        cr.layer.separable_conv(6, 3, "gelu", padding=((0, 1), (1, 1))),
        cr.layer.conv_transpose(3, 4, stride=2, init="he_uniform"),
        cr.layer.upsample(2, method="linear"),
        cr.layer.average_pool(3, stride=2, padding="same"),
        cr.layer.instance_norm(),
        cr.layer.pixel_unshuffle((2, 4)),
        cr.layer.local_response_norm(3),
        cr.layer.adaptive_pool(2),
        cr.layer.global_pool("max"),
        cr.layer.dense(3),
    )
    t = cr.input("t", (), dtype="int32")
    model = cr.Model(outputs=y, loss=cr.cross_entropy(y, t), seed=0)
    data = {"x": R.normal(size=(20, 9, 8, 2)).astype("float32"), "t": np.arange(20) % 3}
    model.fit(data, epochs=2, batch_size=8, validation=None, verbose=False)
    model.save(tmp_path / "m.safetensors")
    again = cr.load(tmp_path / "m.safetensors")
    assert again.predict(data).tobytes() == model.predict(data).tobytes()
    assert str(again.summary()) == str(model.summary())
    one, two = (m.untrained() for m in (model, again))
    assert {k: v.tobytes() for k, v in one.values.items()} == {
        k: v.tobytes() for k, v in two.values.items()
    }


# ---------------------------------------------------------------- names


def test_names():
    x = cr.input("x", (6, 6, 2))
    y = cr.max_pool(cr.conv(x, 4, 3, "relu", name="c"), 2, name="p")
    graph = check(Graph(y))
    assert {graph.name(n) for n in graph} >= {"x", "c", "c.w", "c.b", "c.z", "c.windows", "p"}
    assert graph["c.z"].shape == (cr.N, 6, 6, 4)


# ---------------------------------------------------------------- mistakes

IMAGE = cr.input("photo", (8, 6, 4))


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: cr.conv(IMAGE, 4, 9, padding="valid", name="c1"), ShapeError,
         r"(?s)longer than the height.*at most 8.*\(N, 8, 6, 4\).*9: size 9.*'c1'.*'photo'.*same"),
        (lambda: cr.conv(IMAGE, 4, (3, 4), dilation=(1, 3), padding=1), ShapeError,
         r"(?s)longer than the width.*at most 8.*10: size 4, dilation 3"),
        (lambda: cr.conv(IMAGE, 4, (3, 3, 3)), ShapeError, r"(?s)size.*2, for height and width"),
        (lambda: cr.conv(cr.input("flat", (28,)), 4, 3), ShapeError, r"expand_dims\(x, -1\)"),
        (lambda: cr.conv(cr.input("grey", (28, 28)), 4, (3, 3)), ShapeError,
         r"(?s)1, for length.*expand_dims\(x, -1\)"),
        (lambda: cr.conv(cr.input("x", (1, 2, 3, 4, 5)), 4, 3), ShapeError, "spatial axes"),
        (lambda: cr.conv(cr.input("x", (3, 4), batch=False), 4, 3), ShapeError, "spatial axes"),
        (lambda: cr.conv(cr.input("x", (3, 0, 4)), 4, 3), ShapeError, "no elements"),
        (lambda: cr.conv(cr.input("x", (3, 3, 1), "int32"), 4, 3), DTypeError, "floating"),
        (lambda: cr.conv(np.ones((2, 3, 3, 1)), 4, 3), GraphError, "first argument is a node"),
        (lambda: cr.conv(IMAGE, 0, 3), SettingError, "filters"),
        (lambda: cr.conv(IMAGE, 4, 0), SettingError, "size is not an integer of at least 1, or 2"),
        (lambda: cr.conv(IMAGE, 4, "3"), SettingError, "size"),
        (lambda: cr.conv(IMAGE, 4, 3.0), SettingError, "size"),
        (lambda: cr.conv(IMAGE, 4, 3, stride=0), SettingError, "stride"),
        (lambda: cr.conv(IMAGE, 4, 3, dilation=(1, 0)), SettingError, "dilation"),
        (lambda: cr.conv(IMAGE, 4, 3, padding="full"), SettingError, '(?s)"same".*"same"'),
        (lambda: cr.conv(IMAGE, 4, 3, padding=-1), SettingError, "padding does not fit"),
        (lambda: cr.conv(IMAGE, 4, 3, padding=(1, 2, 3)), SettingError, "padding does not fit"),
        (lambda: cr.conv(IMAGE, 4, 3, padding=((1, 2, 3), 1)), SettingError, "padding does not"),
        (lambda: cr.conv(IMAGE, 6, 3, groups=4, name="c2"), SettingError,
         r"(?s)divisor of 4 channels.*6 filters.*4.*'c2'.*groups=2"),
        (lambda: cr.conv(IMAGE, 4, 3, channels="middle"), SettingError, "channels are last"),
        (lambda: cr.conv(IMAGE, 4, 3, "rleu"), SettingError, "did you mean 'relu'"),
        (lambda: cr.conv(IMAGE, 4, 3, bias=None), SettingError, "bias=False"),
        (lambda: cr.conv(IMAGE, 4, 3, init=np.ones((3, 3, 4, 5))), ShapeError, r"'conv.w' has"),
        (lambda: cr.depthwise_conv(IMAGE, 3, multiplier=0), SettingError, "multiplier"),
        (lambda: cr.conv_transpose(IMAGE, 4, 3, stride=2, output_padding=2, padding=0),
         SettingError, "(?s)below stride.*0 to 1"),
        (lambda: cr.conv_transpose(IMAGE, 4, 3, stride=(1, 3), output_padding=2, padding=0),
         SettingError, r"(?s)below stride.*0 to \(0, 2\).*output_padding=\(0, 2\)"),
        (lambda: cr.conv_transpose(IMAGE, 4, 3, stride=2, output_padding=1), SettingError, "same"),
        (lambda: cr.conv_transpose(IMAGE, 4, 1, padding=4), ShapeError, "takes away"),
        (lambda: cr.max_pool(IMAGE, 2, padding=2), ShapeError, "nothing but padding"),
        (lambda: cr.average_pool(IMAGE, 9), ShapeError, "(?s)average_pool.*longer"),
        (lambda: cr.max_pool(IMAGE, 9, stride=1, ceil=True), ShapeError, "longer than the height"),
        (lambda: cr.max_pool(IMAGE, 2, ceil="yes"), SettingError, "ceil is neither"),
        (lambda: cr.average_pool(IMAGE, 2, count_padding=1), SettingError, "count_padding"),
        (lambda: cr.global_pool(IMAGE, "average"), SettingError, '"mean" or "max"'),
        (lambda: cr.adaptive_pool(IMAGE, 0), SettingError, "size"),
        (lambda: cr.upsample(IMAGE), SettingError, "either factor or size"),
        (lambda: cr.upsample(IMAGE, 2, size=4), SettingError, "either factor or size"),
        (lambda: cr.upsample(IMAGE, 2, method="cubic"), SettingError, '"nearest" or "linear"'),
        (lambda: cr.upsample(IMAGE, 2, align_corners=True), SettingError, "is for linear"),
        (lambda: cr.pixel_shuffle(IMAGE, 3), ShapeError, "(?s)multiple of 9.*9 filters"),
        (lambda: cr.pixel_unshuffle(IMAGE, 5), ShapeError, "do not make blocks"),
        (lambda: cr.group_norm(IMAGE, 3), SettingError, "(?s)divisor of 4.*groups=2"),
        (lambda: cr.group_norm(cr.input("x", (3,)), 3), ShapeError, "over one element"),
        (lambda: cr.instance_norm(cr.input("x", (1, 1, 3))), ShapeError, "over one element"),
        (lambda: cr.local_response_norm(IMAGE, 0), SettingError, "size"),
        (lambda: cr.local_response_norm(IMAGE, beta=0), SettingError, "beta"),
        (lambda: cr.batch_norm(IMAGE, channels=1), SettingError, "channels are last"),
    ],
)  # fmt: skip
def test_mistakes(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_gradient_of_a_small_network():
    x = cr.input("x", (6, 6, 2), "float64")
    h = cr.conv(x, 3, 3, "tanh", stride=2, name="c")
    y = cr.dense(cr.flatten(cr.average_pool(h, 2, stride=1, padding="same")), 2, name="d")
    graph = Graph(y)
    wrt = [x, *(graph[name] for name in ("c.w", "c.b", "d.w"))]
    assert_gradient(cr.sum(y * y), wrt, {"x": R.normal(size=(3, 6, 6, 2))})
