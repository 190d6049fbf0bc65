"""exp and functions computed from it, as vector code: expm1, tanh, sigmoid, erf."""

from __future__ import annotations

import math

from chainrule.backend.cpu.emit.irtext import Value, clamp, fma, horner, lift, select
from chainrule.backend.cpu.maths.tables import TANH_CUT, table


def exp(x: Value) -> Value:
    """e^x = 2^n e^r."""
    r, n = reduce(clamp(x, *table(x).exp_range))
    return scale(exp_reduced(r), n)


def scale(y: Value, n: Value) -> Value:
    """y 2^n for an integer n, whatever comes of it: zero, a subnormal or infinity."""
    t = table(y)
    whole = n + 2 * t.bias  # > 0, so that a logical shift halves it
    half = whole >> 1
    return y * (half << t.mantissa).floats() * ((whole - half) << t.mantissa).floats()


def exp_negative(x: Value, floor: float) -> Value:
    """e^x of `floor <= x <= 0`, where that is not subnormal; less is taken for `floor`."""
    r, n = reduce(select(lift(floor, x) > x, floor, x))
    return exp_reduced(r) * power2(n)


def expm1(x: Value) -> Value:
    """e^x - 1 = 2^n (e^r - 1) + (2^n - 1), in halves, for 2^1024 is too large."""
    r, n = reduce(clamp(x, -80.0, table(x).exp_range[1]))
    half = power2(n, -1)
    y = fma(_less_one(r), half, half - 0.5)
    return select(x.intrinsic("fabs") < 2.0**-60, x, y + y)


def reduce(x: Value) -> tuple[Value, Value]:
    """r and the integer n of x = r + n log(2), |r| <= log(2) / 2, by Cody and Waite."""
    t = table(x)
    shifted = fma(x, 1 / math.log(2), t.rounder)
    n = shifted - t.rounder
    r = fma(n, -t.ln2[1], fma(n, -t.ln2[0], x))
    return r, shifted.bits() - lift(t.rounder, x).bits()


def exp_reduced(r: Value) -> Value:
    """e^r for |r| <= log(2) / 2."""
    return _less_one(r) + 1.0


def _less_one(r: Value) -> Value:
    """e^r - 1 for |r| <= log(2) / 2."""
    return fma(r * r, horner(r, table(r).exp), r)


def power2(n: Value, more: int = 0) -> Value:
    """2^(n + more) for an integer n, where that is a normal number."""
    mantissa, bias = (23, 127) if n.kind.element == "i32" else (52, 1023)
    return ((n + (bias + more)) << mantissa).floats()


def tanh(x: Value) -> Value:
    """a + a^3 P(a^2) for small a = |x|, and 1 - 2 q / (1 + q), q = exp(-2 a), for the rest."""
    a = x.intrinsic("fabs")
    z = a * a
    small = fma(a * z, horner(z, table(x).tanh), a)
    q = exp_negative(a * -2.0, -60.0)
    large = 1.0 - (q + q) / (q + 1.0)
    return select(a < TANH_CUT, small, large).intrinsic("copysign", x)


def sigmoid(x: Value) -> Value:
    """1 / (1 + e) for x >= 0 and e / (1 + e) below, with e = exp(-|x|)."""
    e = exp(-x.intrinsic("fabs"))
    below = e + 1.0
    y = select(x < 0.0, e, 1.0) / below
    lost = e - (below - 1.0)  # an ulp of e / (1 + e); 1 / (1 + e) is about 1 - e / 2
    return fma(y * lost, fma(e, 0.5, -1.0), y)


def erf(x: Value) -> Value:
    """a + a P(a^2) for small a = |x|, and 1 - exp(-T(a)) for the rest."""
    t = table(x)
    a = x.intrinsic("fabs")
    small = fma(a, horner(a * a, t.erf), a)
    tail = -horner(select(lift(t.erf_one, x) < a, t.erf_one, a), t.erf_tail)
    large = 1.0 - exp_negative(tail, -60.0)
    return select(a < t.erf_cut, small, large).intrinsic("copysign", x)
