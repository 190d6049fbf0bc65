"""Sums of products over named axes: einsum, and the one contraction of two operands below it."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Callable

import numpy as np

from chainrule.errors import DTypeError, SettingError, ShapeError
from chainrule.graph.attributes import EQUATION
from chainrule.graph.node import Array, Node, NodeLike, Operation, apply
from chainrule.graph.op import Reduce, Values, function, op
from chainrule.ir.index import Place, call
from chainrule.ir.kernel import Expr
from chainrule.ops.bfloat16 import as_factor, is_rounded
from chainrule.ops.build import BROADCAST_TO, CAST, broadcast_to, constant, promote
from chainrule.ops.compare import where
from chainrule.ops.reduce import sum
from chainrule.ops.shape import expand_dims, reshape, squeeze, transpose
from chainrule.types import Dim, TensorType, broadcast_shapes, distinct, show

# ---------------------------------------------------------------- the op: two operands
# Each label occurs at most once in each of the three terms, and in two of them at least.


def labels_of(equation: str) -> tuple[str, str, str]:
    """The labels of both operands and of the result."""
    operands, out = equation.split("->")
    a, b = operands.split(",")
    return a, b, out


def _infer_einsum(x: TensorType, w: TensorType, equation: str) -> TensorType:
    a, b, out = labels_of(equation)
    if x.dtype != w.dtype:
        raise DTypeError("einsum", "element types differ", got=f"{x} and {w}")
    if len(a) != x.ndim or len(b) != w.ndim:
        raise SettingError("einsum", "labels and axes differ in number", got=repr(equation))
    sizes = dict(zip(a, x.shape, strict=True))
    for label, dim in zip(b, w.shape, strict=True):
        if sizes.setdefault(label, dim) != dim:
            raise _sizes_differ(label, sizes[label], dim, equation)
    one, two = dict(zip(a, x.names, strict=True)), dict(zip(b, w.names, strict=True))
    axes = distinct(one.get(label) or two.get(label) for label in out)
    return TensorType(tuple(sizes[label] for label in out), x.dtype, axes)


def _sizes_differ(label: str, one: Dim, other: Dim, equation: str) -> ShapeError:
    return ShapeError(
        "einsum", f"label {label!r} stands for two sizes in {equation!r}", got=f"{one} and {other}"
    )


def _forward_einsum(x: Array, w: Array, equation: str) -> Array:
    """One product of batches of matrices: (both, left, inner) @ (both, inner, right)."""
    a, b, out = labels_of(equation)
    both = [s for s in a if s in b and s in out]
    inner = [s for s in a if s in b and s not in out]
    left, right = [s for s in a if s not in b], [s for s in b if s not in a]
    sizes = dict(zip(a + b, x.shape + w.shape, strict=True))
    batch, n, k, m = (
        [sizes[s] for s in both],
        *(int(np.prod([sizes[s] for s in part])) for part in (left, inner, right)),
    )
    xs = x.transpose([a.index(s) for s in both + left + inner]).reshape(*batch, n, k)
    ws = w.transpose([b.index(s) for s in both + inner + right]).reshape(*batch, k, m)
    labels = both + left + right
    y: Array = np.matmul(xs, ws).reshape([sizes[s] for s in labels])
    return y.transpose([labels.index(s) for s in out])


def _lower_einsum(
    node: Operation, place: Place, value: Values, loop: Callable[[Dim], Expr]
) -> Expr:
    *terms, out = labels_of(node.attributes["equation"])
    index: dict[str, Expr] = dict(zip(out, place, strict=True))
    for term, x in zip(terms, node.operands, strict=True):
        for label, dim in zip(term, x.shape, strict=True):
            if label not in index:
                index[label] = loop(dim)
    factors = [
        value(x, tuple(index[label] for label in term))
        for term, x in zip(terms, node.operands, strict=True)
    ]
    return call("mul", node.dtype, *factors)


def _decompose_einsum(x: Node, w: Node, equation: str) -> Node | None:
    """A product with a factor that is repeated along axes, as the gradient of a mean of positions.

    The result is repeated along them too; or, where it has them not, it is a product with the sum
    of the other factor.
    """
    a, b, out = labels_of(equation)
    for one, repeated, two, other in ((a, x, b, w), (b, w, a, x)):
        along = _repeated(one, repeated) - (set(two) & set(out))
        left, rest = (_but(along, labels) for labels in (one, out))
        if along and left and rest:
            assert isinstance(repeated, Operation)
            sizes = dict(zip(a + b, x.shape + w.shape, strict=True))
            inner = repeated.operands[0]
            lead = repeated.ndim - inner.ndim
            small = [
                1 if k < lead else inner.shape[k - lead] for k, s in enumerate(one) if s in left
            ]
            factor = broadcast_to(reshape(inner, small), tuple(sizes[s] for s in left))
            y = einsum(f"{left},{two}->{rest}", factor, other)
            wide = reshape(y, tuple(1 if s in along else sizes[s] for s in out))
            return broadcast_to(wide, tuple(sizes[s] for s in out))
    found = _beside_windows(x, w, equation)
    return _beside_rounded(x, w, equation) if found is None else found


def _but(gone: set[str], labels: str) -> str:
    """The labels without some."""
    return "".join(s for s in labels if s not in gone)


def _repeated(term: str, x: Node) -> set[str]:
    """The labels of axes along which a broadcast repeats its operand."""
    if not isinstance(x, Operation) or x.op is not BROADCAST_TO:
        return set()
    shape = (1,) * (x.ndim - x.operands[0].ndim) + x.operands[0].shape
    return {
        s
        for s, own, dim in zip(term, shape, x.shape, strict=True)
        if own == 1 and dim != 1 and isinstance(dim, int)
    }


def _beside_windows(x: Node, w: Node, equation: str) -> Node | None:
    """The product with a copy of a transposed operand, where the other one is of windows.

    Windows are read in place, which needs the other's columns side by side.
    """
    known = [y.op.name if isinstance(y, Operation) else "" for y in (x, w)]
    if set(known) != {"windows", "transpose"}:
        return None
    moved = [
        apply(CAST, y, dtype=y.dtype) if name == "transpose" else y
        for y, name in zip((x, w), known, strict=True)
    ]
    return apply(EINSUM, *moved, equation=equation)


def _beside_rounded(x: Node, w: Node, equation: str) -> Node | None:
    """The product with a copy of a rounded factor, where the other one is not: both are float32."""
    if is_rounded(x) == is_rounded(w):
        return None
    both = (apply(CAST, y, dtype=y.dtype) if is_rounded(y) else y for y in (x, w))
    return apply(EINSUM, *both, equation=equation)


EINSUM = op(
    "einsum",
    "contract",
    infer=_infer_einsum,
    attributes={"equation": EQUATION},
    forward=_forward_einsum,
    gradient=lambda gy, y, x, w, equation: (
        einsum("{2},{1}->{0}".format(*labels_of(equation)), as_factor(gy, w), w),
        # in the order of the factor
        einsum("{0},{2}->{1}".format(*labels_of(equation)), x, as_factor(gy, x)),
    ),
    decompose=_decompose_einsum,
    lower=Reduce("sum", _lower_einsum, spreads=True),
    formula='einsum("{equation}", {0}, {1})',
)

# ---------------------------------------------------------------- the function


@function
def einsum(equation: str, *operands: NodeLike) -> Node:
    """Products summed over all labels that are not in the result: `einsum("ij,jk->ik", a, b)`.

    Args:
        equation: a term of labels for each operand, a letter an axis, and after `->` those of
            the result; without `->`, the labels that occur once, in alphabetical order. `...`
            stands for leading axes, which broadcast. A repeated label in a term takes the diagonal.
        operands: nodes of one dtype; more than two are multiplied from left to right.

    Raises:
        SettingError: the equation is not valid.
        ShapeError: a label stands for two sizes.
    """
    terms, out = _parsed(equation, len(operands))
    nodes = promote("einsum", *operands)
    for term, x in zip(terms, nodes, strict=True):
        axes = len(term.replace("...", ""))
        if axes != x.ndim if "..." not in term else axes > x.ndim:
            raise ShapeError(
                "einsum",
                f"term {term!r} of {equation!r} does not fit its operand",
                expected=f"{axes} axes" + (" or more" if "..." in term else ""),
                got=f"{x.label!r} {show(x.shape)}",
            )
    parts, out = _without_dots(terms, out, nodes)
    _check_sizes(parts, equation)
    parts = [_diagonals(term, x) for term, x in parts]
    term, total = parts[0]
    for k, (label, x) in enumerate(parts[1:], start=2):
        later = out + "".join(t for t, _ in parts[k:])
        term, total = _product(term, total, label, x, later)
    term, total = _summed(term, total, out)
    return transpose(total, [term.index(s) for s in out])


def _parsed(equation: str, count: int) -> tuple[list[str], str]:
    """The operands' terms and the result's. Raises SettingError, with the reason."""
    if not isinstance(equation, str):
        raise SettingError(
            "einsum", "the equation is text", expected="such as 'ij,jk->ik'", got=repr(equation)
        )
    text = equation.replace(" ", "")
    left, arrow, out = text.partition("->")
    terms = left.split(",")
    letters = [t.replace("...", "", 1) for t in (*terms, out)]
    seen = Counter("".join(letters[:-1]))
    if not arrow:
        once = "".join(sorted(s for s in seen if seen[s] == 1))
        out = ("..." if "..." in left else "") + once
    problem = None
    if len(terms) != count:
        problem = f"{len(terms)} terms for {count} operands"
    elif strange := set("".join(letters)) - set(string.ascii_letters):
        problem = f"{min(strange)!r} is not a label: labels are letters"
    elif repeated := [s for s in letters[-1] if letters[-1].count(s) > 1]:
        problem = f"label {repeated[0]!r} occurs twice in the result"
    elif unknown := set(letters[-1]) - set(seen):
        problem = f"label {min(unknown)!r} of the result is in no operand"
    elif "..." in out and "..." not in left:
        problem = "'...' of the result is in no operand"
    if problem:
        raise SettingError(
            "einsum", problem, expected="an equation such as 'ij,jk->ik'", got=repr(equation)
        )
    return terms, out


def _without_dots(
    terms: list[str], out: str, nodes: tuple[Node, ...]
) -> tuple[list[tuple[str, Node]], str]:
    """The terms with letters in place of `...`; a broadcast axis of size 1 is left out."""
    used = set("".join((*terms, out)))
    free = [s for s in string.ascii_letters if s not in used]
    dots = [
        x.shape[t.index("...") :][: x.ndim - len(t) + 3] if "..." in t else ()
        for t, x in zip(terms, nodes, strict=True)
    ]
    shape = broadcast_shapes("einsum", *dots)
    if len(shape) > len(free):
        raise SettingError("einsum", "more axes than letters", got=f"{len(shape)} axes in '...'")
    names = free[: len(shape)]
    parts = []
    for term, x, have in zip(terms, nodes, dots, strict=True):
        lead, mine = term.find("..."), names[len(names) - len(have) :]
        want = shape[len(shape) - len(have) :]
        dropped = [k for k in range(len(have)) if have[k] != want[k]]
        remaining = "".join(s for k, s in enumerate(mine) if k not in dropped)
        small = squeeze(x, [lead + k for k in dropped]) if dropped else x
        parts.append((term.replace("...", remaining), small))
    return parts, out.replace("...", "".join(names))


def _check_sizes(parts: list[tuple[str, Node]], equation: str) -> None:
    sizes: dict[str, Dim] = {}
    for term, x in parts:
        for label, dim in zip(term, x.shape, strict=True):
            if sizes.setdefault(label, dim) != dim:
                raise _sizes_differ(label, sizes[label], dim, equation)


def _diagonals(term: str, x: Node) -> tuple[str, Node]:
    """`x` with each label at most once: the diagonal of the axes that share one."""
    while repeated := [s for s in term if term.count(s) > 1]:
        one = term.index(repeated[0])
        two = term.index(repeated[0], one + 1)
        size = x.shape[one]
        if not isinstance(size, int):
            raise ShapeError(
                "einsum", "no diagonal of the batch axis", got=f"{term!r} for {show(x.shape)}"
            )
        others = [a for a in range(x.ndim) if a not in (one, two)]
        diagonal = expand_dims(constant(np.eye(size, dtype=bool)), others)
        x = sum(where(diagonal, x, 0), two)
        term = term[:two] + term[two + 1 :]
    return term, x


def _product(a: str, x: Node, b: str, w: Node, later: str) -> tuple[str, Node]:
    """The product of two operands, summed over the labels that are not needed later.

    Its axes are in the order of those, so that the last product is stored as the result has them.
    """
    a, x = _summed(a, x, b + later)
    b, w = _summed(b, w, a + later)
    result = "".join(dict.fromkeys(s for s in later if s in a + b))
    return result, apply(EINSUM, x, w, equation=f"{a},{b}->{result}")


def _summed(term: str, x: Node, keep: str) -> tuple[str, Node]:
    """`x` summed over the labels that are not in `keep`."""
    gone = [a for a, s in enumerate(term) if s not in keep]
    return "".join(s for s in term if s in keep), sum(x, gone) if gone else x
