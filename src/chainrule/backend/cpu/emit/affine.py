"""Places as sums: what each index depends on, its coefficient for each axis, its bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from chainrule.backend.cpu.emit.flat import Flat, Item

ACC = -1
"""Stands for the result of the reduction among the axes that something depends on."""

INTEGERS = ("int64", "int32", "uint32")


@dataclass(frozen=True)
class Form:
    """constant + sum of coefficient * axis + sum of coefficient * instruction."""

    constant: int = 0
    axes: dict[int, int] = field(default_factory=dict)
    rest: dict[int, int] = field(default_factory=dict)

    def plus(self, other: Form, times: int = 1) -> Form:
        """self + times * other."""
        return Form(
            self.constant + times * other.constant,
            _merge(self.axes, other.axes, times),
            _merge(self.rest, other.rest, times),
        )


def _merge(a: dict[int, int], b: dict[int, int], times: int) -> dict[int, int]:
    out = dict(a)
    for key, factor in b.items():
        out[key] = out.get(key, 0) + times * factor
    return {key: factor for key, factor in out.items() if factor}


@dataclass(frozen=True)
class Access:
    """Where a read or store goes.

    Attributes:
        form: the offset from the buffer's start, in elements, but for the `risky` axes.
        risky: (place, stride, size) of axes whose place may lie outside of the buffer.
    """

    form: Form
    risky: tuple[tuple[Form, int, int], ...]

    def forms(self) -> tuple[Form, ...]:
        return (self.form, *(place for place, _, _ in self.risky))


class Analysis:
    """Of one kernel: the form of each integer instruction, and what everything depends on."""

    def __init__(self, flat: Flat) -> None:
        self.flat = flat
        self.depends: list[frozenset[int]] = []
        self.forms: list[Form] = []
        self._known: dict[tuple[int, tuple[int, ...]], Access] = {}
        for place, item in enumerate(flat.items):
            own = self._own(item)
            self.depends.append(own.union(*(self.depends[a] for a in item.args)))
            integer = item.dtype in INTEGERS
            self.forms.append(self._form(place) if integer else Form(rest={place: 1}))

    def _own(self, item: Item) -> frozenset[int]:
        """What an instruction depends on beside its operands."""
        if item.op == "at":
            return frozenset({int(item.data or 0)})
        # the result of a reduction is another one at each place of the loops around it
        return frozenset({ACC, *range(self.flat.free)} if item.op == "acc" else ())

    def reads(self, item: int) -> Access:
        """Where a `read` instruction reads."""
        return self.access(int(self.flat.items[item].data or 0), self.flat.items[item].args)

    def access(self, argument: int, place: tuple[int, ...]) -> Access:
        """Where the given place of an argument lies."""
        key = argument, place
        if key not in self._known:
            self._known[key] = self._access(argument, place)
        return self._known[key]

    def _access(self, argument: int, place: tuple[int, ...]) -> Access:
        known = self.flat.arguments[argument]
        form, risky = Form(), []
        for item, stride, size in zip(place, known.strides, known.shape, strict=True):
            here = self.forms[item]
            if isinstance(size, int) and known.space != "rows" and not self._inside(here, size):
                risky.append((here, stride, size))
            else:
                form = form.plus(here, stride)
        return Access(_rejoined(self.flat, form, self.forms), tuple(risky))

    def axes_of(self, form: Form) -> frozenset[int]:
        """The axes that a form depends on."""
        return frozenset(form.axes).union(*(self.depends[i] for i in form.rest))

    def stride(self, access: Access, axis: int) -> int | None:
        """How far the access moves with the axis; None where that is not one constant."""
        if any(axis in self.depends[i] for form in access.forms() for i in form.rest):
            return None
        along = access.form.axes.get(axis, 0)
        return along + sum(stride * place.axes.get(axis, 0) for place, stride, _ in access.risky)

    def _inside(self, form: Form, size: int) -> bool:
        low, high = self.bounds(form)
        return low >= 0 and high < size

    def bounds(self, form: Form) -> tuple[float, float]:
        """The least and the greatest value of a form."""
        low = high = float(form.constant)
        for axis, factor in form.axes.items():
            size = self.flat.sizes[axis]
            last = max(size - 1, 0) if isinstance(size, int) else math.inf
            low, high = low + min(0, factor * last), high + max(0, factor * last)
        for item, factor in form.rest.items():
            least, most = self._span(item)
            ends = (factor * least, factor * most)
            low, high = low + min(ends), high + max(ends)
        return low, high

    def _span(self, item: int) -> tuple[float, float]:
        op, args = self.flat.items[item].op, self.flat.items[item].args
        if op in ("mod", "floordiv"):
            divisor = self.forms[args[1]]
            if not divisor.axes and not divisor.rest and divisor.constant > 0:
                low, high = self.bounds(self.forms[args[0]])
                by = divisor.constant
                if op == "mod":
                    return 0, min(by - 1, high) if low >= 0 else by - 1
                return _floor(low, by), _floor(high, by)
        if op in ("min", "max"):
            lows, highs = zip(*(self.bounds(self.forms[a]) for a in args), strict=True)
            choose = min if op == "min" else max
            return choose(lows), choose(highs)
        if op == "select":
            lows, highs = zip(*(self.bounds(self.forms[a]) for a in args[1:]), strict=True)
            return min(lows), max(highs)
        return -math.inf, math.inf

    def _form(self, place: int) -> Form:
        item = self.flat.items[place]
        parts = [self.forms[a] for a in item.args]
        match item.op:
            case "const":
                return Form(int(item.data))  # type: ignore[arg-type]
            case "at":
                return Form(axes={int(item.data): 1})  # type: ignore[arg-type]
            case "add":
                return parts[0].plus(parts[1])
            case "sub":
                return parts[0].plus(parts[1], -1)
            case "neg":
                return Form().plus(parts[0], -1)
            case "mul" if _fixed(parts[0]):
                return Form().plus(parts[1], parts[0].constant)
            case "mul" if _fixed(parts[1]):
                return Form().plus(parts[0], parts[1].constant)
            case "mod" | "floordiv" if _fixed(parts[1]) and parts[1].constant > 0:
                return self._divided(place, parts[0], parts[1].constant)
            case "cast" if self._plain(item.args[0]):
                return parts[0]
        return Form(rest={place: 1})

    def _plain(self, operand: int) -> bool:
        """Whether a cast of this integer keeps it as an int64: indices are small."""
        return self.flat.items[operand].dtype in ("int64", "int32")

    def _divided(self, place: int, form: Form, by: int) -> Form:
        """form // by or form % by, where the parts that `by` divides can be told from the rest."""
        axes = {k: f for k, f in form.axes.items() if f % by == 0}
        rest = {k: f for k, f in form.rest.items() if f % by == 0}
        whole = Form(form.constant // by * by, axes, rest)
        left = form.plus(whole, -1)
        low, high = self.bounds(left)
        if not (low >= 0 and high < by):
            return Form(rest={place: 1})
        if self.flat.items[place].op == "mod":
            return left
        return Form(
            whole.constant // by,
            {k: f // by for k, f in axes.items()},
            {k: f // by for k, f in rest.items()},
        )


def _floor(value: float, by: int) -> float:
    return value if math.isinf(value) else value // by


def _fixed(form: Form) -> bool:
    return not form.axes and not form.rest


def _rejoined(flat: Flat, form: Form, forms: list[Form]) -> Form:
    """c * (x // c) + x % c is x: a view that was split and joined again."""
    for item, factor in list(form.rest.items()):
        if flat.items[item].op != "mod" or item not in form.rest:
            continue
        x, by = flat.items[item].args
        for other, times in list(form.rest.items()):
            same = flat.items[other].op == "floordiv" and flat.items[other].args == (x, by)
            if same and times == factor * forms[by].constant:
                form = form.plus(Form(rest={item: factor, other: times}), -1)
                form = form.plus(forms[x], factor)
                break
    return form
