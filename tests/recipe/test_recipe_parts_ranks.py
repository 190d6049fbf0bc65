"""Tables in parts on several ranks: one of a machine reads, all train, and errors are all's."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.data.readers import spool
from chainrule.data.streams import tables, turns
from chainrule.engine.native import NativeProgram
from chainrule.errors import DataError, SettingError
from chainrule.system.ranks import communicator
from chainrule.system.ranks.local import run_threads
from chainrule.system.ranks.world import world
from chainrule.train.loop import Run


@pytest.fixture
def pattern(tmp_path: Path) -> str:
    rng = np.random.default_rng(2)
    for k in range(2):
        a, b = rng.normal(size=(2, 150))
        lines = [f"{x:.3f},{y:.3f},{'yes' if x > y else 'no'}" for x, y in zip(a, b, strict=True)]
        (tmp_path / f"{k}.csv").write_text("\n".join(["a,b,c", *lines]) + "\n")
    return str(tmp_path / "*.csv")


def trained(pattern: str, **more: Any) -> dict[str, bytes]:
    settings = {"epochs": 2, "quality": "fast", "verbose": False} | more
    model = cr.train(pattern, "c", stream=True, **settings)
    return {name: x.tobytes() for name, x in model.values.items()}


def test_each_rank_of_a_machine_encodes_its_share_of_the_blocks(
    pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, usual = list[tuple[int, int]](), turns.encoded_block

    def counted(spool: Any, schema: Any, begin: int, rows: int) -> Any:
        begun.append((begin, world().rank))
        return usual(spool, schema, begin, rows)

    monkeypatch.setattr(turns, "encoded_block", counted)
    alone = trained(pattern, blocks=8)
    assert begun == [(0, 0)]
    begun.clear()
    monkeypatch.setattr(tables, "block_rows", lambda memory, columns: 70)
    assert run_threads(2, lambda: trained(pattern)) == [alone] * 2
    assert sorted(begun) == [(0, 0), (70, 1), (140, 0), (210, 1), (280, 0)]


@pytest.mark.parametrize("where", [70, 140])
def test_an_error_of_a_block_is_that_of_all_ranks(
    where: int, pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, usual = list[str](), turns.encoded_block

    def broken(spool: Any, schema: Any, begin: int, rows: int) -> Any:
        if begin == where:
            raise DataError("block", f"broken at {begin}")
        return usual(spool, schema, begin, rows)

    def run() -> None:
        with pytest.raises(DataError, match="broken") as error:
            trained(pattern)
        told.append(str(error.value))

    monkeypatch.setattr(turns, "encoded_block", broken)
    monkeypatch.setattr(tables, "block_rows", lambda memory, columns: 70)
    run_threads(2, run)
    assert told == [told[0]] * 2


@pytest.mark.parametrize("machines", [1, 2])
def test_one_rank_of_each_machine_reads_and_all_have_the_bits_of_one(
    machines: int, pattern: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, disk = list[int](), tmp_path / "disk"
    disk.mkdir()
    monkeypatch.setenv("TMPDIR", str(disk))
    opening = spool.Spool._open

    def counted(self: spool.Spool, source: Any) -> None:
        read.append(world().rank)
        opening(self, source)

    monkeypatch.setattr(spool.Spool, "_open", counted)
    monkeypatch.setattr(communicator, "this_host", lambda: f"node{world().rank % machines}")
    found = run_threads(4, lambda: trained(pattern))
    assert sorted(read) == list(range(machines))
    assert found == [trained(pattern, blocks=8)] * 4
    assert not list(disk.rglob("*.rows")), "nothing is left on the disk"


def test_a_run_on_parts_goes_on_with_fewer_and_with_more_ranks(
    pattern: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, until, usual = tmp_path / "run", [0], Run._adapt

    def adapt(run: Run, steps: int, elapsed: float) -> None:
        """Ctrl-C on one rank, in the midst of an epoch."""
        usual(run, steps, elapsed)
        if world().rank == world().size - 1 and run.program.steps >= until[0]:
            raise KeyboardInterrupt

    def run() -> dict[str, bytes]:
        kept = cr.Checkpoint(folder, every=0.001)
        return trained(pattern, epochs=8, batch_size=8, checkpoint=kept)

    monkeypatch.setattr(Run, "_adapt", adapt)
    reached = [0]
    for size, more in ((2, 5), (4, 10), (1, 20)):
        until[0] = reached[-1] + more
        with suppress(KeyboardInterrupt):
            run_threads(size, run)
        steps = [int(x.stem.split("-")[1]) for x in folder.rglob("step-*.safetensors")]
        reached.append(max(steps, default=0))
    assert reached == sorted(set(reached)), "each went on from the one before"
    monkeypatch.setattr(Run, "_adapt", usual)
    assert reached[-1] < 240, "it was stopped before its end"
    alone = trained(pattern, epochs=8, batch_size=8, blocks=8)
    assert run_threads(3, run) == [alone] * 3


def test_each_row_is_encoded_for_training_by_the_rank_that_computes_it(
    pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, usual = list[int](), NativeProgram.encode

    def counted(self: NativeProgram, data: Any) -> Any:
        if threading.current_thread().name.startswith("chainrule-stream"):
            rows.append(max(map(len, data.values())))
        return usual(self, data)

    monkeypatch.setattr(NativeProgram, "encode", counted)
    alone, total = trained(pattern, blocks=8), sum(rows)
    rows.clear()
    assert run_threads(3, lambda: trained(pattern)) == [alone] * 3
    assert sum(rows) == total > 0
    assert len(rows) >= 3
    assert max(rows) < total / 3, "rows of two epochs, by three ranks"


def test_an_error_of_the_rank_that_reads_is_that_of_all(pattern: str) -> None:
    told = list[str]()

    def run() -> None:
        with pytest.raises(SettingError, match="no column") as error:
            trained(pattern, ignore=["d"])
        told.append(str(error.value))

    run_threads(3, run)
    assert len(told) == 3
    assert len(set(told)) == 1
