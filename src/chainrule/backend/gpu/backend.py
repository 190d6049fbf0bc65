"""A device as a backend: kernels in C, built and run by the device's driver."""

from __future__ import annotations

import math
from dataclasses import dataclass

from chainrule.backend import base
from chainrule.backend.gpu.emit.module import build
from chainrule.backend.gpu.layout import layout, sizes
from chainrule.backend.gpu.program import Program
from chainrule.backend.gpu.run.data import fits, require_room
from chainrule.backend.gpu.run.devices import driver_of
from chainrule.backend.gpu.run.driver import Device
from chainrule.backend.gpu.run.microbench import speeds
from chainrule.backend.gpu.run.runner import Executable, Runner
from chainrule.backend.gpu.serialize import pack, unpack
from chainrule.costs.device import DeviceCost, DeviceSpeeds, device_cost
from chainrule.errors import DTypeError, GraphError
from chainrule.ir.kernel import BYTES
from chainrule.plan.plan import Plan
from chainrule.system.cachedir import code_folder


@dataclass(frozen=True)
class Module:
    """See Module in base.py."""

    program: Program

    @property
    def text(self) -> str:
        """C, for OpenCL and CUDA."""
        return self.program.text

    def compile(self) -> bytes:
        """The text with its launches; the device's driver compiles it."""
        return pack(self.program)


@dataclass(frozen=True)
class GPU:
    """See Backend in base.py.

    Attributes:
        device: that runs the kernels.
    """

    device: Device

    @property
    def name(self) -> str:
        """The word of the device."""
        return self.device.word

    @property
    def bfloat16(self) -> bool:
        """See Backend."""
        return False

    def target(self) -> str:
        """See Backend."""
        return repr(self.device.traits)

    def emit(self, plan: Plan, max_rows: int) -> Module:
        """See Backend.

        Raises:
            GraphError: a user's op has no lowering.
            DTypeError: the data or the state are float64, which the device does not have.
        """
        _refuse_calls(plan)
        if not self.device.traits.float64:
            _refuse_float64(plan, self.device)
        return Module(build(plan, max_rows, self.device.traits))

    def load(self, code: bytes, max_rows: int) -> Executable:
        """See Backend."""
        return Executable(unpack(code, max_rows), self.device)

    def runner(self, code: base.Executable, threads: int | None = None) -> Runner:
        """See Backend; a device has no threads."""
        assert isinstance(code, Executable)
        return Runner(code, driver_of(self.device).session(self.device))

    def warm_up(self) -> None:
        """See Backend."""

    def speeds(self) -> DeviceSpeeds:
        """The speeds of the device, measured where that is not done yet. Raises DeviceError."""
        return speeds(self.device, driver_of(self.device), code_folder())

    def forecast(self, plan: Plan, rows: int, held: int, moved: int) -> DeviceCost:
        """The predicted time of a plan.

        Args:
            plan: to run, on so many rows at a time.
            rows: of a minibatch.
            held: bytes of the data set, which the device holds too where it can.
            moved: bytes that are copied for a step.

        Raises:
            GraphError, DTypeError: the device cannot run it.
            SettingError: its memory is too small.
            DeviceError: the device fails.
        """
        program = self.emit(plan, rows).program
        own = layout(program.signature, program.levels, rows, float64=self.device.traits.float64)
        require_room(self.device, (own.state, own.work))
        if not fits(self.device, (own.state, own.work, held)):  # each step copies its rows
            data = (x for x in program.signature.buffers if x.space == "data")
            moved += sum(math.prod(sizes(x, rows)) * BYTES[x.dtype] for x in data)
        count = 1 / program.steps if program.steps else len(program.launches) + 1
        return device_cost(plan, rows, count, moved, self.speeds(), alone=program.steps > 0)


def _refuse_calls(plan: Plan) -> None:
    """Raises GraphError where a step calls a user's op."""
    for call in plan.calls:
        raise GraphError(
            "device", "an op of your own that has no lowering runs on the processor alone",
            at=f"node {call.name!r}",
            fix="decompose=... or lower=... in cr.op, or device='cpu'",
        )  # fmt: skip


def _refuse_float64(plan: Plan, device: Device) -> None:
    """Raises DTypeError where data or state are float64; step inputs are float32 then."""
    for buffer in plan.buffers:
        if buffer.dtype == "float64" and buffer.space in ("data", "state"):
            raise DTypeError(
                "device", "the device has no float64", got=f"{buffer.name!r} of float64",
                at=f"{device.word}, {device.name}", fix="a model of float32, or device='cpu'",
            )  # fmt: skip
