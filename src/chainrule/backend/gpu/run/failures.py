"""The errors that all drivers raise: for a text that does not build, a call, a fork."""

from __future__ import annotations

import os
import re

from chainrule.backend.gpu.run.driver import Device
from chainrule.errors import DeviceError

BUILT = 32
"""The most texts whose code is kept for a device."""

_users: set[int] = set()
"""The processes that opened a device."""


def refuse_fork(device: Device) -> None:
    """Raises DeviceError in a fork of a process that had opened a device: its driver would hang."""
    here = os.getpid()
    if _users - {here}:
        raise DeviceError(
            "device", "a device was in use before this process was forked, and cannot be now",
            at=device.name, fix="train one model after the other: jobs=1",
        )  # fmt: skip
    _users.add(here)


def driver_failed(what: str, error: Exception, device: Device) -> DeviceError:
    """The error for a call of a driver that failed; what: was to be done."""
    return DeviceError(
        "device", f"the driver failed: {what}", got=str(error).strip(),
        at=f"{device.word}, {device.name}",
        fix="device='cpu', or look at the driver with `chainrule devices`",
    )  # fmt: skip


def not_built(text: str, log: str, device: Device) -> DeviceError:
    """The error for a text that a compiler refuses: with the node, and the compiler's words."""
    errors = [x.strip() for x in log.splitlines() if "error" in x.lower()]
    lines, found = text.splitlines(), re.search(r"[:(](\d+)[:)]", "\n".join(errors))
    node = ""
    if found is not None:
        above = lines[: int(found[1])]
        node = next((x[3:] for x in reversed(above) if x.startswith("// ")), "")
    return DeviceError(
        "device", "the driver's compiler refuses a kernel", got="\n".join(errors[:5]) or log[:500],
        at=", ".join([*([f"kernel {node!r}"] if node else []), f"{device.word}, {device.name}"]),
        fix="device='cpu'; please report this, with the output of `chainrule devices`",
    )  # fmt: skip
