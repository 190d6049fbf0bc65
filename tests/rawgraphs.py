"""Random graphs of op records, with any attributes that their rules admit, as a file may have."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.errors import ChainruleError
from chainrule.graph import attributes as kinds
from chainrule.graph.node import Node, apply
from chainrule.graph.op import REGISTRY, Op
from chainrule.graph.step import KEY
from chainrule.types import DTYPES, FLOATS, N

SIZES = (0, 1, 1, 2, 3, 5)
LEAST_USUAL = ("exchange", "tracked", "objective", "constant")
EQUATIONS = ("ik,kj->ij", "nij,nj->ni", "ij,ij->ij", "ij,ij->", "i,j->ij", "n,n->n", "nij,nij->n")

Draw = Callable[[random.Random, tuple[Node, ...]], Any]


def shape(pick: random.Random, operands: tuple[Node, ...]) -> tuple[Any, ...]:
    """A shape that is often one that the operands have, with axes moved, merged or added."""
    dims = list(pick.choice(operands).shape) if operands else []
    way = pick.randrange(6)
    if way == 0 and len(dims) > 1 and dims[-1] is not N and dims[-2] is not N:
        dims[-2:] = [dims[-2] * dims[-1]]
    elif way == 1:
        dims.insert(pick.randrange(len(dims) + 1), 1)
    elif way == 2:
        dims.insert(0, pick.choice((N, *SIZES)))
    elif way == 3 and dims:
        dims[pick.randrange(len(dims))] = pick.choice((N, *SIZES))
    elif way == 4:
        dims = [d for d in dims if d != 1]
    return tuple(dims)


def _ndim(operands: tuple[Node, ...]) -> int:
    return operands[0].ndim if operands else 0


DRAWS: dict[kinds.Attribute, Draw] = {
    kinds.FLAG: lambda pick, xs: bool(pick.randrange(2)),
    kinds.AXIS: lambda pick, xs: pick.randrange(_ndim(xs) or 1),
    kinds.AXES: lambda pick, xs: tuple(a for a in range(_ndim(xs)) if pick.randrange(2)),
    kinds.PERMUTATION: lambda pick, xs: tuple(pick.sample(range(_ndim(xs)), _ndim(xs))),
    kinds.PLACES: lambda pick, xs: tuple(pick.choice((0, 0, 1, 2, -1)) for _ in range(_ndim(xs))),
    kinds.NATURAL: lambda pick, xs: pick.choice((0, 1, 2, 5)),
    kinds.NATURALS: lambda pick, xs: (pick.choice((0, 1, 1, 1, 2, 3)),),
    kinds.WORD.or_none(): lambda pick, xs: pick.choice((None, 7)),
    kinds.FLAG.or_none(): lambda pick, xs: pick.choice((None, True, False)),
    kinds.SHAPE: shape,
    kinds.DTYPE: lambda pick, xs: pick.choice(DTYPES),
    kinds.NUMBER: lambda pick, xs: pick.choice((0, 1, 2, -1, 3, 0.5, 1e30, 2.5)),
    kinds.NUMBER.or_none(): lambda pick, xs: pick.choice((None, 0, 1, -1, 0.5)),
    kinds.FILL: lambda pick, xs: pick.choice((0, 0.0, 1, float("nan"), float("inf"), True)),
    kinds.ARRAY: lambda pick, xs: np.ones(pick.choices(SIZES, k=2), pick.choice(DTYPES)),
    kinds.TEXT: lambda pick, xs: pick.choice(("squared_error", "cross_entropy", "odd")),
    kinds.FRACTIONS.or_none(): lambda pick, xs: pick.choice((None, (0.5,), (0.1, 0.9))),
    kinds.EQUATION: lambda pick, xs: pick.choice(EQUATIONS),
}


def drawn(kind: kinds.Attribute, pick: random.Random, operands: tuple[Node, ...]) -> Any:
    return next(x for known, x in DRAWS.items() if known.words == kind.words)(pick, operands)


def leaves(pick: random.Random) -> list[Node]:
    """Inputs and parameters of several shapes, some without elements."""
    nodes: list[Node] = [KEY]
    for k in range(pick.randrange(2, 5)):
        sizes = pick.choices(SIZES, k=pick.randrange(3))
        nodes.append(cr.input(f"x{k}", sizes, pick.choice(("float32", "float32", *DTYPES))))
    for k in range(pick.randrange(1, 4)):
        sizes = pick.choices(SIZES, k=pick.randrange(1, 4))
        dtype = pick.choice(("float32", "float32", "float64"))
        value = np.random.default_rng(k).normal(size=sizes)
        nodes.append(cr.parameter(f"w{k}", value, dtype=dtype, trainable=bool(pick.randrange(4))))
    return nodes


def operation(pick: random.Random, nodes: list[Node]) -> Node:
    """One more operation on them. Raises ChainruleError where it is misuse."""
    names = [x for x in REGISTRY if not REGISTRY[x].serial and x not in LEAST_USUAL]
    op = REGISTRY[pick.choice(names if pick.randrange(20) else LEAST_USUAL)]
    first = pick.choice(nodes[-6:] if pick.randrange(2) else nodes)
    alike = [x for x in nodes if x.type == first.type]
    rest = [pick.choice(alike if pick.randrange(3) else nodes) for _ in range(3)]
    operands = tuple((first, *rest)[: _count(pick, op)])
    given = {k: drawn(kind, pick, operands) for k, kind in (op.attributes or {}).items()}
    return apply(op, *operands, **given)


def _count(pick: random.Random, op: Op) -> int:
    if isinstance(op.forward, np.ufunc):
        return op.forward.nin
    if op.name in ("constant", "count"):
        return 0
    if op.name in ("where", "objective", "put_rows"):
        return 3
    pairs = ("take", "gather", "scatter_add", "scatter_add_along", "einsum", "matmul", "tracked")
    if op.name in (*pairs, "when_training", "add_at", "read_at"):
        return 2
    return pick.choice((1, 2)) if op.name in ("concat", "prod_others", "uniform") else 1


def model(pick: random.Random) -> cr.Model:
    """A model whose outputs are all that its graph computes, and whose loss adds them up."""
    nodes = leaves(pick)
    wanted = len(nodes) + pick.randrange(2, 12)
    for _ in range(200):
        if len(nodes) >= wanted:
            break
        try:
            nodes.append(operation(pick, nodes))
        except ChainruleError:
            continue
    used = {y for x in nodes for y in x.inputs}
    outputs = [x for x in nodes if x not in used and x is not KEY]
    loss = cr.constant(0.0)
    for x in outputs:
        number = x if x.dtype in FLOATS else cr.cast(x, "float32")
        loss = loss + cr.cast(cr.sum(cr.tanh(number)), "float32")
    return cr.Model(outputs, loss)
