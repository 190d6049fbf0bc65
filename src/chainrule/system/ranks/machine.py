"""The machine of a rank: which it is, whether its other processes are stopped, its launcher."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

LAUNCHERS = frozenset(("mpiexec", "mpirun", "orted", "orterun", "prted", "prterun"))
"""The names of the processes by which Open MPI starts ranks."""

PATIENCE = 10.0
"""Seconds in which a launcher ends by itself when its ranks have ended."""

ENDER = """
import select, signal, sys
link, patience = int(sys.argv[1]), 1000 * float(sys.argv[2])
waits = select.poll()
waits.register(link)
for number in signal.SIGTERM, signal.SIGKILL:
    if not waits.poll(patience):
        signal.pidfd_send_signal(link, number)
"""


def machine_name() -> str:
    """A name that the processes of a machine which see each other have alike, and no others."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return boot + os.readlink("/proc/self/ns/pid")
    return f"process {os.getpid()}"


def is_stopped(process: int) -> bool:
    """Whether a process of this machine is stopped, as by SIGSTOP."""
    with suppress(OSError):
        after_name = Path(f"/proc/{process}/stat").read_bytes().rpartition(b") ")[2]
        return after_name[:1] == b"T"
    return False


def end_launcher(process: int) -> None:
    """End the launcher of this process if it does not end by itself, by a process that remains.

    Open MPI's waits for ever for a host that is gone. Other programs that start ranks, such as a
    shell or the daemon of a batch system, are left alone.
    """
    with suppress(OSError, AttributeError):  # not Linux; or it has ended
        name = Path(f"/proc/{process}/comm").read_text(encoding="utf-8").strip()
        if name not in LAUNCHERS:
            return
        link = os.pidfd_open(process)
        if os.getppid() == process:  # it was the launcher when it was opened
            subprocess.Popen(
                [sys.executable, "-ISc", ENDER, str(link), str(PATIENCE)], pass_fds=[link],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        os.close(link)
