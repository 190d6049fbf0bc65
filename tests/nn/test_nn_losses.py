"""Losses against NumPy: values, gradients of both orders, weights, stability, and refusals."""

import numpy as np
import pytest
from nn_check import assert_gradient, assert_second, run

from chainrule.autodiff import gradients
from chainrule.errors import DTypeError, FeedError, GraphError, SettingError, ShapeError
from chainrule.graph import Graph, check
from chainrule.graph.leaves import input
from chainrule.nn import (
    absolute_error,
    binary_cross_entropy,
    cosine,
    cross_entropy,
    hinge,
    huber,
    kl_divergence,
    poisson,
    quantile,
    squared_error,
)
from chainrule.nn.loss import LOSSES
from chainrule.ops.build import constant

R = np.random.default_rng(11)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def log_softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return np.log(e / e.sum(-1, keepdims=True))


def pick(z, t):
    return np.take_along_axis(z, np.asarray(t)[..., None], -1)[..., 0]


def cosines(p, t):
    return (p * t).sum(-1) / np.linalg.norm(p, axis=-1) / np.linalg.norm(t, axis=-1)


def crammer_singer(z, t):
    others = np.where(np.arange(z.shape[-1]) == t[..., None], -np.inf, z)
    return np.maximum(0, 1 + others.max(-1) - pick(z, t))


def chances(shape):
    e = R.uniform(0.1, 1, size=shape)
    return e / e.sum(-1, keepdims=True)


NUMERIC = {
    "squared_error": (squared_error, lambda p, t: (p - t) ** 2),
    "absolute_error": (absolute_error, lambda p, t: np.abs(p - t)),
    "huber": (
        lambda p, t, **k: huber(p, t, delta=0.7, **k),
        lambda p, t: np.where(np.abs(p - t) <= 0.7, (p - t) ** 2 / 2, 0.7 * (np.abs(p - t) - 0.35)),
    ),
    "poisson": (poisson, lambda p, t: np.exp(p) - t * p),
    "binary_cross_entropy": (
        binary_cross_entropy,
        lambda p, t: -t * np.log(sigmoid(p)) - (1 - t) * np.log(1 - sigmoid(p)),
    ),
    "hinge": (hinge, lambda p, t: np.maximum(0, 1 - np.where(t > 0, 1, -1) * p)),
    "quantile": (
        lambda p, t, **k: quantile(p, t, quantiles=0.3, **k),
        lambda p, t: np.where(t > p, 0.3 * (t - p), 0.7 * (p - t)),
    ),
}
"""Losses of a prediction and a target of one shape, value by value."""

VECTOR = {
    "cosine": (cosine, lambda p, t: 1 - cosines(p, t)),
    "kl_divergence": (kl_divergence, lambda p, t: (t * (np.log(t) - log_softmax(p))).sum(-1)),
    "cross_entropy": (cross_entropy, lambda p, t: -(t * log_softmax(p)).sum(-1)),
}
"""Losses of vectors along the last axis."""

CLASSES = {
    "cross_entropy": (cross_entropy, lambda z, t: -pick(log_softmax(z), t)),
    "hinge": (hinge, crammer_singer),
}
"""Losses of logits against class indices."""


def test_each_loss_has_a_reference_here():
    assert {*NUMERIC, *VECTOR, *CLASSES} == set(LOSSES)


def pair(shape, dtype="float64"):
    return input("p", shape, dtype), input("t", shape, dtype)


def pair_data(shape, rows=6):
    return {
        "p": R.normal(size=(rows, *shape)),
        "t": R.uniform(0.05, 0.95, size=(rows, *shape)),
    }


def class_case(shape=(), k=4, rows=6, dtype="float64"):
    feeds = {
        "p": R.normal(size=(rows, *shape, k)).astype(dtype),
        "t": R.integers(0, k, (rows, *shape)),
    }
    return input("p", (*shape, k), dtype), input("t", shape, "int32"), feeds


# ---------------------------------------------------------------- values and gradients


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3)])
@pytest.mark.parametrize("name", NUMERIC)
def test_numeric(name, shape):
    function, reference = NUMERIC[name]
    (p, t), feeds = pair(shape), pair_data(shape)
    loss = function(p, t)
    check(Graph(loss))
    assert run(loss, feeds) == pytest.approx(reference(feeds["p"], feeds["t"]).mean(), rel=1e-12)
    assert_gradient(loss, [p], feeds)


@pytest.mark.parametrize("shape", [(4,), (2, 3)])
@pytest.mark.parametrize("name", VECTOR)
def test_vector(name, shape):
    function, reference = VECTOR[name]
    (p, t) = pair(shape)
    feeds = {"p": R.normal(size=(6, *shape)), "t": chances((6, *shape))}
    loss = function(p, t)
    assert run(loss, feeds) == pytest.approx(reference(feeds["p"], feeds["t"]).mean(), rel=1e-12)
    assert_gradient(loss, [p, t], feeds)


@pytest.mark.parametrize("shape", [(), (3,)])
@pytest.mark.parametrize("name", CLASSES)
def test_class_numbers(name, shape):
    function, reference = CLASSES[name]
    p, t, feeds = class_case(shape)
    loss = function(p, t)
    assert run(loss, feeds) == pytest.approx(reference(feeds["p"], feeds["t"]).mean(), rel=1e-12)
    assert_gradient(loss, [p], feeds)


@pytest.mark.parametrize("name", ["squared_error", "poisson", "binary_cross_entropy"])
def test_second_order_numeric(name):
    (p, t), feeds = pair((3,)), pair_data((3,))
    assert_second(NUMERIC[name][0](p, t), p, feeds)


def test_second_order_of_classes():
    p, t, feeds = class_case()
    assert_second(cross_entropy(p, t, label_smoothing=0.1), p, feeds)
    q, s = pair((4,))
    both = {"p": feeds["p"], "t": chances((6, 4))}
    for function in (cosine, kl_divergence, cross_entropy):
        assert_second(function(q, s), q, both)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loss_has_the_type_of_the_prediction(dtype):
    for function, _ in NUMERIC.values():
        loss = function(*pair((3,), dtype))
        assert (loss.shape, loss.dtype) == ((), dtype)
    p, t, feeds = class_case(dtype=dtype)
    value = run(cross_entropy(p, t), feeds)
    assert value.dtype == dtype
    assert value == pytest.approx(-pick(log_softmax(feeds["p"]), feeds["t"]).mean(), rel=1e-6)


# ---------------------------------------------------------------- weights, masks, gaps


@pytest.mark.parametrize("along", [(), (3,)])
@pytest.mark.parametrize("name", NUMERIC)
def test_weights(name, along):
    function, reference = NUMERIC[name]
    (p, t), feeds = pair((3,)), pair_data((3,))
    w = R.uniform(0, 2, size=(6, *along))
    loss = function(p, t, weights=input("w", along, "float64"))
    each = reference(feeds["p"], feeds["t"])
    expected = np.average(each, weights=w if along else np.repeat(w[:, None], 3, 1))
    feeds = {**feeds, "w": w}
    assert run(loss, feeds) == pytest.approx(expected, rel=1e-12)
    assert_gradient(loss, [p], feeds)


@pytest.mark.parametrize("dtype", ["bool", "int32", "float64"])
@pytest.mark.parametrize("name", NUMERIC)
def test_masked_gaps_do_no_harm(name, dtype):
    function, reference = NUMERIC[name]
    (p, t), feeds = pair((2,)), pair_data((2,))
    mask = np.array([1, 0, 1, 1, 0, 1], dtype)
    expected = reference(feeds["p"], feeds["t"])[mask != 0].mean()
    feeds["t"][mask == 0] = np.nan
    feeds["w"] = mask
    loss = function(p, t, weights=input("w", (), dtype))
    value, gradient = run([loss, *gradients(loss, [p])], feeds)
    assert value == pytest.approx(expected, rel=1e-12)
    assert np.isfinite(gradient).all()
    assert not gradient[mask == 0].any()


@pytest.mark.parametrize("name", NUMERIC)
def test_all_weights_zero(name):
    (p, t), feeds = pair((2,)), {**pair_data((2,)), "w": np.zeros(6)}
    loss = NUMERIC[name][0](p, t, weights=input("w", (), "float64"))
    value, gradient = run([loss, *gradients(loss, [p])], feeds)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("shape", [(), (3,)])
def test_ignore_index(shape):
    p, t, feeds = class_case(shape)
    feeds["t"] = np.where(R.random((6, *shape)) < 0.4, -1, feeds["t"])
    kept = feeds["t"] != -1
    loss = cross_entropy(p, t, ignore_index=-1)
    expected = -pick(log_softmax(feeds["p"]), np.maximum(feeds["t"], 0))[kept].mean()
    assert run(loss, feeds) == pytest.approx(expected, rel=1e-12)
    assert_gradient(loss, [p], feeds)


def test_everything_ignored():
    p, t, feeds = class_case((2,))
    feeds["t"][:] = 255
    loss = cross_entropy(p, t, ignore_index=255, class_weights=[1, 2, 3, 4], label_smoothing=0.1)
    value, gradient = run([loss, *gradients(loss, [p])], feeds)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("along", [(), (3,)])
def test_cross_entropy_with_everything(along):
    p, t, feeds = class_case((3,))
    w, c = R.uniform(0, 2, size=(6, *along)), np.array([1.0, 0.5, 0.0, 2.0])
    feeds["t"][0] = 9
    loss = cross_entropy(
        p, t, weights=input("w", along, "float64"), class_weights=c, label_smoothing=0.2,
        ignore_index=9,
    )  # fmt: skip
    feeds["w"] = w
    logp, label = log_softmax(feeds["p"]), np.where(feeds["t"] == 9, 0, feeds["t"])
    each = -0.8 * pick(logp, label) - 0.2 * logp.mean(-1)
    full = np.broadcast_to(w if along else w[:, None], (6, 3)) * c[label] * (feeds["t"] != 9)
    assert run(loss, feeds) == pytest.approx((full * each).sum() / full.sum(), rel=1e-12)
    assert_gradient(loss, [p], feeds)


def test_class_weights_of_chances():
    p, t = pair((3,))
    c = np.array([1.0, 2.0, 5.0])
    feeds = {"p": R.normal(size=(6, 3)), "t": chances((6, 3))}
    each, heavy = -(feeds["t"] * log_softmax(feeds["p"])).sum(-1), feeds["t"] @ c
    loss = cross_entropy(p, t, class_weights=c)
    assert run(loss, feeds) == pytest.approx((heavy * each).sum() / heavy.sum(), rel=1e-12)


def test_chances_that_are_one_hot_equal_class_numbers():
    p, t, feeds = class_case()
    hot = {"p": feeds["p"], "t": np.eye(4)[feeds["t"]]}
    q, s = input("p", (4,), "float64"), input("t", (4,), "int32")
    options = {"class_weights": [1, 2, 3, 4], "label_smoothing": 0.3}
    one, two = run(cross_entropy(p, t, **options), feeds), run(cross_entropy(q, s, **options), hot)
    assert one == pytest.approx(two, rel=1e-13)


def test_pos_weight():
    p, t = input("p", (3,), "float64"), input("t", (3,), "bool")
    feeds = {"p": R.normal(size=(6, 3)), "t": R.random((6, 3)) < 0.5}
    yes, no = -np.log(sigmoid(feeds["p"])), -np.log(1 - sigmoid(feeds["p"]))
    for weight in (3.0, np.array([1.0, 2.0, 3.0])):
        loss = binary_cross_entropy(p, t, pos_weight=weight)
        expected = np.where(feeds["t"], weight * yes, no).mean()
        assert run(loss, feeds) == pytest.approx(expected, rel=1e-12)
        assert_gradient(loss, [p], feeds)


def test_several_quantiles():
    p, t = input("p", (2, 3), "float64"), input("t", (2,), "float64")
    q = [0.1, 0.5, 0.9]
    feeds = {"p": R.normal(size=(6, 2, 3)), "t": R.normal(size=(6, 2)), "w": R.random(6)}
    d = feeds["t"][..., None] - feeds["p"]
    each = np.maximum(np.array(q) * d, (np.array(q) - 1) * d)
    assert run(quantile(p, t, quantiles=q), feeds) == pytest.approx(each.mean(), rel=1e-12)
    loss = quantile(p, t, quantiles=q, weights=input("w", (), "float64"))
    expected = np.average(each.mean((1, 2)), weights=feeds["w"])
    assert run(loss, feeds) == pytest.approx(expected, rel=1e-12)
    assert_gradient(loss, [p, t], feeds)
    feeds["t"][1] = np.nan
    feeds["w"][1] = 0
    assert np.isfinite(run(loss, feeds))


# ---------------------------------------------------------------- extremes and conventions


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_binary_cross_entropy_at_extremes(dtype):
    p, t = input("p", (), dtype), input("t", (), "bool")
    z = np.array([1e4, -1e4, 1e4, -1e4, 20.0, -20.0, 0.0], dtype)
    y = np.array([1, 0, 0, 1, 1, 0, 1])
    expected = np.array([0, 0, 1e4, 1e4, np.log1p(np.exp(-20)), np.log1p(np.exp(-20)), np.log(2)])
    loss = binary_cross_entropy(p, t)
    for row in range(len(z)):
        feeds = {"p": z[row : row + 1], "t": y[row : row + 1]}
        value, slope = run([loss, *gradients(loss, [p])], feeds)
        assert value == pytest.approx(expected[row], rel=1e-6)
        with np.errstate(over="ignore"):
            assert slope[0] == pytest.approx(sigmoid(np.float64(z[row])) - y[row], rel=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cross_entropy_at_extremes(dtype):
    p, t = input("p", (3,), dtype), input("t", (), "int32")
    feeds = {"p": np.array([[1e4, -1e4, 0], [1e4, -1e4, 0]], dtype), "t": [0, 1]}
    loss = cross_entropy(p, t)
    value, slope = run([loss, *gradients(loss, [p])], feeds)
    assert value == 1e4
    np.testing.assert_array_equal(slope, [[0, 0, 0], [0.5, -0.5, 0]])


def test_cross_entropy_with_an_excluded_class():
    p, t = input("p", (3,), "float64"), input("t", (), "int32")
    feeds = {"p": [[0.0, -np.inf, 0.0]], "t": [0]}
    loss = cross_entropy(p, t)
    value, slope = run([loss, *gradients(loss, [p])], feeds)
    assert value == pytest.approx(np.log(2))
    np.testing.assert_allclose(slope, [[-0.5, 0, 0.5]])


@pytest.mark.parametrize("function", [squared_error, absolute_error, huber])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_errors_at_extremes(function, dtype):
    p, t = input("p", (), dtype), input("t", (), dtype)
    value = run(function(p, t), {"p": [1e4, -1e4], "t": [-1e4, 1e4]})
    assert value == {squared_error: 4e8, absolute_error: 2e4, huber: 2e4 - 0.5}[function]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (absolute_error, 0.0),
        (huber, 0.0),
        (squared_error, 0.0),
        (lambda p, t: quantile(p, t, quantiles=0.5), 0.0),
        (lambda p, t: quantile(p, t, quantiles=0.9), -0.4),
        (lambda p, t: binary_cross_entropy(p, t * 0), 0.5),
    ],
)
def test_gradient_where_prediction_is_zero_and_right(function, expected):
    p, t = pair(())
    (slope,) = run(gradients(function(p, t), [p]), {"p": [0.0], "t": [0.0]})
    np.testing.assert_allclose(slope, [expected], atol=1e-15)


def test_huber_slope_at_its_bound():
    p, t = pair(())
    (slope,) = run(gradients(huber(p, t, delta=2.0), [p]), {"p": [2.0], "t": [0.0]})
    np.testing.assert_allclose(slope, [2.0])


def test_hinge_takes_any_yes_and_no():
    p = input("p", (), "float64")
    z = np.array([0.3, -2.0, 1.5])
    values = [
        run(hinge(p, input("t", (), dtype)), {"p": z, "t": np.array(t, dtype)})
        for dtype, t in [
            ("float64", [-1, 1, 1]), ("int32", [0, 1, 1]), ("bool", [False, True, True]),
        ]
    ]  # fmt: skip
    assert values == pytest.approx([(1.3 + 3 + 0) / 3] * 3)


def test_cosine_of_zero_vectors():
    p, t = pair((3,))
    loss = cosine(p, t)
    value, slope = run([loss, *gradients(loss, [p])], {"p": np.zeros((1, 3)), "t": [[1, 0, 0]]})
    assert value == 1
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cosine_of_small_vectors(dtype):
    p, t = pair((2,), dtype)
    value = run(cosine(p, t), {"p": [[1e-5, 0]], "t": [[1e-3, 1e-3]]})
    assert value == pytest.approx(1 - np.sqrt(0.5), rel=1e-5)


def test_kl_divergence_of_certain_targets():
    p, t = pair((3,))
    feeds = {"p": R.normal(size=(2, 3)), "t": [[1, 0, 0], [0, 0.5, 0.5]]}
    loss = kl_divergence(p, t)
    logp = log_softmax(feeds["p"])
    rows = [-logp[0, 0], np.log(0.5) - logp[1, 1:].mean()]
    value, slope = run([loss, *gradients(loss, [p])], feeds)
    assert value == pytest.approx(np.mean(rows))
    assert np.isfinite(slope).all()
    same = chances((4, 3))
    assert run(loss, {"p": np.log(same), "t": same}) == pytest.approx(0, abs=1e-15)


# ---------------------------------------------------------------- names and notes


def test_names():
    p, t = pair(())
    graph = Graph(squared_error(p, t, name="fit"))
    assert [graph.name(n) for n in graph] == [
        "p", "t", "fit.subtract", "fit.square", "fit.mean", "fit",
    ]  # fmt: skip
    assert Graph(squared_error(p, t)).outputs[0].label == "squared_error"


def test_note_for_metrics():
    p, t, _ = class_case()
    w = input("w", (), "float64")
    loss = cross_entropy(p, t, weights=w, class_weights=[1, 2, 3, 4])
    assert loss.op.name == "objective"
    assert loss.operands[1:] == (p, t, w)
    assert loss.attributes["kind"] == "cross_entropy"
    levels = quantile(input("q", (2,)), input("y", ()), quantiles=[0.1, 0.9]).attributes["levels"]
    assert levels == (0.1, 0.9)


def test_integer_targets_of_a_number():
    p, t = input("p", (), "float32"), input("t", (), "int64")
    assert run(squared_error(p, t), {"p": [1.5], "t": [3]}) == 2.25


def test_constant_target():
    p = input("p", (), batch=False)
    assert run(squared_error(p, 2.0), {"p": 5.0}) == 9
    q = constant(np.array([1.0, 3.0]))
    assert run(absolute_error(q, [2, 5]), {}) == 1.5


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize("name", NUMERIC)
@pytest.mark.parametrize(
    ("a", "b"), [((), (1,)), ((1,), ()), ((3,), ()), ((3,), (1,)), ((2, 3), (3,)), ((3,), (2,))]
)
def test_nothing_is_broadcast(name, a, b):
    p, t = input("p", a, "float64"), input("t", b, "float64")
    with pytest.raises((ShapeError, DTypeError), match=r"nothing is broadcast|class indices"):
        NUMERIC[name][0](p, t)


def f(name, *shape, dtype="float32"):
    return input(name, shape, dtype)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: squared_error(f("y", 1), f("t")), ShapeError, r"squeeze\(prediction, -1\)"),
        (lambda: squared_error(f("y", 1), f("t")), ShapeError, r"input\('t', \(1,\)\)"),
        (lambda: squared_error(f("y"), f("t", 1)), ShapeError, r"squeeze\(target, -1\)"),
        (lambda: squared_error(f("y", 3), f("t", dtype="int32")), ShapeError, "cross_entropy"),
        (lambda: squared_error(f("y"), f("t", dtype="float64")), DTypeError, "differ in type"),
        (lambda: squared_error(f("y", dtype="int32"), f("t")), DTypeError, "floating-point"),
        (lambda: squared_error([1.0], f("t")), GraphError, "first argument is a node"),
        (lambda: squared_error(f("y"), f("t"), weights=f("w", 1)), ShapeError, "one weight an ex"),
        (lambda: squared_error(f("y"), f("t"), weights=[1.0, 2.0]), ShapeError, "do not fit"),
        (lambda: squared_error(f("y"), f("t"), weights=2.0), ShapeError, "do not fit"),
        (lambda: huber(f("y"), f("t"), delta=0), SettingError, "delta"),
        (lambda: cross_entropy(f("z", 3), f("t")), DTypeError, 'dtype="int32"'),
        (lambda: cross_entropy(f("z", 3), f("t", 1, dtype="int32")), ShapeError, "squeeze"),
        (lambda: cross_entropy(f("z", 3), f("t", 4)), ShapeError, "class indices"),
        (lambda: cross_entropy(f("z", 1), f("t", dtype="int32")), ShapeError, "binary_cross"),
        (lambda: cross_entropy(f("z"), f("t", dtype="int32")), ShapeError, "binary_cross"),
        (
            lambda: cross_entropy(f("z", 3), f("t", dtype="int32"), label_smoothing=1),
            SettingError,
            "label_smoothing",
        ),
        (
            lambda: cross_entropy(f("z", 3), f("t", dtype="int32"), class_weights=[1, 2]),
            SettingError,
            r"\(3,\) numbers",
        ),
        (
            lambda: cross_entropy(f("z", 3), f("t", dtype="int32"), class_weights=[1, 2, -1]),
            SettingError,
            "finite numbers of at least 0",
        ),
        (
            lambda: cross_entropy(f("z", 3), f("t", 3), ignore_index=-1),
            SettingError,
            "ignore_index is for",
        ),
        (
            lambda: cross_entropy(f("z", 3), f("t", 3), weights=f("w", 3)),
            ShapeError,
            "do not fit",
        ),
        (
            lambda: binary_cross_entropy(f("z", 3), f("t", 3), pos_weight=[1, 2]),
            SettingError,
            "pos_weight",
        ),
        (lambda: quantile(f("y"), f("t"), quantiles=1.5), SettingError, "out of range"),
        (lambda: quantile(f("y", 2), f("t"), quantiles=[0.5, 0.5]), SettingError, "once"),
        (lambda: quantile(f("y", 0), f("t"), quantiles=[]), SettingError, "once"),
        (lambda: quantile(f("y", 2), f("t"), quantiles=[0.1, 0.5, 0.9]), ShapeError, "dense"),
        (lambda: hinge(f("s", 3), f("t")), DTypeError, "integers"),
        (lambda: cosine(f("y", 3), f("t", 3), weights=f("w", 3)), ShapeError, "do not fit"),
    ],
)
def test_mistakes(call, error, match):
    with pytest.raises(error, match=match):
        call()


@pytest.mark.parametrize("label", [3, -1])
def test_class_number_out_of_range(label):
    p, t = input("p", (3,)), input("t", (), "int32")
    with pytest.raises(FeedError, match="0 to 2"):
        run(cross_entropy(p, t), {"p": np.zeros((2, 3), "float32"), "t": [0, label]})
