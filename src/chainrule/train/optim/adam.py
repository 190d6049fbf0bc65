"""The family of Adam: averages of the gradient, scaled by averages of its square."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from chainrule.graph.node import Node, Scope
from chainrule.ops.bounds import abs, maximum
from chainrule.ops.build import cast
from chainrule.ops.compare import where
from chainrule.ops.elementwise import sqrt, square
from chainrule.ops.reduce import sum
from chainrule.ops.transcendental import exp
from chainrule.system.settings import Flag, Fraction, NotNegative, Positive
from chainrule.train.optim.base import Optimizer, ParameterUpdate, bias_correction, register
from chainrule.train.schedules import Rate


@dataclass(frozen=True)
class _Moments(Optimizer):
    """The averages that all members of the family share.

    With `m` and `v` the running averages of the gradient and of its square, which start at 0,
    and `t` the number of the step, `m / (1 - beta1**t)` and `v / (1 - beta2**t)` have no bias.
    """

    adaptive: ClassVar[bool] = True

    _: KW_ONLY
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    epsilon: Positive = 1e-8

    def _mean(self, update: ParameterUpdate) -> Node:
        return update.ema("mean", self.beta1, update.gradient)

    def _square(self, update: ParameterUpdate) -> Node:
        return update.ema("square", self.beta2, square(update.gradient))

    def _scale(self, update: ParameterUpdate, second: Node, first: bool = False) -> Node:
        """`sqrt(v / (1 - beta2**t)) + epsilon`; `first`: epsilon is added before the correction."""
        correction = update.scalar(sqrt(1 / bias_correction(self.beta2, update.step, "square")))
        if first:
            return (sqrt(second) + self.epsilon) * correction
        return sqrt(second) * correction + self.epsilon


@register
@dataclass(frozen=True)
class Adam(_Moments):
    """`w -= rate * m / (sqrt(v) + epsilon)`, both averages corrected for their bias.

    Args:
        beta1, beta2: of the averages of the gradient and of its square.
        epsilon: keeps the division finite.
        amsgrad: divide by the largest average so far, so that steps never grow again.
        epsilon_first: add epsilon to `sqrt(v)` before the bias is corrected, as scikit-learn and
            TensorFlow do: in early steps it then counts for more.

    Source: D. Kingma and J. Ba, Adam: a method for stochastic optimization, 2015; S. Reddi et
    al., On the convergence of Adam and beyond, 2018.
    """

    name: ClassVar[str] = "adam"

    rate: Rate = 1e-3
    _: KW_ONLY
    amsgrad: Flag = False
    epsilon_first: Flag = False

    def _decrement(self, update: ParameterUpdate) -> Node:
        mean, second = self._mean(update), self._square(update)
        if self.amsgrad:
            slot = update.slot("largest")
            second = update.set_slot(slot, maximum(slot, second))
        rate = update.rate / bias_correction(self.beta1, update.step)
        return update.scalar(rate) * mean / self._scale(update, second, self.epsilon_first)


@register
@dataclass(frozen=True)
class AMSGrad(Adam):
    """Adam that divides by the largest average of squares so far."""

    name: ClassVar[str] = "amsgrad"

    rate: Rate = 1e-3
    _: KW_ONLY
    amsgrad: Flag = True


@register
@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay: `w *= 1 - rate * decay` in addition to Adam's step.

    Source: I. Loshchilov and F. Hutter, Decoupled weight decay regularization, 2019.
    """

    name: ClassVar[str] = "adamw"
    decoupled: ClassVar[bool] = True

    rate: Rate = 1e-3
    _: KW_ONLY
    decay: NotNegative = 0.01


@register
@dataclass(frozen=True)
class NAdam(_Moments):
    """Adam with Nesterov's look ahead.

    Its momentum grows from half of `beta1` to all of it: `beta1 * (1 - 0.96**(t * growth) / 2)`.

    Source: T. Dozat, Incorporating Nesterov momentum into Adam, 2016.
    """

    name: ClassVar[str] = "nadam"

    rate: Rate = 2e-3
    _: KW_ONLY
    growth: Positive = 4e-3

    def _decrement(self, update: ParameterUpdate) -> Node:
        mean, second = self._mean(update), self._square(update)
        now = self._momentum(update.step).within(Scope("momentum.now"))
        then = self._momentum(update.step + 1).within(Scope("momentum.next"))
        slot = update.slot("product", 1.0, scalar=True)
        product = update.set_slot(slot, slot * now)
        of_gradient = update.rate * (1 - now) / (1 - product)
        of_mean = update.rate * then / (1 - product * then)
        ahead = update.scalar(of_gradient) * update.gradient + update.scalar(of_mean) * mean
        return ahead / self._scale(update, second)

    def _momentum(self, step: Node) -> Node:
        return self.beta1 * (1 - 0.5 * exp(step * (self.growth * _LOG_096)))


@register
@dataclass(frozen=True)
class RAdam(_Moments):
    """Adam that follows the average alone until enough squares are accumulated to divide by.

    Source: L. Liu et al., On the variance of the adaptive learning rate and beyond, 2020.
    """

    name: ClassVar[str] = "radam"

    rate: Rate = 1e-3

    def _decrement(self, update: ParameterUpdate) -> Node:
        mean, second = self._mean(update), self._square(update)
        rate = update.rate / bias_correction(self.beta1, update.step)
        length = 2 / (1 - self.beta2) - 1
        if length <= _MIN_LENGTH:
            return update.scalar(rate) * mean
        unbiased = bias_correction(self.beta2, update.step, "square")
        effective = length - 2 * update.step * (1 - unbiased) / unbiased
        effective = effective.within(Scope("square.length"))
        enough = effective > _MIN_LENGTH
        bounded = maximum(effective, _MIN_LENGTH)
        tamed = sqrt(
            (bounded - 4) * (bounded - 2) / bounded * (length / ((length - 4) * (length - 2)))
        )
        tamed = tamed.within(Scope("square.rectification"))
        divided = update.scalar(rate * tamed) * mean / self._scale(update, second)
        return where(enough, divided, update.scalar(rate) * mean)


@register
@dataclass(frozen=True)
class Adamax(_Moments):
    """Adam scaled by the largest recent gradient, `u = max(beta2 * u, |g|)`, as its scale.

    Source: D. Kingma and J. Ba, Adam: a method for stochastic optimization, 2015, section 7.
    """

    name: ClassVar[str] = "adamax"

    rate: Rate = 2e-3

    def _decrement(self, update: ParameterUpdate) -> Node:
        mean = self._mean(update)
        slot = update.slot("largest")
        largest = update.set_slot(slot, maximum(self.beta2 * slot, abs(update.gradient)))
        rate = update.rate / bias_correction(self.beta1, update.step)
        return update.scalar(rate) * mean / (largest + self.epsilon)


@register
@dataclass(frozen=True)
class LAMB(_Moments):
    """Adam whose step, decay included, is scaled to the parameter's length: for large batches.

    Where the parameter or the step has length 0, only the rate is applied.

    Source: Y. You et al., Large batch optimization for deep learning, 2020.
    """

    name: ClassVar[str] = "lamb"
    decoupled: ClassVar[bool] = True
    adaptive: ClassVar[bool] = False

    rate: Rate = 1e-3
    _: KW_ONLY
    epsilon: Positive = 1e-6

    def _new(self, update: ParameterUpdate) -> Node:
        weights = update.parameter
        mean, second = self._mean(update), self._square(update)
        unbiased = update.scalar(1 / bias_correction(self.beta1, update.step))
        step = unbiased * mean / self._scale(update, second)
        if update.decay:
            step = step + update.decay * weights
        step = update.part("step", step)
        of_weights = update.part("length", _length(weights))
        of_step = update.part("step.length", _length(step))
        both = (of_weights > 0) & (of_step > 0)
        trust = where(both, of_weights / where(both, of_step, 1.0), 1.0)
        trust = update.part("trust", trust)
        return weights - update.scalar(update.rate * trust) * step


def _length(x: Node) -> Node:
    """The Euclidean norm, in float64."""
    return sqrt(sum(square(cast(x, "float64"))))


_LOG_096 = -0.040821994520255166
_MIN_LENGTH = 5.0
