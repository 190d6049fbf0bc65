"""Products of factors rounded to bfloat16, in all forms, with odd sizes and on other processors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernels import evaluate
from test_cpu_products import FORMS, arrays_of, batched, plan_of, read, run, tiled

from chainrule.backend.cpu.machine import host
from chainrule.ir.kernel import (
    Acc,
    At,
    Axis,
    Buffer,
    Call,
    Const,
    Kernel,
    Read,
    Reduction,
    Row,
    Write,
)
from chainrule.types import N

HERE = pytest.mark.skipif(not host().bfloat16, reason="the processor multiplies no bfloat16")
WIDTHS = (1, 2, 3, 15, 16, 17, 33, 46, 65)


def of_sequences(i: int, o: int, dtype: str) -> Kernel:
    """y[n, t, o] = sum x[n, t, i] w[i, o]: the weights are packed once for all rows."""
    n, t, c, k = Axis("n", N), Axis("t", 5), Axis("c", o), Axis("k", i)
    x, w = Buffer("x", (N, 5, i), dtype, "data"), Buffer("w", (i, o), dtype, "state")
    y = Buffer("y", (N, 5, o), dtype)
    total = Reduction((k,), "sum", Call("mul", (read(x, n, t, k), read(w, k, c)), dtype))
    return Kernel("y", (n, t, c), (Write(y, (At(n), At(t), At(c)), Acc(dtype)),), total)


def backward_of_sequences(i: int, o: int, dtype: str) -> Kernel:
    """y[n, t, i] = sum g[n, t, o] w[i, o]."""
    n, t, c, k = Axis("n", N), Axis("t", 5), Axis("c", i), Axis("k", o)
    g, w = Buffer("x", (N, 5, o), dtype, "data"), Buffer("w", (i, o), dtype, "state")
    y = Buffer("y", (N, 5, i), dtype)
    total = Reduction((k,), "sum", Call("mul", (read(g, n, t, k), read(w, c, k)), dtype))
    return Kernel("y", (n, t, c), (Write(y, (At(n), At(t), At(c)), Acc(dtype)),), total)


ALL = (*FORMS, of_sequences, backward_of_sequences)


def rounded(kernel: Kernel) -> Kernel:
    """The kernel with both factors rounded."""
    assert kernel.reduction is not None
    product = kernel.reduction.value
    assert isinstance(product, Call)
    factors = tuple(Call("bfloat16", (x,), x.dtype) for x in product.operands)
    value = product._replace(operands=factors)
    return replace(kernel, reduction=replace(kernel.reduction, value=value))


@HERE
@pytest.mark.parametrize("form", ALL)
def test_all_forms_are_products_of_pairs(form: Callable[..., Kernel]) -> None:
    found = tiled(rounded(form(32, 48, "float32")))
    assert found is not None
    assert found.pairs
    assert found.left in ("transpose", "pack")
    assert found.right in ("transpose", "pack")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(ALL), st.sampled_from(WIDTHS), st.sampled_from(WIDTHS),
    st.sampled_from((1, 2, 5, 6, 7, 33, 97, 130)), st.sampled_from((None, None, 4, 8)),
)  # fmt: skip
def test_products_of_all_forms(
    form: Callable[..., Kernel], i: int, o: int, n: int, width: int | None
) -> None:
    plan = plan_of(rounded(form(i, o, "float32")))
    arrays = arrays_of(plan, i * o)
    rows = np.random.default_rng(n).integers(0, 50, n)
    want = evaluate(plan, arrays, rows)["y"]
    got = run(plan, arrays, rows, width=width)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 * np.sqrt(max(i, o, n)))
    assert got.tobytes() == run(plan, arrays, rows, width=width, threads=3).tobytes()


@pytest.mark.parametrize("form", ALL)
def test_sums_longer_than_a_block(form: Callable[..., Kernel]) -> None:
    for i, o, n in ((1301, 35, 5), (35, 1301, 5), (19, 21, 1301)):
        plan = plan_of(rounded(form(i, o, "float32")))
        arrays = arrays_of(plan, 3)
        rows = np.random.default_rng(4).integers(0, 50, n)
        want = evaluate(plan, arrays, rows)["y"]
        np.testing.assert_allclose(run(plan, arrays, rows), want, rtol=1e-4, atol=6e-4)


@pytest.mark.parametrize("form", FORMS[:2])
def test_a_row_has_the_same_bits_in_any_minibatch(form: Callable[..., Kernel]) -> None:
    plan = plan_of(rounded(form(33, 45, "float32")))
    arrays = arrays_of(plan, 5)
    rows = np.arange(41)
    together = run(plan, arrays, rows)
    for k in (0, 5, 40):
        assert run(plan, arrays, rows[k : k + 1]).tobytes() == together[k : k + 1].tobytes()


def test_a_left_factor_that_lies_along_neither_axis() -> None:
    """y[n, o] = sum over k of x[n, k, 1] w[k, o]."""
    n, c, k = Axis("n", N), Axis("c", 20), Axis("k", 13)
    x, w = Buffer("x", (N, 13, 3), "float32", "data"), Buffer("w", (13, 20), "float32", "state")
    y = Buffer("y", (N, 20), "float32")
    left = Read(x, (Row(At(n)), At(k), Const(1, "int64")))
    total = Reduction((k,), "sum", Call("mul", (left, read(w, k, c)), "float32"))
    plan = plan_of(rounded(Kernel("y", (n, c), (Write(y, (At(n), At(c)), Acc("float32")),), total)))
    arrays, rows = arrays_of(plan, 8), np.arange(31)
    want = evaluate(plan, arrays, rows)["y"]
    np.testing.assert_allclose(run(plan, arrays, rows), want, rtol=1e-5, atol=1e-5)


def test_one_rounded_factor_alone_is_no_contraction_of_float32() -> None:
    kernel = plan_of(rounded(FORMS[0](5, 7, "float32"))).kernels[0]
    assert kernel.reduction is not None
    product = kernel.reduction.value
    left = product.operands[0].operands[0], product.operands[1]  # type: ignore[union-attr]
    value = product._replace(operands=left)  # type: ignore[union-attr]
    half = replace(kernel, reduction=replace(kernel.reduction, value=value))
    assert tiled(half) is None
    plan = plan_of(half)
    arrays, rows = arrays_of(plan, 8), np.arange(31)
    want = evaluate(plan, arrays, rows)["y"]
    np.testing.assert_allclose(run(plan, arrays, rows), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("width", [4, 8, None])
def test_rounding_by_itself_is_that_of_numpy(width: int | None) -> None:
    """Ties, overflow, subnormal numbers and NaN, by the expressions of loops."""
    bits = np.random.default_rng(0).integers(0, 2**32, (50, 33), np.uint32)
    bits[:, :8] = [0x3F808000, 0x3F818000, 0x7F7FFFFF, 0x00000001, 0x807FFFFF, 0x7F800000,
                   0xFF800001, 0x7FC12345]  # fmt: skip
    n, c = Axis("n", N), Axis("c", 33)
    x, y = Buffer("x", (N, 33), "float32", "data"), Buffer("y", (N, 33), "float32")
    value = Call("bfloat16", (read(x, n, c),), "float32")
    plan = plan_of(Kernel("y", (n, c), (Write(y, (At(n), At(c)), value),)))
    arrays, rows = {"x": bits.view(np.float32)}, np.arange(50)
    got = run(plan, arrays, rows, width=width)
    assert got.tobytes() == evaluate(plan, arrays, rows)["y"].tobytes()
    assert got[0, :2].tolist() == [1.0, 1.015625]
    assert got[0, 2] == np.inf
    assert got.view(np.uint32)[0, 3:5].tolist() == [0, 0x80000000]


@HERE
def test_packing_rounds_as_numpy_does() -> None:
    """A product with ones of 1 term: each element alone, through the instructions."""
    plan = plan_of(rounded(batched(1, 33, "float32")))
    values = np.random.default_rng(0).integers(0, 2**32, (50, 3, 1), np.uint32).view(np.float32)
    values = np.where(np.isfinite(values), values, 1).astype(np.float32)
    arrays = arrays_of(plan, 0) | {"x": values}
    arrays["w"] = np.ones((3, 1, 33), "float32")
    rows = np.arange(50)
    np.testing.assert_array_equal(run(plan, arrays, rows), evaluate(plan, arrays, rows)["y"])
