"""The table of op cases: the rows of every module in `cases`."""

from __future__ import annotations

import importlib
import pkgutil

import cases
from cases.case import Case

CASES: tuple[Case, ...] = tuple(
    case
    for module in pkgutil.iter_modules(cases.__path__)
    for case in getattr(importlib.import_module(f"cases.{module.name}"), "CASES", ())
)
"""Every module in `cases` lists its rows as `CASES`."""
