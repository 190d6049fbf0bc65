"""The devices that can run steps and predictions, by the words that users give."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chainrule.errors import ChainruleError

if TYPE_CHECKING:
    from chainrule.backend.gpu.run.driver import Device
    from chainrule.costs.device import DeviceSpeeds

AUTO = "auto"
"""The word for the device that forecasts are best for; see engine/auto.py."""

FAILED: dict[str, str] = {}
"""The devices that failed in this process, and how: "auto" does not try them again."""


def check_device(device: str, where: str = "fit") -> None:
    """Raises SettingError, MissingExtra or DeviceError where there is no such device.

    where: the function that it was given to.
    """
    if device not in ("cpu", AUTO):
        from chainrule.backend.gpu.run.devices import choose  # noqa: PLC0415  (for devices alone)

        choose(device, where)


def settled(device: str) -> str:
    """The device for models that may train in processes of their own: no driver survives a fork.

    "auto" is the processor where there is no graphics processor.
    """
    if device == AUTO and not any(x.graphics for _, x in candidates()):
        return "cpu"
    return device


def all_devices() -> tuple[tuple[Device, ...], tuple[str, ...]]:
    """All devices besides the processor itself, and why others cannot be used."""
    from chainrule.backend.gpu.run import devices  # noqa: PLC0415  (for devices alone)

    return devices.all_devices()


def graphics() -> list[Device]:
    """All graphics processors, in the order of "gpu:0", "gpu:1"."""
    from chainrule.backend.gpu.run import devices  # noqa: PLC0415  (for devices alone)

    return devices.graphics()


def speeds_of(device: Device) -> DeviceSpeeds:
    """The measured speeds of a device. Raises DeviceError."""
    from chainrule.backend.gpu.backend import GPU  # noqa: PLC0415  (for devices alone)

    return GPU(device).speeds()


def tested() -> list[tuple[str, str]]:
    """The drivers, with the kinds of devices that they have been run on."""
    from chainrule.backend.gpu.run import devices  # noqa: PLC0415  (for devices alone)

    return [(x.name, x.tested) for x in devices.DRIVERS]


def candidates() -> list[tuple[str, Device]]:
    """The devices that "auto" compares, each with how it is called."""
    from chainrule.backend.gpu.run import devices  # noqa: PLC0415  (for devices alone)

    return devices.candidates()


def gave_up(device: str, error: ChainruleError) -> str:
    """Note that a device failed; returns the line that tells it."""
    FAILED[device] = error.what
    return f"device {device} failed, and cpu goes on: {error.brief}"
