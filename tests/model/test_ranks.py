"""Training that ranks share: the same bits on any number of them, and one end for all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from chainrule.engine import buckets
from chainrule.engine.blocks import THREAD, Rows
from chainrule.engine.treesum import TreeSum
from chainrule.errors import GraphError, NotFinite, RankLost, SettingError
from chainrule.system.ranks.local import Local, run_threads
from chainrule.system.ranks.world import world
from chainrule.train.loop import Run

ROWS = 150
R = np.random.default_rng(3)
DATA: dict[str, Any] = {
    "x": R.normal(size=(ROWS, 6)).astype("float32"),
    "k": R.integers(0, 9, (ROWS, 2)).astype("int32"),
    "p": R.normal(size=(ROWS, 6, 6, 2)).astype("float32"),
    "s": R.normal(size=(ROWS, 5, 3)).astype("float32"),
    "w": R.uniform(0.5, 2, ROWS).astype("float32"),
    "t": R.integers(0, 3, ROWS).astype("int32"),
}


def dense() -> cr.Model:
    x, t, w = cr.input("x", (6,)), cr.input("t", (), dtype="int32"), cr.input("w")
    shared = cr.parameter("shared", np.linspace(-1, 1, 8, dtype="float32"))
    h = cr.dropout(cr.dense(x, 8, "tanh", name="h"), 0.3) * shared + shared
    y = cr.dense(h, 3, name="y")
    loss = cr.cross_entropy(y, t, weights=w, class_weights=[1, 2, 5])
    return cr.Model(y, loss + cr.l2(shared, strength=0.01), seed=1)


def normalised() -> cr.Model:
    x, t = cr.input("x", (6,)), cr.input("t", (), dtype="int32")
    h = cr.relu(cr.batch_norm(cr.dense(x, 8, bias=False, name="h"), name="n"))
    h = cr.batch_norm(cr.dense(h, 7, "tanh", name="g"), name="m")
    y = cr.dense(h, 3, name="y")
    return cr.Model(y, cr.cross_entropy(y, t), seed=2)


def table() -> cr.Model:
    k, t = cr.input("k", (2,), dtype="int32"), cr.input("t", (), dtype="int32")
    e = cr.embedding(k, 9, 4, name="e")
    y = cr.dense(cr.reshape(e, (cr.N, 8)), 3, name="y")
    return cr.Model(y, cr.cross_entropy(y, t), seed=3)


def picture() -> cr.Model:
    p, t = cr.input("p", (6, 6, 2)), cr.input("t", (), dtype="int32")
    h = cr.relu(cr.batch_norm(cr.conv(p, 4, 3, bias=False, name="c"), name="n"))
    y = cr.dense(cr.global_pool(h), 3, name="y")
    return cr.Model(y, cr.cross_entropy(y, t), seed=4)


def sequence() -> cr.Model:
    s, t = cr.input("s", (5, 3)), cr.input("t", (), dtype="int32")
    y = cr.dense(cr.lstm(s, 6, outputs="last", name="r"), 3, name="y")
    return cr.Model(y, cr.cross_entropy(y, t), seed=5)


def data_of(model: cr.Model) -> dict[str, Any]:
    return {x.label: DATA[x.label] for x in model.graph.inputs if x.label in DATA}


def trained(make: Callable[[], cr.Model], **more: Any) -> dict[str, Any]:
    model = make()
    settings = {"epochs": 3, "batch_size": 50, "optimizer": cr.Adam(0.02), "verbose": False,
                "validation": 0.2, "patience": 2, "blocks": 8, **more}  # fmt: skip
    model.fit(data_of(model), **settings)
    names = [name for name in model.history.columns if name != "seconds"]
    return {
        **model.values,
        **model.slots,
        **{f"history {x}": np.asarray(model.history[x]) for x in names},
    }


def bits(found: dict[str, Any]) -> dict[str, bytes]:
    return {name: x.tobytes() for name, x in found.items()}


@pytest.mark.parametrize("make", [dense, normalised, table, picture, sequence])
def test_any_number_of_ranks_gives_the_bits_of_one(make: Callable[[], cr.Model]) -> None:
    alone = bits(trained(make))
    for size in (2, 3, 8):
        for found in run_threads(size, lambda: bits(trained(make))):
            assert found == alone, size


@pytest.mark.parametrize("make", [dense, normalised, table, picture, sequence])
def test_blocks_change_no_more_than_rounding(make: Callable[[], cr.Model]) -> None:
    plain, cut = trained(make, blocks=None), trained(make)
    assert plain.keys() == cut.keys()
    for name, value in plain.items():
        npt.assert_allclose(cut[name], value, rtol=2e-3, atol=2e-4, err_msg=name)


@pytest.mark.parametrize(
    "more", [{"clip_norm": 0.1}, {"clip_value": 0.01}, {"optimizer": cr.LAMB(0.01)},
             {"optimizer": cr.SGD(0.1, momentum=0.9), "threads": 1}], ids=str,
)  # fmt: skip
def test_clipping_and_optimizers_are_of_the_whole_minibatch(more: dict[str, Any]) -> None:
    alone = trained(dense, **more)
    assert run_threads(3, lambda: bits(trained(dense, **more)))[2] == bits(alone)
    for name, value in trained(dense, **more, blocks=None).items():
        npt.assert_allclose(alone[name], value, rtol=2e-3, atol=2e-4, err_msg=name)


def test_minibatches_smaller_than_their_blocks_are_trained_on_too() -> None:
    more = {"batch_size": 7, "epochs": 1, "validation": None, "patience": None}
    alone, plain = trained(dense, **more), trained(dense, **more, blocks=None)
    assert run_threads(4, lambda: bits(trained(dense, **more)))[1] == bits(alone)
    for name, value in plain.items():
        npt.assert_allclose(alone[name], value, rtol=2e-3, atol=2e-4, err_msg=name)


def test_a_checkpoint_goes_on_with_another_number_of_ranks(tmp_path: Path) -> None:
    alone = bits(trained(dense, epochs=4))

    class Stop(cr.Callback):
        def on_step(self, state: Any) -> None:
            if state.step == 5 and world().rank == 1:
                raise KeyboardInterrupt

    def begin() -> None:
        trained(dense, epochs=4, checkpoint=tmp_path / "c", callbacks=Stop())

    with pytest.raises(KeyboardInterrupt):
        run_threads(4, begin)
    assert list((tmp_path / "c").iterdir())
    for found in run_threads(3, lambda: bits(trained(dense, epochs=4, checkpoint=tmp_path / "c"))):
        assert found == alone


def test_a_callback_that_stops_one_rank_stops_all_after_the_same_step() -> None:
    def stop(state: Any) -> None:
        if world().rank == 2 and state.epoch == 2:
            state.stop("enough")

    def run() -> tuple[int, str]:
        model = dense()
        model.fit(data_of(model), epochs=9, verbose=False, callbacks=stop)
        return model.history.last_epoch, bits(dict(model.values))["h.w"].hex()

    found = run_threads(3, run)
    assert found[0][0] == 2
    assert len(set(found)) == 1


def test_ranks_need_not_be_equally_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quick one does more steps in a call of the program than a slow one."""
    settings = {"epochs": 12, "validation": None, "patience": None}
    one = trained(dense, **settings)
    usual = Run._adapt

    def adapt(run: Run, steps: int, elapsed: float) -> None:
        usual(run, steps, 1e-6 if world().rank else 10.0)

    monkeypatch.setattr(Run, "_adapt", adapt)
    for found in run_threads(2, lambda: trained(dense, **settings)):
        npt.assert_equal(found, one)


def test_a_callback_may_be_given_on_one_rank_alone() -> None:
    one = trained(dense)
    steps: list[int] = []

    class Seen(cr.Callback):
        def on_step(self, state: Any) -> None:
            steps.append(state.step)

    both = run_threads(2, lambda: trained(dense, callbacks=None if world().rank else Seen()))
    for found in both:
        npt.assert_equal(found, one)
    assert steps == [*range(1, len(steps) + 1)]
    assert steps


def test_an_error_on_one_rank_ends_the_others_with_its_reason() -> None:
    class Fail(cr.Callback):
        def on_epoch(self, state: Any) -> None:
            if world().rank == 1:
                raise ValueError("the disk is full")

    lost: list[str] = []

    def run() -> None:
        try:
            trained(dense, callbacks=Fail())
        except RankLost as error:
            lost.append(str(error))
            raise

    with pytest.raises(ValueError, match="the disk is full"):
        run_threads(3, run)
    assert len(lost) == 2
    assert all("rank 1" in x and "the disk is full" in x for x in lost)


def test_ranks_that_begin_with_other_data_are_told_so() -> None:
    def run() -> None:
        model = dense()
        data = data_of(model)
        if world().rank == 1:
            data["x"] = data["x"] * 2
        model.fit(data, epochs=1, verbose=False)

    with pytest.raises(SettingError, match=r"rank 1 .* begins another run") as told:
        run_threads(2, run)
    assert "training data" in str(told.value)


def test_a_loss_that_is_not_finite_ends_all_ranks_alike() -> None:
    def run() -> str:
        model = dense()
        data = data_of(model)
        data["x"] = data["x"].copy()
        data["x"][7, 2] = np.nan
        with pytest.raises(NotFinite) as told:
            model.fit(data, epochs=1, verbose=False, shuffle=False)
        return str(told.value)

    found = run_threads(2, run)
    assert found[0] == found[1]
    assert "h" in found[0]


def test_ops_over_all_rows_are_refused_before_training() -> None:
    x = cr.input("x", (6,))
    for loss in (
        cr.mean(cr.max(cr.dense(x, 3), 0)),
        cr.mean(cr.softmax(cr.dense(x, 3), axis=0)),
        cr.mean(cr.matmul(cr.dense(x, 3), cr.transpose(cr.dense(x, 3)))),
    ):
        model = cr.Model(cr.dense(x, 3), loss)
        before = {name: value.copy() for name, value in model.values.items()}
        with pytest.raises(GraphError, match="all rows of a minibatch at once") as told:
            model.fit({"x": DATA["x"]}, blocks=4, verbose=False, epochs=1)
        assert "blocks=1" in str(told.value)
        for name, value in before.items():
            npt.assert_array_equal(model.values[name], value)


def test_settings_that_do_not_go_with_blocks_are_refused() -> None:
    model = dense()
    with pytest.raises(SettingError, match="only machine code"):
        model.fit(data_of(model), blocks=2, backend="interpreter")
    with pytest.raises(SettingError, match="blocks"):
        model.fit(data_of(model), blocks=0)
    with pytest.raises(SettingError, match="more ranks than blocks"):
        run_threads(3, lambda: trained(dense, blocks=2))
    k = cr.input("k", (2,), dtype="int32")
    y = cr.sum(cr.embedding(k, 9, 4, sparse=True), 1)
    sparse = cr.Model(y, cr.mean(cr.square(y)))
    with pytest.raises(GraphError, match="updates whole tables"):
        sparse.fit({"k": DATA["k"]}, blocks=2)


def wide() -> cr.Model:
    """A network whose sums fill several buckets."""
    x, t = cr.input("x", (6,)), cr.input("t", (), dtype="int32")
    h = cr.batch_norm(cr.dense(x, 600, "tanh", name="f"), name="n")
    y = cr.dense(cr.mlp(h, (600, 600), "tanh", name="h"), 3, name="y")
    return cr.Model(y, cr.cross_entropy(y, t), seed=6)


@pytest.mark.parametrize("apart", [True, False])
def test_large_sums_by_messages_and_in_common_memory_give_the_bits_of_one(apart: bool) -> None:
    alone = bits(trained(wide, epochs=1))
    for size in (2, 3, 8):
        for found in run_threads(size, lambda: bits(trained(wide, epochs=1)), apart=apart):
            assert found == alone, size


@pytest.mark.parametrize(
    ("rows", "blocks"), [(50, 8), (50, 5), (12, 8), (3, 8), (700, 2), (200, 130)]
)
def test_products_that_add_blocks_give_the_bits_of_blocks_added_one_by_one(
    rows: int, blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In tiles, with blocks of no row and of more than a pass of the kernel takes."""
    random = np.random.default_rng(1)
    data = {
        "x": random.normal(size=(rows, 6)).astype("float32"),
        "t": random.integers(0, 3, rows).astype("int32"),
    }
    spans = list[tuple[int, int]]()

    def found(threads: int) -> dict[str, bytes]:
        model = wide()
        model.fit(
            data, epochs=2, batch_size=rows, optimizer=cr.SGD(0.1), blocks=blocks,
            threads=threads, validation=None, verbose=False,
        )  # fmt: skip
        return bits(model.values)

    add = TreeSum.add

    def noted(self: Any, span: tuple[int, int], sums: Any) -> None:
        spans.append(span)
        add(self, span, sums)

    monkeypatch.setattr(TreeSum, "add", noted)
    once = found(1)
    assert max(high - low for low, high in spans) == min(blocks, buckets.MOST)
    assert found(2) == once
    for found_there in run_threads(2, lambda: found(1)):
        assert found_there == once
    spans.clear()
    monkeypatch.setattr(buckets, "MOST", 1)
    assert found(1) == once
    assert {high - low for low, high in spans} == {1}


def test_ranks_of_one_machine_send_no_large_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    sent, exchange = list[int](), Local.exchange

    def noted(self: Local, messages: Any, received: Any) -> None:
        sent.extend(x.nbytes for _, x in messages)
        exchange(self, messages, received)

    monkeypatch.setattr(Local, "exchange", noted)
    run_threads(2, lambda: trained(wide, epochs=1))
    assert sent
    assert max(sent) < 1 << 16


@pytest.mark.parametrize("threads", [1, 2])
def test_sums_are_exchanged_while_the_last_block_computes_the_next(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of each last block waits for an exchange: without one beside it, none comes."""
    exchange, run, hidden = Local.exchange, Rows.run, list[bool]()
    begun = {rank: threading.Semaphore(0) for rank in range(2)}

    def noted(self: Local, sent: Any, received: Any) -> None:
        if threading.current_thread().name.startswith(THREAD):
            begun[self.rank].release()
        exchange(self, sent, received)

    def waiting(self: Rows, part: Any) -> bool:
        lasts = [len(self.minibatch) * k // 8 for k in (3, 7)]
        first = self.runner.signature.sums[0]
        if isinstance(part, tuple) and part[0] > first and self.first in lasts:
            hidden.append(begun[world().rank].acquire(timeout=20))
        return run(self, part)

    monkeypatch.setattr(Local, "exchange", noted)
    monkeypatch.setattr(Rows, "run", waiting)
    plain = {"validation": None, "patience": None, "epochs": 1, "threads": threads}
    run_threads(2, lambda: trained(plain_wide, **plain), apart=True)
    assert len(hidden) >= 2 * 3
    assert all(hidden)


def plain_wide() -> cr.Model:
    x, t = cr.input("x", (6,)), cr.input("t", (), dtype="int32")
    y = cr.dense(cr.mlp(x, (600, 600, 600), "tanh", name="h"), 3, name="y")
    return cr.Model(y, cr.cross_entropy(y, t), seed=6)
