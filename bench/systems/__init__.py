"""The compared systems, one module each, imported only by a worker of that system."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Protocol, cast

from bench.cells import Array, Cell

OURS = "Chainrule"
SYSTEMS = {
    OURS: ("chainrule", "Chainrule"),
    "PyTorch": ("torch", "Eager"),
    "PyTorch compiled": ("torch", "Compiled"),
    "JAX step": ("jax", "Step"),
    "JAX scan": ("jax", "Scan"),
    "scikit-learn": ("sklearn", "Sklearn"),
}
"""Module and class by name."""
BOUND = f"{OURS} bound"
OWN = {BOUND: ("chainrule", "Bound")}
"""Chainrule in another way, shown beside the systems and no peer."""


class System(Protocol):
    """One network in one system, on data in memory.

    Raises ValueError where it has no such network.
    """

    def first(self) -> None:
        """Builds the model and trains one epoch, including all preparation."""

    def train(self, epochs: int, ready: Callable[[], object]) -> tuple[float, float]:
        """Trains from the initial values; returns the seconds of the epochs and the last mean loss.

        `ready` is called when all that is done once is done, right before the time begins.
        """

    def check(self) -> float:
        """The loss of the third of three steps from the initial values, on the first rows.

        It tells whether systems do the same work. NaN where a system draws its own values.
        """

    def predict(self, x: Array) -> Array:
        """Predicts some rows; takes and returns a NumPy array."""


def make(name: str, network: Cell, optimizer: str, threads: int) -> System:
    """Imports a system."""
    module, kind = (SYSTEMS | OWN)[name]
    system = getattr(import_module(f"bench.systems.{module}"), kind)
    return cast(System, system(network, optimizer, threads))
