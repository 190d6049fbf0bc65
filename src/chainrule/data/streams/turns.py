"""Ranks of a machine encode the blocks of a table in turn; the first has them all, in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from chainrule.data.blocks import Encoded, subset
from chainrule.data.readers.spool import Spool
from chainrule.data.readers.spooled import Spooled, opened
from chainrule.data.schema import Schema
from chainrule.errors import ChainruleError
from chainrule.system.ranks.communicator import Communicator, collect, gather


def encoded_block(spool: Spooled, schema: Schema, begin: int, rows: int) -> Encoded | None:
    """The rows of a block that have a target, encoded; None where none has."""
    encoded = schema.encode(spool.table(begin, min(begin + rows, spool.rows)), "optional",
                            watch=False)  # fmt: skip
    if encoded.target is None:
        return encoded
    known = encoded.target >= 0 if schema.classes is not None else ~np.isnan(encoded.target)
    if not known.any():
        return None
    return encoded if known.all() else subset(encoded, np.flatnonzero(known))


class Turns:
    """Ranks of a machine, each of which encodes every so-many-th block of a table.

    Args:
        ranks: all of the run.
        host: those of the machine.
    """

    def __init__(self, ranks: Communicator, host: Sequence[int]) -> None:
        self._ranks, self._host = ranks, host

    def blocks(self, spool: Spool, schema: Schema, rows: int) -> Iterator[Encoded]:
        """All blocks, in order, on the first rank; the others are in `take_part`.

        Raises:
            DataError: a block cannot be read, on any rank.
        """
        if len(self._host) > 1:
            gather(self._ranks, (spool.shared(), schema, rows), self._host)
        for begin in range(0, spool.rows, rows * len(self._host)):
            if len(self._host) > 1:
                gather(self._ranks, None, self._host)  # no error: all go on
            for found in self._round(spool, schema, begin, rows):
                if isinstance(found, ChainruleError):
                    raise found
                if found is not None:
                    yield found

    def take_part(self) -> None:
        """Encode the blocks of this rank. Raises the error of the first rank."""
        shared, schema, rows = self._told()
        with opened(shared) as spool:
            for begin in range(0, spool.rows, rows * len(self._host)):
                self._told()
                self._round(spool, schema, begin, rows)

    def _told(self) -> Any:
        """The message of the first rank; its error is raised."""
        found = gather(self._ranks, None, self._host)[0]
        if isinstance(found, ChainruleError):
            raise found
        return found

    def _round(self, spool: Spooled, schema: Schema, begin: int, rows: int) -> list[Any]:
        """The next block of each rank, or its error, on the first of them."""
        own: Encoded | ChainruleError | None = None
        begin += rows * self._host.index(self._ranks.rank)
        try:
            if begin < spool.rows:
                own = encoded_block(spool, schema, begin, rows)
        except ChainruleError as error:
            own = error
        return collect(self._ranks, own, self._host)
