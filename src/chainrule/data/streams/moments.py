"""Exact counts, means, deviations and extremes of numbers that are encoded in blocks."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from chainrule.data.blocks import Encoded
from chainrule.data.columns.columns import NumberColumn
from chainrule.data.columns.dates import DateColumn
from chainrule.data.columns.encoder import Encoder
from chainrule.data.columns.stats import Moment, Stats, scale_of
from chainrule.data.columns.target import NumberTarget
from chainrule.data.schema import Schema


class Moments:
    """The moments of the columns of numbers of a schema, and of its target.

    They have the same bits as those of the table in memory, where its extremes are known: of all
    but the parts of dates of which a sample was learned.
    """

    def __init__(self, schema: Schema) -> None:
        self._members = [
            (block.name, k, member.name)
            for block in schema.blocks
            for k, member in enumerate(block.members)
        ]
        members = (member for block in schema.blocks for member in block.members)
        self._found = {member.name: _empty(member.stats) for member in members}
        target = schema.target
        self._target = _empty(target.stats) if isinstance(target, NumberTarget) else None

    def add(self, encoded: Encoded) -> None:
        """Take the next rows."""
        for block, k, name in self._members:
            self._found[name].add(encoded.arrays[block][:, k])
        if self._target is not None and encoded.target is not None:
            self._target.add(encoded.target)

    def exact(self, schema: Schema) -> Schema:
        """The schema with exact moments of all rows."""
        for moment in (*self._found.values(), *([self._target] if self._target else [])):
            moment.finish()
        target: Any = schema.target
        if self._target is not None:
            self._target.gaps = target.stats.gaps  # rows without a target are not encoded
            target = msgspec.structs.replace(target, stats=_exact(self._target, target.stats))
        columns = tuple(map(self._column, schema.columns))
        return msgspec.structs.replace(schema, columns=columns, target=target)

    def _column(self, encoder: Encoder) -> Encoder:
        if isinstance(encoder, DateColumn):
            parts = tuple((name, _exact(self._found[name], x)) for name, x in encoder.parts)
            return msgspec.structs.replace(encoder, parts=parts, gaps=parts[0][1].gaps)
        stats = getattr(encoder, "stats", None)
        if encoder.name not in self._found or not isinstance(stats, Stats):
            return encoder
        stats = _exact(self._found[encoder.name], stats)
        more = {"gaps": stats.gaps} if isinstance(encoder, NumberColumn) else {}
        return msgspec.structs.replace(encoder, stats=stats, **more)


def _empty(stats: Stats) -> Moment:
    """The moment of numbers with these extremes, of which none has come."""
    return Moment(scale_of(stats.quantiles[0], stats.quantiles[-1]))


def _exact(moment: Moment, stats: Stats) -> Stats:
    """Statistics whose quantiles are kept, within the extremes."""
    return moment.stats(np.array(stats.quantiles)) if moment.count else stats
