"""The page of a model: its graph on some rows of a table, or of arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.data.blocks import Encoded
from chainrule.data.columns.bags import WordEncoder
from chainrule.data.columns.columns import CategoryColumn
from chainrule.data.columns.target import ClassTarget, NumberTarget
from chainrule.data.readers.sources import read
from chainrule.data.schema import Schema
from chainrule.data.table import Table
from chainrule.display.format import counted
from chainrule.engine.forward import Forward
from chainrule.engine.minibatch import all_rows
from chainrule.engine.step import named_updates
from chainrule.errors import FeedError, SettingError
from chainrule.explain.run import run
from chainrule.explain.trace import Trace
from chainrule.graph.feeds import bind
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Node, Operation, Parameter
from chainrule.graph.step import RATE, STEP_INDEX, STEP_INPUTS
from chainrule.inspector.document import document, row_forms, uncomputed
from chainrule.inspector.page import Page
from chainrule.interpret import initial_value
from chainrule.model.fit import optimizer_for
from chainrule.model.learning.section import learning_form
from chainrule.model.readings import reading_form
from chainrule.model.seen import encoder_forms, typical_row
from chainrule.model.state import Data, ModelState
from chainrule.passes.rewrite import rewrite
from chainrule.system.checks import as_integer
from chainrule.train.lbfgs import LBFGS
from chainrule.train.schedules import rates
from chainrule.types import resolve

MAX_ROWS = 200
"""Rows that a page holds at most."""

FIRST = 5
"""Rows of arrays that a page has where none are chosen."""

MAX_RANKED = 100_000
"""Rows among which the instructive ones are looked for: the first ones."""

MANY_ENTRIES = 500_000
"""Numbers of parameters and the optimizer of which a page tells: they take megabytes."""

RATE_POINTS = 101
"""Points of a schedule at which its highest rate is looked for."""

Rows = int | Sequence[int] | None
Chosen = list[tuple[int, str]]
Numbered = Callable[[int], int]
"""Positions of rows, each with the reason for it."""


def inspect(
    state: ModelState, data: Data | None, rows: Rows = None, title: str | None = None, *,
    updates: bool = True, machine: Mapping[str, Any] | None = None, number: Numbered | None = None,
) -> Page:  # fmt: skip
    """Returns the page; see `Model.show`.

    Args:
        updates: whether it has the update of each parameter: with the optimizer's slots, two
            thirds of a page are numbers of these.
        machine: the plan or profile of a training step as plain values.
        number: of a row of the table in its source, from 1; None: the table has all of its rows.

    Raises:
        SettingError: a row is not in the data, or there are too many.
    """
    content = (
        _of_table(state, data, rows, updates, number or (lambda row: row + 1))
        if state.schema
        else _of_arrays(state, data, rows, updates)
    )
    content |= {} if machine is None else {"machine": machine}
    return Page(content | ({} if title is None else {"title": title}))


def _of_table(
    state: ModelState, data: Any, rows: Rows, updates: bool, number: Numbered
) -> dict[str, Any]:
    schema = state.schema
    assert schema is not None
    target, notes = schema.target, list[str]()
    if data is None:
        table = typical_row(schema)
        chosen = [(0, "")]
        notes.append("without data, the row has the most typical value of each column")
    else:
        table = schema.matched(read(data))
        chosen = _chosen(table.source, len(table), rows)
        if not chosen:
            chosen, passed_over = _instructive(state, table)
            notes += passed_over
        if rows is None and len(table) > MAX_RANKED:
            notes.append(f"rows were chosen from the first {MAX_RANKED:,} of {len(table):,}")
    picked = table.take([row for row, _ in chosen])
    unseen = schema.unseen_classes(picked)
    encoded = schema.encode(picked, "none" if unseen.any() else "optional")
    arrays, more = _with_target(state, encoded, _targets(schema, picked, encoded, unseen), unseen)
    trace = _traced(state, arrays, updates)
    forms = row_forms(trace.graph, trace.inputs, trace.rows)
    written = {e.name: picked[e.name].cells() for e in schema.used}
    for k, ((row, why), form) in enumerate(zip(chosen, forms, strict=True)):
        form["label"] = "a typical row" if data is None else f"row {number(row)}"
        form["why"] = why
        if target is not None and unseen[k]:  # without it the page has no loss of this row
            form["feeds"].pop(target.name, None)
        form["cells"] = [{"column": name, "raw": cells[k]} for name, cells in written.items()]
    count, about = len(forms), "a model" if target is None else target.name
    learned, told = learning_form(state.history, state.learning, forms)
    added = f" and {counted(len(forms) - count, 'recorded row')}" if len(forms) > count else ""
    return document(
        trace.form(_optimizer(state)),
        title=f"{about} from {schema.source}",
        python=f"model.run(table.take({[number(row) - 1 for row, _ in chosen]}))",
        rows=forms,
        batch=[0],
        holds=f"{counted(count, 'row')} of {table.source}{added}{_known(schema)}",
        notes=[*notes, *encoded.notes, *more, *_left_out(state, trace, updates), *told],
        encoders=encoder_forms(state, trace),
        target=None if target is None or unseen.all() else {
            "column": target.name,
            "input": target.name,
            "task": target.task,
            "classes": list(target.labels) if isinstance(target, ClassTarget) else [],
            "reading": reading_form(target, schema) if isinstance(target, NumberTarget) else None,
            "output": trace.graph.nodes.index(trace.graph.outputs[0]),
        },
        **learned,
    )  # fmt: skip


def _known(schema: Schema) -> str:
    """The texts of the training data that a page holds beside rows, in words."""
    levels = sum(len(e.levels) for e in schema.used if isinstance(e, CategoryColumn))
    bags = [e.words if isinstance(e, CategoryColumn) else e for e in schema.used]
    words = sum(e.width for e in bags if isinstance(e, WordEncoder))
    found = [counted(n, noun) for n, noun in ((levels, "level"), (words, "counted word")) if n]
    return f", and {' and '.join(found)} of the training data" if found else ""


def _of_arrays(state: ModelState, data: Any, rows: Rows, updates: bool) -> dict[str, Any]:
    notes = []
    if data is None:
        inputs = [x for x in state.graph.inputs if x not in STEP_INPUTS]
        arrays = {state.graph.name(x): np.zeros(resolve(x.shape, 1), x.dtype) for x in inputs}
        chosen = [(0, "")]
        notes.append("without data, all inputs are 0")
    else:
        arrays, count, unknown = _arrays(state, data)
        if unknown:
            notes.append(
                f"the loss needs {', '.join(map(repr, unknown))}, which the data does not have: "
                "the page has the prediction alone, without gradients"
            )
        chosen = _chosen("the data", count, rows) or [(k, "") for k in range(min(count, FIRST))]
        if rows is None and count > FIRST:
            notes.append(
                f"the first {FIRST} of {count:,} rows; show(data, rows=[...]) takes others"
            )
        at = [row for row, _ in chosen]
        batched = {state.graph.name(x) for x in state.graph.inputs if x.batch}
        arrays = {name: x[at] if name in batched else x for name, x in arrays.items()}
    trace = _traced(state, arrays, updates)
    forms = row_forms(trace.graph, trace.inputs, trace.rows)
    for (row, why), form in zip(chosen, forms, strict=True):
        form |= {"label": "zeros" if data is None else f"row {row + 1}", "why": why}
    learned, told = learning_form(state.history, state.learning, forms)
    return document(
        trace.form(_optimizer(state)),
        title="A model",
        python="model.run(data)",
        rows=forms,
        batch=[0],
        notes=[*notes, *_left_out(state, trace, updates), *told],
        **learned,
    )


def _arrays(state: ModelState, data: Any) -> tuple[dict[str, Array], int, list[str]]:
    """The arrays, the number of rows, and the inputs of the loss alone that are not in the data."""
    name, predicted = state.graph.name, Graph(state.outputs)
    names = {x: name(x) for x in predicted.inputs if x not in STEP_INPUTS}
    weights = {x.weights for x in state.objectives.each}
    unknown = [
        name(x)
        for x in state.graph.inputs
        if x not in predicted and x not in STEP_INPUTS and x not in weights
    ]
    if not unknown or not isinstance(data, Mapping) or data.keys() != set(names.values()):
        return *state.arrays(data, weighted=False), []
    bound, rows = bind(names, names, data)
    if not rows:
        raise FeedError("data", "there are no rows", expected="at least one example")
    return {names[x]: bound[x] for x in names}, rows, unknown


def _traced(state: ModelState, arrays: Mapping[str, Array], updates: bool) -> Trace:
    place = rewrite(state.graph, _in_prediction)
    whole = all(state.graph.name(x) in arrays for x in state.graph.inputs if x not in STEP_INPUTS)
    outputs = [place[x] for x in (state.graph.outputs if whole else state.outputs)]
    trace = run(outputs, arrays, values=state.values, seed=state.seed, step=state.steps,
                like=state.graph)  # fmt: skip
    if state.loss is not None and whole:
        trace.backward(place[state.loss])
        if updates:
            _update(state, trace)
    return trace


def _in_prediction(node: Operation, operands: tuple[Node, ...]) -> Node | None:
    """The operand that stands for what differs in training, such as dropout."""
    if node.op.name != "when_training":
        return None
    kept = operands[1]
    own = isinstance(kept, Operation) and kept.scope is node.scope and not node.suffix
    return kept.within(node.scope) if own else kept


def _left_out(state: ModelState, trace: Trace, updates: bool) -> list[str]:
    """Notes on what the page leaves out, where there is something."""
    notes = uncomputed(trace.graph)
    if "when_training" in {x.op.name for x in state.graph.operations}:
        differs = {
            "without dropout": any(x.op.kind == "random" for x in state.graph.operations),
            "with the statistics of training": any(
                x.op.name == "tracked" for x in state.graph.operations
            ),
        }
        told = ", and ".join(text for text, true in differs.items() if true)
        notes.append("the network is shown as it predicts" + (f": {told}" if told else ""))
    if updates and trace.built and isinstance(optimizer_for(state, None), LBFGS):
        notes.append(
            "the page ends with the gradients: a step of L-BFGS searches along a line, with the "
            "loss of all rows, and has no formula of its own"
        )
    entries = sum(x.size for x in map(trace.value, trace.extended.parameters))
    if entries > MANY_ENTRIES:
        notes.append(
            f"the page holds {entries:,} numbers of parameters and the optimizer, and is large "
            "for that"
        )
    return notes


def _update(state: ModelState, trace: Trace) -> None:
    """Extend a trace by the update of the model's optimizer, at the highest rate of its schedule.

    The step is that of prediction mode: nothing is dropped, nothing is tracked.
    """
    optimizer = optimizer_for(state, None)
    assert trace.built is not None
    if isinstance(optimizer, LBFGS):
        return
    updates: dict[Parameter, Node] = {}
    for x, gradient in trace.built.gradients.items():
        if isinstance(x, Parameter) and x.trainable:
            name = trace.graph.name(x)
            updates[x], slots = optimizer.update(x, name, gradient, RATE, STEP_INDEX)
            updates |= slots
    rate = max(rates(optimizer.rate, 0, RATE_POINTS, RATE_POINTS))
    values: dict[Node, Array] = {RATE: np.asarray(rate), STEP_INDEX: np.asarray(state.steps + 1.0)}
    for slot in updates:
        if slot not in trace.graph:
            known = state.slots.get(slot.label)
            values[slot] = initial_value(slot, slot.label) if known is None else known
    trace.update(named_updates(updates, trace.graph), values)


def _optimizer(state: ModelState) -> str:
    """The name of the optimizer of the update."""
    return type(optimizer_for(state, None)).__name__


def _targets(
    schema: Schema, picked: Table, encoded: Encoded, unseen: npt.NDArray[np.bool_]
) -> Array | None:
    """The target of each row, a gap for a class that training did not have; None: no column."""
    if not unseen.any():
        return encoded.target
    known = np.full(len(picked), -1, np.int32)
    if not unseen.all():
        seen = schema.encode(picked.take(np.flatnonzero(~unseen)), "optional").target
        assert seen is not None
        known[~unseen] = seen
    return known


def _with_target(
    state: ModelState, encoded: Encoded, known: Array | None, unseen: npt.NDArray[np.bool_]
) -> tuple[dict[str, Array], list[str]]:
    """The arrays of a table with its target; the prediction stands for one that is not known.

    Where no row has a class of training, there is no target.
    """
    assert state.schema is not None
    target = state.schema.target
    arrays = dict(encoded.arrays)
    if target is None or target.name not in map(state.graph.name, state.graph.inputs):
        return arrays, []
    notes = [
        f"{target.name!r} of {counted(int(unseen.sum()), 'row')} is a class that training did not "
        "have: the page has the prediction alone, without loss and gradients"
    ] if unseen.any() else []  # fmt: skip
    if unseen.all():
        return arrays, notes
    gaps = np.ones(len(encoded), bool)
    if known is not None:
        gaps = known < 0 if isinstance(target, ClassTarget) else np.isnan(known)
    if not gaps.any():
        assert known is not None
        return arrays | {target.name: known}, notes
    values = _predicted(state, encoded)
    guess = target.decided(values).argmax(axis=1) if isinstance(target, ClassTarget) else values
    whole = guess if known is None else np.where(gaps, guess, known)
    if lost := int((gaps & ~unseen).sum()):
        notes.append(
            f"{target.name!r} is not known of {counted(lost, 'row')}: the prediction stands in its "
            "place; edit it to see other gradients"
        )
    return arrays | {target.name: whole.astype(state.graph[target.name].dtype)}, notes


def _predicted(state: ModelState, encoded: Encoded) -> Array:
    forward = Forward(state.graph, [state.outputs[0]])
    return forward(state.values, encoded.arrays, all_rows(len(encoded)))[0]


def _chosen(source: str, count: int, rows: Rows) -> Chosen:
    """The rows that were asked for. Raises SettingError where one is not there."""
    if rows is None:
        return []
    listed = [rows] if isinstance(rows, int | np.integer) else list(rows)
    if len(listed) > MAX_ROWS:
        raise SettingError(
            "rows", "too many for a page", expected=f"at most {MAX_ROWS}", got=len(listed)
        )
    for row in listed:
        if (place := as_integer(row)) is None or not 0 <= place < count:
            raise SettingError(
                "rows", f"{source} has no row at position {row!r}",
                expected=f"integers from 0 to {count - 1}",
            )  # fmt: skip
    return [(int(row), "") for row in listed]


def _instructive(state: ModelState, table: Table) -> tuple[Chosen, list[str]]:
    """A typical row, the worst, and one on the border or the best; without targets, the first.

    Also a note on the rows that were passed over.
    """
    assert state.schema is not None
    target = state.schema.target
    first = table if len(table) <= MAX_RANKED else table.take(slice(MAX_RANKED))
    some: Chosen = [(k, "") for k in range(min(len(table), 3))]
    if target is None or target.name not in table or state.loss is None:
        return some, []
    unseen = state.schema.unseen_classes(first)
    if unseen.all():
        return some, []
    places = np.flatnonzero(~unseen)
    encoded = state.schema.encode(first.take(places), "required")
    assert encoded.target is not None
    values = _predicted(state, encoded)
    if isinstance(target, ClassTarget):
        truth = values[np.arange(len(values)), encoded.target]
        top = np.sort(values, axis=1)
        chosen = choose(-truth, "on the border", top[:, -1] - top[:, -2])
    else:
        wrong = np.abs(values - encoded.target)
        chosen = choose(wrong, "best", wrong)
    counts = {
        f"without a target {target.name!r}": len(places) - len(encoded),
        f"of which {target.name!r} is a class that training did not have": int(unseen.sum()),
    }
    notes = [f"{counted(n, 'row')} {what} passed over" for what, n in counts.items() if n]
    return [(int(places[encoded.rows[row]]), why) for row, why in chosen], notes


def choose(losses: npt.NDArray[Any], third: str, measure: npt.NDArray[Any]) -> Chosen:
    """Returns the row of the median loss, that of the highest, and of the others that of the
    least measure.

    Args:
        losses: of each row, (n,).
        third: the reason for the last one.
        measure: of each row, (n,).
    """
    order = np.argsort(losses, kind="stable")
    found = {int(order[len(order) // 2]): "typical"}
    found.setdefault(int(order[-1]), "worst")
    others = np.setdiff1d(order, list(found))
    if len(others):
        found[int(others[np.argmin(measure[others])])] = third
    return list(found.items())
