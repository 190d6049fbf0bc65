"""Which kernels are contractions, and the roles of their axes."""

from __future__ import annotations

from chainrule.ir.kernel import (
    Acc,
    At,
    Axis,
    Buffer,
    Call,
    Const,
    Expr,
    Kernel,
    Read,
    Reduction,
    Write,
)
from chainrule.plan.affine import Analysis
from chainrule.plan.contraction import Contraction, contraction
from chainrule.plan.linearize import linearize
from chainrule.types import N

ROW, T, M, J, K, L = (
    Axis(x, s) for x, s in (("n", N), ("t", 3), ("m", 4), ("j", 5), ("k", 6), ("l", 7))
)


def read(name: str, *axes: Axis, dtype: str = "float32") -> Read:
    return Read(Buffer(name, tuple(x.size for x in axes), dtype), tuple(map(At, axes)))


def found(
    free: tuple[Axis, ...], over: tuple[Axis, ...], value: Expr, combine: str = "sum"
) -> Contraction | None:
    y = Buffer("y", tuple(x.size for x in free), value.dtype)
    write = Write(y, tuple(map(At, free)), Acc(value.dtype))
    kernel = Kernel("y", free, (write,), Reduction(over, combine, value))  # type: ignore[arg-type]
    return contraction(Analysis(linearize(kernel)[0]))


def mul(a: Expr, b: Expr) -> Call:
    return Call("mul", (a, b), a.dtype)


def test_a_matrix_product_has_rows_columns_and_terms() -> None:
    x = found((ROW, J), (K,), mul(read("a", ROW, K), read("b", K, J)))
    assert x is not None
    assert (x.m, x.n, x.k, x.batch) == ((0,), (1,), (2,), ())
    assert x.dims({0: 9, 1: 5, 2: 6}.__getitem__) == (9, 5, 6, 1)


def test_the_factor_with_the_innermost_axis_is_the_right_one() -> None:
    a, b = read("a", ROW, K), read("b", K, J)
    one, two = (found((ROW, J), (K,), mul(*x)) for x in ((a, b), (b, a)))
    for x in (one, two):
        assert x is not None
        assert (x.m, x.n) == ((0,), (1,))
        assert x.a != x.b


def test_axes_of_both_factors_are_batch_and_several_may_have_one_role() -> None:
    x = found((ROW, T, M, J), (K, L), mul(read("a", ROW, T, M, K, L), read("b", T, K, L, J)))
    assert x is not None
    assert (x.m, x.n, x.k, x.batch) == ((0, 2), (3,), (4, 5), (1,))


def test_what_is_not_a_contraction() -> None:
    a, b = read("a", ROW, K), read("b", K, J)
    assert found((ROW, J), (K,), Call("add", (a, b), "float32")) is None
    assert found((ROW, J), (K,), mul(a, b), "max") is None
    assert found((ROW, J), (K,), mul(Call("exp", (a,), "float32"), b)) is None
    assert found((ROW, J), (K,), mul(a, Const(2.0, "float32"))) is None
    assert found((ROW,), (K,), mul(a, a)) is None  # a sum of squares
    assert found((ROW, J), (K,), mul(read("a", ROW, J, K), read("c", ROW, J, K))) is None  # no rows
    whole = (read(name, *axes, dtype="int32") for name, axes in (("a", (ROW, K)), ("b", (K, J))))
    assert found((ROW, J), (K,), mul(*whole)) is None
