"""Optimizers that follow the gradient or its sign: SGD, Lion."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from chainrule.errors import SettingError
from chainrule.graph.node import Node
from chainrule.ops.bounds import sign
from chainrule.system.settings import Flag, Fraction
from chainrule.train.optim.base import Optimizer, ParameterUpdate, register
from chainrule.train.schedules import Rate


@register
@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent: `w -= rate * v`, where `v = momentum * v + g`.

    Args:
        momentum: 0 for plain descent; 0.9 is usual.
        nesterov: look ahead: `w -= rate * (g + momentum * v)`.
        rate_inside: the rate is a part of the momentum, as in the source and in scikit-learn:
            `w -= v`, where `v = momentum * v + rate * g`. Past steps then keep the rate of their
            time; without a schedule both forms are equal.

    Source: I. Sutskever et al., On the importance of initialization and momentum in deep
    learning, 2013. The rate is outside of the momentum, so that a schedule acts at once.
    """

    name: ClassVar[str] = "sgd"

    rate: Rate = 0.01
    _: KW_ONLY
    momentum: Fraction = 0.0
    nesterov: Flag = False
    rate_inside: Flag = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and not self.momentum:
            raise SettingError(
                "SGD.nesterov",
                "nesterov needs momentum",
                fix="give momentum=0.9",
            )

    def _decrement(self, update: ParameterUpdate) -> Node:
        rate, gradient = update.scalar(update.rate), update.gradient
        if self.rate_inside:
            gradient = rate * gradient
        direction = gradient
        if self.momentum:
            slot = update.slot("momentum")
            momentum = update.set_slot(slot, self.momentum * slot + gradient)
            direction = gradient + self.momentum * momentum if self.nesterov else momentum
        return direction if self.rate_inside else rate * direction


@register
@dataclass(frozen=True)
class Lion(Optimizer):
    """Steps of equal size, `w -= rate * sign(beta1 * m + (1 - beta1) * g)`; decoupled decay.

    Args:
        beta1: of the average whose sign is taken.
        beta2: of the stored average `m`.

    Source: X. Chen et al., Symbolic discovery of optimization algorithms, 2023. Rates are three
    to ten times smaller than Adam's, decay larger by the same factor.
    """

    name: ClassVar[str] = "lion"
    decoupled: ClassVar[bool] = True
    adaptive: ClassVar[bool] = True

    rate: Rate = 1e-4
    _: KW_ONLY
    beta1: Fraction = 0.9
    beta2: Fraction = 0.99

    def _decrement(self, update: ParameterUpdate) -> Node:
        gradient, slot = update.gradient, update.slot("momentum")
        blend = self.beta1 * slot + (1 - self.beta1) * gradient
        update.set_slot(slot, self.beta2 * slot + (1 - self.beta2) * gradient)
        return update.scalar(update.rate) * sign(blend)
