"""`cr.data.stream`: a stream of arrays, of blocks of arrays, or of a folder that has one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from chainrule.data.streams.fields import field_of
from chainrule.data.streams.stream import Stream
from chainrule.data.streams.writer import INDEX, StoreWriter, opened
from chainrule.errors import DataError

Block = Mapping[str, npt.ArrayLike]
Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def stream(
    source: Block | Iterable[Block] | Callable[[], Iterable[Block]] | Paths,
    *,
    folder: str | os.PathLike[str] | None = None,
    target: str | None = None,
    kinds: Mapping[str, str] | None = None,
    task: str | None = None,
    ignore: Sequence[str] = (),
    gaps: Sequence[str] | None = None,
    header: bool | None = None,
    encoding: str | None = None,
    memory: str | float | None = None,
) -> Stream:
    """Data larger than memory, which `fit`, `evaluate` and `predict` read block by block.

    Args:
        source: a dict of arrays, rows first, also memory-mapped ones (`np.load(path,
            mmap_mode="r")`), which are read from their files as they are. Or blocks: dicts of
            arrays one after the other, of any numbers of rows, from a generator, or a function
            that returns one; they are written to a store on disk, once. Or the folder of a store.
            Or a table: a file (CSV, Parquet, JSON), a pattern such as "logs/*.parquet", a folder or
            a list of files, or a SQL query; its schema is `schema`, and its rows are encoded by it.
        folder: in which the store stays, to be opened by `cr.data.stream(folder)`; None: it is in
            the folder for caches without a name, and gone when the stream is closed, or with the
            process. Of the files of a table, a later call with the same settings reads the store,
            as long as they have not changed.
        target, kinds, task, ignore: of a table, as of `Schema.learn`.
        gaps, header, encoding: of a table, as of `cr.data.read`.
        memory: of a table, the bytes that reading it may take, such as "1GB", the default.

    Raises:
        DataError: blocks that differ in names, dtypes or the shape of a row, no rows, a full disk,
            or a folder that has no stream. Nothing is kept of a store that is not complete.
        SettingError: `folder` has other files, or a setting is not valid.
    """
    if isinstance(source, (str, os.PathLike)) and (Path(source) / INDEX).exists():
        return opened(Path(source))[0]
    if _names_files(source):
        from chainrule.data.readers.inparts import in_parts  # noqa: PLC0415  (arrays need neither)
        from chainrule.data.streams.tables import table_stream  # noqa: PLC0415

        parts = in_parts(source, stream=True, memory=memory, encoding=encoding)
        assert parts is not None
        return table_stream(
            parts, target, folder=None if folder is None else Path(folder), header=header,
            kinds=kinds, task=task, ignore=ignore, gaps=gaps,
        )  # fmt: skip
    if isinstance(source, Mapping):
        return _of_arrays(source)
    blocks: Any = source() if callable(source) else source
    if not isinstance(blocks, Iterable):
        raise DataError(
            "stream", "this is neither arrays nor blocks of them",
            expected='{"x": array, "t": array}, or a generator of such dicts',
            got=type(blocks).__name__,
        )  # fmt: skip
    place = None if folder is None else Path(folder)
    if place is not None and (place / INDEX).exists():
        raise DataError(
            "stream", "the folder has a stream already", at=os.fspath(place),
            fix=f"open it: cr.data.stream({os.fspath(place)!r}), or remove the folder",
        )  # fmt: skip
    with StoreWriter(place, source="blocks of arrays") as writer:
        for block in _told(iter(blocks), writer):
            writer.write(block)
        return writer.finish()


def _told(blocks: Iterator[Block], writer: StoreWriter) -> Iterator[Block]:
    """The blocks; an error of the one who makes them says which block it was."""
    while True:
        try:
            block = next(blocks)
        except StopIteration:
            return
        except BaseException as error:
            error.add_note(f"in {writer.place}; nothing was kept")
            raise
        yield block


def _names_files(source: object) -> TypeGuard[Paths]:
    """Whether a source is of a table: a path, a pattern, a query, or paths."""
    some = source if isinstance(source, (list, tuple)) and source else [source]
    return all(isinstance(x, (str, os.PathLike)) for x in some)


def _of_arrays(arrays: Block) -> Stream:
    found = {str(name): _array(name, x) for name, x in arrays.items()}
    counts = {name: len(x) for name, x in found.items()}
    if len(set(counts.values())) > 1:
        raise DataError(
            "stream", "the arrays differ in their number of rows",
            got=", ".join(f"{name}: {n:,}" for name, n in counts.items()),
        )  # fmt: skip
    rows = next(iter(counts.values()), 0)
    return Stream([field_of(name, x) for name, x in found.items()], rows, source="arrays")


def _array(name: object, value: npt.ArrayLike) -> npt.NDArray[Any]:
    array = np.asanyarray(value)
    if array.dtype.kind not in "fiub" or not array.ndim:
        raise DataError(
            "stream", f"{name!r}: not numbers with an axis for rows",
            got=f"{array.dtype} {array.shape}", fix="encode text and categories first",
        )  # fmt: skip
    return array
