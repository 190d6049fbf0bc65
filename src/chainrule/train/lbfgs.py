"""L-BFGS: a quasi-Newton method with a line search, for small data as one batch."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass, field
from typing import Annotated, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from chainrule.errors import NotFinite, SettingError
from chainrule.system.settings import AtLeast, Factors, NotNegative, Settings

Vector: TypeAlias = npt.NDArray[np.float64]
Function: TypeAlias = Callable[[Vector], tuple[float, Vector]]
"""A function from a point to its value and gradient."""

ARMIJO_FRACTION = 1e-4  # of the decrease that the initial slope predicts
WOLFE_FRACTION = 0.9  # of the initial slope, the most that may remain
MAX_TRIALS = 30  # of one line search


@dataclass(frozen=True)
class LBFGS(Settings):
    """Limited-memory BFGS: all rows in every step, without a learning rate.

    For data that fit in memory and smooth losses it needs far fewer steps than the methods of
    stochastic descent. One iteration is one epoch.

    Args:
        memory: the number of past steps that determine the direction.
        iterations: the maximum.
        evaluations: of the loss, after which no further iteration begins.
        tolerance: stop when no entry of the gradient is larger.
        progress: stop when an iteration reduces the value by a smaller fraction of it.
        decay: weight decay: adds `decay / 2 * sum(weight**2)` to the loss.
        decays: factors on `decay` by patterns of parameter names, as in all optimizers.

    Source: J. Nocedal and S. Wright, Numerical optimization, 2006: algorithms 7.4, 3.5 and 3.6.
    """

    name: ClassVar[str] = "lbfgs"

    _: KW_ONLY
    memory: Annotated[int, AtLeast(1)] = 10
    iterations: Annotated[int, AtLeast(1)] = 500
    evaluations: Annotated[int, AtLeast(1)] = 1_000_000
    tolerance: NotNegative = 1e-6
    progress: NotNegative = 1e-9
    decay: NotNegative = 0.0
    decays: Factors = field(default_factory=dict)


@dataclass(frozen=True)
class Iteration:
    """The result of an iteration.

    Attributes:
        number: 0 is the start.
        point: the parameters as one vector.
        value: of the function there.
        slope: the largest absolute entry of the gradient there.
        length: of the step to that point.
        evaluations: of the function, since the start.
    """

    number: int
    point: Vector
    value: float
    slope: float
    length: float
    evaluations: int


@dataclass(frozen=True)
class _Trial:
    """A point of the line search: `at` times the direction, with value, slope, gradient."""

    at: float
    value: float
    slope: float
    point: Vector
    gradient: Vector

    @property
    def finite(self) -> bool:
        return math.isfinite(self.value) and math.isfinite(self.slope)


@dataclass(frozen=True)
class Memory:
    """All that a minimisation goes on from.

    Attributes:
        point: the present one.
        steps, changes: of the last iterations, and of their gradients: (pairs, n).
        number: of iterations.
        evaluations: of the function.
        fall: of the value in the last iteration, as a fraction.
    """

    point: Vector
    steps: Vector
    changes: Vector
    number: int
    evaluations: int
    fall: float


class Minimiser:
    """The minimisation of a function: an iterable of its iterations.

    Args:
        function: from a point to value and gradient, both float64.
        start: the initial point.
        settings: of the method.
        memory: of a minimisation that was cut short, to go on with; `start` is then not used.

    Attributes:
        reason: for the end, in words; None before.
        converged: whether the gradient is within `tolerance`.

    Iterating, once, yields an Iteration for the start and for each step; the value never
    increases, and iteration may stop at any time.

    Raises:
        NotFinite: value or gradient are not finite at the start.
    """

    def __init__(
        self, function: Function, start: npt.ArrayLike, settings: LBFGS,
        memory: Memory | None = None,
    ) -> None:  # fmt: skip
        self._function, self._settings, self._given = function, settings, memory
        self._start = np.array(start if memory is None else memory.point, np.float64)
        if self._start.ndim != 1:
            raise SettingError("LBFGS", "the start is a vector", got=self._start.shape)
        self._pairs: deque[tuple[Vector, Vector]] = deque(maxlen=settings.memory)
        self._evaluations, self._number, self._fall = 0, 0, math.inf
        self.reason: str | None = None
        self.converged = False

    def __iter__(self) -> Iterator[Iteration]:
        here = self._try(self._start, np.zeros_like(self._start), 0.0)
        if not (here.finite and np.isfinite(here.gradient).all()):
            raise NotFinite(
                "LBFGS", "the loss or its gradient is not finite at the start",
                got=here.value, fix="scale the inputs, or start from other parameters",
            )  # fmt: skip
        if self._given is not None:
            self._recall(self._given)
        yield self._record(here, 0.0)
        while not self._ended(here):
            new = self._step(here)
            if new is None:
                self.reason = (
                    "no lower loss was found along the descent: the precision of the numbers, "
                    "or a kink of the loss, allows no more"
                )
                return
            fall = (here.value - new.value) / max(abs(here.value), abs(new.value), 1e-300)
            length = float(np.linalg.norm(new.point - here.point))
            here, self._number, self._fall = new, self._number + 1, fall
            yield self._record(here, length)

    def memory(self, here: Iteration) -> Memory:
        """The memory of which another minimisation goes on, as of the last iteration."""
        steps, changes = ([x[k] for x in self._pairs] for k in (0, 1))
        shape = (len(self._pairs), len(here.point))
        return Memory(
            here.point, np.reshape(steps, shape), np.reshape(changes, shape), self._number,
            self._evaluations, self._fall,
        )  # fmt: skip

    def _recall(self, memory: Memory) -> None:
        self._pairs.extend(zip(memory.steps, memory.changes, strict=True))
        self._evaluations, self._number = memory.evaluations, memory.number
        self._fall = memory.fall

    def _record(self, here: _Trial, length: float) -> Iteration:
        slope = float(np.max(np.abs(here.gradient), initial=0.0))
        return Iteration(self._number, here.point, here.value, slope, length, self._evaluations)

    def _ended(self, here: _Trial) -> bool:
        settings, number, fall = self._settings, self._number, self._fall
        if np.max(np.abs(here.gradient), initial=0.0) <= settings.tolerance:
            self.converged = True
            self.reason = f"the gradient is below {settings.tolerance:g}"
        elif fall <= settings.progress:
            self.reason = f"the loss fell by less than {settings.progress:g} of itself"
        elif number == settings.iterations:
            self.reason = f"the limit of {number} iterations is reached"
        elif self._evaluations >= settings.evaluations:
            self.reason = f"the limit of {settings.evaluations} evaluations is reached"
        return self.reason is not None

    def _step(self, here: _Trial) -> _Trial | None:
        """The next point, or None where no lower value is found. Stores the step."""
        new = self._search(here, self._direction(here.gradient))
        if new is None and self._pairs:
            self._pairs.clear()
            new = self._search(here, -here.gradient)
        if new is not None:
            s, y = new.point - here.point, new.gradient - here.gradient
            if s @ y > 1e-10 * (y @ y):
                self._pairs.append((s, y))
        return new

    def _direction(self, gradient: Vector) -> Vector:
        """Minus the gradient times the inverse Hessian estimated from past steps: two loops."""
        if not self._pairs:
            return -gradient
        q = -gradient
        weights = []
        for s, y in reversed(self._pairs):
            weights.append((s @ q) / (s @ y))
            q = q - weights[-1] * y
        s, y = self._pairs[-1]
        q = q * ((s @ y) / (y @ y))
        for (s, y), weight in zip(self._pairs, reversed(weights), strict=True):
            q = q + (weight - (y @ q) / (s @ y)) * s
        if not q @ gradient < 0:
            self._pairs.clear()
            return -gradient
        return q

    def _try(self, origin: Vector, direction: Vector, at: float) -> _Trial:
        point = origin + at * direction
        value, gradient = self._function(point)
        self._evaluations += 1
        gradient = np.asarray(gradient, np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            slope = float(gradient @ direction)
        return _Trial(at, float(value), slope, point, gradient)

    def _search(self, here: _Trial, direction: Vector) -> _Trial | None:
        """A point that satisfies the strong Wolfe conditions, or at least has a lower value."""
        slope = float(here.gradient @ direction)
        if not slope < 0:
            return None
        start = _Trial(0.0, here.value, slope, here.point, here.gradient)
        at = 1.0 if self._pairs else 1.0 / float(np.linalg.norm(direction))
        before = start
        for k in range(MAX_TRIALS):
            trial = self._try(here.point, direction, at)
            if _too_high(trial, start) or (k > 0 and trial.value >= before.value):
                return self._zoom(start, direction, before, trial, MAX_TRIALS - k)
            if abs(trial.slope) <= -WOLFE_FRACTION * slope:
                return trial
            if trial.slope >= 0:
                return self._zoom(start, direction, trial, before, MAX_TRIALS - k)
            before, at = trial, 2 * at
        return before

    def _zoom(
        self, start: _Trial, direction: Vector, low: _Trial, high: _Trial, trials: int
    ) -> _Trial | None:
        """Narrow the interval between `low`, the lowest point so far, and `high`."""
        for _ in range(trials):
            at = _between(low, high)
            if abs(low.slope * (high.at - low.at)) <= 1e-16 * abs(start.value):
                break  # a further gain would be below rounding
            trial = self._try(start.point, direction, at)
            if _too_high(trial, start) or trial.value >= low.value:
                high = trial
                continue
            if abs(trial.slope) <= -WOLFE_FRACTION * start.slope:
                return trial
            if trial.slope * (high.at - low.at) >= 0:
                high = low
            low = trial
        return low if low.value < start.value else None


def _too_high(trial: _Trial, start: _Trial) -> bool:
    bound = start.value + ARMIJO_FRACTION * trial.at * start.slope
    return not trial.finite or trial.value > bound


def _between(low: _Trial, high: _Trial) -> float:
    """The minimum of the cubic through both ends, kept away from them; else a point between."""
    width = high.at - low.at
    if not high.finite:
        return low.at + 0.25 * width
    mean = low.slope + high.slope - 3 * (high.value - low.value) / width
    inner = mean * mean - low.slope * high.slope
    if inner < 0:
        return low.at + 0.5 * width
    root = math.copysign(math.sqrt(inner), width)
    below = high.slope - low.slope + 2 * root
    part = 1 - (high.slope + root - mean) / below if below else 0.5
    return low.at + min(max(part, 0.1), 0.9) * width


def minimise(function: Function, start: npt.ArrayLike, settings: LBFGS) -> Iteration:
    """Runs a minimisation to its end; returns the last iteration. See Minimiser."""
    return deque(Minimiser(function, start, settings), maxlen=1)[0]
