"""The folder of object files: hits, faults, bounds."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import pytest

from chainrule.backend.cpu.backend import CPU
from chainrule.system import diskcache as cache
from chainrule.system.diskcache import cached

TARGET = "an old processor"


class Maker:
    """Makes bytes, and counts how often."""

    def __init__(self, made: bytes = b"code") -> None:
        self.made, self.calls = made, 0

    def __call__(self) -> bytes:
        self.calls += 1
        return self.made


def test_a_second_time_it_is_found(tmp_path: Path) -> None:
    make = Maker()
    assert [cached(tmp_path / "new", "text", TARGET, make) for _ in "ab"] == [b"code"] * 2
    assert make.calls == 1


def test_another_text_or_target_is_another_file(tmp_path: Path) -> None:
    for k, (text, target) in enumerate((("a", TARGET), ("b", TARGET), ("a", "a newer one"))):
        assert cached(tmp_path, text, target, Maker(bytes([k]))) == bytes([k])
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("damage", [b"", b"x", b"x" * 100, None])
def test_a_damaged_file_is_made_anew(tmp_path: Path, damage: bytes | None) -> None:
    cached(tmp_path, "text", TARGET, Maker())
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-1] if damage is None else damage)
    make = Maker()
    assert cached(tmp_path, "text", TARGET, make) == b"code"
    assert cached(tmp_path, "text", TARGET, make) == b"code"
    assert make.calls == 1


def test_no_folder_and_a_folder_that_is_none_are_no_trouble(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    for folder in (None, blocked):
        make = Maker()
        assert [cached(folder, "text", TARGET, make) for _ in "ab"] == [b"code"] * 2
        assert make.calls == 2


def test_the_longest_unused_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "FILES", 3)
    for k, name in enumerate("abc"):
        cached(tmp_path, name, TARGET, Maker())
        for file in tmp_path.iterdir():
            if file.stat().st_mtime > 1000:
                os.utime(file, (k + 1, k + 1))
    cached(tmp_path, "a", TARGET, Maker())  # used again, so b is the oldest
    cached(tmp_path, "d", TARGET, Maker())
    known = {name: Maker() for name in "acd"}
    for name, make in known.items():
        cached(tmp_path, name, TARGET, make)
    assert [make.calls for make in known.values()] == [0, 0, 0]
    gone = Maker()
    cached(tmp_path, "b", TARGET, gone)
    assert gone.calls == 1


def test_any_flipped_byte_is_seen(tmp_path: Path) -> None:
    cached(tmp_path, "text", TARGET, Maker())
    (file,) = tmp_path.iterdir()
    good = file.read_bytes()
    for place in range(len(good)):
        file.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        make = Maker()
        assert cached(tmp_path, "text", TARGET, make) == b"code"
        assert make.calls == 1
        assert file.read_bytes() == good


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        (cache, "__version__", "0.0.0"),
        (llvmlite, "__version__", "0.0.0"),
        (llvm, "llvm_version_info", (1, 2, 3)),
    ],
)
def test_what_another_version_made_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, value: Any
) -> None:
    cached(tmp_path, "text", CPU().target(), Maker(b"old"))
    monkeypatch.setattr(where, name, value)
    assert cached(tmp_path, "text", CPU().target(), Maker(b"new")) == b"new"
    monkeypatch.undo()
    assert cached(tmp_path, "text", CPU().target(), Maker()) == b"old"


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="there are no owners here")
def test_a_folder_that_others_may_write_to_is_not_trusted(tmp_path: Path) -> None:
    cached(tmp_path, "text", TARGET, Maker(b"mine"))
    tmp_path.chmod(0o777)
    assert cached(tmp_path, "text", TARGET, Maker(b"anew")) == b"anew"
    tmp_path.chmod(0o700)
    assert cached(tmp_path, "text", TARGET, Maker()) == b"mine"
    new = tmp_path / "a" / "b"
    cached(new, "text", TARGET, Maker())
    assert not new.stat().st_mode & 0o077


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="there are no owners here")
def test_the_folder_of_another_user_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached(tmp_path, "text", TARGET, Maker(b"theirs"))
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    assert cached(tmp_path, "text", TARGET, Maker(b"mine")) == b"mine"


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root may do all")
@pytest.mark.parametrize("mode", [0o000, 0o500])
def test_a_folder_that_may_not_be_read_or_written(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    try:
        assert cached(tmp_path, "text", TARGET, Maker()) == b"code"
    finally:
        tmp_path.chmod(0o700)
    assert not list(tmp_path.iterdir())


FULL = """
import resource, sys
from pathlib import Path
from chainrule.system.diskcache import cached
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))  # as if the disk were full
for _ in range(2):
    assert cached(Path(sys.argv[1]), "text", "target", lambda: b"code" * 1000) == b"code" * 1000
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], check=True)
    assert not list(tmp_path.iterdir())


def test_what_was_never_finished_goes_after_a_day(tmp_path: Path) -> None:
    old, young = tmp_path / "a.1-b.partial", tmp_path / "b.1-c.partial"
    for file in (old, young):
        file.write_bytes(b"half")
    before = time.time() - 2 * cache.DAY
    os.utime(old, (before, before))
    cached(tmp_path, "text", TARGET, Maker())
    assert not old.exists()
    assert young.exists()


SHARED = """
import sys
from pathlib import Path
from chainrule.system import diskcache as cache
cache.FILES = 5
for k in range(300):
    text = str(k % 7)
    made = cache.cached(Path(sys.argv[1]), text, "target", lambda: text.encode() * 5000)
    assert made == text.encode() * 5000
"""


def test_processes_share_a_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SHARED, str(tmp_path)]
    running = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait() for process in running] == [0] * 4
    left = list(tmp_path.iterdir())
    assert 1 <= len(left) <= 6
    for file in left:
        held = file.read_bytes()
        assert hashlib.sha256(held[32:]).digest() == held[:32]


ONCE = """
import sys, time
from pathlib import Path
from chainrule.system.diskcache import cached

def make():
    with open(sys.argv[2], "a") as calls:
        calls.write("x")
    if sys.argv[3:]:
        print("makes it", flush=True)
        sys.stdin.read()
    return b"code"

assert cached(Path(sys.argv[1]), "text", "target", make) == b"code"
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no locks")
@pytest.mark.parametrize("dies", [False, True])
def test_processes_wait_for_the_one_that_makes_a_file(tmp_path: Path, dies: bool) -> None:
    command = [sys.executable, "-c", ONCE, str(tmp_path / "cache"), str(tmp_path / "calls")]
    pipe = subprocess.PIPE
    with subprocess.Popen([*command, "slow"], stdin=pipe, stdout=pipe, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "makes it\n"
        others = [subprocess.Popen(command) for _ in range(3)]
        if dies:
            first.kill()
    assert [process.wait() for process in others] == [0] * 3
    assert (tmp_path / "calls").read_text() == "x" * (1 + dies)
    assert [file.suffix for file in (tmp_path / "cache").iterdir()] == [".o"]
