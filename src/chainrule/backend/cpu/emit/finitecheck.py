"""The check that all values that a kernel writes to the new state are finite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chainrule.backend.cpu.emit import scalars
from chainrule.backend.cpu.emit.text import Function, constant, number, type_of


class FiniteCheck:
    """Accumulates the bits of 0 * value, which are not all 0 if a value is not finite."""

    def __init__(self, f: Function) -> None:
        self.f = f
        self._bits: dict[str, str] = {}

    def add(self, value: str, dtype: str, lanes: int, mask: str | None) -> None:
        """Check a value, in the lanes of the mask if there is one."""
        kind, zero = type_of(dtype, lanes), constant(number(0, dtype), dtype, lanes)
        product = self.f.value(f"fmul {kind} {value}, {zero}")
        if mask is not None:
            product = scalars.choose(self.f, dtype, lanes, mask, product, zero)
        bits = type_of("int64" if dtype == "float64" else "int32", lanes)
        self._join(bits, self.f.value(f"bitcast {kind} {product} to {bits}"))

    def _join(self, kind: str, value: str) -> None:
        if kind not in self._bits:
            self._bits[kind] = self.f.local(kind)
        place = self._bits[kind]
        old = self.f.load(kind, place, 64)
        self.f.store(kind, self.f.value(f"or {kind} {old}, {value}"), place, 64)

    @contextmanager
    def scope(self) -> Iterator[None]:
        """A part of the function with its own accumulators, which keeps a register free outside."""
        outer, self._bits = self._bits, {}
        self.f.mark()
        yield
        inner, self._bits = self._bits, outer
        self.f.insert(*_zeroed(inner))
        for kind, place in inner.items():
            self._join(kind, self.f.load(kind, place, 64))

    def end(self) -> str:
        """Store the mark if a value was not finite; returns the initialization of the function."""
        for kind, place in self._bits.items():
            joined, element = self.f.load(kind, place, 64), kind
            if kind.startswith("<"):
                lanes, _, element = kind[1:-1].split()
                name = f"llvm.vector.reduce.or.v{lanes}{element}"
                joined = self.f.value(f"call {element} @{name}({kind} {joined})")
            all_but_sign = 2 ** (int(element[1:]) - 1) - 1
            rest = self.f.value(f"and {element} {joined}, {all_but_sign}")
            with self.f.when(self.f.value(f"icmp ne {element} {rest}, 0")):
                self.f.do("store atomic i64 %mark, ptr %flag monotonic, align 8")
        return "\n".join("  " + line for line in _zeroed(self._bits))


def _zeroed(places: dict[str, str]) -> list[str]:
    return [f"store {k} zeroinitializer, ptr {p}, align 64" for k, p in places.items()]
