"""Kernels as loop nests: a work-item for each element, or a group for each reduction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chainrule.backend.gpu.emit import scalars
from chainrule.backend.gpu.emit.body import MOST, Body
from chainrule.backend.gpu.emit.scalars import SIZES, TYPES
from chainrule.backend.gpu.program import Count
from chainrule.plan.affine import Analysis
from chainrule.types import FLOATS

TEAM = 64
"""The work-items that work together on a reduction; a group has several teams."""

BLOCK = 512
"""The terms of a block, added up in order; block sums are added up in order."""

SHARED_OUTPUTS, SHARED_TERMS = 4096, 128
"""A team works together on each reduction where there are fewer, of more terms."""


@dataclass(frozen=True)
class Written:
    """The code of a kernel.

    Attributes:
        text: the statements of its function.
        counts: see Part.
        local: the bytes of local memory that a group needs, `room`.
        scratch: the elements of memory that it shares with the next one of its kernel, by a
            further argument; 0 for none.
    """

    text: str
    counts: tuple[Count, ...]
    local: int = 0
    scratch: int = 0


def loops(analysis: Analysis, rows: int, items: int) -> Written:
    """The kernel as a loop nest.

    Args:
        analysis: of the kernel.
        rows: the most of a minibatch.
        items: the work-items of a group.
    """
    body = Body(analysis, rows, items)
    shared = _shared(body)
    alone = [] if shared else [a for a in range(body.linear.free) if not _separated(analysis, a)]
    spread = [a for a in range(body.linear.free) if a not in alone]
    kind = "int" if body.most(spread) <= MOST else "i64"
    if shared:
        return _by_teams(body, spread)
    place = body.code.value(kind, f"({kind})group * {items} + ITEM")
    body.code.do(f"if ({place} >= {body.total(spread)}) return;")
    with body.inside(at=body.decode(spread, place, kind)):
        _nest(body, alone, lambda: _element(body))
    return Written(body.code.text, (count(body, spread, items),))


def _by_teams(body: Body, spread: Sequence[int]) -> Written:
    """A loop nest of reductions, on each of which a team works together."""
    team = min(TEAM, body.items)
    teams, total = body.items // team, body.total(spread)
    place = body.code.value("int", f"group * {teams} + ITEM / {team}")
    there = body.code.value("int", f"{place} < {total}")  # others wait at barriers with these
    place = body.code.value("int", f"{there} ? {place} : 0")
    with body.inside(at=body.decode(spread, place)):
        reduction = Reduction(body)
        reduction.together(team, there)
    local = body.items * SIZES[reduction.kind]
    return Written(body.code.text, (count(body, spread, teams),), local)


def count(body: Body, axes: Sequence[int], group: int) -> Count:
    """The elements of axes, in groups of so many."""
    fixed, power = 1, 0
    for axis in axes:
        size = body.linear.sizes[axis]
        if isinstance(size, int):
            fixed *= size
        else:
            power += 1
    return Count(fixed, power, group)


def _separated(analysis: Analysis, axis: int) -> bool:
    """Whether work-items may share an axis: each writes elements of its own, or all the same."""
    stores = analysis.linear.stores
    return all(analysis.separates(x, axis) for x in stores if x.add or x.repeats)


def _shared(body: Body) -> bool:
    """Whether a group works together on each reduction: there are few, and they are long."""
    linear = body.linear
    if linear.combine not in ("sum", "prod", "max", "min", "any"):
        return False
    if any(x.add or x.repeats for x in linear.stores) or 0 in linear.sizes:
        return False
    few = body.likely(range(linear.free)) < SHARED_OUTPUTS
    return few and body.likely(linear.over) >= SHARED_TERMS


def _nest(body: Body, axes: Sequence[int], inner: Callable[[], None]) -> None:
    """Loops over axes, outermost first."""
    if not axes:
        inner()
        return
    axis = axes[0]
    size, name = body.length(body.linear.sizes[axis]), f"a{axis}"
    with body.inside(f"for (int {name} = 0; {name} < {size}; {name}++)", {axis: name}):
        _nest(body, axes[1:], inner)


def _element(body: Body) -> None:
    if body.linear.combine is not None:
        Reduction(body).alone()
    if body.linear.combine != "scan":
        _store(body)


def _store(body: Body) -> None:
    for store in body.linear.stores:
        body.store(store)


class Reduction:
    """The reduction in a kernel, for one element of its result."""

    def __init__(self, body: Body) -> None:
        self.body, self.code, self.linear = body, body.code, body.linear
        self.combine = str(body.linear.combine)
        self.dtype = self.linear.instrs[self.linear.value].dtype
        self.kind = TYPES[self.dtype]
        self.start = scalars.identity(self.combine, self.dtype)

    def alone(self) -> None:
        """By one work-item; the result is then `acc`."""
        body, over = self.body, list(self.linear.over)
        body.hoist([self.linear.value])
        self.total = self.code.variable(self.kind, self.start)
        if self.combine == "scan":
            _nest(body, over, self._scanned)
            return
        if self.combine.startswith("arg"):
            self.place = self.code.variable("i64", "0")
            _nest(body, over, self._arg)
            body.acc = self.place
            return
        sums = self.combine == "sum" and self.dtype in FLOATS
        if self._long(BLOCK) or (sums and self._step(over) == 1):
            self._blocks(over)
        else:
            _nest(body, over, lambda: self._term(self.total))
        body.acc = self.total

    def _long(self, block: int) -> bool:
        """Whether a sum of floats may be longer than a block."""
        sums = self.combine == "sum" and self.dtype in FLOATS
        return sums and self.body.most(self.linear.over) > block

    def _blocks(self, over: list[int]) -> None:
        """Blocks of the outermost axis, each added up on its own."""
        first, rest = over[0], over[1:]
        step = self._step(over)
        size, name = self.body.length(self.linear.sizes[first]), f"a{first}"
        with self.body.inside(f"for (int s{first} = 0; s{first} < {size}; s{first} += {step})"):
            part = self.code.variable(self.kind, self.start)
            end = self.code.value("int", f"s{first} + {step} < {size} ? s{first} + {step} : {size}")
            head = f"for (int {name} = s{first}; {name} < {end}; {name}++)"
            with self.body.inside(head, {first: name}):
                _nest(self.body, rest, lambda: self._term(part))
            self.code.do(f"{self.total} = {self.total} + {part};")

    def _step(self, over: list[int]) -> int:
        """The iterations of the outermost axis in a block: the same for all numbers of rows."""
        inner = [self.linear.sizes[axis] for axis in over[1:]]
        if not all(isinstance(size, int) for size in inner):
            return 1
        return max(1, BLOCK // max(self.body.most(over[1:]), 1))

    def _term(self, total: str) -> None:
        """Add one term to a total."""
        instr = self.linear.instrs[self.linear.value]
        if self.combine == "sum" and instr.op == "mul" and self.dtype in FLOATS:
            a, b = (self.body.value(x) for x in instr.args)
            new = scalars.multiply_add(self.dtype, a, b, total)
        else:
            new = scalars.combined(
                self.combine, self.dtype, total, self.body.value(self.linear.value)
            )
        self.code.do(f"{total} = {new};")

    def _scanned(self) -> None:
        """One term of a running sum, and the stores of the result so far."""
        self._term(self.total)
        self.body.acc = self.total
        with self.body.inside():
            _store(self.body)

    def _arg(self) -> None:
        """One term of argmax or argmin: ties go to the lowest index; the first NaN wins."""
        value, best = self.body.value(self.linear.value), self.total
        better = f"{value} {'>' if self.combine == 'argmax' else '<'} {best}"
        if self.dtype in FLOATS:
            better = f"{better} || ({value} != {value} && {best} == {best})"
        with self.code.block(f"if ({better})"):
            self.code.do(f"{best} = {value};")
            self.code.do(f"{self.place} = {self.body.at[self.linear.free]};")

    def together(self, team: int, there: str) -> None:
        """By a team: each work-item takes every so many terms, and halves are put together.

        Args:
            team: the work-items of one.
            there: whether this one has an element of the result.
        """
        body, code = self.body, self.code
        over = list(self.linear.over)
        body.hoist([self.linear.value])
        self.total = code.variable(self.kind, self.start)
        size = body.total(over)
        lane = code.value("int", f"ITEM % {team}")
        step = BLOCK * team
        if self._long(step):
            with body.inside(f"for (int s = 0; s < {size}; s += {step})"):
                part = code.variable(self.kind, self.start)
                end = code.value("int", f"{size} - s < {step} ? {size} : s + {step}")
                self._strided(f"s + {lane}", end, team, part)
                code.do(f"{self.total} = {self.total} + {part};")
        else:
            self._strided(lane, size, team, self.total)
        code.do(f"NEAR {self.kind} *parts = (NEAR {self.kind} *)room;")
        code.do(f"parts[ITEM] = {self.total};")
        code.do("BARRIER;")
        with code.block(f"for (int gap = {team // 2}; gap > 0; gap >>= 1)"):
            both = scalars.combined(self.combine, self.dtype, "parts[ITEM]", "parts[ITEM + gap]")
            code.do(f"if ({lane} < gap) parts[ITEM] = {both};")
            code.do("BARRIER;")
        with body.inside(f"if ({lane} == 0 && {there})"):
            body.acc = code.value(self.kind, "parts[ITEM]")
            _store(body)

    def _strided(self, first: str, end: str, team: int, total: str) -> None:
        with self.body.inside(f"for (int term = {first}; term < {end}; term += {team})"):
            at = self.body.decode(self.linear.over, "term")
            with self.body.inside(at=at):
                self._term(total)
