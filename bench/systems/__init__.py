"""The systems that are compared: a module each, which only a worker of that system imports."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Protocol, cast

from bench.cells import Array, Network

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


class System(Protocol):
    """One network in one system, on data in memory."""

    def first(self) -> None:
        """Build the model and train for one epoch: all that has to be done before is in it."""

    def train(self, epochs: int, ready: Callable[[], object]) -> tuple[float, float]:
        """Train from the start values: the seconds of so many epochs, and the last mean loss.

        `ready` is called when all that is done once is done, right before the time begins.
        """

    def predict(self, x: Array) -> Array:
        """The outputs for some rows: a NumPy array in, a NumPy array out."""


def make(name: str, network: Network, optimizer: str, threads: int) -> System:
    """A system, imported now."""
    module, kind = SYSTEMS[name]
    system = getattr(import_module(f"bench.systems.{module}"), kind)
    return cast(System, system(network, optimizer, threads))
