"""Writing whole files: errors, kills, links, permissions, and what is left behind."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from chainrule.system.atomicfile import remove_leftovers, replacing, write_whole

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs links, modes and locks")


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_made_and_replaced(tmp_path):
    path = tmp_path / "a.txt"
    assert write_whole(path, "one\r\n\u00e9") == path
    assert path.read_bytes() == b"one\r\n\xc3\xa9"
    write_whole(str(path), "two")
    assert path.read_text() == "two"
    assert left(tmp_path) == ["a.txt"]


def _fail_half_way(path: Path, error: type[BaseException]) -> None:
    with replacing(path) as new:
        new.write_text("half")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, MemoryError])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    write_whole(path, "old")

    with pytest.raises(error):
        _fail_half_way(path, error)
    assert path.read_text() == "old"
    assert left(tmp_path) == ["a.txt"]


def test_a_block_that_writes_nothing_leaves_the_old_file(tmp_path):
    write_whole(tmp_path / "a.txt", "old")
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a.txt"):
        pass
    assert (tmp_path / "a.txt").read_text() == "old"
    assert left(tmp_path) == ["a.txt"]


def test_missing_folders_and_folders_in_the_way_are_errors(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "no" / "a.txt", "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_whole(tmp_path / "folder", "x")
    assert left(tmp_path) == ["folder"]


@posix
def test_a_link_is_followed(tmp_path):
    (tmp_path / "there").mkdir()
    real, link = tmp_path / "there" / "real.txt", tmp_path / "link.txt"
    link.symlink_to(real)
    write_whole(link, "made through a link that led nowhere")
    write_whole(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert left(tmp_path / "there") == ["real.txt"]
    assert left(tmp_path) == ["link.txt", "there"]


@posix
def test_permissions_are_kept_or_those_of_any_new_file(tmp_path):
    path, plain = tmp_path / "a.txt", tmp_path / "plain.txt"
    plain.write_text("x")
    write_whole(path, "new")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    path.chmod(0o640)
    write_whole(path, "again")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("name", ["n" * 250, "é" * 120, "a b[*]?.txt", ".hidden"])
def test_any_name_will_do(tmp_path, name):
    write_whole(tmp_path / name, "x")
    assert left(tmp_path) == [name]


@posix
def test_what_is_being_written_is_not_taken_for_a_leftover(tmp_path):
    path = tmp_path / "a.txt"
    with replacing(path) as slow:
        slow.write_text("slow")
        write_whole(path, "quick")
        assert path.read_text() == "quick"
        assert slow.read_text() == "slow"
    assert path.read_text() == "slow"
    assert left(tmp_path) == ["a.txt"]


KILLED = """
import os, signal, sys
from chainrule.system import atomicfile as files
stage, path = sys.argv[1:]
def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
if stage == "begin": files._locked = die
if stage == "sync": os.fsync = die
if stage == "rename": os.replace = die
if stage == "renamed": files._sync_folder = die
if stage == "clean": files.shutil.rmtree = die
with files.replacing(path) as new:
    new.write_text("new")
    if stage == "write": die()
"""


@posix
@pytest.mark.parametrize("stage", ["begin", "write", "sync", "rename", "renamed", "clean"])
def test_a_kill_leaves_one_whole_file_and_any_next_write_cleans_up(tmp_path, stage):
    path, other = tmp_path / "a.txt", tmp_path / "a.txt.bak"
    write_whole(path, "old")
    write_whole(other, "other")
    done = subprocess.run([sys.executable, "-c", KILLED, stage, str(path)], check=False)
    assert done.returncode == -9
    assert path.read_text() == ("new" if stage in ("renamed", "clean") else "old")
    assert all(name.startswith(".") for name in left(tmp_path) if name not in ("a.txt", other.name))
    assert len(left(tmp_path)) == 3
    write_whole(other, "written beside it")
    assert left(tmp_path) == ["a.txt", "a.txt.bak"]
    assert path.read_text() == ("new" if stage in ("renamed", "clean") else "old")


WRITER = """
import sys
from chainrule.system.atomicfile import replacing
with replacing(sys.argv[1]) as new:
    new.write_text("new")
    print("ready", flush=True)
    sys.stdin.read()
"""


@posix
def test_what_another_process_writes_stays_until_it_is_killed(tmp_path):
    path = tmp_path / "a.txt"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as writer:  # fmt: skip
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        remove_leftovers(path)
        (hidden,) = left(tmp_path)
        assert (tmp_path / hidden / "new").read_text() == "new"
        writer.kill()
    remove_leftovers(tmp_path / "another name")
    assert left(tmp_path) == []


@posix
def test_folders_of_others_stay(tmp_path):
    for name in (".a.txt-0123.partial", "a.txt-01234567-89abcdef.partial", ".x.partial"):
        (tmp_path / name).mkdir()
    before = left(tmp_path)
    remove_leftovers(tmp_path / "a.txt")
    assert left(tmp_path) == before


@posix
def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    script = (
        "import os, sys\nfrom chainrule.system.atomicfile import write_whole\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"
        "try: write_whole(sys.argv[1], 'new')\n"
        "except PermissionError as error: sys.exit(7 if error.filename == sys.argv[1] else 8)\n"
    )
    modes = {folder: folder.stat().st_mode for folder in (tmp_path, *tmp_path.parents[:2])}
    for folder in modes:  # so that another user gets as far as to the folder itself
        folder.chmod(0o555)
    try:
        path = str(tmp_path / "a.txt")
        done = subprocess.run([sys.executable, "-c", script, path], check=False)
    finally:
        for folder, mode in modes.items():
            folder.chmod(mode)
    assert done.returncode == 7
    assert (tmp_path / "a.txt").read_text() == "old"
    assert left(tmp_path) == ["a.txt"]
