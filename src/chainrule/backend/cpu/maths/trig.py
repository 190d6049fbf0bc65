"""sin and cos as vector code; large arguments go to the C library one by one."""

from __future__ import annotations

import math

from chainrule.backend.cpu.emit.irtext import Kind, Value, float_text, fma, horner, select
from chainrule.backend.cpu.maths.tables import FLOAT32, FLOAT64, table

# pi / 2 in three parts; 33 bits in the first two make products with integers below 2^20 exact.
_HALF_PI = (1.57079632673412561417e00, 6.07710050630396597660e-11, 2.02226624879595063154e-21)


def sin(x: Value) -> Value:
    """The sine of a number of any size."""
    return select(x.intrinsic("fabs") < 2.0**-30, x, _wave(x, 0))


def cos(x: Value) -> Value:
    """The cosine of a number of any size."""
    return _wave(x, 1)


def _wave(x: Value, turn: int) -> Value:
    """sin(x + turn pi / 2) of |x| <= trig_limit, by polynomials on +-pi / 4."""
    t = table(x)
    shifted = fma(x, 2 / math.pi, t.rounder)
    r = _rest(x, shifted - t.rounder)
    quarter = shifted.bits() + turn
    z = r * r
    sine = fma(r * z, horner(z, t.sin), r)
    cosine = fma(z * z, horner(z, t.cos), fma(z, -0.5, 1.0))
    y = select((quarter & 1).compare("ne", 0), cosine, sine)
    sign = (quarter & 2) << (t.mantissa + t.bias.bit_length())
    return (y.bits() ^ sign).floats()


def _rest(x: Value, n: Value) -> Value:
    """x - n pi / 2, by Cody and Waite in float64."""
    if x.kind.element == "double":
        first, second, third = _HALF_PI
        return fma(n, -third, fma(n, -second, fma(n, -first, x)))
    wide, n = x.cast("fpext", "double"), n.cast("fpext", "double")
    first, second = _HALF_PI[0], _HALF_PI[1] + _HALF_PI[2]
    return fma(n, -second, fma(n, -first, wide)).cast("fptrunc", "float")


def far_branch(x: Value, y: Value, far: str) -> Value:
    """`y`, or the result of the function `far` of x and y if a lane of x is large."""
    body, kind = x.body, x.kind
    large = x.intrinsic("fabs") > table(x).trig_limit
    some = large.name
    if kind.width > 1:
        one = f"call i1 @llvm.vector.reduce.or.v{kind.width}i1({large.kind.text} {some})"
        some = body.emit(one, Kind("i1", 1)).name
    body.lines += [f"  br i1 {some}, label %large, label %done", "large:"]
    other = body.emit(f"call {kind.text} {far}({kind.text} {x.name}, {kind.text} {y.name})", kind)
    body.lines += ["  br label %done", "done:"]
    return body.emit(f"phi {kind.text} [{y.name}, %entry], [{other.name}, %large]", kind)


def far_definition(name: str, far: str, kind: Kind) -> str:
    """A function of x and y: the C library's `name` of the lanes of x that are large, else y."""
    vector, element = kind.text, kind.element
    limit = float_text((FLOAT32 if element == "float" else FLOAT64).trig_limit, element)
    narrow = element == "float"
    widen = "  %wide = fpext float %one to double" if narrow else ""
    shorten = "  %short = fptrunc double %libm to float" if narrow else ""
    return f"""\
define internal {vector} {far}({vector} %x, {vector} %y) noinline cold nounwind {{
entry:
  %xs = alloca [{kind.width} x {element}], align 64
  %ys = alloca [{kind.width} x {element}], align 64
  store {vector} %x, ptr %xs
  store {vector} %y, ptr %ys
  br label %lane
lane:
  %i = phi i64 [0, %entry], [%next, %skip]
  %from = getelementptr {element}, ptr %xs, i64 %i
  %one = load {element}, ptr %from
  %size = call {element} @llvm.fabs.{Kind(element, 1).suffix}({element} %one)
  %large = fcmp ogt {element} %size, {limit}
  br i1 %large, label %call, label %skip
call:
{widen}
  %libm = call double @llvm.{name}.f64(double {"%wide" if narrow else "%one"})
{shorten}
  %to = getelementptr {element}, ptr %ys, i64 %i
  store {element} {"%short" if narrow else "%libm"}, ptr %to
  br label %skip
skip:
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, {kind.width}
  br i1 %more, label %lane, label %end
end:
  %result = load {vector}, ptr %ys
  ret {vector} %result
}}
"""
