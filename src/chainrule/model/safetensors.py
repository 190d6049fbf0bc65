"""Reads safetensors from memory with all checks that the format allows, without copies.

The safetensors library maps the file; a file that another program cuts meanwhile would crash
the process, and the bytes checked need not be the bytes read. Source of the format:
https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from chainrule.errors import ModelFileError
from chainrule.graph.node import Array

MAX_HEADER = 100_000_000
"""The greatest header that safetensors allows, in bytes."""

MAX_VALUES = 5_000_000
"""The greatest number of values in a JSON document."""

MAX_AXES = 32
DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "I64": "int64",
    "I32": "int32",
    "U32": "uint32",
    "BOOL": "bool",
}
Size = Annotated[int, msgspec.Meta(ge=0, le=2**60)]


class _Tensor(msgspec.Struct, forbid_unknown_fields=True):
    """The header's entry of one tensor."""

    dtype: Literal["F64", "F32", "I64", "I32", "U32", "BOOL"]
    shape: Annotated[list[Size], msgspec.Meta(max_length=MAX_AXES)]
    data_offsets: tuple[Size, Size]


def parse(text: bytes) -> Any:
    """The value of the JSON `text`.

    Raises:
        ModelFileError: it is not JSON, has a duplicate key, or is nested too deep or too large.
    """
    try:
        return json.loads(
            bounded(text).decode(), object_pairs_hook=_unique, parse_constant=_no_constant
        )
    except RecursionError:
        raise ModelFileError("file", "JSON that is nested too deep") from None
    except ModelFileError:
        raise
    except ValueError as error:
        raise ModelFileError("file", "not JSON", got=str(error)[:200]) from None


def bounded(text: bytes) -> bytes:
    """Returns `text`. Raises ModelFileError for more than MAX_VALUES JSON values."""
    count = sum(map(text.count, (b"[", b"{", b",")))
    if count > MAX_VALUES:
        raise ModelFileError(
            "file", "too many values outside of arrays", expected=f"{MAX_VALUES} at most", got=count
        )
    return text


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return mapping


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def tensors(header: Any, data: Array) -> tuple[str, dict[str, Array]]:
    """The document in the metadata, and all tensors as views of `data`, by name.

    Args:
        header: as parsed.
        data: the bytes after it, (n,) of uint8.

    Raises:
        ModelFileError: a tensor's dtype, shape and offsets do not match, or the tensors do not
            fill the data exactly, one after another.
    """
    try:
        metadata = msgspec.convert(header.pop("__metadata__"), dict[str, str])
        table = msgspec.convert(header, dict[str, _Tensor])
    except (msgspec.ValidationError, AttributeError, KeyError) as error:
        raise ModelFileError("file", "not the header of a model file", got=error) from None
    if metadata.keys() != {"chainrule"}:
        raise ModelFileError("file", "other metadata", got=", ".join(map(ascii, metadata)))
    views: dict[str, Array] = {}
    position = 0
    for name, tensor in sorted(table.items(), key=lambda item: item[1].data_offsets):
        begin, end = tensor.data_offsets
        dtype = np.dtype(DTYPES[tensor.dtype])
        if begin != position or end - begin != math.prod(tensor.shape) * dtype.itemsize:
            raise ModelFileError("file", "a tensor with wrong offsets", got=ascii(name))
        if end > len(data):
            break
        views[name] = _view(name, data[begin:end], dtype, tensor.shape)
        position = end
    if position != len(data) or len(views) != len(table):
        raise ModelFileError(
            "file", "the tensors do not fill the file", expected=len(data), got=position
        )
    return metadata["chainrule"], views


def _view(name: str, data: Array, dtype: np.dtype[Any], shape: list[int]) -> Array:
    if dtype.kind == "b" and data.size and data.max() > 1:
        raise ModelFileError("file", "a boolean that is neither 0 nor 1", got=ascii(name))
    try:
        return data.view(dtype).reshape(shape)
    except ValueError as error:
        raise ModelFileError("file", f"no such shape: {error}", got=ascii(name)) from None


# ---------------------------------------------------------------- files of other programs

_SIGNATURES = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes (.h5)"),
    (b"PK\x03\x04", "a zip archive, as PyTorch (.pt), Keras (.keras) and NumPy (.npz) write"),
    (b"\x93NUMPY", "a NumPy array (.npy)"),
    (b"PAR1", "a Parquet table: data, not a model"),
    (b"ARROW1", "an Arrow table: data, not a model"),
    (b"GGUF", "a GGUF model"),
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself: run git lfs pull"),
)


def foreign(head: bytes, size: int) -> str:
    """Describes a file that is not a model file.

    Args:
        head: its first bytes, some hundred of them.
        size: of the file, in bytes.
    """
    if not head:
        return "an empty file"
    for signature, what in _SIGNATURES:
        if head.startswith(signature):
            return what
    if head[0] == 0x80 and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "a pickle, which could run code: it is not opened"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= MAX_HEADER:
        cut = int.from_bytes(head[:8], "little") + 8 > size
        return "a safetensors file " + ("that was cut short" if cut else "of another program")
    if (
        head[0] == 0x08
        and head[1:2] < b"\x20"
        and head[2:3] in (b"\x12", b"\x1a", b"\x3a", b"\x42")
    ):
        return "an ONNX model"
    return _text_or_bytes(head)


def _text_or_bytes(head: bytes) -> str:
    start = head[:400]
    try:
        text = start.decode()
    except UnicodeDecodeError as error:  # a character that the end of `start` cuts is fine
        text = start[: error.start].decode() if 0 < len(start) - error.start < 4 else ""
    if not text or any(not (c.isprintable() or c.isspace()) for c in text):
        return f"bytes of no known kind, beginning with {head[:8].hex(' ')}"
    begin = text.lstrip().lower()
    if begin.startswith(("<!doctype", "<html")):
        return "a web page: the download has failed or needs a login"
    kind = "JSON" if begin.startswith(("{", "[")) else "text"
    return f"{kind}, beginning with {text[:40]!r}"
