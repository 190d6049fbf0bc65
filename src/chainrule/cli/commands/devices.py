"""`chainrule devices`: lists the devices that can run steps and predictions."""

from __future__ import annotations

import sys

from chainrule.cli.command import Command
from chainrule.cli.console import Console
from chainrule.engine.devices import all_devices
from chainrule.system.processors import processors


def devices() -> None:
    """List the devices for --device: graphics processors, and what else has a driver.

    Below stands why a device or a driver that is here cannot be used.
    """
    screen = Console(sys.stdout)
    found, refused = all_devices()
    screen.heading("Devices")
    screen.table([("cpu", f"this computer's {processors()} processors, by machine code")])
    graphics = [x for x in found if x.graphics]
    for device in found:
        words = [device.word]
        if device.graphics:
            words.insert(0, f"gpu:{graphics.index(device)}")
        float64 = "float32 and float64" if device.traits.float64 else "float32 alone"
        screen.write("")
        screen.table([
            (", ".join(words), f"{device.name}{'' if device.graphics else ', a processor'}"),
            ("driver", f"{device.platform}: {device.version}"),
            ("memory", f"{_size(device.memory)}, {_size(device.largest)} in one piece"),
            ("numbers", float64),
        ])  # fmt: skip
    if refused:
        screen.heading("Cannot be used")
        for line in refused:
            screen.say(line, indent=2)


def _size(bytes: int) -> str:
    return f"{bytes / 2**30:.1f} GiB"


COMMAND = Command(
    "devices",
    devices,
    """
    chainrule devices
    chainrule train penguins --target species --device gpu
    chainrule predict penguins-model new.csv --device opencl:0
    """,
)
