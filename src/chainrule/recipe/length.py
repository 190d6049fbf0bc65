"""Chooses epochs and rate for small tables, by cross-validation on the training rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from chainrule.data.schema import Schema
from chainrule.data.split import folds
from chainrule.display.format import number
from chainrule.engine.devices import settled
from chainrule.engine.minibatch import Rows
from chainrule.model.many import Task, train_many
from chainrule.model.model import Model
from chainrule.model.prepare import Prepared, classes_of, divide
from chainrule.recipe.calibration import calibrated_losses, temperature_of
from chainrule.recipe.config import Config
from chainrule.recipe.fit import build_step, fit, raise_unkept
from chainrule.recipe.network import build
from chainrule.train.checkpoint import Checkpoint, within
from chainrule.train.progress import Brief, Progress, choose

LENGTHS = ((15, 5e-4), (40, 5e-4), (100, 5e-4), (100, 2e-3))
"""Candidate epochs and rates: the best vary widely, and near them little is lost."""
FOLDS = 4


class Crossed(NamedTuple):
    """The loss by cross-validation on the training rows, and its standard error."""

    loss: float
    error: float


def choose_length(
    model: Model, data: Prepared, resolved: Config, verbose: bool | str | Progress | None = True,
    checkpoint: Checkpoint | None = None, device: str = "cpu",
) -> tuple[Config, Crossed | None]:  # fmt: skip
    """`resolved` with the epochs and the rate that predict best, where they were left open.

    For each of LENGTHS, single networks are trained on three quarters of the training rows, and
    scored on the rest, in turn. Rows held out by `data` are not used. The loss of the best is
    returned too.

    Args:
        checkpoint: of all networks, each in a folder within.
        device: that trains, as in `Model.fit`.
    """
    if resolved.epochs is not None:
        return resolved, None
    assert model.schema is not None
    classes = classes_of(model, data.arrays)
    classes = None if classes is None else classes[data.rows]
    parts = folds(len(data.rows), FOLDS, resolved.seed, stratify=classes)
    with choose(verbose) as progress:
        single = replace(resolved, members=1)
        losses = _losses(model.schema, data, single, parts, progress, checkpoint, device)
        (epochs, rate), least = min(losses.items(), key=lambda x: x[1].loss)
        others = sorted(x.loss for x in losses.values())[1:]
        text = f"loss {number(least.loss)}, others {number(others[0])} to {number(others[-1])}"
        progress.note(f"{epochs} epochs at rate {rate:g} are best: {text}")
    return replace(resolved, epochs=epochs, rate=rate), least


def work_after(resolved: Config, refits: bool) -> float:
    """The work after `choose_length`, in units of its own, roughly; for the time left."""
    tried = sum(epochs for epochs, _ in LENGTHS) * (FOLDS - 1)
    usual = sum(epochs for epochs, _ in LENGTHS) / len(LENGTHS)
    return (resolved.members or 1) * usual * (1 + refits) / tried


def default_length(resolved: Config) -> Config:
    """`resolved` with the default epochs and rate, where they were left open."""
    epochs, rate = LENGTHS[1]
    return replace(resolved, epochs=resolved.epochs or epochs, rate=resolved.rate or rate)


def _losses(
    schema: Schema, data: Prepared, resolved: Config, parts: Sequence[Rows], progress: Progress,
    checkpoint: Checkpoint | None, device: str,
) -> dict[tuple[int, float], Crossed]:  # fmt: skip
    """By epochs and rate, the loss on the parts held out."""
    lengths = list(dict.fromkeys((epochs, resolved.rate or rate) for epochs, rate in LENGTHS))
    configs = [replace(resolved, epochs=epochs, rate=x) for epochs, x in lengths for _ in parts]
    first, device = build(resolved, schema), settled(device)  # epochs and rate change no graph
    build_step(first, configs[0])
    models = [first, *(first.untrained() for _ in configs[1:])]
    rests = [divide(data.arrays, np.delete(data.rows, part), None, 0) for part in parts]
    each = enumerate(zip(models, rests * len(lengths), configs, strict=True))
    tasks = [
        Task(
            model,
            partial(
                fit, model, rest, config, checkpoint=within(checkpoint, f"{k:02d}"), device=device
            ),
            here=device != "cpu",
        )
        for k, (model, rest, config) in each
    ]
    failed = train_many(tasks, verbose=Brief(progress))
    if checkpoint is not None:
        raise_unkept(failed.values())
    losses = {}
    for k, length in enumerate(lengths):
        indices = range(k * len(parts), (k + 1) * len(parts))
        complete = not any(index in failed for index in indices)
        trained = [models[x] for x in indices]
        losses[length] = _loss(trained, data, parts) if complete else Crossed(np.inf, np.inf)
    return losses


def _loss(models: Sequence[Model], data: Prepared, parts: Sequence[Rows]) -> Crossed:
    """The loss of models, each on its part: calibrated log loss, or the training loss."""
    outputs = [
        model.scoring_outputs(data.arrays, data.rows[part])
        for model, part in zip(models, parts, strict=True)
    ]
    if temperature_of(models[0]):
        rows = calibrated_losses(*(np.concatenate([x[k] for x in outputs]) for k in (1, 2)))
        return Crossed(float(rows.mean()), float(rows.std() / len(rows) ** 0.5))
    losses = np.array([x[0] for x in outputs], float)
    mean = float(np.average(losses, weights=[len(part) for part in parts]))
    return Crossed(mean, float(losses.std() / (len(losses) - 1) ** 0.5))
