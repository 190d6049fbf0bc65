"""Matrix products in all three forms, with odd sizes, gathered rows and epilogues."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernels import evaluate
from runners import runnable

import chainrule as cr
from chainrule.backend.cpu.emit import gemm
from chainrule.backend.cpu.emit.module import build
from chainrule.backend.cpu.emit.tiling import MAX_WRITTEN, Tiling, tiling
from chainrule.backend.cpu.layout import argument
from chainrule.backend.cpu.machine import host, machine
from chainrule.backend.cpu.run.jit import assembly
from chainrule.engine.compile import plan_forward
from chainrule.graph import Graph
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
from chainrule.plan.affine import Analysis
from chainrule.plan.contraction import contraction
from chainrule.plan.linearize import laid_out, linearize
from chainrule.plan.plan import Plan
from chainrule.plan.schedule import schedule
from chainrule.types import N

DATA = 50
WIDE = ("avx2", "fma", "avx512f", "avx512dq", "avx512bw", "avx512vl")
WIDTHS = (1, 2, 3, 7, 8, 9, 15, 16, 17, 24, 33, 45, 46, 65)


def places(axes: tuple[Axis, ...], buffer: Buffer) -> tuple:
    """At the axes; rows of data are looked up."""
    row = buffer.space == "data"
    return tuple(Row(At(a)) if a.size is N and row else At(a) for a in axes)


def read(buffer: Buffer, *axes: Axis) -> Read:
    return Read(buffer, places(axes, buffer))


def forward(i: int, o: int, dtype: str, space: str = "data") -> Kernel:
    """y[n, o] = tanh(sum x[n, i] w[i, o] + b[o])."""
    n, c, k = Axis("n", N), Axis("c", o), Axis("k", i)
    x, w = Buffer("x", (N, i), dtype, space), Buffer("w", (i, o), dtype, "state")
    b, y = Buffer("b", (o,), dtype, "state"), Buffer("y", (N, o), dtype)
    value = Call("tanh", (Call("add", (Acc(dtype), read(b, c)), dtype),), dtype)
    total = Reduction((k,), "sum", Call("mul", (read(x, n, k), read(w, k, c)), dtype))
    return Kernel("y", (n, c), (Write(y, (At(n), At(c)), value),), total)


def backward(i: int, o: int, dtype: str) -> Kernel:
    """y[n, i] = select(h[n, i] > 0, sum g[n, o] w[i, o], 0), the weights the other way round."""
    n, c, k = Axis("n", N), Axis("c", i), Axis("k", o)
    g, w = Buffer("x", (N, o), dtype, "data"), Buffer("w", (i, o), dtype, "state")
    h, y = Buffer("b", (N, i), dtype, "data"), Buffer("y", (N, i), dtype)
    positive = Call("gt", (read(h, n, c), Call("sub", (Acc(dtype), Acc(dtype)), dtype)), "bool")
    value = Call("select", (positive, Acc(dtype), read(h, n, c)), dtype)
    total = Reduction((k,), "sum", Call("mul", (read(g, n, k), read(w, c, k)), dtype))
    return Kernel("y", (n, c), (Write(y, (At(n), At(c)), value),), total)


def weights(i: int, o: int, dtype: str) -> Kernel:
    """y[i, o] = w[i, o] - sum x[n, i] g[n, o]."""
    r, c, n = Axis("r", i), Axis("c", o), Axis("n", N)
    x, g = Buffer("x", (N, i), dtype, "data"), Buffer("b", (N, o), dtype, "data")
    w, y = Buffer("w", (i, o), dtype, "state"), Buffer("y", (i, o), dtype)
    total = Reduction((n,), "sum", Call("mul", (read(x, n, r), read(g, n, c)), dtype))
    value = Call("sub", (read(w, r, c), Acc(dtype)), dtype)
    return Kernel("y", (r, c), (Write(y, (At(r), At(c)), value),), total)


def batched(i: int, o: int, dtype: str) -> Kernel:
    """y[n, t, o] = sum x[n, t, i] w[t, i, o]: a product inside of other loops."""
    n, t, c, k = Axis("n", N), Axis("t", 3), Axis("c", o), Axis("k", i)
    x, w = Buffer("x", (N, 3, i), dtype, "data"), Buffer("w", (3, i, o), dtype, "state")
    y = Buffer("y", (N, 3, o), dtype)
    total = Reduction((k,), "sum", Call("mul", (read(x, n, t, k), read(w, t, k, c)), dtype))
    return Kernel("y", (n, t, c), (Write(y, (At(n), At(t), At(c)), Acc(dtype)),), total)


def weights_of_sequences(i: int, o: int, dtype: str) -> Kernel:
    """y[i, o] = sum over n and t of x[n, t, i] g[n, t, o]."""
    r, c, n, t = Axis("r", i), Axis("c", o), Axis("n", N), Axis("t", 3)
    x, g = Buffer("x", (N, 3, i), dtype, "data"), Buffer("b", (N, 3, o), dtype, "data")
    y = Buffer("y", (i, o), dtype)
    total = Reduction((n, t), "sum", Call("mul", (read(x, n, t, r), read(g, n, t, c)), dtype))
    return Kernel("y", (r, c), (Write(y, (At(r), At(c)), Acc(dtype)),), total)


def backward_of_sequences(i: int, o: int, dtype: str) -> Kernel:
    """y[n, i] = sum over t and o of g[n, t, o] w[t, i, o]."""
    n, c, t, k = Axis("n", N), Axis("c", i), Axis("t", 3), Axis("k", o)
    g, w = Buffer("x", (N, 3, o), dtype, "data"), Buffer("w", (3, i, o), dtype, "state")
    y = Buffer("y", (N, i), dtype)
    total = Reduction((t, k), "sum", Call("mul", (read(g, n, t, k), read(w, t, c, k)), dtype))
    return Kernel("y", (n, c), (Write(y, (At(n), At(c)), Acc(dtype)),), total)


FORMS = (forward, backward, weights, batched, weights_of_sequences, backward_of_sequences)


def tiled(kernel: Kernel) -> Tiling | None:
    """How a kernel is cut into tiles, if it is a product."""
    analysis = Analysis(laid_out(*linearize(kernel), lambda b: argument(b, 64)))
    known = contraction(analysis)
    return None if known is None else tiling(analysis, known, host(), 64)


def plan_of(kernel: Kernel) -> Plan:
    found: dict[Buffer, None] = {}
    stack = [w.value for w in kernel.writes]
    stack += [kernel.reduction.value] if kernel.reduction else []
    while stack:
        expr = stack.pop()
        if isinstance(expr, Read):
            found[expr.buffer] = None
        elif isinstance(expr, Call):
            stack.extend(expr.operands)
    outputs = tuple(w.buffer for w in kernel.writes)
    return Plan(schedule([kernel]), (*found, *outputs), (), outputs, None)


def arrays_of(plan: Plan, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        b.name: rng.standard_normal([DATA if s is N else s for s in b.shape]).astype(b.dtype)
        for b in plan.buffers
        if b.space in ("data", "state")
    }


def run(plan: Plan, arrays: dict, rows: np.ndarray, **options: object) -> np.ndarray:
    native = runnable(plan, len(rows), **options)
    for b in plan.buffers:
        if b.space == "data":
            native.bind(b.name, arrays[b.name])
        elif b.space == "state":
            native.state[b.name] = arrays[b.name]
    native.call(rows)
    return native.output(plan.outputs[0], len(rows)).copy()


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(FORMS), st.sampled_from(WIDTHS), st.sampled_from(WIDTHS),
    st.sampled_from((1, 2, 5, 6, 7, 33, 97, 130)), st.sampled_from(("float32", "float64")),
    st.sampled_from((None, 4)),
)  # fmt: skip
def test_products_of_all_forms(
    form: object, i: int, o: int, n: int, dtype: str, width: int | None
) -> None:
    plan = plan_of(form(i, o, dtype))  # type: ignore[operator]
    arrays = arrays_of(plan, i * o)
    rows = np.random.default_rng(n).integers(0, DATA, n)
    want = evaluate(plan, arrays, rows)["y"]
    got = run(plan, arrays, rows, width=width)
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * np.sqrt(max(i, o, n)))
    assert got.tobytes() == run(plan, arrays, rows, width=width, threads=3).tobytes()


@pytest.mark.parametrize(("i", "o"), [(600, 700), (1100, 48)])
@pytest.mark.parametrize("form", FORMS)
def test_sums_longer_than_a_block(form: object, i: int, o: int) -> None:
    plan = plan_of(form(i, o, "float32"))  # type: ignore[operator]
    arrays = arrays_of(plan, 3)
    rows = np.random.default_rng(4).integers(0, DATA, 700 if form is weights else 9)
    want = evaluate(plan, arrays, rows)["y"]
    np.testing.assert_allclose(run(plan, arrays, rows), want, rtol=1e-4, atol=3e-4)


@pytest.mark.parametrize("form", [forward, backward])
def test_a_row_has_the_same_bits_in_any_minibatch(form: object) -> None:
    plan = plan_of(form(33, 45, "float32"))  # type: ignore[operator]
    arrays = arrays_of(plan, 5)
    rows = np.arange(41)
    together = run(plan, arrays, rows)
    for k in (0, 5, 40):
        assert run(plan, arrays, rows[k : k + 1]).tobytes() == together[k : k + 1].tobytes()


@pytest.mark.parametrize("width", [None, 8, 4])
@pytest.mark.parametrize("form", [backward, weights, batched])
def test_sums_in_registers_give_the_bits_of_sums_in_memory(
    form: object, width: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tiles that are full or not, in rows and in columns."""
    for i, o, dtype in ((33, 45, "float32"), (48, 32, "float32"), (18, 10, "float64")):
        plan = plan_of(form(i, o, dtype))  # type: ignore[operator]
        arrays = arrays_of(plan, 9)
        for n in (1, 4, 16, 37):
            texts, bits = set[str](), set[bytes]()
            for most in (MAX_WRITTEN, 0):
                monkeypatch.setattr(gemm, "MAX_WRITTEN", most)
                texts.add(build(plan, host(), n).text)
                bits.add(run(plan, arrays, np.arange(n), width=width).tobytes())
            assert (len(texts), len(bits)) == (2, 1)


@pytest.mark.parametrize("sizes", [(784, 130, 10), (7, 3, 1), (45, 46, 33), (700, 64, 65)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_gives_one_row_the_bits_that_it_has_among_many(
    sizes: tuple[int, ...], dtype: str
) -> None:
    h = cr.input("x", (sizes[0],), dtype=dtype)
    for size in sizes[1:]:
        h = cr.dense(h, size, "tanh")
    plan = plan_forward(Graph(h), [h])
    arrays = arrays_of(plan, sum(sizes))
    rows = np.random.default_rng(1).integers(0, DATA, 200)
    together = run(plan, arrays, rows)
    for start, count in ((0, 1), (7, 1), (199, 1), (3, 2), (100, 4), (11, 7)):
        some = run(plan, arrays, rows[start : start + count])
        assert some.tobytes() == together[start : start + count].tobytes()


def test_a_minibatch_of_thousands_of_rows() -> None:
    plan = plan_of(weights(37, 45, "float32"))
    arrays = arrays_of(plan, 6)
    rows = np.random.default_rng(7).integers(0, DATA, 5001)
    got = run(plan, arrays, rows)
    np.testing.assert_allclose(got, evaluate(plan, arrays, rows)["y"], rtol=1e-4, atol=2e-3)
    assert got.tobytes() == run(plan, arrays, rows, threads=2).tobytes()


def test_a_left_factor_that_lies_along_neither_axis() -> None:
    """y[n, o] = sum over k of x[n, k, 1] w[k, o]."""
    n, c, k = Axis("n", N), Axis("c", 20), Axis("k", 13)
    x, w = Buffer("x", (N, 13, 3), "float32", "data"), Buffer("w", (13, 20), "float32", "state")
    y = Buffer("y", (N, 20), "float32")
    left = Read(x, (Row(At(n)), At(k), Const(1, "int64")))
    total = Reduction((k,), "sum", Call("mul", (left, read(w, k, c)), "float32"))
    kernel = Kernel("y", (n, c), (Write(y, (At(n), At(c)), Acc("float32")),), total)
    assert tiled(kernel).left == "pack_scalar"  # type: ignore[union-attr]
    plan = plan_of(kernel)
    arrays, rows = arrays_of(plan, 8), np.arange(31)
    want = evaluate(plan, arrays, rows)["y"]
    np.testing.assert_allclose(run(plan, arrays, rows), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("features", [dict.fromkeys(WIDE, True), {}])
def test_products_for_other_processors_are_code(dtype: str, features: dict[str, bool]) -> None:
    """Wide vectors with 32 registers, and narrow ones without fused multiply-add."""
    cpu = "x86-64-v4" if features else "x86-64"
    other = machine("x86_64-unknown-linux-gnu", cpu, features)
    for form in FORMS:
        plan = plan_of(form(45, 130, dtype))
        text = assembly(build(plan, replace(other, features=""), 64).text, other)
        assert ("vfmadd" in text and "zmm" in text) if features else "mulp" in text


def test_which_kernels_are_products() -> None:
    one, two, three, four, five, six = (tiled(form(32, 48, "float32")) for form in FORMS)
    assert (one.left, one.right, one.m, one.n) == ("rows_in_place", "in_place", 0, 1)  # type: ignore[union-attr]
    assert (two.left, two.right) == ("rows_in_place", "transpose")  # type: ignore[union-attr]
    assert (three.left, three.right) == ("lines_in_place", "pack")  # type: ignore[union-attr]
    assert (four.outer, four.m, four.n) == ((1,), 0, 2)  # type: ignore[union-attr]
    assert (five.outer_k, five.k, five.left) == ((3,), 2, "pack")  # type: ignore[union-attr]
    assert (six.outer_k, six.right) == ((2,), "transpose")  # type: ignore[union-attr]
    assert tiled(forward(1100, 48, "float32")).left == "transpose"  # type: ignore[union-attr]
    assert tiled(weights(32, 65, "float32")).left == "pack"  # type: ignore[union-attr]
    n, k = Axis("n", N), Axis("k", 5)
    x = Buffer("x", (N, 5), "float32", "data")
    squares = Reduction((k,), "sum", Call("mul", (read(x, n, k), read(x, n, k)), "float32"))
    y = Buffer("y", (N,), "float32")
    assert tiled(Kernel("y", (n,), (Write(y, (At(n),), Acc("float32")),), squares)) is None
