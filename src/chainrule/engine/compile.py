"""The order: every stage from a loss to machine code, by name. Nothing else chains stages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from chainrule.backend.base import Backend, Job
from chainrule.engine.split import SplitStep, hoist_encoders, merge_equal
from chainrule.engine.step import (
    Differentiated,
    ExplainedStep,
    Objective,
    Specialised,
    add_updates,
    differentiate,
    round_factors,
    specialise_for_training,
)
from chainrule.engine.updates import UpdateRule
from chainrule.graph.check import Checked, check_nodes
from chainrule.graph.graph import Graph
from chainrule.graph.listing import listing
from chainrule.graph.node import Node, Operation
from chainrule.graph.step import Step
from chainrule.passes.decompose import decompose
from chainrule.passes.exchange import exchange_rows
from chainrule.passes.fold import fold
from chainrule.passes.gather import gather
from chainrule.passes.merge import merge
from chainrule.passes.streams import fix_streams
from chainrule.passes.tables import update_rows
from chainrule.plan.plan import Plan
from chainrule.system.collector import paused_collector


def _plan() -> ModuleType:
    from chainrule.plan import unit  # noqa: PLC0415  (cached code needs no planning)

    return unit


def _show() -> ModuleType:
    from chainrule.plan import show  # noqa: PLC0415

    return show


def _check() -> ModuleType:
    from chainrule.plan import check  # noqa: PLC0415

    return check


@dataclass(frozen=True)
class Form:
    """The text form and the check of the results of stages.

    Attributes:
        text: takes a result, and returns it as text.
        check: raises an error if a result is not well formed; its second argument is what
            earlier stages have checked.
    """

    text: Callable[[Any], str]
    check: Callable[[Any, Checked], object]


GRAPH = Form(lambda made: listing(made.graph), lambda made, known: check_nodes(made.nodes, known))
FUSED = Form(
    lambda unit: _show().show_kernels(unit.kernels),
    lambda unit, _: _check().check_kernels(unit.kernels),
)
PLAN = Form(lambda plan: _show().show(plan), lambda plan, _: _check().check(plan))
CODE = Form(lambda module: str(module.text), lambda module, _: None)  # checked by its compiler
BYTES = Form(lambda code: f"{len(code):,} bytes", lambda code, _: None)  # checked when loaded


@dataclass(frozen=True)
class Stage:
    """One stage of the order.

    Attributes:
        name: as plans and docs show it.
        what: what it does, in words.
        run: a pure function of the result of the stage before it.
        form: of its result.
    """

    name: str
    what: str
    run: Callable[[Any], Any]
    form: Form = GRAPH


GRADIENT = (
    Stage("specialise", "take the training side of what differs from prediction",
          specialise_for_training),
    Stage("precision", "round the factors of large products to bfloat16, if asked for",
          round_factors),
    Stage("differentiate", "add the gradient of the loss", differentiate),
)  # fmt: skip
"""An Objective becomes its loss and gradients, as Differentiated."""

UPDATE = (
    Stage("update", "add the new value of every parameter and slot", add_updates),
    Stage("rows", "update only the rows of large tables that examples use", update_rows),
    Stage("exchange", "in a step that programs share, exchange the sums over rows", exchange_rows),
)
"""Loss and gradients become a Step."""

STEP = (*GRADIENT, *UPDATE)
"""An Objective becomes a Step."""

SPLIT = (
    Stage("merge", "make nodes that compute the same one node", merge_equal),
    Stage("hoist", "compute what depends on the data alone once, before the run", hoist_encoders),
)
"""A Step becomes a SplitStep; its body runs in every step."""

KERNELS = (
    Stage("streams", "give every random draw its stream of numbers",
          lambda unit: unit.through(lambda _: fix_streams(unit.source))),
    Stage("decompose", "put operations together from simpler ones",
          lambda unit: unit.through(decompose)),
    Stage("fold", "compute now what is made of small constants alone",
          lambda unit: unit.through(fold)),
    Stage("merge", "make nodes that compute the same one node",
          lambda unit: unit.through(merge)),
    Stage("gather", "make one array or product of sums over the steps of a sequence",
          lambda unit: unit.through(gather)),
    Stage("fuse", "give nodes that share their loops one kernel",
          lambda unit: _plan().fuse(unit), FUSED),
    Stage("schedule", "put kernels that need not wait for each other into one phase",
          lambda unit: _plan().schedule(unit), PLAN),
)  # fmt: skip
"""A Unit, which is a step's body or a forward pass with its buffers, becomes a Plan."""

MACHINE = (
    Stage("emit", "write the kernels as code",
          lambda job: job.backend.emit(job.plan, job.max_rows), CODE),
    Stage("object", "compile that to machine code", lambda module: module.compile(), BYTES),
)  # fmt: skip
"""A Job, which is a plan for a backend, becomes bytes that the backend can load."""

ORDER = (*STEP, *SPLIT, *KERNELS, *MACHINE)
"""From a loss to machine code. A forward pass begins with the kernels."""


def staged(value: Any, stages: Iterable[Stage]) -> Iterator[tuple[Stage, Any]]:
    """Each stage with its result, checked."""
    known = Checked()
    for stage in stages:
        before, value = value, stage.run(value)
        if value is not before:
            stage.form.check(value, known)
        yield stage, value


def run(value: Any, stages: Iterable[Stage]) -> Any:
    """The result of the last of the stages."""
    with paused_collector():  # graphs are many objects, and none of them is garbage
        *_, (_, made) = staged(value, stages)
    return made


def build_gradients(
    graph: Graph, loss: Node, trainable: Iterable[str] | None = None
) -> Differentiated:
    """The loss of a model and its gradients; arguments and errors as in `build_step`."""
    parts: Differentiated = run(Objective(graph, loss, trainable=trainable), GRADIENT)
    return parts


def build_explained(objective: Objective, outputs: Iterable[Node]) -> ExplainedStep:
    """The step of an objective in the form for reading; errors as in `build_step`.

    Args:
        objective: whose `every` is set.
        outputs: other nodes of its graph that are to be computed.
    """
    forward: Specialised = run(objective, GRADIENT[:-1])
    parts: Differentiated = run(forward, GRADIENT[-1:])
    step: Step = run(parts, UPDATE)
    wanted = [forward.loss, *(forward.place[x] for x in outputs)]
    shown = Graph(wanted, like=objective.graph)
    return ExplainedStep(shown, forward.place, parts.built, step.updates)


def build_step(
    graph: Graph,
    loss: Node,
    rule: UpdateRule,
    *,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    trainable: Iterable[str] | None = None,
    exchange: bool = False,
    precision: str = "float32",
) -> Step:
    """The whole training step of a model; see Objective for the arguments.

    A parameter that the loss does not depend on is left alone, weight decay included.

    Raises:
        GraphError: the loss is not a scalar, or there is nothing to train.
        SettingError: a bound is not above 0, or a pattern matches no parameter.
    """
    objective = Objective(
        graph, loss, rule, clip_norm, clip_value, trainable, exchange, precision=precision
    )
    step: Step = run(objective, STEP)
    return step


def build_split(objective: Objective) -> SplitStep:
    """The training step of an objective, split; see `build_step` and `split_step`."""
    split: SplitStep = run(objective, (*STEP, *SPLIT))
    return split


def split_step(step: Step) -> SplitStep:
    """The step, cut into what is computed once for a data set and what every step does."""
    split: SplitStep = run(step, SPLIT)
    return split


def plan_step(step: Step, keep: Sequence[Node] = ()) -> Plan:
    """The plan of a step's body; it leaves the values of the nodes to keep in `outputs`."""
    plan: Plan = run(_plan().unit_of_step(step, keep), KERNELS)
    return plan


def calls_of_step(step: Step) -> list[Operation]:
    """The nodes of the calls of a step's plan, in their order."""
    return _calls(_plan().unit_of_step(step))


def calls_of_forward(graph: Graph, outputs: Sequence[Node]) -> list[Operation]:
    """The nodes of the calls of a forward pass's plan, in their order."""
    return _calls(_plan().unit_of_forward(graph, outputs))


def _calls(unit: Any) -> list[Operation]:
    unit = run(unit, [x for x in KERNELS if x.form is GRAPH])
    return [x.node for x in unit.calling().calls]


def plan_forward(graph: Graph, outputs: Sequence[Node]) -> Plan:
    """The plan of a forward pass, specialised already."""
    plan: Plan = run(_plan().unit_of_forward(graph, outputs), KERNELS)
    return plan


def machine_code(plan: Plan, backend: Backend, max_rows: int) -> bytes:
    """A plan as machine code for minibatches of up to `max_rows` rows."""
    code: bytes = run(Job(plan, backend, max_rows), MACHINE)
    return code
