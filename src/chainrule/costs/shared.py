"""The forecast of a step that several processes share: computing, and exchanging sums."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.costs.cost import KernelCost, PlanCost
from chainrule.display.tables import Section, bytes_text, digits, seconds_text


@dataclass(frozen=True)
class SharedCost:
    """The predicted time of a step on several processes, each on a machine like this one.

    Attributes:
        ranks, blocks: the processes, and the blocks of a minibatch.
        rows: of a block.
        block: the cost of a step on the rows of one block.
        cuts: the phases before each exchange.
        sums: bytes of all sums that a step exchanges.
        bandwidth, latency: bytes a second, and seconds of each message, between two processes.
    """

    ranks: int
    blocks: int
    rows: int
    block: PlanCost
    cuts: tuple[int, ...]
    sums: int
    bandwidth: float
    latency: float

    @property
    def rounds(self) -> int:
        """The levels of the tree at which a process exchanges sums with another."""
        return (self.ranks - 1).bit_length()

    @property
    def computing(self) -> float:
        """Seconds of the process with the most blocks, the update included."""
        return self._computing(-(-self.blocks // self.ranks))

    @property
    def exchanging(self) -> float:
        """Seconds in which a process sends sums, and waits for those of others."""
        return self.rounds * (self.sums / self.bandwidth + len(self.cuts) * self.latency)

    @property
    def seconds(self) -> float:
        """The time of a step: nothing is sent while a process computes."""
        return self.computing + self.exchanging

    @property
    def speedup(self) -> float:
        """The time of one process with the same blocks, divided by that of all."""
        return self._computing(self.blocks) / self.seconds

    def _computing(self, blocks: int) -> float:
        update = sum(x.seconds for x in self.block.kernels if self._last(x))
        each = self.block.seconds - update
        return blocks * each + update

    def _last(self, kernel: KernelCost) -> bool:
        return kernel.phase >= self.cuts[-1]

    def section(self) -> Section:
        """The forecast as a table."""
        count = f"{self.ranks} process{'es' * (self.ranks > 1)}"
        return Section(f"On {count} that share a minibatch", (
            ("predicted", f"{seconds_text(self.seconds)} a step, {self.speedup:.2f} times as fast "
                          "as one process with the same blocks"),
            ("computing", f"{seconds_text(self.computing)}: {-(-self.blocks // self.ranks)} of "
                          f"{self.blocks} blocks of up to {self.rows:,} rows, and the update"),
            ("exchanging", f"{seconds_text(self.exchanging)}, "
                           f"{100 * self.exchanging / self.seconds:.0f} % of the step: "
                           f"{bytes_text(self.sums)} of sums, {self.rounds} times"),
            ("assumed", f"{digits(self.bandwidth / 1e9)} GB/s and "
                        f"{seconds_text(self.latency)} a message between any two at once; "
                        "processors like this one, each with memory of its own; nothing is sent "
                        "while a process computes; validation and reading are not counted"),
        ))  # fmt: skip
