"""Vector maths as LLVM IR text: names, signatures and definitions of the functions.

No lane's result depends on its neighbours or on the width. Results are within 2 ulp (float32) or
4 ulp (float64) of the exact value everywhere, subnormals included, with or without fused
multiply-add; the special cases are those of NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from chainrule.backend.cpu.emit.irtext import FLOATS, Body, Kind, Value, define
from chainrule.backend.cpu.maths import exp as math_exp
from chainrule.backend.cpu.maths import log as math_log
from chainrule.backend.cpu.maths import philox
from chainrule.backend.cpu.maths import pow as math_pow
from chainrule.backend.cpu.maths import trig as math_trig

_UNARY: dict[str, Callable[[Value], Value]] = {
    "exp": math_exp.exp,
    "expm1": math_exp.expm1,
    "log": math_log.log,
    "log1p": math_log.log1p,
    "sin": math_trig.sin,
    "cos": math_trig.cos,
    "tanh": math_exp.tanh,
    "sigmoid": math_exp.sigmoid,
    "softplus": math_log.softplus,
    "erf": math_exp.erf,
}
_FAR = ("sin", "cos")

FUNCTIONS = (*_UNARY, "pow", "philox", "philox.run")
"""Their names. With T the vector of the width (a scalar at width 1) and I that of i64:

| name       | operands                                          | result                      |
|------------|---------------------------------------------------|-----------------------------|
| pow        | T x, T y                                          | T                           |
| philox     | I element, I row, i32 low, high, step, stream     | T, uniform in [0, 1)        |
| philox.run | i64 element, i64 row, i32 low, high, step, stream | T, of `element` and onwards |
| the rest   | T x                                               | T                           |

low, high and step are the words of the step's key. `philox.run` is several times as fast as
`philox`, most of all where its element is a multiple of 4.
"""


def symbol(name: str, dtype: str, width: int) -> str:
    """The IR name of a function, such as `@chainrule.exp.v16f32`.

    Args:
        name: one of FUNCTIONS.
        dtype: float32 or float64.
        width: lanes: 1 (a scalar), 2, 4, 8 or 16.
    """
    return f"@chainrule.{name}.{Kind(FLOATS[dtype], width).suffix}"


def definitions(
    names: Iterable[str], dtype: str, width: int, *, fma: bool, external: bool = False
) -> str:
    """The IR text of functions and of what they call, without declarations.

    A module may hold the definitions of several types and widths; each only once. Call them with
    two registers' worth of lanes: that runs fastest, and inlining then gains little.

    Args:
        names: of FUNCTIONS, in any order; repetitions count once.
        dtype, width: as for `symbol`.
        fma: whether the target has fused multiply-add (else each one would be a library call).
        external: whether other modules may call the functions.
    """
    wanted = set(names)
    if "philox.run" in wanted and width < 4:
        wanted.add("philox")
    kind = Kind(FLOATS[dtype], width)
    parts = (_definition(name, dtype, kind, fma) for name in FUNCTIONS if name in wanted)
    text = "\n".join(parts)
    for name in wanted if external else ():
        head = f"{kind.text} {symbol(name, dtype, width)}("
        text = text.replace(f"define internal {head}", f"define {head}")
    return text


def _definition(name: str, dtype: str, kind: Kind, fma: bool) -> str:
    """The text of one function, after that of its part for large arguments."""
    own = symbol(name, dtype, kind.width)
    if name == "philox":
        return philox.definition(own, kind)
    if name == "philox.run":
        return philox.run_definition(own, symbol("philox", dtype, kind.width), kind)
    body = Body(fma)
    x, y = Value(body, "%x", kind), Value(body, "%y", kind)
    if name == "pow":
        head = f"{kind.text} {own}({kind.text} %x, {kind.text} %y)"
        return define(head, body, math_pow.pow(x, y))
    head, result = f"{kind.text} {own}({kind.text} %x)", _UNARY[name](x)
    if name not in _FAR:
        return define(head, body, result)
    far = symbol(f"{name}.far", dtype, kind.width)
    result = math_trig.far_branch(x, result, far)
    return math_trig.far_definition(name, far, kind) + define(head, body, result)
