"""`chainrule devices`: lists the devices that can run steps and predictions."""

from __future__ import annotations

import sys

from chainrule.cli.command import Command
from chainrule.cli.console import Console
from chainrule.costs.device import DeviceSpeeds
from chainrule.display.tables import bytes_text, digits, seconds_text
from chainrule.engine.devices import all_devices, graphics, speeds_of, tested
from chainrule.errors import DeviceError
from chainrule.system.processors import processors


def devices() -> None:
    """List the devices for --device: graphics processors, and what else has a driver.

    The speeds are measured the first time, and kept. Below stands why a device or a driver that is
    here cannot be used.
    """
    screen = Console(sys.stdout)
    found, why = all_devices()
    refused = list(why)
    screen.heading("Devices")
    screen.table([("cpu", f"this computer's {processors()} processors, by machine code")])
    known = graphics()
    for device in found:
        words = [device.word]
        if device in known:
            words.insert(0, f"gpu:{known.index(device)}")
        try:
            speed = _speeds(speeds_of(device))
        except DeviceError as error:
            speed = "not known, as it fails: see below"
            refused.append(f"{device.word}: {error.brief}")
        float64 = "float32 and float64" if device.traits.float64 else "float32 alone"
        screen.write("")
        screen.table([
            (", ".join(words), f"{device.name}{'' if device.graphics else ', a processor'}"),
            ("driver", f"{device.platform}: {device.version}"),
            ("memory", f"{bytes_text(device.memory)}, {bytes_text(device.largest)} in one piece"),
            ("numbers", float64),
            ("speed", speed),
        ])  # fmt: skip
    screen.heading("What the drivers have run on")
    screen.table(tested())
    if refused:
        screen.heading("Cannot be used")
        for line in refused:
            screen.say(line, indent=2)


def _speeds(found: DeviceSpeeds) -> str:
    return (
        f"{seconds_text(found.launch)} a kernel, {digits(found.peak / 1e9)} GFLOP/s in products, "
        f"{digits(found.bandwidth / 1e9)} GB/s in its memory, "
        f"{digits(found.transfer / 1e9)} GB/s copied to it"
    )


COMMAND = Command(
    "devices",
    devices,
    """
    chainrule devices
    chainrule train penguins --target species --device gpu
    chainrule predict penguins-model new.csv --device opencl:0
    """,
)
