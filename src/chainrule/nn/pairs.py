"""The pairs of queries and keys of an attention: all at once, or some queries at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chainrule.graph.node import Node, NodeLike, Scope
from chainrule.nn.arguments import positive, static
from chainrule.nn.encodings import Encoding, Places
from chainrule.nn.masks import allowed, biased, of_keys, past
from chainrule.ops import random
from chainrule.ops.again import recomputed
from chainrule.ops.compare import logical_and, where
from chainrule.ops.einsum import einsum
from chainrule.ops.join import stack
from chainrule.ops.shape import reshape, transpose
from chainrule.ops.slicing import pad
from chainrule.ops.softmax import softmax
from chainrule.types import N, Shape

LONG = 512
"""Queries and keys from which on an attention goes through the queries in blocks."""

BLOCK = 128
"""Queries of a block, if that makes no fewer blocks than FEWEST, and no more than MOST."""

FEWEST, MOST = 8, 32

CAUSAL_SHARES = 4
"""The lengths of keys that the blocks of causal attention read: so many different ones."""


@dataclass(frozen=True)
class Form:
    """The axes of queries, keys and values.

    Attributes:
        scores, values: the equations of the products of queries with keys, weights with values.
        query, key: the axis of the queries in them and in the result, and of the keys.
    """

    scores: str
    values: str
    query: int = -2
    key: int = -2


PLAIN = Form("...qd,...kd->...qk", "...qk,...kd->...qd")
GROUPED = Form("...gqd,...kd->...gqk", "...gqk,...kd->...gqd")
HEADS = Form("...qhgd,...khd->...hgqk", "...hgqk,...khd->...qhgd", query=-4, key=-3)


@dataclass(frozen=True)
class Pairs:
    """The settings of an attention: its weights come from them, queries and keys.

    Attributes:
        where: the function that the user called.
        scope: of the layer.
        form: of queries, keys and values.
        group: heads of queries for a head of keys; None: their axis is not split.
        scale: of the scores.
        mask, bias, causal, dropout, block: as in `attention`; the rate is checked.
        encoding: what is added to the scores before the bias.
    """

    where: str
    scope: Scope
    form: Form
    group: int | None
    scale: float
    mask: NodeLike | None
    bias: NodeLike | None
    causal: bool
    dropout: float
    block: int | None
    encoding: Encoding | None = None

    def attend(self, q: Node, k: Node, v: Node) -> Node:
        """The weighted mean of the values for each query, with the axes of the queries."""
        scores = self._scores(q, k)
        bias = None if self.bias is None else biased(self.where, self.bias, scores)
        mask = allowed(self.where, self.mask, scores, self.causal)
        queries, keys = (static(self.where, scores, a) for a in (-2, -1))
        k, v = (of_keys(mask, x, self.form.key) for x in (k, v))
        size = self._size(queries, keys)
        if size == queries:
            return self._mean(q, k, v, np.arange(queries, dtype=np.int32), mask, bias)
        count = -(-queries // size)
        several = [_cut(x, axis, count, size)
                   for x, axis in ((q, self.form.query), (mask, -2), (bias, -2))]  # fmt: skip
        made, near = list[Node](), dict[int, tuple[Node, Node]]()
        for number, (part, seen, added) in enumerate(zip(*several, strict=True)):
            assert part is not None
            at = np.minimum(np.arange(number * size, (number + 1) * size), queries - 1)
            to = _up_to(number, count, size, keys) if self.causal else keys
            if to not in near:
                near[to] = _first(k, self.form.key, to), _first(v, self.form.key, to)
            to_k, to_v = near[to]
            seen, added = (None if x is None else _first(x, -1, to) for x in (seen, added))
            y = self._mean(part, to_k, to_v, at.astype(np.int32), seen, added, f".block{number}")
            others = [x for x in (to_k, to_v, seen, added) if x is not None]
            made.append(recomputed(y, (part,), others))
        return _joined(made, self.form.query, queries)

    def _size(self, queries: int, keys: int) -> int:
        """The queries of a block; all, where there is one block."""
        if self.block is not None:
            return min(queries, positive(self.where, "block", self.block))
        if min(queries, keys) < LONG:
            return queries
        return -(-queries // min(max(queries // BLOCK, FEWEST), MOST))

    def _scores(self, q: Node, k: Node) -> Node:
        """(..., heads, queries, keys)."""
        scores = einsum(self.form.scores, q, k) * self.scale
        if self.group is None:
            return scores
        return reshape(scores, (*scores.shape[:-4], -1, *scores.shape[-2:]))

    def _mean(
        self, q: Node, k: Node, v: Node, at: Places, mask: Node | None, bias: Node | None,
        part: str = "",
    ) -> Node:  # fmt: skip
        """The means for the queries at some places; `mask` and `bias` are theirs."""
        scores, keys = self._scores(q, k), static(self.where, k, self.form.key)
        if self.encoding is not None:
            scores = scores + self.encoding(at, keys)
        if bias is not None:
            scores = scores + bias
        if self.causal:
            before = past(at, keys)
            mask = before if mask is None else logical_and(mask, before)
        scores = scores.within(self.scope, f"{part}.scores")
        if mask is not None:
            scores = where(mask, scores, -np.inf)
        weights = softmax(scores).within(self.scope, f"{part}.weights")
        weights = random.dropout(weights, self.dropout)
        if self.group is not None:
            weights = reshape(weights, split(weights.shape, -3, self.group))
        return einsum(self.form.values, weights, v)


def split(shape: Shape, axis: int, group: int) -> Shape:
    """The shape with an axis of heads split into groups of that many."""
    at = len(shape) + axis
    heads = shape[at]
    assert isinstance(heads, int)
    return (*shape[:at], heads // group, group, *shape[at + 1 :])


# ---------------------------------------------------------------- blocks


def _cut(x: Node | None, axis: int, count: int, size: int) -> list[Node] | list[None]:
    """Equal parts along an axis, the last filled up with zeros; or what is the same for all."""
    if x is None:
        return [None] * count
    at = x.ndim + axis
    if at < 0 or x.shape[at] == 1:
        return [x] * count
    more = count * size - static("attention", x, axis)
    if more:
        x = pad(x, [(0, more if a == at else 0) for a in range(x.ndim)])
    x = reshape(x, (*x.shape[:at], count, size, *x.shape[at + 1 :]))
    lead = int(x.shape[:1] == (N,))
    x = _moved(x, at, lead)
    return [x[:, b] if lead else x[b] for b in range(count)]


def _joined(parts: list[Node], axis: int, length: int) -> Node:
    """The parts one after another along an axis, as far as a length."""
    lead = int(parts[0].shape[:1] == (N,))
    at = parts[0].ndim + axis
    y = _moved(stack(parts, lead), lead, at)
    y = reshape(y, (*y.shape[:at], -1, *y.shape[at + 2 :]))
    return _first(y, axis, length)


def _moved(x: Node, old: int, new: int) -> Node:
    axes = [a for a in range(x.ndim) if a != old]
    axes.insert(new, old)
    return transpose(x, axes)


def _first(x: Node, axis: int, count: int) -> Node:
    """The first elements along an axis that has more."""
    at = x.ndim + axis
    if x.shape[at] in (1, count):
        return x
    return x[(slice(None),) * at + (slice(count),)]


def _up_to(number: int, count: int, size: int, keys: int) -> int:
    """The keys that a block of causal attention reads: all that one of its queries may see."""
    group = number * CAUSAL_SHARES // count
    last = -(-(group + 1) * count // CAUSAL_SHARES)  # the blocks of this group and before
    return min(keys, last * size)
