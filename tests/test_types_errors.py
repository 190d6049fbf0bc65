"""Types, shapes and axes; the four parts of an error."""

from __future__ import annotations

import pickle
from fractions import Fraction

import numpy as np
import pytest

from chainrule import errors
from chainrule.errors import ChainruleError, DTypeError, ShapeError, did_you_mean, nearest
from chainrule.types import (
    DTYPES,
    N,
    TensorType,
    broadcast_shapes,
    is_number,
    normalise_axes,
    normalise_axis,
    resolve,
    show,
    static_size,
)

# ---------------------------------------------------------------- types


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_type_is_a_value(dtype):
    kind = TensorType((N, 3), dtype)
    assert kind == TensorType((N, 3), dtype)
    assert hash(kind) == hash(TensorType((N, 3), dtype))
    assert kind != TensorType((3, N), dtype)
    assert kind.floating == dtype.startswith("float")
    assert (kind.ndim, str(kind)) == (2, f"{dtype}(N, 3)")


@pytest.mark.parametrize("value", [0, -1, 2.5, np.float32(1), np.int8(3), np.array(0.5), 10**18])
def test_numbers(value):
    assert is_number(value)


@pytest.mark.parametrize(
    "value",
    [True, np.bool_(True), np.array(True), "1", None, float("nan"), np.inf, 10**400, 1j, [1.0],
     np.ones(1), np.array("1"), Fraction(1, 2)],
)  # fmt: skip
def test_what_is_no_number(value):
    assert not is_number(value)


@pytest.mark.parametrize("dtype", ["float16", "int8", "f4", "", "Float32"])
def test_unknown_dtypes(dtype):
    with pytest.raises(DTypeError, match="unknown dtype"):
        TensorType((), dtype)


@pytest.mark.parametrize("dim", [-1, 2.0, "N", None])
def test_bad_dimensions(dim):
    with pytest.raises(ShapeError, match="non-negative integer or N"):
        TensorType((3, dim))


def test_n_is_one_object_through_pickling():
    assert pickle.loads(pickle.dumps(N)) is N
    assert (str(N), repr(N)) == ("N", "N")
    assert N != "N"


def test_shapes_as_text():
    assert [show(s) for s in ((), (3,), (N, 64), (0, 1, 2))] == [
        "()", "(3,)", "(N, 64)", "(0, 1, 2)",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("axis", "ndim", "expected"), [(0, 1, 0), (-1, 3, 2), (2, 3, 2), (-3, 3, 0)]
)
def test_axis_from_the_front(axis, ndim, expected):
    assert normalise_axis("sum", axis, ndim) == expected


@pytest.mark.parametrize(("axis", "ndim"), [(0, 0), (3, 3), (-4, 3)])
def test_no_such_axis(axis, ndim):
    with pytest.raises(ShapeError, match=r"\[sum\] no such axis"):
        normalise_axis("sum", axis, ndim)


def test_axes():
    assert normalise_axes("sum", None, 3) == (0, 1, 2)
    assert normalise_axes("sum", None, 0) == ()
    assert normalise_axes("sum", -1, 3) == (2,)
    assert normalise_axes("sum", (2, 0), 3) == (0, 2)
    assert normalise_axes("sum", (), 3) == ()
    with pytest.raises(ShapeError, match="an axis is repeated"):
        normalise_axes("sum", (0, -3), 3)


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ([], ()),
        ([(3,)], (3,)),
        ([(), (N, 2)], (N, 2)),
        ([(N, 1), (1, 4)], (N, 4)),
        ([(4, 1, 5), (3, 1)], (4, 3, 5)),
        ([(N, 0), (1,)], (N, 0)),
        ([(1,), (1, 1)], (1, 1)),
        ([(N,), (N,)], (N,)),
    ],
)
def test_broadcasting(shapes, expected):
    assert broadcast_shapes("add", *shapes) == expected
    assert broadcast_shapes("add", *reversed(shapes)) == expected


@pytest.mark.parametrize(
    "shapes", [[(2,), (3,)], [(N, 3), (5, 3)], [(N, 3), (N, 1, 4)], [(0,), (2,)]]
)
def test_shapes_that_do_not_broadcast(shapes):
    with pytest.raises(ShapeError) as caught:
        broadcast_shapes("add", *shapes)
    assert all(show(s) in str(caught.value) for s in shapes)


def test_sizes():
    assert static_size((N, 3, 4)) == 12
    assert static_size(()) == static_size((N,)) == 1
    assert static_size((3, 0)) == 0
    assert resolve((N, 3, N), 7) == (7, 3, 7)


# ---------------------------------------------------------------- errors


def test_an_error_has_four_parts_in_order():
    error = ShapeError(
        "matmul", "inner sizes differ",
        expected="x.shape[1] == w.shape[0]", got="(N, 64)\nand (32, 10)", at="'h', train.py:41",
        fix="leave out `inputs=`",
    )  # fmt: skip
    assert str(error) == (
        "[matmul] inner sizes differ\n"
        "  expected  x.shape[1] == w.shape[0]\n"
        "  got       (N, 64)\n"
        "            and (32, 10)\n"
        "  at        'h', train.py:41\n"
        "  fix       leave out `inputs=`"
    )


def test_parts_that_are_not_there_take_no_line():
    assert str(ShapeError("sum", "wrong")) == "[sum] wrong"
    assert str(ShapeError("sum", "wrong", got=0)) == "[sum] wrong\n  got       0"


KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, ChainruleError)
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_error_survives_pickling(kind):
    error = kind("where", "what", expected=1, got=2, at="line", fix="try")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)


def test_a_place_added_later_is_told_and_kept():
    error = ShapeError("sum", "wrong")
    error.at = "line 3"
    assert str(error).endswith("at        line 3")


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        ("ShapeError", ValueError), ("DTypeError", TypeError), ("GraphError", ValueError),
        ("FeedError", ValueError), ("DataError", ValueError), ("SettingError", ValueError),
        ("ModelFileError", ValueError), ("NotFinite", ArithmeticError),
        ("MissingExtra", ImportError), ("DeviceError", RuntimeError),
    ],
)  # fmt: skip
def test_errors_are_of_the_builtin_kinds_too(kind, builtin):
    assert issubclass(getattr(errors, kind), (ChainruleError, builtin))


def test_nearest_names():
    assert nearest("lerning_rate", ["learning_rate", "epochs"]) == "learning_rate"
    assert nearest("xyz", ["learning_rate", "epochs"]) is None
    assert did_you_mean("epoch", ["learning_rate", "epochs"]) == "did you mean 'epochs'?"
    assert did_you_mean("xyz", ["a1", "b2"]) == "known: a1, b2"
