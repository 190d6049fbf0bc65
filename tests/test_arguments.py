"""Optional arguments of public functions: what is not one of their values is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ChainruleError, DTypeError, SettingError, ShapeError

X = cr.input("x", (4,))

FLAGS: dict[str, Callable[[Any], object]] = {
    "gelu.approximate": lambda v: cr.gelu(X, approximate=v),
    "sum.keepdims": lambda v: cr.sum(X, 1, keepdims=v),
    "argmax.keepdims": lambda v: cr.argmax(X, 1, keepdims=v),
    "cumsum.reverse": lambda v: cr.cumsum(X, 1, reverse=v),
    "var.keepdims": lambda v: cr.var(X, 1, keepdims=v),
    "method.keepdims": lambda v: X.sum(1, keepdims=v),
    "input.batch": lambda v: cr.input("q", (3,), batch=v),
    "parameter.trainable": lambda v: cr.parameter("q", [1.0], trainable=v),
    "dense.trainable": lambda v: cr.dense(X, 2, trainable=v),
    "embedding.trainable": lambda v: cr.embedding(cr.input("c", (), "int32"), 3, 2, trainable=v),
    "batch_norm.trainable": lambda v: cr.batch_norm(X, trainable=v),
    "layer_norm.trainable": lambda v: cr.layer_norm(X, trainable=v),
    "residual.project": lambda v: cr.residual(X, cr.layer.dense(4), project=v),
}


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("value", ["none", "tanh", 1, 0.0, None, [], X])
def test_a_flag_is_true_or_false(name: str, value: object) -> None:
    with pytest.raises(SettingError) as caught:
        FLAGS[name](value)
    assert caught.value.expected == "True or False"
    assert caught.value.got == repr(value)


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("value", [True, False, np.True_])
def test_and_both_are_taken(name: str, value: object) -> None:
    assert isinstance(FLAGS[name](value), cr.Node)


def test_gelu_is_exact_unless_it_is_told_to_approximate() -> None:
    at = {"x": np.full((1, 4), 2.0)}
    plain, curve = cr.gelu(X), cr.gelu(X, approximate=True)
    exact = cr.run(plain, at).value(plain)[0, 0]
    assert exact == pytest.approx(1.9544997361036416, abs=1e-6)
    assert cr.run(curve, at).value(curve)[0, 0] == pytest.approx(1.9545976940877752, abs=1e-6)


@pytest.mark.parametrize("value", [None, [1.0, None], "1.5", ["a"], {}, object(), [[1.0], [1, 2]]])
def test_a_parameter_starts_with_numbers(value: object) -> None:
    with pytest.raises(DTypeError, match="not an array of numbers"):
        cr.parameter("q", value)


@pytest.mark.parametrize("shape", [(3, 4), (4,), (2, 3, 4)])
def test_batch_norm_needs_a_batch_axis(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="no batch axis"):
        cr.batch_norm(cr.parameter("p", np.ones(shape)))
    with pytest.raises(ShapeError, match="no batch axis"):
        cr.batch_norm(cr.input("x", shape, batch=False))


def test_no_bias_is_said_with_false() -> None:
    with pytest.raises(SettingError, match="bias=False"):
        cr.dense(X, 3, bias=None)


@pytest.mark.parametrize(
    "make",
    [
        lambda v: cr.sum(X, v),
        lambda v: cr.cumsum(X, v),
        lambda v: cr.softmax(X, v),
        lambda v: cr.concat([X, X], v),
        lambda v: cr.argmax(X, v),
    ],
)
@pytest.mark.parametrize("axis", [True, "1", 1.5, 9, np.ones(2)])
def test_an_axis_is_an_integer(make: Callable[[Any], object], axis: object) -> None:
    with pytest.raises(ChainruleError):
        make(axis)


@pytest.mark.parametrize("equation", [None, 7, ["ij"], "ij->", "ij,jk->iz"])
def test_an_equation_is_text_that_fits(equation: Any) -> None:
    with pytest.raises(SettingError):
        cr.einsum(equation, X, X)


STEPS = cr.input("steps", (6, 4))
MISFITS: dict[str, Callable[[Any], object]] = {
    "reshape.shape": lambda v: cr.reshape(STEPS, v),
    "transpose.axes": lambda v: cr.transpose(STEPS, v),
    "broadcast_to.shape": lambda v: cr.broadcast_to(STEPS, v),
    "uniform.shape": lambda v: cr.uniform(v),
    "concat.nodes": lambda v: cr.concat(v),
    "stack.nodes": lambda v: cr.stack(v),
    "split.sections": lambda v: cr.split(STEPS, v),
    "input.shape": lambda v: cr.input("q", v),
    "input.axes": lambda v: cr.input("q", (3,), axes=v),
    "conv.size": lambda v: cr.conv(STEPS, 2, v),
    "periodic.width": lambda v: cr.periodic(X, v),
    "quantile.quantiles": lambda v: cr.quantile(X, X, quantiles=v),
    "cross_entropy.label_smoothing": lambda v: cr.cross_entropy(
        X, cr.input("t", (), "int32"), label_smoothing=v
    ),
    "Model.outputs": lambda v: cr.Model(v),
    "Model.outputs, with a loss": lambda v: cr.Model(v, cr.mean(X)),
}


@pytest.mark.parametrize("name", MISFITS)
@pytest.mark.parametrize("value", [1.5, len, {"a": 1}, [[1], None]], ids=str)
def test_an_argument_of_another_kind_is_refused_with_its_value(name: str, value: Any) -> None:
    with pytest.raises(ChainruleError) as caught:
        MISFITS[name](value)
    assert caught.value.got is not None


@pytest.mark.parametrize("name", ["Model.outputs", "Model.outputs, with a loss", "conv.size"])
def test_nothing_at_all_is_refused_too(name: str) -> None:
    with pytest.raises(ChainruleError):
        MISFITS[name](())


def test_a_shape_is_of_integers_of_any_kind_and_names_the_batch_axis() -> None:
    for shape in ((cr.N, 24), (-1, 24), np.array([-1, 24]), [cr.N, np.int64(24)]):
        assert cr.reshape(STEPS, shape).type.shape == (cr.N, 24)
    with pytest.raises(ShapeError, match=r"cr\.N"):
        cr.reshape(STEPS, ("N", 24))


def test_so_many_groups_that_they_could_not_be_counted_are_refused() -> None:
    with pytest.raises(SettingError, match="groups do not divide"):
        cr.conv(STEPS, 4, 3, groups=10**12)
