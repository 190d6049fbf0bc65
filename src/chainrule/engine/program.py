"""A training step that runs: its interface, which the training loop knows, and how one starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from chainrule.backend.registry import find_backend
from chainrule.engine.compile import split_step
from chainrule.engine.deviceprogram import DeviceProgram
from chainrule.engine.devices import AUTO, check_device
from chainrule.engine.encoders import PrecomputedInputs
from chainrule.engine.interpreted import Interpreted
from chainrule.engine.minibatch import Rows
from chainrule.engine.native import NativeProgram
from chainrule.engine.split import SplitStep
from chainrule.engine.usercalls import tell_of_calls
from chainrule.errors import SettingError, did_you_mean
from chainrule.graph.node import Array
from chainrule.graph.step import Step

if TYPE_CHECKING:
    from chainrule.engine.blocks import Blocks

BACKENDS = ("native", "interpreter")
PRECISIONS = ("float32", "bfloat16")


class Program(Protocol):
    """A compiled training step with its state: the values of all parameters and slots."""

    @property
    def steps(self) -> int:
        """The number of steps done."""

    @property
    def ended(self) -> str | None:
        """The reason why nothing is left to do; None while there is."""

    def encode(self, data: Mapping[str, Array]) -> Mapping[str, Array]:
        """A data set, or a chunk of one, with what depends on it alone; on any thread.

        Raises:
            FeedError: an index among the data is out of range.
        """

    def load(self, data: Mapping[str, Array]) -> None:
        """Take a data set, or a chunk of one, in the place of the last: for each input its array.

        Rows of minibatches are counted from its first. What depends on it alone is computed now,
        unless a chunk has it.

        Raises:
            FeedError: an index among the data is out of range.
        """

    def run(
        self,
        data: Mapping[str, Array],
        batches: Sequence[Rows],
        rates: Sequence[float],
        into: npt.NDArray[np.float64] | None = None,
        *,
        follows: bool = False,
    ) -> npt.NDArray[np.float64]:
        """Do one step for each minibatch, in order, and return the losses before each update.

        Args:
            data: the mapping that was loaded; another is loaded first.
            batches: for each step, the rows of its minibatch.
            rates: for each step, its learning rate.
            into: the losses are put here too, (steps,): also those before an error or Ctrl-C.
            follows: whether neither state nor data were changed since the last call.

        Raises:
            NotFinite: a loss or an update is NaN or infinite; the state is that before the step.
        """

    def read(self) -> dict[str, Array]:
        """A copy of the state, by name."""

    def write(self, state: Mapping[str, Array], steps: int | None = None) -> None:
        """Replace some or all of the state, and the count of steps."""


def compile_step(
    step: Step | SplitStep,
    state: Mapping[str, Array],
    seed: int,
    *,
    backend: str = "native",
    threads: int | None = None,
    blocks: Blocks | None = None,
    device: str = "cpu",
) -> Program:
    """The program of a training step, starting from `state`.

    Args:
        step: loss and updates as a graph, split already or not.
        state: values of parameters and slots by name; those absent start from their initial.
        seed: of what is random in a step.
        backend: "native" for machine code, or "interpreter".
        threads: that machine code may use where they make it quicker; None: all processors.
        blocks: into which minibatches are cut, for a step made with `exchange=True`.
        device: that does the steps: "cpu", or the word of another.

    Raises:
        SettingError: there is no such backend or device.
    """
    check_backend(backend, device)
    split = step if isinstance(step, SplitStep) else split_step(step)
    if device == "cpu":
        tell_of_calls(split.full.graph, backend)
    encode = PrecomputedInputs(split)
    if backend == "native":
        kind = NativeProgram if device == "cpu" else DeviceProgram
        return kind(split.body, state, seed, encode, split.full, threads, blocks, device)
    return Interpreted(split.body, state, seed, encode, split.full)


def check_backend(name: str, device: str = "cpu") -> None:
    """Raises SettingError where no backend has this name, or it is not for this device."""
    if name not in BACKENDS:
        raise SettingError("fit", f"no backend is named {name!r}", fix=did_you_mean(name, BACKENDS))
    if device in ("cpu", AUTO):
        return
    if name == "interpreter":
        raise SettingError(
            "fit", "the interpreter runs on the processor alone", got=f"device={device!r}",
            fix='leave out device=, or backend="interpreter"',
        )  # fmt: skip
    check_device(device)


def check_precision(name: str, backend: str, device: str = "cpu") -> None:
    """Raises SettingError where there is no such precision, or the processor does not have it."""
    if name not in PRECISIONS:
        raise SettingError(
            "fit.precision", f"there is no precision {name!r}",
            expected=" or ".join(PRECISIONS), fix=did_you_mean(name, PRECISIONS),
        )  # fmt: skip
    if name == "bfloat16" and device not in ("cpu", AUTO):
        raise SettingError(
            "fit.precision", "products of bfloat16 run on the processor alone",
            got=f"device={device!r}", fix="precision='float32', or device='cpu'",
        )  # fmt: skip
    if name == "bfloat16" and backend == "native" and not find_backend(backend).bfloat16:
        raise SettingError(
            "fit.precision", "this processor has no products of bfloat16",
            expected="AVX512_BF16, as AMD has from Zen 4 on, and Intel from Cooper Lake on",
            fix='precision="float32"',
        )  # fmt: skip
