"""Optimizers that divide by a measure of past gradients: RMSprop, Adagrad, Adadelta."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from chainrule.graph.node import Node
from chainrule.ops.bounds import maximum
from chainrule.ops.elementwise import sqrt, square
from chainrule.system.settings import Flag, Fraction, NotNegative, Positive
from chainrule.train.optim.base import Optimizer, ParameterUpdate, register
from chainrule.train.schedules import Rate


@register
@dataclass(frozen=True)
class RMSprop(Optimizer):
    """`w -= rate * g / (sqrt(v) + epsilon)`, where `v` is the running average of `g**2`.

    Args:
        rho: of the average.
        momentum: adds up the steps: `b = momentum * b + g / (...)`, `w -= rate * b`.
        centered: divide by the spread about the average gradient: `sqrt(v - mean**2)`.
        epsilon: keeps the division finite.

    Source: T. Tieleman and G. Hinton, Neural networks for machine learning, lecture 6, 2012; the
    centered form from A. Graves, Generating sequences with recurrent neural networks, 2013.
    """

    name: ClassVar[str] = "rmsprop"

    rate: Rate = 1e-3
    _: KW_ONLY
    rho: Fraction = 0.9
    momentum: Fraction = 0.0
    centered: Flag = False
    epsilon: Positive = 1e-8

    def _decrement(self, update: ParameterUpdate) -> Node:
        gradient = update.gradient
        spread = update.ema("square", self.rho, square(gradient))
        if self.centered:
            mean = update.ema("mean", self.rho, gradient)
            spread = maximum(spread - square(mean), 0.0)  # rounding may make it negative
        direction = gradient / (sqrt(spread) + self.epsilon)
        if self.momentum:
            slot = update.slot("momentum")
            direction = update.set_slot(slot, self.momentum * slot + direction)
        return update.scalar(update.rate) * direction


@register
@dataclass(frozen=True)
class Adagrad(Optimizer):
    """`w -= rate * g / (sqrt(s) + epsilon)`, where `s` is the sum of all `g**2` so far.

    Args:
        initial: the initial value of the sum.
        epsilon: keeps the division finite.

    Source: J. Duchi et al., Adaptive subgradient methods for online learning, 2011.
    """

    name: ClassVar[str] = "adagrad"

    rate: Rate = 0.01
    _: KW_ONLY
    initial: NotNegative = 0.0
    epsilon: Positive = 1e-10

    def _decrement(self, update: ParameterUpdate) -> Node:
        slot = update.slot("sum", self.initial)
        total = update.set_slot(slot, slot + square(update.gradient))
        return update.scalar(update.rate) * update.gradient / (sqrt(total) + self.epsilon)


@register
@dataclass(frozen=True)
class Adadelta(Optimizer):
    """Steps in the unit of the weights: `g * sqrt(u + epsilon) / sqrt(v + epsilon)`.

    `v` is the running average of `g**2`, `u` that of the squares of earlier steps.

    Args:
        rho: of both averages.
        epsilon: keeps the division finite, and determines the first steps.

    Source: M. Zeiler, ADADELTA: an adaptive learning rate method, 2012; its rate is 1.
    """

    name: ClassVar[str] = "adadelta"

    rate: Rate = 1.0
    _: KW_ONLY
    rho: Fraction = 0.95
    epsilon: Positive = 1e-6

    def _decrement(self, update: ParameterUpdate) -> Node:
        gradient, slot = update.gradient, update.slot("step")
        spread = update.ema("square", self.rho, square(gradient))
        step = gradient * (sqrt(slot + self.epsilon) / sqrt(spread + self.epsilon))
        update.set_slot(slot, self.rho * slot + (1 - self.rho) * square(step))
        return update.scalar(update.rate) * step
