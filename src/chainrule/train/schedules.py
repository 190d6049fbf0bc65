"""Learning rates as functions of the step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt

from chainrule.errors import SettingError, did_you_mean
from chainrule.system.settings import (
    NOT_NEGATIVE,
    AtLeast,
    Flag,
    NotNegative,
    Positive,
    Settings,
    Within,
    as_number,
    refuse,
)
from chainrule.types import is_number

Steps = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Schedule(Settings):
    """A learning rate that changes during training.

    `schedule(step, total)` is the rate of a step, counted from 0, of a run of `total` steps.
    Steps after the end of the run have the rate of its end. Calls of `fit` that go on are one run:
    `step` counts on, and `total` has the steps of all calls so far, the present one included.

    A setting of type `Span` is a duration: an integer is a number of steps, a float a fraction of
    the run; 1.0 is the complete run.
    """

    name: ClassVar[str] = "schedule"

    def __call__(self, step: int, total: int) -> float:
        """The rate of one step."""
        return float(self.at(np.array([step], np.float64), total)[0])

    def at(self, steps: Steps, total: float) -> Steps:
        """The rates of many steps."""
        raise NotImplementedError


def _rate(where: str, value: Any) -> float | Schedule:
    if isinstance(value, Schedule):
        return value
    if isinstance(value, Mapping):
        return schedule_from_dict(value)
    if not is_number(value) or value <= 0:
        schedule = "a schedule: one of cr.schedules, or your own subclass of cr.schedules.Schedule"
        raise refuse(where, f"a finite number above 0, or {schedule}", value)
    return float(value)


def _span(where: str, value: Any) -> int | float:
    x = as_number(where, value)
    if x <= 0 or (x > 1 and x != int(x)):
        raise refuse(where, "a number of steps, or a part of the run up to 1.0", value)
    return int(x) if x > 1 or isinstance(value, int) else x


Rate = Annotated[float | Schedule, _rate]
"""A rate above 0, or a schedule; plain data are read as a schedule."""

Span = Annotated[int | float, _span]
"""A duration: an integer is a number of steps, a float a fraction of the run."""

Part = Annotated[float, Within(above=0, most=1)]
FromZero = Annotated[float, Within(least=0, most=1)]


def rates(
    schedule: float | Schedule, first_step: int, count: int, total_steps: int, scale: float = 1.0
) -> list[float]:
    """The rates of `count` consecutive steps in a run of `total_steps`.

    Args:
        schedule: or a number, for a constant rate.
        first_step: the number of steps before, 0 at the start.
        count: the number of rates.
        total_steps: of the complete run.
        scale: that of `ReduceOnPlateau`, whose minimum still holds.
    """
    if not isinstance(schedule, Schedule):
        return [float(schedule) * scale] * count
    steps = np.arange(first_step, first_step + count, dtype=np.float64)
    values = schedule.at(steps, max(total_steps, 1)) * scale
    if scale < 1 and isinstance(schedule, ReduceOnPlateau):
        values = np.maximum(values, np.minimum(values / scale, schedule.minimum))
    return [float(x) for x in values]


def _steps(span: Span, total: float) -> float:
    return float(span) if isinstance(span, int) else span * total


def _progress(steps: Steps, total: float) -> Steps:
    """The completed fraction of the run: 0 to 1."""
    return np.clip(steps / total, 0.0, 1.0)


def _cosine(progress: Steps) -> Steps:
    """From 1 down to 0 along half a cosine wave."""
    return 0.5 * (1 + np.cos(np.pi * progress))


@dataclass(frozen=True)
class Constant(Schedule):
    """The same rate in every step."""

    name: ClassVar[str] = "constant"
    rate: Positive = 1e-3

    def at(self, steps: Steps, total: float) -> Steps:
        """See Schedule."""
        return np.full_like(steps, self.rate)


@dataclass(frozen=True)
class StepDecay(Schedule):
    """`rate`, multiplied by `factor` after each duration `every`."""

    name: ClassVar[str] = "step"
    rate: Positive = 1e-3
    factor: Part = 0.1
    every: Span = 1 / 3

    def at(self, steps: Steps, total: float) -> Steps:
        """See Schedule."""
        # the small term corrects the rounding of products such as 0.1 * 30
        times = np.floor(np.minimum(steps, total) / _steps(self.every, total) + 1e-9)
        return self.rate * self.factor**times


@dataclass(frozen=True)
class Exponential(Schedule):
    """`rate`, decreasing smoothly by `factor` over each duration `every`."""

    name: ClassVar[str] = "exponential"
    rate: Positive = 1e-3
    factor: Part = 0.01
    every: Span = 1.0

    def at(self, steps: Steps, total: float) -> Steps:
        """See Schedule."""
        return self.rate * self.factor ** (np.minimum(steps, total) / _steps(self.every, total))


@dataclass(frozen=True)
class InversePower(Schedule):
    """`rate / (1 + speed * steps) ** power`, reduced once in `every` steps."""

    name: ClassVar[str] = "inverse_power"
    rate: Positive = 1e-3
    power: NotNegative = 0.5
    speed: NotNegative = 1.0
    every: Annotated[int, AtLeast(1)] = 1

    def at(self, steps: Steps, total: float) -> Steps:
        """See Schedule."""
        before = np.floor(np.minimum(steps, total) / self.every) * self.every
        return self.rate / (1 + self.speed * before) ** self.power


@dataclass(frozen=True)
class Polynomial(Schedule):
    """From `rate` to `final` along `(1 - progress)**power`; linear with the power 1."""

    name: ClassVar[str] = "polynomial"
    rate: Positive = 1e-3
    final: NotNegative = 0.0
    power: Positive = 1.0

    def at(self, steps: Steps, total: float) -> Steps:
        """See Schedule."""
        left = (1 - _progress(steps, total)) ** self.power
        return self.final + (self.rate - self.final) * left


@dataclass(frozen=True)
class Cosine(Schedule):
    """From `rate` to `final` along half a cosine wave, repeated with restarts.

    Args:
        restarts: the number of times that the rate returns to `rate`.
        growth: the ratio of the lengths of consecutive waves.

    Source: I. Loshchilov and F. Hutter, SGDR: stochastic gradient descent with warm restarts,
    2017.
    """

    name: ClassVar[str] = "cosine"
    rate: Positive = 1e-3
    final: NotNegative = 0.0
    restarts: Annotated[int, AtLeast(0)] = 0
    growth: Annotated[float, Within(least=1)] = 1.0

    def at(self, steps: Steps, total: float) -> Steps:
        """See Schedule."""
        progress = _progress(steps, total)
        lengths = self.growth ** np.arange(self.restarts + 1.0)
        ends = np.cumsum(lengths) / lengths.sum()
        wave = np.minimum(np.searchsorted(ends, progress, side="right"), self.restarts)
        starts = np.concatenate([[0.0], ends[:-1]])
        within = (progress - starts[wave]) / (ends - starts)[wave]
        return self.final + (self.rate - self.final) * _cosine(within)


@dataclass(frozen=True)
class WarmUp(Schedule):
    """A linear rise to the first rate of another schedule, which then follows.

    Args:
        schedule: for the remaining steps; a number is a constant rate.
        steps: the duration of the rise.
        start: the fraction of the first rate that the line begins at, one step before the run.
    """

    name: ClassVar[str] = "warm_up"
    schedule: Rate = 1e-3
    steps: Span = 0.05
    start: FromZero = 0.0

    def at(self, steps: Steps, total: float) -> Steps:
        """See Schedule."""
        rise = math.floor(_steps(self.steps, total) + 1e-9)
        inner = _rates_at(self.schedule, np.maximum(steps - rise, 0), max(total - rise, 1.0))
        part: Steps = np.minimum((steps + 1) / (rise + 1), 1.0)
        return inner * (self.start + (1 - self.start) * part)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up to `rate` and down to almost 0, both along half a cosine wave.

    Args:
        rate: the highest.
        rise: the duration until it is reached.
        start, final: the first and last rate, as fractions of the highest.

    Source: L. Smith and N. Topin, Super-convergence, 2018.
    """

    name: ClassVar[str] = "one_cycle"
    rate: Positive = 1e-2
    rise: Span = 0.3
    start: Part = 0.04
    final: FromZero = 4e-6

    def at(self, steps: Steps, total: float) -> Steps:
        """See Schedule."""
        top = min(_steps(self.rise, total), total)
        up = self.start + (1 - self.start) * _cosine(1 - _progress(steps, top))
        down = self.final + (1 - self.final) * _cosine(
            _progress(np.maximum(steps - top, 0), max(total - top, 1.0))
        )
        return self.rate * np.where(steps < top, up, down)


@dataclass(frozen=True)
class LogCosine(Schedule):
    """`rate` times cosine waves that start at 0, each as long as all earlier ones together.

    The rate is `rate / 2 * (1 - cos(2 pi waves log_b(1 + (b - 1) progress)))` with `b = 2**waves`:
    several cycles, short ones first, and a long decrease at the end.

    Args:
        rate: the highest.
        waves: the number of cycles.

    Source: D. Holzmüller, L. Grinsztajn and I. Steinwart, Better by default, NeurIPS 2024.
    """

    name: ClassVar[str] = "log_cosine"
    rate: Positive = 1e-3
    waves: Annotated[int, AtLeast(1)] = 4

    def at(self, steps: Steps, total: float) -> Steps:
        """See Schedule."""
        passed = _progress(steps + 1, total + 1)  # the first and the last step have a rate above 0
        return self.rate * (1 - _cosine(2 * np.log2(1 + (2**self.waves - 1) * passed)))


def _sequence(where: str, value: Any) -> tuple[float, ...]:
    if isinstance(value, str) or not isinstance(value, (Sequence, np.ndarray)):
        raise refuse(where, "a list of numbers", value)
    checked = [NOT_NEGATIVE(where, x) for x in value]
    return tuple(
        int(x) if isinstance(x, (int, np.integer)) else y
        for x, y in zip(value, checked, strict=True)
    )


Numbers = Annotated[Sequence[float], _sequence]


@dataclass(frozen=True)
class Piecewise(Schedule):
    """Constant pieces: `rates[k]` until the boundary `boundaries[k]`.

    Args:
        rates: one more than there are boundaries.
        boundaries: the starts of the next rates, ascending: integers are steps, floats fractions
            of the run.
    """

    name: ClassVar[str] = "piecewise"
    rates: Numbers = (1e-3, 1e-4)
    boundaries: Numbers = (0.5,)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.rates) != len(self.boundaries) + 1:
            raise SettingError(
                "Piecewise",
                "there must be one rate more than boundaries",
                expected=f"{len(self.boundaries) + 1} rates",
                got=len(self.rates),
            )
        kinds = {isinstance(x, int) for x in self.boundaries}
        if len(kinds) > 1 or list(self.boundaries) != sorted(self.boundaries):
            raise refuse(
                "Piecewise.boundaries",
                "ascending steps, or ascending fractions of the run",
                self.boundaries,
            )

    def at(self, steps: Steps, total: float) -> Steps:
        """See Schedule."""
        ends = np.array([_steps(x, total) for x in self.boundaries])
        return np.array(self.rates)[np.searchsorted(ends, steps, side="right")]


@dataclass(frozen=True)
class ReduceOnPlateau(Schedule):
    """A rate that is reduced when the validation criterion has stopped improving.

    The rate of a step is that of `rate` times a scale, 1 at first; the training loop updates the
    scale by the criterion after each epoch, and passes it to `rates`.

    Args:
        rate: a number, or a schedule.
        factor: of each reduction of the scale.
        patience: epochs without improvement before a reduction.
        minimum: the lower bound of the rate.
        minimum_improvement: the smallest difference to the best that counts as improvement.
        cooldown: the number of epochs after a reduction that are not counted as stale.
        best_of_all: compare an epoch with the best one so far, also where that was better by less
            than `minimum_improvement`: progress in small steps then does not count.
    """

    name: ClassVar[str] = "reduce_on_plateau"
    rate: Rate = 1e-3
    factor: Annotated[float, Within(above=0, below=1)] = 0.1
    patience: Annotated[int, AtLeast(1)] = 10
    minimum: NotNegative = 0.0
    minimum_improvement: NotNegative = 0.0
    cooldown: Annotated[int, AtLeast(0)] = 0
    best_of_all: Flag = False

    def at(self, steps: Steps, total: float) -> Steps:
        """See Schedule; before any reduction."""
        return _rates_at(self.rate, steps, total)


def _rates_at(schedule: float | Schedule, steps: Steps, total: float) -> Steps:
    if isinstance(schedule, Schedule):
        return schedule.at(steps, total)
    return np.full_like(steps, schedule)


SCHEDULES: dict[str, type[Schedule]] = {
    kind.name: kind
    for kind in (
        Constant, StepDecay, Exponential, InversePower, Polynomial, Cosine, WarmUp, OneCycle,
        LogCosine, Piecewise, ReduceOnPlateau,
    )
}  # fmt: skip
"""The schedules by name."""


def schedule(name: str, **settings: Any) -> Schedule:
    """The schedule of that name: `schedule("cosine", rate=0.1)`. Raises SettingError."""
    if name not in SCHEDULES:
        nearest = did_you_mean(name, SCHEDULES)
        raise SettingError("schedule", f"unknown schedule {name!r}", fix=nearest)
    return SCHEDULES[name].from_settings(settings)


def schedule_from_dict(data: Mapping[str, Any]) -> Schedule:
    """The schedule from the plain data of `to_dict`. Raises SettingError."""
    if not isinstance(data.get("name"), str):
        raise SettingError("schedule", "the schedule has no name", got=repr(dict(data)))
    return schedule(**{str(key): value for key, value in data.items()})
