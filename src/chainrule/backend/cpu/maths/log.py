"""log and functions computed from it, as vector code: log1p, softplus."""

from __future__ import annotations

import math

from chainrule.backend.cpu.emit.irtext import Value, fma, horner, lift, select
from chainrule.backend.cpu.maths.exp import exp
from chainrule.backend.cpu.maths.tables import table


def log(x: Value) -> Value:
    """The natural logarithm; subnormals are scaled up first."""
    return edges(log_normal(*upscale(x)), x, x)


def upscale(x: Value) -> tuple[Value, Value]:
    """A normal number and the exponent to take off again to come to x, which may be subnormal."""
    t = table(x)
    subnormal = x < 2.0 ** (1 - t.bias)
    by = select(subnormal, lift(float(t.mantissa), x), 0.0)
    return select(subnormal, x * 2.0**t.mantissa, x), by


def log1p(x: Value) -> Value:
    """log(u) of u = 1 + x, with what the rounding of u lost."""
    u = x + 1.0
    y = log_normal(u, None, x - (u - 1.0))
    tiny = x.intrinsic("fabs") < 2.0**-60
    return select(tiny, x, edges(y, u, x))


def softplus(x: Value) -> Value:
    """max(x, 0) + log1p(exp(-|x|))."""
    e = exp(-x.intrinsic("fabs"))
    u = e + 1.0
    return select(x > 0.0, x, 0.0) + log_normal(u, None, e - (u - 1.0))


def edges(y: Value, u: Value, x: Value) -> Value:
    """The logarithm y of u; NaN and infinity of x stay, log(0) is -infinity, below is NaN."""
    y = select(x < math.inf, y, x)
    return select(u <= 0.0, select(u < 0.0, math.nan, lift(-math.inf, x)), y)


def mantissa(x: Value) -> tuple[Value, Value]:
    """The exponent, biased, as an integer, and the mantissa in [sqrt(1/2), sqrt(2))."""
    t = table(x)
    bits = x.bits() + (t.one - t.root)
    return bits >> t.mantissa, ((bits & ((1 << t.mantissa) - 1)) + t.root).floats()


def exponent(biased: Value, like: Value) -> Value:
    """A biased exponent as a float, by the bits of a large number."""
    t = table(like)
    large = (t.bias + t.mantissa) << t.mantissa
    return (biased | large).floats() - (2.0**t.mantissa + t.bias)


def log_normal(x: Value, down: Value | None = None, more: Value | None = None) -> Value:
    """log(x + more) - down log(2) of a positive normal number; |more| is an ulp of x at most.

    With s = f / (2 + f), log(1 + f) = f - (f^2/2 - s (f^2/2 + R(s^2))), as fdlibm does.
    """
    t = table(x)
    biased, m = mantissa(x)
    e = exponent(biased, x)
    f = m - 1.0
    if down is not None:
        e = e - down
    if more is not None:  # scaled by 2^-e in two steps, for 2^-128 is not a normal float
        twice = (lift(2 * t.bias + 1, biased) - biased) << t.mantissa
        f = f + more * twice.floats() * 0.5
    s = f / (f + 2.0)
    z = s * s
    square = f * f * 0.5
    rest = fma(s, fma(z, horner(z, t.log), square), e * t.ln2[1])
    return fma(e, t.ln2[0], f - (square - rest))
