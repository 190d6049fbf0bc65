"""The data contract: encoders fitted to a table, by which all later tables are encoded."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, reduce
from math import prod
from operator import or_
from types import GenericAlias
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from chainrule.data.blocks import Block, Described, Encoded, Member
from chainrule.data.columns.columns import CategoryColumn, DroppedColumn
from chainrule.data.columns.encoder import (
    ENCODERS,
    ArrayEncoder,
    CategoryEncoder,
    Encoder,
    GridEncoder,
    NumericEncoder,
    base_of,
)
from chainrule.data.columns.kinds import check_kinds
from chainrule.data.columns.pictures import PictureColumn, lost_pictures
from chainrule.data.columns.signals import SignalColumn, with_signal
from chainrule.data.columns.target import ClassTarget, NumberTarget, Target
from chainrule.data.columns.texts import GapNote, Notes, with_gaps
from chainrule.data.columns.told import reading_notes
from chainrule.data.learn import (
    Options,
    absent_of,
    labelled,
    learn_columns,
    learn_target,
    located,
    readable,
    refuse_infinities,
    refuse_words,
)
from chainrule.data.shift import Watch
from chainrule.data.table import Table, require_column
from chainrule.display.format import clip, counted, listed, number
from chainrule.display.tables import Section, as_html
from chainrule.errors import DataError, ModelFileError, SettingError, nearest

NUMBERS, CATEGORIES = "numbers", "categories"
MAX_SEPARATE_CATEGORIES = 30
"""Categories up to which each is an array of its own; more are columns of one array."""
Want = Literal["required", "optional", "none"]


class Parts(NamedTuple):
    """The parts of a schema that follow from its fields; computed once, they are many calls' work.

    Attributes:
        used: the encoders of the columns that are not left out, and by column.
        blocks: the arrays that `encode` makes.
        levels: by column, the labels that it knows, the target's too.
        names: of all columns.
        watch: tells where a table differs from the training data.
    """

    used: tuple[Encoder, ...]
    encoders: dict[str, Encoder]
    blocks: tuple[Block, ...]
    levels: dict[str, Collection[str]]
    names: frozenset[str]
    watch: Watch


class Schema(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """The encoders of all columns in order, and of the target. Made by `Schema.learn`.

    gaps: the texts that were chosen as gaps, in later tables too; None: as each was read.
    """

    columns: tuple[Encoder, ...]
    target: Target | None = None
    rows: int = 0
    source: str = ""
    notes: tuple[str, ...] = ()
    gaps: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        names = [encoder.name for encoder in self.columns]
        names += [self.target.name] if self.target else []
        if len(set(names)) != len(names):
            raise ValueError("two columns share a name")
        if all(isinstance(encoder, DroppedColumn) for encoder in self.columns):
            raise ValueError("no column is used")
        for encoder in self.used:
            base_of(type(encoder))  # raises for a kind whose arrays no block would hold

    @classmethod
    def learn(
        cls,
        table: Table,
        target: str | None = None,
        *,
        kinds: Mapping[str, str] | None = None,
        task: str | None = None,
        ignore: Sequence[str] = (),
        options: Options | None = None,
    ) -> Schema:
        """Learn every column of a table.

        Args:
            target: the column to predict; rows without it are left out, and noted.
            kinds: overrules guesses by column: number, category, boolean, date, text, id,
                constant (the last two leave the column out), ignore.
            task: 'classification' or 'regression', to overrule the guess.
            ignore: columns to leave out.
            options: further arguments of the `fit` of a kind, by its name or that of a column:
                {"picture": {"size": (32, 32)}}.

        Raises:
            SettingError: an unknown column, kind or task.
            DataError: a target without values or with a single one, an infinity, no usable column.
        """
        require_column("target", target, table)
        for name in ignore:
            require_column("ignore", name, table)
        chosen = check_kinds(table, dict(kinds or {}) | dict.fromkeys(ignore, "ignore"))
        options = options or {}
        table, found = readable(table, target, chosen, options)
        learned, notes, whole = None, [*table.notes, *found], table
        if target is not None:
            learned = learn_target(table, table[target], task, chosen.get(target))
            codes, kept, found = labelled(table, learned)
            refuse_words(table, learned, kept)
            notes += [*found, *reading_notes(table[target], learned)]
            table = table.take(kept)
            if isinstance(learned, ClassTarget):
                options = {**options, "picture": {**options.get("picture", {}), "classes": codes}}
        features = [column for column in table if column.name != target]
        encoders = learn_columns(table, features, chosen, options)
        for encoder in encoders:
            notes += reading_notes(whole[encoder.name], encoder)
        return cls(columns=encoders, target=learned, rows=len(table), source=table.source,
                   notes=tuple(map(str, notes)), gaps=table.gaps)  # fmt: skip

    @property
    def _parts(self) -> Parts:
        """The parts, kept beside the fields: neither saved, copied nor compared with them."""
        parts: Parts | None = self.__dict__.get("parts")
        if parts is None:
            used = tuple(e for e in self.columns if not isinstance(e, DroppedColumn))
            encoders = {encoder.name: encoder for encoder in used}
            levels: dict[str, Collection[str]] = {
                e.name: frozenset(e.levels) for e in used if isinstance(e, CategoryColumn)
            }
            if self.target is not None:
                levels[self.target.name] = frozenset(getattr(self.target, "labels", ()))
            names = levels.keys() | {encoder.name for encoder in self.columns}
            blocks = self._blocks(used)
            watch = Watch(blocks, encoders)
            parts = Parts(used, encoders, blocks, levels, frozenset(names), watch)
            self.__dict__["parts"] = parts
        return parts

    @property
    def used(self) -> tuple[Encoder, ...]:
        """The encoders of the columns that are not left out."""
        return self._parts.used

    @property
    def task(self) -> str | None:
        """'classification', 'regression', or None without a target."""
        return self.target.task if self.target else None

    @property
    def classes(self) -> NDArray[Any] | None:
        """The class labels in the order of their codes, for a classification."""
        return self.target.classes if isinstance(self.target, ClassTarget) else None

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The arrays that `encode` makes: the numbers, the categories, then all others."""
        return self._parts.blocks

    @property
    def members(self) -> tuple[Member, ...]:
        """The columns of the block of numbers."""
        return tuple(member for block in self.blocks for member in block.members)

    def _blocks(self, used: Sequence[Encoder]) -> tuple[Block, ...]:
        blocks = []
        members = tuple(
            Member(name, encoder.name, encoder.kind, stats)
            for encoder in used
            if isinstance(encoder, NumericEncoder)
            for name, stats in encoder.parts
        )
        if members:
            columns = tuple(dict.fromkeys(member.column for member in members))
            name = self._free(NUMBERS)
            blocks.append(Block(name, "numbers", columns, len(members), members))
        categories = [e for e in used if isinstance(e, CategoryEncoder)]
        if len(categories) > MAX_SEPARATE_CATEGORIES:
            columns = tuple(encoder.name for encoder in categories)
            blocks.append(Block(self._free(CATEGORIES), "categories", columns, len(columns)))
        else:
            blocks += [Block(e.name, "category", (e.name,), e.width) for e in categories]
        for encoder in used:
            if isinstance(encoder, GridEncoder):
                size = prod(encoder.shape)
                blocks.append(Block(encoder.name, "grid", (encoder.name,), size, (), encoder.shape))
            elif isinstance(encoder, ArrayEncoder):
                blocks.append(Block(encoder.name, "array", (encoder.name,), encoder.width))
            elif isinstance(encoder, CategoryEncoder) and encoder.words is not None:
                name = self._free(f"{encoder.name}.words")
                blocks.append(Block(name, "array", (encoder.name,), encoder.words.width))
        return tuple(blocks)

    def _free(self, name: str) -> str:
        """The name, with underscores appended until no column has it."""
        taken = {encoder.name for encoder in self.columns}
        while name in taken or (self.target is not None and self.target.name == name):
            name += "_"
        return name

    def encode(self, table: Table, target: Want = "optional", *, watch: bool = True) -> Encoded:
        """A table as arrays, by the fitted encoders, with notes on differences from training.

        target: 'required' leaves out rows without one, and is an error where the column is
        absent; 'optional' keeps all rows (gaps are -1 or NaN), and gives None where the column is
        absent; 'none' does not look at it. watch: whether notes tell of numbers and categories in
        grossly other shares, which a part of a table may have.

        Raises DataError for a missing column, an infinity, an unknown class.
        """
        table = self.matched(with_gaps(table, self.gaps))
        notes = self._notes(table)
        self._check_columns(table, notes, target)
        labels, rows = None, np.arange(len(table))
        grids = [e for e in self.used if isinstance(e, GridEncoder)]
        absent = absent_of(table, grids)
        if target != "none" and self.target is not None and self.target.name in table:
            if target == "required":
                labels, rows, more = labelled(table, self.target)
                notes += more
                if absent is not None:
                    notes += [x for e in grids for x in e.encode(table[e.name])[1]]
                    seen = ~absent[rows]
                    labels, rows, absent = labels[seen], rows[seen], None
                table = table.take(rows)
            else:
                labels = located(table, self.target.name, self.target.encode)
        arrays: dict[str, NDArray[Any]] = {}
        for block in self.blocks:
            arrays[block.name] = _encode_block(table, block, self._parts.encoders, notes)
        notes += self.unlike(arrays) if watch else []
        names = {
            e.name: np.array([cell or "" for cell in table[e.name].cells()], object)
            for e in grids if table[e.name].storage == "text" and e.kind == "picture"
        }  # fmt: skip
        return Encoded(arrays, labels, rows, list(dict.fromkeys(notes)), absent, names)

    def unlike(self, arrays: Mapping[str, NDArray[Any]]) -> list[str]:
        """Notes on numbers and categories in grossly other shares than in training."""
        return self._parts.watch.lines(arrays)

    def matched(self, table: Table) -> Table:
        """The table with the columns of each signal as one, and its pictures as training had them.

        Where it lacks the only column of pictures, and has one of another name, that is taken for
        it, with a note.
        """
        known = [e.name for e in self.used if isinstance(e, PictureColumn)]
        if len(known) == 1 and known[0] not in table:
            spare = [x for x in table if x.name not in self._parts.names]
            found = [x for x in spare if PictureColumn.guess(x) or lost_pictures(x)]
            if len(found) == 1:
                note = f"column {found[0].name!r}, the pictures, is taken for {known[0]!r}"
                columns = [replace(x, name=known[0]) if x is found[0] else x for x in table]
                table = table.replaced(columns, [*table.notes, note], table.gaps)
        for encoder in self.used:
            if isinstance(encoder, SignalColumn):
                table = with_signal(table, encoder.name, encoder.sources)
        return table

    def unseen_classes(self, table: Table) -> NDArray[np.bool_]:
        """The rows whose target is a class that training did not have, (n,)."""
        target = self.target
        if not isinstance(target, ClassTarget) or target.name not in table:
            return np.zeros(len(table), bool)
        odd = located(with_gaps(table, self.gaps), target.name, target.unseen)
        return np.asarray(odd, bool)

    def _notes(self, table: Table) -> list[str]:
        """The notes of a table; not on texts that look like gaps where they are known levels."""
        if table.gaps is not None:
            return list(table.notes)
        notes = Notes([note for note in table.notes if not isinstance(note, GapNote)])
        levels, names = self._parts.levels, self._parts.names
        for column in table:
            for text, cells in column.gap_texts.items() if column.name in names else ():
                if text not in levels.get(column.name, ()):
                    notes.gap(column.name, text, cells)
        return notes.lines()

    def _check_columns(self, table: Table, notes: list[str], target: Want) -> None:
        """Raise for missing columns; note extra ones and another order."""
        needed = list(self._parts.encoders)
        label = self.target.name if self.target else None
        if target == "required" and label is not None and label not in table:
            needed.append(label)
        if target == "required" and label is None:
            raise SettingError("encode", "no target was learned", fix="learn(table, target=...)")
        missing = [name for name in needed if name not in table]
        if missing:
            raise _missing(table, needed, missing)
        extra = [name for name in table.columns if name not in self._parts.names]
        if extra:
            what = "column" if len(extra) == 1 else f"{len(extra)} columns"
            verb = "was" if len(extra) == 1 else "were"
            names = listed(list(map(repr, extra)), 6)
            notes.append(f"{what} {names} {verb} not in training: ignored")
        if [name for name in table.columns if name in needed] != needed:
            notes.append("columns in another order than in training: matched by name")

    def describe(self) -> list[Described]:
        """A row for each column, in the table's order, and the target last."""
        rows = [
            Described(e.name, e.guessed if isinstance(e, DroppedColumn) else e.kind, e.reason,
                      e.treatment, e.gaps, e.distinct)
            for e in self.columns
        ]  # fmt: skip
        if isinstance(self.target, ClassTarget):
            shown = listed([clip(label) for label in self.target.labels], 6)
            rows.append(Described(self.target.name, "target", self.target.reason,
                                  f"{len(self.target.labels)} classes: {shown}", 0,
                                  len(self.target.labels)))  # fmt: skip
        elif isinstance(self.target, NumberTarget):
            low, *_, high = self.target.stats.quantiles
            rows.append(Described(self.target.name, "target", self.target.reason,
                                  f"a number from {number(low)} to {number(high)}", 0,
                                  self.target.stats.count))  # fmt: skip
        return rows

    def _repr_html_(self) -> str:
        rows = tuple(
            (x.column, x.kind, x.reason, x.treatment, f"{x.gaps:,}" if x.gaps else "")
            for x in self.describe()
        )
        head = ("column", "kind", "because", "treatment", "gaps")
        title = f"{counted(self.rows, 'row')} of {self.source}"
        notes = Section("", tuple(("note", note) for note in self.notes))
        return as_html([Section(title, rows, head, (4,)), *([notes] if self.notes else [])])

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, texts and numbers, for JSON."""
        content: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return content

    @classmethod
    def from_dict(cls, content: Any) -> Schema:
        """The schema that `to_dict` wrote. Raises ModelFileError where it is not valid."""
        try:
            saved = msgspec.convert(content, _saved(*ENCODERS.values()), strict=True)
            return cls(**msgspec.structs.asdict(saved))
        except (msgspec.ValidationError, ValueError, RecursionError) as error:
            raise ModelFileError(
                "model file", "its data contract is damaged", got=str(error)
            ) from None


def _encode_block(
    table: Table, block: Block, encoders: Mapping[str, Encoder], notes: list[str]
) -> NDArray[Any]:
    """The array of a block; `encoders` by column. Adds to the notes."""
    if block.kind == "categories":
        codes = np.empty((len(table), block.width), np.int32)
        for k, name in enumerate(block.columns):
            codes[:, k], more = encoders[name].encode(table[name])
            notes += more
        return codes
    if block.kind != "numbers":
        encoder = encoders[block.columns[0]]
        if block.kind == "array" and isinstance(encoder, CategoryEncoder):
            assert encoder.words is not None
            return encoder.words.encode(table[encoder.name])[0]  # the codes have the notes
        array, more = encoder.encode(table[encoder.name])
        notes += more
        return array
    array, at = np.empty((len(table), block.width)), 0
    for name in block.columns:
        values, more = encoders[name].encode(table[name])
        notes += more
        array[:, at : at + values.shape[1]] = values
        at += values.shape[1]
    refuse_infinities(table, [member.column for member in block.members], array)
    return array


@lru_cache(maxsize=4)
def _saved(*kinds: type[Encoder]) -> type[msgspec.Struct]:
    """The record of a Schema in a file, with columns of these kinds."""
    union = reduce(or_, kinds, DroppedColumn)
    columns = GenericAlias(tuple, (union, ...))
    fields = [
        (x.name, columns if x.name == "columns" else x.type, x.default)
        for x in msgspec.structs.fields(Schema)
    ]
    return msgspec.defstruct("Schema", fields, kw_only=True, forbid_unknown_fields=True)


def _missing(table: Table, needed: Sequence[str], missing: Sequence[str]) -> DataError:
    """The error with both sides of the mismatch and the nearest name of each missing column."""
    spare = [name for name in table.columns if name not in needed]
    hints = []
    for name in missing[:6]:
        folded = {other.strip().lower(): other for other in spare}
        guess = folded.get(name.strip().lower()) or nearest(name, spare)
        hints.append(f"rename {guess!r} to {name!r}" if guess else f"add a column {name!r}")
    return DataError(
        table.source,
        f"lacks {counted(len(missing), 'column')} that training had: "
        + listed(list(map(repr, missing)), 6),
        expected=listed(needed, 30),
        got=listed(table.columns, 30),
        fix="; ".join(hints),
    )
