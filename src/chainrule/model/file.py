"""The model file: one safetensors file that holds a graph, its values and its settings.

The metadata is one JSON document; the tensors are named `parameters/NAME`, `optimizer/NAME`,
`graph/NAME` (large constants and initial values) and `extra/NAME` (arrays in settings). The
document holds a SHA-256 of the whole file, computed with zeros in its place.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import stat
from collections.abc import Mapping
from typing import Any, BinaryIO, NoReturn

import msgspec
import numpy as np
import safetensors
import safetensors.numpy

from chainrule.errors import ChainruleError, ModelFileError
from chainrule.graph.demand import check_demand
from chainrule.graph.jsonvalues import Decoder, Encoder
from chainrule.graph.node import Array
from chainrule.graph.serialize import from_dict, to_dict
from chainrule.graph.step import STEP_INPUTS
from chainrule.model.safetensors import MAX_HEADER, bounded, foreign, parse, tensors
from chainrule.model.saved import Saved, check_saved
from chainrule.nn import init
from chainrule.system.atomicfile import remove_leftovers, replacing
from chainrule.version import __version__

FORMAT = 1
"""The version of the format that is written; older ones can be read."""

_START = re.compile(
    rb'\{"__metadata__":\{"chainrule":"\{\\"format\\":(\d{1,9}),\\"sha256\\":\\"([0-9a-f]{64})\\"'
)
_ZEROS = "0" * 64
_CHUNK = 2**20
_HEAD = 512  # bytes that hold what _START matches, and by which other files are recognised
_GROUPS = ("parameters", "optimizer", "graph", "extra")
_KNOWN = {x.label: x for x in STEP_INPUTS}


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON document; its order is that in the file."""

    format: int
    sha256: str
    versions: dict[str, str]
    outputs: list[str]
    loss: str | None
    steps: int
    extra: dict[str, Any]
    graph: dict[str, Any]


# ---------------------------------------------------------------- writing


def write(path: str | os.PathLike[str], saved: Saved) -> None:
    """Write a model file; at any time `path` is the old file or the complete new one.

    Equal models make equal bytes. An existing file is replaced; a link is followed.

    Raises:
        ModelFileError: the parts do not fit together, or the file cannot be written; an existing
            file is then as it was.
    """
    where = os.fspath(path)
    try:
        document, arrays = _encode(saved)
    except ChainruleError as error:
        raise of_file("save", where, error) from None
    try:
        _check_target(where)
        with replacing(where) as new:
            safetensors.numpy.save_file(arrays, new, metadata={"chainrule": document})
            with open(new, "r+b") as file:
                _seal(where, file)
    except (OSError, safetensors.SafetensorError) as error:
        raise ModelFileError(
            "save", "the file cannot be written", got=_reason(error), at=where, fix=_advice(error)
        ) from None


def to_bytes(saved: Saved) -> bytes:
    """The bytes that `write` puts into a file. Raises ModelFileError where parts do not fit."""
    document, arrays = _encode(saved)
    file = io.BytesIO(safetensors.numpy.save(arrays, metadata={"chainrule": document}))
    _seal("bytes", file)
    return file.getvalue()


def _encode(saved: Saved) -> tuple[str, dict[str, Array]]:
    """The document as JSON, and all arrays under the names that they have in the file."""
    check_saved(saved)
    encoder = Encoder()
    parts = {
        "seed": saved.seed,
        "optimizer": saved.optimizer,
        "contract": saved.contract,
        "history": saved.history,
        "notes": saved.notes,
    }
    extra = {name: encoder.encode(value, name) for name, value in parts.items()}
    graph, constants = to_dict(saved.graph, known=_KNOWN, encode_initial=init.to_dict)
    document = _Document(
        format=FORMAT,
        sha256=_ZEROS,
        versions={"chainrule": __version__, "numpy": np.__version__},
        outputs=list(saved.outputs),
        loss=saved.loss,
        steps=saved.steps,
        extra=extra,
        graph=graph,
    )
    groups = (saved.values, saved.state, constants, encoder.arrays)
    arrays = {
        f"{group}/{name}": np.asarray(array, order="C")
        for group, members in zip(_GROUPS, groups, strict=True)
        for name, array in members.items()
    }
    return bounded(msgspec.json.encode(document)).decode(), arrays


def _check_target(path: str) -> None:
    """Raise ModelFileError for targets that a rename would accept or report less clearly."""
    folder = os.path.dirname(os.path.realpath(path))
    try:
        os.stat(os.path.join(folder, ""))
    except (FileNotFoundError, NotADirectoryError):
        raise ModelFileError(
            "save", "no such folder", got=folder, at=path, fix="make it first"
        ) from None
    if os.path.isdir(path):
        fix = f"give a file name: {os.path.join(path, 'model.safetensors')}"
        raise ModelFileError("save", "this is a folder", at=path, fix=fix)
    if os.path.exists(path) and not os.path.isfile(path):
        raise ModelFileError("save", "this is not an ordinary file", at=path)
    if os.path.exists(path) and not os.access(path, os.W_OK):
        raise ModelFileError(
            "save", "the file is read-only", at=path, fix="choose another name, or allow writing"
        )


def _seal(path: str, file: BinaryIO) -> None:
    """Write the checksum into a new file."""
    length = int.from_bytes(file.read(8), "little")
    start = _START.match(file.read(_HEAD))
    if start is None or length > MAX_HEADER:
        raise ModelFileError(
            "save", "the graph, contract, history and notes are too large for a model file",
            expected=f"{MAX_HEADER} bytes at most", got=length, at=path,
        )  # fmt: skip
    digest = hashlib.sha256()
    file.seek(0)
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    file.seek(8 + start.start(2))
    file.write(digest.hexdigest().encode())


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).partition(" at path ")[0]


def _advice(error: Exception) -> str | None:
    number = getattr(error, "errno", None)
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "choose a folder that you may write to"
    if number == errno.ENOSPC or "os error 28" in str(error):
        return "free some space on this disk, or choose another"
    return None


# ---------------------------------------------------------------- reading


def read(path: str | os.PathLike[str], *, large: bool = False) -> Saved:
    """Read a model file. No code from it is run, and everything in it is checked.

    The arrays are writable views of one buffer of the file's size: nothing is copied, and the
    file is not used after this returns.

    Args:
        path: of the file.
        large: also a file whose model asks for more memory or work than its size allows; see
            `graph/demand.py`.

    Raises:
        ModelFileError: the file does not exist, is damaged or cut, was written by another
            program or a newer version of this one, or asks for too much.
    """
    where = os.fspath(path)
    remove_leftovers(where)
    try:
        with _opened(where) as file:
            header, data = _load(where, file, os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise ModelFileError(
            "load", "the file cannot be read", got=_reason(error), at=where
        ) from None
    except MemoryError:
        raise ModelFileError("load", "the file does not fit in memory", at=where) from None
    try:
        saved = _decode(header, data)
        if not large:
            check_demand(saved.graph, len(header) + len(data))
    except ChainruleError as error:
        raise of_file("load", where, error) from None
    return saved


def from_bytes(content: bytes) -> Saved:
    """The content that `to_bytes` wrote, checked as a file is. Raises ModelFileError."""
    return _decode(*_load("bytes", io.BytesIO(content), len(content)))


def _opened(path: str) -> BinaryIO:
    mode = os.stat(path).st_mode  # first: opening a pipe would block until it has a writer
    if stat.S_ISDIR(mode):
        inside = next((x for x in sorted(os.listdir(path)) if x.endswith(".safetensors")), None)
        fix = "name the file in it" if inside is None else f"load({os.path.join(path, inside)!r})"
        raise ModelFileError("load", "this is a folder", at=path, fix=fix)
    if not stat.S_ISREG(mode):
        raise ModelFileError("load", "this is not an ordinary file", at=path)
    return open(path, "rb")


def _load(path: str, file: BinaryIO, size: int) -> tuple[bytes, Array]:
    """The header and the bytes of the tensors, after the checksum is verified."""
    head = file.read(_HEAD)
    length = int.from_bytes(head[:8], "little")
    start = _START.match(head, 8)
    if start is None:
        raise ModelFileError(
            "load", "this is not a model file", got=foreign(head, size), at=path,
            expected="a file that model.save wrote",
        )  # fmt: skip
    if int(start[1]) > FORMAT:
        raise ModelFileError(
            "load", "the file was written by a newer version of chainrule",
            expected=f"format {FORMAT} or older", got=f"format {int(start[1])}", at=path,
            fix="pip install --upgrade chainrule",
        )  # fmt: skip
    if length > min(MAX_HEADER, size - 8):
        _damaged(path, f"{size} bytes", f"{8 + length} bytes or more")
    content = bytearray(size)
    file.seek(0)
    if file.readinto(content) != size:  # type: ignore[attr-defined]
        _damaged(path, "fewer bytes than when it was opened", f"{size} bytes")
    content[start.start(2) : start.end(2)] = _ZEROS.encode()
    if hashlib.sha256(content).hexdigest().encode() != start[2]:
        _damaged(path, "a checksum that differs from the one in the file", None)
    data = np.frombuffer(content, np.uint8)
    return bytes(content[8 : 8 + length]), data[8 + length :]


def _damaged(path: str, got: str, expected: str | None) -> NoReturn:
    raise ModelFileError(
        "load", "the file is damaged or was cut short", expected=expected, got=got, at=path,
        fix="copy or download it again, or load an older one",
    )  # fmt: skip


def _decode(header: bytes, data: Array) -> Saved:
    """The content that the header and the bytes of the tensors describe."""
    text, arrays = tensors(parse(header), data)
    groups: dict[str, dict[str, Array]] = {group: {} for group in _GROUPS}
    for key, array in arrays.items():
        group, _, name = key.partition("/")
        if group not in groups:
            raise ModelFileError("file", "a tensor that does not belong to a model", got=key)
        groups[group][name] = array
    try:
        document = msgspec.convert(parse(text.encode()), _Document)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ModelFileError("file", "not the document of a model", got=error) from None
    if document.format != FORMAT:
        raise ModelFileError("file", "an unknown format", expected=FORMAT, got=document.format)
    try:
        graph = from_dict(
            document.graph, groups["graph"], known=_KNOWN, decode_initial=init.from_dict
        )
    except ChainruleError as error:
        writer = f"written by chainrule {document.versions.get('chainrule')}"
        raise of_file("load", writer, error) from None
    saved = Saved(
        graph=graph,
        outputs=tuple(document.outputs),
        loss=document.loss,
        values=groups["parameters"],
        state=groups["optimizer"],
        steps=document.steps,
        versions=document.versions,
        **_extra(document.extra, groups["extra"]),
    )
    check_saved(saved)
    return saved


_KINDS: dict[str, tuple[type, ...]] = {
    "seed": (int,),
    "optimizer": (dict, type(None)),
    "contract": (dict, type(None)),
    "history": (dict, type(None)),
    "notes": (dict,),
}


def _extra(form: dict[str, Any], arrays: Mapping[str, Array]) -> dict[str, Any]:
    """Seed, settings, contract, history and notes, with their types checked."""
    decoder = Decoder(arrays)
    extra = {name: decoder.decode(value, name) for name, value in form.items()}
    fits = extra.keys() == _KINDS.keys() and all(
        isinstance(extra[name], kind) for name, kind in _KINDS.items()
    )
    if not fits or decoder.unused():
        raise ModelFileError("file", "the settings are not as they are written here")
    return extra


def of_file(where: str, path: str, error: ChainruleError) -> ModelFileError:
    """The error with the file's path; control characters of the file's text are escaped."""
    expected, got, at = map(_plain, (error.expected, error.got, error.at))
    at = f"{path}, {at}" if at else path
    return ModelFileError(
        where, str(_plain(error.what)), expected=expected, got=got, at=at, fix=error.fix
    )


def _plain(part: object) -> str | None:
    if part is None:
        return None
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in str(part))
