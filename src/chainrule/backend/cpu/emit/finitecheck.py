"""Whether all that a kernel writes to the new state is finite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chainrule.backend.cpu.emit import scalars
from chainrule.backend.cpu.emit.text import Function, constant, number, type_of


class Watch:
    """Remembers whether a value was not finite: the bits of 0 * value are then not all 0."""

    def __init__(self, f: Function) -> None:
        self.f = f
        self._seen: dict[str, str] = {}

    def add(self, value: str, dtype: str, lanes: int, mask: str | None) -> None:
        """Watch a value, in the lanes of the mask if there is one."""
        kind, zero = type_of(dtype, lanes), constant(number(0, dtype), dtype, lanes)
        product = self.f.value(f"fmul {kind} {value}, {zero}")
        if mask is not None:
            product = scalars.choose(self.f, dtype, lanes, mask, product, zero)
        bits = type_of("int64" if dtype == "float64" else "int32", lanes)
        self._join(bits, self.f.value(f"bitcast {kind} {product} to {bits}"))

    def _join(self, kind: str, value: str) -> None:
        if kind not in self._seen:
            self._seen[kind] = self.f.local(kind)
        place = self._seen[kind]
        old = self.f.load(kind, place, 64)
        self.f.store(kind, self.f.value(f"or {kind} {old}, {value}"), place, 64)

    @contextmanager
    def part(self) -> Iterator[None]:
        """A part of the function that remembers on its own, which keeps a register free outside."""
        outer, self._seen = self._seen, {}
        self.f.mark()
        yield
        inner, self._seen = self._seen, outer
        self.f.insert(*_cleared(inner))
        for kind, place in inner.items():
            self._join(kind, self.f.load(kind, place, 64))

    def end(self) -> str:
        """Store the mark where a value was not finite; gives what the function must begin with."""
        for kind, place in self._seen.items():
            seen, element = self.f.load(kind, place, 64), kind
            if kind.startswith("<"):
                lanes, _, element = kind[1:-1].split()
                name = f"llvm.vector.reduce.or.v{lanes}{element}"
                seen = self.f.value(f"call {element} @{name}({kind} {seen})")
            all_but_sign = 2 ** (int(element[1:]) - 1) - 1
            rest = self.f.value(f"and {element} {seen}, {all_but_sign}")
            with self.f.when(self.f.value(f"icmp ne {element} {rest}, 0")):
                self.f.do("store atomic i64 %mark, ptr %flag monotonic, align 8")
        return "\n".join("  " + line for line in _cleared(self._seen))


def _cleared(places: dict[str, str]) -> list[str]:
    return [f"store {k} zeroinitializer, ptr {p}, align 64" for k, p in places.items()]
