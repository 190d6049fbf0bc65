"""The work of a step in units: they cover it once, and threads may do them in any order."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from test_cpu_steps import OFFSETS, RATES, ROWS, arrays, ready, training

from chainrule.backend.cpu.abi import Launch
from chainrule.backend.cpu.run.driver import Runner
from chainrule.backend.cpu.run.units import NEAR_BYTES, SHARED_BYTES, TAIL, Unit, forced, work
from chainrule.ir.kernel import Buffer
from chainrule.plan.plan import Split
from chainrule.types import Dim, N


def launch(
    split: Split, size: Dim, *, owner: int = 0, us: float = 0.0, granule: int = 1, least: int = 1,
    bytes: int = 0,
) -> Launch:  # fmt: skip
    operands = ((Buffer("h", (N, bytes // 4), "float32"), False),) * (bytes > 0)
    return Launch("k", "k0", operands, split, owner, size, granule, us * 1e-6, least)


def tasks(*launches: Launch) -> list[tuple[int, Launch]]:
    return list(enumerate(launches))


A_STEP = tasks(
    launch("every", 1),
    launch("rows", N, us=200, granule=8, least=16),
    launch("none", 1, owner=0, us=1),
    launch("rows", N, us=20),
    launch("first", 784, us=400, granule=14, least=16),
    launch("none", 1, owner=1, us=1),
    launch("none", 1, owner=0, us=1),
    launch("first", 10, us=1),
)


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("rows", [1, 7, 32, 128])
def test_units_cover_every_task_once(rows: int, threads: int) -> None:
    for made in (work(A_STEP, rows, 128, threads), forced(A_STEP, rows, lambda units: units)):
        assert made.every == ((0, 0, -1),)
        assert len(made.queues) in (1, threads)
        done = Counter[tuple[int, int]]()
        for number, low, high in (x for queue in made.queues for u in queue for x in u.calls):
            split, size = A_STEP[number][1].split, A_STEP[number][1].size
            assert (high == -1) == (split == "none")
            done.update((number, k) for k in range(low, high if high >= 0 else 1))
            if split == "first" and isinstance(size, int):
                granule = A_STEP[number][1].granule
                assert low % granule == 0
                assert high % granule == 0 or high == size
        sizes = {1: rows, 3: rows, 4: 784, 7: 10, 2: 1, 5: 1, 6: 1}
        assert done == Counter((t, k) for t, size in sizes.items() for k in range(size))


def test_a_unit_does_all_tasks_by_rows_for_its_rows_in_their_order() -> None:
    made = work(A_STEP, 128, 128, 2)
    units = [u.calls for queue in made.queues for u in queue]
    by_rows = [[(t, low, high) for t, low, high in calls if t in (1, 3)] for calls in units]
    for calls in by_rows:
        for (one, *where), (two, *there) in zip(calls[::2], calls[1::2], strict=True):
            assert (one, two) == (1, 3)
            assert where == there


def test_tasks_of_one_owner_stay_together_in_their_order() -> None:
    made = work(A_STEP, 32, 128, 3)
    (calls,) = [u.calls for queue in made.queues for u in queue if (2, 0, -1) in u.calls]
    assert [t for t, _, _ in calls if t in (2, 6)] == [2, 6]


def test_later_units_are_shorter_and_the_last_is_a_short_tail() -> None:
    long = tasks(launch("first", 4096, us=4000, granule=8))
    for queue in work(long, 1, 1, 2).queues:
        seconds = [unit.seconds for unit in queue]
        assert sum(seconds) == pytest.approx(2000e-6)
        assert seconds == sorted(seconds, reverse=True)
        assert seconds[-1] <= TAIL * sum(seconds)
        assert len(queue) < 16


def test_units_are_long_enough_for_their_packing() -> None:
    long = tasks(launch("rows", N, us=4000, granule=8, least=64))
    for queue in work(long, 256, 256, 2).queues:
        assert [high - low for u in queue for _, low, high in u.calls] == [64, 64]
    for queue in work(long, 100, 256, 2).queues:
        assert len(queue) == 1


def by_parts(bytes: int, least: int = 1) -> list[tuple[int, int, int]]:
    """The calls of one thread for two tasks by rows, each with so many bytes of values."""
    chain = tasks(*(launch("rows", N, us=2000, least=least, bytes=bytes // 2) for _ in "ab"))
    (queue,) = work(chain, 64, 64, 1, shared=False).queues
    return [call for unit in queue for call in unit.calls]


def test_rows_with_many_values_go_through_all_tasks_a_few_at_a_time() -> None:
    few = NEAR_BYTES // 2
    assert by_parts(few) == [(0, 0, 64), (1, 0, 64)]  # not more than fit the last cache
    assert by_parts(SHARED_BYTES // 16) == [(t, k, k + 1) for k in range(64) for t in (0, 1)]
    bytes = 2 * SHARED_BYTES // 64
    rows = max(1, NEAR_BYTES // bytes)
    assert by_parts(bytes)[:4] == [(t, k, k + rows) for k in (0, rows) for t in (0, 1)]


def test_rows_of_products_that_pack_their_factors_stay_together() -> None:
    assert by_parts(SHARED_BYTES // 16, least=64) == [(0, 0, 64), (1, 0, 64)]


def test_a_small_share_of_the_work_does_not_make_units_long() -> None:
    chain = tasks(
        launch("rows", N, us=4000, granule=8), launch("rows", N, us=40, granule=8, least=64)
    )
    assert all(len(queue) > 1 for queue in work(chain, 64, 64, 2).queues)


def test_short_work_is_one_unit_a_thread() -> None:
    short = tasks(launch("rows", N, us=2, granule=8), launch("first", 64, us=2, granule=8))
    assert [len(queue) for queue in work(short, 32, 32, 2).queues] == [1, 1]


def test_without_help_a_thread_has_one_unit() -> None:
    made = work(A_STEP, 128, 128, 2, shared=False)
    assert not made.shared
    assert [len(queue) for queue in made.queues] == [1, 1]


# ---------------------------------------------------------------- orders


def bits(native: Runner) -> list[bytes]:
    losses, failed = native.run(ROWS, OFFSETS, {"rate": RATES})
    assert failed is None
    return [losses.tobytes(), *(native.state[name].tobytes() for name in ("w", "e"))]


@pytest.mark.parametrize("threads", [1, 2])
def test_steps_by_parts_of_the_rows_have_the_same_bits(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, known = training(), arrays()
    whole = bits(ready(plan, known, threads=threads))
    for name, value in (("SHARED_BYTES", 0), ("NEAR_BYTES", 1), ("MEMORY_SPEED", 1.0)):
        monkeypatch.setattr(f"chainrule.backend.cpu.run.units.{name}", value)
    apart = ready(plan, known, threads=threads)
    assert apart._orders.apart
    assert bits(apart) == whole


@pytest.mark.parametrize("width", [None, 4])
def test_every_order_of_units_gives_the_same_bits(width: int | None) -> None:
    plan, known = training(), arrays()
    counts = set[int]()

    def nth(n: int) -> Callable[[list[Unit]], Sequence[Unit]]:
        def arrange(units: list[Unit]) -> Sequence[Unit]:
            counts.add(len(units))
            return next(itertools.islice(itertools.permutations(units), n % limit(units), None))

        return arrange

    def limit(units: list[Unit]) -> int:
        return math.factorial(len(units))

    rows, ends = ROWS[:8], np.array([0, 4, 8])
    plain, native = (ready(plan, known, width=width) for _ in "ab")
    losses, _ = plain.run(rows, ends, {"rate": 0.01})
    for n in range(120):
        native.state.update({name: known[name] for name in ("w", "e")})
        native.force_order(nth(n))
        got, _ = native.run(rows, ends, {"rate": 0.01})
        assert got.tobytes() == losses.tobytes()
        for name in ("w", "e"):
            assert native.state[name].tobytes() == plain.state[name].tobytes()
    assert max(counts) > 3


@pytest.mark.parametrize("arrange", [lambda units: units, lambda units: units[::-1]])
def test_rows_one_by_one_give_the_same_bits(arrange: Callable[[list[Unit]], list[Unit]]) -> None:
    native = ready(training(), arrays())
    native.force_order(arrange)
    assert bits(native) == bits(ready(training(), arrays()))
    native.force_order(None)
    assert len(bits(native)) == 3


@pytest.mark.parametrize("shared", [True, False])
def test_threads_with_and_without_help_give_the_same_bits(shared: bool) -> None:
    want = bits(ready(training(), arrays()))
    for _ in range(20):
        assert bits(ready(training(), arrays(), threads=4, shared=shared)) == want


def test_nothing_waits_for_a_thread_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    native, came = ready(training(), arrays(), threads=3), []

    def alone(function: Callable[[int], object], threads: int) -> None:
        for number in range(threads):  # the others begin when the first has done everything
            function(number)
            came.append(number)

    monkeypatch.setattr(native._pool, "run", alone)
    assert bits(native) == bits(ready(training(), arrays()))
    assert came == [0, 1, 2]


def test_a_failed_step_ends_the_run_for_threads_that_come_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rates = np.array([0.01, 0.01, np.inf, 0.01, 0.01])
    native = ready(training(), arrays(), threads=2)
    monkeypatch.setattr(native._pool, "run", lambda f, threads: [f(k) for k in range(threads)])
    losses, failed = native.run(ROWS, OFFSETS, {"rate": rates})
    assert (failed, len(losses)) == (2, 2)


def test_sizes_of_minibatches_may_all_differ() -> None:
    sizes = np.random.default_rng(3).integers(1, 41, 300)
    ends = np.concatenate([[0], np.cumsum(sizes)])
    rows = np.random.default_rng(4).integers(0, 60, ends[-1])
    one, many = (ready(training(), arrays(), threads=k) for k in (1, 3))
    for native in (one, many):
        native.run(rows, ends, {"rate": 0.001})
    assert one.state["w"].tobytes() == many.state["w"].tobytes()
