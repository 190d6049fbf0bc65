"""How fast a processor is: what the cost of a plan is reckoned from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Speeds:
    """What a processor does in a second, for one core unless told.

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
        measured: whether these were measured here, or are usual values.
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
    measured: bool = False


def usual(vector: int, tiles: tuple[tuple[int, int], ...] = ((6, 2),)) -> Speeds:
    """What processors of our days with such vectors do, roughly."""
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
    )
