"""`cr.data.stream`: a stream of arrays, of blocks of arrays, or of a folder that has one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.data.streams.fields import field_of
from chainrule.data.streams.stream import Stream
from chainrule.data.streams.writer import INDEX, StoreWriter, opened
from chainrule.errors import DataError

Block = Mapping[str, npt.ArrayLike]


def stream(
    source: Block | Iterable[Block] | Callable[[], Iterable[Block]] | str | os.PathLike[str],
    *,
    folder: str | os.PathLike[str] | None = None,
) -> Stream:
    """Data larger than memory, which `fit`, `evaluate` and `predict` read block by block.

    Args:
        source: a dict of arrays, rows first, also memory-mapped ones (`np.load(path,
            mmap_mode="r")`), which are read from their files as they are. Or blocks: dicts of
            arrays one after the other, of any numbers of rows, from a generator, or a function
            that returns one; they are written to a store on disk, once. Or the folder of a store.
        folder: in which the store stays, to be opened by `cr.data.stream(folder)`; None: it is in
            the folder for caches without a name, and gone when the stream is closed, or with the
            process.

    Raises:
        DataError: blocks that differ in names, dtypes or the shape of a row, no rows, a full disk,
            or a folder that has no stream. Nothing is kept of a store that is not complete.
        SettingError: `folder` has other files.
    """
    if isinstance(source, (str, os.PathLike)):
        return opened(Path(source))[0]
    if isinstance(source, Mapping):
        return _of_arrays(source)
    blocks: Any = source() if callable(source) else source
    if not isinstance(blocks, Iterable):
        raise DataError(
            "stream", "this is neither arrays nor blocks of them",
            expected='{"x": array, "t": array}, or a generator of such dicts',
            got=type(blocks).__name__,
        )  # fmt: skip
    target = None if folder is None else Path(folder)
    if target is not None and (target / INDEX).exists():
        raise DataError(
            "stream", "the folder has a stream already", at=os.fspath(target),
            fix=f"open it: cr.data.stream({os.fspath(target)!r}), or remove the folder",
        )  # fmt: skip
    with StoreWriter(target, source="blocks of arrays") as writer:
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
