"""Products of features, as of recommenders: fields, factorisation machines, two towers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from chainrule.errors import GraphError, ShapeError
from chainrule.graph.node import Node
from chainrule.graph.source import user_line
from chainrule.nn.arguments import (
    Activation,
    between,
    features,
    floats,
    integers,
    new_parameter,
    operand_at,
    positive,
)
from chainrule.nn.compose import mlp
from chainrule.nn.init import InitSpec, Normal, Zeros
from chainrule.nn.layers import dense, embedding
from chainrule.nn.naming import as_layer, layer_scope
from chainrule.ops import reduce
from chainrule.ops.bounds import maximum
from chainrule.ops.build import cast, constant
from chainrule.ops.contract import matmul
from chainrule.ops.elementwise import rsqrt, square
from chainrule.ops.join import concat
from chainrule.ops.shape import reshape, transpose
from chainrule.ops.softmax import logsumexp
from chainrule.system.checks import flag
from chainrule.types import N, TensorType, show, static_size

_LEAST = 1e-16
"""The lower bound of squared lengths."""

# ---------------------------------------------------------------- factorisation machines


def factorisation(
    x: Node,
    width: int,
    outputs: int = 1,
    *,
    linear: bool = True,
    name: str | None = None,
    init: InitSpec = None,
    trainable: bool = True,
) -> Node:
    """A factorisation machine: linear terms, and a product for each pair of features.

    The weight of the pair i, j is the dot product of two trained vectors:
    `y = b + sum(w_i x_i) + sum over i < j of (v_i . v_j) x_i x_j`. The sum over pairs is made in
    a time proportional to their number of features, not of pairs, as
    `(sum(v_i x_i) ** 2 - sum((v_i x_i) ** 2)) / 2`.

    Args:
        x: (N, i).
        width: k, the length of the vectors `name.factors`, (i, outputs * k): first all of one
            output.
        outputs: o; the result is (N, o).
        linear: whether `b + x @ w` is added: `name.linear` (i, o) and `name.b` (o,), from
            zeros.
        name, trainable: as in `dense`.
        init: of `name.factors`; None: normal numbers of standard deviation 0.01.

    Source: S. Rendle, Factorization machines, ICDM 2010.

    Raises:
        ShapeError: `x` is not (N, i). DTypeError: it is not floating point.
        SettingError: `width` or `outputs` is not an integer above 0.
    """
    x, i = features("factorisation", x)
    if x.ndim != 2:
        raise _not(x, "factorisation", "needs (N, features)", "(N, features)")
    k, o = positive("factorisation", "width", width), positive("factorisation", "outputs", outputs)
    scope = layer_scope(name, "factorisation")

    def new(suffix: str, shape: tuple[int, ...], start: InitSpec) -> Node:
        return new_parameter(scope, suffix, TensorType(shape, x.dtype), start, trainable=trainable)

    v = new(".factors", (i, o * k), Normal(0.01) if init is None else init)
    own = matmul(square(x), reduce.sum(square(reshape(v, (i, o, k))), axis=2))  # (N, o)
    both = reduce.sum(square(reshape(matmul(x, v), (x.shape[0], o, k))), axis=2)
    y = (both - own) * 0.5
    if flag("factorisation", "linear", linear):
        y = y + matmul(x, new(".linear", (i, o), Zeros())) + new(".b", (o,), Zeros())
    return as_layer(scope, y, (x,))


def pair_interactions(x: Node, *, name: str | None = None) -> Node:
    """The sum of the products of all pairs of vectors: (N, fields, k) to (N, k).

    It is made in a time proportional to the fields: `(sum(x) ** 2 - sum(x ** 2)) / 2`. Its sum
    over the last axis is the second term of a factorisation machine.

    Args:
        x: (N, fields, k) or (N, ..., fields, k), such as `field_embedding` makes.
        name: of the layer.

    Source: X. He and T.-S. Chua, Neural factorization machines, SIGIR 2017.

    Raises:
        ShapeError: `x` has no axis of fields. DTypeError: it is not floating point.
    """
    x, _ = features("pair_interactions", x)
    if x.ndim < 3:
        raise _not(x, "pair_interactions", "there is no axis of fields", "(N, fields, features)")
    scope = layer_scope(name, "pair_interactions")
    both, own = square(reduce.sum(x, axis=-2)), reduce.sum(square(x), axis=-2)
    return as_layer(scope, (both - own).within(scope, ".pairs") * 0.5, (x,))


def field_embedding(
    codes: Node,
    counts: Sequence[int],
    width: int,
    *,
    name: str | None = None,
    init: InitSpec = None,
    dtype: str = "float32",
    trainable: bool = True,
    sparse: bool | None = None,
) -> Node:
    """The vectors of several categorical columns, each from a table of its own.

    The tables are `name.0.table`, (counts[0], width), and so on.

    Args:
        codes: (N, fields) integers; those of field f from 0 to `counts[f] - 1`.
        counts: the number of levels of each field.
        width: of the vectors; the result is (N, fields, width).
        name, init, dtype, trainable, sparse: as in `embedding`.

    Raises:
        ShapeError: `codes` are not (N, fields), with as many fields as `counts`.
        DTypeError: the codes are not integers. FeedError, in a run: one is out of range.
        SettingError: a count or the width is not an integer above 0.
    """
    codes = integers("field_embedding", codes)
    sizes = list(counts) if isinstance(counts, Sequence | np.ndarray) else [counts]
    if codes.ndim != 2 or codes.shape[1] != len(sizes) or not sizes:
        expected = f"(N, {len(sizes)})" if sizes else "a count for each field"
        raise _not(codes, "field_embedding", "each field has a count", expected)
    scope = layer_scope(name, "field_embedding")
    rows = [
        embedding(
            codes[:, f], size, width, name=f"{scope.base}.{f}", init=init, dtype=dtype,
            trainable=trainable, sparse=sparse,
        )
        for f, size in enumerate(sizes)
    ]  # fmt: skip
    vectors = concat(rows, axis=1).within(scope, ".vectors")
    return as_layer(scope, reshape(vectors, (N, len(rows), rows[0].shape[1])), rows)


def deep_factorisation(
    codes: Node,
    counts: Sequence[int],
    width: int = 8,
    outputs: int = 1,
    *,
    hidden: Sequence[int] = (64, 64),
    activation: Activation = "relu",
    dropout: float = 0.0,
    name: str = "deep",
    sparse: bool | None = None,
) -> Node:
    """A factorisation machine of categorical columns beside dense layers on the same vectors.

    The result, (N, outputs), is the sum of three parts: a weight of each level
    (`name.first`), the products of all pairs of vectors (for one output their sum, else mixed by
    `name.mix`), and dense layers on all vectors (`name.hidden1`, ..., `name.out`).

    Args:
        codes, counts: as in `field_embedding`.
        width: of the vectors, `name.fields`, (N, fields, width).
        outputs: such as 1 for a number or the logit of two classes.
        hidden, activation, dropout: of the dense layers, as in `mlp`.
        name: in front of the names of its layers.
        sparse: of the tables, as in `embedding`.

    Source: H. Guo et al., DeepFM: a factorization-machine based neural network, IJCAI 2017.

    Raises:
        What `field_embedding` and `mlp` raise.
    """
    o = positive("deep_factorisation", "outputs", outputs)
    e = field_embedding(codes, counts, width, name=f"{name}.fields", sparse=sparse)
    first = field_embedding(codes, counts, o, name=f"{name}.first", init=Zeros(), sparse=sparse)
    pairs = pair_interactions(e, name=f"{name}.pairs")  # (N, width)
    second = (
        reduce.sum(pairs, axis=1, keepdims=True)
        if o == 1
        else dense(pairs, o, bias=False, name=f"{name}.mix")
    )
    flat = reshape(e, (N, static_size(e.shape[1:])))
    h = mlp(flat, hidden, activation, dropout=dropout, name=f"{name}.hidden")
    deep = dense(h, o, name=f"{name}.out")
    scope = layer_scope(name, "deep_factorisation")
    levels = reduce.sum(first, axis=1).within(scope, ".levels")
    return as_layer(scope, levels + second + deep, (first, pairs, second, deep))


# ---------------------------------------------------------------- two towers


def two_towers(
    query: Node,
    item: Node,
    *,
    normalise: bool = True,
    temperature: float | Node = 1.0,
    name: str | None = None,
) -> Node:
    """The score of two vectors: their dot product divided by the temperature, (N, 1).

    The vectors come from two networks, the towers, one for each kind of thing; the score is a
    logit for `binary_cross_entropy`, or what `squared_error` compares. To train it from pairs
    that belong together alone, see `in_batch`. The vectors of length 1 are the nodes `name.query`
    and `name.item`: computed once for all items, they can be searched.

    Args:
        query, item: (N, k) each, the results of the two towers.
        normalise: scale both to length 1, so that the score is the cosine of their angle; the
            vector 0 stays 0.
        temperature: above 0; a scalar node to train it, such as `exp(parameter("t", 0.0))`.
        name: of the layer.

    Raises:
        ShapeError: they are not (N, k) both, with one k. DTypeError: they are not floating point.
        SettingError: the temperature is not above 0.
    """
    scope = layer_scope(name, "two_towers")
    a, b = _towers("two_towers", query, item, normalise)
    if a is not query:
        a, b = a.within(scope, ".query"), b.within(scope, ".item")
    divisor = _temperature("two_towers", temperature, query.dtype)
    products = (a * b).within(scope, ".products")
    return as_layer(
        scope, reduce.sum(products, axis=1, keepdims=True) / divisor, (query, item, divisor)
    )


def in_batch(
    query: Node,
    item: Node,
    *,
    normalise: bool = True,
    temperature: float | Node = 0.05,
    both: bool = False,
    name: str | None = None,
) -> Node:
    """The loss of pairs that belong together: each query should find its item in the minibatch.

    It is the mean cross-entropy of the scores of a query, as in `two_towers`, with all items of
    its minibatch, of which its own is the right one. So an item that stands twice in a minibatch
    counts against itself, and the loss depends on the batch size: `log(rows)` is that of chance.
    Rows of a minibatch meet, so that time and memory grow with the square of its rows. In
    `evaluate` and in validation all rows are one minibatch: hold out some thousand at most, by
    `validation=` of `fit`.

    Args:
        query, item, normalise, temperature: as in `two_towers`.
        both: add the loss of finding the query of each item, and halve the sum.
        name: of the loss.

    Source: A. van den Oord et al., Representation learning with contrastive predictive coding,
    2018.

    Raises:
        As `two_towers`.
    """
    scope = layer_scope(name, "in_batch")
    a, b = _towers("in_batch", query, item, normalise)
    divisor = _temperature("in_batch", temperature, query.dtype)
    scores = matmul(a, transpose(b)) / divisor  # (N, k) @ (k, N) -> (N, N)
    scores = scores.within(scope, ".matches")
    right = reduce.sum(a * b, axis=1) / divisor
    missed = logsumexp(scores, axis=1)
    if flag("in_batch", "both", both):
        missed = (missed + logsumexp(scores, axis=0)) * 0.5
    return as_layer(scope, reduce.mean(missed - right), (query, item, divisor))


def _towers(where: str, query: Node, item: Node, normalise: bool) -> tuple[Node, Node]:
    """The vectors to compare. Raises ShapeError, DTypeError."""
    query, item = floats(where, query), floats(where, item)
    for x in (query, item):
        if x.ndim != 2 or x.shape[0] is not N:
            raise _not(x, where, "a tower gives one vector an example", "(N, k)")
    if query.type != item.type:
        raise ShapeError(
            where, "the towers differ in their vectors", at="line " + user_line(),
            got=f"query {query.label!r} {query.type}\nitem {item.label!r} {item.type}",
            fix="end both with a dense layer of one width",
        )  # fmt: skip
    if not flag(where, "normalise", normalise):
        return query, item
    a, b = (_unit(x) for x in (query, item))
    return a, b


def _unit(x: Node) -> Node:
    """Each row divided by its length; 0 stays 0."""
    length = reduce.sum(square(x), axis=1, keepdims=True)
    return x * rsqrt(maximum(length, _LEAST))


def _temperature(where: str, value: float | Node, dtype: str) -> Node:
    """The divisor of scores, a scalar. Raises SettingError, GraphError."""
    if isinstance(value, Node):
        if value.shape == () and value.type.floating:
            return cast(value, dtype)
        raise GraphError(
            where, "a temperature is a floating-point scalar", got=value.type,
            at=operand_at(value),
            fix='write cr.exp(cr.parameter("temperature", 0.0))',
        )  # fmt: skip
    return constant(between(where, "temperature", value, 0.0, math.inf), dtype)


def _not(x: Node, where: str, what: str, expected: str) -> ShapeError:
    """The error for an operand of another shape."""
    return ShapeError(
        where, what, expected=expected, got=show(x.shape),
        at=operand_at(x),
    )  # fmt: skip
