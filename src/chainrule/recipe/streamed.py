"""Training by a recipe on data in parts: a run on all rows, looked at through a sample of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from chainrule.data.check import Finding, check_table
from chainrule.data.columns.columns import DroppedColumn
from chainrule.data.columns.target import ClassTarget
from chainrule.data.columns.texts import with_gaps
from chainrule.data.digest import TableDigest
from chainrule.data.readers.inparts import InParts
from chainrule.data.readers.spool import Spool
from chainrule.data.repeats import Keys
from chainrule.data.shuffle import Rows, drawn, shuffled
from chainrule.data.streams.condense import distinct_cells
from chainrule.data.streams.stream import COLUMNS, Stream
from chainrule.data.streams.tables import rows_at, stream_of
from chainrule.data.streams.turns import Turns
from chainrule.data.streams.writer import StoreWriter, opened
from chainrule.data.table import Table, require_column
from chainrule.data.windows import HASHED, Held, held_rows, split_sentence
from chainrule.display.format import counted
from chainrule.display.screen import Screen
from chainrule.display.tables import bytes_text
from chainrule.errors import ChainruleError, RankLost, SettingError
from chainrule.model.prepare import Prepared
from chainrule.model.ranked import usual_blocks
from chainrule.recipe.calibration import calibrate
from chainrule.recipe.config import Config, resolve
from chainrule.recipe.fit import Recorded, fit_stream
from chainrule.recipe.length import default_length
from chainrule.recipe.made import Made
from chainrule.recipe.target import default_target
from chainrule.recipe.training import Training, Verbose, kinds_of
from chainrule.report.page import Report
from chainrule.report.results import Evaluation
from chainrule.report.text import print_source
from chainrule.system.ranks.communicator import gather, of_host
from chainrule.system.ranks.world import world
from chainrule.train.callbacks import Callback
from chainrule.train.checkpoint import within
from chainrule.train.progress import choose

STORE = "store"
"""The folder of the rows that the ranks of a host open, within that of the database."""
HELD, TRAINING = 100_000, 50_000
"""Rows held out, and rows to train, that are looked at after the run."""
CELLS = 10_000_000
"""Cells of these rows together."""


@dataclass(eq=False, kw_only=True)
class StreamTraining(Training):
    """The stages of `Training` on data in parts; `table` is a sample of their rows.

    There is one run, on the rows that are not held out: no cross-validation, no second run where
    the first ends early, no training on all rows.

    Attributes:
        stream: all rows that have a target.
        held: the numbers of its rows that validate, ascending.
        numbers: of the rows of `table` in the stream.
        read: the number of rows of the source.
        values: the number of distinct cells of the target.
    """

    stream: Stream
    held: Rows
    numbers: Rows
    read: int
    values: int

    @classmethod
    def of_spool(
        cls, spool: Spool, chosen: Config, memory: int, folder: Path | None = None,
        turns: Turns | None = None,
    ) -> StreamTraining:  # fmt: skip
        """Learn the columns of a table, encode its rows, and resolve the settings.

        folder: of the encoded rows, which other processes open; None: for this one alone.
        turns: the ranks that encode; None: this one alone.

        Raises:
            SettingError: a setting is not valid, or needs all rows at once.
            DataError: the table cannot be used.
        """
        first = spool.table(0, 1)
        if chosen.target is None:
            chosen = replace(chosen, target=default_target(first))
        _refuse(chosen, first)
        stream, where = stream_of(
            spool, chosen.target, kinds=kinds_of(chosen), task=chosen.task, gaps=chosen.gaps,
            memory=memory, writer=StoreWriter(folder, source=spool.source), turns=turns,
        )  # fmt: skip
        schema = stream.schema
        if isinstance(schema.target, ClassTarget) and chosen.class_weights == "balanced":
            schema = msgspec.structs.replace(schema, target=schema.target.balanced())
        config = replace(default_length(resolve(chosen, schema)), refit="no")
        config = replace(config, blocks=config.blocks or usual_blocks(world()))
        split = held_rows(stream.rows, config.validation, config.seed, stream.row_bytes)
        held = _numbers(split, stream.rows)
        numbers = _looked_at(held, stream.rows, len(spool.names), config.seed)
        table = with_gaps(rows_at(spool, where, numbers), chosen.gaps)
        table = table.replaced(table, spool.notes, table.gaps)
        values = distinct_cells(spool, str(chosen.target), where)
        return cls(table, schema, config, stream=stream, held=held, numbers=numbers,
                   read=spool.rows, values=values)  # fmt: skip

    @property
    def shared(self) -> dict[str, Any]:
        """All that another process needs which opens the same encoded rows."""
        names = "table", "schema", "config", "held", "numbers", "read", "values"
        return {name: getattr(self, name) for name in names}

    @property
    def left_out(self) -> str:
        """The stages that a run on data in parts leaves out, in words."""
        return (f"{counted(self.stream.rows, 'row')} encoded once, {bytes_text(self.stream.bytes)} "
                "on disk until the end; one run: no cross-validation, no second fit")  # fmt: skip

    @property
    def looked_at(self) -> str:
        """Of how many rows scores, importance and charts are, in words."""
        held, all_held = len(self.data.held_rows), len(self.held)
        of_held = "all" if held == all_held else f"{held:,} of the"
        return (f"findings, scores, importance and charts are of {of_held} {all_held:,} rows held "
                f"out and {len(self.data.rows):,} of the others, at random")  # fmt: skip

    @cached_property
    def findings(self) -> list[Finding]:
        """The findings of the data check on the sample, the worst first."""
        known = {x.name: x.kind for x in self.schema.columns if not isinstance(x, DroppedColumn)}
        kinds = dict(kinds_of(self.config)) | known
        return list(check_table(self.table, self.config.target, kinds=kinds, task=self.schema.task))

    @cached_property
    def digest(self) -> TableDigest:
        """The digest of all rows that have a target, as they are encoded."""
        return TableDigest(self.stream.rows, self.stream.facts[COLUMNS], encoded=True)

    @cached_property
    def data(self) -> Prepared:
        """The sample as arrays, split as the stream is."""
        arrays, _ = self.model.arrays(self.encoded)
        held = np.isin(self.numbers, self.held, assume_unique=True)
        trains = self.stream.rows - len(self.held)
        sentence = split_sentence(trains, len(self.held), self.config.validation)
        return Prepared(
            arrays, np.flatnonzero(~held), arrays if held.any() else None, np.flatnonzero(held),
            sentence,
        )  # fmt: skip

    def fit(
        self, verbose: Verbose = True, callbacks: Sequence[Callback] = (), record: Recorded = None
    ) -> None:
        """Train on all rows that are not held out, and calibrate by those of the sample that are.

        Args:
            verbose, callbacks, record: as of `Training.fit`.
        """
        model, data, resolved = self.model, self.data, self.config
        model.notes |= {"config": asdict(resolved), "data": list(self.schema.notes)}
        model.notes |= Made.here(self.digest, complete=False).noted()
        with choose(verbose) as progress:
            kept = within(self.checkpoint, "training")
            fit_stream(
                model, self.stream, resolved, len(data.held_rows), progress, callbacks, record,
                kept, self.device,
            )  # fmt: skip
        self._fits = 1
        if len(data.held_rows):
            calibrate(model, data, resolved)
        model.trained_rows = None
        model.notes |= Made.here(self.digest, complete=True).noted()

    @property
    def in_parts(self) -> bool:
        """Whether the data were read in parts."""
        return True

    @property
    def _refits(self) -> bool:
        return False

    @cached_property
    def _trained(self) -> Keys:
        return np.empty(0, np.uint32)  # all of them would take memory for each row

    def number(self, row: int) -> int:
        """The number, from 1, of a row of the sample in the source."""
        return self.table.number(row)

    def report(self, tests: Sequence[Evaluation] = (), **facts: Any) -> Report:
        """The report of the training; gaps and distinct values of columns are those of all rows."""
        told = [x[0].upper() + x[1:] + "." for x in (self.left_out, self.looked_at)]
        notes = [*facts.pop("notes", self.schema.notes), *told]
        page = super().report(tests, notes=notes, **facts)
        known = {x.name: (x.gaps, x.distinct) for x in self.schema.columns}
        known[str(self.config.target)] = self.read - self.stream.rows, self.values
        columns = [
            replace(row, gaps=known[row.name][0], distinct=known[row.name][1])
            if row.name in known else row
            for row in page.columns
        ]  # fmt: skip
        return replace(page, columns=columns, rows=self.read)


def _numbers(split: Held, rows: int) -> Rows:
    """The numbers of the rows that validate, ascending, in little memory."""
    parts = [
        start + np.flatnonzero(split.of(start, min(start + HASHED, rows)))
        for start in range(0, rows, HASHED)
    ]
    return np.concatenate(parts)


def _looked_at(held: Rows, rows: int, columns: int, seed: int) -> Rows:
    """The numbers of the rows that are looked at, ascending."""
    most = CELLS // max(columns, 1)
    some = np.arange(rows) if rows <= 4 * TRAINING else drawn(rows, 2 * TRAINING, seed)
    train = np.setdiff1d(some, held, assume_unique=True)
    parts = [
        x[shuffled(len(x), seed)[: min(limit, most)]]
        for x, limit in ((train, TRAINING), (held, HELD))
    ]
    return np.sort(np.concatenate(parts))


def _refuse(chosen: Config, table: Table) -> None:
    """Raise SettingError for columns that are not there."""
    if chosen.target is None:
        raise SettingError(
            "train", "no target is given", got="columns " + ", ".join(table.columns),
            fix="name the column to predict: target=...",
        )  # fmt: skip
    named = {"target": [chosen.target], "ignore": chosen.ignore}
    for key, names in named.items():
        for name in names:
            require_column(key, name, table)


def refuse_whole(chosen: Config) -> None:
    """Raise SettingError for settings that need all rows at once."""
    for key in ("groups", "time", "signal"):
        if value := getattr(chosen, key):
            raise SettingError(
                "train", f"{key}= needs all rows at once, and the data are read in parts",
                got=f"{key}={value!r}", fix=f"leave out {key}=, or read the table whole: a larger "
                "memory=, and no stream=True",
            )  # fmt: skip
    if chosen.optimizer == "lbfgs":
        raise SettingError("train", "lbfgs needs all rows at once, and the data are read in parts",
                           fix="leave out optimizer='lbfgs'")  # fmt: skip


def of_parts(
    parts: InParts, chosen: Config, screen: Screen,
    check: Callable[[Table], object] = lambda table: None,
) -> StreamTraining:  # fmt: skip
    """Read a source in parts, prepare the training on it, and print what was read.

    Of the ranks on a machine the first reads; all encode blocks in turn, and open what it wrote.

    check: looks at the columns before all else.
    """
    refuse_whole(chosen)
    host = of_host(world())
    if world().rank != host[0]:
        return _opened(host)
    try:
        with parts.spool() as spool:
            print_source(screen, spool.source, spool.rows, len(spool.names), spool.notes)
            screen.say(parts.sentence, indent=2)
            check(spool.table(0, 1))
            folder = spool.folder / STORE if len(host) > 1 else None
            turns = Turns(world(), host)
            training = StreamTraining.of_spool(spool, chosen, parts.memory, folder, turns)
            gather(world(), (folder, training.shared), host)
            gather(world(), None, host)  # all have opened the files, which are removed now
    except ChainruleError as error:
        if not isinstance(error, RankLost):
            gather(world(), error, host)
        raise
    screen.say(training.left_out, indent=2)
    screen.say(training.looked_at, indent=2)
    return training


def _opened(host: Sequence[int]) -> StreamTraining:
    """The training of what the first rank of a host has read, on another one, which encodes too."""
    Turns(world(), host).take_part()
    found = gather(world(), None, host)[0]
    if isinstance(found, ChainruleError):
        raise found
    folder, shared = found
    stream, _ = opened(folder)
    gather(world(), None, host)
    return StreamTraining(stream=stream, **shared)
