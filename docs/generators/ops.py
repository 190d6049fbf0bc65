"""The page of operations: the ops of the registry with their gradients, and the functions."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from functools import partial

import chainrule as cr
import chainrule.ops
from chainrule.explain.formula import expression, transparent
from chainrule.graph.node import Operation, apply
from chainrule.graph.op import FUNCTIONS, REGISTRY, Op
from chainrule.ops.again import again, recomputed
from chainrule.ops.objective import objective
from generators.signatures import cell, first_sentence, signature

for _module in pkgutil.iter_modules(chainrule.ops.__path__):
    importlib.import_module(f"chainrule.ops.{_module.name}")

KINDS = {
    "map": "element by element",
    "reduce": "along axes",
    "contract": "sums of products",
    "view": "the same elements in another shape, order or role",
    "index": "indices computed from data",
    "random": "drawn anew in each step",
}


GROUPS = {
    "Arithmetic and powers": ("elementwise",),
    "Exponentials, logarithms, sine and cosine": ("transcendental",),
    "Signs, bounds and rounding": ("bounds", "bfloat16"),
    "Activations": ("activations", "softmax"),
    "Comparisons, logic and choice": ("compare",),
    "Sums, means, extremes": ("reduce", "moments", "product"),
    "Products of matrices": ("contract", "einsum"),
    "Shapes": ("shape",),
    "Parts, and arrays put together": ("slicing", "join"),
    "Windows, as of convolutions": ("windows",),
    "Look-up by index": ("index",),
    "Constants, types, broadcasting": ("build",),
    "Training and randomness": ("mode", "random"),
}
"""Headings for the functions of the modules of `ops`."""


def _floats(*shape: int) -> cr.Node:
    return cr.input("x", shape, batch=False)


def _x() -> cr.Node:
    return _floats(2, 3)


def _indices(*shape: int) -> cr.Node:
    return cr.input("i", shape, dtype="int32")


SAMPLES: dict[str, Callable[[], cr.Node]] = {
    "recomputed": lambda: recomputed(_x(), [_x()]),
    "again": lambda: again(_x(), [_x()]),
    "objective": lambda: objective(cr.sum(_x()), cr.sum(_x()), cr.sum(_x()), kind="own"),
    "cast": lambda: cr.cast(_x(), "float64"),
    "broadcast_to": lambda: cr.broadcast_to(_floats(3), (2, 3)),
    "sum_to": lambda: apply(REGISTRY["sum_to"], _x(), shape=(3,)),
    "where": lambda: cr.where(cr.greater(_x(), 0.0), _x(), _x()),
    "power_scalar": lambda: cr.power(_x(), 3.0),
    "clip": lambda: cr.clip(_x(), -1.0, 1.0),
    "reshape": lambda: cr.reshape(_x(), (3, 2)),
    "transpose": lambda: cr.transpose(_x()),
    "einsum": lambda: cr.einsum("ij,jk->ik", _x(), _floats(3, 2)),
    "matmul": lambda: cr.matmul(_x(), _floats(3, 2)),
    "take": lambda: cr.take(_x(), _indices()),
    "scatter_add": lambda: apply(
        REGISTRY["scatter_add"], cr.input("x", (3,)), _indices(), axis=0, shape=(2, 3)
    ),
    "gather": lambda: cr.gather(cr.input("x", (3,)), _indices(2)),
    "scatter_add_along": lambda: apply(
        REGISTRY["scatter_add_along"], cr.input("x", (2,)), _indices(2), axis=1, shape=(cr.N, 3)
    ),
    "concat": lambda: cr.concat([_x(), _x()]),
    "slice": lambda: cr.slice(_x(), (slice(1, 2), slice(None))),
    "pad": lambda: cr.pad(_x(), 1),
    "windows": lambda: cr.windows(cr.input("x", (5,)), 3, padding=1),
    "overlap_add": lambda: cr.overlap_add(cr.input("x", (5, 3)), 5, padding=1),
    "one_hot": lambda: cr.one_hot(_indices(), 10),
    "prod_others": lambda: apply(REGISTRY["prod_others"], _x(), axis=(1,)),
    **{
        name: partial(lambda function: function(_x(), axis=1), FUNCTIONS[name])
        for name in (
            "sum",
            "mean",
            "max",
            "min",
            "var",
            "std",
            "norm",
            "prod",
            "cumsum",
            "logsumexp",
        )
    },
}
"""A call of each op whose operands are not just arrays of one shape."""

WORDS = {"prod_others": "`prod_others` of one more operand, `gy`"}
"""The gradient of ops with any number of operands, which have no formula."""

NAMES = ("a", "b", "c")


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for kind, words in KINDS.items():
        found = [op for op in REGISTRY.values() if op.kind == kind and not op.serial]
        parts.append(f"### {kind}: {words}\n\n" + _table(found))
    parts.append(FUNCTIONS_HEAD)
    left = set(FUNCTIONS)
    for heading, modules in GROUPS.items():
        found = [name for name, x in FUNCTIONS.items() if x.__module__.split(".")[-1] in modules]
        left -= set(found)
        rows = ["| function | what it gives |", "|---|---|"]
        for name in found:
            text = cell(first_sentence(FUNCTIONS[name].__doc__))
            rows.append(f"| {_code(signature(name, FUNCTIONS[name]))} | {text} |")
        parts.append(f"### {heading}\n\n" + "\n".join(rows))
    if left:
        raise ValueError(f"ops.md has no place for {', '.join(sorted(left))}")
    return "\n\n".join(parts) + "\n"


def _table(ops: list[Op]) -> str:
    rows = ["| op | formula | gradient | by convention |", "|---|---|---|---|"]
    for op in sorted(ops, key=lambda x: x.name):
        formula, gradients = _shown(op)
        convention = cell(op.convention)
        rows.append(f"| `{op.name}` | {_code(formula)} | {gradients} | {convention} |")
    return "\n".join(rows)


def _shown(op: Op) -> tuple[str, str]:
    """The formula with operands a, b, c, and the gradient of each of them."""
    node = _sample(op)
    if node is None:
        return f"{op.name}(...)", "none"
    names = dict(zip(node.operands, NAMES, strict=False))
    formula = f"{op.name}(a)" if transparent(node) else expression(node, names.get)
    if op.gradient is None or op.name in WORDS:
        return formula, WORDS.get(op.name, "none")
    batch = node.shape[:1] == (cr.N,)
    gy = cr.input("gy", node.shape[batch:], dtype=node.dtype, batch=batch)
    entries = op.gradient(gy, node, *node.operands, **node.attributes)
    leaves = {**names, node: "y", gy: "gy"}
    shown = [
        _code(f"g{name} = {leaves.get(entry) or expression(entry, leaves.get)}")
        for name, entry in zip(NAMES, entries, strict=False)
        if entry is not None
    ]
    return formula, "<br>".join(shown)


def _sample(op: Op) -> Operation | None:
    """A sample node of the op; None if it has no operands and no gradient."""
    if op.name in SAMPLES:
        node = SAMPLES[op.name]()
    elif op.name not in FUNCTIONS or op.name in ("constant", "uniform", "stop_gradient", "tracked"):
        node = None
    elif op.kind == "map" and op.name.startswith("logical"):
        node = FUNCTIONS[op.name](*(cr.greater(_x(), 0.0) for _ in range(_operands(op))))
    else:
        node = FUNCTIONS[op.name](*(_x() for _ in range(_operands(op))))
    if node is None and op.gradient is None:
        return None
    assert isinstance(node, Operation), f"SAMPLES needs a call of {op.name!r}"
    assert node.op is op, f"SAMPLES needs a call of {op.name!r}"
    return node


def _operands(op: Op) -> int:
    return 1 + max(k for k in range(3) if k == 0 or f"{{{k}}}" in op.formula)


def _code(text: str) -> str:
    return cell(f"`{text}`")


INTRODUCTION = """# Operations

The operations of graphs. This page is generated from the program's registry.

## Ops

An **op** is the rule of a node: how its type follows from those of its operands, how its value is
computed with NumPy, and how its gradient is propagated. Operands are written `a`, `b`, `c`, the
value `y`; `gy` is the gradient of the loss with respect to `y`, `ga` that with respect to `a`.
Gradients are nodes, so they can be differentiated again. Examples have shape (2, 3), reductions are
along the second axis. Broadcasts and reshapes are not shown, as in the steps of a trace."""

FUNCTIONS_HEAD = """## Functions

The functions that programs call: `cr.sigmoid(x)`, `cr.mean(x, axis=0)`. Operands are nodes,
numbers or arrays; shapes broadcast as in NumPy; float32 and float64 do not mix silently. Operators
work too: `+ - * / ** @`, comparisons, `& | ~`, indexing `x[...]`, and the methods `sum`, `mean`,
`max`, `min`, `reshape`, `transpose`, `astype`, `T`. Some functions are ops, others use them."""
