"""The directories for caches: downloaded data sets, machine code."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path


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
