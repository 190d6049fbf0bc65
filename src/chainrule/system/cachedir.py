"""The directories for caches: downloaded data sets, machine code."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from chainrule.system.atomicfile import write_whole


def cache_folder(kind: str) -> Path:
    """The folder for one kind of files: in `$CHAINRULE_CACHE`, or in the platform's cache folder.

    Args:
        kind: the name of the folder, such as "data".
    """
    if root := os.environ.get("CHAINRULE_CACHE"):
        return Path(os.path.expanduser(root)).absolute() / kind
    return _platform_cache() / "chainrule" / kind


def code_folder() -> Path | None:
    """The folder for machine code; None if `CHAINRULE_CODE_CACHE=off`."""
    off = os.environ.get("CHAINRULE_CODE_CACHE", "").lower() in ("off", "0", "no", "false")
    return None if off else cache_folder("code")


def file_for(folder: Path, name: str, *key: object) -> Path:
    """The file of a measurement in a folder; key: all that it depends on."""
    return folder / f"{name}-{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.json"


def saved_value(file: Path) -> Any:
    """The plain value that `save_value` wrote. Raises OSError, ValueError."""
    return json.loads(file.read_text(encoding="utf-8"))


def save_value(file: Path, value: Any) -> None:
    """Write a plain value, in a folder that is made where need be; or nothing, where that fails."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps(value))
    except OSError:
        return  # then the next process measures again


def _platform_cache() -> Path:
    try:
        home = Path.home()
    except RuntimeError:  # a user id without a home, as in some containers
        return Path(tempfile.gettempdir())
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    if sys.platform == "darwin":
        return home / "Library" / "Caches"
    base = os.environ.get("XDG_CACHE_HOME", "")
    return Path(base) if os.path.isabs(base) else home / ".cache"
