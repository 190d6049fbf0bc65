"""The scalar functions of the plan as LLVM IR, in one lane or many."""

from __future__ import annotations

from collections.abc import Callable

from chainrule.backend.cpu.emit.text import Function, constant, number, type_of
from chainrule.backend.cpu.maths import library as math
from chainrule.types import FLOATS

UNSIGNED = ("uint32", "bool")
SUFFIX = {"float32": "f32", "float64": "f64", "int32": "i32", "int64": "i64", "uint32": "i32"}

ARITHMETIC = {"add": ("fadd", "add"), "sub": ("fsub", "sub"), "mul": ("fmul", "mul")}
LOGICAL = {"and": "and", "or": "or", "xor": "xor"}
ORDERED = {
    "eq": ("oeq", "eq"),
    "ne": ("une", "ne"),
    "lt": ("olt", "lt"),
    "le": ("ole", "le"),
    "gt": ("ogt", "gt"),
    "ge": ("oge", "ge"),
}
INTRINSIC = {"sqrt": "sqrt", "floor": "floor", "round": "roundeven"}
MATHS = ("exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "sigmoid", "softplus", "erf", "pow")


def intrinsic(f: Function, name: str, dtype: str, lanes: int, *operands: str) -> str:
    """A call of `llvm.name` where operands and result have one type."""
    kind = type_of(dtype, lanes)
    suffix = SUFFIX[dtype] if lanes == 1 else f"v{lanes}{SUFFIX[dtype]}"
    return f.call(kind, f"llvm.{name}.{suffix}", *((kind, x) for x in operands))


def pairs_added(f: Function, a: str, b: str, c: str) -> str:
    """c plus the products of both bfloat16 in each of 16 lanes of a and b."""
    pairs, kind = "<32 x bfloat>", "<16 x float>"
    x, y = (f.value(f"bitcast {kind} {v} to {pairs}") for v in (a, b))
    return f.call(kind, "llvm.x86.avx512bf16.dpbf16ps.512", (kind, c), (pairs, x), (pairs, y))


def apply(
    f: Function, name: str, dtype: str, source: str, lanes: int, operands: tuple[str, ...]
) -> str:
    """Write `name` of the operands; `source` is their dtype, `dtype` that of the result."""
    kind = type_of(source, lanes)
    real = source in FLOATS
    if name in ARITHMETIC:
        return f.value(f"{ARITHMETIC[name][not real]} {kind} {operands[0]}, {operands[1]}")
    if name in LOGICAL:
        return f.value(f"{LOGICAL[name]} {kind} {operands[0]}, {operands[1]}")
    if name in ORDERED:
        return _compare(f, name, source, lanes, *operands)
    if name in INTRINSIC:
        if not real:
            return operands[0]
        return intrinsic(f, INTRINSIC[name], source, lanes, *operands)
    return TABLE[name](f, dtype, source, lanes, *operands)


def _compare(f: Function, name: str, source: str, lanes: int, a: str, b: str) -> str:
    kind = type_of(source, lanes)
    real, whole = ORDERED[name]
    if source in FLOATS:
        return f.value(f"fcmp {real} {kind} {a}, {b}")
    sign = "" if whole in ("eq", "ne") else "u" if source in UNSIGNED else "s"
    return f.value(f"icmp {sign}{whole} {kind} {a}, {b}")


def _div(f: Function, dtype: str, source: str, lanes: int, a: str, b: str) -> str:
    return f.value(f"fdiv {type_of(source, lanes)} {a}, {b}")


def _neg(f: Function, dtype: str, source: str, lanes: int, a: str) -> str:
    kind = type_of(source, lanes)
    if source in FLOATS:
        return f.value(f"fneg {kind} {a}")
    return f.value(f"sub {kind} {constant('0', source, lanes)}, {a}")


def _abs(f: Function, dtype: str, source: str, lanes: int, a: str) -> str:
    if source in UNSIGNED:
        return a
    if source in FLOATS:
        return intrinsic(f, "fabs", source, lanes, a)
    kind = type_of(source, lanes)
    below = f.value(f"icmp slt {kind} {a}, {constant('0', source, lanes)}")
    return choose(f, source, lanes, below, _neg(f, dtype, source, lanes, a), a)


def choose(f: Function, dtype: str, lanes: int, mask: str, a: str, b: str) -> str:
    """a where the mask is true, else b."""
    kind = type_of(dtype, lanes)
    return f.value(f"select {type_of('bool', lanes)} {mask}, {kind} {a}, {kind} {b}")


def _extreme(name: str) -> Callable[..., str]:
    """min or max. The select gives the second operand for NaN, so the first is tested for NaN."""

    def write(f: Function, dtype: str, source: str, lanes: int, a: str, b: str) -> str:
        if source in FLOATS and _is_constant(b):  # a constant goes first: one instruction
            a, b = b, a
        best = choose(f, source, lanes, _compare(f, name, source, lanes, a, b), a, b)
        if source not in FLOATS or _is_constant(a):
            return best
        nan = f.value(f"fcmp uno {type_of(source, lanes)} {a}, {a}")
        return choose(f, source, lanes, nan, a, best)

    return write


def _is_constant(operand: str) -> bool:
    """Whether the operand is a constant; it is assumed not to be NaN."""
    return not operand.startswith("%")


def _not(f: Function, dtype: str, source: str, lanes: int, a: str) -> str:
    return f.value(f"xor {type_of('bool', lanes)} {a}, {constant('true', 'bool', lanes)}")


def _select(f: Function, dtype: str, source: str, lanes: int, mask: str, a: str, b: str) -> str:
    return choose(f, dtype, lanes, mask, a, b)


def _floordiv(f: Function, dtype: str, source: str, lanes: int, a: str, b: str) -> str:
    return _division(f, source, lanes, a, b)[0]


def _mod(f: Function, dtype: str, source: str, lanes: int, a: str, b: str) -> str:
    return _division(f, source, lanes, a, b)[1]


def _division(f: Function, dtype: str, lanes: int, a: str, b: str) -> tuple[str, str]:
    """Quotient, rounded down, and remainder; for a zero divisor both are 0, as in NumPy."""
    kind, zero = type_of(dtype, lanes), constant("0", dtype, lanes)
    none = f.value(f"icmp eq {kind} {b}, {zero}")
    if dtype in UNSIGNED:
        divisor = choose(f, dtype, lanes, none, constant("1", dtype, lanes), b)
        quotient = f.value(f"udiv {kind} {a}, {divisor}")
        rest = f.value(f"urem {kind} {a}, {divisor}")
    else:  # by -1 overflows once in 2^64 times, and the processor traps: negate instead
        minus = f.value(f"icmp eq {kind} {b}, {constant('-1', dtype, lanes)}")
        bad = f.value(f"or {type_of('bool', lanes)} {none}, {minus}")
        divisor = choose(f, dtype, lanes, bad, constant("1", dtype, lanes), b)
        quotient = f.value(f"sdiv {kind} {a}, {divisor}")
        rest = f.value(f"srem {kind} {a}, {divisor}")
        quotient = choose(f, dtype, lanes, minus, _neg(f, dtype, dtype, lanes, a), quotient)
        crossed = f.value(f"xor {kind} {rest}, {divisor}")
        below = f.value(f"icmp slt {kind} {crossed}, {zero}")
        some = f.value(f"icmp ne {kind} {rest}, {zero}")
        fix = f.value(f"and {type_of('bool', lanes)} {below}, {some}")
        less = f.value(f"sub {kind} {quotient}, {constant('1', dtype, lanes)}")
        more = f.value(f"add {kind} {rest}, {divisor}")
        quotient = choose(f, dtype, lanes, fix, less, quotient)
        rest = choose(f, dtype, lanes, fix, more, rest)
    quotient, rest = (choose(f, dtype, lanes, none, zero, x) for x in (quotient, rest))
    return quotient, rest


def _cast(f: Function, dtype: str, source: str, lanes: int, a: str) -> str:
    """To another dtype; from a float the fraction is cut off."""
    if dtype == source or {dtype, source} == {"int32", "uint32"}:
        return a
    old, new = type_of(source, lanes), type_of(dtype, lanes)
    if dtype == "bool":
        zero = constant(number(0, source), source, lanes)
        return f.value(f"{'fcmp une' if source in FLOATS else 'icmp ne'} {old} {a}, {zero}")
    if source in FLOATS:
        if dtype in FLOATS:
            return f.value(f"{'fpext' if dtype == 'float64' else 'fptrunc'} {old} {a} to {new}")
        if dtype == "uint32":  # by way of int64: negative numbers wrap round
            wide = f.value(f"fptosi {old} {a} to {type_of('int64', lanes)}")
            return f.value(f"trunc {type_of('int64', lanes)} {wide} to {new}")
        return f.value(f"fptosi {old} {a} to {new}")
    if dtype in FLOATS:
        return f.value(f"{'uitofp' if source in UNSIGNED else 'sitofp'} {old} {a} to {new}")
    if source == "int64":
        return f.value(f"trunc {old} {a} to {new}")
    return f.value(f"{'zext' if source in UNSIGNED else 'sext'} {old} {a} to {new}")


def _bfloat16(f: Function, dtype: str, source: str, lanes: int, a: str) -> str:
    """The upper half of a float32, rounded half to even; what is subnormal becomes 0."""
    a = _cast(f, "float32", source, lanes, a)
    real, kind = type_of("float32", lanes), type_of("uint32", lanes)

    def bits(operation: str, x: str, value: int) -> str:
        return f.value(f"{operation} {kind} {x}, {constant(str(value), 'uint32', lanes)}")

    whole = f.value(f"bitcast {real} {a} to {kind}")
    odd = bits("and", bits("lshr", whole, 16), 1)
    up = bits("add", f.value(f"add {kind} {whole}, {odd}"), 0x7FFF)
    nan = f.value(f"fcmp uno {real} {a}, {a}")
    y = choose(f, "uint32", lanes, nan, bits("or", whole, 0x400000), up)
    small = bits("icmp eq", bits("and", whole, 0x7F800000), 0)
    y = choose(f, "uint32", lanes, small, bits("and", whole, 0x80000000), y)
    y = f.value(f"bitcast {kind} {bits('and', y, 0xFFFF0000)} to {real}")
    return _cast(f, dtype, "float32", lanes, y)


def _maths(name: str) -> Callable[..., str]:
    def write(f: Function, dtype: str, source: str, lanes: int, *operands: str) -> str:
        return maths(f, name, dtype, lanes, operands)

    return write


def maths(
    f: Function, name: str, dtype: str, lanes: int, operands: tuple[str, ...],
    kinds: tuple[str, ...] = (),
) -> str:  # fmt: skip
    """A call of a function of the maths library; `kinds` are the operands' types."""
    f.maths.add((name, dtype, lanes))
    kind = type_of(dtype, lanes)
    pairs = zip(kinds or (kind,) * len(operands), operands, strict=True)
    listed = ", ".join(f"{k} {v}" for k, v in pairs)
    return f.value(f"call {kind} {math.symbol(name, dtype, lanes)}({listed})")


TABLE: dict[str, Callable[..., str]] = {
    "div": _div,
    "neg": _neg,
    "abs": _abs,
    "min": _extreme("lt"),
    "max": _extreme("gt"),
    "not": _not,
    "select": _select,
    "mod": _mod,
    "floordiv": _floordiv,
    "cast": _cast,
    "bfloat16": _bfloat16,
    **{name: _maths(name) for name in MATHS},
}
