"""Arrays and attributes as the page's JSON values."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np

from chainrule.graph.node import Array
from chainrule.types import N


def array_form(array: Array) -> dict[str, Any]:
    """Returns an array as its dtype, its shape and its little-endian bytes in base64."""
    array = np.asarray(array)
    flat = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    data = base64.b64encode(flat.tobytes()).decode("ascii")
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": data}


def attribute_form(value: Any) -> Any:
    """Returns the value of an attribute as JSON; see `Attribute` in web/src/document.ts.

    Raises:
        TypeError: it is of another type.
    """
    if value is N:
        return "N"
    if isinstance(value, np.ndarray):
        return {"array": array_form(value)}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not (math.isfinite(value) and value % 1):
        return {"float": repr(value)}  # JSON has no infinity, and would take 2.0 for an integer
    if type(value) is int and abs(value) > 2**53:
        return {"integer": str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [attribute_form(x) for x in value]
    raise TypeError(f"cannot write {type(value).__name__} as an attribute")
