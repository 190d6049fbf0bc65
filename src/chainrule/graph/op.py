"""The op record, its lowering forms, and the registry of all ops."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast

from chainrule.errors import ChainruleError, GraphError, did_you_mean, nearest
from chainrule.graph.attributes import Schema, check_attributes
from chainrule.graph.source import called_from_user, user_line
from chainrule.ir.index import Place
from chainrule.ir.kernel import Combine, Expr
from chainrule.system.calls import refuse_misfit
from chainrule.system.checks import flag
from chainrule.types import Dim, TensorType

if TYPE_CHECKING:
    import numpy as np

    from chainrule.graph.node import Node, Operation

F = TypeVar("F", bound=Callable[..., Any])
Kind = Literal["map", "reduce", "contract", "view", "index", "random"]
Infer = Callable[..., TensorType]
Forward = Callable[..., "np.ndarray[Any, Any]"]
Gradient = Callable[..., "tuple[Node | None, ...]"]
Decompose = Callable[..., "Node | None"]
Values: TypeAlias = "Callable[[Node, Place], Expr]"
"""Gives the expression of one element of a node."""

# ---------------------------------------------------------------- lowering forms
# lowering ::= Scalar | Map                    element by element
#           |  View | Element                  an element is read, or made, by its index
#           |  Reduce | Scan                   loops of their own
#           |  ScatterAdd | LastEqual          two kernels of their own
#           |  Exchange                        the operand, in memory of its own
#           |  Fixed                           an array


@dataclass(frozen=True, slots=True)
class Scalar:
    """Element by element: a scalar function of ir/kernel.py, on the operands' elements."""

    function: str


@dataclass(frozen=True, slots=True)
class Map:
    """Element by element: an expression.

    Attributes:
        rule: `(*operands, **attributes)`, the operands' elements, to the element.
    """

    rule: Callable[..., Expr]


@dataclass(frozen=True, slots=True)
class View:
    """The elements of the first operand at other indices; computing it costs nothing.

    Attributes:
        index: the node and an index in it to the index in the operand.
        aligned: each element keeps its place where the sizes, those of 1 aside, are the operand's.
        spreads: else, an element of the operand is read for several.
        deep: else, the index has several copies of each part of ours.
    """

    index: Callable[[Operation, Place], Place]
    aligned: bool = False
    spreads: bool = False
    deep: bool = False


@dataclass(frozen=True, slots=True)
class Element:
    """An element that is chosen or made by its index.

    Attributes:
        rule: the node, an index in it, and what gives elements of operands, to the element.
        spreads: an element of an operand is computed for several, or for none.
        deep: the indices in the operands have several copies of each part of ours.
        choice: the operand that chooses by integers, and from how many; None: none does.
        joins: the attribute with the axis along which the operands follow each other, if they do.
        stored: the elements are kept in memory, however cheap they are.
    """

    rule: Callable[[Operation, Place, Values], Expr]
    spreads: bool = False
    deep: bool = False
    choice: Callable[[Operation], tuple[Node, Dim]] | None = None
    joins: str = ""
    stored: bool = False


@dataclass(frozen=True, slots=True)
class Reduce:
    """An element that takes several elements of operands together.

    Attributes:
        combine: how.
        rule: as that of Element, with a fourth argument that gives the index of a new loop over
            so many turns; to what is combined over all loops.
        rereads: it reads elements of its operands again and again, so they are kept in memory.
        spreads: an element of an operand is read for several where the sizes differ.
    """

    combine: Combine
    rule: Callable[[Operation, Place, Values, Callable[[Dim], Expr]], Expr]
    rereads: bool = True
    spreads: bool = False


@dataclass(frozen=True, slots=True)
class Scan:
    """Running sums along the attribute `axis`, from its end where `reverse`."""


@dataclass(frozen=True, slots=True)
class ScatterAdd:
    """Zeros to which slices of the first operand are added where the second says.

    Attributes:
        target: the node and an element of the second operand to the index of the slice, which
            stands where the second operand's axes do in the first: from the attribute `axis` on,
            or from the front.
    """

    target: Callable[[Operation, Expr], Place] = lambda node, index: (index,)


@dataclass(frozen=True, slots=True)
class LastEqual:
    """For each index, below the attribute `size`, the position of the last one that is equal."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """The operand, written to memory of its own: a step can be cut before it is read."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """The array in the attribute `value`."""


Lowering: TypeAlias = (
    Scalar
    | Map
    | View
    | Element
    | Reduce
    | Scan
    | ScatterAdd
    | LastEqual
    | Exchange
    | Exchange
    | Fixed
)

# ---------------------------------------------------------------- the record


@dataclass(frozen=True, slots=True, eq=False)
class Op:
    """The meaning of an operation, its differentiation, and its lowering to machine code.

    Attributes:
        name: the bare name, as in listings and model files.
        kind: how elements of the result depend on elements of the operands. `map`: element by
            element; `reduce`: along axes; `contract`: sums of products; `view`: the same
            elements in another shape or order; `index`: indices computed from data; `random`:
            drawn anew each step.
        infer: operand types and attributes to the type of the result; raises on misuse.
        attributes: what each of them is; None for an op made elsewhere, which checks its own.
        forward: NumPy operands and attributes to the value.
        gradient: `(gy, y, *operands, **attributes)`, all of them nodes, to one node an operand;
            None for an operand through which no gradient flows. None in place of the rule:
            not differentiable with respect to anything.
        decompose: `(*operands, **attributes)`, nodes, to a node made of simpler ops that machine
            code computes instead; or to None where the op stays. None: it always stays.
        lower: one element as an expression; None: it is decomposed, or interpreted.
        price: of one element, in additions: by it fusion decides what is computed again.
        formula: how to write it; `{0}` is the first operand, `{axis}` an attribute.
        convention: what holds at kinks, ties and for NaN, in one sentence.
        serial: 0 for Chainrule's own ops; ops made elsewhere are counted.

    Three attributes are completed when a graph is run: `shape` (N becomes the number of rows),
    `stream` (None becomes a number made from the node's name), `training` (None becomes True
    in a training step, False elsewhere).
    """

    name: str
    kind: Kind
    infer: Infer
    forward: Forward
    gradient: Gradient | None
    decompose: Decompose | None = None
    lower: Lowering | None = None
    price: int = 1
    formula: str = ""
    convention: str = ""
    serial: int = 0
    attributes: Schema | None = None

    def type(self, operands: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
        """The type of the result. Raises on misuse of operands or attributes."""
        if self.attributes is not None and (self.attributes or attributes):
            check_attributes(self.name, self.attributes, tuple(operands), attributes)
        return self.infer(*operands, **attributes)

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def __reduce__(self) -> tuple[Callable[[str], Op], tuple[str]]:
        """Pickle and copy by the name: its rules are code, which is where the op is defined."""
        return lookup, (self.name,)


REGISTRY: dict[str, Op] = {}
"""All ops by name."""

FUNCTIONS: dict[str, Callable[..., Node]] = {}
"""The user-level functions by name, so that operators and methods of nodes can reach them."""

SERIALS = itertools.count(1)
"""Numbers the ops that are made outside of Chainrule."""


def op(
    name: str,
    kind: Kind,
    *,
    infer: Infer,
    forward: Forward,
    gradient: Gradient | None,
    decompose: Decompose | None = None,
    lower: Lowering | None = None,
    price: int | None = None,
    formula: str = "",
    convention: str = "",
    serial: int | None = None,
    attributes: Schema | None = None,
) -> Op:
    """Make an op and enter it in the registry.

    An op made outside of Chainrule may be made again: the new one takes the name.

    Args:
        name: of the op; no other has it.
        kind, infer, forward: see `Op`.
        gradient: see `Op`; None says: not differentiable.
        decompose, lower: what machine code computes; without both, the op is interpreted.
        price: of one element, in additions; None: 0 for what only reads elsewhere, else 1.
        formula, convention: see `Op`.
        serial: see `Op`; None: by where this is called from.
        attributes: see `Op`; None: Chainrule's own op takes none, another what it likes.

    Raises:
        GraphError: one of Chainrule's own ops has that name.
    """
    if serial is None:
        serial = next(SERIALS) if called_from_user() else 0
    known = REGISTRY.get(name)
    if known is not None and not (known.serial and serial):
        raise GraphError("op", f"an op named {name!r} exists already", fix="choose another name")
    if price is None:
        price = 0 if isinstance(lower, View | Fixed) else 1
    REGISTRY[name] = Op(
        name, kind, infer, forward, gradient, decompose, lower, price,
        formula or name + "({0})", convention, serial,
        {} if attributes is None and not serial else attributes,
    )  # fmt: skip
    return REGISTRY[name]


def lookup(name: str) -> Op:
    """The op of that name. Raises GraphError, naming the nearest, where there is none."""
    if name not in REGISTRY:
        guess = did_you_mean(name, REGISTRY) if nearest(name, REGISTRY) else None
        fix = guess or "run the code that makes it by cr.op first"
        raise GraphError("op", f"unknown op {name!r}", fix=fix)
    return REGISTRY[name]


def function(user_function: F) -> F:
    """Enter a user-level function, so that operators and methods of nodes can call it.

    An error that it raises names the user's line, unless it names a place already. What is
    annotated as `bool` has to be one.
    """
    flags = {k for k, kind in user_function.__annotations__.items() if kind == "bool"}

    @functools.wraps(user_function)
    def wrapper(*args: Any, **keywords: Any) -> Any:
        try:
            for name in flags & keywords.keys():
                keywords[name] = flag(user_function.__name__, name, keywords[name])
            return user_function(*args, **keywords)
        except ChainruleError as error:
            if error.at is None:
                error.at = "line " + user_line()
            error.of_call(user_function.__name__, *args, *keywords.values())
            raise
        except TypeError:
            refuse_misfit(user_function, args, keywords)
            raise

    wrapper.telling = True  # type: ignore[attr-defined]
    FUNCTIONS[user_function.__name__] = wrapper
    return cast("F", wrapper)
