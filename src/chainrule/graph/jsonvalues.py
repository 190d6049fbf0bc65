"""Lossless conversion of Python values and arrays to JSON and back.

Most values are written as they are. Values that JSON lacks become an object with one key:

    {"$tuple": [...]}             a tuple
    {"$batch": "N"}               the batch axis
    {"$float": "7ff0000000000000"}  inf, -inf, NaN: the eight bytes, big-endian
    {"$dict": [[key, value]]}     a dict with a key that begins with `$`
    {"$array": {dtype, shape, data}}  a small array of finite numbers, in C order
    {"$stored": name}             any other array, stored under this name beside the JSON
    {"$scalar": array}            a NumPy scalar, as an array of shape ()
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from chainrule.errors import GraphError, short
from chainrule.graph.node import Array
from chainrule.types import DTYPES, N

INLINE = 16
"""Larger arrays are stored beside the JSON."""

MAX_DEPTH = 64
"""The deepest nesting of values."""


class Encoder:
    """Converts values to JSON and collects the arrays that are stored beside it.

    Attributes:
        arrays: the arrays collected so far, by name.
    """

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}

    def encode(self, value: Any, name: str, depth: int = MAX_DEPTH) -> Any:
        """Returns `value` as JSON.

        Args:
            value: None, a boolean, number, text, array, or tuples, lists and dicts of them.
            name: for errors and for the names of arrays: `hidden.w.initial`.
            depth: how much deeper the value may be nested.

        Raises:
            GraphError: it contains another type, or is nested too deep.
        """
        if depth == 0:
            raise GraphError("form", "nested too deep", expected=f"{MAX_DEPTH} levels", at=name)
        if value is N:
            return {"$batch": "N"}
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return encodable(str(value), name)
        if isinstance(value, np.ndarray):
            return self._array(value, name)
        if isinstance(value, np.generic) and not isinstance(value, float):
            return {"$scalar": self._array(np.asarray(value), name)}
        if isinstance(value, int):
            return _integer(int(value), name)
        if isinstance(value, float):
            finite = math.isfinite(value)
            return float(value) if finite else {"$float": struct.pack(">d", value).hex()}
        if isinstance(value, (tuple, list)):
            items = [self.encode(x, f"{name}[{k}]", depth - 1) for k, x in enumerate(value)]
            return items if isinstance(value, list) else {"$tuple": items}
        if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
            pairs = [
                [encodable(str(key), name), self.encode(x, f"{name}.{key}", depth - 1)]
                for key, x in value.items()
            ]
            escaped = any(key.startswith("$") for key in value)
            return {"$dict": pairs} if escaped else dict(pairs)
        raise GraphError(
            "form",
            "a value that cannot be written",
            expected="None, booleans, numbers, text, arrays, and tuples, lists and dicts of them",
            got=f"{type(value).__name__}: {short(value)}",
            at=name,
        )

    def _array(self, value: Array, name: str) -> dict[str, Any]:
        if str(value.dtype) not in DTYPES:
            raise GraphError(
                "form", "an array with another dtype", expected=", ".join(DTYPES),
                got=value.dtype, at=name,
            )  # fmt: skip
        if value.size <= INLINE and np.isfinite(value).all():
            form = {"dtype": str(value.dtype), "shape": list(value.shape)}
            return {"$array": form | {"data": value.ravel().tolist()}}
        key, number = name, 1
        while key in self.arrays:
            number += 1
            key = f"{name}_{number}"
        self.arrays[key] = np.asarray(value, order="C")
        return {"$stored": key}


class Decoder:
    """Reads what an Encoder wrote; the input is not trusted.

    Args:
        arrays: those stored beside the JSON, by name.
    """

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self._arrays = arrays
        self._used: set[str] = set()
        self._rules: dict[str, Callable[[Any, str, int], Any]] = {
            "$tuple": self._tuple,
            "$dict": self._dict,
            "$scalar": self._scalar,
            "$batch": _batch,
            "$float": _float,
            "$array": _inline,
            "$stored": self._stored,
        }

    def decode(self, value: Any, name: str, depth: int = 3 * MAX_DEPTH) -> Any:
        """Returns the value that was encoded as `value`, the result of a JSON parser.

        Args:
            value: as written.
            name: for errors.
            depth: how much deeper the value may be nested.

        Raises:
            GraphError: an Encoder does not write this.
        """
        if depth == 0:
            raise GraphError("form", "nested too deep", expected=f"{MAX_DEPTH} levels", at=name)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return encodable(value, name)
        if isinstance(value, int):
            return _integer(value, name)
        if isinstance(value, float) and math.isfinite(value):
            return value
        if isinstance(value, list):
            return [self.decode(x, f"{name}[{k}]", depth - 1) for k, x in enumerate(value)]
        if isinstance(value, dict):
            return self._object(value, name, depth)
        raise _malformed(value, name)

    def unused(self) -> list[str]:
        """The names of arrays that have not been referred to."""
        return [name for name in self._arrays if name not in self._used]

    def _object(self, value: dict[str, Any], name: str, depth: int) -> Any:
        if not any(key.startswith("$") for key in value):
            return {
                encodable(k, name): self.decode(x, f"{name}.{k}", depth - 1)
                for k, x in value.items()
            }
        key, content = next(iter(value.items()))
        if len(value) != 1 or key not in self._rules:
            raise _malformed(value, name)
        return self._rules[key](content, name, depth)

    def _tuple(self, content: Any, name: str, depth: int) -> tuple[Any, ...]:
        if not isinstance(content, list):
            raise _malformed(content, name)
        return tuple(self.decode(content, name, depth))

    def _dict(self, content: Any, name: str, depth: int) -> dict[str, Any]:
        pairs = self.decode(content, name, depth)
        fits = isinstance(pairs, list) and all(
            isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs
        )
        if not fits or len({key for key, _ in pairs}) != len(pairs):
            raise _malformed(content, name)
        return dict(pairs)

    def _scalar(self, content: Any, name: str, depth: int) -> Any:
        array = self.decode(content, name, depth - 1)
        if not isinstance(array, np.ndarray) or array.shape != ():
            raise _malformed(content, name)
        return array[()]

    def _stored(self, content: Any, name: str, _: int) -> Array:
        if not isinstance(content, str) or content not in self._arrays:
            raise GraphError("form", "an array is missing", got=short(content), at=name)
        self._used.add(content)
        array = self._arrays[content]
        if str(array.dtype) not in DTYPES:
            raise GraphError("form", "an array with another dtype", got=array.dtype, at=name)
        view = array.view()
        view.flags.writeable = False
        return view


def _batch(content: Any, name: str, _: int) -> Any:
    if content != "N":
        raise _malformed(content, name)
    return N


def _float(content: Any, name: str, _: int) -> float:
    try:
        value: float = struct.unpack(">d", bytes.fromhex(content))[0]
    except (TypeError, ValueError, struct.error):
        raise _malformed(content, name) from None
    if math.isfinite(value):
        raise _malformed(content, name)
    return value


def _inline(content: Any, name: str, _: int) -> Array:
    if not isinstance(content, dict) or content.keys() != {"dtype", "shape", "data"}:
        raise _malformed(content, name)
    dtype, shape, data = content["dtype"], content["shape"], content["data"]
    if dtype not in DTYPES or not isinstance(data, list) or len(data) > INLINE:
        raise _malformed(content, name)
    try:
        with np.errstate(over="ignore"):
            array = np.array(data, dtype=dtype)
        exact = array.ndim == 1 and np.isfinite(array).all() and array.tolist() == data
        array = array.reshape(tuple(shape))
    except (TypeError, ValueError, OverflowError):
        raise _malformed(content, name) from None
    if not exact or list(array.shape) != shape:
        raise _malformed(content, name)
    array.flags.writeable = False
    return array


def encodable(value: str, name: str) -> str:
    """Returns the text itself. Raises GraphError if UTF-8 cannot encode it."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise GraphError("form", "text that is not Unicode", got=ascii(value), at=name) from None
    return value


def _integer(value: int, name: str) -> int:
    if not -(2**63) <= value < 2**64:
        raise GraphError("form", "an integer of more than 64 bits", got=short(value), at=name)
    return value


def _malformed(value: object, name: str) -> GraphError:
    return GraphError("form", "not a value that an encoder writes", got=short(value), at=name)
