"""Layers that are applied several times with the same parameters: towers, Siamese networks."""

from __future__ import annotations

from collections.abc import Callable

from chainrule.errors import SettingError
from chainrule.graph.graph import topological
from chainrule.graph.leaves import TAKEN
from chainrule.graph.node import Node, Operation, Parameter, Scope, rebuilt
from chainrule.graph.source import user_line
from chainrule.nn.arguments import call, node
from chainrule.types import show


class Shared:
    """Layers in sequence whose parameters are made once; see `shared`.

    Attributes:
        parameters: those that the first call made, in order.
    """

    def __init__(self, *functions: Callable[..., Node]) -> None:
        self._functions = functions
        self._called = False
        self._names: set[str] = set()  # that the user gave to layers, of the calls so far
        self.parameters: tuple[Parameter, ...] = ()

    def __call__(self, x: Node, *others: Node) -> Node:
        """The result of the layers, the first of which takes all operands.

        Raises:
            SettingError: a layer is not a function of nodes, or a later call needs other
                parameters than the first made.
        """
        operands = [node("shared", z) for z in (x, *others)]
        outer, count, made = TAKEN.get(), 0, list[Parameter]()

        def taken(new: Parameter) -> Parameter:
            nonlocal count
            count += 1
            if not self._called:
                made.append(outer(new))
                return made[-1]
            return self._same(count, new)

        token = TAKEN.set(taken)
        try:
            y = operands[0]
            for place, function in enumerate(self._functions, start=1):
                first = (lambda z, f=function: f(z, *operands[1:])) if place == 1 else function
                y = call("shared", first, y, f"layer {place}")
        finally:
            TAKEN.reset(token)
        if not self._called:
            self.parameters, self._called = tuple(made), True
        elif count < len(self.parameters):
            raise _wrong(self.parameters[count], None)
        return self._renamed(y, operands)

    def _same(self, count: int, new: Parameter) -> Parameter:
        """The parameter of the first call that has the place of a new one."""
        if count > len(self.parameters):
            raise _wrong(None, new)
        found = self.parameters[count - 1]
        if (found.type.shape, found.dtype) != (new.type.shape, new.dtype):
            raise _wrong(found, new)
        return found

    def _renamed(self, y: Node, operands: list[Node]) -> Node:
        """The result with names of layers that a Graph numbers, where an earlier call has them."""
        scopes: dict[Scope, Scope] = {}
        place: dict[Node, Node] = {x: x for x in operands}
        used: set[str] = set()
        for x in topological([y], known=operands):
            place[x] = x
            if not isinstance(x, Operation):
                continue
            inner = tuple(place[z] for z in x.operands)
            if x.scope.given:
                used.add(x.scope.base)
            if x.scope.given and x.scope.base in self._names:
                new = scopes.setdefault(x.scope, Scope(x.scope.base))
                place[x] = rebuilt(x, inner).within(new, x.suffix)
            elif inner != x.operands:
                place[x] = rebuilt(x, inner)
        self._names |= used
        return place[y]


def _wrong(found: Parameter | None, new: Parameter | None) -> SettingError:
    def shown(x: Parameter | None) -> str:
        return "no more parameter" if x is None else f"{x.label!r} {show(x.shape)} {x.dtype}"

    return SettingError(
        "shared",
        "another call needs other parameters than the first one made",
        expected=shown(found),
        got=shown(new),
        at="line " + user_line(),
        fix="give operands whose features are as many; lengths may differ",
    )


def shared(*functions: Callable[..., Node]) -> Shared:
    """Layers that are applied to several operands with the same parameters.

    The first call makes the parameters, and each later one uses them: two inputs go through the
    same network, as in a Siamese network, or two towers of one design. Their gradients add up:

        tower = cr.shared(cr.layer.dense(32, "relu"), cr.layer.dense(8))
        score = cr.two_towers(tower(a), tower(b))

    Each call has nodes of its own: the layer `hidden` of the second call is `hidden_2`, which reads
    `hidden.w`. Dropout draws other numbers in each call; the running statistics of a batch
    normalisation move by the mean of what the calls see.

    Args:
        functions: the layers in sequence, as in `sequential`; the first may take several nodes.

    Returns:
        A function from nodes to a node, with the attribute `parameters`.

    Raises:
        SettingError: there is no function; in a call: a layer is not a function of nodes, or a
            later call needs other parameters than the first made.
    """
    if not functions or not all(map(callable, functions)):
        raise SettingError("shared", "the layers are functions from a node to a node",
                           got=", ".join(map(repr, functions)) or "none", at="line " + user_line(),
                           fix="shared(cr.layer.dense(64)), or shared(lambda h: ...)")  # fmt: skip
    return Shared(*functions)
