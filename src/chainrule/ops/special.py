"""The error function in NumPy, which has none, accurate to about an ulp of float64."""

from __future__ import annotations

import numpy as np

from chainrule.graph.node import Array

# Rational approximations on five intervals of |x|, from low powers to high; the
# coefficients are those of fdlibm's s_erf.c (Sun Microsystems, 1993).
# |x| < 0.84375: erf(x) = x + x p(x^2) / q(x^2)
_P = (1.28379167095512558561e-01, -3.25042107247001499370e-01, -2.84817495755985104766e-02,
      -5.77027029648944159157e-03, -2.37630166566501626084e-05)  # fmt: skip
_Q = (1.0, 3.97917223959155352819e-01, 6.50222499887672944485e-02, 5.08130628187576562776e-03,
      1.32494738004321644526e-04, -3.96022827877536812320e-06)  # fmt: skip
# |x| < 1.25: erf(x) = c + p(s) / q(s), s = |x| - 1
_C = 8.45062911510467529297e-01
_PA = (-2.36211856075265944077e-03, 4.14856118683748331666e-01, -3.72207876035701323847e-01,
       3.18346619901161753674e-01, -1.10894694282396677476e-01, 3.54783043256182359371e-02,
       -2.16637559486879084300e-03)  # fmt: skip
_QA = (1.0, 1.06420880400844228286e-01, 5.40397917702171048937e-01, 7.18286544141962662868e-02,
       1.26171219808761642112e-01, 1.36370839120290507362e-02,
       1.19844998467991074170e-02)  # fmt: skip
# |x| < 1/0.35, and |x| < 6: erf(x) = 1 - exp(-x^2 - 0.5625 + r(s) / t(s)) / |x|, s = 1 / x^2
_RA = (-9.86494403484714822705e-03, -6.93858572707181764372e-01, -1.05586262253232909814e+01,
       -6.23753324503260060396e+01, -1.62396669462573470355e+02, -1.84605092906711035994e+02,
       -8.12874355063065934246e+01, -9.81432934416914548592e+00)  # fmt: skip
_SA = (1.0, 1.96512716674392571292e+01, 1.37657754143519042600e+02, 4.34565877475229228821e+02,
       6.45387271733267880336e+02, 4.29008140027567833386e+02, 1.08635005541779435134e+02,
       6.57024977031928170135e+00, -6.04244152148580987438e-02)  # fmt: skip
_RB = (-9.86494292470009928597e-03, -7.99283237680523006574e-01, -1.77579549177547519889e+01,
       -1.60636384855821916062e+02, -6.37566443368389627722e+02, -1.02509513161107724954e+03,
       -4.83519191608651397019e+02)  # fmt: skip
_SB = (1.0, 3.03380607434824582924e+01, 3.25792512996573918826e+02, 1.53672958608443695994e+03,
       3.19985821950859553908e+03, 2.55305040643316442583e+03, 4.74528541206955367215e+02,
       -2.24409524465858183362e+01)  # fmt: skip


def erf(x: Array) -> Array:
    """The error function of float32 or float64 values; float32 is computed in float64."""
    size = np.abs(np.asarray(x, np.float64))
    out = np.where(np.isnan(size), size, 1.0)  # beyond 6 the result is 1 to the last bit
    inner = size < 0.84375
    square = size[inner] ** 2
    out[inner] = size[inner] + size[inner] * _ratio(square, _P, _Q)
    near = (size >= 0.84375) & (size < 1.25)
    out[near] = _C + _ratio(size[near] - 1, _PA, _QA)
    for low, high, upper, lower in ((1.25, 1 / 0.35, _RA, _SA), (1 / 0.35, 6.0, _RB, _SB)):
        part = (size >= low) & (size < high)
        z = size[part]
        out[part] = 1 - np.exp(-z * z - 0.5625 + _ratio(1 / (z * z), upper, lower)) / z
    return np.copysign(out, x).astype(x.dtype)


def _ratio(x: Array, upper: tuple[float, ...], lower: tuple[float, ...]) -> Array:
    """The quotient of two polynomials by Horner's rule."""
    p, q = np.full_like(x, upper[-1]), np.full_like(x, lower[-1])
    for coefficient in reversed(upper[:-1]):
        p = p * x + coefficient
    for coefficient in reversed(lower[:-1]):
        q = q * x + coefficient
    result: Array = p / q
    return result
