"""pow as vector code: float32 by way of float64, float64 by way of pairs of float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

from chainrule.backend.cpu.emit.irtext import Value, clamp, fma, horner, lift, select
from chainrule.backend.cpu.maths.exp import exp_reduced, power2, reduce, scale
from chainrule.backend.cpu.maths.log import edges, exponent, log_normal, mantissa, upscale
from chainrule.backend.cpu.maths.tables import FLOAT64, POW_LOG

Pair: TypeAlias = tuple[Value, Value]
"""An unevaluated sum, the second part at most about an ulp of the first."""

_TWO_THIRDS = (0.6666666666666666, 3.700743415417188e-17)


def pow(x: Value, y: Value) -> Value:
    """x^y by IEEE 754: 1 if y is 0 or x is 1; NaN for a negative x unless y is an integer."""
    if x.kind.element == "double":
        return _signed(x, y, _size64)
    wide = _signed(x.cast("fpext", "double"), y.cast("fpext", "double"), _size32)
    return wide.cast("fptrunc", "float")


def _signed(x: Value, y: Value, size_of: Callable[[Value, Value], Value]) -> Value:
    """x^y from |x|^y, with the sign of an odd power and the special cases."""
    a, b = x.intrinsic("fabs"), y.intrinsic("fabs")
    size = size_of(a, y)
    whole = _whole(b)
    odd = whole & ~_whole(b * 0.5)
    sign = select(odd, x.bits() & FLOAT64.sign, 0)
    result = (size.bits() | sign).floats()
    bad = (x < 0.0) & (a < math.inf) & ~whole
    result = select(bad, math.nan, result)
    return select(y.compare("oeq", 0.0) | x.compare("oeq", 1.0), 1.0, result)


def _whole(b: Value) -> Value:
    """Whether b >= 0 is an integer; all from 2^52 on are, and infinity counts as one."""
    return (b >= 2.0**52) | ((b + 2.0**52) - 2.0**52).compare("oeq", b)


def _size32(a: Value, y: Value) -> Value:
    """a^y for values of float32, whose exponents are all small in float64."""
    power = y * edges(log_normal(a), a, a)
    power = select(a.compare("oeq", 1.0), 0.0, power)
    r, n = reduce(clamp(power, -200.0, 200.0))
    return exp_reduced(r) * power2(n)


def _size64(a: Value, y: Value) -> Value:
    """a^y = exp(y log a), the product known to some ten bits more than a float64 holds."""
    high, low = _log_pair(a)
    high = edges(high, a, a)
    power, rest = _product(high, y)
    rest = fma(low, y, rest)
    rest = select(power.intrinsic("fabs") < 1000.0, rest, 0.0)  # else NaN, or of no interest
    power = select(a.compare("oeq", 1.0), 0.0, power)
    r, n = reduce(clamp(power, *FLOAT64.exp_range))
    return scale(exp_reduced(r + rest), n)


def _log_pair(a: Value) -> Pair:
    """log(a) of a positive number, as 2 s + 2/3 s^3 + s^5 Q(s^2) of s = (m - 1) / (m + 1)."""
    scaled, down = upscale(a)
    biased, m = mantissa(scaled)
    e = exponent(biased, a) - down
    s, s_low = _quotient(m)
    z, z_low = _product(s, s)
    z_low = fma(s * 2.0, s_low, z_low)
    cube, cube_low = _product(z, s)
    cube_low = cube_low + fma(z_low, s, z * s_low)
    third, third_low = _product(cube, lift(_TWO_THIRDS[0], a))
    third_low = third_low + fma(cube_low, _TWO_THIRDS[0], cube * _TWO_THIRDS[1])
    high, low = _sum(s * 2.0, third)
    low = low + fma(s_low, 2.0, fma(cube * z, horner(z, POW_LOG), third_low))
    total, carry = _sum(e * FLOAT64.ln2[0], high)
    return _sum(total, carry + fma(e, FLOAT64.ln2[1], low))


def _quotient(m: Value) -> Pair:
    """(m - 1) / (m + 1)."""
    above, below = m - 1.0, m + 1.0
    below_low = above - (below - 2.0)  # what the rounding of m + 1 lost
    s = above / below
    product, product_low = _product(s, below)
    return s, ((above - product) - product_low - s * below_low) / below


def _sum(a: Value, b: Value) -> Pair:
    """a + b without an error (Knuth's two-sum)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _product(a: Value, b: Value) -> Pair:
    """a * b without an error: by a fused multiply-add, or by halves (Dekker)."""
    product = a * b
    if a.body.fused:
        return product, fma(a, b, -product)
    a_high, b_high = _upper(a), _upper(b)
    a_low, b_low = a - a_high, b - b_high
    rest = a_high * b_high - product + a_high * b_low + a_low * b_high + a_low * b_low
    return product, rest


def _upper(a: Value) -> Value:
    """The upper 26 bits of a number."""
    large = a * (2.0**27 + 1)
    return large - (large - a)
