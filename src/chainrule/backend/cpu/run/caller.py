"""A runner as a function of Python, which machine code enters without Python's help."""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from chainrule.backend.cpu.emit.caller import (
    CALL,
    FUNCTIONS,
    INPUT,
    MOST_ARRAYS,
    MOST_AXES,
    OUTPUT,
    caller,
)
from chainrule.backend.cpu.emit.frame import FRAME
from chainrule.backend.cpu.machine import Machine
from chainrule.backend.cpu.run.driver import Runner
from chainrule.backend.cpu.run.jit import Code, compiled
from chainrule.ir.kernel import Buffer
from chainrule.types import N, TensorType

Array = npt.NDArray[Any]
Caller: TypeAlias = Callable[..., Array | list[Array] | None]
"""Arrays to the results, or None: see emit/caller.py."""

METH_FASTCALL = 0x80


class _Method(ctypes.Structure):
    """PyMethodDef."""

    _fields_ = (("name", ctypes.c_char_p), ("function", ctypes.c_void_p), ("flags", ctypes.c_int),
                ("doc", ctypes.c_char_p))  # fmt: skip


@dataclass(frozen=True)
class Form:
    """The arguments and results of a call.

    Attributes:
        inputs: name and type of each argument; the first axis is that of the rows.
        outputs: the buffers of the results.
        check: a buffer with a float32 for each row that is 0 where the results hold, or None.
        most: the most rows of a call.
        long: rows from which other Python threads run meanwhile.
    """

    inputs: tuple[tuple[str, TensorType], ...]
    outputs: tuple[Buffer, ...]
    check: Buffer | None
    most: int
    long: int


def supported() -> bool:
    """Whether this interpreter has the interface that the function is written for.

    A subinterpreter has objects of its own; without a global lock, so has another thread.
    """
    if sys.implementation.name != "cpython" or sys.maxsize < 2**32 or sys.byteorder != "little":
        return False
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return False
    present = _python("PyInterpreterState_Get", ctypes.c_void_p)()
    number = _python("PyInterpreterState_GetID", ctypes.c_int64, ctypes.c_void_p)(present)
    return bool(number == 0)


def fits(form: Form) -> bool:
    """Whether a call may have such arguments and results."""
    shapes = [*(x.shape for _, x in form.inputs), *(x.shape for x in form.outputs)]
    rows_first = all(x[:1] == (N,) and len(x) <= MOST_AXES and 0 not in x for x in shapes)
    some = 0 < len(form.inputs) < len(shapes) <= MOST_ARRAYS
    return some and rows_first


def compile_caller(machine: Machine) -> bytes:
    """The object file of the function that all callers share."""
    return compiled(caller(FRAME), machine)


def load_caller(file: bytes, machine: Machine) -> Code:
    """The function, linked with the functions of this interpreter."""
    return Code([file], machine, {name: _address(name) for name in FUNCTIONS})


def make_caller(code: Code, runner: Runner, form: Form) -> Caller:
    """A function of arrays that runs machine code in the memory of a runner.

    One thread at a time may use the runner, as ever, and it must outlive the function.

    Args:
        code: from `load_caller`.
        runner: its data is set by each call.
        form: which `fits`.
    """
    most = min(form.most, runner.code.max_rows)
    spare, ends, rows = np.zeros(1, np.int64), np.zeros(2, np.int64), np.arange(most)
    taken = [_input(runner.data_word(name) or spare.ctypes.data, x) for name, x in form.inputs]
    texts = [ctypes.create_string_buffer(f"({'n' * len(b.shape)})O".encode()) for b in form.outputs]
    dtypes = [np.dtype(b.dtype) for b in form.outputs]
    given = [_output(runner, *x) for x in zip(form.outputs, texts, dtypes, strict=True)]
    tables = np.array(taken, np.int64), np.array(given, np.int64)
    words = np.array(_words(
        CALL, run=runner.code.code.address("run"), frame=runner.frame.ctypes.data,
        inputs=len(taken), outputs=len(given), taken=tables[0].ctypes.data,
        given=tables[1].ctypes.data, most=most, long=form.long, rows=rows.ctypes.data,
        ends=ends.ctypes.data, array=id(np.ndarray), none=id(None), empty=id(np.empty),
        check=0 if form.check is None else runner.memory.view(form.check).ctypes.data,
    ), np.int64)  # fmt: skip
    method = _Method(b"predict", code.address("call"), METH_FASTCALL, None)
    kept = code, method, words, tables, texts, dtypes, rows, ends, spare, np.ndarray, np.empty
    new = _python("PyCFunction_NewEx", ctypes.py_object,
                  ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)  # fmt: skip
    made: Caller = new(ctypes.addressof(method), (words.ctypes.data, kept), None)
    return made


def _input(slot: int, type: TensorType) -> list[int]:
    """The words of an argument."""
    dtype = np.dtype(type.dtype)
    letter = np.empty(0, dtype).data.format  # as this platform writes it
    sizes = {f"d{k}": d for k, d in enumerate(type.shape) if k and isinstance(d, int)}
    return _words(INPUT, slot=slot, ndim=type.ndim, letter=ord(letter), size=dtype.itemsize,
                  **sizes)  # fmt: skip


def _output(
    runner: Runner, buffer: Buffer, text: ctypes.Array[ctypes.c_char], dtype: np.dtype[Any]
) -> list[int]:
    """The words of a result."""
    view = runner.memory.view(buffer)
    sizes = [d for d in buffer.shape[1:] if isinstance(d, int)]
    arguments = dict(zip("abcd", [*sizes, id(dtype)], strict=False))
    return _words(OUTPUT, source=view.ctypes.data, pitch=view.strides[0],
                  width=math.prod(sizes) * dtype.itemsize, format=ctypes.addressof(text),
                  **arguments)  # fmt: skip


def _words(names: Sequence[str], **values: int) -> list[int]:
    """The values in the order of names; 0 for those left out."""
    return [values.pop(name, 0) for name in names]


def _address(name: str) -> int:
    return ctypes.cast(ctypes.pythonapi[name], ctypes.c_void_p).value or 0


def _python(name: str, result: Any, *arguments: Any) -> Any:
    """A function of the interpreter."""
    return ctypes.PYFUNCTYPE(result, *arguments)(_address(name))
