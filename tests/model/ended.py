"""What a run of `fit` leaves, to compare runs bit by bit."""

from __future__ import annotations

from typing import Any

import chainrule as cr


def ended(model: cr.Model) -> tuple[Any, ...]:
    """All that a run leaves, but for its duration."""
    last = model.last_run
    assert last is not None
    plain = last.to_dict()
    values = plain.pop("values") or {}
    return (
        {name: x.tobytes() for name, x in (model.values | model.slots).items()},
        [{k: x for k, x in row.items() if k != "seconds"} for row in model.history],
        model.history.runs, model.steps, plain, {name: x.tobytes() for name, x in values.items()},
        model.split,
    )  # fmt: skip
