"""The content of a model file as a record, and the checks that its parts are consistent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chainrule.errors import ModelFileError
from chainrule.graph.graph import Graph
from chainrule.graph.jsonvalues import encodable
from chainrule.graph.node import Array, Input, Parameter, Scope
from chainrule.graph.step import RATE, STEP_INDEX
from chainrule.train.optim import Optimizer
from chainrule.types import DTYPES, TensorType, show


@dataclass(frozen=True)
class Saved:
    """The content of a model file.

    Attributes:
        graph: of the outputs and the loss.
        outputs: the names of the outputs.
        loss: the name of the loss, or None.
        values: the present value of each parameter, by name.
        optimizer: the settings with which training continues, or None.
        state: the arrays of the optimizer, by name.
        steps: the number of training steps.
        seed: of all random numbers.
        contract: the schema of the data, or None.
        history: of training, or None.
        notes: anything else.
        versions: of the programs that wrote the file; `write` fills them in.

    Settings, contract, history and notes are plain values: None, booleans, numbers, text, arrays,
    and tuples, lists and dicts of them. They come back equal, arrays bit for bit. Values may
    hold NaN and infinities.
    """

    graph: Graph
    outputs: tuple[str, ...]
    loss: str | None
    values: Mapping[str, Array]
    optimizer: Mapping[str, Any] | None = None
    state: Mapping[str, Array] = field(default_factory=dict)
    steps: int = 0
    seed: int = 0
    contract: Mapping[str, Any] | None = None
    history: Mapping[str, Any] | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def check_saved(saved: Saved) -> None:
    """Raise ModelFileError unless values, state, outputs and loss are consistent."""
    graph = saved.graph
    wanted = {graph.name(x): x.type for x in graph.parameters}
    missing = [name for name in wanted if name not in saved.values]
    extra = [name for name in saved.values if name not in wanted]
    if missing or extra:
        raise ModelFileError(
            "file",
            "the values are not those of the graph's parameters",
            expected=f"a value of {', '.join(missing[:5])}" if missing else "no more parameters",
            got=f"one of {', '.join(extra[:5])}" if extra else "none",
        )
    for name, type in wanted.items():
        value = saved.values[name]
        if (value.shape, str(value.dtype)) != (type.shape, type.dtype):
            got = f"{value.dtype}{show(value.shape)}"
            raise ModelFileError(
                "file", f"the value of {name!r} has another type", expected=type, got=got
            )
    for name, array in saved.state.items():
        if str(array.dtype) not in DTYPES:
            raise ModelFileError(
                "file", f"state {name!r} has a type that cannot be saved", got=array.dtype
            )
        if name in wanted:
            raise ModelFileError(
                "file", "an optimizer's array has the name of a parameter", got=name
            )
        encodable(name, "a name in the state")
    for name in saved.outputs if saved.loss is None else (*saved.outputs, saved.loss):
        if graph.find(name) not in graph.outputs:
            raise ModelFileError("file", f"{name!r} is not an output of the graph")
    if saved.loss is not None and (graph[saved.loss].shape or not graph[saved.loss].type.floating):
        raise ModelFileError("file", "a loss is a scalar", got=graph[saved.loss].type)
    if saved.steps < 0:
        raise ModelFileError("file", "steps are counted from 0", got=saved.steps)


def check_slots(graph: Graph, optimizer: Optimizer, state: Mapping[str, Array]) -> None:
    """Raise ModelFileError where an array of the optimizer is not of the type that it makes."""
    made: dict[TensorType, dict[str, TensorType]] = {}  # alike for parameters of one type
    for parameter in graph.parameters:
        if not parameter.trainable:
            continue
        name = graph.name(parameter)
        if parameter.type not in made:
            made[parameter.type] = _slots(optimizer, parameter, name)
        for suffix, type in made[parameter.type].items():
            array = state.get(name + suffix)
            if array is not None and (array.shape, str(array.dtype)) != (type.shape, type.dtype):
                raise ModelFileError(
                    "file",
                    f"the optimizer's array {name + suffix!r} has another type",
                    expected=type,
                    got=f"{array.dtype}{show(array.shape)}",
                )


def _slots(optimizer: Optimizer, parameter: Parameter, name: str) -> dict[str, TensorType]:
    """The types of the optimizer's arrays for a parameter, by what follows its name in theirs."""
    gradient = Input(Scope("gradient"), parameter.type, batch=False)
    _, slots = optimizer.update(parameter, name, gradient, RATE, STEP_INDEX)
    return {x.label.removeprefix(name): x.type for x in slots}
