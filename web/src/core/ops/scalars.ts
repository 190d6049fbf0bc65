/** Functions of one or two floats that JavaScript lacks, or defines otherwise than IEEE 754.
 *
 * `Math` has the others: browsers compute exp, expm1, log, log1p, sin, cos and tanh within about one
 * unit in the last place of a double, and square roots exactly. float32 is computed in double and
 * rounded once, so that its error is at most about half a unit.
 */

/** Rounds a double to the dtype in use: `Math.fround`, or itself. */
export type Round = (x: number) => number;

const MAGIC = 1.5 * 2 ** 52;

/** The nearest integer; halves go to the even one. */
export function rint(x: number): number {
  if (!(Math.abs(x) < 2 ** 51)) return x;
  const nearest = x + MAGIC - MAGIC;
  return nearest === 0 && (x < 0 || Object.is(x, -0)) ? -0 : nearest;
}

const SINGLE = new Float32Array(1);
const BITS = new Uint32Array(SINGLE.buffer);

/** Rounded to bfloat16, the upper half of a float32; halves go to the even one, subnormal numbers to 0. */
export function bfloat16(x: number): number {
  if (x !== x) return x;
  SINGLE[0] = x;
  const bits = BITS[0]!;
  const small = (bits & 0x7f800000) === 0;
  BITS[0] = small ? bits & 0x80000000 : (bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000;
  return SINGLE[0]!;
}

/** -1, 0 or 1; NaN for NaN. */
export function sign(x: number): number {
  return x > 0 ? 1 : x < 0 ? -1 : x === 0 ? 0 : NaN;
}

/** `x` to the power `y` by IEEE 754: 1^y is 1, and (-1)^inf is 1, where JavaScript has NaN. */
export function power(x: number, y: number): number {
  if (x === 1 || (x === -1 && (y === Infinity || y === -Infinity))) return 1;
  return Math.pow(x, y);
}

/** 1 / (1 + exp(-x)) by an exponential of a negative number, each operation rounded. */
export function sigmoid(x: number, round: Round): number {
  const small = round(Math.exp(-Math.abs(x)));
  return (x >= 0 ? 1 : small) / round(1 + small);
}

/** log(1 + exp(x)), each operation rounded. */
export function softplus(x: number, round: Round): number {
  return larger(x, 0) + round(Math.log1p(round(Math.exp(-Math.abs(x)))));
}

/** The larger, or NaN; of zeros the second. */
export function larger(a: number, b: number): number {
  return a > b || a !== a ? a : b;
}

/** The smaller, or NaN; of zeros the second. */
export function smaller(a: number, b: number): number {
  return a < b || a !== a ? a : b;
}

// ---------------------------------------------------------------- erf
// The rational approximations of ops/special.py, from low powers to high; the coefficients are those
// of fdlibm's s_erf.c (Sun Microsystems, 1993). Within about one unit in the last place.

const P = [1.28379167095512558561e-01, -3.25042107247001499370e-01, -2.84817495755985104766e-02,
  -5.77027029648944159157e-03, -2.37630166566501626084e-05];
const Q = [1.0, 3.97917223959155352819e-01, 6.50222499887672944485e-02, 5.08130628187576562776e-03,
  1.32494738004321644526e-04, -3.96022827877536812320e-06];
const C = 8.45062911510467529297e-01;
const PA = [-2.36211856075265944077e-03, 4.14856118683748331666e-01, -3.72207876035701323847e-01,
  3.18346619901161753674e-01, -1.10894694282396677476e-01, 3.54783043256182359371e-02,
  -2.16637559486879084300e-03];
const QA = [1.0, 1.06420880400844228286e-01, 5.40397917702171048937e-01, 7.18286544141962662868e-02,
  1.26171219808761642112e-01, 1.36370839120290507362e-02, 1.19844998467991074170e-02];
const RA = [-9.86494403484714822705e-03, -6.93858572707181764372e-01, -1.05586262253232909814e+01,
  -6.23753324503260060396e+01, -1.62396669462573470355e+02, -1.84605092906711035994e+02,
  -8.12874355063065934246e+01, -9.81432934416914548592e+00];
const SA = [1.0, 1.96512716674392571292e+01, 1.37657754143519042600e+02, 4.34565877475229228821e+02,
  6.45387271733267880336e+02, 4.29008140027567833386e+02, 1.08635005541779435134e+02,
  6.57024977031928170135e+00, -6.04244152148580987438e-02];
const RB = [-9.86494292470009928597e-03, -7.99283237680523006574e-01, -1.77579549177547519889e+01,
  -1.60636384855821916062e+02, -6.37566443368389627722e+02, -1.02509513161107724954e+03,
  -4.83519191608651397019e+02];
const SB = [1.0, 3.03380607434824582924e+01, 3.25792512996573918826e+02, 1.53672958608443695994e+03,
  3.19985821950859553908e+03, 2.55305040643316442583e+03, 4.74528541206955367215e+02,
  -2.24409524465858183362e+01];

/** The error function. */
export function erf(x: number): number {
  const size = Math.abs(x);
  if (size !== size) return x;
  return x < 0 || Object.is(x, -0) ? -erfOfPositive(size) : erfOfPositive(size);
}

function erfOfPositive(x: number): number {
  if (x < 0.84375) return x + x * ratio(x * x, P, Q);
  if (x < 1.25) return C + ratio(x - 1, PA, QA);
  if (x >= 6) return 1;
  const far = x < 1 / 0.35 ? ratio(1 / (x * x), RA, SA) : ratio(1 / (x * x), RB, SB);
  return 1 - Math.exp(-x * x - 0.5625 + far) / x;
}

function ratio(x: number, upper: readonly number[], lower: readonly number[]): number {
  return polynomial(x, upper) / polynomial(x, lower);
}

function polynomial(x: number, coefficients: readonly number[]): number {
  let sum = 0;
  for (let k = coefficients.length - 1; k >= 0; k--) sum = sum * x + coefficients[k]!;
  return sum;
}
