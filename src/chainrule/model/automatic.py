"""The choice of a device for a model's steps and predictions, where it is left open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from chainrule.engine.auto import forward_choice, only_cpu, step_choice
from chainrule.engine.deviceprogram import automatic, warn
from chainrule.engine.devices import gave_up
from chainrule.engine.program import Program
from chainrule.engine.split import SplitStep
from chainrule.errors import ChainruleError
from chainrule.graph.node import Array
from chainrule.model.predicted import Predicted
from chainrule.model.state import Data
from chainrule.train.fitsettings import FitSettings
from chainrule.train.progress import Progress

Result = TypeVar("Result")

STREAMED = 1_000_000
"""Rows that are expected of a stream."""

SINGLE_STEPS = 1000
"""Steps that are expected of a model whose steps are asked for one by one."""


def chosen(
    settings: FitSettings, split: SplitStep | None, data: Mapping[str, Array], rows: int,
    epochs: int,
) -> tuple[FitSettings, str]:  # fmt: skip
    """Settings with the device for the steps of a run, and why, in a line.

    Args:
        settings: resolved, but for the device.
        split: the step; None where all rows are taken at once.
        data: the arrays that it reads.
        rows: of the data set that are trained on.
        epochs: how often.
    """
    reason = _reason(settings, split)
    if split is None or reason:
        choice = only_cpu(reason)
    else:
        size = min(settings.batch_size, rows)
        steps = epochs * -(-rows // max(size, 1))
        held = sum(x.nbytes for x in data.values())
        choice = step_choice(split.body, size, steps, held, settings.threads)
    return replace(settings, device=choice.device), choice.why


def _reason(settings: FitSettings, split: SplitStep | None) -> str:
    """The reason for the processor that needs no forecast; empty where there is none."""
    if split is None:
        return "other devices are not compared for L-BFGS"
    if settings.backend != "native":
        return "the interpreter runs there alone"
    if settings.precision != "float32":
        return f"products of {settings.precision} run there alone"
    if (settings.blocks or 1) > 1:
        return "minibatches are cut into blocks there alone"
    return ""


def of_single_steps(
    settings: FitSettings, split: SplitStep, data: Mapping[str, Array], rows: int
) -> FitSettings:
    """Settings with the device for steps that are asked for one by one, by the first of them."""
    settings = replace(settings, batch_size=max(rows, 1))
    return chosen(settings, split, data, rows, SINGLE_STEPS)[0]


def guard(program: Program, progress: Progress | None = None) -> None:
    """Let the processor go on where the device of a program fails: a note, or else a warning."""
    shown = progress is not None and progress.output is not None
    automatic(program, progress.note if progress is not None and shown else warn)


def predicted(data: Data, asked: Predicted, run: Callable[[str], Result]) -> tuple[Result, str]:
    """A prediction by the device that it is left to, and why by that one, in a line.

    Where the device fails, the processor predicts, which is a warning.

    Args:
        data: the rows, as for `predict`.
        asked: what is predicted.
        run: predicts by a device.
    """
    choice = forward_choice(asked.forward, _rows(data, asked))
    if choice.device == "cpu":
        return run("cpu"), choice.why
    try:
        return run(choice.device), choice.why
    except ChainruleError as error:
        found = run("cpu")  # which raises what is wrong with the data
        warn(gave_up(choice.device, error))
        return found, choice.why


def _rows(data: Any, asked: Predicted) -> int:
    """The number of rows of data, or of those of a stream that are expected."""
    if isinstance(data, Mapping):
        inputs = [data[name] for x, name in asked.inputs.items() if x.batch and name in data]
        return max((len(np.atleast_1d(x)) for x in (inputs or data.values())), default=0)
    try:
        return len(data)
    except TypeError:
        return STREAMED
