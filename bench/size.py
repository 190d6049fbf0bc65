"""The size of a package and its dependencies: `python -m bench.size jax` prints it."""

from __future__ import annotations

import re
import sys
from importlib import metadata, util
from pathlib import Path


def needed(package: str) -> dict[str, metadata.Distribution]:
    """The installed distributions that a package needs, itself among them, by name."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [package]
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # for another platform
        for line in found[name].requires or []:
            if "extra ==" not in line:
                waiting += re.findall(r"^[\w.-]+", line)
    return found


def size(distribution: metadata.Distribution) -> int:
    """The bytes of its files, without compiled Python; of one in development, its package."""
    paths = {Path(str(file.locate())) for file in distribution.files or []}
    paths |= set(_edited(distribution))
    return sum(x.stat().st_size for x in paths if "__pycache__" not in x.parts and x.is_file())


def _edited(distribution: metadata.Distribution) -> list[Path]:
    origin = distribution.read_text("direct_url.json") or ""
    spec = util.find_spec(distribution.name) if '"editable": true' in origin else None
    folders = spec.submodule_search_locations if spec else None
    return [path for folder in folders or [] for path in Path(folder).rglob("*")]


if __name__ == "__main__":
    print(sum(map(size, needed(sys.argv[1]).values())))
