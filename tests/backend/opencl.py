"""A device of OpenCL for tests, the same with other properties, and plans that share one build."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any
from unittest.mock import patch

import pytest

from chainrule.backend.gpu.emit.dialect import head
from chainrule.backend.gpu.emit.module import functions
from chainrule.backend.gpu.program import Traits
from chainrule.backend.gpu.run import devices
from chainrule.backend.gpu.run.devices import choose, driver_of
from chainrule.backend.gpu.run.driver import Device
from chainrule.backend.gpu.run.runner import Executable, Runner
from chainrule.backend.registry import _device
from chainrule.engine.codecache import _known
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


def joining() -> Traits:
    """The device's traits where kernels are launched together, as on graphics processors.

    PoCL 3 fails at barriers in branches, although whole groups take them: it has groups of one
    work-item. Others, such as Intel's driver of processors, have whole groups.
    """
    traits, fails = device().traits, device().platform.startswith("Portable Computing Language")
    return replace(traits, joins=True, items=1 if fails else traits.items)


@contextmanager
def as_if(**changed: Any) -> Iterator[None]:
    """The device is the only one, and has other properties; nothing is kept of it."""
    other = replace(device(), **changed)
    _device.cache_clear()
    _known.clear()
    with patch.object(devices, "all_devices", lambda: ((other,), ())):
        yield
    _device.cache_clear()
    _known.clear()


def runners(
    plans: Sequence[Plan], rows: Sequence[int], traits: Traits | None = None
) -> list[Runner]:
    """Runners of plans, each for so many rows; all code is built at once.

    traits: the device's, unless others are given.
    """
    here = device()
    made = [
        functions(plan, max(most, 1), traits or here.traits, f"plan_{k}_")
        for k, (plan, most) in enumerate(zip(plans, rows, strict=True))
    ]
    text = head(float64=here.traits.float64) + "\n".join(x.text for x in made)
    return [
        Runner(Executable(replace(x, text=text), here), driver_of(here).session(here)) for x in made
    ]
