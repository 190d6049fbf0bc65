"""One fit of a recipe's model: its optimizer, and the rates of its parameters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from chainrule.data.streams.stream import Stream
from chainrule.engine.program import check_precision
from chainrule.errors import NotFinite, SettingError
from chainrule.graph.graph import Graph
from chainrule.model.model import Model
from chainrule.model.prepare import Prepared
from chainrule.recipe.config import Config
from chainrule.recipe.facts import MIN_HELD_ROWS
from chainrule.train import schedules
from chainrule.train.callbacks import Callback
from chainrule.train.checkpoint import Checkpoint
from chainrule.train.fitsettings import FitSettings
from chainrule.train.lbfgs import LBFGS
from chainrule.train.optim import OPTIMIZERS, AdamW, Optimizer
from chainrule.train.optim.registry import optimizer
from chainrule.train.progress import Progress
from chainrule.train.record import Record
from chainrule.types import static_size

Recorded = Record | Iterable[str] | str | bool | None
"""The choice of what a run keeps, as `Model.fit` takes it."""

REFERENCE_INPUTS = 256
"""Inputs of a layer for which the rate of the settings holds; more inputs need a smaller one."""
RATE_FACTORS = {".b": 1.6, ".scale": 96.0, ".f": 1.6, ".p": 1.6}
"""Factors on the rate of other parameters, by suffix. Source: Holzmüller et al. 2024."""
ANNEALED_SCHEDULES = ("cosine", "log_cosine", "one_cycle")
"""Schedules whose rate decreases to 0 in the last epoch."""
BETA2 = 0.95
"""AdamW's beta2: lower than the default, from the same source."""


def build_optimizer(resolved: Config, graph: Graph) -> Optimizer | LBFGS:
    """The optimizer with its schedule, and the factors on the rate of each parameter."""
    assert resolved.rate is not None
    assert resolved.decay is not None
    rate: float | schedules.Schedule = resolved.rate
    if resolved.schedule == "cosine":
        rate = schedules.Cosine(resolved.rate)
    elif resolved.schedule == "log_cosine":
        rate = schedules.LogCosine(resolved.rate)
    elif resolved.schedule == "one_cycle":
        rate = schedules.OneCycle(resolved.rate)
    elif resolved.schedule == "reduce_on_plateau":
        rate = schedules.ReduceOnPlateau(
            resolved.rate, patience=max(2, (resolved.patience or 9) // 3)
        )
    if resolved.optimizer == LBFGS.name:
        return LBFGS(decay=resolved.decay)
    more: dict[str, Any] = {}
    kind = OPTIMIZERS.get(resolved.optimizer, LBFGS)
    if issubclass(kind, Optimizer) and kind.adaptive:
        more["rates"] = factors = rate_factors(graph)
    if resolved.optimizer == AdamW.name:  # weights decay by rate * decay, without their factor
        weights = {graph.name(x) for x in graph.parameters if x.suffix == ".w"}
        more["decays"] = {name: 1 / x for name, x in factors.items() if name in weights}
        more["beta2"] = BETA2
    return optimizer(resolved.optimizer, rate=rate, decay=resolved.decay, **more)


def rate_factors(graph: Graph) -> dict[str, float]:
    """By parameter, the factor relative to the rate of a layer with 256 inputs.

    Batch normalisation learns at that rate: at the factor of other scales it would be noise.
    """
    factors = {}
    batch_norms = {x.scope for x in graph.parameters if x.suffix == ".running_mean"}
    for x in graph.parameters:
        inputs = static_size(x.shape[:-1])
        if x.scope in batch_norms:
            continue
        if x.trainable and x.suffix == ".w" and x.ndim in (2, 4):
            factors[graph.name(x)] = math.sqrt(REFERENCE_INPUTS / inputs)
        elif x.trainable and (x.suffix in RATE_FACTORS or x.suffix == ".w"):
            factors[graph.name(x)] = RATE_FACTORS.get(x.suffix, RATE_FACTORS[".f"])
    return factors


def fit(
    model: Model, data: Prepared, resolved: Config, verbose: bool | str | Progress | None = True,
    callbacks: Sequence[Callback] = (), record: Recorded = None,
    checkpoint: Checkpoint | None = None, device: str = "cpu",
) -> None:  # fmt: skip
    """Train a model with resolved settings, on data that is already split.

    Args:
        checkpoint: of this fit alone; where it is complete there, its end is taken.
    """
    model.fit(
        data, **step_settings(resolved, model.graph), epochs=resolved.epochs,
        patience=resolved.patience, keep_best=keeps_best(data, resolved), verbose=verbose,
        callbacks=callbacks, record=record, checkpoint=checkpoint, blocks=resolved.blocks,
        device=device,
    )  # fmt: skip
    model.last_run = None  # the run is complete: its end need not be kept, nor saved


def fit_stream(
    model: Model, stream: Stream, resolved: Config, held: int,
    verbose: bool | str | Progress | None = True, callbacks: Sequence[Callback] = (),
    record: Recorded = None, checkpoint: Checkpoint | None = None, device: str = "cpu",
) -> None:  # fmt: skip
    """Train a model with resolved settings on a stream; held: the rows that are held out."""
    model.fit(
        stream, **step_settings(resolved, model.graph), epochs=resolved.epochs,
        patience=resolved.patience, validation=resolved.validation or None,
        keep_best=resolved.patience is not None or held >= MIN_HELD_ROWS, verbose=verbose,
        callbacks=callbacks, record=record, checkpoint=checkpoint, blocks=resolved.blocks,
        device=device,
    )  # fmt: skip
    model.last_run = None


def raise_unkept(errors: Iterable[Exception]) -> None:
    """Raise the first error of fits with checkpoints by which another result would be chosen.

    Those of numbers that are not finite come again in each run; others are of a folder, or of a
    process that died, and the same run goes on without them.
    """
    for error in errors:
        if not isinstance(error, NotFinite):
            raise error


def build_step(model: Model, resolved: Config) -> None:
    """Build the step that `fit` will run, so that processes that are forked later share it."""
    settings = FitSettings(**step_settings(resolved, model.graph), blocks=resolved.blocks)
    if isinstance(settings.optimizer, Optimizer) and model.loss is not None:
        model.step_cache.step(model.graph, model.loss, settings.optimizer, settings)


def step_settings(resolved: Config, graph: Graph) -> dict[str, Any]:
    """The settings of one step, as `Model.fit`, `Model.plan` and `Model.profile` take them."""
    assert resolved.batch_size is not None
    return {
        "optimizer": build_optimizer(resolved, graph),
        "batch_size": resolved.batch_size,
        "clip_norm": resolved.clip_norm,
        "precision": resolved.precision,
    }


def step_settings_here(resolved: Config, graph: Graph) -> dict[str, Any]:
    """The settings of a step of a model from elsewhere; float32 where that is all there is here."""
    settings = step_settings(resolved, graph)
    try:
        check_precision(resolved.precision, "native")
    except SettingError:
        settings["precision"] = "float32"
    return settings


def keeps_best(data: Prepared, resolved: Config) -> bool:
    """Whether the rows held out choose the best epoch; with few rows the choice is random."""
    return resolved.patience is not None or len(data.held_rows) >= MIN_HELD_ROWS
