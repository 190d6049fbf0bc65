"""The measured networks beyond dense layers: a row each, with the shapes of their parameters.

Every system has a builder of each kind, in `bench/systems`: `KINDS` of `nets.py`, `torch_nets.py`
and `jax_nets.py`. Parameters have Chainrule's names and layouts; the others convert them once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Design:
    """A network of one kind, and the data that it trains on.

    Attributes:
        name: as the tables show it.
        kind: of the builders.
        shape: of an example; channels last, time first.
        batch: rows of a minibatch.
        batches: minibatches of an epoch; all are whole.
        words: the number of different words, where an example is words; else 0.
        asked: rows of the predictions that are timed.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    batch: int
    batches: int
    words: int = 0
    asked: tuple[int, ...] = (1, 100, 1_000)

    classes = 10
    regression = False
    flops = 0

    @property
    def convolves(self) -> bool:
        """Whether it has convolutions."""
        return self.kind in ("lenet", "resnet", "separable", "signals")

    @property
    def recurs(self) -> bool:
        """Whether it is a recurrent network."""
        return self.kind in ("lstm", "gru")

    @property
    def rows(self) -> int:
        """Rows of the data set."""
        return self.batch * self.batches


DESIGNS = (
    Design("LeNet 28x28", "lenet", (28, 28, 1), 64, 40),
    Design("ResNet 32x32", "resnet", (32, 32, 3), 64, 8),
    Design("separable 32x32", "separable", (32, 32, 3), 64, 8),
    Design("signals 16 x 1000", "signals", (1000, 16), 32, 16),
    Design("bag 50000 x 64", "bag", (32,), 256, 40, words=50_000),
    Design("encoder 64 x 128", "encoder", (64, 128), 32, 10),
    Design("LSTM 50 x 128", "lstm", (50, 128), 32, 20),
    Design("GRU 50 x 128", "gru", (50, 128), 32, 20),
)

HEADS, HIDDEN, WIDTH = 4, 512, 128
"""Of an encoder, and of the recurrent networks the width."""
STAGES = (16, 32, 64)
"""Channels of the stages of the ResNet, each a block of two convolutions."""
SEPARABLE = ((64, 1), (128, 2), (128, 1), (256, 2))
"""Channels and strides of the depthwise-separable blocks, after 32 channels of the first layer."""
SIGNALS = ((32, 7), (64, 5), (64, 5))
"""Channels and sizes of the convolutions of signals, of stride 2."""


def _conv(name: str, *shape: int) -> Shapes:
    return {f"{name}.w": shape, f"{name}.b": shape[-1:]}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.scale": (width,), f"{name}.shift": (width,)}


def _lenet(design: Design) -> Shapes:
    return {
        **_conv("conv1", 5, 5, 1, 6), **_conv("conv2", 5, 5, 6, 16), **_conv("dense1", 400, 120),
        **_conv("dense2", 120, 84), **_conv("y", 84, 10),
    }  # fmt: skip


def _resnet(design: Design) -> Shapes:
    found: Shapes = {"stem.w": (3, 3, 3, 16), **_norm("stem.norm", 16)}
    before = 16
    for k, width in enumerate(STAGES):
        for layer, inside in (("a", before), ("b", width)):
            found[f"block{k}{layer}.w"] = (3, 3, inside, width)
            found |= _norm(f"block{k}{layer}.norm", width)
        if width != before:
            found[f"skip{k}.w"] = (1, 1, before, width)
        before = width
    return {**found, **_conv("y", before, 10)}


def _separable(design: Design) -> Shapes:
    found, before = _conv("stem", 3, 3, 3, 32), 32
    for k, (width, _) in enumerate(SEPARABLE):
        found |= _conv(f"depth{k}", 3, 3, 1, before) | _conv(f"point{k}", 1, 1, before, width)
        before = width
    return {**found, **_conv("y", before, 10)}


def _signals(design: Design) -> Shapes:
    found, before = Shapes(), design.shape[-1]
    for k, (width, size) in enumerate(SIGNALS):
        found |= _conv(f"conv{k}", size, before, width)
        before = width
    return {**found, **_conv("y", before, 10)}


def _bag(design: Design) -> Shapes:
    return {"bag.table": (design.words, 64), **_conv("y", 64, 10)}


def _encoder(design: Design) -> Shapes:
    found, width = Shapes(), design.shape[-1]
    for k in range(2):
        found |= _norm(f"block{k}.norm1", width)
        for part in ("query", "key", "value", "out"):
            found |= _conv(f"block{k}.attention.{part}", width, width)
        found |= _norm(f"block{k}.norm2", width)
        found |= _conv(f"block{k}.hidden", width, HIDDEN) | _conv(f"block{k}.out", HIDDEN, width)
    return {**found, **_conv("y", width, 10)}


def _lstm(design: Design) -> Shapes:
    wide = 4 * WIDTH
    return {"lstm.w": (design.shape[-1], wide), "lstm.b": (wide,), "lstm.u": (WIDTH, wide),
            **_conv("y", WIDTH, 10)}  # fmt: skip


def _gru(design: Design) -> Shapes:
    wide = 3 * WIDTH
    return {"gru.w": (design.shape[-1], wide), "gru.b": (wide,), "gru.b_inner": (WIDTH,),
            "gru.u": (WIDTH, wide), **_conv("y", WIDTH, 10)}  # fmt: skip


SHAPES: dict[str, Callable[[Design], Shapes]] = {
    "lenet": _lenet, "resnet": _resnet, "separable": _separable, "signals": _signals, "bag": _bag,
    "encoder": _encoder, "lstm": _lstm, "gru": _gru,
}  # fmt: skip


def start_of(design: Design) -> dict[str, Array]:
    """The initial parameters by name, the same for all systems."""
    rng = np.random.default_rng(11)

    def drawn(name: str, shape: tuple[int, ...]) -> Array:
        if len(shape) == 1:
            return np.full(shape, name.endswith(".scale"), np.float32)
        size = 1.0 if name.endswith(".table") else np.sqrt(1 / prod(shape[:-1]))
        return (size * rng.standard_normal(shape)).astype(np.float32)

    return {name: drawn(name, shape) for name, shape in SHAPES[design.kind](design).items()}


def data_of(design: Design, rows: int | None = None) -> tuple[Array, Array]:
    """Examples and their classes; as in `data` of cells.py, one class in ten at random.

    Half of the words of an example are of the tenth of the vocabulary that is its class's.
    """
    rng = np.random.default_rng(7)
    n = rows or design.rows
    classes = rng.integers(0, design.classes, n)
    x: Array
    if design.words:
        x = rng.integers(0, design.words, (n, *design.shape))
        own = x // design.classes * design.classes + classes[:, None]
        x = np.where(rng.random(x.shape) < 0.5, own, x).astype(np.int32)
    else:
        x = rng.standard_normal((n, *design.shape), dtype=np.float32)
        x += 0.3 * rng.standard_normal((design.classes, *design.shape), dtype=np.float32)[classes]
    noisy = rng.random(n) < 0.1
    classes[noisy] = rng.integers(0, design.classes, int(noisy.sum()))
    return x, classes.astype(np.int32)
