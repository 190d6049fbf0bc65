"""Random kernels, run natively and by the NumPy evaluator of `kernels.py`."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernels import evaluate
from runners import runnable

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
    Row,
    Write,
)
from chainrule.plan.plan import Plan
from chainrule.plan.schedule import schedule
from chainrule.types import N

ROWS = (1, 7, 33)
DATA = 40
SIZES = (1, 2, 3, 5, 8, 9, 17, 33, 70)
FLOATS = ("float32", "float64")
DTYPES = (*FLOATS, "int32", "int64", "uint32", "bool")


class Builder:
    """Draws one kernel, with the buffers and arrays that it needs."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.buffers: list[Buffer] = []
        self.arrays: dict[str, np.ndarray] = {}
        self.rng = np.random.default_rng(draw(st.integers(0, 2**31)))
        batch = draw(st.booleans())
        free = draw(st.lists(st.sampled_from(SIZES), max_size=2))
        over = draw(st.lists(st.sampled_from((*SIZES, N)), max_size=2))
        sizes = [N, *free] if batch else free
        if batch or over.count(N) > 1:
            over = [s for s in over if s is not N]
        self.axes = tuple(Axis(f"a{k}", s) for k, s in enumerate(sizes))
        self.over = tuple(Axis(f"k{k}", s) for k, s in enumerate(over))

    def make(self) -> tuple[Plan, dict[str, np.ndarray]]:
        dtype = self.draw(st.sampled_from(DTYPES))
        reduction, names = None, self.axes
        if self.over:
            combine = self._combine(dtype)
            dtype = "bool" if combine == "any" else dtype
            value = self.expr(dtype, (*self.axes, *self.over), 3)
            if combine == "prod" and dtype in FLOATS:  # else it depends on the order of the factors
                value = Call("exp", (Call("neg", (Call("abs", (value,), dtype),), dtype),), dtype)
            reduction = Reduction(self.over, combine, value)
            kind = "int64" if combine.startswith("arg") else dtype
            root: Expr = Acc(kind)
            if self.draw(st.booleans()):
                root = self.join(kind, root, self.expr(kind, self.axes, 1))
        else:
            root = self.expr(dtype, self.axes, 4)
        order = self.draw(st.permutations(self.axes)) if not _batch(names) else list(names)
        writes = [self.write(root, order)]
        if self.draw(st.booleans()):
            writes.append(self.write(self.expr("float32", self.axes, 2), list(self.axes)))
        kernel = Kernel("k", self.axes, tuple(writes), reduction)
        outputs = tuple(w.buffer for w in writes)
        plan = Plan(schedule([kernel]), (*self.buffers, *outputs), (), outputs, None)
        return plan, self.arrays

    def _combine(self, dtype: str) -> str:
        known = ["max", "min", "any"]
        if dtype != "bool":
            known += ["sum", "prod"]
        if len(self.over) == 1 and dtype != "bool":
            known += ["argmax", "argmin"]
        return self.draw(st.sampled_from(known))

    def write(self, value: Expr, order: list[Axis]) -> Write:
        shape = tuple(a.size for a in order)
        out = Buffer(f"out{len(self.buffers)}.{self.draw(st.integers())}", shape, value.dtype)
        return Write(out, tuple(At(a) for a in order), value)

    def buffer(self, shape: tuple, dtype: str) -> Buffer:
        known = [b for b in self.buffers if b.shape == shape and b.dtype == dtype]
        if known and self.draw(st.booleans()):
            return known[0]
        space = "data" if shape[:1] == (N,) else self.draw(st.sampled_from(("state", "step")))
        made = Buffer(f"b{len(self.buffers)}", shape, dtype, space)
        sizes = [DATA if s is N else s for s in shape]
        scale = self.rng.standard_normal(sizes) * 3
        self.arrays[made.name] = (np.abs(scale) if dtype == "uint32" else scale).astype(dtype)
        self.buffers.append(made)
        return made

    # ------------------------------------------------------------ expressions

    def expr(self, dtype: str, axes: tuple[Axis, ...], depth: int) -> Expr:
        leaf = depth == 0 or self.draw(st.integers(0, 4)) == 0
        if leaf:
            return self.read(dtype, axes) if self.draw(st.integers(0, 5)) else self.const(dtype)
        below = depth - 1
        if dtype == "bool":
            other = self.draw(st.sampled_from(DTYPES))
            if other == "bool":
                name = self.draw(st.sampled_from(("and", "or", "xor")))
            else:
                name = self.draw(st.sampled_from(("eq", "ne", "lt", "le", "gt", "ge")))
            pair = (self.expr(other, axes, below), self.expr(other, axes, below))
            return Call(name, pair, "bool")
        choice = self.draw(st.integers(0, 9))
        if choice == 0:
            parts = [self.expr(t, axes, below) for t in ("bool", dtype, dtype)]
            return Call("select", tuple(parts), dtype)
        if choice == 1:
            source = self.draw(st.sampled_from([d for d in DTYPES if castable(d, dtype)]))
            return Call("cast", (self.expr(source, axes, below),), dtype)
        if choice == 2 and dtype in FLOATS:
            name = self.draw(st.sampled_from(("tanh", "sigmoid", "abs", "neg", "floor", "round")))
            return Call(name, (self.expr(dtype, axes, below),), dtype)
        if choice == 3 and dtype not in FLOATS:
            name = self.draw(st.sampled_from(("mod", "floordiv")))
            return Call(name, tuple(self.expr(dtype, axes, below) for _ in "ab"), dtype)
        return self.join(dtype, self.expr(dtype, axes, below), self.expr(dtype, axes, below))

    def join(self, dtype: str, a: Expr, b: Expr) -> Expr:
        names = ("and", "or") if dtype == "bool" else ("add", "sub", "mul", "min", "max")
        return Call(self.draw(st.sampled_from(names)), (a, b), dtype)

    def const(self, dtype: str) -> Const:
        value = self.draw(st.integers(0 if dtype == "uint32" else -3, 3))
        return Const(bool(value) if dtype == "bool" else value, dtype)

    def read(self, dtype: str, axes: tuple[Axis, ...]) -> Expr:
        chosen = [a for a in axes if self.draw(st.integers(0, 2))]
        first = [a for a in chosen if a.size is N]
        inner = self.draw(st.permutations([a for a in chosen if a.size is not N]))
        place: list[Expr] = [Row(At(a)) for a in first]
        shape: list = [N for _ in first]
        guards: list[Expr] = []
        for axis in inner:
            expr, size = self.place(axis, axes)
            if self.hangs_over:
                guards.append(Call("ge", (expr, whole(0)), "bool"))
                guards.append(Call("lt", (expr, whole(size)), "bool"))
            place.append(expr)
            shape.append(size)
        out: Expr = Read(self.buffer(tuple(shape), dtype), tuple(place))
        for guard in guards:
            out = Call("select", (guard, out, Const(1, dtype)), dtype)
        return out

    def place(self, axis: Axis, axes: tuple[Axis, ...]) -> tuple[Expr, int]:
        """An index made of an axis, and the size of what it goes into."""
        size, at = int(axis.size), At(axis)
        kind = self.draw(st.integers(0, 7))
        self.hangs_over = kind == 4
        if kind == 0:  # from the end
            return Call("sub", (whole(size - 1), at), "int64"), size
        if kind == 1:  # every second
            return Call("mul", (at, whole(2)), "int64"), 2 * size
        if kind == 2:  # what a reshape makes
            return Call("floordiv", (at, whole(3)), "int64"), (size - 1) // 3 + 1
        if kind == 3:
            return Call("mod", (at, whole(3)), "int64"), 3
        if kind == 4:  # a window that hangs over both edges
            return Call("sub", (at, whole(2)), "int64"), max(size - 3, 1)
        if kind == 5:  # an index from data, wild at times
            index = Call("cast", (self.read("int32", (axis,)),), "int64")
            self.hangs_over = False
            return index, size
        return at, size


def whole(value: int) -> Const:
    return Const(value, "int64")


def _batch(axes: tuple[Axis, ...]) -> bool:
    return bool(axes) and axes[0].size is N


def castable(source: str, to: str) -> bool:
    """Casts whose result NumPy defines for small numbers of either sign."""
    return not (source in FLOATS and to == "uint32")


@st.composite
def kernels(draw: st.DrawFn) -> tuple[Plan, dict[str, np.ndarray]]:
    return Builder(draw).make()


def native(plan: Plan, arrays: dict, rows: np.ndarray, **options: object) -> dict:
    """All outputs by name."""
    made = runnable(plan, len(rows), **options)
    given_inputs = {}
    for buffer in plan.buffers:
        if buffer.space == "data":
            made.bind(buffer.name, arrays[buffer.name])
        elif buffer.space == "state":
            made.state[buffer.name] = arrays[buffer.name]
        elif buffer.space == "step":
            given_inputs[buffer.name] = arrays[buffer.name]
    made.call(rows, given_inputs)
    return {b.name: made.output(b, len(rows)).copy() for b in plan.outputs}


def same(got: np.ndarray, want: np.ndarray) -> None:
    if want.dtype.kind == "f":
        rtol, atol = (2e-4, 2e-3) if want.dtype == np.float32 else (1e-9, 1e-9)
        scale = min(np.abs(want[np.isfinite(want)]).max(initial=1), 1e3)
        np.testing.assert_allclose(got, want, rtol=rtol, atol=atol * scale)
    else:
        np.testing.assert_array_equal(got, want)


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(kernels(), st.sampled_from(ROWS), st.sampled_from((None, 4, 8)))
def test_a_random_kernel_means_what_numpy_says(case: tuple, n: int, width: int | None) -> None:
    plan, arrays = case
    rows = np.random.default_rng(n).integers(0, DATA, n)
    want = evaluate(plan, arrays, rows)
    got = native(plan, arrays, rows, width=width)
    for name in got:
        same(got[name], want[name])
    again = native(plan, arrays, rows, width=width, threads=3)
    for name in got:
        assert got[name].tobytes() == again[name].tobytes()
