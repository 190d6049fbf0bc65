"""The state of a model as the content of its file, and a model with that state again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from chainrule.errors import ModelFileError, SettingError, short
from chainrule.model.lastrun import LastRun
from chainrule.model.saved import Saved, check_slots
from chainrule.model.state import ModelState
from chainrule.train.history import History
from chainrule.train.optim import Optimizer
from chainrule.train.optim.registry import is_portable, optimizer_from_dict

if TYPE_CHECKING:
    from chainrule.data.repeats import Keys


def content(model: ModelState) -> Saved:
    """The content of a model's file; an optimizer that a user wrote is left out."""
    optimizer = model.optimizer
    portable = optimizer is not None and is_portable(optimizer)
    return Saved(
        graph=model.graph,
        outputs=tuple(model.graph.name(x) for x in model.outputs),
        loss=None if model.loss is None else model.graph.name(model.loss),
        values=model.values,
        optimizer=optimizer.to_dict() if optimizer is not None and portable else None,
        state=model.slots if portable or optimizer is None else {},
        steps=model.steps,
        seed=model.seed,
        contract=None if model.schema is None else model.schema.to_dict(),
        history=model.history.to_dict(),
        notes={
            "single": model.single,
            "split": model.split,
            "notes": model.notes,
            "rows": "" if model.trained_rows is None else _text_of(model.trained_rows),
            **({"run": model.last_run.to_dict()} if model.last_run and portable else {}),
        },
    )


def fill(model: ModelState, saved: Saved) -> None:
    """Give a new model of the saved graph the saved state. Raises ModelFileError."""
    present = {**saved.values, **saved.state}
    model.restore(present, saved.steps)
    if saved.optimizer is not None:
        model.optimizer = optimizer_from_dict(saved.optimizer)
        if isinstance(model.optimizer, Optimizer):
            check_slots(model.graph, model.optimizer, saved.state)
    if saved.history is not None:
        model.history = History.from_dict(saved.history)
    if "run" in saved.notes:
        model.last_run = LastRun.from_dict(saved.notes["run"], present)
    model.split = str(saved.notes.get("split", ""))
    notes = saved.notes.get("notes", {})
    if not isinstance(notes, Mapping):
        raise ModelFileError("load", "the notes are not a mapping", got=short(notes))
    model.notes = dict(notes)
    rows = saved.notes.get("rows", "")
    model.trained_rows = None if rows == "" else _keys_of(rows)


def _text_of(keys: Keys) -> str:
    from chainrule.data.repeats import as_text  # noqa: PLC0415  (tables alone need it)

    return as_text(keys)


def _keys_of(text: object) -> Keys | None:
    from chainrule.data.repeats import from_text  # noqa: PLC0415  (tables alone need it)

    try:
        return from_text(text)
    except ValueError as error:
        raise ModelFileError("load", "the keys of rows are damaged", got=str(error)) from None


State = TypeVar("State", bound=ModelState)


def at_epoch(model: ModelState, copy: State, epoch: int) -> State:
    """Returns the copy of a model, with the parameters and history of a recorded epoch.

    It has no averages of an optimizer: they are not recorded.

    Raises:
        SettingError: nothing was recorded, or not this epoch, or not all parameters.
    """
    recording = model.record
    if recording is None or not len(recording):
        raise SettingError(
            "at_epoch", "the model has no recording", got=f"epoch {epoch}",
            fix="model.fit(data, record=True), and then model.at_epoch(epoch)",
        )  # fmt: skip
    values = recording.values_at(epoch)
    steps = recording.steps[recording.epochs == epoch]
    copy.slots = {}
    copy.restore(values, int(steps[0]))
    copy.history, copy.optimizer = model.history.until(epoch), model.optimizer
    return copy
