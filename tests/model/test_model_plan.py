"""Forecasts: what they tell is what is run."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import chainrule as cr
from chainrule.backend.cpu.backend import CPU
from chainrule.backend.cpu.run.driver import Runner
from chainrule.costs.work import work
from chainrule.engine.compile import plan_step
from chainrule.errors import GraphError, SettingError
from chainrule.model.plan import step_of
from chainrule.system.ranks.communicator import Messages
from chainrule.system.ranks.local import Group, Local
from chainrule.system.ranks.world import acting_as
from chainrule.train.fitsettings import FitSettings


def model(*, dropout: float = 0.0, width: int = 33) -> cr.Model:
    x, t = cr.input("x", (20,)), cr.input("t", (), dtype="int32")
    h = cr.dense(x, width, "relu", name="hidden")
    h = cr.dropout(h, dropout) if dropout else h
    y = cr.dense(h, 7, name="y")
    return cr.Model(y, cr.cross_entropy(y, t, name="loss"))


def test_the_text_has_every_part_within_its_width() -> None:
    text = str(model(dropout=0.1).plan(24, optimizer="adam", rows=1000))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0] == "A training step of 24 rows, Adam"
    for part in ("Passes", "Kernels, and the nodes that each computes", "Layout", "Memory"):
        assert part in lines
    for part in ("predicted", "phase 1", "24 x 20 @ 20 x 33", "hidden.w.gradient", "hidden.w.new",
                 "the data set, 1,000 rows", "decompose"):  # fmt: skip
        assert part in text


def test_a_notebook_gets_tables() -> None:
    page = model().plan()._repr_html_()
    assert page.count("<table>") == page.count("</table>") == 5
    assert "&lt;" not in page


def test_the_totals_are_those_of_the_kernels() -> None:
    found = model().plan(64, threads=1)
    assert found.flops == sum(x.work.flops for x in found.kernels)
    assert found.seconds == pytest.approx(sum(x.seconds for x in found.kernels))
    assert found.phases == len(found.plan.phases) >= 2
    assert found.threads == 1
    products = 64 * (20 * 33 * 4 + 33 * 7 * 6)
    assert products < found.flops < 1.2 * products


def test_passes_end_with_the_nodes_that_are_planned() -> None:
    found = model(dropout=0.1).plan()
    assert [x.name for x in found.passes][:4] == ["step", "merge", "hoist", "streams"]
    assert all(x.nodes > 0 for x in found.passes)
    assert found.passes[1].nodes < found.passes[0].nodes
    names = {name for x in found.kernels for name in x.work.kernel.nodes}
    assert found.own & names


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_memory_is_what_a_run_allots(optimizer: str, threads: int) -> None:
    found = model(width=300).plan(50, optimizer=optimizer, threads=threads)
    code = CPU().load(CPU().emit(found.plan, 50).compile(), 50)
    native = Runner(code, threads=threads)
    native._saved.keep(0)  # as a run does first
    state = native.state_memory.block.nbytes + native._saved.copy.nbytes
    assert abs(found.memory.state - state) < 4096
    assert abs(found.memory.work - native.memory.block.nbytes) < 4096
    assert abs(found.memory.scratch - native._scratch.nbytes) <= 128
    sizes = {x.name: x for x in found.plan.buffers if x.space == "state"}
    once = sum(4 * int(np.prod(b.shape)) for b in sizes.values())
    assert once <= found.memory.copies <= 2 * once
    assert found.memory.row == 20 * 4 + 4
    assert found.memory.data == 0


def test_a_forecast_changes_nothing() -> None:
    one, two = model(), model()
    one.plan(16, optimizer="adam")
    assert one.optimizer is None
    rng = np.random.default_rng(0)
    data = {"x": rng.standard_normal((50, 20)), "t": rng.integers(0, 7, 50)}
    for x in (one, two):
        x.fit(data, epochs=1, verbose=False)
    for name in one.values:
        np.testing.assert_array_equal(one.value(name), two.value(name))


def test_wrong_settings_are_refused() -> None:
    x = cr.input("x", (3,))
    with pytest.raises(GraphError, match="no loss"):
        cr.Model(cr.dense(x, 2)).plan()
    for size in (0, -1, 2.5, True):
        with pytest.raises(SettingError, match="batch_size"):
            model().plan(size)  # type: ignore[arg-type]
    for threads in (0, -3, 2.5, "2"):
        with pytest.raises(SettingError, match="threads"):
            model().plan(threads=threads)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="LBFGS"):
        model().plan(optimizer=cr.LBFGS())


def test_a_plan_of_a_step_has_work_of_every_kernel() -> None:
    step, _ = step_of(model(dropout=0.5), FitSettings(optimizer="adam"))
    for task in plan_step(step).tasks:
        assert work(task, 9).bytes > 0


def test_the_row_count_of_a_program_alone_takes_no_kernel() -> None:
    x, t = cr.input("x", (5,)), cr.input("t", ())
    y = cr.squeeze(cr.dense(x, 1), -1)
    listing = cr.Model(y, cr.huber(y, t)).plan(8, optimizer="sgd").listing
    assert "(1 / count())" in listing
    assert "step.rows" not in listing


RANKS = {"ranks": 8, "bandwidth": 1e9, "latency": 5e-5}


def test_a_forecast_of_several_processes_states_what_it_assumes() -> None:
    made = model().plan(256, **RANKS)
    text = str(made)
    assert made.seconds == model().plan(256).seconds, "that of one process stays"
    for part in ("On 8 processes", "1 of 8 blocks of up to 32 rows",
                 "1.00 GB/s and 50.0 us a message",
                 "processors like this one", "validation and reading are not counted"):  # fmt: skip
        assert part in " ".join(text.split()), part
    with pytest.raises(SettingError, match="bandwidth"):
        model().plan(ranks=2, bandwidth=0)
    with pytest.raises(SettingError, match="ranks"):
        model().plan(ranks=0)


def test_a_forecast_of_several_processes_is_between_its_bounds() -> None:
    wide = model(width=900)
    found = {n: wide.plan(512, **RANKS | {"ranks": n, "blocks": 8}).shared for n in (1, 2, 4, 8)}
    alone = found[1]
    assert alone is not None
    assert alone.exchanging == alone.waiting == 0
    assert alone.speedup == 1
    for n, shared in found.items():
        assert shared is not None
        assert 0 < shared.speedup <= n
        assert shared.waiting <= 1.000001 * shared.exchanging
        assert shared.seconds == pytest.approx(alone.seconds / shared.speedup)
        assert shared.computing >= alone.computing / n
        assert shared.exchanging == pytest.approx(
            shared.rounds * (shared.sums / 1e9 + 5e-5), rel=1e-6
        )
    slow = wide.plan(512, ranks=8, bandwidth=1e6).shared
    assert slow is not None
    assert slow.speedup < 1, "a network may be slower than one process"
    assert slow.waiting > 0.9 * slow.exchanging


def test_a_forecast_hides_exchanges_behind_the_sums_that_are_made_after_them() -> None:
    x, t = cr.input("x", (20,)), cr.input("t", (), dtype="int32")
    y = cr.dense(cr.mlp(x, (700, 700, 700, 700), "relu"), 3)
    shared = cr.Model(y, cr.cross_entropy(y, t)).plan(512, **RANKS | {"latency": 0.0}).shared
    assert shared is not None
    last = 2 * 700 * 700 * 4  # exchanged when nothing is left to compute, or almost
    hidden = shared.exchanging - shared.waiting
    assert 0 < hidden < shared.exchanging * (1 - last / shared.sums / 2)


def test_a_forecast_counts_the_bytes_that_processes_exchange() -> None:
    made, sent = model(width=480), list[int]()
    exchange = Local.exchange

    class Counted(Local):
        def exchange(self, sent_: Messages, received: Messages) -> None:
            sent.extend(x.nbytes for _, x in sent_ if x.dtype == np.float32)
            exchange(self, sent_, received)

    rows = 8 * 16
    data = {"x": np.ones((rows, 20), "float32"), "t": np.zeros(rows, "int32")}
    group = Group(2, apart=True)

    def work(rank: int) -> None:
        with acting_as(Counted(group, rank)):
            made.untrained().fit(data, batch_size=rows, epochs=1, verbose=False)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for x in threads:
        x.start()
    for x in threads:
        x.join()
    shared = made.plan(rows, ranks=2).shared
    assert shared is not None
    gaps = 1.1  # rows are padded where machine code writes them
    assert 2 * shared.sums <= sum(sent) <= gaps * 2 * shared.sums
