"""The machine of a measurement: processor, memory, versions, settings."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.features import chosen
from bench.measure import counts
from bench.peak import bandwidth, multiply_adds
from bench.process import all_cores, python
from bench.systems import OURS

VERSIONS = """
import json, platform
from importlib import metadata
names = "chainrule numpy llvmlite torch jax jaxlib scikit-learn scipy".split()
every = {x.name.lower(): x.version for x in metadata.distributions()}
found = {x: every[x] for x in names if x in every}
print(json.dumps({"Python": platform.python_version()} | found))
"""


def machine() -> dict[str, Any]:
    """A plain description, with the measured peaks in operations and bytes per second."""
    return {
        "processor": processor(),
        "features": chosen(),
        "cores": len(all_cores()),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.machine()}",
        "compiler": compiler(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "load": os.getloadavg()[0],
        "flops": {str(count): multiply_adds(count) for count in counts()},
        "bandwidth": {str(count): bandwidth(count) for count in counts()},
        "versions": {"own": _versions(OURS), "peers": _versions("PyTorch")},
    }


def processor() -> str:
    """The processor's name from the system, with its family number."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(re.findall(r"^([\w ]+?)\s*:\s*(.*)$", text, re.MULTILINE))
    name = fields.get("model name", platform.machine())
    family = [f"{x} {fields[x]}" for x in ("cpu family", "model") if x in fields]
    return " ".join(name.split()) + (f" ({', '.join(family)})" if family else "")


def compiler() -> str:
    """The C++ compiler that torch.compile would call, or nothing."""
    found = [x for x in (os.environ.get("CXX"), "g++", "clang++") if x and shutil.which(x)]
    if not found:
        return ""
    done = subprocess.run([found[0], "--version"], capture_output=True, text=True, check=False)
    return done.stdout.partition("\n")[0]


def slug(name: str) -> str:
    """A file's name for a machine."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _versions(system: str) -> dict[str, str]:
    done = subprocess.run(
        [python(system), "-c", VERSIONS], capture_output=True, text=True, check=False
    )
    return dict(json.loads(done.stdout)) if done.returncode == 0 else {}
