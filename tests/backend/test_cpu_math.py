"""Vector maths: every function against a wider float, on dense grids, per kind of processor."""

import ctypes
import functools
import math
import platform

import llvmlite.binding as llvm
import numpy as np
import pytest

from chainrule.backend.cpu.maths.library import FUNCTIONS, definitions, symbol
from chainrule.ops.random import _forward_uniform

llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()

BOUND = {"float32": 2.0, "float64": 4.0}  # ulp
WIDER = {"float32": np.float64, "float64": np.longdouble}
ELEMENT = {"float32": "float", "float64": "double"}
DTYPES = list(BOUND)
MATHS = [name for name in FUNCTIONS if not name.startswith("philox")]
UNARY = [name for name in MATHS if name != "pow"]
HOST = llvm.get_host_cpu_features()


def targets() -> dict[str, tuple[str, str, bool]]:
    """Kinds of processor that this one can act: LLVM's name, features, fused multiply-add."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return {"host": (llvm.get_host_cpu_name(), HOST.flatten(), True)}
    kinds = {"sse2": ("x86-64", "", False)}
    if HOST.get("avx2") and HOST.get("fma"):
        kinds["avx2"] = ("haswell", "", True)
    if HOST.get("avx512f") and HOST.get("avx512dq") and HOST.get("avx512vl"):
        kinds["avx512"] = ("skylake-avx512", "", True)
    return kinds


TARGETS = targets()
BY_FUSED = {fused: name for name, (_, _, fused) in TARGETS.items()}
"""One target with and one without fused multiply-add: the others must give the same bits."""

exact_float64 = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant < 63, reason="longdouble is no wider than float64 here"
)


def vector(element, width):
    return element if width == 1 else f"<{width} x {element}>"


def compiled(text, entry, signature, target):
    """A native function of IR text. Its engine lives as long as it does."""
    cpu, features, _ = TARGETS[target]
    module = llvm.parse_assembly(text)
    module.verify()
    triple = llvm.Target.from_default_triple()
    machine = triple.create_target_machine(cpu=cpu, features=features, opt=3)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    function = ctypes.CFUNCTYPE(None, *signature)(engine.get_function_address(entry))
    function.engine = engine
    return function


@functools.lru_cache(maxsize=64)
def native(name, dtype, width, target):
    """The function over whole arrays, whose length is a multiple of the width."""
    element, kind = ELEMENT[dtype], vector(ELEMENT[dtype], width)
    operands = "xy" if name == "pow" else "x"
    loads = "\n".join(
        f"  %p{v} = getelementptr {element}, ptr %a{v}, i64 %i\n"
        f"  %{v} = load {kind}, ptr %p{v}, align 4"
        for v in operands
    )
    arguments = ", ".join(f"{kind} %{v}" for v in operands)
    text = f"""{definitions([name], dtype, width, fma=TARGETS[target][2])}
define void @run(ptr %ax, ptr %ay, ptr %out, i64 %n) {{
entry:
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %loop]
{loads}
  %y0 = call {kind} {symbol(name, dtype, width)}({arguments})
  %to = getelementptr {element}, ptr %out, i64 %i
  store {kind} %y0, ptr %to, align 4
  %next = add i64 %i, {width}
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %end
end:
  ret void
}}"""
    run = compiled(text, "run", [ctypes.c_void_p] * 3 + [ctypes.c_int64], target)

    def call(x, y=None):
        assert len(x) % width == 0
        assert x.flags.c_contiguous
        assert x.dtype == dtype
        out, y = np.empty_like(x), x if y is None else y
        run(x.ctypes.data, y.ctypes.data, out.ctypes.data, len(x))
        return out

    return call


def ulps(got, exact):
    """The distance in units of the last place of `got`'s type; infinite where only one is NaN."""
    with np.errstate(all="ignore"):
        rounded = exact.astype(got.dtype)
        largest = np.finfo(got.dtype).max
        unit = np.spacing(np.minimum(np.abs(rounded), largest)).astype(exact.dtype)
        error = np.abs(got.astype(exact.dtype) - exact) / unit
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    return np.where(same & ~np.isfinite(error), 0, np.where(np.isnan(error), np.inf, error))


def erf_by_series(x):
    """2 / sqrt(pi) exp(-x^2) times the sum of 2^k x^(2k+1) / (2k+1)!!, of terms all positive."""
    size, scale = np.abs(x), 2 / np.sqrt(np.arccos(x.dtype.type(-1)))
    y = np.where(size >= 6.5, 1, size * scale)  # right below 1e-10
    for low, high, terms in ((1e-10, 0.6, 25), (0.6, 2, 50), (2, 6.5, 180)):
        part = (size >= low) & (size < high)
        a = size[part]
        term = total = a
        for k in range(1, terms):
            term = term * (2 * a * a) / (2 * k + 1)
            total = total + term
        y[part] = scale * np.exp(-a * a) * total
    return np.copysign(np.where(np.isnan(x), x, y), x)


def exact(name, x):
    """The function of a wider float."""
    if name == "sigmoid":
        e = np.exp(-np.abs(x))
        return np.where(x < 0, e, 1 + 0 * e) / (1 + e)
    if name == "softplus":
        return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
    if name == "erf":
        if x.dtype == np.float64:
            return np.fromiter(map(math.erf, x.tolist()), np.float64, len(x))
        return erf_by_series(x)
    return getattr(np, name)(x)


EDGES = [0.0, 1e-45, 5e-324, 1e-320, 1.2e-38, 2.3e-308, 1e-30, 1e-10, 0.25, 0.5, 1, 1.5, 2, 3,
         88.72283, 88.7229, 87.3, 103.9, 104.1, 709.7827, 709.79, 708.4, 745.1, 745.2, 99999,
         100001, 5e5, 500001, 1e6, 1e15, 1e22, 3.4e38, 1.7e308, np.inf]  # fmt: skip


def edges(dtype):
    """Where functions turn special, and the neighbours, of both signs; and NaN."""
    with np.errstate(all="ignore"):
        x = np.array(EDGES).astype(dtype)
        x = np.concatenate([x, np.nextafter(x, number(dtype, 0)), x * number(dtype, 1.5)])
    x = np.concatenate([x, -x, np.full(16, np.nan, dtype)])
    return x[: len(x) // 16 * 16]


def number(dtype, value):
    """A number of the type."""
    return np.array(value, dtype)


@functools.lru_cache(maxsize=2)
def grid(dtype):
    """Every exponent of both signs, subnormals too, with many mantissas; and the middle, denser."""
    rng = np.random.default_rng(7)
    bits, unsigned, per = (23, np.uint32, 4096) if dtype == "float32" else (52, np.uint64, 64)
    exponents = np.arange(2**8 if bits == 23 else 2**11, dtype=unsigned)
    part = 2**bits // per
    low = np.arange(per, dtype=unsigned) * unsigned(part)
    low = low + rng.integers(0, part, (len(exponents), per)).astype(unsigned)
    x = ((exponents[:, None] << unsigned(bits)) + low).ravel().view(dtype)
    near = [rng.uniform(-size, size, 2**16) for size in (0.6, 1, 2, 5, 20, 100, 750)]
    near = np.concatenate([*near, 1 + rng.uniform(-0.5, 0.5, 2**16)]).astype(dtype)
    return np.concatenate([x, -x, near, edges(dtype)])


@functools.lru_cache(maxsize=1)
def exact_on_grid(name, dtype):
    with np.errstate(all="ignore"):
        return exact(name, grid(dtype).astype(WIDER[dtype]))


CASES = [
    pytest.param(name, dtype, fused, marks=exact_float64 if dtype == "float64" else ())
    for name in UNARY
    for dtype in DTYPES
    for fused in sorted(BY_FUSED)
]


@pytest.mark.parametrize(("name", "dtype", "fused"), CASES)
def test_within_ulps_of_the_exact_value_over_the_whole_range(name, dtype, fused):
    x, want = grid(dtype), exact_on_grid(name, dtype)
    got = native(name, dtype, 8, BY_FUSED[fused])(x)
    error = ulps(got, want)
    worst = int(np.argmax(error))
    assert error[worst] <= BOUND[dtype], (x[worst], got[worst], want[worst])
    zero = got == 0
    np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(want[zero]))


def power_cases(dtype):
    """Powers of all sizes: any bits, results over the whole range, bases near 1, whole powers."""
    rng = np.random.default_rng(9)
    n, top, size = 2**16, (88, -7) if dtype == "float32" else (709, -15), np.dtype(dtype).itemsize
    pairs = [tuple(np.frombuffer(rng.bytes(n * size), dtype) for _ in "xy")]
    wide = np.exp(rng.uniform(-top[0], top[0], n))
    near = (1 + rng.uniform(-1, 1, n) * 10.0 ** rng.uniform(top[1], -0.5, n)).astype(dtype)
    for base in (wide, near.astype(np.float64)):
        log = np.maximum(np.abs(np.log(base)), 1e-17)
        pairs.append((base, rng.uniform(-1.05, 1.05, n) * top[0] / log))
    pairs.append((rng.uniform(-20, 20, n), rng.integers(-20, 20, n)))
    tiny = np.finfo(dtype).smallest_normal
    pairs.append((rng.uniform(0, 1, n) * float(tiny), rng.uniform(-1, 1, n)))
    x, y = (np.concatenate([np.asarray(p[i]).astype(dtype) for p in pairs]) for i in (0, 1))
    return x, y


@pytest.mark.parametrize("fused", sorted(BY_FUSED))
@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=exact_float64)])
def test_pow_is_within_ulps_of_the_exact_value(dtype, fused):
    with np.errstate(all="ignore"):
        x, y = power_cases(dtype)
        want = np.power(x.astype(WIDER[dtype]), y.astype(WIDER[dtype]))
    got = native("pow", dtype, 4, BY_FUSED[fused])(x, y)
    error = ulps(got, want)
    worst = int(np.argmax(error))
    assert error[worst] <= BOUND[dtype], (x[worst], y[worst], got[worst], want[worst])


@pytest.mark.parametrize("fused", sorted(BY_FUSED))
@pytest.mark.parametrize("dtype", DTYPES)
def test_pow_of_special_values_is_what_numpy_says(dtype, fused):
    special = [0.0, 1, 2, 0.5, 3, 2.5, 1e-30, 1e30, 2**23 + 1, 2.0**24 + 1, 2.0**53 - 1, np.inf]
    values = np.array([*special, *(-v for v in special), np.nan, np.nan]).astype(dtype)
    x, y = (np.ascontiguousarray(v.ravel()) for v in np.meshgrid(values, values))
    got = native("pow", dtype, 4, BY_FUSED[fused])(x, y)
    with np.errstate(all="ignore"):
        want = np.power(x, y)
    special = ~np.isfinite(want) | (want == 0) | (want == 1)
    np.testing.assert_array_equal(got[special], want[special])
    signs = special & ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got[signs]), np.signbit(want[signs]))


LIMITS = {  # at -infinity, -0, 0, infinity
    "exp": (0.0, 1, 1, np.inf),
    "expm1": (-1, -0.0, 0.0, np.inf),
    "log": (np.nan, -np.inf, -np.inf, np.inf),
    "log1p": (np.nan, -0.0, 0.0, np.inf),
    "sin": (np.nan, -0.0, 0.0, np.nan),
    "cos": (np.nan, 1, 1, np.nan),
    "tanh": (-1, -0.0, 0.0, 1),
    "sigmoid": (0.0, 0.5, 0.5, 1),
    "softplus": (0.0, np.log(2), np.log(2), np.inf),
    "erf": (-1, -0.0, 0.0, 1),
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LIMITS)
def test_limits_and_signs_of_zero(name, dtype, target):
    x = np.array([-np.inf, -0.0, 0.0, np.inf, np.nan, np.nan, np.nan, np.nan], dtype)
    want = np.array([*LIMITS[name], *[np.nan] * 4], dtype)
    got = native(name, dtype, 4, target)(x)
    np.testing.assert_array_equal(got, want)
    number = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(want[number]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MATHS)
def test_the_same_bits_for_any_width_neighbours_and_vector_unit(name, dtype):
    rng = np.random.default_rng(3)
    x = np.concatenate([edges(dtype), rng.normal(0, 3, 512), rng.normal(0, 1e6, 512)]).astype(dtype)
    order = rng.permutation(len(x))
    y = np.roll(x, 1)
    for fused, target in BY_FUSED.items():
        want = native(name, dtype, 1, target)(x, y)
        kinds = [(t, w) for t in TARGETS if TARGETS[t][2] == fused for w in (2, 8, 16)]
        for other, width in kinds if fused else kinds[:2]:
            got = native(name, dtype, width, other)(x[order], y[order])
            np.testing.assert_array_equal(got, want[order], err_msg=f"{other} {width}")


def drawn(dtype, width, target, run):
    """A native function (elements or element, row, 4 words, out) of one vector of draws."""
    kind, wide = vector(ELEMENT[dtype], width), vector("i64", width)
    name, operand = ("philox.run", "i64") if run else ("philox", wide)
    load = "" if run else f"  %e = load {wide}, ptr %es\n  %rows = load {wide}, ptr %rs\n"
    head = "i64 %e, i64 %rows" if run else "ptr %es, ptr %rs"
    text = f"""{definitions([name], dtype, width, fma=False)}
define void @one({head}, i32 %a, i32 %b, i32 %c, i32 %d, ptr %out) {{
{load}  %y = call {kind} {symbol(name, dtype, width)}({operand} %e, {operand} %rows, i32 %a, i32 %b, i32 %c, i32 %d)
  store {kind} %y, ptr %out, align 4
  ret void
}}"""  # noqa: E501
    first = [ctypes.c_int64 if run else ctypes.c_void_p] * 2
    return compiled(text, "one", [*first, *[ctypes.c_uint32] * 4, ctypes.c_void_p], target)


KEY, STREAM = np.array([0xDEADBEEF, 0x87654321, 0xFFFFFFF0], np.uint32), 0x9ABCDEF0
ROWS, COLUMNS = 3, 41


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("width", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("dtype", DTYPES)
def test_philox_draws_the_bits_of_uniform(dtype, width, target):
    want = _forward_uniform(KEY, shape=(ROWS, COLUMNS), dtype=dtype, stream=STREAM)
    words, out = [*map(int, KEY), STREAM], np.empty(width, dtype)
    run = drawn(dtype, width, target, run=True)
    for row in range(ROWS):
        for column in range(COLUMNS - width + 1):
            run(column, row, *words, out.ctypes.data)
            np.testing.assert_array_equal(out, want[row, column : column + width])
    one = drawn(dtype, width, target, run=False)
    rng = np.random.default_rng(0)
    room = np.zeros((3, 32), np.int64)  # aligned to the vector within
    elements, rows = (aligned(room[i], width) for i in (0, 1))
    for _ in range(20):
        elements[:], rows[:] = rng.integers(0, COLUMNS, width), rng.integers(0, ROWS, width)
        one(elements.ctypes.data, rows.ctypes.data, *words, out.ctypes.data)
        np.testing.assert_array_equal(out, want[rows, elements])


def aligned(room, width):
    """A part of an array of i64 that begins at a multiple of 128 bytes."""
    start = -room.ctypes.data % 128 // 8
    return room[start : start + width]


def test_philox_takes_the_low_32_bits_of_element_and_row():
    row, out = 2**32 + 1, np.empty(4, np.float32)
    run = drawn("float32", 4, next(iter(TARGETS)), run=True)
    run(2**34 + 8, row, *map(int, KEY), STREAM, out.ctypes.data)
    want = _forward_uniform(KEY, shape=(2, 12), dtype="float32", stream=STREAM)[1, 8:]
    np.testing.assert_array_equal(out, want)


ELSEWHERE = {
    "avx512": ("x86_64-unknown-linux-gnu", "skylake-avx512", 16),
    "neon": ("aarch64-unknown-linux-gnu", "generic", 4),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("where", ELSEWHERE)
def test_code_for_other_processors_calls_only_the_far_sine_and_cosine(where, dtype):
    triple, cpu, width = ELSEWHERE[where]
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, opt=3)
    text = definitions(FUNCTIONS, dtype, width, fma=True).replace("define internal", "define")
    module = llvm.parse_assembly(text)
    module.triple = triple
    module.verify()
    out = machine.emit_object(module)
    undefined = [name for name in (b"sin", b"cos", b"fma", b"exp", b"log", b"floor", b"pow")
                 if b"\0" + name + b"\0" in out or b"\0" + name + b"f\0" in out]  # fmt: skip
    assert undefined == [b"sin", b"cos"]


def test_definitions_of_several_types_and_widths_live_in_one_module():
    parts = [definitions([*FUNCTIONS, "exp"], d, w, fma=True) for d in DTYPES for w in (1, 2, 4)]
    llvm.parse_assembly("\n".join(parts)).verify()


def test_only_what_is_asked_for_is_defined():
    text = definitions(["tanh", "exp"], "float32", 8, fma=True)
    assert text.count("define internal") == 2
    assert symbol("tanh", "float32", 8) == "@chainrule.tanh.v8f32"
    assert symbol("exp", "float64", 1) == "@chainrule.exp.f64"
