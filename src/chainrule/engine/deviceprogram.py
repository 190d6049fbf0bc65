"""The program of a step on a device, which may be lost: the state is then that of a copy here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from chainrule.backend import base
from chainrule.backend.base import Runner
from chainrule.engine.devices import gave_up
from chainrule.engine.minibatch import Minibatches, Rows
from chainrule.engine.native import NativeProgram
from chainrule.errors import ChainruleError, ChainruleWarning, DeviceError, NotFinite
from chainrule.graph.node import Array
from chainrule.graph.source import warn_user

if TYPE_CHECKING:
    from chainrule.backend.gpu.run.runner import Runner as GPURunner

SMALL = 1 << 22
"""Bytes of a state that is copied after each call."""

SHARE = 20
"""Copies of a larger one take at most one of so many parts of the time."""


def warn(line: str) -> None:
    """Tell a line as a warning."""
    warn_user(line, ChainruleWarning)


class DeviceProgram(NativeProgram):
    """See NativeProgram. Where the device fails, the state is that of the last copy made of it.

    A copy is made after each call, but seldom where the state is so large that it takes long.

    Attributes:
        auto: whether the processor goes on where the device fails; it does the steps since the
            copy once more.
        tell: called with a line that says so.
    """

    auto = False
    tell: Callable[[str], None]

    def __init__(self, *given: Any, **named: Any) -> None:
        self.tell = warn
        self._saved: dict[str, Array] = {}
        self._saved_steps, self._saved_at, self._saving = 0, 0.0, 0.0
        self._since: list[tuple[Mapping[str, Array], list[Rows], list[float]]] = []
        super().__init__(*given, **named)

    @property
    def _there(self) -> bool:
        """Whether the state is on the device."""
        return self._device != "cpu" and self._runner is not None

    @property
    def there(self) -> GPURunner | None:
        """The runner on the device, where all data are there; else None."""
        runner = cast("GPURunner | None", self._runner if self._there else None)
        return runner if runner is not None and runner.whole else None

    def run(
        self,
        data: Mapping[str, Array],
        batches: Sequence[Rows],
        rates: Sequence[float],
        into: npt.NDArray[np.float64] | None = None,
        pauses: base.Pauses | None = None,
        *,
        follows: bool = False,
    ) -> npt.NDArray[np.float64]:
        """See Program.

        pauses: as for a NativeProgram; nothing is done of a call in which the processor takes over.
        """
        if self._device == "cpu" or not len(batches):
            return super().run(data, batches, rates, into, pauses, follows=follows)
        losses: npt.NDArray[np.float64] | None = None
        try:
            if self._since and data is not self._since[-1][0]:  # it need not stay as it is
                self._save()
            losses = super().run(data, batches, rates, into, pauses, follows=follows)
            if self.auto:
                done = len(losses)  # fewer where Ctrl-C came up
                self._since.append((data, _copied(batches)[:done], list(rates[:done])))
            if self._due():
                self._save()
        except NotFinite:
            raise
        except ChainruleError as error:
            self._fall_back(error)
            if pauses is not None:
                return np.empty(0)
        return super().run(data, batches, rates, into) if losses is None else losses

    def read(self, held: Mapping[str, Array] | None = None) -> dict[str, Array]:
        """See Program."""
        try:
            return super().read(held)
        except DeviceError as error:
            self._fall_back(error)
        return super().read()

    def write(self, state: Mapping[str, Array], steps: int | None = None) -> None:
        """See Program."""
        try:
            super().write(state, steps)
            if self._there:
                self._save()
        except DeviceError as error:
            self._fall_back(error)
            super().write(state, steps)

    def rest(self) -> bool:
        """See NativeProgram."""
        self.auto, self.tell = False, warn
        self._saved, self._since = {}, []
        return super().rest()

    def _with_room(self, rows: int) -> Runner:
        if self._device != "cpu":
            self._save()
        return super()._with_room(rows)

    def _due(self) -> bool:
        """Whether to copy the state now."""
        held = sum(x.nbytes for x in self._saved.values())
        return held <= SMALL or time.perf_counter() - self._saved_at >= SHARE * self._saving

    def _save(self) -> None:
        """Copy the state, from which the processor could go on."""
        begun = time.perf_counter()
        self._saved = {name: np.array(x) for name, x in super().read().items()}
        self._saved_steps, self._since = self.steps, []
        self._saved_at = time.perf_counter()
        self._saving = self._saved_at - begun

    def _fall_back(self, error: ChainruleError) -> None:
        """Take the state from the copy; raises the error where the processor is not to go on."""
        lost, self._device = self._device, "cpu"
        begun, self._runner, self._bound = self._runner is not None, None, None
        if self._saved:
            self._start, self._steps = self._saved, self._saved_steps
        if not self.auto:
            if begun and isinstance(error, DeviceError):
                now = f"the model is that after step {self.steps:,}"
                error.got = now if error.got is None else f"{error.got}\n{now}"
            raise error
        self.tell(gave_up(lost, error))
        since, self._since = self._since, []
        for data, batches, rates in since:
            super().run(data, batches, rates)


def automatic(program: object, tell: Callable[[str], None] = warn) -> None:
    """Let the processor go on where the device of a program fails, and tell it."""
    if isinstance(program, DeviceProgram):
        program.auto, program.tell = True, tell


def _copied(batches: Sequence[Rows]) -> list[Rows]:
    """Minibatches that stay as they are."""
    if not isinstance(batches, Minibatches):
        return [np.array(x) for x in batches]
    cuts = zip(batches.ends[:-1], batches.ends[1:], strict=True)
    return [np.array(batches.rows[a:b]) for a, b in cuts]
