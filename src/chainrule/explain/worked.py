"""The arithmetic of each entry of an array: products, sums and functions of single numbers."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from chainrule.explain.formula import added, expression, number, transparent
from chainrule.graph.node import Array, Node, Operation

MOST_TERMS = 12
"""The terms of a sum up to which all are written."""

_SUMS = ("sum", "sum_to", "mean")
_EXTREMES = ("max", "min")
_EQUATIONS = {"matmul": "ik,kj->ij", "einsum": ""}
"""Contractions; an einsum has its equation among its attributes."""

_SOFTMAX = ("softmax", "log_softmax")
_ENTRYWISE = ("broadcast_to", "cast", "objective", "tracked")
"""Ops that are not maps, and whose entries are those of their first operand."""

_SIGNED = re.compile(r"((?: [-+*/]|^-) ?)(-[\d.]+(?:e[-+]?\d+)?)")
"""A negative number after a sign, without brackets."""

Write = Callable[[tuple[int, ...]], str]


@dataclass(frozen=True)
class Entry:
    """One entry of an array, worked.

    Attributes:
        index: in the array.
        numbers: its computation: "1 * 3.7 + 0 * 2.9".
        value: the result.
    """

    index: tuple[int, ...]
    numbers: str
    value: float


def entries(
    value: Array,
    terms: Collection[tuple[Node, bool]],
    known: Collection[Node],
    values: Mapping[Node, Array],
    digits: int,
) -> list[Entry]:
    """The entries of an array that is a sum of nodes; empty where one has no arithmetic of entries.

    Args:
        value: the array.
        terms: the nodes, and whether only their numbers are to be written.
        known: nodes whose numbers are written where others read them.
        values: of all nodes.
        digits: significant ones.
    """
    writers = []
    for node, given in terms:
        shape = value.shape
        write = (
            _number(values[node], digits) if given else _write(node, shape, known, values, digits)
        )
        if write is None:
            return []
        writers.append(write)
    return [
        Entry(index, added([write(index) for write in writers]), float(value[index]))
        for index in np.ndindex(value.shape)
    ]


def _number(value: Array, digits: int) -> Write:
    return lambda index: number(value[index], digits)


def _write(
    node: Node,
    shape: tuple[int, ...],
    known: Collection[Node],
    values: Mapping[Node, Array],
    digits: int,
) -> Write | None:
    """Writes the computation of an entry of a node; None: it is more than maps, or one sum."""
    if not isinstance(node, Operation):
        return _number(values[node], digits)
    if node.op.name in _EQUATIONS and all(x in values for x in node.operands):
        return _product(node, values, digits)
    if node.op.name == "overlap_add" and node.operands[0] in values:
        return _overlapping(node, shape, values[node.operands[0]], digits)
    if node.op.name == "transpose" and isinstance(node.operands[0], Operation):
        return _turned(node, shape, known, values, digits)
    if node.op.name in _EXTREMES and node.operands[0] in values:
        return _extreme(node, shape, values, digits)
    if node.op.name in _SUMS:
        return _total(node, shape, values, digits) if node.operands[0] in values else None
    if node.op.name in _SOFTMAX and node.operands[0].ndim == 2:
        return _share(node, values, digits)
    leaves = _leaves(node, known, values)
    if leaves is None or not all(_fits(values[x], shape) for x in leaves):
        return None
    spread = {x: np.broadcast_to(values[x], shape) for x in leaves}

    def write(index: tuple[int, ...]) -> str:
        text = expression(node, lambda x: number(spread[x][index], digits) if x in spread else None)
        return _SIGNED.sub(r"\1(\2)", text)

    return write


def _leaves(
    node: Operation, known: Collection[Node], values: Collection[Node]
) -> list[Node] | None:
    """The nodes whose numbers stand in the formula; None where it has more than maps."""
    found: dict[Node, None] = {}
    stack: list[Node] = [node]
    while stack:
        x = stack.pop()
        stop = x is not node and (not x.inputs or (x in known and not transparent(x)))
        if stop or not isinstance(x, Operation):
            found[x] = None
        elif x.op.kind == "map":
            stack += x.operands
        elif x.op.name in _ENTRYWISE:
            stack.append(x.operands[0])
        elif x is not node and x in values:
            found[x] = None
        else:
            return None
    return list(found)


def _product(node: Operation, values: Mapping[Node, Array], digits: int) -> Write:
    """Writes the products of an entry of a contraction, such as those of a window and a filter."""
    equation = node.attributes.get("equation", _EQUATIONS[node.op.name])
    terms, _, out = equation.partition("->")
    labels = terms.split(",")
    arrays = [values[x] for x in node.operands]

    def write(index: tuple[int, ...]) -> str:
        place = dict(zip(out, index, strict=True))
        inner = [label for label in labels[0] if label not in place]
        rows = [
            _at(array, label, place, inner).ravel()
            for array, label in zip(arrays, labels, strict=True)
        ]
        return _sum(zip(*rows, strict=True), digits)

    return write


def _at(array: Array, labels: str, place: Mapping[str, int], inner: list[str]) -> Array:
    """The entries of an operand at a place of the result, its summed axes in the order `inner`."""
    part = array[tuple(place.get(label, slice(None)) for label in labels)]
    left = [label for label in labels if label not in place]
    return part.transpose([left.index(label) for label in inner])


def _extreme(
    node: Operation, shape: tuple[int, ...], values: Mapping[Node, Array], digits: int
) -> Write:
    """Writes the numbers among which the largest or the smallest is taken."""
    rows = _along(node, shape, values)

    def write(index: tuple[int, ...]) -> str:
        texts = [number(x, digits) for x in rows[index]]
        if len(texts) > MOST_TERMS:
            texts = [*texts[:3], f"... ({len(texts)} numbers)", texts[-1]]
        return f"{node.op.name}({', '.join(texts)})"

    return write


def _overlapping(node: Operation, shape: tuple[int, ...], value: Array, digits: int) -> Write:
    """Writes the elements of windows that are added up at a place."""
    axis, lengths = node.attributes["axis"], node.attributes["lengths"]
    d = len(lengths)
    places, sizes = value.shape[axis : axis + d], value.shape[axis + d : axis + 2 * d]
    steps = [node.attributes[key] for key in ("stride", "dilation", "before")]

    def write(index: tuple[int, ...]) -> str:
        along = [
            [
                ((at + before - k * by) // stride, k)
                for k in range(size)
                if (at + before - k * by) % stride == 0
                and 0 <= (at + before - k * by) // stride < count
            ]
            for at, count, size, stride, by, before in zip(
                index[axis : axis + d], places, sizes, *steps, strict=True
            )
        ]
        found = [
            value[
                (*index[:axis], *(p for p, _ in pairs), *(k for _, k in pairs), *index[axis + d :])
            ]
            for pairs in itertools.product(*along)
        ]
        return _sum(((x,) for x in found), digits)

    return write


def _turned(
    node: Operation, shape: tuple[int, ...], known: Collection[Node],
    values: Mapping[Node, Array], digits: int,
) -> Write | None:  # fmt: skip
    """Writes the computation of the entry from which a transposed one comes."""
    axes = node.attributes["axes"]
    back = [axes.index(k) for k in range(len(axes))]
    inner = _write(node.operands[0], tuple(shape[k] for k in back), known, values, digits)
    return None if inner is None else lambda index: inner(tuple(index[k] for k in back))


def _share(node: Operation, values: Mapping[Node, Array], digits: int) -> Write | None:
    """Writes the share of an entry among the exponentials of its row, or its logarithm."""
    value, axes = values.get(node.operands[0]), node.attributes["axis"]
    if value is None or tuple(axes) not in ((1,), (-1,)):
        return None

    def write(index: tuple[int, ...]) -> str:
        texts = [number(x, digits) for x in value[index[0]]]
        total = " + ".join(f"exp({x})" for x in texts)
        own = texts[index[1]]
        return f"exp({own}) / ({total})" if node.op.name == "softmax" else f"{own} - log({total})"

    return write


def _fits(value: Array, shape: tuple[int, ...]) -> bool:
    sizes = zip(reversed(value.shape), reversed(shape), strict=False)
    return value.ndim <= len(shape) and all(own in (1, size) for own, size in sizes)


def _total(
    node: Operation, shape: tuple[int, ...], values: Mapping[Node, Array], digits: int
) -> Write:
    """Writes the sum, or the mean, of the entries of an operand along some axes."""
    rows = _along(node, shape, values)
    count = rows.shape[-1]

    def write(index: tuple[int, ...]) -> str:
        text = _sum(((x,) for x in rows[index]), digits)
        mean = node.op.name == "mean" and count > 1
        return f"({text}) / {count}" if mean else text

    return write


def _along(node: Operation, shape: tuple[int, ...], values: Mapping[Node, Array]) -> Array:
    """For each entry of a reduction the numbers that it is of, along a last axis."""
    value = values[node.operands[0]]
    axes = _summed(node, value, shape)
    count = int(np.prod([value.shape[k] for k in axes], dtype=int))
    kept = [k for k in range(value.ndim) if k not in axes]
    rows: Array = np.transpose(value, (*kept, *axes)).reshape((*shape, count))
    return rows


def _summed(node: Operation, value: Array, shape: tuple[int, ...]) -> list[int]:
    """The axes over which an operation sums."""
    axes = node.attributes.get("axis")
    if axes is not None:
        return [int(k) for k in axes]
    extra = value.ndim - len(shape)
    return [k for k in range(value.ndim) if k < extra or value.shape[k] != shape[k - extra]]


def _sum(terms: Iterator[tuple[float, ...]], digits: int) -> str:
    """A sum of products of numbers, negative ones in brackets where they follow a sign."""
    texts = [
        " * ".join(_bracketed(number(np.asarray(x), digits), j + k > 0) for k, x in enumerate(term))
        for j, term in enumerate(terms)
    ]
    if len(texts) > MOST_TERMS:
        texts = [*texts[:3], f"... ({len(texts)} terms)", texts[-1]]
    return " + ".join(texts or ["0"])


def _bracketed(text: str, inside: bool) -> str:
    return f"({text})" if inside and text.startswith("-") else text
