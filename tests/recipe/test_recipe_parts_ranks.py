"""Tables in parts on several ranks: one of a machine reads, all train, and errors are all's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.data.readers import spool
from chainrule.errors import SettingError
from chainrule.system.ranks import communicator
from chainrule.system.ranks.local import run_threads
from chainrule.system.ranks.world import world


@pytest.fixture
def pattern(tmp_path: Path) -> str:
    rng = np.random.default_rng(2)
    for k in range(2):
        a, b = rng.normal(size=(2, 150))
        lines = [f"{x:.3f},{y:.3f},{'yes' if x > y else 'no'}" for x, y in zip(a, b, strict=True)]
        (tmp_path / f"{k}.csv").write_text("\n".join(["a,b,c", *lines]) + "\n")
    return str(tmp_path / "*.csv")


def trained(pattern: str, **more: Any) -> dict[str, bytes]:
    model = cr.train(
        pattern, "c", stream=True, quality="fast", epochs=2, verbose=False, **more
    )  # fmt: skip
    return {name: x.tobytes() for name, x in model.values.items()}


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


def test_an_error_of_the_rank_that_reads_is_that_of_all(pattern: str) -> None:
    told = list[str]()

    def run() -> None:
        with pytest.raises(SettingError, match="no column") as error:
            trained(pattern, ignore=["d"])
        told.append(str(error.value))

    run_threads(3, run)
    assert len(told) == 3
    assert len(set(told)) == 1
