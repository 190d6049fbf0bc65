"""The backends by name."""

from __future__ import annotations

from chainrule.backend.base import Backend
from chainrule.backend.cpu.backend import CPU

BACKENDS: dict[str, Backend] = {"native": CPU()}


def find_backend(name: str) -> Backend:
    """The backend of that name; KeyError where there is none."""
    return BACKENDS[name]
