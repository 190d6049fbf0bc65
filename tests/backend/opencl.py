"""A device of OpenCL for tests, and plans that share one build there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import pytest

from chainrule.backend.gpu.emit.dialect import head
from chainrule.backend.gpu.emit.module import functions
from chainrule.backend.gpu.run.devices import choose, driver_of
from chainrule.backend.gpu.run.driver import Device
from chainrule.backend.gpu.run.runner import Executable, Runner
from chainrule.errors import ChainruleError
from chainrule.plan.plan import Plan

_cache = tempfile.TemporaryDirectory(prefix="pocl-")
os.environ.setdefault("POCL_CACHE_DIR", _cache.name)

WORD = os.environ.get("CHAINRULE_TEST_DEVICE", "opencl")
"""The device that tests run on."""


@cache
def _found() -> Device | ChainruleError:
    try:
        return choose(WORD)
    except ChainruleError as error:
        return error


def device() -> Device:
    """The device; the test is skipped where there is none."""
    found = _found()
    if isinstance(found, ChainruleError):
        pytest.skip(f"no device: {found}")
    return found


def runners(plans: Sequence[Plan], rows: Sequence[int]) -> list[Runner]:
    """Runners of plans, each for so many rows; all code is built at once."""
    here = device()
    made = [
        functions(plan, max(most, 1), here.traits, f"plan_{k}_")
        for k, (plan, most) in enumerate(zip(plans, rows, strict=True))
    ]
    text = head(float64=here.traits.float64) + "\n".join(x.text for x in made)
    return [
        Runner(Executable(replace(x, text=text), here), driver_of(here).session(here)) for x in made
    ]
