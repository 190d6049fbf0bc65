"""The data of a run of `fit`: divided, and as the training loop takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from chainrule.data.windows import BlockShuffle, order_of_windows
from chainrule.engine.program import Program
from chainrule.engine.totals import with_means
from chainrule.graph.node import Array
from chainrule.model.prepare import Prepared, prepare
from chainrule.model.state import Data, ModelState, is_stream
from chainrule.system.ranks.world import world
from chainrule.train.fitsettings import FitSettings
from chainrule.train.minibatch import Order

if TYPE_CHECKING:
    from chainrule.train.streaming import StreamFeed


def divided(state: ModelState, data: Data | Prepared, settings: FitSettings) -> Prepared:
    """The data of a run, checked and divided."""
    if is_stream(data):
        from chainrule.model.streaming import prepare_stream  # noqa: PLC0415  (few programs need it)

        return prepare_stream(state, data, settings)
    blocks = settings.shuffle if isinstance(settings.shuffle, BlockShuffle) else None
    return prepare(state, data, settings.validation, settings.groups, settings.time, blocks)


def fixed_data(state: ModelState, prepared: Prepared, step: int) -> Mapping[str, Array]:
    """The arrays of a run that are in memory: of a stream those alone that have no rows."""
    if prepared.stream is None:
        in_blocks = prepared.windows is not None
        return with_means(state.graph, prepared.arrays, prepared.rows, step, in_blocks=in_blocks)
    from chainrule.model.streaming import fixed_arrays  # noqa: PLC0415  (few programs need it)

    return fixed_arrays(state, prepared.stream, step)


def feed(
    prepared: Prepared, program: Program, fixed: Mapping[str, Array], settings: FitSettings,
    last: int,
) -> StreamFeed | None:  # fmt: skip
    """The minibatches of a stream up to an epoch; None where all rows are in memory.

    Raises:
        FeedError: an index among the data is out of range.
    """
    if prepared.stream is None:
        return None
    from chainrule.model.streaming import check_indices  # noqa: PLC0415  (few programs need it)
    from chainrule.train.streaming import StreamFeed  # noqa: PLC0415  (few programs need it)

    check_indices(program, prepared.stream)
    size, ranks = settings.batch_size, world()
    own = None
    if ranks.size > 1:
        from chainrule.engine.blocks import Blocks  # noqa: PLC0415  (few programs need it)

        own = Blocks(settings.blocks or 1, ranks).own
    return StreamFeed(prepared.stream, size, last, fixed, program.encode, own)


def order(prepared: Prepared) -> Order | None:
    """The order of rows in memory where it is that of a stream."""
    windows = prepared.windows
    return None if windows is None else order_of_windows(prepared.rows, windows)
