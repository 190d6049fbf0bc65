"""A runner that finds out how many threads are fastest while it runs."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from chainrule.backend.base import Pauses
from chainrule.backend.cpu.run.driver import Runner
from chainrule.backend.cpu.run.executable import Executable
from chainrule.backend.cpu.run.orders import Part
from chainrule.backend.cpu.run.tuner import ThreadTuner, max_threads


class TunedRunner(Runner):
    """See Runner in backend/base.py.

    Args:
        code: what to run.
        threads: the most that may share a step; None: all processors.
    """

    def __init__(self, code: Executable, threads: int | None = None) -> None:
        guess, most = threads_for(code, threads)
        super().__init__(code, threads=most)
        self._tuner = ThreadTuner(most, guess)
        self._step_ndim = {b.name: len(b.shape) for b in self._spaces("step")}

    def run(
        self,
        rows: npt.ArrayLike,
        offsets: npt.ArrayLike,
        step_inputs: Mapping[str, npt.ArrayLike],
        part: int | Part | None = None,
        pauses: Pauses | None = None,
        *,
        follows: bool = False,
    ) -> tuple[npt.NDArray[np.float64], int | None]:
        """See Runner: the steps are run in slices, each with a number of threads.

        With pauses they are not; see `alone`.
        """
        if pauses is not None:
            return super().run(rows, offsets, step_inputs, part, pauses, follows=follows)
        ends = np.asarray(offsets, np.int64)
        losses, done = np.empty(len(ends) - 1), 0
        for count, threads in self._tuner.slices(len(losses)):
            start, some = time.perf_counter(), slice(done, done + count)
            self.threads = threads
            inputs = step_inputs
            if count < len(losses):
                inputs = {
                    name: self._part(name, x, some)
                    for name, x in step_inputs.items()
                    if name in self._step_ndim
                }
            part_ends, goes_on = ends[done : done + count + 1], follows or done > 0
            got, failed = super().run(rows, part_ends, inputs, part, follows=goes_on)
            losses[done : done + len(got)] = got
            done += len(got)
            if failed is not None:
                break
            self._tuner.record(count, time.perf_counter() - start)
        self.done = done
        return losses[:done], done if done < len(losses) else None

    @property
    def alone(self) -> bool:
        """Whether one thread does all of every step."""
        return self._tuner.limit == 1 and not self.signature.calls

    def _part(self, name: str, value: npt.ArrayLike, part: slice) -> npt.ArrayLike:
        """The values of some steps; one value stands for all of them."""
        array = np.asarray(value)
        return array[part] if array.ndim > self._step_ndim[name] else array


def threads_for(code: Executable, requested: int | None) -> tuple[int, int]:
    """The number of threads to begin with, and the most to try: one where more never pay.

    Args:
        code: of the step.
        requested: by the user, if any.
    """
    most = max_threads(requested)
    return min(code.threads, most), most if code.most > 1 else 1
