"""The three kinds of node: Parameter, Input, Operation. All are immutable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from chainrule.display.tables import facts_html
from chainrule.errors import ChainruleError, DTypeError, GraphError
from chainrule.graph.op import FUNCTIONS, Op
from chainrule.graph.source import node_line, user_line
from chainrule.operands import Operand
from chainrule.types import Shape, TensorType

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
NodeLike: TypeAlias = "Node | npt.ArrayLike"
Axis: TypeAlias = int | Sequence[int] | None


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """The base name of one node, or of the nodes of one layer; given by the user or not.

    Nodes of a layer share a scope and differ in their suffix: `hidden`, `hidden.w`, `hidden.b`.
    A base name that the user did not give is made unique by the Graph: `dense`, `dense_2`.
    """

    base: str
    given: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.base, str):
            raise GraphError("name", "a name is text", got=repr(self.base))

    def __copy__(self) -> Scope:
        """The scope itself: the nodes of a layer share it."""
        return self

    def __deepcopy__(self, memo: object) -> Scope:
        """The scope itself."""
        return self


@runtime_checkable
class Initializer(Protocol):
    """Draws a parameter's initial value from its shape and a seeded generator."""

    @property
    def name(self) -> str:
        """The name in listings and files."""

    def __call__(self, shape: tuple[int, ...], generator: np.random.Generator) -> Array: ...


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Node(Operand):
    """A value in a graph. Nodes compare by identity; operators on them build more nodes.

    Attributes:
        scope, suffix: together the name; a Graph makes it unique (`graph.name`).
        type: shape, with the batch axis `N`, and dtype.
        source: the user's line that made the node; empty where none did.
    """

    scope: Scope
    type: TensorType
    suffix: str = field(default="", kw_only=True)
    source: str = field(default_factory=node_line, kw_only=True)

    __array_ufunc__ = None  # so that `array + node` calls the node
    __iter__ = None

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The nodes whose values this one is computed from."""
        return ()

    @property
    def label(self) -> str:
        """The name before a Graph makes it unique."""
        return self.scope.base + self.suffix

    @property
    def shape(self) -> Shape:
        """The shape, with `N` for the batch axis."""
        return self.type.shape

    @property
    def dtype(self) -> str:
        """The element type, such as `float32`."""
        return self.type.dtype

    @property
    def ndim(self) -> int:
        """The number of axes, the batch axis included."""
        return self.type.ndim

    @property
    def T(self) -> Node:
        """The node with its axes reversed."""
        return FUNCTIONS["transpose"](self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.label!r} {self.type}>"

    def _repr_html_(self) -> str:
        reads = ", ".join(f"{x.label} {x.type}" for x in self.inputs)
        return facts_html(self.label, *self._facts(), ("type", self.type), ("reads", reads),
                          ("made at", self.source))  # fmt: skip

    def _facts(self) -> tuple[tuple[str, object], ...]:
        """The kind, and what it has besides a name and a type."""
        return (("kind", type(self).__name__.lower()),)

    def __bool__(self) -> bool:
        raise GraphError(
            "bool",
            "a node has no truth value while the graph is built",
            got=repr(self),
            at="line " + user_line(),
            fix="use where(condition, a, b), logical_and, logical_or, logical_not",
        )

    def __eq__(self, other: object) -> bool:
        if isinstance(other, (int, float, np.ndarray, np.generic)):
            raise GraphError(
                "equal",
                "== compares the identity of nodes, and this is not a node",
                got=f"{self!r} == {other!r}",
                at="line " + user_line(),
                fix="use equal(a, b) or not_equal(a, b)",
            )
        return self is other

    __hash__ = object.__hash__

    def __copy__(self) -> Node:
        """The node itself, which never changes, and is what it is by identity."""
        return self

    def __deepcopy__(self, memo: object) -> Node:
        """The node itself."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the fields; what all graphs share is found again by its name."""
        if SHARED.get(self.label) is self:
            return shared, (self.label,)
        state = {x.name: getattr(self, x.name) for x in fields(self)}
        if "attributes" in state:
            state["attributes"] = dict(state["attributes"])
        return made, (type(self), state)

    def __array__(self, *_: Any, **__: Any) -> Array:
        raise DTypeError(
            "array",
            "a node has no numbers while the graph is built",
            got=repr(self),
            at="line " + user_line(),
            fix="use the functions of chainrule, or run(node, feeds).value(node)",
        )

    def named(self, name: str) -> Node:
        """Returns the same node under a name of the user's choice."""
        return replace(self, scope=Scope(name, given=True), suffix="", source=self.source)

    def within(self, scope: Scope, suffix: str = "") -> Node:
        """Returns the same node as a part of a layer's scope."""
        return replace(self, scope=scope, suffix=suffix, source=self.source)

    # operators
    def __add__(self, other: NodeLike) -> Node:
        return FUNCTIONS["add"](self, other)

    def __radd__(self, other: NodeLike) -> Node:
        return FUNCTIONS["add"](other, self)

    def __sub__(self, other: NodeLike) -> Node:
        return FUNCTIONS["subtract"](self, other)

    def __rsub__(self, other: NodeLike) -> Node:
        return FUNCTIONS["subtract"](other, self)

    def __mul__(self, other: NodeLike) -> Node:
        return FUNCTIONS["multiply"](self, other)

    def __rmul__(self, other: NodeLike) -> Node:
        return FUNCTIONS["multiply"](other, self)

    def __truediv__(self, other: NodeLike) -> Node:
        return FUNCTIONS["divide"](self, other)

    def __rtruediv__(self, other: NodeLike) -> Node:
        return FUNCTIONS["divide"](other, self)

    def __pow__(self, other: NodeLike) -> Node:
        return FUNCTIONS["power"](self, other)

    def __rpow__(self, other: NodeLike) -> Node:
        return FUNCTIONS["power"](other, self)

    def __matmul__(self, other: NodeLike) -> Node:
        return FUNCTIONS["matmul"](self, other)

    def __rmatmul__(self, other: NodeLike) -> Node:
        return FUNCTIONS["matmul"](other, self)

    def __neg__(self) -> Node:
        return FUNCTIONS["negative"](self)

    def __abs__(self) -> Node:
        return FUNCTIONS["abs"](self)

    def __lt__(self, other: NodeLike) -> Node:
        return FUNCTIONS["less"](self, other)

    def __le__(self, other: NodeLike) -> Node:
        return FUNCTIONS["less_equal"](self, other)

    def __gt__(self, other: NodeLike) -> Node:
        return FUNCTIONS["greater"](self, other)

    def __ge__(self, other: NodeLike) -> Node:
        return FUNCTIONS["greater_equal"](self, other)

    def __and__(self, other: NodeLike) -> Node:
        return FUNCTIONS["logical_and"](self, other)

    def __or__(self, other: NodeLike) -> Node:
        return FUNCTIONS["logical_or"](self, other)

    def __invert__(self) -> Node:
        return FUNCTIONS["logical_not"](self)

    def __getitem__(self, key: Any) -> Node:
        return FUNCTIONS["slice"](self, key)

    # the usual methods
    def sum(self, axis: Axis = None, *, keepdims: bool = False) -> Node:
        """See `chainrule.sum`."""
        return FUNCTIONS["sum"](self, axis, keepdims=keepdims)

    def mean(self, axis: Axis = None, *, keepdims: bool = False) -> Node:
        """See `chainrule.mean`."""
        return FUNCTIONS["mean"](self, axis, keepdims=keepdims)

    def max(self, axis: Axis = None, *, keepdims: bool = False) -> Node:
        """See `chainrule.max`."""
        return FUNCTIONS["max"](self, axis, keepdims=keepdims)

    def min(self, axis: Axis = None, *, keepdims: bool = False) -> Node:
        """See `chainrule.min`."""
        return FUNCTIONS["min"](self, axis, keepdims=keepdims)

    def reshape(self, *shape: Any) -> Node:
        """See `chainrule.reshape`; the shape may be given as one tuple or as several integers."""
        one = len(shape) == 1 and not isinstance(shape[0], int)
        return FUNCTIONS["reshape"](self, shape[0] if one else shape)

    def transpose(self, *axes: int) -> Node:
        """See `chainrule.transpose`."""
        return FUNCTIONS["transpose"](self, axes or None)

    def astype(self, dtype: str) -> Node:
        """See `chainrule.cast`."""
        return FUNCTIONS["cast"](self, dtype)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Parameter(Node):
    """An array that belongs to the model: trained by the optimizer, or kept (`trainable=False`).

    Its current value is in a Model; the node has only the initial one.

    Attributes:
        sparse: whether a training step updates only the rows, along the first axis, that its
            minibatch uses, where that can be; None: if there are many rows.
    """

    initial: Array | Initializer = field(kw_only=True)
    trainable: bool = field(default=True, kw_only=True)

    def _facts(self) -> tuple[tuple[str, object], ...]:
        start = "an array" if isinstance(self.initial, np.ndarray) else self.initial.name
        return (("kind", "parameter" if self.trainable else "parameter, not trained"),
                ("starts as", start))  # fmt: skip

    sparse: bool | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Input(Node):
    """A value fed per example (`batch=True`: the first axis is N) or per step."""

    batch: bool = field(default=True, kw_only=True)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Operation(Node):
    """A value computed by an op from its operands, in order."""

    op: Op = field(kw_only=True)
    operands: tuple[Node, ...] = field(kw_only=True)
    attributes: Mapping[str, Any] = field(kw_only=True)

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The operands."""
        return self.operands

    def _facts(self) -> tuple[tuple[str, object], ...]:
        settings = ", ".join(f"{key}={value}" for key, value in self.attributes.items())
        return ("kind", "operation"), ("op", self.op.name), ("settings", settings)


SHARED: dict[str, Node] = {}
"""The inputs that exist once and that all graphs share, by name."""


def shared(name: str) -> Node:
    """The node of that name that all graphs share."""
    return SHARED[name]


def made(kind: type[Node], state: dict[str, Any]) -> Node:
    """A node of these fields, from its pickle."""
    if "attributes" in state:
        state["attributes"] = MappingProxyType(state["attributes"])
    return kind(**state)


def apply(op: Op, *operands: Node, **attributes: Any) -> Operation:
    """Returns a new Operation node; its type is inferred and its operands checked here."""
    try:
        inferred = op.type([x.type for x in operands], attributes)
    except ChainruleError as error:
        if error.at is None:
            error.at = ", ".join(
                ["line " + user_line(), *(f"operand {x.label!r}" for x in operands)]
            )
        raise
    return Operation(
        Scope(op.name),
        inferred,
        op=op,
        operands=operands,
        attributes=MappingProxyType(attributes),
        source=node_line(),
    )


def rebuilt(node: Operation, operands: tuple[Node, ...], scope: Scope | None = None) -> Operation:
    """Returns the same operation on other operands; its type is inferred.

    It keeps its name, or gets the one of a scope.
    """
    inferred = node.type
    types = [(new.type, old.type) for new, old in zip(operands, node.operands, strict=True)]
    if any(new is not old and new != old for new, old in types):
        inferred = node.op.type([x.type for x in operands], node.attributes)
    return Operation(
        node.scope if scope is None else scope,
        inferred,
        suffix=node.suffix if scope is None else "",
        source=node.source,
        op=node.op,
        operands=operands,
        attributes=node.attributes,
    )
