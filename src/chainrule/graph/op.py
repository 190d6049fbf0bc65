"""The op record, and the registry of all ops: what a network's nodes can compute."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from chainrule.errors import ChainruleError, GraphError, did_you_mean
from chainrule.graph.source import user_line
from chainrule.types import TensorType

if TYPE_CHECKING:
    import numpy as np

    from chainrule.graph.node import Node

F = TypeVar("F", bound=Callable[..., Any])
Kind = Literal["map", "reduce", "contract", "view", "index", "random"]
Infer = Callable[..., TensorType]
Forward = Callable[..., "np.ndarray[Any, Any]"]
Gradient = Callable[..., "tuple[Node | None, ...]"]


@dataclass(frozen=True, slots=True)
class Op:
    """What an operation means, and nothing about how a backend runs it.

    Attributes:
        name: the bare name, as in listings and model files.
        kind: how elements of the result depend on elements of the operands; all that fusion
            looks at. `map`: element by element; `reduce`: along axes; `contract`: sums of
            products; `view`: the same elements in another shape or order; `index`: places
            computed from data; `random`: drawn anew each step.
        infer: operand types and attributes to the type of the result; raises on misuse.
        forward: NumPy operands and attributes to the value.
        gradient: `(gy, y, *operands, **attributes)`, all of them nodes, to one node an operand;
            None for an operand through which no gradient flows. None in place of the rule:
            not differentiable with respect to anything.
        formula: how to write it; `{0}` is the first operand, `{axis}` an attribute.
        convention: what holds at kinks, ties and for NaN, in one sentence.

    Three attributes are completed when a graph is run: `shape` (N becomes the number of rows),
    `stream` (None becomes a number made from the node's name), `training` (None becomes True
    in a training step, False elsewhere).
    """

    name: str
    kind: Kind
    infer: Infer
    forward: Forward
    gradient: Gradient | None
    formula: str
    convention: str = ""

    def __repr__(self) -> str:
        return f"<op {self.name}>"


REGISTRY: dict[str, Op] = {}
"""All ops by name."""

FUNCTIONS: dict[str, Callable[..., Node]] = {}
"""The user-level functions by name, so that operators and methods of nodes can reach them."""


def op(
    name: str,
    kind: Kind,
    *,
    infer: Infer,
    forward: Forward,
    gradient: Gradient | None,
    formula: str = "",
    convention: str = "",
) -> Op:
    """Make an op and enter it in the registry. `gradient=None` says: not differentiable."""
    if name in REGISTRY:
        raise GraphError("op", f"an op named {name!r} exists already")
    formula = formula or name + "({0})"
    REGISTRY[name] = Op(name, kind, infer, forward, gradient, formula, convention)
    return REGISTRY[name]


def lookup(name: str) -> Op:
    """The op of that name. Raises GraphError, naming the nearest, where there is none."""
    if name not in REGISTRY:
        raise GraphError("op", f"unknown op {name!r}", fix=did_you_mean(name, REGISTRY))
    return REGISTRY[name]


def function(user_function: F) -> F:
    """Enter a user-level function, so that operators and methods of nodes can call it.

    An error that it raises tells the user's line, where it does not tell a place already.
    """

    @functools.wraps(user_function)
    def told(*args: Any, **keywords: Any) -> Any:
        try:
            return user_function(*args, **keywords)
        except ChainruleError as error:
            if error.at is None:
                error.at = "line " + user_line()
            raise

    FUNCTIONS[user_function.__name__] = told
    return cast("F", told)
