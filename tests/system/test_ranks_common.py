"""Memory that ranks of one machine have in common, and what ranks of several have instead."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.system.ranks import common
from chainrule.system.ranks.communicator import meet
from chainrule.system.ranks.local import run_threads
from chainrule.system.ranks.world import world

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="Linux has such memory")


def written() -> Any:
    ranks = world()
    block = common.common_memory(ranks, 1000)
    if block is None:
        return None
    assert not block.any()
    meet(ranks)
    block[ranks.rank] = ranks.rank + 1
    meet(ranks)
    return block.tolist()


def test_all_ranks_see_what_each_writes() -> None:
    files = len(os.listdir("/proc/self/fd"))
    assert run_threads(3, written) == [[1, 2, 3, *[0] * 997]] * 3
    assert len(os.listdir("/proc/self/fd")) == files


def test_there_is_none_where_one_rank_cannot_open_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """On another machine the path is not there, or leads to something else."""
    usual = common._mapped

    def elsewhere(path: str, size: int, secret: bytes) -> Any:
        return usual("/proc/0/fd/0" if world().rank == 1 else path, size, secret)

    monkeypatch.setattr(common, "_mapped", elsewhere)
    assert run_threads(3, written) == [None] * 3


def test_a_file_without_the_secret_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_bytes(bytes(1000 + common.SECRET))
    assert common._mapped(str(path), 1000, b"x" * common.SECRET) is None
    found = common._mapped(str(path), 1000, bytes(common.SECRET))
    assert found is not None
    found[3] = 7
    assert np.frombuffer(path.read_bytes(), np.uint8)[3] == 7


def test_there_is_none_without_room_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int, start: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert run_threads(2, written) == [None] * 2
