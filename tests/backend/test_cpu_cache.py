"""The folder of object files: hits, faults, bounds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chainrule.backend.cpu import cache
from chainrule.backend.cpu.cache import cached
from chainrule.backend.cpu.machine import Machine

MACHINE = Machine("x86_64-unknown-linux-gnu", "x86-64", "", 16, 16, False)


class Maker:
    """Makes bytes, and counts how often."""

    def __init__(self, made: bytes = b"code") -> None:
        self.made, self.calls = made, 0

    def __call__(self) -> bytes:
        self.calls += 1
        return self.made


def test_a_second_time_it_is_found(tmp_path: Path) -> None:
    make = Maker()
    assert [cached(tmp_path / "new", "text", MACHINE, make) for _ in "ab"] == [b"code"] * 2
    assert make.calls == 1


def test_another_text_or_machine_is_another_file(tmp_path: Path) -> None:
    other = Machine("x86_64-unknown-linux-gnu", "znver4", "", 16, 16, False)
    for k, (text, machine) in enumerate((("a", MACHINE), ("b", MACHINE), ("a", other))):
        assert cached(tmp_path, text, machine, Maker(bytes([k]))) == bytes([k])
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("damage", [b"", b"x", b"x" * 100, None])
def test_a_damaged_file_is_made_anew(tmp_path: Path, damage: bytes | None) -> None:
    cached(tmp_path, "text", MACHINE, Maker())
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-1] if damage is None else damage)
    make = Maker()
    assert cached(tmp_path, "text", MACHINE, make) == b"code"
    assert cached(tmp_path, "text", MACHINE, make) == b"code"
    assert make.calls == 1


def test_no_folder_and_a_folder_that_is_none_are_no_trouble(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    for folder in (None, blocked):
        make = Maker()
        assert [cached(folder, "text", MACHINE, make) for _ in "ab"] == [b"code"] * 2
        assert make.calls == 2


def test_the_longest_unused_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "FILES", 3)
    for k, name in enumerate("abc"):
        cached(tmp_path, name, MACHINE, Maker())
        for file in tmp_path.iterdir():
            if file.stat().st_mtime > 1000:
                os.utime(file, (k + 1, k + 1))
    cached(tmp_path, "a", MACHINE, Maker())  # used again, so b is the oldest
    cached(tmp_path, "d", MACHINE, Maker())
    known = {name: Maker() for name in "acd"}
    for name, make in known.items():
        cached(tmp_path, name, MACHINE, make)
    assert [make.calls for make in known.values()] == [0, 0, 0]
    gone = Maker()
    cached(tmp_path, "b", MACHINE, gone)
    assert gone.calls == 1
