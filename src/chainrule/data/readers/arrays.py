"""Tables from files of arrays: IDX, as MNIST has it, and NPZ of NumPy."""

from __future__ import annotations

import gzip
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from chainrule.data.readers.folder import CLASS, PICTURE
from chainrule.data.readers.memory import from_array, from_mapping
from chainrule.data.table import Table
from chainrule.display.format import counted
from chainrule.errors import DataError

IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
"""Element types of IDX, by their code."""
MAX_BYTES = 1 << 33
"""Of the elements in a file: more are refused before they are read."""
PAIRS = (
    ("x", "y"), ("x_train", "y_train"), ("images", "labels"), ("image", "label"),
    ("train_images", "train_labels"), ("pictures", "classes"), ("data", "target"), ("x", "label"),
    ("x", "labels"), ("data", "labels"), ("features", "labels"), ("features", "target"),
)  # fmt: skip
"""Names of arrays and of their targets, in small letters."""


def is_idx(path: Path) -> bool:
    """Whether a file, plain or packed by gzip, begins as IDX does."""
    try:
        with _unpacked(path) as file:
            head = file.read(4)
    except (OSError, EOFError, zlib.error):
        return False
    return len(head) == 4 and head[:2] == b"\0\0" and head[2] in IDX_TYPES and 1 <= head[3] <= 4


def read_idx(path: Path, source: str) -> Table:
    """Returns a table of the pictures in an IDX file, with the labels of the file beside it.

    `train-images-idx3-ubyte` goes with `train-labels-idx1-ubyte`; where that is not there, the
    table has no classes. A file of labels alone is refused.
    """
    array = _idx(path, source)
    if array.ndim < 3:
        raise DataError(source, "holds no pictures, but labels or numbers",
                        got=f"shape {array.shape}", expected="(rows, height, width)",
                        fix="name the file of the images: its labels are found beside it",
                        )  # fmt: skip
    labels = _beside(path)
    if labels is None:
        note = "no file of labels is beside it: the pictures have no classes"
        table = from_mapping({PICTURE: array})
        return Table(table, source=source, notes=[*table.notes, note])
    classes = _idx(labels, labels.name)
    if classes.shape != array.shape[:1]:
        raise DataError(labels.name, "has another number of labels than there are pictures",
                        expected=f"({len(array):,},)", got=str(classes.shape),
                        at=source)  # fmt: skip
    table = _of_classes(from_mapping({PICTURE: array, CLASS: classes}), CLASS)
    return Table(table, source=source, notes=[*table.notes, f"labels read from {labels.name}"])


def _unpacked(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path) if packed else path.open("rb")  # type: ignore[return-value]


def _idx(path: Path, source: str) -> NDArray[Any]:
    """The array in an IDX file. Raises DataError where it is damaged or too large."""
    try:
        with _unpacked(path) as file:
            head = file.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in IDX_TYPES:
                raise DataError(source, "is not an IDX file", got=repr(head))
            shape = struct.unpack(f">{head[3]}I", file.read(4 * head[3]))
            dtype = np.dtype(IDX_TYPES[head[2]])
            size = math.prod(shape) * dtype.itemsize
            if size > MAX_BYTES:
                raise DataError(source, "says that it holds too much", got=f"{size:,} bytes",
                                expected=f"at most {MAX_BYTES:,}")  # fmt: skip
            content = file.read(size + 1)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise DataError(source, "cannot be read", got=str(error), fix="get it again") from None
    if len(content) != size:
        more = "more" if len(content) > size else f"{len(content):,}"
        raise DataError(source, "is damaged: its size is not what its head says",
                        expected=f"{size:,} bytes of {' x '.join(map(str, shape))} elements",
                        got=f"{more} bytes", fix="get it again")  # fmt: skip
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _beside(path: Path) -> Path | None:
    """The file of labels that belongs to one of images."""
    if "images" not in path.name:
        return None
    name = re.sub(r"\.gz$", "", path.name).replace("images", "labels")
    names = (name, re.sub(r"idx\d", "idx1", name))
    for candidate in (path.parent / (x + end) for x in names for end in ("", ".gz")):
        if candidate.is_file():
            return candidate
    return None


# ---------------------------------------------------------------- NPZ


def read_npz(path: Path, source: str) -> Table:
    """Returns a table of the arrays in an NPZ file: pictures or features, and their target.

    No Python object is read from it. Arrays x_test and y_test are left out, which is noted.

    Raises:
        DataError: it is damaged, or its arrays have no names that are known.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile, KeyError) as error:
        raise DataError(source, "cannot be read", got=str(error).splitlines()[0],
                        fix="save numbers or texts, no objects: "
                        "np.savez('data.npz', x=x, y=np.array(y, str))",
                        ) from None  # fmt: skip
    picked, notes = _picked(arrays, source)
    x, *y = picked
    columns: dict[str, NDArray[Any]] = {}
    if arrays[x].ndim == 2:
        flat = from_array(arrays[x])
        columns = {column.name: column.values for column in flat}
    elif arrays[x].ndim > 2:
        columns = {x: arrays[x]}
    else:
        raise DataError(source, f"array {x!r} has {arrays[x].ndim} axes",
                        expected="(rows, columns), or (rows, height, width) and channels",
                        got=str(arrays[x].shape))  # fmt: skip
    for name in y:
        target = arrays[name].reshape(len(arrays[name]), -1) if arrays[name].ndim else None
        if target is None or target.shape != (len(arrays[x]), 1):
            raise DataError(
                source, f"array {name!r} does not have a target for each row of {x!r}",
                expected=f"({len(arrays[x]):,},)", got=str(arrays[name].shape),
                fix="a class of one-hot rows is y.argmax(axis=1)",
            )  # fmt: skip
        columns[name] = target[:, 0]
    table = from_mapping(columns, source)
    for name in y:
        if re.search("label|class", name.lower()):
            table = _of_classes(table, name)
    return Table(table, source=source, notes=[*table.notes, *notes])


def _of_classes(table: Table, name: str) -> Table:
    """The table with a column that holds classes, where it holds integers or texts."""
    columns = [
        replace(x, classes=True) if x.name == name and x.storage in ("integer", "text") else x
        for x in table
    ]
    return table.replaced(columns, table.notes, table.gaps)


def _by_shape(arrays: Mapping[str, NDArray[Any]]) -> list[str] | None:
    """The names of one array, or of one of pictures and one with a number for each of them."""
    names = sorted(arrays, key=lambda name: -arrays[name].ndim)
    if len(names) == 2:
        x, y = (arrays[name].shape for name in names)
        if len(x) < 3 or y != x[:1]:
            return None
    return names or None


def _picked(arrays: Mapping[str, NDArray[Any]], source: str) -> tuple[list[str], list[str]]:
    """The names of the array and of its target, if there is one, and a note on the others."""
    low = {name.lower(): name for name in arrays}
    found = next(([low[a], low[b]] for a, b in PAIRS if a in low and b in low), None)
    if found is None:
        found = next(([low[a]] for a, _ in PAIRS if a in low), None)
    if found is None and len(arrays) <= 2:
        found = _by_shape(arrays)
    if found is None:
        raise DataError(source, "its arrays have no names that are known",
                        expected="x and y, or images and labels", got=", ".join(arrays) or "none",
                        fix="np.savez('data.npz', x=x, y=y)")  # fmt: skip
    others = [name for name in arrays if name not in found]
    shown = ", ".join(map(repr, others[:6]))
    return found, [f"{counted(len(others), 'array')} left out: {shown}"] if others else []
