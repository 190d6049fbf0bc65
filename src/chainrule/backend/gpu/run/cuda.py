"""The driver of CUDA, by NVIDIA's cuda-core: NVRTC compiles kernels, without a compiler here."""

from __future__ import annotations

import os
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any

from chainrule.backend.gpu.program import Traits
from chainrule.backend.gpu.run.driver import Array, Device, Function, Launched, Memory, Recording
from chainrule.backend.gpu.run.failures import BUILT, driver_failed, not_built, refuse_fork
from chainrule.errors import ChainruleError, MissingExtra

INSTALL = 'pip install "chainrule[cuda]"'
NO_DEVICE = "for a graphics processor of NVIDIA, install its driver, or update it"


@cache
def _library() -> SimpleNamespace:
    """The parts of cuda-core and cuda-bindings that are used. Raises MissingExtra."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from cuda import core  # noqa: PLC0415  (loaded for devices alone)
            from cuda.bindings import driver, nvrtc  # noqa: PLC0415
            from cuda.core._utils.cuda_utils import CUDAError  # noqa: PLC0415
    except (ImportError, RuntimeError) as error:
        raise MissingExtra(
            "device", "CUDA, for processors of NVIDIA, needs cuda-core, which cannot be loaded",
            got=str(error), fix=INSTALL,
        ) from None  # fmt: skip
    return SimpleNamespace(
        core=core, driver=driver, nvrtc=nvrtc, errors=(CUDAError, RuntimeError, ValueError)
    )


def _checked(result: tuple[Any, ...]) -> Any:
    """The value that a function of cuda-bindings returns behind its error. Raises RuntimeError."""
    error, *values = result
    if int(error):
        raise RuntimeError(f"{type(error).__name__}: {error.name}")
    return values[0] if values else None


class CUDA:
    """See Driver."""

    name = "cuda"
    tested = "NVRTC compiles its kernels in the tests; it has not been run yet"

    def devices(self) -> tuple[list[Device], list[str]]:
        """See Driver."""
        cuda = _library()
        found, refused = list[Device](), list[str]()
        try:
            _checked(cuda.driver.cuInit(0))
            version, count = (
                _checked(x())
                for x in (cuda.driver.cuDriverGetVersion, cuda.driver.cuDeviceGetCount)
            )
        except cuda.errors as error:
            said = " ".join(str(error).split()).rstrip(".")
            return [], [f"CUDA has no device here ({said}): {NO_DEVICE}"]
        for number in range(count):
            try:
                found.append(_device(cuda, number, version))
            except cuda.errors as error:
                refused.append(f"CUDA: device {number} cannot be used: {error}")
        return found, refused

    def session(self, device: Device) -> CUDASession:
        """See Driver."""
        return CUDASession(device)


def _device(cuda: Any, number: int, version: int) -> Device:
    own = cuda.core.Device(number)
    architectures = _checked(cuda.nvrtc.nvrtcGetSupportedArchs())
    if int(own.arch) < min(architectures):
        least = min(architectures)
        raise ValueError(
            f"{own.name} has compute capability {_version(int(own.arch))}, and this NVRTC compiles "
            f"for {_version(least)} and newer: it runs by OpenCL, or with an older NVRTC"
        )
    memory = _checked(cuda.driver.cuDeviceTotalMem(number))
    traits = Traits(
        True, own.properties.max_threads_per_block, own.properties.max_shared_memory_per_block
    )
    told = f"CUDA {version // 1000}.{version % 1000 // 10}, compute capability "
    told += _version(int(own.arch))
    return Device(
        "cuda", number, " ".join(own.name.split()), "NVIDIA CUDA", told, True, memory, memory,
        traits, own.arch,
    )  # fmt: skip


def _version(architecture: int) -> str:
    return f"{architecture // 10}.{architecture % 10}"


def compiled(text: str, architecture: str) -> Any:
    """The code of a text, an ObjectCode of cuda-core; no device is needed.

    Args:
        text: in the dialect of emit/dialect.py.
        architecture: such as "80", for compute capability 8.0.

    Raises:
        CUDAError: NVRTC refuses the text.
    """
    cuda = _library()
    options = cuda.core.ProgramOptions(
        name="kernels", arch=f"sm_{architecture}", ftz=True, fma=False, disable_warnings=True
    )
    return cuda.core.Program(text, "c++", options).compile("cubin")


_built: OrderedDict[tuple[Device, int, str], Any] = OrderedDict()
_lock = threading.Lock()


def _program(device: Device, text: str) -> Any:
    """The code of a text on a device. Raises DeviceError, with the node and NVRTC's words."""
    key = device, os.getpid(), text
    with _lock:
        if key not in _built:
            try:
                _built[key] = compiled(text, device.own)
            except _library().errors as error:
                raise not_built(text, str(error), device) from None
            while len(_built) > BUILT:
                _built.popitem(last=False)
        _built.move_to_end(key)
        return _built[key]


class _Kernel:
    """A kernel with its arguments."""

    def __init__(self, own: Any) -> None:
        self.own, self.arguments = own, tuple[Any, ...]()


class CUDASession:
    """See Session. Each call but a launch makes the device that of the calling thread."""

    def __init__(self, device: Device) -> None:
        refuse_fork(device)
        self._cuda, self._device, self._process = _library(), device, os.getpid()
        self._shapes: dict[tuple[int, int], Any] = {}
        with self._told("opened"):
            self._stream, self._copies = (self._own.create_stream() for _ in "ab")

    @property
    def _own(self) -> Any:
        """The device, which is one for each thread."""
        return self._cuda.core.Device(self._device.number)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Makes the device that of this thread, and turns an error of it into a DeviceError."""
        try:
            self._own.set_current()
            yield
        except ChainruleError:
            raise
        except self._cuda.errors as error:
            raise driver_failed(what, error, self._device) from None

    def allocate(self, size: int) -> Memory:
        """See Session."""
        with self._told(f"memory of {size:,} bytes"):
            memory = self._own.allocate(size, stream=self._stream)
            self._stream.sync()
            return memory

    def write(self, memory: Memory, array: Array, offset: int = 0) -> None:
        """See Session."""
        if self._process != os.getpid():
            refuse_fork(self._device)
        self._copy(self._stream, memory, array, offset)

    def bring(self, memory: Memory, array: Array) -> None:
        """Copy a contiguous array to memory, from its beginning, without waiting for launches."""
        self._copy(self._copies, memory, array, 0)

    def _copy(self, stream: Any, memory: Memory, array: Array, offset: int) -> None:
        if array.nbytes:
            with self._told("a copy to the device"):
                _checked(self._cuda.driver.cuMemcpyHtoDAsync(
                    int(memory.handle) + offset, array.ctypes.data, array.nbytes, stream.handle
                ))  # fmt: skip
                stream.sync()

    def copy(self, source: Memory, start: int, to: Memory, offset: int, size: int) -> None:
        """See Session."""
        with self._told("a copy on the device"):
            _checked(self._cuda.driver.cuMemcpyDtoDAsync(
                int(to.handle) + offset, int(source.handle) + start, size, self._stream.handle
            ))  # fmt: skip

    def read(self, memory: Memory, array: Array, offset: int = 0) -> None:
        """See Session."""
        if array.nbytes:
            with self._told("a copy from the device"):
                _checked(self._cuda.driver.cuMemcpyDtoHAsync(
                    array.ctypes.data, int(memory.handle) + offset, array.nbytes,
                    self._stream.handle,
                ))  # fmt: skip
                self._stream.sync()

    def function(self, text: str, name: str) -> Function:
        """See Session."""
        with self._told("loading kernels"):
            return _Kernel(_program(self._device, text).get_kernel(name))

    def arguments(self, function: Function, values: Sequence[Any]) -> None:
        """See Session."""
        function.arguments = tuple(values)

    def launch(self, function: Function, groups: int, items: int) -> None:
        """See Session."""
        try:
            self._enter(self._stream, function, groups, items)
        except self._cuda.errors:
            with self._told("launching a kernel"):
                raise

    def _enter(self, where: Any, function: Function, groups: int, items: int) -> None:
        """Launch a function on a stream, or enter it in a graph."""
        shape = self._shapes.get((groups, items))
        if shape is None:
            shape = self._cuda.core.LaunchConfig(grid=groups, block=items)
            self._shapes[groups, items] = shape
        self._cuda.core.launch(where, shape, function.own, *function.arguments)

    def record(self, launches: Sequence[Launched]) -> Recording:
        """See Session: a graph of CUDA, which takes one call for all of its kernels."""
        with self._told("recording kernels"):
            building = self._own.create_graph_builder().begin_building()
            for launched in launches:
                self._enter(building, *launched)
            return building.end_building().complete()

    def replay(self, recording: Recording) -> None:
        """See Session."""
        with self._told("launching recorded kernels"):
            recording.launch(self._stream)

    def start(self) -> None:
        """See Session; CUDA begins at once."""
