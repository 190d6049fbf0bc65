"""Numbers of the vector maths: layouts of the float types and coefficients of the polynomials.

The polynomials are minimax fits with the weight of the function's relative error (Remez's exchange
in 60 digits; each coefficient rounded, low powers first, and the rest fitted again). Constants
split in a short high and a low part, and the shape of the approximations, are those of Cephes and
fdlibm.
"""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.backend.cpu.emit.irtext import Value


@dataclass(frozen=True)
class Table:
    """The constants that depend on the precision. Coefficients go from low powers to high.

    Attributes:
        mantissa: bits of the mantissa that are stored.
        bias: of the exponent.
        root: the bits of the square root of 1/2, rounded.
        ln2: log(2), the high part short enough that its product with an exponent is exact.
        exp_range: where exp overflows, and where it is less than half of the least subnormal.
        exp: (e^r - 1 - r) / r^2 for |r| < 0.34665.
        log: (log((1 + s) / (1 - s)) - 2 s) / s^3 as a function of s^2, |s| < 0.17161.
        sin: (sin r - r) / r^3 of r^2, |r| < 0.81 (float32) or 0.786 (float64).
        cos: (cos r - 1 + r^2 / 2) / r^4 of r^2, likewise.
        tanh: (tanh a - a) / a^3 of a^2, a < TANH_CUT.
        erf: erf(a) / a - 1 of a^2, a < erf_cut.
        erf_tail: -log(1 - erf(a)), erf_cut <= a < erf_one.
        erf_cut, erf_one: where the two meet, and where erf is 1 to the last bit.
        trig_limit: the greatest size that sin and cos reduce themselves.
    """

    mantissa: int
    bias: int
    root: int
    ln2: tuple[float, float]
    exp_range: tuple[float, float]
    exp: tuple[float, ...]
    log: tuple[float, ...]
    sin: tuple[float, ...]
    cos: tuple[float, ...]
    tanh: tuple[float, ...]
    erf: tuple[float, ...]
    erf_tail: tuple[float, ...]
    erf_cut: float
    erf_one: float
    trig_limit: float

    @property
    def sign(self) -> int:
        """The bit of the sign, as a signed integer."""
        return -0x80000000 if self.mantissa == 23 else -0x8000000000000000

    @property
    def one(self) -> int:
        """The bits of 1."""
        return self.bias << self.mantissa

    @property
    def rounder(self) -> float:
        """Added to a small number and taken away again, it leaves the nearest integer."""
        return 1.5 * 2.0**self.mantissa


FLOAT32 = Table(
    mantissa=23,
    bias=127,
    root=0x3F3504F3,
    ln2=(0.693359375, -2.12194440e-4),
    exp_range=(-104.0, 89.0),
    exp=(0.49999997, 0.16666539, 0.041667752, 0.008367105387151241, 0.0013836768921464682),
    log=(0.6666677594184875, 0.39977580308914185, 0.29870960116386414),
    sin=(-0.16666652262210846, 0.00833201128989458, -0.00019495048036333174),
    cos=(0.04166664183139801, -0.001388712553307414, 2.4411221602349542e-05),
    tanh=(-0.33333316445350647, 0.13332544267177582, -0.0538475476205349, 0.02105071395635605,
          -0.006242848467081785),
    erf=(0.12837916612625122, -0.3761262893676758, 0.11283624172210693, -0.026855560019612312,
         0.005191753152757883, -0.0008039752719923854, 7.943100354168564e-05),
    erf_tail=(0.00016645823779981583, 1.127797245979309, 0.6369759440422058, 0.10411398112773895,
              -0.022315481677651405, 0.003065596567466855, -0.00019823448383249342),
    erf_cut=0.9,
    erf_one=4.0,
    trig_limit=1e5,
)  # fmt: skip

FLOAT64 = Table(
    mantissa=52,
    bias=1023,
    root=0x3FE6A09E667F3BCD,
    ln2=(6.93147180369123816490e-01, 1.90821492927058770002e-10),
    exp_range=(-746.0, 710.0),
    exp=(0.5, 0.16666666666666677, 0.04166666666666651, 0.008333333333321681,
         0.0013888888888962492, 0.00019841269885998255, 2.4801587172341583e-05,
         2.7557244338116182e-06, 2.755740277872956e-07, 2.5108992580712746e-08,
         2.0875298122624477e-09),
    log=(0.6666666666666734, 0.3999999999941655, 0.2857142874207587, 0.22222198597016224,
         0.181835634361515, 0.1531406562521438, 0.14795867422945963),
    sin=(-0.1666666666666663, 0.00833333333332184, -0.00019841269829358503,
         2.7557313538497746e-06, -2.505073438564935e-08, 1.5895433032420133e-10),
    cos=(0.041666666666666595, -0.0013888888888873316, 2.4801587288974354e-05,
         -2.7557314206509823e-07, 2.0875703690651575e-09, -1.1358649134720968e-11),
    tanh=(-0.33333333333332316, 0.13333333333168937, -0.053968253876166127, 0.02186948597650367,
          -0.00886319452353079, 0.003591719834403283, -0.001453217359070108,
          0.0005791386290107919, -0.0002103048057528279, 5.1023011054662674e-05),
    erf=(0.12837916709551256, -0.37612638903183343, 0.11283791670936949, -0.02686617064195855,
         0.005223977596726416, -0.0008548325484215734, 0.00012055280459127031,
         -1.4924464552177811e-05, 1.6444131184613003e-06, -1.618378483802683e-07,
         1.3615500190615924e-08, -7.604893939346298e-10),
    erf_tail=(1.7962676366266827e-07, 1.1283773291940542, 0.6366284892683636, 0.10274725102860521,
              -0.019078152554217746, -0.0002804937561398706, 0.0017690069394085913,
              -0.000641178616034413, 4.482683690355648e-05, 7.036407331146354e-05,
              -4.5036196195603384e-05, 1.651352146053929e-05, -4.326931261181255e-06,
              8.505522230278566e-07, -1.257014647926015e-07, 1.3626194311613675e-08,
              -1.0256301525061206e-09, 4.7953205482185857e-11, -1.0492788014538647e-12),
    erf_cut=1.0,
    erf_one=6.0,
    trig_limit=5e5,
)  # fmt: skip

TANH_CUT = 0.55
"""The boundary between the two approximations of tanh."""

POW_LOG = (0.40000000000002256, 0.2857142857009935, 0.2222222252000555, 0.1818178435640103,
           0.1538675797611697, 0.13256799423924698, 0.13196527656731263)  # fmt: skip
"""(log((1 + s) / (1 - s)) - 2 s - 2/3 s^3) / s^5 as a function of s^2, |s| < 0.17161."""


def table(x: Value) -> Table:
    """The table for the precision of a value."""
    return FLOAT32 if x.kind.element == "float" else FLOAT64
