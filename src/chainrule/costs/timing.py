"""The measured time of a step, by task and thread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Timing:
    """Seconds of a step: for each task the mean of the undisturbed times.

    Attributes:
        tasks: by phase and task, of each thread: `tasks[phase][task][thread]`.
        waiting: in each phase, of each thread, until all of its work is done.
        step: the time of a whole step.
        steps: the number that was timed.
    """

    tasks: tuple[tuple[Times, ...], ...]
    waiting: tuple[Times, ...]
    step: float
    steps: int
