"""The head of every text of kernels: macros and functions for OpenCL C and for CUDA C alike."""

from __future__ import annotations

FRAME = ("step", "first", "count", "side", "stopped", "failed", "steps", "base")
"""The words of the frame, int64, which kernels find the present step by.

step: its number in the run; first, count: the place of its rows in the index, and their number;
side: the side of the states that is the old one; stopped: whether a step failed, so that nothing
is done any more; failed: whether this one did; steps: of the run; base: the first group of a
launch that is done in pieces.
"""

_LANGUAGES = """\
#ifdef __OPENCL_VERSION__
#ifdef FP64
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
#endif
#pragma OPENCL FP_CONTRACT OFF
#define KERNEL(items) __kernel __attribute__((reqd_work_group_size(items, 1, 1))) void
#define FUNCTION static inline
#define GLOBAL __global
#define LOCAL __local
#define NEAR __local
#define GROUP ((int)get_group_id(0))
#define ITEM ((int)get_local_id(0))
#define BARRIER barrier(CLK_LOCAL_MEM_FENCE)
#define SYNC barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
#define MARK(word) atomic_or((volatile FRAME_AT int *)(word), 1)
typedef uchar u8;
typedef int i32;
typedef uint u32;
typedef long i64;
typedef ulong u64;
#define OF32(x) as_uint(x)
#define BITS32(x) as_float((u32)(x))
#define BITS64(x) as_double((u64)(x))
#ifdef FP_FAST_FMAF
#define FMA32(a, b, c) fma(a, b, c)
#else
#define FMA32(a, b, c) ((a) * (b) + (c))
#endif
#else
#define KERNEL(items) extern "C" __global__ void __launch_bounds__(items)
#define FUNCTION static __device__ __forceinline__
#define GLOBAL
#define LOCAL __shared__
#define NEAR
#define GROUP ((int)blockIdx.x)
#define ITEM ((int)threadIdx.x)
#define BARRIER __syncthreads()
#define SYNC __syncthreads()
#define MARK(word) atomicOr((int *)(word), 1)
typedef unsigned char u8;
typedef int i32;
typedef unsigned int u32;
typedef long long i64;
typedef unsigned long long u64;
#define OF32(x) __float_as_uint(x)
#define BITS32(x) __uint_as_float((u32)(x))
#define BITS64(x) __longlong_as_double((i64)(x))
#define FMA32(a, b, c) fmaf(a, b, c)
#endif
typedef float f32;
#ifdef FP64
typedef double f64;
#define FMA64(a, b, c) fma(a, b, c)
#else
typedef float f64;
#define FMA64(a, b, c) FMA32(a, b, c)
#endif
"""

_FLOATS = """\
FUNCTION {t} sigmoid_{t}({t} x) {{
  const {t} e = exp(-fabs(x));
  return (x >= 0 ? ({t})1 : e) / (1 + e);
}}
FUNCTION {t} softplus_{t}({t} x) {{ return max_{t}(x, 0) + log1p(exp(-fabs(x))); }}
"""
_EXTREMES = """\
FUNCTION {t} min_{t}({t} a, {t} b) {{ return (a < b || a != a) ? a : b; }}
FUNCTION {t} max_{t}({t} a, {t} b) {{ return (a > b || a != a) ? a : b; }}
"""
_SIGNED = """\
FUNCTION {t} floordiv_{t}({t} a, {t} b) {{
  if (b == 0) return 0;
  if (b == -1) return ({t})(0 - ({u})a);
  return a / b - ((a % b != 0) & ((a < 0) != (b < 0)));
}}
FUNCTION {t} mod_{t}({t} a, {t} b) {{
  if (b == 0 || b == -1) return 0;
  const {t} r = a % b;
  return r + (((r != 0) & ((r < 0) != (b < 0))) ? b : 0);
}}
"""
_OTHERS = """\
FUNCTION u32 floordiv_u32(u32 a, u32 b) { return b == 0 ? 0 : a / b; }
FUNCTION u32 mod_u32(u32 a, u32 b) { return b == 0 ? 0 : a % b; }
FUNCTION i64 inside(i64 place, i64 last) { return place < 0 ? 0 : place > last ? last : place; }
"""

_BFLOAT16 = """\
FUNCTION f32 bfloat16_f32(f32 x) {
  const u32 bits = OF32(x);
  if (x != x) return BITS32((bits | 0x400000u) & 0xFFFF0000u);
  if (!(bits & 0x7F800000u)) return BITS32(bits & 0x80000000u);
  return BITS32((bits + 0x7FFFu + ((bits >> 16) & 1u)) & 0xFFFF0000u);
}
"""
"""See `chainrule.ops.bfloat16`: half goes to even, and what is subnormal becomes 0."""

_PHILOX = """\
FUNCTION i32 philox(i64 element, i64 row, u32 low, u32 high, u32 step, u32 stream) {
  u32 c0 = (u32)(element >> 2), c1 = (u32)row, c2 = step, c3 = stream;
  for (int turn = 0; turn < 10; turn++) {
    const u64 p0 = (u64)c0 * 0xD2511F53u, p1 = (u64)c2 * 0xCD9E8D57u;
    c0 = (u32)(p1 >> 32) ^ c1 ^ low;
    c1 = (u32)p1;
    c2 = (u32)(p0 >> 32) ^ c3 ^ high;
    c3 = (u32)p0;
    low += 0x9E3779B9u;
    high += 0xBB67AE85u;
  }
  const int word = (int)(element & 3);
  return (i32)((word == 0 ? c0 : word == 1 ? c1 : word == 2 ? c2 : c3) >> 8);
}
"""
"""The upper 24 bits of a word of Philox 4x32-10; see `chainrule.ops.random`."""


def head(*, float64: bool) -> str:
    """The head of a text.

    Args:
        float64: whether the device has it; else float64 means float32.
    """
    parts = ["#define FP64\n" if float64 else "", _LANGUAGES]
    parts += [_EXTREMES.format(t=t) for t in ("f32", "i32", "u32", "i64")]
    parts += [_FLOATS.format(t="f32"), _SIGNED.format(t="i32", u="u32")]
    parts += [_SIGNED.format(t="i64", u="u64"), _OTHERS, _BFLOAT16, _PHILOX]
    if float64:
        parts += [_EXTREMES.format(t="f64"), _FLOATS.format(t="f64")]
        parts.append("FUNCTION f64 bfloat16_f64(f64 x) { return bfloat16_f32((f32)x); }\n")
    else:
        names = ("min", "max", "sigmoid", "softplus", "bfloat16")
        parts += [f"#define {name}_f64 {name}_f32\n" for name in names]
    parts += [f"#define {name.upper()} {k}\n" for k, name in enumerate(FRAME)]
    return "".join(parts)
