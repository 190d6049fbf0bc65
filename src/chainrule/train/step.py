"""The training step as one graph: loss, gradients, clipping, updates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce

from chainrule.autodiff import backward
from chainrule.errors import GraphError
from chainrule.graph.graph import Graph
from chainrule.graph.node import Node, Operation, Parameter, Scope
from chainrule.graph.step import RATE, STEP_INDEX, Step
from chainrule.ops.bounds import clip, minimum
from chainrule.ops.build import cast, require_scalar
from chainrule.ops.elementwise import sqrt, square
from chainrule.ops.reduce import sum
from chainrule.passes.specialise import specialise, tracked_updates
from chainrule.train.optim.base import Optimizer, matches, require_match
from chainrule.train.settings import Within

Gradients = dict[Parameter, Node]


def build_step(
    graph: Graph,
    loss: Node,
    optimizer: Optimizer,
    *,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    trainable: Iterable[str] | None = None,
) -> Step:
    """The whole training step of a model.

    Args:
        graph: contains `loss`; its names are kept, slots are named after their parameters.
        loss: a floating-point scalar.
        optimizer: makes the updates.
        clip_norm: the greatest length of all gradients taken together as one vector; longer
            ones are scaled down to it.
        clip_value: the greatest size of each single entry of a gradient, cut before `clip_norm`.
        trainable: names, or patterns of names, of the parameters to train; None trains all that
            were made with `trainable=True`.

    A parameter that the loss does not depend on is left alone, weight decay included.

    Raises:
        GraphError: the loss is not a scalar, or there is nothing to train.
        SettingError: a bound is not above 0, or a pattern matches no parameter.
    """
    parts = differentiate(graph, loss, trainable)
    optimizer.check_names(graph.name(x) for x in graph.parameters if x.trainable)
    updates: dict[Parameter, Node] = {}
    for parameter, gradient in _clipped(parts.gradients, clip_norm, clip_value).items():
        name = graph.name(parameter)
        updates[parameter], slots = optimizer.update(parameter, name, gradient, RATE, STEP_INDEX)
        updates |= slots
    updates |= parts.tracked
    names = {x: graph.name(x) if x in graph else x.label for x in updates}
    updates = {x: _named(new, names[x]) for x, new in updates.items()}
    return Step(Graph([parts.loss, *updates.values()], like=graph), parts.loss, updates)


def _named(new: Node, name: str) -> Node:
    """The new value of a state under its name."""
    plain = isinstance(new, Operation) and not new.scope.given
    return new.within(Scope(f"{name}.new")) if plain else new


@dataclass(frozen=True)
class Differentiated:
    """The parts of a training step before its updates.

    Attributes:
        loss: as it is in training.
        gradients: of the parameters to train that the loss depends on.
        tracked: the new values of statistics, by the parameters that hold them.
    """

    loss: Node
    gradients: Gradients
    tracked: Mapping[Parameter, Node]


def differentiate(
    graph: Graph, loss: Node, trainable: Iterable[str] | None = None
) -> Differentiated:
    """Loss, gradients and statistics of a training step; arguments as in `build_step`."""
    require_scalar("build_step", graph.find(loss))
    place = specialise(graph, training=True)
    tracked = tracked_updates(graph, place)
    wanted = _trained(graph, Graph(place[loss]), trainable)
    forward = Graph([place[loss], *tracked.values()], like=graph)
    found = backward(forward, place[loss], wanted).gradients
    gradients = {x: found[x] for x in wanted if x in found}
    if not gradients:
        raise _nothing_to_train(graph, wanted)
    return Differentiated(place[loss], gradients, tracked)


def _trained(graph: Graph, used: Graph, patterns: Iterable[str] | None) -> list[Parameter]:
    """The parameters that the loss is computed from, that are trainable and meant."""
    candidates = [x for x in graph.parameters if x.trainable]
    if patterns is not None:
        patterns = [patterns] if isinstance(patterns, str) else list(patterns)
        names = {x: graph.name(x) for x in candidates}
        require_match("trainable", patterns, names.values())
        candidates = [x for x in candidates if any(matches(p, names[x]) for p in patterns)]
    return [x for x in candidates if x in used]


def _nothing_to_train(graph: Graph, wanted: list[Parameter]) -> GraphError:
    if wanted:
        return GraphError(
            "build_step",
            "no gradient reaches a parameter: what lies between is not differentiable",
            got="parameters " + ", ".join(graph.name(x) for x in wanted),
            fix="look for stop_gradient, round, argmax, comparisons",
        )
    return GraphError(
        "build_step",
        "there is nothing to train: the loss depends on no trainable parameter",
        got=", ".join(_described(graph, x) for x in graph.parameters) or "no parameters",
    )


def _described(graph: Graph, parameter: Parameter) -> str:
    return graph.name(parameter) + ("" if parameter.trainable else " (not trainable)")


def _clipped(gradients: Gradients, clip_norm: float | None, clip_value: float | None) -> Gradients:
    """The gradients cut by value, then scaled down to a common length."""
    if clip_value is not None:
        bound = Within(above=0)("clip_value", clip_value)
        gradients = {x: clip(g, -bound, bound) for x, g in gradients.items()}
    if clip_norm is not None:
        bound = Within(above=0)("clip_norm", clip_norm)
        scale = minimum(bound / global_norm(gradients.values()), 1.0)
        gradients = {x: g * cast(scale, g.dtype) for x, g in gradients.items()}
    return gradients


def global_norm(gradients: Iterable[Node]) -> Node:
    """The length of all gradients taken together as one vector, in float64: nothing overflows."""
    squares = [sum(square(cast(g, "float64"))) for g in gradients]
    return sqrt(reduce(lambda a, b: a + b, squares))
