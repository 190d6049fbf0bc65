"""The predicted time of a plan on a device, from its launches and the device's measured speeds."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.costs.work import work
from chainrule.plan.plan import Plan

CALL_SECONDS = 0.03
"""Seconds of steps that are done in one call of a runner."""


@dataclass(frozen=True)
class DeviceSpeeds:
    """Measured rates of a device.

    Attributes:
        launch: seconds from the start of a small kernel to that of the next.
        call: seconds of a call that does next to nothing: what it copies to and from the device.
        peak: floating-point operations a second of a large product of float32.
        bandwidth: bytes a second that a simple kernel reads and writes in the device's memory.
        transfer: bytes a second that are copied to the device.
        build: seconds until the first kernels were built.
        group: floating-point operations a second of a product that one group computes.
        next: seconds from the start of a small kernel to that of the next in one launch.
    """

    launch: float
    call: float
    peak: float
    bandwidth: float
    transfer: float
    build: float
    group: float
    next: float


@dataclass(frozen=True)
class DeviceCost:
    """The predicted time of a step on a device.

    Attributes:
        launches: kernels of a step; below 1 where a launch does several steps.
        begin: seconds before the first step: to build kernels.
        seconds: of a step, with its share of what every call takes.
    """

    launches: float
    begin: float
    seconds: float


def device_cost(
    plan: Plan, rows: int, launches: float, moved: int, speeds: DeviceSpeeds, *, alone: bool = False
) -> DeviceCost:
    """The cost of a step of a plan on a device: each kernel takes a launch, or its own time.

    Args:
        plan: the one to run.
        rows: of a minibatch.
        launches: the kernels that the device's code has for it; see DeviceCost.
        moved: bytes that are copied for it, to the device and from it.
        speeds: of the device.
        alone: whether one group of work-items does all of it.
    """
    seconds = launches * speeds.launch + moved / speeds.transfer
    slower = speeds.peak / speeds.group
    for task in plan.tasks:
        counted = work(task, rows)
        own = counted.flops / speeds.peak + counted.bytes / speeds.bandwidth
        seconds += slower * own + speeds.next if alone else max(own - speeds.launch, 0.0)
    return DeviceCost(launches, speeds.build, seconds * (1 + speeds.call / CALL_SECONDS))
