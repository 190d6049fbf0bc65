"""The file of a checkpoint: a safetensors file with one JSON document and a checksum of all.

The library that writes such files copies all arrays and stops the other threads meanwhile; this
is written while training goes on, so that the few lines of the format stand here.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from chainrule.errors import ChainruleError, ModelFileError
from chainrule.graph.jsonvalues import Decoder, Encoder
from chainrule.graph.node import Array
from chainrule.model.file import of_file
from chainrule.model.safetensors import DTYPES, MAX_HEADER, bounded, parse, tensors
from chainrule.system.atomicfile import replacing

FORMAT = 1
"""The version of the format."""

_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_ROOT = "checkpoint"


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    """The metadata: the document as JSON, and a checksum of all else."""

    format: int
    sha256: str
    document: str


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain values and arrays; at any time `path` is the old file or the complete new one.

    Raises:
        OSError: the file cannot be written.
    """
    encoder = Encoder()
    document = bounded(msgspec.json.encode(encoder.encode(content, _ROOT))).decode()
    order = sorted(encoder.arrays.items(), key=lambda item: (-item[1].itemsize, item[0]))
    blocks = [np.ascontiguousarray(x).reshape(-1).view(np.uint8) for _, x in order]
    table, position = {}, 0
    for name, x in order:
        ends = [position, position + x.nbytes]
        table[name] = {"dtype": _NAMES[str(x.dtype)], "shape": [*x.shape], "data_offsets": ends}
        position += x.nbytes
    envelope = _Envelope(FORMAT, _digest(FORMAT, table, document, blocks), document)
    metadata = {"chainrule": msgspec.json.encode(envelope).decode()}
    header = json.dumps({"__metadata__": metadata, **table}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    with replacing(path) as new, open(new, "wb") as file:
        file.write(len(header).to_bytes(8, "little"))
        file.write(header)
        for block in blocks:
            file.write(block.data)


def read(path: Path) -> dict[str, Any]:
    """The values that `write` was given. No code from the file is run; all of it is checked.

    Raises:
        NewerFormat: a newer version wrote the file. ModelFileError: it is damaged, or cannot be
            read.
    """
    try:
        return _decoded(path.read_bytes())
    except NewerFormat as error:
        raise NewerFormat(error.where, error.what, at=os.fspath(path), fix=error.fix) from None
    except ChainruleError as error:
        raise of_file("checkpoint", os.fspath(path), error) from None
    except OSError as error:
        raise ModelFileError(
            "checkpoint", "the file cannot be read", got=error.strerror, at=os.fspath(path)
        ) from None


class NewerFormat(ModelFileError):
    """A newer version of the program wrote the file."""


def _decoded(content: bytes) -> dict[str, Any]:
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > min(MAX_HEADER, len(content) - 8):
        raise ModelFileError("file", "the file was cut short", got=f"{len(content)} bytes")
    header, data = parse(content[8 : 8 + length]), np.frombuffer(content, np.uint8)[8 + length :]
    text, arrays = tensors(header, data)  # which takes the metadata out of the header
    try:
        envelope = msgspec.json.decode(text.encode(), type=_Envelope)
    except msgspec.MsgspecError as error:
        raise ModelFileError("file", "not the document of a checkpoint", got=error) from None
    if envelope.sha256 != _digest(envelope.format, header, envelope.document, [data]):
        raise ModelFileError("file", "a checksum that differs from the one in the file")
    if envelope.format > FORMAT:
        raise NewerFormat(
            "checkpoint", "the file was written by a newer version of chainrule",
            fix="pip install --upgrade chainrule",
        )  # fmt: skip
    found = Decoder(arrays).decode(parse(envelope.document.encode()), _ROOT)
    if not isinstance(found, dict):
        raise ModelFileError("file", "not the document of a checkpoint")
    return found


def _digest(version: int, table: Mapping[str, Any], document: str, blocks: list[Array]) -> str:
    digest = hashlib.sha256(f"{version} {json.dumps(table, sort_keys=True)}".encode())
    digest.update(document.encode())
    for block in blocks:
        digest.update(block.data)
    return digest.hexdigest()
