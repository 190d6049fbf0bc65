"""The checker of plans: each rule, broken by hand, is told with the kernel that breaks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from chainrule.errors import GraphError
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
from chainrule.plan.check import check
from chainrule.plan.plan import Phase, Plan, Task
from chainrule.plan.schedule import schedule
from chainrule.types import N

F = "float32"
X = Buffer("x", (N, 4), F, "data")
W = Buffer("w", (4,), F, "state")
RATE = Buffer("rate", (), F, "step")
H, G = Buffer("h", (N, 4), F), Buffer("g", (4,), F)
LOSS = Buffer("loss", (), F, "loss")


def at(buffer: Buffer, *places: Expr | Axis) -> Read:
    return Read(buffer, tuple(At(p) if isinstance(p, Axis) else p for p in places))


def rows(name: str, to: Buffer, value: Callable[[Axis, Axis], Expr]) -> Kernel:
    """A map over rows and columns."""
    n, i = Axis("n", N), Axis("i", 4)
    return Kernel(name, (n, i), (Write(to, (At(n), At(i)), value(n, i)),))


def add(a: Expr, b: Expr) -> Call:
    return Call("add", (a, b), F)


def hidden() -> Kernel:
    return rows("h", H, lambda n, i: add(at(X, Row(At(n)), i), at(W, i)))


def summed() -> Kernel:
    n, i = Axis("n", N), Axis("i", 4)
    write = Write(G, (At(i),), Acc(F))
    return Kernel("g", (i,), (write,), Reduction((n,), "sum", at(H, n, i)))


def update() -> Kernel:
    i = Axis("i", 4)
    return Kernel("w", (i,), (Write(W, (At(i),), add(at(G, i), at(RATE))),))


def loss() -> Kernel:
    i = Axis("i", 4)
    return Kernel("loss", (), (Write(LOSS, (), Acc(F)),), Reduction((i,), "sum", at(G, i)))


def plan(*kernels: Kernel, more: tuple[Buffer, ...] = ()) -> Plan:
    """A step with all four kernels, each replaced by a given one of its name."""
    usual = {k.name: k for k in (hidden(), summed(), update(), loss())}
    given = usual | {k.name: k for k in kernels}
    buffers = (X, W, RATE, H, G, LOSS, *more)
    return Plan(schedule(given.values()), buffers, (W,), (), LOSS)


def test_a_plan_that_keeps_all_rules_is_returned() -> None:
    made = plan()
    assert check(made) is made
    assert [len(x.tasks) for x in made.phases] == [1, 3]


def broken(rule: str, made: Plan, where: str) -> None:
    with pytest.raises(GraphError, match=rule) as raised:
        check(made)
    assert where in str(raised.value)


def one(axes: tuple[Axis, ...], value: Expr, *, add: bool = False) -> Kernel:
    """A kernel that computes `g` another way."""
    return Kernel("g", axes, (Write(G, tuple(map(At, axes)), value, add),))


I4, ONE = Axis("i", 4), Const(1.0, F)


@pytest.mark.parametrize(
    ("rule", "kernel"),
    [
        ("an axis stands twice", one((I4, I4), ONE)),
        ("loop of one turn", one((I4, Axis("j", 1)), ONE)),
        ("rows is not the first", one((I4, Axis("n", N)), ONE)),
        ("reduction over nothing", replace(one((I4,), ONE), reduction=Reduction((), "sum", ONE))),
        ("argmax goes over one axis", replace(
            one((I4,), ONE), reduction=Reduction((Axis("j", 2), Axis("k", 3)), "argmax", ONE)
        )),
        ("writes nothing", Kernel("g", (I4,), ())),
        ("writes float64 to a buffer of float32", one((I4,), Const(1.0, "float64"))),
        ("0 indices into 'g' of 1 axes", Kernel("g", (I4,), (Write(G, (), ONE),))),
        ("1 indices into 'h' of 2 axes", one((I4,), at(H, I4))),
        ("not an int64", Kernel("g", (I4,), (Write(G, (Call("cast", (At(I4),), "int32"),), ONE),))),
        ("without looking up the row", one((I4,), at(X, I4, I4))),
        ("adds to what is not written yet", one((I4,), ONE, add=True)),
    ],
)  # fmt: skip
def test_a_kernel_that_breaks_a_rule(rule: str, kernel: Kernel) -> None:
    broken(rule, plan(kernel), "kernel 'g'")


@pytest.mark.parametrize("buffer", [X, RATE, Buffer("c", (4,), F, "constant")])
def test_some_spaces_are_only_read(buffer: Buffer) -> None:
    places = tuple(Const(0, "int64") for _ in buffer.shape)
    kernel = Kernel("wrong", (), (Write(buffer, places, ONE),))
    broken(f"writes to the space '{buffer.space}'", plan(kernel), "kernel 'wrong'")


def test_names_of_buffers_are_unique() -> None:
    broken("one name", plan(more=(Buffer("h", (3,), F),)), "h")


def test_a_plan_has_the_buffers_that_it_touches() -> None:
    made = plan()
    for name, kernel, verb in (("x", "h", "reads"), ("h", "h", "writes")):
        fewer = tuple(b for b in made.buffers if b.name != name)
        broken(f"it {verb} a buffer", replace(made, buffers=fewer), f"kernel {kernel!r}, buffer")


def test_what_is_read_is_written_before() -> None:
    other = Buffer("other", (4,), F)
    i = Axis("i", 4)
    broken("not written yet", plan(one((i,), at(other, i)), more=(other,)), "buffer 'other'")
    made = plan()
    broken("not written yet", replace(made, phases=made.phases[::-1]), "buffer 'h'")


def test_a_buffer_is_written_once() -> None:
    twice = replace(update(), name="again")
    broken("written twice", plan(twice), "kernel 'again', buffer 'w'")


def test_updates_and_the_loss_are_written() -> None:
    made = plan()
    for name in ("w", "loss"):
        fewer = [k for k in made.kernels if k.name != name]
        broken("nothing writes it", replace(made, phases=schedule(fewer)), f"buffer {name!r}")
    broken("nothing writes it", replace(made, outputs=(RATE,)), "buffer 'rate'")
    broken("not an update", replace(made, updates=()), "kernel 'w'")


def changed(made: Plan, name: str, **fields: object) -> Plan:
    def task(x: Task) -> Task:
        return replace(x, **fields) if x.kernel.name == name else x  # type: ignore[arg-type]

    phases = (Phase(tuple(map(task, phase.tasks))) for phase in made.phases)
    return replace(made, phases=tuple(phases))


@pytest.mark.parametrize(
    ("name", "split"),
    [("h", "first"), ("h", "every"), ("g", "rows"), ("g", "every"), ("loss", "every"),
     ("loss", "first")],
)  # fmt: skip
def test_threads_write_no_element_twice(name: str, split: str) -> None:
    broken(f"cannot share it as '{split}'", changed(plan(), name, split=split), f"kernel {name!r}")


def test_additions_to_computed_places_are_done_by_one_thread() -> None:
    index = Buffer("index", (N,), "int64", "data")
    n, i = Axis("n", N), Axis("i", 4)
    zeros = Kernel("zeros", (i,), (Write(G, (At(i),), ONE),))
    to = Read(index, (Row(At(n)),))
    adds = Kernel("adds", (n,), (Write(G, (to,), ONE, add=True),))
    made = Plan(schedule([zeros, adds]), (index, G), (), (G,))
    check(made)
    broken("cannot share it as 'rows'", changed(made, "adds", split="rows"), "kernel 'adds'")


def test_a_barrier_stands_between_threads_that_need_each_other() -> None:
    made = plan()
    together = (Phase(made.tasks),)
    broken("does not wait for 'h'", replace(made, phases=together), "kernel 'g', buffer 'h'")


def test_what_one_thread_does_after_another_waits() -> None:
    made = changed(plan(), "loss", owner=1)
    assert [x.split for x in made.tasks[1:]] == ["none"] * 3
    broken("does not wait for 'g'", made, "kernel 'loss', buffer 'g'")
    check(changed(made, "loss", owner=0))


def test_rows_of_others_are_waited_for() -> None:
    """A thread may read its own rows of `h` in the same phase, and not the next ones."""
    z = Buffer("z", (N, 4), F)
    own = rows("z", z, lambda n, i: at(H, n, i))
    made = Plan(schedule([hidden(), own]), (X, W, H, z), (), (z,))
    assert len(check(made).phases) == 1
    last = Call("sub", (Call("count", (), "int64"), Const(1, "int64")), "int64")
    others = rows("z", z, lambda n, i: at(H, Call("sub", (last, At(n)), "int64"), i))
    made = Plan(schedule([hidden(), others]), (X, W, H, z), (), (z,))
    assert len(check(made).phases) == 2
    made = replace(made, phases=(Phase(made.tasks),))
    broken("does not wait for 'h'", made, "kernel 'z', buffer 'h'")
