"""The scalar functions of the plan as expressions in C."""

from __future__ import annotations

import math

from chainrule.ir.kernel import BYTES
from chainrule.types import FLOATS

TYPES = {
    "float32": "f32", "float64": "f64", "int32": "i32", "int64": "i64", "uint32": "u32",
    "bool": "int",
}  # fmt: skip
"""The C type of a value; one in memory has that of `STORED`."""

STORED = TYPES | {"bool": "u8"}

SIZES = {"f32": 4, "f64": 8, "i32": 4, "i64": 8, "u32": 4, "int": 4}
"""The most bytes of a value."""

_BETWEEN = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "eq": "==", "ne": "!=", "lt": "<", "le": "<=",
    "gt": ">", "ge": ">=", "and": "&", "or": "|", "xor": "^",
}  # fmt: skip
_SAME = ("sqrt", "exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "erf", "pow")
_OWN = ("sigmoid", "softplus", "floordiv", "mod", "bfloat16")
_ROUNDED = {"floor": "floor", "round": "rint"}


def apply(name: str, dtype: str, source: str, operands: tuple[str, ...]) -> str:
    """The expression of a function.

    Args:
        name: of the function, as in `Call` of ir/kernel.py.
        dtype: of the result.
        source: of the last operand.
        operands: expressions.
    """
    if name in _BETWEEN:
        return f"({operands[0]} {_BETWEEN[name]} {operands[1]})"
    if name in _SAME:
        return f"{name}({', '.join(operands)})"
    if name in _OWN:
        return f"{name}_{TYPES[source]}({', '.join(operands)})"
    match name:
        case "min" | "max" if source == "bool":
            return f"({operands[0]} {'&' if name == 'min' else '|'} {operands[1]})"
        case "min" | "max":
            return f"{name}_{TYPES[source]}({', '.join(operands)})"
        case "neg":
            return f"(-{operands[0]})"
        case "not":
            return f"(!{operands[0]})"
        case "abs" if source in FLOATS:
            return f"fabs({operands[0]})"
        case "abs" if source in ("uint32", "bool"):
            return operands[0]
        case "abs":
            return f"({operands[0]} < 0 ? -{operands[0]} : {operands[0]})"
        case "floor" | "round":
            return f"{_ROUNDED[name]}({operands[0]})" if source in FLOATS else operands[0]
        case "select":
            return "({} ? {} : {})".format(*operands)
        case "cast":
            return cast(dtype, source, operands[0])
    raise NotImplementedError(name)


def cast(dtype: str, source: str, operand: str) -> str:
    """A value in another dtype; from a float the fraction is cut off."""
    if dtype == source:
        return operand
    if dtype == "bool":
        return f"({operand} != 0)"
    if dtype == "uint32" and source in FLOATS:  # negative numbers wrap round
        return f"((u32)(i64){operand})"
    return f"(({TYPES[dtype]}){operand})"


def number(value: float | int, dtype: str) -> str:
    """A constant."""
    if dtype in FLOATS:
        return _real(float(value), dtype)
    value = int(value)
    if dtype == "uint32":
        return f"{value}u"
    if value == -(2 ** (8 * BYTES[dtype] - 1)):
        return f"(({TYPES[dtype]})({value + 1}) - 1)"
    return f"(({TYPES[dtype]}){value})" if dtype == "int64" else f"({value})"


def _real(value: float, dtype: str) -> str:
    if math.isfinite(value):
        text = value.hex() + ("f" if dtype == "float32" else "")
        return f"((f64){text})" if dtype == "float64" else f"({text})"
    # of float64 too: a cast keeps what they are
    bits = "0x7fc00000" if math.isnan(value) else "0x7f800000" if value > 0 else "0xff800000"
    return f"(({TYPES[dtype]})BITS32({bits}))"


def extreme(dtype: str, *, greatest: bool) -> str:
    """The greatest or the least number of a dtype."""
    if dtype in FLOATS:
        return number(math.inf if greatest else -math.inf, dtype)
    if dtype == "bool":
        return "1" if greatest else "0"
    bits = 8 * BYTES[dtype]
    if dtype == "uint32":
        return number(2**bits - 1 if greatest else 0, dtype)
    return number(2 ** (bits - 1) - 1 if greatest else -(2 ** (bits - 1)), dtype)


IDENTITY = {"sum": 0, "scan": 0, "prod": 1, "any": 0}


def identity(combine: str, dtype: str) -> str:
    """The result of a reduction of nothing."""
    combine = combine.removeprefix("arg")
    if combine in IDENTITY:
        return number(IDENTITY[combine], dtype)
    return extreme(dtype, greatest=combine == "min")


COMBINE = {"sum": "add", "scan": "add", "prod": "mul", "any": "or", "max": "max", "min": "min"}


def combined(combine: str, dtype: str, a: str, b: str) -> str:
    """Two results of a reduction as one."""
    return apply(COMBINE[combine], dtype, dtype, (a, b))


def multiply_add(dtype: str, a: str, b: str, c: str) -> str:
    """`a * b + c`, rounded once where the device does that as quickly."""
    return f"FMA{32 if dtype == 'float32' else 64}({a}, {b}, {c})"
