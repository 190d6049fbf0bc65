"""Whole steps: states and their sides, stops, threads, memory."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest
from kernels import evaluate
from runners import runnable

from chainrule.backend.cpu.emit.module import build
from chainrule.backend.cpu.machine import machine
from chainrule.backend.cpu.run.driver import Runner
from chainrule.backend.cpu.run.jit import assembly
from chainrule.backend.cpu.run.threads import Pool
from chainrule.errors import FeedError
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

F = "float32"
DATA, WIDTH, CLASSES = 60, 20, 7


def call(name: str, *operands: object) -> Call:
    return Call(name, operands, F)  # type: ignore[arg-type]


def training() -> Plan:
    """h = tanh(x[row] w + e[t[row]]); loss = mean of sums of h; w and e go down their gradients.

    The gradient of e is added up by place, so the kernels that fill and use it have an order.
    """
    x, t = Buffer("x", (N, WIDTH), F, "data"), Buffer("t", (N,), "int32", "data")
    w, e = Buffer("w", (WIDTH, CLASSES), F, "state"), Buffer("e", (9, CLASSES), F, "state")
    h, s = Buffer("h", (N, CLASSES), F), Buffer("s", (N,), F)
    ge, rate = Buffer("ge", (9, CLASSES), F), Buffer("rate", (), "float64", "step")
    loss = Buffer("loss", (), F, "loss")
    n, o, k = Axis("n", N), Axis("o", CLASSES), Axis("k", WIDTH)
    i, r = Axis("i", WIDTH), Axis("r", 9)
    here, row = (At(n), At(o)), Row(At(n))
    word = Call("cast", (Read(t, (row,)),), "int64")
    sum_h = call("tanh", call("add", Acc(F), Read(e, (word, At(o)))))
    product = call("mul", Read(x, (row, At(k))), Read(w, (At(k), At(o))))
    slope = call("sub", Const(1, F), call("mul", Read(h, here), Read(h, here)))
    step = call("cast", Read(rate, ()))

    def down(p: Buffer, place: tuple, gradient: object) -> Write:
        return Write(p, place, call("sub", Read(p, place), call("mul", step, gradient)))

    spread = call("mul", Read(x, (row, At(i))), slope)
    kernels = (
        Kernel("h", (n, o), (Write(h, here, sum_h),), Reduction((k,), "sum", product)),
        Kernel("s", (n,), (Write(s, (At(n),), Acc(F)),), Reduction((o,), "sum", Read(h, here))),
        Kernel("zeros", (r, o), (Write(ge, (At(r), At(o)), Const(0, F)),)),
        Kernel("w", (i, o), (down(w, (At(i), At(o)), Acc(F)),), Reduction((n,), "sum", spread)),
        Kernel("ge", (o, n), (Write(ge, (word, At(o)), slope, add=True),)),
        Kernel("e", (r, o), (down(e, (At(r), At(o)), Read(ge, (At(r), At(o)))),)),
        Kernel(
            "loss", (), (Write(loss, (), call("div", Acc(F), Call("count", (), F))),),
            Reduction((n,), "sum", Read(s, (At(n),))),
        ),
    )  # fmt: skip
    buffers = (x, t, w, e, h, s, ge, rate, loss)
    return Plan(schedule(kernels), buffers, (w, e), (), loss)


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "x": rng.standard_normal((DATA, WIDTH)).astype(F),
        "t": rng.integers(0, 9, DATA).astype("int32"),
        "w": rng.standard_normal((WIDTH, CLASSES)).astype(F),
        "e": rng.standard_normal((9, CLASSES)).astype(F),
    }


def ready(plan: Plan, known: dict[str, np.ndarray], **options: object) -> Runner:
    native = runnable(plan, 40, **options)  # type: ignore[arg-type]
    native.bind("x", known["x"])
    native.bind("t", known["t"])
    native.state.update({name: known[name] for name in ("w", "e")})
    return native


SIZES = (33, 7, 20, 1, 40)
OFFSETS = np.concatenate([[0], np.cumsum(SIZES)])
ROWS = np.random.default_rng(1).integers(0, DATA, OFFSETS[-1])
RATES = np.linspace(0.01, 0.02, len(SIZES))


@pytest.mark.parametrize("width", [None, 4])
def test_steps_mean_what_numpy_says(width: int | None) -> None:
    plan, known = training(), arrays()
    native = ready(plan, known, width=width)
    losses, failed = native.run(ROWS, OFFSETS, {"rate": RATES})
    assert failed is None
    for k, size in enumerate(SIZES):
        rows = ROWS[OFFSETS[k] : OFFSETS[k] + size]
        after = evaluate(plan, known | {"rate": RATES[k]}, rows)
        np.testing.assert_allclose(losses[k], after["loss"], rtol=1e-5)
        known |= {name: after[name] for name in ("w", "e")}
    for name in ("w", "e"):
        np.testing.assert_allclose(native.state[name], known[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("threads", [2, 3, 4])
def test_bits_are_the_same_for_any_number_of_threads_and_calls(threads: int) -> None:
    plan, known = training(), arrays()
    one, many = ready(plan, known), ready(plan, known, threads=threads)
    losses, _ = one.run(ROWS, OFFSETS, {"rate": RATES})
    for k in range(len(SIZES)):
        part, _ = many.run(ROWS, OFFSETS[k : k + 2], {"rate": RATES[k : k + 1]})
        assert part[0] == losses[k]
    for name in ("w", "e"):
        assert one.state[name].tobytes() == many.state[name].tobytes()


@pytest.mark.parametrize("threads", [1, 3])
def test_a_step_that_is_not_finite_is_not_taken(threads: int) -> None:
    plan, known = training(), arrays()
    rates = np.array([0.01, 0.01, np.inf, 0.01, 0.01])  # the third step makes the state infinite
    native = ready(plan, known, threads=threads)
    losses, failed = native.run(ROWS, OFFSETS, {"rate": rates})
    assert (failed, len(losses)) == (2, 2)
    good = ready(plan, known)
    good.run(ROWS, OFFSETS[:3], {"rate": rates[:2]})
    assert native.state["w"].tobytes() == good.state["w"].tobytes()
    losses, failed = native.run(ROWS, OFFSETS[2:4], {"rate": np.array([0.01])})
    assert (failed, len(losses)) == (None, 1)  # and it can go on from there


def test_a_loss_that_is_not_finite_stops_too() -> None:
    plan, known = training(), arrays()
    known["x"][ROWS[OFFSETS[1]], 3] = np.nan
    _, failed = ready(plan, known).run(ROWS, OFFSETS, {"rate": RATES * 0})
    hit = [k for k in range(len(SIZES)) if ROWS[OFFSETS[1]] in ROWS[OFFSETS[k] : OFFSETS[k + 1]]]
    assert failed == hit[0]


def test_state_reads_copies_and_takes_what_is_written() -> None:
    native = ready(training(), arrays())
    copy = native.state["w"]
    copy[:] = 0
    assert native.state["w"].any()
    native.state["w"] = np.full((WIDTH, CLASSES), 2)
    assert (native.state["w"] == 2).all()
    assert sorted(native.state) == ["e", "w"]


def test_two_objects_share_code_and_not_memory() -> None:
    plan, known = training(), arrays()
    one = ready(plan, known)
    two = Runner(one.code, threads=2)
    two.bind("x", known["x"])
    two.bind("t", known["t"])
    two.state.update({name: known[name] for name in ("w", "e")})
    one.run(ROWS, OFFSETS, {"rate": RATES})
    assert two.state["w"].tobytes() == known["w"].tobytes()
    two.run(ROWS, OFFSETS, {"rate": RATES})
    assert two.state["w"].tobytes() == one.state["w"].tobytes()


def test_what_does_not_fit_is_told() -> None:
    native = runnable(training(), 40)
    with pytest.raises(FeedError, match="does not fit"):
        native.bind("x", np.zeros((4, WIDTH + 1)))
    with pytest.raises(FeedError, match="no data buffer"):
        native.bind("w", np.zeros((4, WIDTH)))
    with pytest.raises(FeedError, match="has no array"):
        native.run([0], [0, 1], {"rate": 0.1})
    native = ready(training(), arrays())
    with pytest.raises(FeedError, match="missing"):
        native.run([0], [0, 1], {})
    with pytest.raises(FeedError, match="no such row"):
        native.run([DATA], [0, 1], {"rate": 0.1})
    with pytest.raises(FeedError, match="do not fit the rows"):
        native.run(np.zeros(41), [0, 41], {"rate": 0.1})


def test_tasks_that_need_each_others_rows_wait() -> None:
    names = [[t.name for t in s] for s in phases_of(training())]
    assert names == [["h", "s", "zeros"], ["w", "ge", "e", "loss"]]


def test_what_one_thread_does_follows_in_its_stage_and_the_rest_is_dealt_out() -> None:
    _, second = phases_of(training())
    assert {t.name: (t.split, t.owner) for t in second if t.split == "none"} == {
        "ge": ("none", 0), "e": ("none", 0), "loss": ("none", 1)
    }  # fmt: skip


def chain(*kernels: tuple[Buffer, tuple[Axis, ...], Reduction | None, Expr]) -> list:
    """The phases of kernels that each fill a buffer, as (name, split, owner)."""
    made = [
        Kernel(b.name, axes, (Write(b, tuple(map(At, axes)), value),), reduction)
        for b, axes, reduction, value in kernels
    ]
    buffers = tuple(b for b, *_ in kernels)
    plan = Plan(schedule(made), buffers, (), buffers[-1:], None)
    return [[(t.name, t.split, t.owner) for t in s] for s in phases_of(plan)]


def test_numbers_are_made_by_every_thread_unless_they_are_sums() -> None:
    a, b, c = (Buffer(name, (), F) for name in "abc")
    d, e = Buffer("d", (N,), F), Buffer("e", (), F)
    n, r, s = Axis("n", N), Axis("r", 3), Axis("s", 3)
    total = Reduction((r,), "sum", call("cast", At(r)))
    both = Reduction((s,), "sum", call("add", Read(b, ()), Read(c, ())))
    one, acc = Const(1, F), Acc(F)
    found = chain((a, (), None, one), (b, (), total, acc), (c, (), total, acc),
                  (d, (n,), None, Read(a, ())), (e, (), both, acc))  # fmt: skip
    assert found == [
        [("a", "every", 0), ("b", "none", 0), ("c", "none", 1), ("d", "rows", 0)],
        [("e", "none", 0)],
    ]


def phases_of(plan: Plan) -> list:
    return build(plan, machine("x86_64-unknown-linux-gnu", "x86-64", {}), 40).phases


def test_equal_kernels_are_written_once() -> None:
    buffers = [Buffer(f"b{k}", (N, 9), F, "data" if k == 0 else "work") for k in range(21)]
    kernels = []
    for k in range(20):
        n, c = Axis("n", N), Axis("c", 9)
        place = (Row(At(n)) if k == 0 else At(n), At(c))
        value = call("mul", Read(buffers[k], place), Const(2, F))
        kernels.append(Kernel(f"k{k}", (n, c), (Write(buffers[k + 1], (At(n), At(c)), value),)))
    plan = Plan(schedule(kernels), tuple(buffers), (), (buffers[20],), None)
    native = runnable(plan, 8)
    assert len({t.function for s in native.program.phases for t in s}) == 2
    x = np.ones((3, 9), F)
    native.bind("b0", x)
    native.call(np.arange(3))
    np.testing.assert_array_equal(native.output(buffers[20], 3), x * 2**20)


@pytest.mark.parametrize(
    ("triple", "features"),
    [
        ("aarch64-unknown-linux-gnu", {}),
        ("x86_64-unknown-linux-gnu", dict.fromkeys(
            ("avx2", "fma", "avx512f", "avx512dq", "avx512bw", "avx512vl"), True)),
    ],
)  # fmt: skip
def test_code_for_other_processors_is_well_formed(triple: str, features: dict[str, bool]) -> None:
    known = machine(triple, "generic" if "aarch" in triple else "x86-64", features)
    text = assembly(build(training(), known, 40).text, known)
    assert ("fmla" if "aarch" in triple else "zmm") in text


def test_a_pool_runs_every_number() -> None:
    pool, seen = Pool(3), []
    pool.run(seen.append)
    pool.run(seen.append)
    assert sorted(seen) == [0, 0, 1, 1, 2, 2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_starts_threads_of_its_own() -> None:
    plan, known = training(), arrays()
    native, alone = (ready(plan, known, threads=n) for n in (2, 1))
    for each in (native, alone):
        each.run(ROWS, OFFSETS[:2], {"rate": RATES[:1]})
    alone.run(ROWS, OFFSETS[1:3], {"rate": RATES[1:2]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the other threads stay behind
        child = os.fork()
    if child == 0:
        native.run(ROWS, OFFSETS[1:3], {"rate": RATES[1:2]})
        os._exit(int(native.state["w"].tobytes() != alone.state["w"].tobytes()))
    assert os.waitpid(child, 0)[1] == 0


def test_maps_over_whole_buffers_are_one_kernel_whatever_their_shapes() -> None:
    """Rows without padding are one run; padded ones differ in their number alone."""
    shapes = [(7,), (3, 16), (1, 40), (5, 1, 16), (2, 1000), (9, 1000), (1,), ()]
    buffers = [Buffer(f"b{k}", shape, F, "state") for k, shape in enumerate(shapes)]
    kernels = []
    for b in buffers:
        axes = tuple(Axis(f"i{k}", d) for k, d in enumerate(b.shape) if d != 1)
        turns = iter(axes)
        place = tuple(Const(0, "int64") if d == 1 else At(next(turns)) for d in b.shape)
        value = call("mul", Read(b, place), Const(3, F))
        kernels.append(Kernel(b.name, axes, (Write(b, place, value),)))
    native = runnable(Plan(schedule(kernels), tuple(buffers), tuple(buffers), (), None), 1)
    function = {t.name: t.function for s in native.program.phases for t in s}
    assert len({function[f"b{k}"] for k in range(4)}) == 1
    assert function["b4"] == function["b5"] != function["b0"]
    for b in buffers:
        native.state[b.name] = np.arange(native.state[b.name].size).reshape(b.shape)
    native.call([0])
    for b in buffers:
        found = native.state[b.name].ravel()
        np.testing.assert_array_equal(found, 3 * np.arange(found.size))


def test_sums_over_whole_buffers_are_one_kernel_whatever_their_shapes() -> None:
    shapes = [(7,), (3, 16), (3, 1000), (40, 16)]
    buffers = [Buffer(f"b{k}", shape, F, "state") for k, shape in enumerate(shapes)]
    sums = [Buffer(f"s{k}", (), F, "state") for k in range(len(shapes))]
    kernels = []
    for b, s in zip(buffers, sums, strict=True):
        axes = tuple(Axis(f"i{k}", d) for k, d in enumerate(b.shape))
        total = Reduction(axes, "sum", Read(b, tuple(map(At, axes))))
        kernels.append(Kernel(s.name, (), (Write(s, (), Acc(F)),), total))
    native = runnable(Plan(schedule(kernels), (*buffers, *sums), tuple(sums), (), None), 1)
    function = {t.name: t.function for s in native.program.phases for t in s}
    assert function["s0"] == function["s1"] == function["s3"] != function["s2"]
    for b in buffers:
        native.state[b.name] = np.arange(native.state[b.name].size).reshape(b.shape)
    native.call([0])
    for b, s in zip(buffers, sums, strict=True):
        size = native.state[b.name].size
        assert native.state[s.name] == size * (size - 1) // 2


def test_a_length_that_the_code_uses_is_no_length_told_later() -> None:
    """The place itself is computed with; a part of a buffer is read; a row is read twice."""
    a, x = Buffer("a", (9,), F, "state"), np.arange(9, dtype=F)
    for size, value, want in (
        (9, lambda i: call("add", Read(a, (At(i),)), call("cast", At(i))), x + x),
        (5, lambda i: Read(a, (At(i),)), x[:5]),
        (9, lambda i: call("add", Read(a, (At(i),)), Read(a, (Const(8, "int64"),))), x + 8),
    ):
        out, i = Buffer("out", (size,), F, "state"), Axis("i", size)
        kernel = Kernel("k", (i,), (Write(out, (At(i),), value(i)),))
        native = runnable(Plan(schedule([kernel]), (a, out), (out,), (), None), 1)
        native.state["a"] = x
        native.call([0])
        np.testing.assert_array_equal(native.state["out"], want)
