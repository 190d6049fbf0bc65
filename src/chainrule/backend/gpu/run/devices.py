"""Finds devices, and the one that a word such as "gpu:1" or "opencl:NAME" means."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from chainrule.backend.gpu.run.cuda import CUDA
from chainrule.backend.gpu.run.driver import Device, Driver
from chainrule.backend.gpu.run.opencl import OpenCL
from chainrule.errors import DeviceError, MissingExtra, SettingError

DRIVERS: tuple[Driver, ...] = (OpenCL(), CUDA())
"""All drivers; a graphics processor that has both is reached by the first."""

FORMS = '"auto", "cpu", "gpu", "gpu:1", "cuda", "opencl" or "opencl:NAME"'


def is_word(word: object) -> bool:
    """Whether a word may name a device: "cpu" too."""
    kinds = "|".join(("gpu", *(x.name for x in DRIVERS)))
    return isinstance(word, str) and bool(re.fullmatch(rf"cpu|({kinds})(:.+)?", word))


@cache
def all_devices() -> tuple[tuple[Device, ...], tuple[str, ...]]:
    """All devices of all drivers, and why others cannot be used."""
    found, refused = list[Device](), list[str]()
    for driver in DRIVERS:
        try:
            more, why = driver.devices()
        except MissingExtra as error:
            refused.append(f"{error.what}: {error.fix}")
            continue
        found += more
        refused += why
    return tuple(found), tuple(refused)


def graphics() -> list[Device]:
    """All graphics processors, in the order of "gpu", "gpu:1"; one of two drivers counts once."""
    chosen: list[Device] = []
    for driver in DRIVERS:
        names = {x.name for x in chosen}
        own = (x for x in all_devices()[0] if x.graphics and x.driver == driver.name)
        chosen += [x for x in own if x.name not in names]
    return chosen


def candidates() -> list[tuple[str, Device]]:
    """The devices to choose from by forecasts, each with how it is called."""
    some = graphics()
    called = [("gpu" if len(some) == 1 else f"gpu:{k}", x) for k, x in enumerate(some)]
    others = (x for x in all_devices()[0] if not x.graphics)
    return called + [(f"{x.word}, a processor", x) for x in others]


def driver_of(device: Device) -> Driver:
    """The driver of a device."""
    return next(x for x in DRIVERS if x.name == device.driver)


def choose(word: str, where: str = "fit") -> Device:
    """The device that a word means.

    Args:
        word: "gpu" for the first graphics processor, "gpu:1" for the second; "opencl" for the first
            device of OpenCL, "opencl:1" for the second, "opencl:NAME" for the one in whose name or
            platform NAME occurs.
        where: the function that was called, for errors.

    Raises:
        SettingError: the word means no device, or several.
        MissingExtra: the library of the driver is not installed.
    """
    if not is_word(word) or word == "cpu":
        raise SettingError(
            where, f"no device is named {word!r}", expected=FORMS,
            fix="`chainrule devices` lists those that are there",
        )  # fmt: skip
    kind, _, rest = word.partition(":")
    found, refused = all_devices()
    some = graphics() if kind == "gpu" else [x for x in found if x.driver == kind]
    if not some:
        for driver in DRIVERS:
            if kind == driver.name or (kind == "gpu" and driver is DRIVERS[0]):
                driver.devices()  # raises MissingExtra
        raise _none(where, word, found, refused)
    if not rest:
        return some[0]
    if rest.isdigit():
        if int(rest) < len(some):
            return some[int(rest)]
        raise SettingError(
            where, f"there is no device {word!r}", expected=_listed(kind, some),
            fix=f"device='{kind}:{len(some) - 1}', or device='cpu'",
        )  # fmt: skip
    named = [x for x in some if rest.lower() in f"{x.name} {x.platform}".lower()]
    if len(named) == 1:
        return named[0]
    several = "several devices have" if named else "no device has"
    first = some.index((named or some)[0])
    raise SettingError(
        where, f"{several} {rest!r} in the name", expected=_listed(kind, some), got=word,
        fix=f"device='{kind}:{first}', or device='cpu'",
    )  # fmt: skip


def _none(
    where: str, word: str, found: Sequence[Device], refused: Sequence[str]
) -> SettingError | DeviceError:
    if found:
        return SettingError(
            where, "there is no graphics processor that can be used",
            got="\n".join([*(f"{x.word}: {x.name}, a processor" for x in found), *refused]),
            fix=f"device='cpu', or device={found[0].word!r}, which is slower",
        )  # fmt: skip
    return DeviceError(
        where, f"no device can be used as {word!r}", got="\n".join(refused) or None,
        fix="device='cpu'",
    )  # fmt: skip


def _listed(kind: str, some: Sequence[Device]) -> str:
    return "\n".join(f"{kind}:{k}, {x.name} ({x.platform})" for k, x in enumerate(some))
