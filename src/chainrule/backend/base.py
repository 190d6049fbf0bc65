"""The protocols of a backend, which compiles plans to machine code, loads and runs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from chainrule.costs.speeds import Speeds
from chainrule.ir.kernel import Buffer
from chainrule.plan.plan import Plan, Signature

if TYPE_CHECKING:
    from chainrule.costs.forecast import Placed

Array = npt.NDArray[Any]

Pauses: TypeAlias = tuple[int, Callable[[], object]]
"""A number of steps, and what is called after so many."""


class Module(Protocol):
    """The kernels of a plan as code."""

    @property
    def text(self) -> str:
        """The code, to read."""

    def compile(self) -> bytes:
        """Machine code, with all that it takes to load and run it."""


class Executable(Protocol):
    """Loaded machine code; any number of runners may use it at the same time."""

    @property
    def signature(self) -> Signature:
        """The buffers that it works on."""

    @property
    def max_rows(self) -> int:
        """The most rows of a minibatch."""


class Calls(Protocol):
    """The calls of a user's ops in a step.

    Attributes:
        functions: one for each: of the operands, as they lie in memory, and the number of rows.
        around: entered for the time of each call.
        error: what one raised in the step that was not done; None where none did.
    """

    functions: Sequence[Callable[[Sequence[Array], int], Array]]
    around: AbstractContextManager[object]
    error: BaseException | None


class Runner(Protocol):
    """An executable with memory of its own.

    One thread at a time may use it, and Ctrl-C must not come up in `run`: see system/signals.py.
    """

    @property
    def state(self) -> MutableMapping[str, Array]:
        """The state buffers by name: a read copies out, a write copies in."""

    @property
    def code(self) -> Executable:
        """The executable that it runs."""

    @property
    def done(self) -> int:
        """The number of steps of the last run."""

    @property
    def calls(self) -> Calls:
        """The calls of a user's ops in a step."""

    @property
    def bytes(self) -> int:
        """The size of its memory."""

    def release(self) -> None:
        """Let go of the arrays that `bind` was given; the next run needs them again."""

    def reads(self, name: str) -> bool:
        """Whether there is a data buffer of that name."""

    def bind(self, name: str, array: npt.ArrayLike) -> None:
        """Give a data buffer its array, rows first.

        Raises:
            FeedError: there is no such buffer, or the shape does not fit.
        """

    def run(
        self,
        rows: npt.ArrayLike,
        offsets: npt.ArrayLike,
        step_inputs: Mapping[str, npt.ArrayLike],
        *,
        follows: bool = False,
    ) -> tuple[npt.NDArray[np.float64], int | None]:
        """Do steps, and stop before the first whose loss or new state is not finite.

        Args:
            rows: of the data set, of all steps one after the other.
            offsets: where each step's rows begin, and at last their end: (steps + 1,).
            step_inputs: by name, (steps, ...), or one value for all steps.
            follows: whether neither state nor data were changed since the last run.

        Returns:
            The losses of the steps done, (done,), and the index of the step that was not done.
        """

    def output(self, buffer: Buffer, rows: int) -> Array:
        """The first rows of a result, where they lie in memory; the next run overwrites them."""


class Pausing(Runner, Protocol):
    """A runner that can pause."""

    def run(
        self,
        rows: npt.ArrayLike,
        offsets: npt.ArrayLike,
        step_inputs: Mapping[str, npt.ArrayLike],
        *,
        pauses: Pauses | None = None,
        follows: bool = False,
    ) -> tuple[npt.NDArray[np.float64], int | None]:
        """See Runner.

        pauses: steps, and what is called after so many of them, again and again.
        """


class Backend(Protocol):
    """A kind of processor."""

    @property
    def name(self) -> str:
        """As `fit(backend=...)` takes it."""

    @property
    def bfloat16(self) -> bool:
        """Whether it has products of bfloat16; without, rounded factors are multiplied slowly."""

    def target(self) -> str:
        """All that machine code depends on besides the plan: the processor, the compilers."""

    def emit(self, plan: Plan, max_rows: int) -> Module:
        """The kernels of a plan as code, for minibatches of up to `max_rows` rows."""

    def load(self, code: bytes, max_rows: int) -> Executable:
        """The result of `Module.compile`, ready to run."""

    def runner(self, code: Executable, threads: int | None = None) -> Runner:
        """A runner of loaded code; at most so many threads share a step, None: all processors."""

    def warm_up(self) -> None:
        """Load what compiling needs: before processes are forked that all need it."""


class Forecaster(Backend, Protocol):
    """A backend that tells what a step will take."""

    def speeds(self) -> Speeds:
        """The speeds of this processor, measured where that is not done yet."""

    def max_threads(self, requested: int | None) -> int:
        """The most threads that may share a step, where so many are requested, or no number."""

    def memory(self, plan: Plan, max_rows: int, threads: int) -> Memory:
        """The memory that a run takes."""

    def placed(self, plan: Plan, max_rows: int) -> tuple[Placed, ...]:
        """The layout of the buffers of a plan in memory, the largest first."""


@dataclass(frozen=True)
class Memory:
    """The bytes that a run of a plan takes.

    Attributes:
        state: of parameters and slots.
        work: of values between kernels, and constants.
        scratch: of what all threads need for themselves.
    """

    state: int
    work: int
    scratch: int


@dataclass(frozen=True)
class Job:
    """A plan to be compiled.

    Attributes:
        plan: what to compile.
        backend: for which processor.
        max_rows: the most rows of a minibatch.
    """

    plan: Plan
    backend: Backend
    max_rows: int
