"""The memory of the machine that is free, and sizes in words: '1GB'."""

from __future__ import annotations

import os
import re
from pathlib import Path

from chainrule.errors import SettingError

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
SIZE = re.compile(r"\s*(\d+\.?\d*|\.\d+)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)
CGROUP = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
"""Files of the limit of a container, and of what it uses."""
UNKNOWN = 4 * 10**9
"""Bytes that count as free where a system does not tell."""


def free_memory() -> int:
    """The bytes that a process may take without others being swapped out; of a container, its."""
    free = _available()
    for limit, used in CGROUP:
        most, taken = _number(limit), _number(used)
        if most is not None and taken is not None:
            free = min(free, max(most - taken, 0))
    return free


def _available() -> int:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        kilobytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
        return int(kilobytes) * 1024
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):  # Windows has none of these
        return UNKNOWN


def _number(path: str) -> int | None:
    try:
        return int(Path(path).read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such file, or "max"
        return None


def parse_size(text: str | float, setting: str = "memory") -> int:
    """The bytes of a size: '1GB', '1.5 GiB', '800MB', or a number. Raises SettingError."""
    found = SIZE.fullmatch(str(text)) if not isinstance(text, bool) else None
    if found is None or not float(found[1]):
        raise SettingError(setting, "is not a size of memory", got=text,
                           expected="a number and its unit, such as 800MB or 1.5GB")  # fmt: skip
    unit = found[2].upper()
    factor = 1024 ** "KMGT".index(unit) * 1024 if found[3] and unit else UNITS[unit]
    return int(float(found[1]) * factor)
