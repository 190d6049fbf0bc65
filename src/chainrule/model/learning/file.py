"""The record of a run as a file beside the model, for its pages: read with strict checks."""

from __future__ import annotations

import base64
import math
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from chainrule.errors import ModelFileError
from chainrule.model.learning.section import Learning
from chainrule.model.state import ModelState
from chainrule.system.atomicfile import write_whole

MAX_FILE = 64_000_000
"""Bytes above which a file is not one that was written here."""

DType = Literal[
    "float32", "float64", "bool", "int8", "int16", "int32", "int64",
    "uint8", "uint16", "uint32", "uint64",
]  # fmt: skip
Numbers = list[float | None]
Quantiles = list[Annotated[Numbers, msgspec.Meta(min_length=5, max_length=5)]]


class _Form(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the file: all of its fields, and no others."""


class _Array(_Form, frozen=True):
    dtype: DType
    shape: list[int]
    data: str

    def __post_init__(self) -> None:
        size = math.prod(self.shape) * np.dtype(self.dtype).itemsize
        if min(self.shape, default=0) < 0 or len(base64.b64decode(self.data)) != size:
            raise ValueError("an array of another size than its shape")


class _Excited(_Form, frozen=True):
    unit: int
    rows: list[dict[str, str | float]]
    weights: list[dict[str, str | float]]


class _Group(_Form, frozen=True):
    name: str
    weights: Quantiles
    updates: Numbers


class _Layer(_Form, frozen=True):
    name: str
    what: str
    units: int
    values: Quantiles
    gradients: Quantiles
    weights: Quantiles
    updates: Numbers
    dead: list[int]
    saturated: list[int]
    killed: list[dict[str, float]]
    excited: list[_Excited]
    groups: list[_Group] = []


class _Axis(_Form, frozen=True):
    column: str
    low: float
    high: float


class _Regions(_Form, frozen=True):
    x: _Axis
    y: _Axis
    size: int
    answers: list[_Array]
    sure: list[_Array] | None
    classes: list[str]
    points: list[tuple[float, float, float, bool]]


class _Hidden(_Form, frozen=True):
    layer: str
    told: str
    classes: list[str]
    points: list[_Array]
    truth: list[float]


class _Confusion(_Form, frozen=True):
    classes: list[str]
    counts: list[list[int]]
    rows: str


class _Worst(_Form, frozen=True):
    label: str
    truth: str
    answer: str
    loss: float | None
    row: int | None
    feeds: dict[str, _Array]


class _Guess(_Form, frozen=True):
    loss: float | None
    told: str


class _Section(_Form, frozen=True):
    """`Learning` of web/src/sections.ts."""

    history: dict[str, Numbers]
    criterion: str
    better: Literal["min", "max"]
    best: int | None
    start: float | None
    guess: _Guess
    epochs: list[float]
    layers: list[_Layer]
    values: list[dict[str, _Array]]
    regions: _Regions | None
    hidden: _Hidden | None
    confusion: _Confusion | None
    worst: list[_Worst]
    told: list[str]
    latest: float


class _File(_Form, frozen=True):
    format: Literal["chainrule-learning"]
    version: Literal[1]
    section: _Section
    notes: list[str]


def save_learning(learning: Learning, path: str | os.PathLike[str]) -> Path:
    """Writes what was recorded: all of the file or nothing. It holds rows of the data.

    Raises:
        OSError: the folder does not exist or cannot be written.
    """
    content = {
        "format": "chainrule-learning", "version": 1, "section": learning.section,
        "notes": list(learning.notes),
    }  # fmt: skip
    return write_whole(path, msgspec.json.encode(content).decode())


def load_learning(path: str | os.PathLike[str], model: ModelState) -> Learning:
    """Returns what `save_learning` wrote of a run of this model.

    Raises:
        ModelFileError: the file has another form, or is of another model.
    """
    file = Path(path)
    try:
        if file.stat().st_size > MAX_FILE:
            raise ModelFileError("load", "the file is too large", at=file, expected="a few MB")
        found = msgspec.json.decode(file.read_bytes(), type=_File)
    except (msgspec.MsgspecError, OSError, UnicodeError, RecursionError) as error:
        raise ModelFileError(
            "load", f"not what a training recorded: {error}", at=file,
            fix="chainrule train DATA --record writes it",
        ) from None  # fmt: skip
    section: dict[str, Any] = msgspec.to_builtins(found.section)
    wrong = _wrong(section, model)
    if wrong:
        raise ModelFileError(
            "load", f"it was recorded of another model: {wrong}", at=file,
            fix="chainrule train DATA --record writes both",
        )  # fmt: skip
    return Learning(section, found.notes)


def _wrong(section: dict[str, Any], model: ModelState) -> str | None:
    """The difference between what was recorded and a model; None where it fits."""
    count = len(section["epochs"])
    names = {model.graph.name(x) for x in model.graph}
    arrays = {n: list(x.shape) for n, x in model.values.items()}
    if not count or section["history"].get("epoch") != [float(x) for x in model.history["epoch"]]:
        return "its history differs"
    for layer in section["layers"]:
        if layer["name"] not in names:
            return f"there is no layer {layer['name']!r}"
        each = ("values", "gradients", "weights", "updates", "dead", "saturated")
        if any(len(layer[x]) != count for x in each):
            return f"layer {layer['name']!r} has other epochs"
        if any(len(g[x]) != count for g in layer["groups"] for x in ("weights", "updates")):
            return f"the weights of layer {layer['name']!r} have other epochs"
    for held in section["values"]:
        if any(held.get(name, {}).get("shape") != shape for name, shape in arrays.items()):
            return "its parameters differ"
    if section["values"] and len(section["values"]) != count:
        return "its parameters are of other epochs"
    return None
