"""A host that goes away while ranks train: two network namespaces and a bridge, as root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_mpiexec import MPIEXEC, NETWORK, environment

IP = shutil.which("ip")
NAME = f"cr{os.getpid() % 10**6}"
pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(
        MPIEXEC is None or IP is None or shutil.which("unshare") is None or os.geteuid() != 0,
        reason="needs root, ip, unshare and the extra [mpi]",
    ),
]

SCRIPT = (
    NETWORK
    + """
class Tell(cr.Callback):
    def on_step(self, state):
        if state.step == 40:
            print("running", flush=True)

model.fit(data, epochs=10**6, callbacks=Tell(), validation=None, verbose=False)
"""
)

AGENT = """#!/bin/sh
shift
exec ip netns exec {name}b unshare --uts sh -c 'hostname there; exec sh -c "$0"' "$*"
"""


def ip(*words: str, check: bool = True) -> str:
    command = ["ip", *words]
    return subprocess.run(command, check=check, capture_output=True, text=True).stdout


@pytest.fixture
def hosts() -> Iterator[None]:
    """Two namespaces, a and b, with the addresses 10.213.7.1 and .2."""
    try:
        ip("link", "add", NAME, "type", "bridge")
        ip("link", "set", NAME, "up")
        for k, x in enumerate("ab", 1):
            ip("netns", "add", NAME + x)
            ip("link", "add", NAME + x, "type", "veth", "peer", "name", "eth0",
               "netns", NAME + x)  # fmt: skip
            ip("link", "set", NAME + x, "master", NAME, "up")
            ip("-n", NAME + x, "addr", "add", f"10.213.7.{k}/24", "dev", "eth0")
            ip("-n", NAME + x, "link", "set", "eth0", "up")
            ip("-n", NAME + x, "link", "set", "lo", "up")
        yield
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr.strip()}")
    finally:
        for x in "ab":
            for process in ip("netns", "pids", NAME + x, check=False).split():
                subprocess.run(["kill", "-9", process], check=False)
            ip("netns", "del", NAME + x, check=False)
            ip("link", "del", NAME + x, check=False)
        ip("link", "del", NAME, check=False)


def until(found: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not found() and time.monotonic() < end:
        time.sleep(0.1)
    return found()


@pytest.mark.usefixtures("hosts")
def test_a_host_that_is_gone_is_named_and_all_ranks_end(tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text(SCRIPT)
    agent = tmp_path / "agent.sh"
    agent.write_text(AGENT.format(name=NAME))
    agent.chmod(0o755)
    told, marker = tmp_path / "told", tmp_path / "marker"
    inside = ["ip", "netns", "exec", NAME + "a", "unshare", "--uts", "sh", "-c",
              'hostname here; exec "$@"', "sh"]  # fmt: skip
    launcher = [str(MPIEXEC), "--allow-run-as-root", "--host", "10.213.7.1:1,10.213.7.2:1",
                "--prtemca", "plm_ssh_agent", str(agent), "-x", "CHAINRULE_MARKER",
                "-x", "PYTHONPATH", "-n", "2"]  # fmt: skip
    with told.open("w") as file:
        process = subprocess.Popen(
            [*inside, *launcher, sys.executable, "run.py"], cwd=tmp_path, stdout=file, stderr=file,
            env=environment() | {"CHAINRULE_MARKER": str(marker)},
        )  # fmt: skip
    try:
        assert until(lambda: told.read_text().count("running") == 2, 60), told.read_text()
        ip("link", "set", NAME + "b", "down")
        assert until(lambda: "rank 1 on there is lost" in told.read_text(), 30), told.read_text()
        assert "its host cannot be reached" in told.read_text()
        assert until(lambda: not running(tmp_path), 30), "ranks of both hosts have ended"
        assert "failed: rank 1 on there is lost" in marker.read_text()
        assert process.wait(30) != 0, "the launcher, which waits for the host that is gone"
    finally:
        process.kill()
        process.wait()


def running(folder: Path) -> list[str]:
    """The processes of both hosts that run the script."""
    found = [x for k in "ab" for x in ip("netns", "pids", NAME + k, check=False).split()]
    alive = []
    for process in found:
        try:
            command = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if command[1:2] == [b"run.py"]:
            alive.append(process)
    return alive
