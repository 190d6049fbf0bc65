"""Tells where a table differs grossly from the training data: far numbers, other shares.

A random part of the training data gives no line: each rule has a bound on its false alarms.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.blocks import Block, Member
from chainrule.data.column import Floats
from chainrule.data.columns.encoder import CategoryEncoder, Encoder
from chainrule.data.columns.stats import KNOTS, Stats
from chainrule.display.format import clip, counted, listed, number

FALSE_ALARMS = 1e-5
"""The probability that any line is told of rows like those of training."""
GROSS = 0.5
"""The share of rows that have to be elsewhere for another distribution to be told."""
LINES = 10
"""Columns that have a line each; the others are named together."""
TAIL_ROWS = 4
"""The outermost rows of training by which the tail of a column is continued."""
FAR_SHARE, FAR_ROWS = 0.005, 10
"""Lone rows are not told: less than a share, or than so many rows would be among training's."""
RANGES = 0.5
"""Numbers are never far out that are nearer to the training range than so many of its widths."""


class Watch:
    """Holds tables against the training data of a schema."""

    def __init__(self, blocks: Iterable[Block], encoders: Mapping[str, Encoder]) -> None:
        """`blocks` of the schema; `encoders` by column."""
        self._blocks = list(blocks)
        width = sum(len(x.members) or len(x.columns) for x in self._blocks)
        self._chance = FALSE_ALARMS / max(width, 1)
        self._encoders = encoders
        stats = [member.stats for block in self._blocks for member in block.members]
        self._low = np.array([x.quantiles[0] for x in stats])
        self._high = np.array([x.quantiles[-1] for x in stats])
        self._trained = max((x.count + x.gaps for x in stats), default=0)
        self._counts = {
            name: np.array(encoder.counts, float)
            for name, encoder in encoders.items()
            if isinstance(encoder, CategoryEncoder)
        }
        self._coded = max((int(x.sum()) for x in self._counts.values()), default=0)

    def lines(self, arrays: Mapping[str, NDArray[Any]]) -> list[str]:
        """A line for each column that differs grossly from the training data; arrays by block."""
        lines: dict[str, str] = {}
        for block in self._blocks:
            array = arrays[block.name]
            if len(array) and block.members:
                self._numbers(block, array, lines)
            elif len(array) and block.kind.startswith("categor"):
                self._codes(block, array, lines)
        told = [(name, line) for name, line in lines.items() if line]
        notes = [f"column {name!r}: {line}" for name, line in told[:LINES]]
        if len(told) > LINES:
            rest = listed([repr(name) for name, _ in told[LINES:]], 6)
            notes.append(f"{counted(len(told) - LINES, 'more column')} unlike training: {rest}")
        return notes

    def _numbers(self, block: Block, array: Floats, lines: dict[str, str]) -> None:
        places: Iterable[int] = range(len(block.members))
        if self._trained and _noise(len(array), self._trained, self._chance) > 1:
            # of so few rows only numbers outside of the training range can be told
            places = np.flatnonzero(((array < self._low) | (array > self._high)).any(axis=0))
        for k in places:
            member = block.members[k]
            if member.name in (member.column, f"{member.column}.days"):
                lines[member.column] = _of_numbers(member, array[:, k], self._chance)

    def _codes(self, block: Block, array: NDArray[Any], lines: dict[str, str]) -> None:
        if not self._coded or _noise(len(array), self._coded, self._chance) > 1:
            return
        for k, name in enumerate(block.columns):
            encoder, codes = self._encoders[name], array if array.ndim == 1 else array[:, k]
            assert isinstance(encoder, CategoryEncoder)
            lines[name] = _of_codes(encoder, self._counts[name], codes, self._chance)


# ---------------------------------------------------------------- numbers


def _of_numbers(member: Member, values: Floats, chance: float) -> str:
    """The line on numbers (n,), NaN for a gap; empty where they are as in training."""
    stats, present = member.stats, values[~np.isnan(values)]
    gaps = len(values) - len(present)
    if stats.gaps and (more := _more(gaps, len(values), stats.gaps, stats.count, chance)):
        return f"{more} are gaps"
    if not len(present) or not stats.count or member.kind == "boolean":
        return ""
    low, high = stats.quantiles[0], stats.quantiles[-1]
    below, above = present < low, present > high
    beyond = below | above
    unlikely = any(
        _chance_beyond(int(side.sum()), len(present), stats.count) < chance / 2
        for side in (below, above)
    )
    several = beyond.mean() >= max(FAR_SHARE, FAR_ROWS / stats.count)
    tail = chance / 2 / len(present)
    if unlikely or (several and _far(present[beyond], stats, tail)):
        name = _date if member.kind == "date" else number
        far = present[beyond]
        ends = sorted({float(far.min()), float(far.max())})
        return (f"{_share(int(beyond.sum()), len(values))} outside of the training range "
                f"{name(low)} to {name(high)}: {' to '.join(map(name, ends))}")  # fmt: skip
    return _elsewhere(member, present, chance)


def _chance_beyond(k: int, rows: int, trained: int) -> float:
    """The probability that the k greatest of all rows are new ones, where all are alike."""
    if not k:
        return 1.0
    lost = math.lgamma(rows - k + 1) + math.lgamma(rows + trained + 1)
    return math.exp(math.lgamma(rows + 1) + math.lgamma(rows + trained - k + 1) - lost)


def _far(beyond: Floats, stats: Stats, tail: float) -> bool:
    """Whether any number is where a row of training comes with less than the probability tail.

    That is estimated by the outermost quantiles.
    """
    upper, lower = stats.quantiles, tuple(-x for x in reversed(stats.quantiles))
    return bool((beyond > _reach(upper, stats.count, tail)).any()
                or (-beyond > _reach(lower, stats.count, tail)).any())  # fmt: skip


def _reach(quantiles: tuple[float, ...], rows: int, tail: float) -> float:
    """The number above which a tail lies, the quantiles' tail continued to beyond their maximum.

    It falls exponentially, or by a power where the quantiles do so.
    """
    part = math.ceil(TAIL_ROWS * (KNOTS - 1) / rows)  # quantiles within the tail
    low, middle, high = quantiles[0], quantiles[KNOTS // 2], quantiles[-1]
    near = quantiles[-1 - min(part, KNOTS // 2)]
    further = max(-math.log(tail * rows), 1.0)
    room = (high - low) * max(RANGES, further / math.log(max(rows, 2)))
    if near <= middle:  # mostly one value, or few rows: little is known of the others
        return high + 1000 * max(room, abs(high))
    seen = math.log(max(rows * part / (KNOTS - 1), 2))  # from that quantile to the maximum
    if (high - near) / (near - middle) <= seen / math.log(KNOTS // 2 / part):
        return high + max(2 * (high - near) * further / seen, room)
    steeper = math.log((high - middle) / (near - middle)) * further / seen
    return high + max(2 * (high - middle) * math.expm1(min(steeper, 600)), room)


def _elsewhere(member: Member, present: Floats, chance: float) -> str:
    """The line on numbers within the range that are distributed otherwise.

    Source of the bound: P. Massart, The tight constant in the Dvoretzky-Kiefer-Wolfowitz
    inequality, 1990.
    """
    noise = _noise(len(present), member.stats.count, chance)
    if noise > 1:  # no distance is greater
        return ""
    knots = np.array(member.stats.quantiles)
    points = np.unique(knots)
    low = (np.searchsorted(knots, points, "right") - 1) / (KNOTS - 1)  # between these shares
    high = np.minimum(low + 1 / (KNOTS - 1), 1)
    share = np.searchsorted(np.sort(present), points, "right") / len(present)
    distances = np.maximum(low - share, share - high)
    most = int(distances.argmax())
    if distances[most] < noise:
        return ""
    name = _date if member.kind == "date" else number
    here, there = name(float(np.median(present))), name(member.stats.median)
    told = f"half of the values up to {here}, there up to {there}"
    if here == there:
        told = (f"{_percent(share[most])} of the values up to {name(points[most])}, there "
                f"{_percent((low[most] + high[most]) / 2)}")  # fmt: skip
    return f"distributed otherwise than in training: {told}"


def _noise(rows: int, trained: int, chance: float) -> float:
    """The distance of two distributions that like rows exceed with less than a probability."""
    random = math.sqrt(math.log(2 / chance) / 2 * (1 / rows + 1 / trained))
    return max(GROSS, random)


# ---------------------------------------------------------------- categories


def _of_codes(encoder: CategoryEncoder, before: Floats, codes: NDArray[Any], chance: float) -> str:
    """The line on category codes (n,); empty where they are as in training, `before`."""
    if not before.any():  # a model of an earlier version
        return ""
    noise = _noise(len(codes), int(before.sum()), chance)
    if noise > 1:  # no distance is greater
        return ""
    now = np.bincount(codes, minlength=len(before)).astype(float)
    share, usual = now / len(codes), before / before.sum()
    sampled = np.sqrt(usual * (1 - usual) * (1 / len(codes) + 1 / before.sum()) / (2 * np.pi))
    distance = np.abs(share - usual).sum() / 2 - sampled.sum()
    if distance < noise:
        return ""
    most = int((share - usual).argmax())
    if not usual[most]:  # an unseen value or a gap, which is told elsewhere
        return ""
    return (f"{clip(encoder.name_of(most))} in {_share(int(now[most]), len(codes))}, in training "
            f"{_percent(usual[most])}")  # fmt: skip


# ---------------------------------------------------------------- shares


def _more(k: int, rows: int, before: int, others: int, chance: float) -> str:
    """'80 of 100 rows (80 %; in training 3 %)' where that is grossly more; else empty."""
    usual = before / (before + others)
    if k / rows - usual < _noise(rows, before + others, chance):
        return ""
    percent = f"{_percent(k / rows)}; in training {_percent(usual)}"
    return f"{k:,} of {counted(rows, 'row')} ({percent})"


def _share(k: int, rows: int) -> str:
    return f"{k:,} of {counted(rows, 'row')} ({_percent(k / rows)})"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 or not share else "under 1 %"


def _date(days: float) -> str:
    return str(np.datetime64(0, "D") + int(np.floor(days)))
