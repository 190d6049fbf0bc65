"""The base of all optimizers: the rate, weight decay, factors by name, and slots."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import ClassVar, Protocol, TypeVar

from chainrule.errors import SettingError
from chainrule.graph.leaves import parameter as make_parameter
from chainrule.graph.node import Node, Parameter, Scope
from chainrule.graph.patterns import matched, require_match
from chainrule.nn.init import Constant
from chainrule.ops.build import cast, constant
from chainrule.ops.transcendental import expm1
from chainrule.system.settings import Factors, NotNegative, Settings
from chainrule.train.lbfgs import LBFGS
from chainrule.train.schedules import Rate

Slots = dict[Parameter, Node]


class ParameterUpdate:
    """The update of a parameter while it is built: its nodes and its slots.

    Attributes:
        parameter, name: the trained parameter, and its name in the graph.
        gradient: of the loss, coupled weight decay included.
        rate: of this step and parameter, a float64 scalar.
        step: the number of this step, from 1, a float64 scalar.
        decay: the decoupled weight decay.
        slots: made so far, with their new values.
    """

    def __init__(
        self, parameter: Parameter, name: str, gradient: Node, rate: Node, step: Node,
        decay: float,
    ) -> None:  # fmt: skip
        self.parameter, self.name, self.gradient = parameter, name, gradient
        self.rate, self.step, self.decay = rate, step, decay
        self.slots: Slots = {}

    def slot(self, suffix: str, start: float = 0.0, *, scalar: bool = False) -> Parameter:
        """A slot of the parameter's type, or one float64 number."""
        shape, dtype = ((), "float64") if scalar else (self.parameter.shape, self.parameter.dtype)
        return make_parameter(
            f"{self.name}.{suffix}",
            Constant(start),
            shape,  # type: ignore[arg-type]
            dtype=dtype,
            trainable=False,
        )

    def set_slot(self, slot: Parameter, new: Node) -> Node:
        """`new`, which the step writes to the slot."""
        self.slots[slot] = new
        return new

    def ema(self, suffix: str, beta: float, x: Node) -> Node:
        """The running average `beta * old + (1 - beta) * x`, kept in a slot that starts at 0."""
        slot = self.slot(suffix)
        return self.set_slot(slot, beta * slot + (1 - beta) * x)

    def part(self, suffix: str, node: Node) -> Node:
        """`node` under a name, `"{name}.{suffix}"`, by which steps and plans show it."""
        return node.within(Scope(f"{self.name}.{suffix}"))

    def scalar(self, value: Node) -> Node:
        """A float64 scalar in the dtype of the parameter."""
        return cast(value, self.parameter.dtype)


def bias_correction(beta: float, step: Node, of: str = "mean") -> Node:
    """`1 - beta**step`, the divisor of an average that began at 0; exact for large beta.

    of: the slot of the average, after which the node is named.
    """
    made = -expm1(step * math.log(beta)) if beta > 0 else constant(1.0, "float64")
    return made.within(Scope(f"{of}.correction"))


@dataclass(frozen=True)
class Optimizer(Settings):
    """An update rule: nodes of the training step that make new values from gradients.

    Args:
        rate: the learning rate: a number, or a schedule.
        decay: of the weights, towards 0. The optimizers with decoupled decay, such as AdamW,
            shrink the weights by `rate * decay` in each step; the others add `decay * weight` to
            the gradient, which is the gradient of `decay / 2 * sum(weight**2)`.
        rates: factors on the rate, by patterns of parameter names: `{"hidden.*": 0.1}`; 0 leaves
            a parameter where it is.
        decays: factors on `decay`, likewise. Without one, decay applies in full to parameters
            with two or more axes (weights, embeddings) and not at all to the others (biases,
            scales); `{"*": 1}` decays everything.

    Patterns are those of file names (`*`, `?`, `[ab]`); where several match, the last counts.
    """

    name: ClassVar[str] = "optimizer"
    decoupled: ClassVar[bool] = False
    """Whether decay shrinks the weights directly instead of being part of the gradient."""
    adaptive: ClassVar[bool] = False
    """Whether the step length is about the rate, whatever the gradient, so that rates of
    single parameters can be chosen by their shapes."""

    rate: Rate = 1e-3
    _: KW_ONLY
    decay: NotNegative = 0.0
    rates: Factors = field(default_factory=dict)
    decays: Factors = field(default_factory=dict)

    def update(
        self, parameter: Parameter, name: str, gradient: Node, rate: Node, step: Node
    ) -> tuple[Node, Slots]:
        """Returns the parameter's new value, and its slots with their new values.

        Args:
            parameter: the trained parameter.
            name: its name in the graph; slots are named `"{name}.momentum"` and so on.
            gradient: of the loss with respect to it, a node of its type.
            rate: of this step, a float64 scalar.
            step: the number of this step, from 1, a float64 scalar.
        """
        factor, decay = self.like(parameter, name)
        rate = rate if factor == 1.0 else rate * factor
        if decay and not self.decoupled:
            gradient = gradient + decay * parameter
        update = ParameterUpdate(
            parameter, name, gradient, rate, step, decay if self.decoupled else 0.0
        )
        new = self._new(update)
        return new, update.slots

    def like(self, parameter: Parameter, name: str) -> tuple[float, float]:
        """The factor on the rate, and the decay: all that an update takes from the name."""
        return matched(self.rates, name, 1.0), decay_factor(self, parameter, name)

    def check_names(self, names: Iterable[str]) -> None:
        """Raise SettingError where a pattern matches none of the parameters' names."""
        names = list(names)
        for setting in ("rates", "decays"):
            require_match(f"{type(self).__name__}.{setting}", getattr(self, setting), names)

    def _new(self, update: ParameterUpdate) -> Node:
        """The parameter's new value."""
        weights = update.parameter
        decayed: Node = weights
        if update.decay:
            decayed = weights * update.scalar(1 - update.rate * update.decay)
        return decayed - self._decrement(update)

    def _decrement(self, update: ParameterUpdate) -> Node:
        """The node that is subtracted from the parameter, without decoupled decay."""
        raise NotImplementedError


OPTIMIZERS: dict[str, type[Optimizer | LBFGS]] = {}
"""The optimizers by name."""

AnyOptimizer = TypeVar("AnyOptimizer", bound=type[Optimizer | LBFGS])


def register(kind: AnyOptimizer) -> AnyOptimizer:
    """Enter an optimizer in the table. Raises SettingError where the name is taken."""
    if kind.name in OPTIMIZERS:
        raise SettingError(kind.__name__, f"there is an optimizer {kind.name!r} already")
    OPTIMIZERS[kind.name] = kind
    return kind


class _Decaying(Protocol):
    @property
    def decay(self) -> float: ...

    @property
    def decays(self) -> Mapping[str, float]: ...


def decay_factor(settings: _Decaying, parameter: Parameter, name: str) -> float:
    """The weight decay of a parameter: by default 0 for those with fewer than two axes."""
    return settings.decay * matched(settings.decays, name, float(parameter.ndim >= 2))
