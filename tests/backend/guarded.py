"""Steps on data that end where memory ends: a read beyond them is a crash. Run as a program."""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import Any

import numpy as np
from runners import runnable

import chainrule as cr
from chainrule.engine.compile import build_step, plan_step
from chainrule.graph import Graph, Node
from chainrule.graph.step import KEY, RATE, STEP_INDEX, Step
from chainrule.interpret import initial_value

Array = np.ndarray[Any, Any]
PAGE = mmap.PAGESIZE
ROWS = 13
FEATURES = (1, 3, 8, 17, 45)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def guarded(array: Array, *, end: bool) -> Array:
    """A copy that begins right after a page that nobody may touch, or ends right before one."""
    size = max(array.nbytes, 1)
    pages = -(-size // PAGE)
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    base = _libc.mmap(None, (pages + 2) * PAGE, mmap.PROT_READ | mmap.PROT_WRITE, private, -1, 0)
    for place in (base, base + (pages + 1) * PAGE):
        assert _libc.mprotect(place, PAGE, 0) == 0
    start = base + PAGE + (pages * PAGE - array.nbytes if end else 0)
    memory = (ctypes.c_char * array.nbytes).from_address(start)
    copy = np.frombuffer(memory, array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def network(width: int, dtype: str) -> tuple[Node, dict[str, Array]]:
    """A loss that reads inputs of all types, gathered, by products and element by element."""
    numbers = np.random.default_rng(width)
    data = {
        "x": numbers.normal(size=(ROWS, width)).astype(dtype),
        "mask": numbers.integers(0, 2, (ROWS, width)).astype(bool),
        "codes": numbers.integers(0, 4, (ROWS, width)).astype("int32"),
        "place": numbers.integers(0, width, (ROWS, 3)).astype("int64"),
        "t": numbers.normal(size=ROWS).astype(dtype),
    }
    x, mask = cr.input("x", (width,), dtype=dtype), cr.input("mask", (width,), dtype="bool")
    codes, place = (cr.input(n, data[n].shape[1:], dtype=str(data[n].dtype))
                    for n in ("codes", "place"))  # fmt: skip
    t = cr.input("t", (), dtype=dtype)
    kept = cr.softmax(cr.where(mask, x, 0.0)) + cr.flip(x, 1) - cr.max(x, 1, keepdims=True)
    words = cr.mean(cr.embedding(codes, 4, 3, dtype=dtype), 1)
    h = cr.concat([cr.dense(x, 5, "tanh"), kept, words, cr.gather(x, place, 1)], 1)
    y = cr.dense(cr.dense(h, 7, "relu"), 1)[:, 0]
    return cr.squared_error(y, t) + cr.squared_error(cr.dense(x, 1, bias=False)[:, 0], t), data


def run(width: int, dtype: str, lanes: int | None, *, end: bool) -> None:
    """Some steps on minibatches that hold the first and the last row."""
    loss, data = network(width, dtype)
    step = build_step(Graph(loss), loss, cr.SGD(0.01))
    native = runnable(plan_step(step), ROWS, width=lanes, threads=2)
    for x in step.graph.parameters:
        name = step.graph.name(x)
        native.state[name] = initial_value(x, name, 0)
    for name, array in data.items():
        native.bind(name, guarded(array, end=end))
    for rows in (np.arange(ROWS)[::-1], np.arange(ROWS - 1, ROWS), np.arange(5), np.arange(6, 13)):
        index = guarded(rows.astype(np.int64), end=end)
        ends = guarded(np.array([0, len(rows)]), end=end)
        losses, failed = native.run(index, ends, brought(step, end=end))
        assert failed is None
        assert np.isfinite(losses).all()


def brought(step: Step, *, end: bool) -> dict[str, Array]:
    """What each step brings."""
    values = {KEY: np.zeros(3, "uint32"), RATE: np.array(0.01), STEP_INDEX: np.array(1.0)}
    inputs = [x for x in step.graph.inputs if not x.batch]
    return {step.graph.name(x): guarded(values[x], end=end) for x in inputs}


if __name__ == "__main__":
    kind, vector, side = sys.argv[1:]
    for features in FEATURES:
        run(features, kind, int(vector) or None, end=side == "end")
