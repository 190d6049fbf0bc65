"""The devices that can run steps and predictions, by the words that users give."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chainrule.backend.gpu.run.driver import Device


def check_device(device: str, where: str = "fit") -> None:
    """Raises SettingError, MissingExtra or DeviceError where there is no such device.

    where: the function that it was given to.
    """
    if device != "cpu":
        from chainrule.backend.gpu.run.devices import choose  # noqa: PLC0415  (for devices alone)

        choose(device, where)


def all_devices() -> tuple[tuple[Device, ...], tuple[str, ...]]:
    """All devices besides the processor itself, and why others cannot be used."""
    from chainrule.backend.gpu.run import devices  # noqa: PLC0415  (for devices alone)

    return devices.all_devices()
