"""Embedding bags: the rows of a table that an example names, as one vector."""

from __future__ import annotations

from functools import reduce as folded

import numpy as np

from chainrule.errors import DTypeError, SettingError, ShapeError, did_you_mean
from chainrule.graph.node import Node, NodeLike
from chainrule.graph.source import user_line
from chainrule.nn.arguments import integers, new_table, operand_at
from chainrule.nn.combine import COMBINE, Combined
from chainrule.nn.init import InitSpec
from chainrule.nn.masks import before
from chainrule.nn.naming import as_layer, layer_scope
from chainrule.ops.build import as_node
from chainrule.ops.compare import logical_and, not_equal, where
from chainrule.ops.index import take
from chainrule.system.checks import as_integer
from chainrule.types import INTEGERS, N, Shape, show, static_size


def embedding_bag(
    indices: Node,
    count: int,
    width: int,
    *,
    combine: str = "mean",
    padding: int | None = None,
    lengths: Node | None = None,
    mask: Node | None = None,
    weights: Node | None = None,
    name: str | None = None,
    init: InitSpec = None,
    dtype: str = "float32",
    trainable: bool = True,
    sparse: bool | None = None,
) -> Node:
    """The rows that an example names in a table of trained vectors, combined to one: (N, width).

    A bag is the last axis of `indices`: the words of a text, the products of a basket. It may be
    filled up: what `padding`, `lengths` and `mask` exclude counts for nothing, whatever stands
    there, and no gradient flows to it; several of them exclude together. A bag without an index
    gives zeros.

    The table is `name.table`, (count, width), which starts and is updated as that of `embedding`.
    Machine code makes sums and means as it reads the rows, without an array of them all.

    Args:
        indices: (N, length) or (N, ..., length) integers from 0 to `count - 1`.
        count, width: the shape of the table.
        combine: "mean" or "sum" of the rows, or "max", the largest of each of their elements.
        padding: the index that fills up, such as 0 or -1; None: none does.
        lengths: (N,) or (N, ...) integers: each bag has so many indices, at its front.
        mask: (N, length) or (N, ..., length) booleans: True where an index counts.
        weights: (N, length) or (N, ..., length) floats, a factor of each row. A mean divides by
            their sum, and is 0 where that is 0.
        name, init, dtype, trainable, sparse: as in `embedding`.

    Raises:
        DTypeError: indices or lengths are not integers, a mask not booleans, or weights not of
            the table's type. ShapeError: they do not fit the indices.
        SettingError: an argument is not one of those above, or there are weights for "max".
        FeedError, in a run: an index that counts is out of range.
    """
    indices = integers("embedding_bag", indices)
    length = indices.shape[-1] if indices.ndim else N
    if length is N or not length:
        raise ShapeError(
            "embedding_bag", "the indices have no axis of a bag", expected="(N, length)",
            got=show(indices.shape), at=operand_at(indices),
            fix="one index an example: expand_dims(indices, -1)" if length is N else None,
        )  # fmt: skip
    combined = _combine(combine, weights)
    scope = layer_scope(name, "embedding_bag")
    table = new_table(
        "embedding_bag", scope, (count, width), init, dtype, trainable=trainable, sparse=sparse
    )
    counts, given = _counted(indices, padding, lengths, mask)
    factors = None
    if weights is not None:
        factors = _fitting("weights", weights, indices.shape, (dtype,))
        given.append(factors)
    if counts is not None:
        indices = where(counts, indices, 0)
        factors = None if factors is None else where(counts, factors, 0.0)
    rows = take(table, indices, axis=0).within(scope, ".rows")
    return as_layer(scope, combined(rows, counts, factors, None), given)


def _combine(combine: str, weights: object) -> Combined:
    """The function of that name. Raises SettingError."""
    if combine not in COMBINE:
        raise SettingError(
            "embedding_bag", f"combine is {', '.join(map(repr, COMBINE))}", got=repr(combine),
            at="line " + user_line(), fix=did_you_mean(str(combine), COMBINE),
        )  # fmt: skip
    if combine == "max" and weights is not None:
        raise SettingError(
            "embedding_bag", "a maximum takes no weights", got="combine='max' and weights",
            at="line " + user_line(), fix='write combine="sum" or "mean", or leave weights out',
        )  # fmt: skip
    return COMBINE[combine]


# ---------------------------------------------------------------- which indices count


def _counted(
    indices: Node, padding: int | None, lengths: Node | None, mask: Node | None
) -> tuple[Node | None, list[Node]]:
    """Whether each index counts, None where all do; and the operands of the layer."""
    given, tests = [indices], list[Node]()
    if padding is not None:
        fill, most = as_integer(padding), np.iinfo(indices.dtype).max
        if fill is None or abs(fill) > most:
            raise SettingError(
                "embedding_bag", f"padding is an {indices.dtype}", got=repr(padding),
                at="line " + user_line(), fix="give the index that fills up bags, such as -1",
            )  # fmt: skip
        tests.append(not_equal(indices, fill))
    if lengths is not None:
        lengths = _fitting("lengths", lengths, indices.shape[:-1], INTEGERS)
        tests.append(before(lengths, static_size(indices.shape[-1:])))
        given.append(lengths)
    if mask is not None:
        mask = _fitting("mask", mask, indices.shape, ("bool",))
        tests.append(mask)
        given.append(mask)
    return (folded(logical_and, tests) if tests else None), given


def _fitting(what: str, given: NodeLike, shape: Shape, dtypes: tuple[str, ...]) -> Node:
    """An operand of one value for each index or bag. Raises ShapeError, DTypeError."""
    x = as_node(given, None if isinstance(given, Node) else dtypes[0])
    if x.dtype not in dtypes:
        raise DTypeError(
            "embedding_bag", f"the type of `{what}` does not fit", expected=" or ".join(dtypes),
            got=x.dtype, at=operand_at(x), fix=f'cast them: cast({what}, "{dtypes[0]}")',
        )  # fmt: skip
    if x.shape != shape:
        raise ShapeError(
            "embedding_bag", f"the shape of `{what}` does not fit the indices",
            expected=show(shape), got=show(x.shape), at=operand_at(x),
        )  # fmt: skip
    return x
