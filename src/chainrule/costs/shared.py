"""The forecast of a step that several processes share: computing, and exchanging sums."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.costs.cost import KernelCost, PlanCost
from chainrule.display.tables import Section, bytes_text, digits, seconds_text
from chainrule.plan.schedule import BUCKET


@dataclass(frozen=True)
class SharedCost:
    """The predicted time of a step on several processes, each on a machine of its own like this.

    Attributes:
        ranks, blocks: the processes, and the blocks of a minibatch.
        rows: of a block.
        block: the cost of a step on the rows of one block.
        cuts: the phases before each exchange.
        made: bytes of the sums that each phase makes, which are exchanged.
        bandwidth, latency: bytes a second, and seconds of each message, between two processes.
    """

    ranks: int
    blocks: int
    rows: int
    block: PlanCost
    cuts: tuple[int, ...]
    made: tuple[int, ...]
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
    def sums(self) -> int:
        """The bytes of all sums that a step exchanges."""
        return sum(self.made)

    @property
    def exchanging(self) -> float:
        """Seconds in which sums are sent and received, also while a process computes."""
        return sum(seconds for _, seconds in self._exchanges)

    @property
    def waiting(self) -> float:
        """Seconds in which a process waits for sums: the rest is hidden behind its last block."""
        computed = clock = exchanged = 0.0
        exchanges = dict(self._exchanges)
        for phase in range(self.cuts[-1]):
            seconds = sum(x.seconds for x in self.block.kernels if x.phase == phase)
            clock, computed = clock + seconds, computed + seconds
            if phase in exchanges:
                exchanged = max(exchanged, clock) + exchanges[phase]
            if phase + 1 in self.cuts:
                clock = max(clock, exchanged)
        return clock - computed

    @property
    def _exchanges(self) -> list[tuple[int, float]]:
        """The phases after which sums are sent, bucket by bucket, and the seconds that it takes."""
        found: list[tuple[int, float]] = []
        size = 0
        for phase, made in enumerate(self.made[: self.cuts[-1]]):
            size += made
            if size >= BUCKET or phase + 1 in self.cuts:
                found.append((phase, self.rounds * (size / self.bandwidth + self.latency)))
                size = 0
        return found

    @property
    def seconds(self) -> float:
        """The time of a step."""
        return self.computing + self.waiting

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
            ("exchanging", f"{seconds_text(self.exchanging)}: {bytes_text(self.sums)} of sums, "
                           f"{self.rounds} time{'s' * (self.rounds != 1)}"),
            ("waiting", f"{seconds_text(self.waiting)}, "
                        f"{100 * self.waiting / self.seconds:.0f} % of the step: what is not "
                        "exchanged while the last block is computed"),
            ("assumed", f"{digits(self.bandwidth / 1e9)} GB/s and "
                        f"{seconds_text(self.latency)} a message between any two at once; "
                        "processors like this one, each with memory of its own, and equally fast; "
                        "sums sent as between machines, while ranks of one machine add large ones "
                        "in memory in common; adding, validation and reading are not counted"),
        ))  # fmt: skip
