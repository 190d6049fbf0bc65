"""The backends by name."""

from __future__ import annotations

from functools import cache

from chainrule.backend.base import Backend, Forecaster
from chainrule.backend.cpu.backend import CPU

NATIVE = CPU()


def find_backend(name: str) -> Backend:
    """The backend of a name: "native" or "cpu" for the processor, or the word of a device.

    Raises:
        SettingError, MissingExtra, DeviceError: there is no such device, or it cannot be used.
    """
    return NATIVE if name in ("native", "cpu") else _device(name)


@cache
def _device(word: str) -> Backend:
    from chainrule.backend.gpu.backend import GPU  # noqa: PLC0415  (for devices alone)
    from chainrule.backend.gpu.run.devices import choose  # noqa: PLC0415

    return GPU(choose(word))


def forecaster() -> Forecaster:
    """The backend that forecasts what a step takes."""
    return NATIVE
