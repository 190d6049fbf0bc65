"""The driver of OpenCL, by PyOpenCL: the graphics processors of all vendors, and processors."""

from __future__ import annotations

import os
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from chainrule.backend.gpu.program import Traits
from chainrule.backend.gpu.run.driver import Array, Device, Function, Launched, Memory, Recording
from chainrule.backend.gpu.run.failures import BUILT, driver_failed, not_built, refuse_fork
from chainrule.errors import MissingExtra

INSTALL = 'pip install "chainrule[gpu]"'
NO_PLATFORM = (
    "install the driver of the graphics processor's vendor: it has OpenCL for NVIDIA, AMD and "
    "Intel; on Linux also the package ocl-icd-libopencl1"
)


def _library() -> Any:
    """PyOpenCL. Raises MissingExtra."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pyopencl  # noqa: PLC0415  (loaded for devices alone)
    except ImportError as error:
        raise MissingExtra(
            "device", "OpenCL needs PyOpenCL, which cannot be loaded", got=str(error), fix=INSTALL
        ) from None
    return pyopencl


class OpenCL:
    """See Driver."""

    name = "opencl"
    tested = "its tests run on a processor (PoCL); it has not been run on a graphics processor yet"

    def devices(self) -> tuple[list[Device], list[str]]:
        """See Driver."""
        cl = _library()
        try:
            platforms = cl.get_platforms()
        except cl.Error:  # there is no platform
            platforms = []
        found, refused = list[Device](), list[str]()
        if not platforms:
            refused.append(f"OpenCL has no platform here: {NO_PLATFORM}")
        for platform in platforms:
            try:
                owns = platform.get_devices()
            except cl.Error as error:
                refused.append(f"{platform.name.strip()}: its devices cannot be listed: {error}")
                continue
            for own in owns:
                try:
                    found.append(_device(cl, len(found), own))
                except (cl.Error, _Unusable) as error:
                    refused.append(f"{platform.name.strip()}: a device cannot be used: {error}")
        if platforms and not any(x.graphics for x in found):
            refused.append(f"OpenCL has no graphics processor here: for one, {NO_PLATFORM}")
        return found, refused

    def session(self, device: Device) -> OpenCLSession:
        """See Driver."""
        return OpenCLSession(device)


class _Unusable(Exception):
    """A device lacks what kernels need; the text says what."""


def _device(cl: Any, number: int, own: Any) -> Device:
    if not own.available:
        raise _Unusable(f"{own.name.strip()}: its driver says that it is not available")
    if not own.compiler_available:
        raise _Unusable(f"{own.name.strip()}: its driver has no compiler")
    if not own.endian_little:
        raise _Unusable(f"{own.name.strip()}: its bytes are in another order")
    float64 = bool(own.double_fp_config)
    graphics = bool(own.type & cl.device_type.GPU)
    traits = Traits(float64, own.max_work_group_size, own.local_mem_size, graphics)
    return Device(
        "opencl", number, " ".join(own.name.split()), own.platform.name.strip(),
        f"{own.version.strip()}, driver {own.driver_version.strip()}",
        graphics, own.global_mem_size, own.max_mem_alloc_size, traits,
        own,
    )  # fmt: skip


class _Context:
    """A device in this process: its context, and code by text, which sessions share."""

    def __init__(self, device: Device) -> None:
        cl = _library()
        self.device, self.context = device, cl.Context([device.own])
        self._built: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()

    def program(self, text: str) -> Any:
        """The code of a text. Raises DeviceError, with the node and the compiler's words."""
        with self._lock:
            if text not in self._built:
                self._built[text] = self._build(text)
                while len(self._built) > BUILT:
                    self._built.popitem(last=False)
            self._built.move_to_end(text)
            return self._built[text]

    def _build(self, text: str) -> Any:
        cl = _library()
        options = ["-cl-denorms-are-zero", "-w"]
        if _rounds_correctly(cl, self.device.own):
            options.append("-cl-fp32-correctly-rounded-divide-sqrt")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what compilers remark
            try:
                return cl.Program(self.context, text).build(options=options, cache_dir=False)
            except cl.RuntimeError as error:
                raise not_built(text, str(error), self.device) from None


def _rounds_correctly(cl: Any, own: Any) -> bool:
    config = own.single_fp_config
    return bool(config & cl.device_fp_config.CORRECTLY_ROUNDED_DIVIDE_SQRT)


@cache
def _context(device: Device, process: int) -> _Context:
    return _Context(device)


class OpenCLSession:
    """See Session."""

    def __init__(self, device: Device) -> None:
        refuse_fork(device)
        self._cl, self._device, self._process = _library(), device, os.getpid()
        with self._told("opened"):
            self._context = _context(device, os.getpid())
            self._queue = self._cl.CommandQueue(self._context.context)
            self._copies = self._cl.CommandQueue(self._context.context)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Turns an error of the driver into a DeviceError."""
        try:
            yield
        except self._cl.Error as error:
            raise driver_failed(what, error, self._device) from None

    def allocate(self, size: int) -> Memory:
        """See Session."""
        with self._told(f"memory of {size:,} bytes"):
            return self._cl.Buffer(self._context.context, self._cl.mem_flags.READ_WRITE, size)

    def write(self, memory: Memory, array: Array, offset: int = 0) -> None:
        """See Session."""
        if self._process != os.getpid():
            refuse_fork(self._device)
        if array.nbytes:
            with self._told("a copy to the device"):
                self._cl.enqueue_copy(
                    self._queue, memory, array, dst_offset=offset, is_blocking=True
                )

    def bring(self, memory: Memory, array: Array) -> None:
        """See Session."""
        if array.nbytes:
            with self._told("a copy to the device"):
                self._cl.enqueue_copy(self._copies, memory, array, is_blocking=True)

    def copy(self, source: Memory, start: int, to: Memory, offset: int, size: int) -> None:
        """See Session."""
        with self._told("a copy on the device"):
            self._cl.enqueue_copy(
                self._queue, to, source, src_offset=start, dst_offset=offset, byte_count=size
            )

    def read(self, memory: Memory, array: Array, offset: int = 0) -> None:
        """See Session."""
        if array.nbytes:
            with self._told("a copy from the device"):
                self._cl.enqueue_copy(
                    self._queue, array, memory, src_offset=offset, is_blocking=True
                )

    def function(self, text: str, name: str) -> Function:
        """See Session."""
        with self._told("loading kernels"):
            return self._cl.Kernel(self._context.program(text), name)

    def arguments(self, function: Function, values: Sequence[Any]) -> None:
        """See Session."""
        with self._told("arguments of a kernel"):
            function.set_args(*values)

    def launch(self, function: Function, groups: int, items: int) -> None:
        """See Session."""
        with self._told("launching a kernel"):
            self._cl.enqueue_nd_range_kernel(self._queue, function, (groups * items,), (items,))

    def record(self, launches: Sequence[Launched]) -> Recording:
        """See Session; few drivers have buffers of commands, and PyOpenCL has none of them."""
        return tuple(launches)

    def replay(self, recording: Recording) -> None:
        """See Session: the queue keeps the order, without waits."""
        for launched in recording:
            self.launch(*launched)

    def start(self) -> None:
        """See Session."""
        with self._told("launching kernels"):
            self._queue.flush()
