"""The stages from a loss to a training step: forward, gradients, clipping, updates."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce

from chainrule.autodiff import Backward, backward
from chainrule.engine.updates import UpdateRule, Updates
from chainrule.errors import GraphError
from chainrule.graph.graph import Graph, topological
from chainrule.graph.node import Node, Operation, Parameter, Scope
from chainrule.graph.patterns import matches, require_match
from chainrule.graph.step import Step
from chainrule.ops.bounds import clip, minimum
from chainrule.ops.build import cast, require_scalar
from chainrule.ops.elementwise import sqrt, square
from chainrule.ops.reduce import sum
from chainrule.passes.precision import in_bfloat16
from chainrule.passes.specialise import specialise, tracked_updates
from chainrule.system.settings import Within

Gradients = dict[Parameter, Node]


@dataclass(frozen=True)
class Objective:
    """A loss to minimise, and the settings of its training step.

    Attributes:
        graph: contains `loss`; its names are kept, slots are named after their parameters.
        loss: a floating-point scalar.
        rule: makes the updates; None where only gradients are wanted.
        clip_norm: the greatest length of all gradients taken together as one vector; longer
            ones are scaled down to it.
        clip_value: the greatest size of each single entry of a gradient, cut before `clip_norm`.
        trainable: names, or patterns of names, of the parameters to train; None trains all that
            were made with `trainable=True`.
        exchange: make a step whose rows programs share: it can be cut where sums over rows are
            exchanged.
        every: differentiate with respect to every node, and keep the names of layers: for reading.
        precision: of the factors of products: "float32", or "bfloat16" to round those of large
            ones.
    """

    graph: Graph
    loss: Node
    rule: UpdateRule | None = None
    clip_norm: float | None = None
    clip_value: float | None = None
    trainable: Iterable[str] | None = None
    exchange: bool = False
    every: bool = False
    precision: str = "float32"


@dataclass(frozen=True)
class Specialised:
    """The training side of an objective.

    Attributes:
        objective: of which this is the training side.
        loss: as it is in training.
        tracked: the new values of statistics, by the parameters that hold them.
        graph: the forward pass.
        place: the node that each node of the objective's graph is in training.
    """

    objective: Objective
    loss: Node
    tracked: Mapping[Parameter, Node]
    graph: Graph
    place: Mapping[Node, Node]

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes of the forward pass, operands first."""
        return self.graph.nodes


@dataclass(frozen=True)
class Differentiated:
    """A forward pass and its gradients.

    Attributes:
        objective, loss, tracked: see Specialised.
        gradients: of the parameters to train that the loss depends on.
        built: the backward pass.
    """

    objective: Objective
    loss: Node
    tracked: Mapping[Parameter, Node]
    gradients: Gradients
    built: Backward

    @property
    def outputs(self) -> list[Node]:
        """The loss, its gradients and the statistics."""
        return [self.loss, *self.gradients.values(), *self.tracked.values()]

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes of the forward and the backward pass, operands first."""
        return tuple(topological(self.outputs))

    @property
    def graph(self) -> Graph:
        """The graph of these nodes, made anew."""
        return Graph(self.outputs, like=self.objective.graph)


@dataclass(frozen=True)
class ExplainedStep:
    """A training step to be read, with the gradient of every node.

    Attributes:
        forward: the nodes of loss and outputs as they are in training, under the names of layers.
        place: the node that each node of the model's graph is in training.
        built: the backward pass, from the loss to every node.
        updates: the new value of each parameter, optimizer slot and tracked statistic.
    """

    forward: Graph
    place: Mapping[Node, Node]
    built: Backward
    updates: Mapping[Parameter, Node]


def specialise_for_training(objective: Objective) -> Specialised:
    """The training side of dropout, normalisation and the like.

    Raises:
        GraphError: the loss is not a scalar.
    """
    graph, loss = objective.graph, objective.loss
    require_scalar("build_step", graph.find(loss))
    place = specialise(graph, training=True, named=objective.every)
    tracked = tracked_updates(graph, place)
    forward = Graph([place[loss], *tracked.values()], like=graph)
    return Specialised(objective, place[loss], tracked, forward, place)


def round_factors(forward: Specialised) -> Specialised:
    """The forward pass with rounded factors of products, if the objective asks for them."""
    if forward.objective.precision == "float32":
        return forward
    new = in_bfloat16(topological(forward.place.values()))
    place = {old: new[x] for old, x in forward.place.items()}
    tracked = {x: new[y] for x, y in forward.tracked.items()}
    loss = new[forward.loss]
    graph = Graph([loss, *tracked.values()], like=forward.objective.graph)
    return Specialised(forward.objective, loss, tracked, graph, place)


def differentiate(forward: Specialised) -> Differentiated:
    """The gradient of the loss with respect to every parameter that is trained.

    Raises:
        GraphError: there is nothing to train. SettingError: a pattern matches no parameter.
    """
    graph, objective = forward.objective.graph, forward.objective
    wanted = _trained(graph, set(topological([forward.loss])), objective.trainable)
    built = backward(forward.graph, forward.loss, None if objective.every else wanted)
    gradients = {x: built.gradients[x] for x in wanted if x in built.gradients}
    if not gradients:
        raise _nothing_to_train(graph, wanted)
    return Differentiated(objective, forward.loss, forward.tracked, gradients, built)


def add_updates(parts: Differentiated) -> Step:
    """The new value of every parameter that is trained, slot and statistic.

    Raises:
        SettingError: a bound is not above 0, or a pattern of the rule matches no parameter.
    """
    objective, graph = parts.objective, parts.objective.graph
    rule = objective.rule
    assert rule is not None
    rule.check_names(graph.name(x) for x in graph.parameters if x.trainable)
    updates: dict[Parameter, Node] = {}
    gradients = parts.gradients
    clipped = _clipped(graph, gradients, objective.clip_norm, objective.clip_value)
    made = Updates(rule)
    for parameter, gradient in clipped.items():
        name = graph.name(parameter)
        updates[parameter], slots = made.of(parameter, name, gradient)
        updates |= slots
    updates |= parts.tracked
    updates = named_updates(updates, graph)
    whole = Graph([parts.loss, *updates.values()], like=graph)
    return Step(whole, parts.loss, updates, gradients, objective.exchange)


def named_updates(updates: Mapping[Parameter, Node], graph: Graph) -> dict[Parameter, Node]:
    """The new values of parameters and slots, each named after its parameter: "hidden.w.new"."""
    names = {x: graph.name(x) if x in graph else x.label for x in updates}
    return {x: _named(new, names[x]) for x, new in updates.items()}


def _named(new: Node, name: str) -> Node:
    """The new value of a state under its name."""
    plain = isinstance(new, Operation) and not new.scope.given
    return new.within(Scope(f"{name}.new")) if plain else new


def _trained(
    graph: Graph, used: Collection[Node], patterns: Iterable[str] | None
) -> list[Parameter]:
    """The parameters that the loss is computed from, that are trainable and selected."""
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


def _clipped(
    graph: Graph, gradients: Gradients, clip_norm: float | None, clip_value: float | None
) -> Gradients:
    """The gradients cut by value, then scaled down to a common length."""
    if clip_value is not None:
        bound = Within(above=0)("clip_value", clip_value)
        cut = {x: clip(g, -bound, bound) for x, g in gradients.items()}
        gradients = {x: g.within(Scope(f"{graph.name(x)}.clipped")) for x, g in cut.items()}
    if clip_norm is not None:
        bound = Within(above=0)("clip_norm", clip_norm)
        norm = global_norm(gradients.values()).within(Scope("gradient.norm"))
        scale = minimum(bound / norm, 1.0).within(Scope("gradient.scale"))
        cut = {x: g * cast(scale, g.dtype) for x, g in gradients.items()}
        gradients = {x: g.within(Scope(f"{graph.name(x)}.scaled")) for x, g in cut.items()}
    return gradients


def global_norm(gradients: Iterable[Node]) -> Node:
    """The length of all gradients taken together as one vector, in float64: nothing overflows."""
    squares = [sum(square(cast(g, "float64"))) for g in gradients]
    return sqrt(reduce(lambda a, b: a + b, squares))
