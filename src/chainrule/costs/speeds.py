"""The speeds of a processor, from which the cost of a plan is predicted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Speeds:
    """Rates of a processor, of one core unless noted.

    Attributes:
        processor: its name.
        vector: bytes of a vector register.
        tiles: tiles of accumulators of a matrix product, as (rows, vectors).
        peak: floating-point operations of fused multiply-adds of float32.
        product: share of the peak that a matrix product reaches whose operands lie in the caches.
        instruction: seconds of one vector instruction among many that do not wait for each other.
        levels: caches and memory, nearest first: (bytes that it holds, bytes a second).
        shared: bytes a second from memory for all cores together.
        call: seconds to begin a kernel.
        barrier: seconds until all threads have met.
        exchange: bytes a second that a core reads of data that another core has just written.
        measured: the number of measurements, of which these are the best; 0 for defaults.
    """

    processor: str
    vector: int
    tiles: tuple[tuple[int, int], ...]
    peak: float
    product: float
    instruction: float
    levels: tuple[tuple[float, float], ...]
    shared: float
    call: float
    barrier: float
    exchange: float
    measured: int = 0


def merge_best(one: Speeds, two: Speeds) -> Speeds:
    """The best of two measurements of a machine: other load slows it down, nothing speeds it up.

    The exchange rate is a difference of two times, and that of a virtual machine may change while
    it runs, as it moves to other cores: there the geometric mean is kept.
    """
    peak, measured = max(one.peak, two.peak), one.measured + two.measured
    return Speeds(
        processor=two.processor,
        vector=two.vector,
        tiles=two.tiles,
        peak=peak,
        product=max(one.product * one.peak, two.product * two.peak) / peak,
        instruction=min(one.instruction, two.instruction),
        levels=tuple(
            (size, max(a, b)) for (_, a), (size, b) in zip(one.levels, two.levels, strict=True)
        ),
        shared=max(one.shared, two.shared),
        call=min(one.call, two.call),
        barrier=min(one.barrier, two.barrier),
        exchange=(one.exchange**one.measured * two.exchange**two.measured) ** (1 / measured),
        measured=measured,
    )


def default_speeds(vector: int, tiles: tuple[tuple[int, int], ...] = ((6, 2),)) -> Speeds:
    """Rough speeds of current processors with vectors of this many bytes."""
    rate = 3.0e9
    return Speeds(
        processor="a usual processor",
        vector=vector,
        tiles=tiles,
        peak=rate * vector / 4 * 4,
        product=0.85,
        instruction=0.5 / rate,
        levels=((32e3, 100e9), (1e6, 50e9), (16e6, 25e9), (float("inf"), 12e9)),
        shared=20e9,
        call=20e-9,
        barrier=300e-9,
        exchange=6e9,
    )
