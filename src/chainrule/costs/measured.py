"""A kernel with its measured time."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.costs.cost import KernelCost


@dataclass(frozen=True)
class MeasuredKernel:
    """A kernel with its measured time.

    Attributes:
        cost: the prediction.
        threads: the seconds of a step, of each thread.
    """

    cost: KernelCost
    threads: tuple[float, ...]

    @property
    def seconds(self) -> float:
        """The seconds of a step: the mean over all threads, idle ones included."""
        return sum(self.threads) / len(self.threads)

    @property
    def flops_rate(self) -> float:
        """Floating-point operations a second, of all threads."""
        return self.cost.work.flops / max(self.seconds, 1e-12)

    @property
    def bytes_rate(self) -> float:
        """Bytes a second, of all threads."""
        return self.cost.work.bytes / max(self.seconds, 1e-12)
