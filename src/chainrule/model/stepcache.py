"""Caches a model's last training step and its program, for runs that need the same ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from typing import Any

from chainrule.engine.compile import build_split
from chainrule.engine.native import NativeProgram
from chainrule.engine.program import Program, compile_step
from chainrule.engine.split import SplitStep
from chainrule.engine.step import Objective
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Node
from chainrule.graph.source import user_line
from chainrule.system.ranks.communicator import Communicator
from chainrule.train.fitsettings import FitSettings
from chainrule.train.optim import OPTIMIZERS, Optimizer


class StepCache:
    """Builds training steps and their programs, and caches the last ones, without data."""

    def __init__(self) -> None:
        self._last: tuple[tuple[object, ...], SplitStep] | None = None
        self._resting: deque[NativeProgram] = deque(maxlen=1)

    def step(
        self, graph: Graph, loss: Node, optimizer: Optimizer, settings: FitSettings
    ) -> SplitStep:
        """The split step of these arguments; see `build_step`."""
        key = _key(graph, loss, optimizer, settings)
        last = self._last  # read once: another thread may replace it
        if key is not None and last is not None and last[0] == key:
            return last[1]
        split = build_split(
            Objective(
                graph, loss, optimizer,
                settings.clip_norm, settings.clip_value, settings.trainable,
                exchange=(settings.blocks or 1) > 1, precision=settings.precision,
            )
        )  # fmt: skip
        self._last = None if key is None else (key, split)
        return split

    def program(
        self,
        split: SplitStep,
        state: Mapping[str, Array],
        seed: int,
        settings: FitSettings,
        ranks: Communicator,
    ) -> Program:
        """A program of the step in this state; it is the resting one where that runs the step.

        Args:
            split: what `step` gave.
            state: values of parameters and slots.
            seed: of the model.
            settings: of the run, with a number of blocks.
            ranks: that share it.
        """
        threads, device, count = settings.threads, settings.device, settings.blocks or 1
        blocks = None
        if count > 1:
            from chainrule.engine.blocks import Blocks  # noqa: PLC0415  (few programs need it)

            blocks = Blocks(count, ranks)
        with suppress(IndexError):  # none rests, or another thread was first
            resting = self._resting.pop()
            if settings.backend == "native" and resting.continues(
                split.body, state, threads, blocks, device
            ):
                resting.write(state)
                return resting
        return compile_step(
            split,
            state,
            seed,
            backend=settings.backend,
            threads=threads,
            blocks=blocks,
            device=device,
        )

    def rest(self, program: Program) -> None:
        """Keep a program whose run is complete for the next run, if its memory is small."""
        if isinstance(program, NativeProgram) and program.rest():
            self._resting.append(program)


def _key(
    graph: Graph, loss: Node, optimizer: Optimizer, settings: FitSettings
) -> tuple[object, ...] | None:
    """All that a step depends on; None for a user's optimizer, which may change.

    The learning rate is an input of the step. The user's line counts: errors name it.
    """
    if OPTIMIZERS.get(type(optimizer).name) is not type(optimizer):
        return None
    values = {x.name: _fixed(getattr(optimizer, x.name)) for x in fields(optimizer)}
    values.pop("rate")
    clipping = _fixed(settings.clip_norm), _fixed(settings.clip_value)
    blocks = (settings.blocks or 1) > 1
    chosen = clipping, settings.trainable, settings.precision, blocks
    return graph, loss, type(optimizer), values, chosen, user_line()


def _fixed(value: Any) -> object:
    """The present value of a setting; the order of patterns counts, and 1 differs from True."""
    if isinstance(value, Mapping):
        return tuple(value.items())
    return type(value), value
