"""Sums of products, such as matrix products: tiles through local memory, several sums an item."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from chainrule.backend.gpu.emit import scalars
from chainrule.backend.gpu.emit.body import Body
from chainrule.backend.gpu.emit.loops import BLOCK, Written, count
from chainrule.backend.gpu.emit.scalars import SIZES, TYPES
from chainrule.plan.affine import Analysis
from chainrule.plan.contraction import Contraction

TERMS = 16
"""The terms of a sum whose factors are in local memory at a time."""

MOST_SUMS = 4
"""A work-item has at most so many times as many sums in each direction."""

GROUPS = 128
"""The blocks of a long sum are those of other groups where there are fewer tiles."""

SCRATCH = 2**22
"""The most sums of blocks that are kept until they are added up."""

LOCAL = 17 * 1024
"""Bytes of local memory that the largest tiles of float64 take."""

LEAST = 8
"""A product with fewer rows or columns is a loop nest."""


def product(
    analysis: Analysis, contraction: Contraction, rows: int, items: int, local: int
) -> list[Written]:
    """The kernel by tiles, as one function, or as two for a long sum; none where they do not fit.

    Args:
        analysis: of the kernel.
        contraction: what it is.
        rows: the most of a minibatch.
        items: the work-items of a group.
        local: bytes of local memory that it may have.
    """
    body = Body(analysis, rows, items)
    m, n = body.most(contraction.m), body.most(contraction.n)
    sums = any(x.add or x.repeats for x in analysis.linear.stores)
    least = min(body.likely(contraction.m), body.likely(contraction.n))
    if sums or least < LEAST or items < 64 or local < LOCAL:
        return []
    side = 16 if items >= 256 else 8
    split = _splits(body, contraction, side)
    first = _Tiles(body, contraction, (side, _sums(m, side), _sums(n, side)), split).write()
    return [first, _put_together(analysis, contraction, rows, items)] if split else [first]


def _splits(body: Body, contraction: Contraction, side: int) -> bool:
    """Whether each block of a long sum is added up by another group: where tiles are few.

    It makes no difference to the order of the sum.
    """
    sizes, blocks = body.linear.sizes, -(-body.most(contraction.k) // BLOCK)
    if blocks < 2 or any(not isinstance(sizes[x], int) for x in range(body.linear.free)):
        return False
    tiles = body.most(contraction.batch)
    for axes in (contraction.m, contraction.n):
        length = body.most(axes)
        tiles *= -(-length // (side * _sums(length, side)))
    return tiles < GROUPS and blocks * body.most(range(body.linear.free)) <= SCRATCH


def _put_together(analysis: Analysis, contraction: Contraction, rows: int, items: int) -> Written:
    """The function that adds up the blocks of each sum, in order, and stores what is made of it."""
    body, c = Body(analysis, rows, items), contraction
    code, axes = body.code, [*c.batch, *c.m, *c.n]
    dtype = body.linear.instrs[body.linear.value].dtype
    total, scratch = body.most(axes), len(body.linear.arguments)
    place = code.value("int", f"group * {items} + ITEM")
    code.do(f"if ({place} >= {total}) return;")
    with body.inside(at=body.decode(axes, place)):
        acc = code.variable(TYPES[dtype], "0")
        terms = body.total(c.k)
        with code.block(f"for (int part = 0; part * {BLOCK} < {terms}; part++)"):
            code.do(f"{acc} += b{scratch}[part * {total} + {place}];")
        body.acc = acc
        for store in body.linear.stores:
            body.store(store)
    parts = -(-body.most(c.k) // BLOCK) * total
    return Written(code.text, (count(body, axes, items),), scratch=parts)


def _sums(length: int, side: int) -> int:
    """The sums of a work-item along an axis: more where there are many."""
    sums = 1
    while sums < MOST_SUMS and length >= 4 * sums * side:
        sums *= 2
    return sums


class _Tiles:
    """A product whose groups compute a tile of it each.

    Args:
        body: where to write.
        contraction: what is computed.
        shape: the work-items of a group are so many by so many; the sums of each, down and across.
        split: whether each block of a sum is that of another group, and goes to scratch memory.
    """

    def __init__(
        self, body: Body, contraction: Contraction, shape: tuple[int, int, int], split: bool
    ) -> None:
        self.body, self.code, self.contraction = body, body.code, contraction
        self.side, self.down, self.across = side, down, across = shape
        self.split = split
        self.height, self.width = side * down, side * across
        self.dtype = body.linear.instrs[body.linear.value].dtype
        self.kind = TYPES[self.dtype]

    def write(self) -> Written:
        """The kernel."""
        body, code, c = self.body, self.code, self.contraction
        m, n, k = (code.value("int", body.total(x)) for x in (c.m, c.n, c.k))
        across = code.value("int", f"({n} + {self.width - 1}) / {self.width}")
        down = code.value("int", f"({m} + {self.height - 1}) / {self.height}")
        tile = code.value("int", f"group % ({across} * {down})")
        batch = code.value("int", f"group / ({across} * {down})")
        first, end = "0", k
        if self.split:
            repeats = body.most(c.batch)
            first = code.value("int", f"{batch} / {repeats} * {BLOCK}")
            end = code.value("int", f"{k} - {first} < {BLOCK} ? {k} : {first} + {BLOCK}")
            place, batch = batch, code.value("int", f"{batch} % {repeats}")
        self.first_row = code.value("int", f"{tile} / {across} * {self.height}")
        self.first_column = code.value("int", f"{tile} % {across} * {self.width}")
        self.row = code.value("int", f"ITEM / {self.side}")
        self.column = code.value("int", f"ITEM % {self.side}")
        local = self._local()
        blocked = not self.split and body.most(c.k) > BLOCK
        self._sums("sums")
        if blocked:
            self._sums("block")
        with body.inside(at=body.decode(c.batch, batch)):
            body.hoist([c.a, c.b])
            with body.inside(f"for (int term = {first}; term < {end}; term += {TERMS})"):
                self._load("left", c.a, c.m, c.k, (self.first_row, m, self.height), end)
                self._load("right", c.b, c.n, c.k, (self.first_column, n, self.width), end)
                code.do("BARRIER;")
                self._multiply("block" if blocked else "sums")
                code.do("BARRIER;")
                if blocked:
                    with code.block(f"if ((term + {TERMS}) % {BLOCK} == 0)"):
                        self._add_block()
            if blocked:
                self._add_block()
            if self.split:
                self._keep(m, n, place)
            else:
                self._store(m, n)
        groups = ((c.batch, 1), (c.m, self.height), (c.n, self.width))
        counts = tuple(count(body, axes, size) for axes, size in groups)
        scratch = 0
        if self.split:
            counts = (count(body, c.k, BLOCK), *counts)
            scratch = -(-body.most(c.k) // BLOCK) * body.most(range(body.linear.free))
        return Written(code.text, counts, local, scratch)

    def _local(self) -> int:
        """Declare the places of both factors in local memory; returns their bytes."""
        taken = 0
        for name, length in (("left", self.height + 1), ("right", self.width + 1)):
            place = f"((NEAR {self.kind} *)room + {taken})"
            kind = f"(NEAR {self.kind} (*)[{length}])"
            self.code.do(f"NEAR {self.kind} (*{name})[{length}] = {kind}{place};")
            taken += TERMS * length
        return taken * SIZES[self.kind]

    def _sums(self, name: str) -> None:
        self.code.do(f"{self.kind} {name}[{self.down}][{self.across}];")
        with self._each():
            self.code.do(f"{name}[i][j] = 0;")

    @contextmanager
    def _each(self) -> Iterator[None]:
        """Loops over the sums of a work-item, which the compiler unrolls."""
        self.code.do("#pragma unroll")
        with self.code.block(f"for (int i = 0; i < {self.down}; i++)"):
            self.code.do("#pragma unroll")
            with self.code.block(f"for (int j = 0; j < {self.across}; j++)"):
                yield

    def _add_block(self) -> None:
        with self._each():
            self.code.do("sums[i][j] += block[i][j];")
            self.code.do("block[i][j] = 0;")

    def _load(
        self, name: str, factor: int, along: Sequence[int], over: Sequence[int],
        part: tuple[str, str, int], terms: str,
    ) -> None:  # fmt: skip
        """Bring a factor's part of a tile to local memory, 0 where it ends.

        Args:
            name: of the place.
            factor: the instruction that reads an element.
            along, over: the axes of the tile, and those that are summed over.
            part: where it begins, the length of the axes, and that of the tile.
            terms: the number of all.
        """
        body, code = self.body, self.code
        first, end, size = part
        by_terms = self._runs_along(factor, over, along)
        head = f"for (int e = ITEM; e < {TERMS * size}; e += {self.side**2})"
        with body.inside(head):
            by = TERMS if by_terms else size
            fast, slow = code.value("int", f"e % {by}"), code.value("int", f"e / {by}")
            k, x = (fast, slow) if by_terms else (slow, fast)
            here, there = code.value("int", f"{first} + {x}"), code.value("int", f"term + {k}")
            held = code.variable(self.kind, "0")
            with body.inside(f"if ({here} < {end} && {there} < {terms})"):
                at = body.decode(along, here) | body.decode(over, there)
                with body.inside(at=at):
                    value = body.value(factor)
                    value = f"bfloat16_{self.kind}({value})" if self.contraction.rounded else value
                    code.do(f"{held} = {value};")
            code.do(f"{name}[{k}][{x}] = {held};")

    def _runs_along(self, factor: int, over: Sequence[int], along: Sequence[int]) -> bool:
        """Whether neighbours in memory are terms of a sum."""
        access = self.body.analysis.reads(factor)
        stride = self.body.analysis.stride
        return stride(access, over[-1]) == 1 and stride(access, along[-1]) != 1

    def _multiply(self, sums: str) -> None:
        """Add the products of the terms in local memory."""
        code, side = self.code, self.side
        code.do("#pragma unroll")
        with code.block(f"for (int k = 0; k < {TERMS}; k++)"):
            code.do(f"{self.kind} l[{self.down}], r[{self.across}];")
            for held, name, count, own in (
                ("l", "left", self.down, self.row), ("r", "right", self.across, self.column),
            ):  # fmt: skip
                code.do("#pragma unroll")
                head = f"for (int i = 0; i < {count}; i++)"
                code.do(f"{head} {held}[i] = {name}[k][{own} + i * {side}];")
            with self._each():
                new = scalars.multiply_add(self.dtype, "l[i]", "r[j]", f"{sums}[i][j]")
                code.do(f"{sums}[i][j] = {new};")

    @contextmanager
    def _each_sum(self, m: str, n: str) -> Iterator[tuple[str, str]]:
        """The row and the column of each sum of a work-item that the product has."""
        code = self.code
        with self._each():
            row = code.value("int", f"{self.first_row} + {self.row} + i * {self.side}")
            column = code.value("int", f"{self.first_column} + {self.column} + j * {self.side}")
            with self.body.inside(f"if ({row} < {m} && {column} < {n})"):
                yield row, column

    def _store(self, m: str, n: str) -> None:
        """The stores of all sums of a work-item."""
        body, c = self.body, self.contraction
        with self._each_sum(m, n) as (row, column):
            at = body.decode(c.m, row) | body.decode(c.n, column)
            with body.inside(at=at):
                body.acc = self.code.value(self.kind, "sums[i][j]")
                for store in body.linear.stores:
                    body.store(store)

    def _keep(self, m: str, n: str, place: str) -> None:
        """Keep the parts of sums in the scratch memory."""
        scratch = len(self.body.linear.arguments)
        with self._each_sum(m, n) as (row, column):
            at = f"({place} * {m} + {row}) * {n} + {column}"
            self.code.do(f"b{scratch}[{at}] = sums[i][j];")
