"""The measured networks, their minibatch sizes, and data with learnable classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from bench.designs import DESIGNS, Design, data_of, start_of

Array = npt.NDArray[np.float32]
RATES = {"sgd": 0.01, "adam": 1e-3}


@dataclass(frozen=True)
class Network:
    """A chain of dense layers with ReLU between them, and the data that it trains on.

    Attributes:
        name: as the tables show it.
        widths: of the input, the hidden layers and the output; one output means a number.
        batch: rows of a minibatch.
        batches: minibatches of an epoch; all are whole, so that every system does equal steps.
        asked: rows of the predictions that are timed.
    """

    name: str
    widths: tuple[int, ...]
    batch: int
    batches: int
    asked: tuple[int, ...] = (1, 100, 100_000)

    @property
    def rows(self) -> int:
        """Rows of the data set."""
        return self.batch * self.batches

    @property
    def regression(self) -> bool:
        """Whether the loss is the mean squared error; else it is cross-entropy."""
        return self.widths[-1] == 1

    @property
    def flops(self) -> int:
        """Floating-point operations of the matrix products of a step.

        Forward, gradient of the weights and, but for the first layer, gradient of the input:
        two operations a weight and row each.
        """
        sizes = [i * o for i, o in zip(self.widths, self.widths[1:], strict=False)]
        return 2 * self.batch * (3 * sum(sizes) - sizes[0])


NETWORKS = (
    Network("4-16-3", (4, 16, 3), 16, 100),
    Network("64-64-10", (64, 64, 10), 32, 56),
    Network("784-128-10", (784, 128, 10), 32, 400),
    Network("784-512-512-10", (784, 512, 512, 10), 128, 40),
    Network("1024-1024-1024-1024", (1024, 1024, 1024, 1024), 256, 8),
    Network("64 x 20 layers-10", (64,) * 21 + (10,), 64, 100),
    Network("20-45-46-1", (20, 45, 46, 1), 64, 100),
    Network("20-256-256-2", (20, 256, 256, 2), 256, 39),
)
"""The last one is the table of 10,000 rows and 20 columns; 9,984 of them are full minibatches."""

Cell: TypeAlias = Network | Design

CELLS: tuple[Cell, ...] = (*NETWORKS, *DESIGNS)
"""All that are measured."""


def data(network: Cell, rows: int | None = None) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Inputs (n, i) and targets: class indices (n,) or numbers (n,), one in ten at random.

    The classes lie around centres; the noise keeps the loss away from zero, where numbers too
    small for float32 would change how long a step takes.
    """
    if isinstance(network, Design):
        return data_of(network, rows)
    rng = np.random.default_rng(7)
    n, inputs, outputs = rows or network.rows, network.widths[0], network.widths[-1]
    x = rng.standard_normal((n, inputs), dtype=np.float32)
    if network.regression:
        y = np.sin(x[:, 0]) + x[:, 1] * x[:, 2] + 0.3 * rng.standard_normal(n)
        return x, y.astype(np.float32)
    classes = rng.integers(0, outputs, n)
    centres = rng.standard_normal((outputs, inputs), dtype=np.float32)
    x += centres[classes]
    noisy = rng.random(n) < 0.1
    classes[noisy] = rng.integers(0, outputs, int(noisy.sum()))
    return x, classes.astype(np.int32)


def start(network: Cell) -> dict[str, Array]:
    """The initial parameters by name, the same for all systems: of dense layers the weights (i, o)
    and biases (o,) in turn, `layer0.w`, `layer0.b`.
    """
    if isinstance(network, Design):
        return start_of(network)
    rng = np.random.default_rng(11)
    made: dict[str, Array] = {}
    for k, (i, o) in enumerate(zip(network.widths, network.widths[1:], strict=False)):
        made[f"layer{k}.w"] = (rng.standard_normal((i, o)) * np.sqrt(2 / i)).astype(np.float32)
        made[f"layer{k}.b"] = np.zeros(o, np.float32)
    return made
